//! Which calls of a start a run can do without, and why.
//!
//! Any other call that fails ends the run with one sentence and status 1.

use super::super::traced::Call;

/// Calls that a run can do without.
pub struct Without {
    /// Their name, as [`Call`] shows it; `*` stands for anything.
    call: &'static str,
    /// Why.
    #[allow(dead_code)] // for readers
    why: &'static str,
    /// What is said of it.
    pub says: Says,
}

/// What a run says that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// All that it says without the fault, and nothing more.
    Same,
    /// Also this, which is not said without the fault.
    Also(&'static str),
    /// Also one of these: which depends on the host.
    Either(&'static str, &'static str),
    /// One or the other: whether it matters depends on the host.
    SameOr(&'static str),
}

/// What `call` is in, the longest name first that fits.
pub fn find(call: &Call) -> Option<&'static Without> {
    let name = call.to_string();
    let fits = |without: &&Without| match without.call.split_once('*') {
        Some((start, end)) => name.starts_with(start) && name.ends_with(end),
        None => name == without.call,
    };
    WITHOUT.iter().filter(fits).max_by_key(|without| without.call.len())
}

const fn same(call: &'static str, why: &'static str) -> Without {
    Without { call, why, says: Says::Same }
}

const fn also(call: &'static str, says: &'static str, why: &'static str) -> Without {
    Without { call, why, says: Says::Also(says) }
}

const fn same_or(call: &'static str, says: &'static str, why: &'static str) -> Without {
    Without { call, why, says: Says::SameOr(says) }
}

const fn either(call: &'static str, one: &'static str, other: &'static str, why: &'static str) -> Without {
    Without { call, why, says: Says::Either(one, other) }
}

const WITHOUT: &[Without] = &[
    // Nothing depends on the answer.
    same("close *", "the descriptor is gone whatever the kernel says (close(2))"),
    same("fcntl getfd *", "the standard library's check of a descriptor that it closes, in debug builds"),
    same("fcntl setfd *", "musl's, for programs that are executed, and there are none"),
    same("ioctl tcgets *", TERMINAL),
    same("ioctl tiocgwinsz *", TERMINAL),
    same("rt_sigaction", "the C library's, for a signal of its own"),
    same("mmap memory", "the allocator's, which has other places; without a thread's stack the run ends"),
    same("read anon_inode:[signalfd]", "the question whether a signal came, which is asked again"),
    same("prlimit64 nofile", "a limit that is too low is told by what cannot be had"),
    same_or("prlimit64 memlock", "buffers for each CPU", "the same, below Linux 5.11"),
    same("statx *", LENGTH),
    same("fstat *", LENGTH),
    // Facts that are had elsewhere, too.
    same("* /proc/sys/kernel/osrelease", "only the name of the kernel"),
    same("* /sys/kernel/security/lockdown", "what is forbidden is found by trying; this is for the reasons told"),
    same("* /sys/kernel/btf/vmlinux", "where it cannot be mapped it is read"),
    same("openat /proc/self/fd/1", "standard output is used as it was given then"),
    same("bpf map_create whither_names", RESOLVE),
    same("bpf map_update", RESOLVE),
    same("bpf map_lookup", RESOLVE),
    same("bpf prog_load whither_resolve", RESOLVE),
    same("bpf prog_run", RESOLVE),
    same("openat /sys/kernel/tracing/available_filter_functions*", "there are two lists at two places"),
    same("openat /sys/kernel/debug/tracing/available_filter_functions*", "there are two lists at two places"),
    also("clone", "is not used: no thread: ", "the kernel's types and symbols are enough"),
    // The next way in, the next way to read memory.
    same_or("bpf map_create whither_try", "buffers for each CPU, whose events are not in order", "perf buffers"),
    same_or("bpf prog_load try_cast", "memory read by bpf_probe_read_kernel", "the next way to read memory"),
    same_or("bpf prog_load try_read", "memory read by typed loads", "the next way to read memory"),
    same("bpf prog_load try_task", "the process is read as other memory is"),
    same_or("bpf prog_load try_cookie", "Tracing by kprobe, memory", "then neither kprobe-multi nor fentry"),
    same_or("bpf prog_load try_fentry", NO_FENTRY, "then no fentry"),
    same("bpf prog_load *", "loaded again, then with the verifier's log"),
    same_or("bpf link_create", "; not kprobe-multi: creating the link: ", "the next way in"),
    same_or("* /proc/kallsyms", "functions have no addresses here: ", "ways in that need no addresses"),
    also("openat /sys/bus/event_source/devices/kprobe/type", NO_KPROBE, "the next way in"),
    also("read /sys/devices/kprobe/type", NO_KPROBE, "the next way in"),
    PROBE,
    also("ioctl perf_set_bpf *", "; not kprobe: opening a probe: ", "the next way in"),
    same_or("fcntl dupfd_cloexec anon_inode:bpf-prog", "; not kprobe: copying a descriptor: ", "the next way in"),
    also("ioctl perf_enable *", REFUSED, "the others are traced"),
    also("bpf raw_tracepoint_open *", REFUSED, "the others are traced"),
    TRAMPOLINE,
    // Privileges that nothing needs any more.
    also("capget", CAPABILITIES, "given up for safety alone"),
    also("capset", CAPABILITIES, "given up for safety alone"),
    same("prctl capbset_drop", "for programs that are executed, and the filter forbids execve(2)"),
    same("prctl cap_ambient", "for programs that are executed, and the filter forbids execve(2)"),
    also("prctl set_no_new_privs", CALLS, "given up for safety alone"),
    also("prctl set_dumpable", CALLS, "given up for safety alone"),
    also("seccomp", CALLS, "given up for safety alone"),
    // Names.
    also("socket", RENAMED, "names are asked for again every 5 s"),
    also("setsockopt socket", RENAMED, "names are asked for again every 5 s"),
    also("bind socket", RENAMED, "names are asked for again every 5 s"),
];

const TRAMPOLINE: Without = match cfg!(target_arch = "aarch64") {
    false => also("bpf raw_tracepoint_open trampoline", "1 by kprobes where fentry is refused", "it has a kprobe then"),
    // The first is a try there.
    true => same_or("bpf raw_tracepoint_open trampoline", NO_FENTRY, "then no fentry"),
};

const PROBE: Without = match cfg!(target_arch = "aarch64") {
    false => also("perf_event_open", "; not kprobe: opening a probe: ", "the next way in"),
    // Seen on 6.1, where no function has a trampoline: one of the two is refused, and the run goes on with the other.
    true => either("perf_event_open", "; not kprobe: opening a probe: ", REFUSED, "the next way in, or the others"),
};

const NO_FENTRY: &str = "Tracing by kprobe, memory";
const TERMINAL: &str = "the question whether this is a terminal, to which an error is a no";
const LENGTH: &str = "the length of a file, for a buffer of the right size";
const RESOLVE: &str = "addresses of few functions, which are in /proc/kallsyms, too";
const NO_KPROBE: &str = "; not kprobe: /sys/bus/event_source/devices/kprobe/type: ";
const REFUSED: &str = "1 refused by the kernel";
const CAPABILITIES: &str = "note: the run keeps all capabilities: ";
const CALLS: &str = "note: the run keeps all system calls: ";
const RENAMED: &str = "note: an interface that is renamed may have its old name for 5 s: ";
