//! fentry: one trampoline for each function (Linux 5.5 on x86_64, 6.0 on arm64).

use super::{AttachError, Hooks, Refused};
use crate::load::Loaded;
use crate::sys::bpf;
use crate::sys::stop::Stop;
use std::os::fd::AsFd;

/// Attaches every program to the function that it was loaded for.
pub fn attach(loaded: &Loaded, stop: &Stop) -> Result<Hooks, AttachError> {
    let mut hooks = Hooks::new();
    for program in &loaded.programs {
        if stop.is_requested() {
            return Err(AttachError::Stopped);
        }
        match bpf::raw_tracepoint_open(program.fd.as_fd(), None) {
            Ok(link) => {
                hooks.links.push(link);
                hooks.attached += 1;
            }
            Err(error) => hooks.refused.extend(program.targets.first().map(|&target| Refused { target, error })),
        }
    }
    Ok(hooks)
}
