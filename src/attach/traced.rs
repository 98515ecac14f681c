//! fentry on BPF programs: whether it works here, and one link for each.

use crate::load::Program;
use crate::sys::bpf;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Attaches a program to the BPF program that it was loaded for; closing the result detaches it.
pub fn attach(program: &Program) -> io::Result<OwnedFd> {
    bpf::raw_tracepoint_open(program.fd.as_fd(), None)
}
