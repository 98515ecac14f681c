//! fentry (Linux 5.5 on x86_64, 6.0 on arm64), one trampoline for each function, and tracepoints: raw ones (Linux 4.17)
//! on every kernel and in every lockdown state, typed ones (5.5) where nothing else may be read.

use super::{AttachError, Hooks, Refused};
use crate::load::Loaded;
use crate::plan::maps::Maps;
use crate::plan::{Backend, Memory, Plan};
use crate::sys::bpf;
use crate::sys::stop::Stop;
use std::ffi::CString;
use std::os::fd::AsFd;

/// Attaches the programs for functions that work on maps, which take fentry whatever the backend is.
pub fn maps(loaded: &Loaded, maps: &Maps, hooks: &mut Hooks) {
    for program in &loaded.programs {
        for &target in program.targets.iter().filter(|&&target| maps.has(target)) {
            match bpf::raw_tracepoint_open(program.fd.as_fd(), None) {
                Ok(link) => {
                    hooks.links.push(link);
                    hooks.attached += 1;
                }
                Err(error) => hooks.refused.push(Refused { target, error }),
            }
        }
    }
}

/// Attaches every program to what it was loaded for.
pub fn attach(loaded: &Loaded, plan: &Plan, stop: &Stop) -> Result<Hooks, AttachError> {
    let mut hooks = Hooks::of(loaded);
    let mut functions = 0;
    for program in &loaded.programs {
        if stop.is_requested() {
            return Err(AttachError::Stopped);
        }
        for &index in &program.targets {
            let target = &plan.targets[index as usize];
            let named = target.is_tracepoint && plan.memory != Memory::Direct;
            // Names come from BTF, where they end at a NUL.
            let name = named.then(|| CString::new(target.name.as_str()).unwrap_or_default());
            match bpf::raw_tracepoint_open(program.fd.as_fd(), name.as_deref()) {
                Ok(link) => {
                    hooks.links.push(link);
                    hooks.attached += 1;
                    functions += usize::from(!target.is_tracepoint);
                }
                Err(error) => hooks.refused.push(Refused { target: index, error }),
            }
        }
    }
    if plan.backend == Backend::Fentry && functions == 0 {
        // What is left is the next way in, which has all tracepoints and says so.
        hooks.attached = 0;
        hooks.refused.sort_by_key(|refused| !plan.targets[refused.target as usize].is_tracepoint);
    }
    Ok(hooks)
}
