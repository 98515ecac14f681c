//! This process: its limits, its network namespace, its end.

use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::stop::Stop;

/// Raises the soft limit of open descriptors to the hard one; never lowers anything. Where that is refused, what needs
/// more of them tells.
pub fn raise_nofile() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// How many descriptors may be open.
pub fn nofile() -> u64 {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE).map_or(RLIM_INFINITY, |(soft, _)| soft)
}

/// Lifts the limit of locked memory, which kernels before 5.11 charge maps and programs to. Fails quietly where
/// the limit does not matter or may not be changed: loading tells.
pub fn raise_memlock() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
}

/// Lets the main thread's stack grow to 8 MiB, which is what Linux gives it where nobody said otherwise (getrlimit(2),
/// `_STK_LIM`). The kernel looks at the limit whenever the stack grows, so it works for the process that asks. Fails quietly:
/// a stack limit that only root could raise is enough for nearly everything.
pub fn raise_stack() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    const USUAL: u64 = 8 << 20;
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_STACK)
        && soft < USUAL
        && setrlimit(Resource::RLIMIT_STACK, USUAL, hard.max(USUAL)).is_err()
    {
        let _ = setrlimit(Resource::RLIMIT_STACK, hard.min(USUAL), hard);
    }
}

/// Gives the memory that was freed back to the system; the allocator would keep it for what may come.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number and touches nothing that is in use (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The bytes of a file, `limit` at most. Of a named pipe those that its writers write, who are waited for; of a terminal those
/// that are typed. `None` if `stop` asks for the end before. Without a `stop` a signal is to end the process.
pub fn read_file(path: &Path, limit: u64, stop: Option<&Stop>) -> io::Result<Option<Vec<u8>>> {
    let Some(stop) = stop else {
        let mut bytes = Vec::new();
        return File::open(path)?.take(limit).read_to_end(&mut bytes).map(|_| Some(bytes));
    };
    // Opening a pipe that nobody writes to would wait, too.
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let mut bytes = Vec::new();
    loop {
        // A pipe that nobody has written to yet gives no bytes, which looks like its end: it is to be waited for first.
        stop.wait([file.as_fd()], None);
        if stop.is_requested() {
            return Ok(None);
        }
        let rest = limit - bytes.len() as u64;
        match Read::by_ref(&mut file).take(rest.min(PORTION)).read_to_end(&mut bytes) {
            Ok(0) => return Ok(Some(bytes)),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
}

/// How much of a file is read before it is looked whether the end was asked for.
const PORTION: u64 = 16 << 20;

/// Fails if `path` is a named pipe that nobody reads: opening it would wait for a reader. What is returned is to be kept
/// until the file is open.
pub fn reader_of_pipe(path: &Path) -> io::Result<Option<File>> {
    if !std::fs::metadata(path).is_ok_and(|data| data.file_type().is_fifo()) {
        return Ok(None);
    }
    open_pipe(path)?.ok_or_else(|| io::Error::other("nobody reads it")).map(Some)
}

/// Opens a file that is written to without waiting for a reader; a terminal does not become ours.
fn open_nonblocking(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Opens a named pipe, which then does not block; `None` if nobody reads it. Without O_NONBLOCK the kernel would wait
/// for a reader, and no signal that we take over would wake it.
pub fn open_pipe(path: &Path) -> io::Result<Option<File>> {
    match open_nonblocking(path) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        file => file.map(Some),
    }
}

/// What the process was given as its standard output, as a descriptor of its own that does not block if it is a pipe or a
/// terminal. Files never do; what cannot be opened again may, as a socket and the pipe of another user.
pub fn standard_output() -> io::Result<File> {
    // Not `io::stdout()` itself: it has a buffer of its own and looks for line ends.
    let given = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let kind = given.metadata()?.file_type();
    if kind.is_fifo() || kind.is_char_device() {
        // O_NONBLOCK on what was given would hold for everybody who shares it.
        if let Ok(own) = open_nonblocking(Path::new("/proc/self/fd/1")) {
            return Ok(own);
        }
    }
    Ok(given)
}

/// Sends as much as `socket` has room for.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    use nix::sys::socket::{MsgFlags, send};
    Ok(send(socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT)?)
}

/// Writes to standard output. A reader that has gone away is no failure.
pub fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Index of the interface `name` in the network namespace that the file `netns` stands for; without one in ours.
pub fn ifindex(name: &str, netns: Option<&Path>) -> io::Result<u32> {
    let look = || nix::net::if_::if_nametoindex(name).map_err(io::Error::from);
    match netns {
        None => look(),
        Some(path) => {
            let file = File::open(path)?;
            // A thread of its own, because it leaves our namespace for good.
            std::thread::scope(|scope| {
                let found = std::thread::Builder::new().spawn_scoped(scope, || {
                    nix::sched::setns(&file, nix::sched::CloneFlags::CLONE_NEWNET)?;
                    look()
                });
                found?.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace died")))
            })
        }
    }
}

/// Lets every other thread go before the calling one: Linux has priorities for threads.
pub fn be_nice() {
    const LEAST: libc::c_int = 19;
    // SAFETY: takes no pointer; 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, LEAST) };
}

/// Returns when every CPU has finished what it was running in the kernel without sleeping, programs included
/// (`membarrier(2)` MEMBARRIER_CMD_GLOBAL is an RCU grace period; Linux 4.3). Where that is refused, after a while.
pub fn wait_for_other_cpus() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_long = 1;
    // SAFETY: the command takes no pointer.
    if unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) } != 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Closes `fds` in child processes that outlive this one, which can then end at once.
