//! A system call as a reader of a listing would name it: what is called, and on what.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use nix::libc;
use nix::unistd::Pid;

/// A kind of call, such as `openat /proc/kallsyms`, `fcntl getfd anon_inode:bpf-map` or `bpf prog_load whither_1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    number: i64,
    name: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What the last words of a name are.
#[derive(Clone, Copy)]
enum On {
    /// Nothing more.
    Nothing,
    /// The path that this argument points to.
    Path(usize),
    /// The file that this argument is open on.
    File(usize),
    /// The option that this argument is.
    Option(usize, &'static [(u64, &'static str)]),
    /// The option that argument 1 is, and the file that argument 0 is open on.
    FileOption(&'static [(u64, &'static str)]),
    /// The command of bpf(2), and the names in its attributes.
    Bpf,
}

/// `PR_*` (include/uapi/linux/prctl.h).
const PRCTL: &[(u64, &str)] =
    &[(4, "set_dumpable"), (15, "set_name"), (24, "capbset_drop"), (38, "set_no_new_privs"), (47, "cap_ambient")];
/// include/uapi/asm-generic/ioctls.h, include/uapi/linux/perf_event.h.
const IOCTL: &[(u64, &str)] =
    &[(0x5401, "tcgets"), (0x5413, "tiocgwinsz"), (0x2400, "perf_enable"), (0x4004_2408, "perf_set_bpf")];
/// include/uapi/linux/fcntl.h.
const FCNTL: &[(u64, &str)] = &[(1, "getfd"), (2, "setfd"), (3, "getfl"), (4, "setfl"), (1030, "dupfd_cloexec")];
/// `RLIMIT_*` (include/uapi/asm-generic/resource.h), the second argument.
const PRLIMIT: &[(u64, &str)] = &[(7, "nofile"), (8, "memlock")];

/// The calls that a start makes, and what each is on.
const CALLS: &[(i64, &str, On)] = &[
    (libc::SYS_bind, "bind", On::File(0)),
    (libc::SYS_bpf, "bpf", On::Bpf),
    (libc::SYS_capget, "capget", On::Nothing),
    (libc::SYS_capset, "capset", On::Nothing),
    (libc::SYS_clone, "clone", On::Nothing),
    (libc::SYS_clone3, "clone", On::Nothing),
    (libc::SYS_close, "close", On::File(0)),
    (libc::SYS_eventfd2, "eventfd2", On::Nothing),
    (libc::SYS_fcntl, "fcntl", On::FileOption(FCNTL)),
    (libc::SYS_fstat, "fstat", On::File(0)),
    (libc::SYS_fstatfs, "fstatfs", On::File(0)),
    (libc::SYS_getdents64, "getdents64", On::File(0)),
    (libc::SYS_ioctl, "ioctl", On::FileOption(IOCTL)),
    (libc::SYS_lseek, "lseek", On::File(0)),
    (libc::SYS_mmap, "mmap", On::File(4)),
    (libc::SYS_mremap, "mremap", On::Nothing),
    (libc::SYS_newfstatat, "fstatat", On::Path(1)),
    (libc::SYS_openat, "openat", On::Path(1)),
    (libc::SYS_perf_event_open, "perf_event_open", On::Nothing),
    (libc::SYS_prctl, "prctl", On::Option(0, PRCTL)),
    (libc::SYS_pread64, "pread64", On::File(0)),
    (libc::SYS_prlimit64, "prlimit64", On::Option(1, PRLIMIT)),
    (libc::SYS_read, "read", On::File(0)),
    (libc::SYS_readlinkat, "readlinkat", On::Path(1)),
    (libc::SYS_rt_sigaction, "rt_sigaction", On::Nothing),
    (libc::SYS_sched_getaffinity, "sched_getaffinity", On::Nothing),
    (libc::SYS_seccomp, "seccomp", On::Nothing),
    (libc::SYS_setsockopt, "setsockopt", On::File(0)),
    (libc::SYS_signalfd4, "signalfd4", On::Nothing),
    (libc::SYS_sigaltstack, "sigaltstack", On::Nothing),
    (libc::SYS_socket, "socket", On::Nothing),
    (libc::SYS_statfs, "statfs", On::Path(0)),
    (libc::SYS_statx, "statx", On::Path(1)),
];

/// `enum bpf_cmd` (include/uapi/linux/bpf.h): the commands that a start uses.
const BPF: &[(u64, &str)] = &[
    (0, "map_create"),
    (1, "map_lookup"),
    (2, "map_update"),
    (3, "map_delete"),
    (PROG_LOAD, "prog_load"),
    (10, "prog_run"),
    (11, "prog_next_id"),
    (13, "prog_by_id"),
    (15, "info_by_fd"),
    (RAW_TRACEPOINT_OPEN, "raw_tracepoint_open"),
    (18, "btf_load"),
    (19, "btf_by_id"),
    (23, "btf_next_id"),
    (28, "link_create"),
    (32, "enable_stats"),
];

