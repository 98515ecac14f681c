//! Raw tracepoints (Linux 4.17): few points, but on every kernel and in every lockdown state.

use super::{AttachError, Hooks, Refused};
use crate::load::Loaded;
use crate::plan::{Backend, Plan};
use crate::sys::bpf;
use crate::sys::stop::Stop;
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;

/// Attaches every program to its tracepoint.
pub fn attach(loaded: &Loaded, plan: &Plan, stop: &Stop) -> Result<Hooks, AttachError> {
    let mut hooks = Hooks::new();
    for program in &loaded.programs {
        if stop.is_requested() {
            return Err(AttachError::Stopped);
        }
        for &target in &program.targets {
            let name =
                CString::new(plan.targets[target as usize].name.as_str()).map_err(|error| AttachError::Backend {
                    backend: Backend::Tracepoint,
                    what: "the name of a tracepoint",
                    error: io::Error::other(error),
                })?;
            match bpf::raw_tracepoint_open(program.fd.as_fd(), Some(&name)) {
                Ok(link) => {
                    hooks.links.push(link);
                    hooks.attached += 1;
                }
                Err(error) => hooks.refused.push(Refused { target, error }),
            }
        }
    }
    Ok(hooks)
}
