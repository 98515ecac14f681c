//! The system calls that a run makes once everything is attached; all others get EPERM, which ends nothing.
//!
//! Numbers are those of the C library's headers for this architecture, so a call that it does not have is not in the list.

use super::Feature;
use filter_compiler::cbpf::{Insn, Packet, Program, op};

/// `seccomp_data` (include/uapi/linux/seccomp.h): the number of the call, the architecture, the low half of the first
/// argument.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const FIRST: u32 = 16;

/// `AUDIT_ARCH_X86_64`, `AUDIT_ARCH_AARCH64` (include/uapi/linux/audit.h).
#[cfg(target_arch = "x86_64")]
const THIS_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const THIS_ARCH: u32 = 0xc000_00b7;

/// Calls for every run, those that are made often in front.
const CALLS: &[libc::c_long] = &[
    // Lines, records, waiting.
    libc::SYS_write,
    libc::SYS_futex,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_sched_yield,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_membarrier,
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    // Names: files of /proc and /run, and network namespaces.
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_lseek,
    libc::SYS_setns,
    libc::SYS_socket,
    libc::SYS_bind,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_setsockopt,
    libc::SYS_getsockname,
    // Files that are rotated, packed, removed and opened again; what standard output is.
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    libc::SYS_faccessat,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fcntl,
    libc::SYS_ioctl,
    libc::SYS_dup,
    libc::SYS_getcwd,
    // Threads, and the children that remove probes.
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sigaltstack,
    libc::SYS_sched_getaffinity,
    libc::SYS_prctl,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_pipe2,
    libc::SYS_setsid,
    libc::SYS_close_range,
    // Signals, and the end, a panic's included.
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigreturn,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_getrandom,
    libc::SYS_setpriority,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What glibc calls on this architecture instead of the newer calls above.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] =
    &[libc::SYS_readlink, libc::SYS_rename, libc::SYS_unlink, libc::SYS_mkdir, libc::SYS_access, libc::SYS_poll];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];

/// For [`Feature::Functions`], a kprobe of its own for each; for [`Feature::TailCalls`], breakpoints.
const PROBING: &[libc::c_long] = &[libc::SYS_perf_event_open];
/// For [`Feature::Functions`], which ends before the run: a second filter then takes what it had.
const FILTERING: &[libc::c_long] = &[libc::SYS_seccomp];

/// `enum bpf_cmd`: look up and change an element, ask about a program.
const COUNTING: &[u32] = &[1, 2, 15];
/// Also: make a map, load a program, run it, ask for programs and type information by number, attach to raw tracepoints and functions, link.
const LOADING: &[u32] = &[0, 5, 10, 11, 13, 17, 19, 23, 28];

/// For [`Feature::TailCalls`]: ask for maps by number.
const ARRAYS: &[u32] = &[12, 14];

/// The commands of bpf(2) for `features`.
fn commands(features: &[Feature]) -> Vec<u32> {
    let loads = features.contains(&Feature::Programs) || features.contains(&Feature::Functions);
    let more = if loads { LOADING } else { &[] };
    let arrays = if features.contains(&Feature::TailCalls) { ARRAYS } else { &[] };
    [COUNTING, more, arrays].concat()
}

/// The program that decides.
pub fn filter(features: &[Feature]) -> Program {
    let probes = features.contains(&Feature::Functions) || features.contains(&Feature::TailCalls);
    let probing = if probes { PROBING } else { &[] };
    let filtering = if features.contains(&Feature::Functions) { FILTERING } else { &[] };
    let calls: Vec<u32> = [CALLS, OLDER, probing, filtering].concat().into_iter().map(|number| number as u32).collect();
    let commands = commands(features);
    let allow = 3 + calls.len() + 2 + commands.len() + 1;
    let deny = allow - 1;
    let mut code = Vec::with_capacity(allow + 1);
    let jump = |code: &mut Vec<Insn>, value: u32, yes: Option<usize>, no: Option<usize>| {
        let next = code.len() + 1;
        let far = |target: Option<usize>| target.map_or(0, |target| (target - next) as u8);
        code.push(Insn::jump(op::JEQ, value, far(yes), far(no)));
    };
    let load = |offset| Insn::new(op::LD | op::W | op::ABS, offset);
    code.push(load(ARCH));
    jump(&mut code, THIS_ARCH, None, Some(deny));
    code.push(load(NUMBER));
    for number in calls {
        jump(&mut code, number, Some(allow), None);
    }
    jump(&mut code, libc::SYS_bpf as u32, None, Some(deny));
    code.push(load(FIRST));
    for command in commands {
        jump(&mut code, command, Some(allow), None);
    }
    code.push(Insn::new(op::RET, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
    code.push(Insn::new(op::RET, libc::SECCOMP_RET_ALLOW));
    Program(code)
}

/// Whether a run with `features` may make this call, by running the program.
pub fn allows(features: &[Feature], number: i64, first: u64) -> bool {
    // The interpreter reads numbers in the order of the network, the kernel in its own.
    let words = [number as u32, THIS_ARCH, 0, 0, first as u32, (first >> 32) as u32];
    let data: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    filter(features).run(&Packet::whole(&data)).value == libc::SECCOMP_RET_ALLOW
}

#[cfg(test)]
mod tests {
    use super::*;
    use filter_compiler::cbpf::Runner;

    const TRACING: &[Feature] = &[Feature::Tracing];

    #[test]
    fn the_kernel_would_take_it() {
        for features in [TRACING, &[Feature::Programs, Feature::TailCalls, Feature::Functions]] {
            let program = filter(features);
            program.check(Runner::Linux).expect("every jump lands inside");
            // Distances are bytes.
            assert!(program.0.len() < 256, "{} instructions", program.0.len());
        }
    }

    #[test]
    fn only_what_is_listed_passes() {
        for number in [libc::SYS_write, libc::SYS_exit_group, libc::SYS_setns] {
            assert!(allows(TRACING, number, 0), "{number}");
        }
        for number in
            [libc::SYS_execve, libc::SYS_execveat, libc::SYS_ptrace, libc::SYS_init_module, libc::SYS_mount, -1]
        {
            assert!(!allows(TRACING, number, 0), "{number}");
        }
        assert!(!allows(TRACING, libc::SYS_seccomp, 0) && allows(&[Feature::Functions], libc::SYS_seccomp, 0));
        // The second way in of x86_64, where numbers mean other calls (`__X32_SYSCALL_BIT`).
        assert!(!allows(TRACING, libc::SYS_write | 0x4000_0000, 0));
    }

    #[test]
    fn programs_are_loaded_only_where_some_may_come() {
        const MAP_LOOKUP: u64 = 1;
        const PROG_LOAD: u64 = 5;
        assert!(allows(TRACING, libc::SYS_bpf, MAP_LOOKUP) && !allows(TRACING, libc::SYS_bpf, PROG_LOAD));
        assert!(allows(&[Feature::Programs], libc::SYS_bpf, PROG_LOAD));
        assert!(!allows(TRACING, libc::SYS_bpf, 0));
    }

    #[test]
    fn another_architecture_gets_nothing() {
        let words = [libc::SYS_write as u32, !THIS_ARCH, 0, 0, 0, 0];
        let data: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let value = filter(TRACING).run(&Packet::whole(&data)).value;
        assert_eq!(value, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
    }
}
