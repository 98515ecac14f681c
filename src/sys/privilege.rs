//! Giving up privileges: capabilities(7), prctl(2), seccomp(2). All but [`filter_calls`] is about the calling thread.

use super::check;
use std::io;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`: 32 bits of each set.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two [`Data`].
const VERSION: u32 = 0x2008_0522;

const SYS_ADMIN: u64 = 1 << 21;
/// CAP_PERFMON and CAP_BPF (Linux 5.8).
const TRACING: u64 = 3 << 38;

/// Keeps of the capabilities of this thread those whose bits are set in `kept`, and CAP_SYS_ADMIN if it stands for one of
/// them; none is gained. The bounding set, which is for programs that are executed, is emptied where that is allowed
/// (CAP_SETPCAP), the ambient set always.
pub fn keep(mut kept: u64) -> io::Result<()> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 reads the header and writes two structures of data.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    let permitted = u64::from(data[1].permitted) << 32 | u64::from(data[0].permitted);
    if kept & TRACING & !permitted != 0 {
        kept |= SYS_ADMIN;
    }
    for capability in 0..64 {
        // SAFETY: the option takes a number.
        // EINVAL is the end of the capabilities that this kernel has; EPERM is the answer for all of them.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            break;
        }
    }
    // SAFETY: the option takes numbers.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    for (half, data) in data.iter_mut().enumerate() {
        data.permitted &= (kept >> (32 * half)) as u32;
        data.effective = data.permitted;
        data.inheritable = 0;
    }
    // SAFETY: as above; both are only read.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) }).map(drop)
}

/// Lets no program that this process executes have more privileges than it, and nobody of the same user look into it.
pub fn close_up() -> io::Result<()> {
    // SAFETY: the options take numbers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())?;
    // SAFETY: as above.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }.into()).map(drop)
}

/// Has `filter` decide on every system call of every thread from now on. Needs [`close_up`]. Since Linux 3.17.
pub fn filter_calls(filter: &[libc::sock_filter]) -> io::Result<()> {
    let len = filter.len().try_into().map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program is read during the call.
    let thread = check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    })?;
    if thread == 0 { Ok(()) } else { Err(io::Error::other(format!("thread {thread} has a filter of its own"))) }
}
