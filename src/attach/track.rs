//! The hooks that follow packets.

use super::kprobe;
use super::{AttachError, Hooks};
use crate::load::Loaded;
use crate::load::{LoadError, Program};
use crate::plan::track::{By, Tracker};
use crate::plan::{Backend, Plan};
use crate::sys::bpf::{self, Site};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Attaches all trackers. Those that the kernel refuses are noted, unless packets would be lost sight of without them.
pub fn attach(loaded: &Loaded, plan: &Plan, hooks: &mut Hooks) -> Result<(), AttachError> {
    let Some(tracking) = &plan.tracking else { return Ok(()) };
    let pmu = match (tracking.by, plan.backend) {
        (By::Probes, Backend::Kprobe) => kprobe::pmu()?,
        _ => 0,
    };
    let mut first = None;
    for (index, (tracker, program)) in (0u32..).zip(tracking.trackers.iter().zip(&loaded.trackers)) {
        match one(tracker, program, tracking.by, plan.backend, pmu) {
            Ok(links) => hooks.links.extend(links),
            Err(error) => {
                hooks.blind.push(index);
                first = first.or(Some(error));
            }
        }
    }
    match first {
        Some(error) if !tracking.is_sound(&hooks.blind) => {
            Err(AttachError::Backend { backend: plan.backend, what: "following packets", error })
        }
        _ => Ok(()),
    }
}

fn one(
    tracker: &Tracker,
    program: &Result<Program, LoadError>,
    by: By,
    backend: Backend,
    pmu: u32,
) -> io::Result<Vec<OwnedFd>> {
    let fd = match program {
        Ok(program) => program.fd.as_fd(),
        Err(error) => return Err(io::Error::other(error.to_string())),
    };
    let target = &tracker.target;
    let link = match by {
        By::Fentry => bpf::raw_tracepoint_open(fd, None)?,
        By::Tracepoints => {
            let name = CString::new(target.name.as_str()).map_err(io::Error::other)?;
            bpf::raw_tracepoint_open(fd, Some(&name))?
        }
        By::Probes if backend == Backend::KprobeMulti => {
            let sites: Vec<Site> = target.addresses.iter().map(|&address| Site { address, cookie: 1 }).collect();
            bpf::link_kprobe_multi(fd, &sites)?
        }
        By::Probes => {
            let probe = |&address: &u64| Ok(kprobe::without_cookie(pmu, address, fd)?.into_fds());
            let probes: io::Result<Vec<_>> = target.addresses.iter().map(probe).collect();
            return Ok(probes?.into_iter().flatten().collect());
        }
    };
    Ok(vec![link])
}
