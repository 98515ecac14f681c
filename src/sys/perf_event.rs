//! `perf_event_open(2)`: kprobes by address or name, breakpoints of the processor, and the perf buffers that carry records
//! below Linux 5.8.
//!
//! Mirrors `include/uapi/linux/perf_event.h`.

use super::check;
use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `struct perf_event_attr` up to PERF_ATTR_SIZE_VER5.
#[repr(C)]
#[derive(Default)]
struct Attr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
    config2: u64,
    branch_sample_type: u64,
    sample_regs_user: u64,
    sample_stack_user: u32,
    clockid: i32,
    sample_regs_intr: u64,
    aux_watermark: u32,
    sample_max_stack: u16,
    reserved: u16,
}
const _: () = assert!(size_of::<Attr>() == 112);

const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_TYPE_BREAKPOINT: u32 = 5;
/// Stops before an instruction (include/uapi/linux/hw_breakpoint.h); the length must be that of a word.
const HW_BREAKPOINT_X: u32 = 4;
const PERF_COUNT_SW_BPF_OUTPUT: u64 = 10;
const PERF_SAMPLE_RAW: u64 = 1 << 10;
const FLAG_WATERMARK: u64 = 1 << 14;
const PERF_FLAG_FD_CLOEXEC: libc::c_long = 8;

const IOC_ENABLE: libc::Ioctl = 0x2400;
const IOC_DISABLE: libc::Ioctl = 0x2401;
const IOC_SET_BPF: libc::Ioctl = 0x4004_2408;

fn open(attr: &Attr, pid: libc::pid_t, cpu: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: `attr` is a valid attribute of the size that it states; pointers in it live over the call.
    let fd = check(unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            attr as *const Attr,
            pid,
            cpu,
            -1 as libc::c_long,
            PERF_FLAG_FD_CLOEXEC,
        )
    })?;
    // SAFETY: the call returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Where a kprobe goes.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// The instruction at this kernel address.
    Address(u64),
    /// The entry of the function of this name; EADDRNOTAVAIL if several have it.
    Symbol(&'a CStr),
}

/// Opens a kprobe as a perf event; `pmu` is the number in `/sys/bus/event_source/devices/kprobe/type`.
/// Since Linux 4.17.
pub fn open_kprobe(pmu: u32, place: Place<'_>) -> io::Result<OwnedFd> {
    let (config1, config2) = match place {
        Place::Address(address) => (0, address),
        Place::Symbol(name) => (name.as_ptr() as u64, 0),
    };
    let attr = Attr { kind: pmu, size: size_of::<Attr>() as u32, config1, config2, ..Attr::default() };
    open(&attr, -1, 0)
}

/// Opens a breakpoint of the processor `cpu` at the instruction at this kernel address; every hit is an event. Needs
/// CAP_SYS_ADMIN.
///
/// ENOSPC if none is free, EINVAL where the kernel lets nobody stop: anywhere without CONFIG_KPROBES
/// (`arch_build_bp_info`, arch/x86/kernel/hw_breakpoint.c).
pub fn open_breakpoint(address: u64, cpu: u32) -> io::Result<OwnedFd> {
    let attr = Attr {
        kind: PERF_TYPE_BREAKPOINT,
        size: size_of::<Attr>() as u32,
        sample_period: 1,
        bp_type: HW_BREAKPOINT_X,
        // They share their place with `bp_addr` and `bp_len`.
        config1: address,
        config2: size_of::<usize>() as u64,
        ..Attr::default()
    };
    open(&attr, -1, cpu as libc::c_int)
}

/// The CPUs that run now (`/sys/devices/system/cpu/online`).
pub fn online_cpus() -> io::Result<Vec<u32>> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    cpu_list(text.trim()).ok_or_else(|| io::Error::other(format!("/sys/devices/system/cpu/online holds {text:?}")))
}

/// Numbers and ranges, such as `0-3` or `0,2-7`.
fn cpu_list(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?);
    }
    Some(cpus)
}

/// Opens the event through which `bpf_perf_event_output` reaches user space from `cpu`; readers are woken after
/// `wakeup_bytes`.
pub fn open_bpf_output(cpu: u32, wakeup_bytes: u32) -> io::Result<OwnedFd> {
    let attr = Attr {
        kind: PERF_TYPE_SOFTWARE,
        size: size_of::<Attr>() as u32,
        config: PERF_COUNT_SW_BPF_OUTPUT,
        sample_period: 1,
        sample_type: PERF_SAMPLE_RAW,
        flags: FLAG_WATERMARK,
        wakeup_events: wakeup_bytes,
        ..Attr::default()
    };
    open(&attr, -1, cpu as libc::c_int)
}

fn ioctl(event: BorrowedFd<'_>, request: libc::Ioctl, argument: libc::c_int) -> io::Result<()> {
    // SAFETY: the three requests used here take an integer argument or none.
    check(unsafe { libc::ioctl(event.as_raw_fd(), request, argument) }.into()).map(drop)
}

/// Lets `event` run `prog`. The program stays attached until the event is closed.
pub fn set_bpf(event: BorrowedFd<'_>, prog: BorrowedFd<'_>) -> io::Result<()> {
    ioctl(event, IOC_SET_BPF, prog.as_raw_fd())
}

/// Starts `event`.
pub fn enable(event: BorrowedFd<'_>) -> io::Result<()> {
    ioctl(event, IOC_ENABLE, 0)
}

/// Stops `event` at once; the probe stays in place until it is closed.
pub fn disable(event: BorrowedFd<'_>) -> io::Result<()> {
    ioctl(event, IOC_DISABLE, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(cpu_list("0"), Some(vec![0]));
        assert_eq!(cpu_list("0,2-4,9"), Some(vec![0, 2, 3, 4, 9]));
        assert_eq!(cpu_list(""), None);
        assert_eq!(cpu_list("0-"), None);
    }
}
