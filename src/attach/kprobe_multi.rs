//! kprobe-multi: one link for all functions of a program (Linux 5.18, CONFIG_FPROBE).

use super::{AttachError, Hooks, Refused};
use crate::load::Loaded;
use crate::plan::{Backend, Plan};
use crate::program::cookie;
use crate::sys::bpf::{self, ProgType, Site};
use crate::sys::stop::Stop;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Attaches every program to all its targets, leaving out those that the kernel refuses.
pub fn attach(loaded: &Loaded, plan: &Plan, stop: &Stop) -> Result<Hooks, AttachError> {
    let mut hooks = Hooks::of(loaded);
    for program in loaded.programs.iter().filter(|program| program.kind == ProgType::Kprobe) {
        let sites: Vec<(u32, Site)> = program
            .targets
            .iter()
            .flat_map(|&index| {
                let target = &plan.targets[index as usize];
                let cookie = cookie(index, target);
                target.addresses.iter().map(move |&address| (index, Site { address, cookie }))
            })
            .collect();
        link(program.fd.as_fd(), &sites, &mut hooks, stop)?;
    }
    Ok(hooks)
}

/// One link for `sites`. One bad address fails a whole link with EINVAL, so the list is halved until the bad ones
/// are alone.
pub(super) fn link(
    program: BorrowedFd<'_>,
    sites: &[(u32, Site)],
    hooks: &mut Hooks,
    stop: &Stop,
) -> Result<(), AttachError> {
    let good = good(program, sites, hooks, stop)?;
    // Halving made links of their own only to find the bad ones: attach the good ones together.
    let merged: Vec<Site> = good.iter().flat_map(|(part, _)| part.iter().map(|&(_, site)| site)).collect();
    let attached = merged.len();
    let links: Vec<OwnedFd> = good.into_iter().map(|(_, link)| link).collect();
    if links.len() > 1 {
        drop(links);
        let link = bpf::link_kprobe_multi(program, &merged).map_err(refused)?;
        hooks.links.push(link);
    } else {
        hooks.links.extend(links);
    }
    hooks.attached += attached;
    Ok(())
}

type Part<'a> = (&'a [(u32, Site)], OwnedFd);

fn good<'a>(
    program: BorrowedFd<'_>,
    sites: &'a [(u32, Site)],
    hooks: &mut Hooks,
    stop: &Stop,
) -> Result<Vec<Part<'a>>, AttachError> {
    if stop.is_requested() {
        return Err(AttachError::Stopped);
    }
    if sites.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<Site> = sites.iter().map(|&(_, site)| site).collect();
    match bpf::link_kprobe_multi(program, &list) {
        Ok(link) => Ok(vec![(sites, link)]),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && sites.len() > 1 => {
            let (left, right) = sites.split_at(sites.len() / 2);
            let mut parts = good(program, left, hooks, stop)?;
            parts.extend(good(program, right, hooks, stop)?);
            Ok(parts)
        }
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            hooks.refused.push(Refused { target: sites[0].0, error });
            Ok(Vec::new())
        }
        Err(error) => Err(refused(error)),
    }
}

fn refused(error: io::Error) -> AttachError {
    AttachError::Backend { backend: Backend::KprobeMulti, what: "creating the link", error }
}
