//! Limits of this process.

use std::io;

/// Raises the soft limit of open descriptors to the hard one and returns it; never lowers anything.
pub fn raise_nofile() -> io::Result<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// Lifts the limit of locked memory, which kernels before 5.11 charge maps and programs to. Fails quietly where
/// the limit does not matter or may not be changed: loading tells.
pub fn raise_memlock() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
}

/// Index of the interface `name` in the network namespace that the file `netns` stands for; without one in ours.
pub fn ifindex(name: &str, netns: Option<&std::path::Path>) -> io::Result<u32> {
    let look = || nix::net::if_::if_nametoindex(name).map_err(io::Error::from);
    match netns {
        None => look(),
        Some(path) => {
            let file = std::fs::File::open(path)?;
            // A thread of its own, because it leaves our namespace for good.
            std::thread::scope(|scope| {
                let found = scope.spawn(|| {
                    nix::sched::setns(&file, nix::sched::CloneFlags::CLONE_NEWNET)?;
                    look()
                });
                found.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace died")))
            })
        }
    }
}
