//! The recorded hosts of `tests/hosts`, complete: with what their kernels let programs do.

use std::io;
use std::path::Path;

use whither::btf::{Btf, Func};
use whither::cli::{self, Args, Backend, Command};
use whither::host::Roots;
use whither::host::features::Features;
use whither::host::survey::{Host, HostError};

use super::golden::split;

/// What a kernel can do, by experiment.
struct Kernel {
    name: &'static str,
    /// `bpf_rdonly_cast`.
    cast: bool,
    /// `bpf_get_attach_cookie`, and `bpf_get_current_task_btf`, which is older.
    cookie: bool,
    /// The ways in that attach.
    backends: &'static [Backend],
}

const NO_MULTI: &[Backend] = &[Backend::Kprobe, Backend::Fentry, Backend::Tracepoint];
const ALL: &[Backend] = &[Backend::KprobeMulti, Backend::Kprobe, Backend::Fentry, Backend::Tracepoint];

const KERNELS: [Kernel; 5] = [
    Kernel { name: "5.10-x86_64", cast: false, cookie: false, backends: NO_MULTI },
    Kernel { name: "6.1-x86_64", cast: false, cookie: true, backends: NO_MULTI },
    Kernel { name: "6.12-x86_64", cast: true, cookie: true, backends: ALL },
    Kernel { name: "7.2-x86_64", cast: true, cookie: true, backends: ALL },
    // Without kprobes, and locked down.
    Kernel { name: "6.18-x86_64", cast: true, cookie: true, backends: &[Backend::Tracepoint] },
];

fn kernel(host: &str) -> &'static Kernel {
    KERNELS.iter().find(|kernel| kernel.name == host).unwrap_or_else(|| panic!("there is no recorded host `{host}`"))
}

/// The ways in that attach on a host.
pub fn backends(host: &str) -> &'static [Backend] {
    kernel(host).backends
}

/// The flags of a command line without the program's name.
pub fn args(line: &str) -> Args {
    let words = ["whither".to_owned()].into_iter().chain(split(line));
    match cli::parse(words.map(Into::into)) {
        Ok(Command::Trace(args)) => *args,
        Ok(_) => panic!("{line}: does not trace"),
        Err(misuse) => panic!("{line}: {misuse}"),
    }
}

/// Reads a recorded host, as a run with `args` on it would. `without` names features that it is denied: `ring`,
/// `cast`, `read`, `cookie`, `task`, `fentry`.
pub fn host(name: &str, args: &Args, without: &[&str]) -> Result<Host, HostError> {
    let kernel = kernel(name);
    let roots = Roots::under(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts").join(name));
    let answer = |feature: &str, is_there: bool| match is_there && !without.contains(&feature) {
        true => Ok(()),
        false => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    };
    let features = |btf: &Btf, _| Features {
        ring_buffer: answer("ring", true),
        cast: answer("cast", kernel.cast).map(|()| btf.find::<Func>("bpf_rdonly_cast").expect("it is recorded").id().0),
        read_kernel: answer("read", true),
        cookie: answer("cookie", kernel.cookie),
        task: answer("task", kernel.cookie),
        fentry: args.may_use_fentry().then(|| answer("fentry", kernel.backends.contains(&Backend::Fentry))),
    };
    Host::with(args, &roots, None, 2, features)
}