/// bpf(2) that loads a program.
pub const PROG_LOAD: u64 = 5;
/// bpf(2) that attaches a program to a tracepoint, which it names, or by a trampoline.
const RAW_TRACEPOINT_OPEN: u64 = 17;

/// What stands for the name of a tracepoint in the call that attaches by a trampoline.
const TRAMPOLINE: &str = "trampoline";

impl Call {
    /// What `pid`, which is before call `number` with these arguments, calls.
    pub fn new(pid: Pid, number: i64, arguments: [u64; 6]) -> Call {
        let Some((_, name, on)) = CALLS.iter().find(|(known, ..)| *known == number) else {
            return Call { number, name: format!("call {number}") };
        };
        let file = |argument: usize| on_file(pid, arguments[argument] as i32);
        let more = match *on {
            On::Nothing => String::new(),
            On::Path(argument) => match text(pid, arguments[argument], 4096) {
                path if path.is_empty() => file(0),
                path => path,
            },
            On::File(argument) => file(argument),
            On::Option(argument, options) => option(options, arguments[argument]),
            On::FileOption(options) => format!("{} {}", option(options, arguments[1]), file(0)),
            On::Bpf => bpf(pid, arguments[0], arguments[1]),
        };
        let name = format!("{name} {more}").trim_end().to_owned();
        Call { number, name }
    }

    /// Whether it is bpf(2).
    pub fn is_bpf(&self) -> bool {
        self.number == libc::SYS_bpf
    }

    /// Whether it attaches a program by a trampoline.
    pub fn is_trampoline(&self) -> bool {
        self.is_bpf() && self.name.ends_with(TRAMPOLINE)
    }

    /// Whether a failure can be told from the outside, and is one that the kernel could give: not what it says on standard
    /// error, not the memory that the allocator asks for (it aborts), not random numbers and the time (the standard
    /// library wants them), not locks, not the mask of signals (the C library does not ask whether it was set), not the way out.
    pub fn may_fail(&self) -> bool {
        const NEVER: [i64; 14] = [
            libc::SYS_write,
            libc::SYS_getrandom,
            libc::SYS_futex,
            libc::SYS_exit,
            libc::SYS_exit_group,
            libc::SYS_brk,
            libc::SYS_munmap,
            libc::SYS_madvise,
            libc::SYS_mprotect,
            libc::SYS_sched_yield,
            libc::SYS_rt_sigprocmask,
            libc::SYS_rt_sigreturn,
            libc::SYS_restart_syscall,
            libc::SYS_clock_gettime,
        ];
        !NEVER.contains(&self.number)
    }
}

fn option(options: &[(u64, &str)], value: u64) -> String {
    let name = options.iter().find(|(known, _)| *known == value).map(|(_, name)| (*name).to_owned());
    name.unwrap_or_else(|| format!("{value:#x}"))
}

/// What `fd` of `pid` is open on, without the numbers of sockets, pipes and namespaces.
fn on_file(pid: Pid, fd: i32) -> String {
    match fd {
        ..0 => return "memory".to_owned(),
        0 => return "stdin".to_owned(),
        1 => return "stdout".to_owned(),
        2 => return "stderr".to_owned(),
        3.. => {}
    }
    let link = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap_or_default();
    let link = link.to_string_lossy();
    match link.split_once(":[") {
        Some((kind, _)) if kind != "anon_inode" => kind.to_owned(),
        _ => link.replace(&format!("/proc/{pid}/"), "/proc/PID/"),
    }
}

/// The command of bpf(2) and what it is about (`union bpf_attr`): the name of a map or program, a tracepoint, a link's kind.
fn bpf(pid: Pid, command: u64, attributes: u64) -> String {
    let name = option(BPF, command);
    let more = match command {
        0 => text(pid, attributes + 28, 16),
        PROG_LOAD => text(pid, attributes + 48, 16),
        RAW_TRACEPOINT_OPEN => match word(pid, attributes) {
            0 => TRAMPOLINE.to_owned(),
            at => text(pid, at, 128),
        },
        _ => String::new(),
    };
    format!("{name} {more}")
}

fn word(pid: Pid, at: u64) -> u64 {
    let mut bytes = [0; 8];
    let read = File::open(format!("/proc/{pid}/mem")).and_then(|memory| memory.read_exact_at(&mut bytes, at));
    read.map_or(0, |()| u64::from_ne_bytes(bytes))
}

/// The text at `at`, up to a NUL or `longest` bytes.
fn text(pid: Pid, at: u64, longest: usize) -> String {
    let mut bytes = vec![0; longest];
    // It is cut where the memory ends.
    let read = File::open(format!("/proc/{pid}/mem")).and_then(|memory| memory.read_at(&mut bytes, at));
    let text = bytes[..read.unwrap_or(0)].split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