///
/// Closing the last descriptor of a probe or link waits for the kernel to forget it: 15 to 110 ms each. Every child
/// has all of `fds`: it waits until this process has closed its own copies, then closes those that are not its share,
/// which costs nothing while a sibling still has them. Whatever happens to the children, the kernel closes the
/// descriptors: nothing is left behind. If no child can be made they are closed here.
///
/// Of the other descriptors of this process the children keep none (Linux 5.9): whoever reads our output sees its end
/// when this process ends, not when they do.
pub fn close_in_background(fds: Vec<OwnedFd>, children: usize) {
    let Ok((wait, go)) = nix::unistd::pipe() else { return };
    let kept: BinaryHeap<i32> = fds.iter().map(AsRawFd::as_raw_fd).chain([wait.as_raw_fd()]).collect();
    let kept = kept.into_sorted_vec();
    for share in 0..children {
        // SAFETY: the child only makes system calls (setsid, close, read, _exit) and touches no lock and no heap, as a
        // child of a process with threads must.
        match unsafe { libc::fork() } {
            0 => {
                // SAFETY: plain system calls on descriptors of this child alone; it ends here.
                unsafe {
                    libc::setsid();
                    // The end of the pipe comes when the parent has closed `fds`, or is gone.
                    let mut next = 0;
                    for &fd in &kept {
                        if next < fd {
                            libc::syscall(libc::SYS_close_range, next, fd - 1, 0);
                        }
                        next = fd + 1;
                    }
                    libc::syscall(libc::SYS_close_range, next, libc::c_uint::MAX, 0);
                    let mut byte = 0u8;
                    libc::read(wait.as_raw_fd(), (&raw mut byte).cast(), 1);
                    for (n, fd) in fds.iter().enumerate() {
                        if n % children != share {
                            libc::close(fd.as_raw_fd());
                        }
                    }
                    for fd in fds.iter().skip(share).step_by(children) {
                        libc::close(fd.as_raw_fd());
                    }
                    libc::_exit(0);
                }
            }
            -1 => return,
            _ => {}
        }
    }
    drop(fds);
    drop(go);
}

/// Lets a netlink socket hear of all network namespaces that its own one knows by a number (`ip netns list-id`), not only
/// of its own. Since Linux 4.2; needs CAP_NET_BROADCAST.
pub fn hear_all_namespaces(socket: &OwnedFd) -> io::Result<()> {
    const SOL_NETLINK: libc::c_int = 270;
    const NETLINK_LISTEN_ALL_NSID: libc::c_int = 8;
    let on: libc::c_int = 1;
    let (value, size) = (&raw const on, size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: `value` points to `size` bytes that live over the call.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, value.cast(), size) };
    super::check(done.into()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::resource::{Resource, getrlimit};

    #[test]
    fn a_pipe_without_a_reader_is_not_waited_for() {
        let path = std::env::temp_dir().join(format!("whither-fifo-{}", std::process::id()));
        assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
        let alone = reader_of_pipe(&path).map_err(|error| error.to_string());
        let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
        let read = reader_of_pipe(&path);
        let _ = std::fs::remove_file(&path);
        assert_eq!(alone.err().as_deref(), Some("nobody reads it"));
        assert!(reader.is_ok() && read.is_ok_and(|opened| opened.is_some()));
    }

    fn stop() -> Stop {
        Stop::on_signals().expect("signals can be taken over")
    }

    #[test]
    fn a_file_without_an_end_is_not_read_for_ever() {
        for stop in [Some(&stop()), None] {
            let read = read_file(Path::new("/dev/zero"), 10, stop).expect("it can be read");
            assert_eq!(read.as_deref(), Some(&[0; 10][..]));
        }
    }

    /// Its writer comes late, and writes more than a pipe holds, with a pause.
    #[test]
    fn a_pipe_is_read_to_its_end() {
        let path = std::env::temp_dir().join(format!("whither-fifo-read-{}", std::process::id()));
        assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
        let pause = || std::thread::sleep(std::time::Duration::from_millis(50));
        for stop in [Some(&stop()), None] {
            let read = std::thread::scope(|scope| {
                scope.spawn(|| {
                    pause();
                    let mut writer = OpenOptions::new().write(true).open(&path).expect("somebody reads");
                    writer.write_all(&[1; 100_000]).expect("somebody reads");
                    pause();
                    writer.write_all(&[2; 100_000]).expect("somebody reads");
                });
                read_file(&path, 1 << 20, stop)
            });
            assert_eq!(read.expect("it can be read"), Some([[1; 100_000], [2; 100_000]].concat()));
        }
        let _ = std::fs::remove_file(&path);
    }

    #[test]
    fn the_end_is_heard_while_nobody_writes_to_a_pipe() {
        let path = std::env::temp_dir().join(format!("whither-fifo-end-{}", std::process::id()));
        assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
        let stop = stop();
        let read = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(50));
                stop.request();
            });
            read_file(&path, 1 << 20, Some(&stop))
        });
        let _ = std::fs::remove_file(&path);
        assert_eq!(read.expect("it can be opened"), None);
    }

    #[test]
    fn the_hard_limit_of_open_files_stays() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        raise_nofile();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    }
}
