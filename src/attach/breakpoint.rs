//! Breakpoints of the processor in BPF programs: four for each CPU on x86_64, which all tools share.
//!
//! A breakpoint stops at every way into the code behind it, also where no trampoline can be. Its program runs as in an
//! NMI: what it needs must not wait for locks.

use crate::load::Program;
use crate::sys::perf_event;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Why there is no breakpoint.
#[derive(Debug)]
pub enum NoBreakpoint {
    /// All are taken.
    Taken,
    /// This kernel allows none in its own code.
    NoKprobes,
    /// The kernel says something else.
    Refused(io::Error),
}

impl fmt::Display for NoBreakpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoBreakpoint::Taken => f.write_str("none of the processor's breakpoints, of which there are four, is free"),
            NoBreakpoint::NoKprobes => f.write_str("a kernel without kprobes allows no breakpoint"),
            NoBreakpoint::Refused(error) => write!(f, "the kernel allows no breakpoint: {error}"),
        }
    }
}

impl From<io::Error> for NoBreakpoint {
    fn from(error: io::Error) -> NoBreakpoint {
        match error.raw_os_error() {
            Some(libc::ENOSPC) => NoBreakpoint::Taken,
            Some(libc::EINVAL) => NoBreakpoint::NoKprobes,
            _ => NoBreakpoint::Refused(error),
        }
    }
}

/// Has `program` run before the instruction at `address` does, on every CPU that is online; closing the result ends it.
/// Nothing must be at that address but this instruction until then.
pub fn attach(program: &Program, address: u64) -> Result<Vec<OwnedFd>, NoBreakpoint> {
    let mut events = Vec::new();
    for cpu in perf_event::online_cpus()? {
        match perf_event::open_breakpoint(address, cpu) {
            Ok(event) => events.push(event),
            // It went offline meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Not before all are there: what is not shown on all CPUs is not shown.
    events
        .iter()
        .try_for_each(|event| perf_event::set_bpf(event.as_fd(), program.fd.as_fd()).map_err(NoBreakpoint::Refused))?;
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_answers_are_sentences() {
        for (code, text) in [
            (libc::ENOSPC, "none of the processor's breakpoints, of which there are four, is free"),
            (libc::EINVAL, "a kernel without kprobes allows no breakpoint"),
            (libc::EPERM, "the kernel allows no breakpoint: Operation not permitted (os error 1)"),
        ] {
            assert_eq!(NoBreakpoint::from(io::Error::from_raw_os_error(code)).to_string(), text);
        }
    }
}
