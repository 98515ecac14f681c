//! Programs in the running kernel: classic ones as socket filters, eBPF ones past the verifier and run there.
//!
//! All unsafe code of this crate's tests is here.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use filter_compiler::cbpf::{Insn, Program};

const _: () = assert!(size_of::<Insn>() == 8); // struct sock_filter

/// A classic program attached to a datagram socket; needs no privilege.
pub struct SocketFilter {
    sender: OwnedFd,
    receiver: OwnedFd,
}

#[repr(C)]
struct SockFprog {
    len: u16,
    filter: *const Insn,
}

impl SocketFilter {
    /// Gives `program` to the kernel, which may refuse it (see `Runner::Linux`).
    pub fn new(program: &Program) -> io::Result<SocketFilter> {
        let mut fds: [RawFd; 2] = [-1; 2];
        // SAFETY: the array takes the two descriptors that the call makes.
        check(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) })?;
        // SAFETY: the call made these descriptors and nothing else owns them.
        let [sender, receiver] = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        let prog = SockFprog { len: program.0.len() as u16, filter: program.0.as_ptr() };
        // SAFETY: `prog` and the instructions that it points to live through the call, which copies them.
        check(unsafe {
            libc::setsockopt(
                receiver.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const prog).cast(),
                size_of::<SockFprog>() as u32,
            )
        })?;
        Ok(SocketFilter { sender, receiver })
    }

    /// Whether the kernel lets the packet through.
    pub fn accepts(&self, packet: &[u8]) -> bool {
        // SAFETY: pointer and length are those of one slice.
        let sent = unsafe { libc::send(self.sender.as_raw_fd(), packet.as_ptr().cast(), packet.len(), 0) };
        let error = io::Error::last_os_error();
        // EPERM: how older kernels report that the filter rejected the datagram.
        assert!(sent >= 0 || error.raw_os_error() == Some(libc::EPERM), "send: {error}");
        let mut byte = [0u8; 1];
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: the buffer has the one byte that is announced.
        unsafe { libc::recv(self.receiver.as_raw_fd(), byte.as_mut_ptr().cast(), 1, flags) >= 0 }
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// `bpf(2)` with an attribute in 64-bit words; libc has no wrapper.
fn bpf(command: i64, attr: &mut [u64]) -> io::Result<i32> {
    // SAFETY: the attribute is as large as announced, and every pointer in it outlives the call: the callers below
    // make them from slices that they hold.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr)) };
    check(result as i32)
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: bpf(2) returned this new descriptor and nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Two 32-bit fields of an attribute, the first in memory first.
fn pair(first: u32, second: u32) -> u64 {
    let (a, b) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]])
}

/// Whether this process may load tracing programs at all.
pub fn may_load() -> bool {
    // Before Linux 5.11 maps and programs count as locked memory.
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the structure lives through the call, which only reads it. Where it is refused, loading may fail.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) };
    // r0 = 0; exit
    load(&[0xb7, 0x95]).is_ok()
}

/// Loads an eBPF program for raw tracepoints, which may read kernel memory. On refusal: the error and the verifier's
/// log.
pub fn load(slots: &[u64]) -> Result<OwnedFd, (io::Error, String)> {
    const BPF_PROG_LOAD: i64 = 5;
    const RAW_TRACEPOINT: u32 = 17;
    let license = c"GPL";
    let attempt = |log: &mut [u8]| {
        let (level, pointer) = if log.is_empty() { (0, 0) } else { (1, log.as_mut_ptr() as u64) };
        let mut attr = [
            pair(RAW_TRACEPOINT, slots.len() as u32),
            slots.as_ptr() as u64,
            license.as_ptr() as u64,
            pair(level, log.len() as u32),
            pointer,
            0,
        ];
        bpf(BPF_PROG_LOAD, &mut attr).map(owned)
    };
    // The verifier gives up with EAGAIN where its thread has something else to do.
    let is_busy = |loaded: &io::Result<OwnedFd>| loaded.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::EAGAIN));
    let mut loads = std::iter::repeat_with(|| attempt(&mut [])).take(5);
    loads.find(|loaded| !is_busy(loaded)).unwrap_or_else(|| attempt(&mut [])).map_err(|error| {
        let mut log = vec![0; 1 << 20];
        let _ = attempt(&mut log);
        let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
        (error, String::from_utf8_lossy(&log[..end]).into_owned())
    })
}

/// A map with one array element that programs and this process share.
pub struct Shared {
    fd: OwnedFd,
    size: usize,
}

impl Shared {
    /// A map with one element of `size` bytes, zeroed.
    pub fn new(size: usize) -> io::Result<Shared> {
        const BPF_MAP_CREATE: i64 = 0;
        const ARRAY: u32 = 2;
        let fd = bpf(BPF_MAP_CREATE, &mut [pair(ARRAY, 4), pair(size as u32, 1), 0, 0])?;
        Ok(Shared { fd: owned(fd), size })
    }

    /// The descriptor, as a program's `ld_imm64` names it.
    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Replaces the element.
    pub fn write(&self, value: &[u8]) -> io::Result<()> {
        const BPF_MAP_UPDATE_ELEM: i64 = 2;
        assert_eq!(value.len(), self.size);
        let key = 0u32;
        let mut attr = [pair(self.fd() as u32, 0), &raw const key as u64, value.as_ptr() as u64, 0];
        bpf(BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
    }
}

/// Runs a loaded raw tracepoint program once, now, and returns its R0 (since Linux 5.10).
pub fn run(program: &OwnedFd) -> io::Result<u32> {
    const BPF_PROG_TEST_RUN: i64 = 10;
    let mut attr = [pair(program.as_raw_fd() as u32, 0), 0, 0, 0, 0, 0, 0, 0, 0];
    bpf(BPF_PROG_TEST_RUN, &mut attr)?;
    Ok((attr[0] >> 32) as u32)
}

thread_local! {
    /// First and last-plus-one address that [`probe_read`] may read, and how often it was called.
    static READABLE: Cell<(u64, u64, u32)> = const { Cell::new((0, 0, 0)) };
}

/// Lets [`probe_read`] read `memory` and nothing else from now on, for this thread; sets its counter to 0.
pub fn make_readable(memory: &[u8]) {
    let start = memory.as_ptr() as u64;
    READABLE.set((start, start + memory.len() as u64, 0));
}

/// How often [`probe_read`] was called since [`make_readable`].
pub fn probe_reads() -> u32 {
    READABLE.get().2
}

/// `bpf_probe_read_kernel(dst, size, src)` for rbpf: outside of readable memory it zeroes `dst` and returns -EFAULT, as
/// the kernel's does.
pub fn probe_read(dst: u64, size: u64, src: u64, _: u64, _: u64) -> u64 {
    let (start, end, calls) = READABLE.get();
    READABLE.set((start, end, calls + 1));
    let size = size as u32 as usize;
    let fits = src >= start && src.checked_add(size as u64).is_some_and(|last| last <= end);
    // SAFETY: `dst` is what the program under test passed: an address in rbpf's stack, and the program was loaded by
    // the kernel's verifier, or reviewed, for staying in it. `src..src + size` lies inside the slice that
    // `make_readable` was given, which its caller keeps alive during the run.
    unsafe {
        if fits {
            std::ptr::copy(src as *const u8, dst as *mut u8, size);
            0
        } else {
            std::ptr::write_bytes(dst as *mut u8, 0, size);
            -(libc::EFAULT as i64) as u64
        }
    }
}
