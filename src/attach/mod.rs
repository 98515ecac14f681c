//! Programs become live: one backend per file, all of one shape. Dropping [`Hooks`] detaches.

pub mod breakpoint;
mod kprobe;
mod kprobe_multi;
mod more;
pub mod traced;
mod tracing;
mod track;

use crate::load::Loaded;
use crate::plan::{Backend, Plan};
use crate::sys::stop::Stop;
use crate::sys::{bpf, process};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// What is attached.
#[derive(Debug)]
pub struct Hooks {
    /// Links that end when closed.
    links: Vec<OwnedFd>,
    /// Probes that are still being attached in the background.
    background: Option<kprobe::Background>,
    refused: Vec<Refused>,
    not_by_fentry: Vec<Refused>,
    attached: usize,
    /// Hooks that packets are not followed through: indices into the plan's trackers.
    blind: Vec<u32>,
}

/// One of the links of [`Hooks`].
#[derive(Debug)]
pub struct Kept(RawFd);

/// A target that the kernel did not let us attach to.
#[derive(Debug)]
pub struct Refused {
    /// Index into the plan's targets.
    pub target: u32,
    /// The kernel's answer.
    pub error: io::Error,
}

/// Why nothing could be attached.
#[derive(Debug)]
pub enum AttachError {
    /// The kernel does not have this way in, or not for us.
    Backend {
        /// The way in.
        backend: Backend,
        /// What was tried.
        what: &'static str,
        /// The kernel's answer.
        error: io::Error,
    },
    /// Every single target was refused.
    Nothing {
        /// The way in.
        backend: Backend,
        /// How many targets.
        count: usize,
        /// The kernel's answer to the first.
        error: io::Error,
    },
    /// The end was asked for.
    Stopped,
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttachError::Backend { backend, what, error } => write!(f, "{backend} does not work here: {what}: {error}"),
            AttachError::Nothing { backend, count: 1, error } => {
                write!(f, "{backend} could not attach to the only function: {error}")
            }
            AttachError::Stopped => f.write_str("stopped while functions were attached"),
            AttachError::Nothing { backend, count, error } => {
                write!(f, "{backend} could attach to none of {count} functions: {error}")
            }
        }
    }
}

impl std::error::Error for AttachError {}

/// Attaches all programs, unless `stop` is asked for meanwhile. The kprobe backend goes on in the background;
/// [`Hooks::is_attaching`] tells when it is done.
pub fn attach(loaded: &Loaded, plan: &Arc<Plan>, stop: &Stop) -> Result<Hooks, AttachError> {
    // What was attached last runs first, except at tracepoints. A packet's end is told to the table after the line.
    let mut hooks = Hooks::new();
    if plan.backend != Backend::Tracepoint {
        track::attach(loaded, plan, &mut hooks)?;
    }
    let mut all = targets(loaded, plan, stop)?;
    all.links.append(&mut hooks.links);
    all.blind.append(&mut hooks.blind);
    if let (Some(maps), Backend::KprobeMulti | Backend::Kprobe) = (&plan.maps, plan.backend) {
        tracing::maps(loaded, maps, &mut all);
    }
    if plan.backend == Backend::Tracepoint {
        track::attach(loaded, plan, &mut all)?;
    }
    Ok(all)
}

fn targets(loaded: &Loaded, plan: &Arc<Plan>, stop: &Stop) -> Result<Hooks, AttachError> {
    let hooks = match plan.backend {
        Backend::KprobeMulti => kprobe_multi::attach(loaded, plan, stop)?,
        Backend::Kprobe => return kprobe::attach(loaded, plan, stop),
        Backend::Fentry | Backend::Tracepoint => tracing::attach(loaded, plan, stop)?,
    };
    hooks.or_nothing(plan)
}

impl Hooks {
    fn new() -> Hooks {
        let (refused, not_by_fentry) = (Vec::new(), Vec::new());
        Hooks { links: Vec::new(), background: None, refused, not_by_fentry, attached: 0, blind: Vec::new() }
    }

    /// Nothing is attached yet; what has no program never will be.
    fn of(loaded: &Loaded) -> Hooks {
        let mut hooks = Hooks::new();
        for (targets, error) in &loaded.refused {
            let error = || io::Error::other(error.to_string());
            hooks.refused.extend(targets.iter().map(|&target| Refused { target, error: error() }));
        }
        for (target, why) in &loaded.not_by_fentry {
            hooks.not_by_fentry.push(Refused { target: *target, error: io::Error::other(why.clone()) });
        }
        hooks
    }

    /// An error if not a single target is attached.
    fn or_nothing(mut self, plan: &Plan) -> Result<Hooks, AttachError> {
        if self.attached > 0 || plan.targets.is_empty() {
            return Ok(self);
        }
        // Where nothing was refused no function has an address.
        let error = self.refused.pop().map_or_else(|| io::ErrorKind::NotFound.into(), |refused| refused.error);
        let tracepoints = plan.backend == Backend::Tracepoint;
        let count = plan.targets.iter().filter(|target| target.is_tracepoint == tracepoints).count();
        Err(AttachError::Nothing { backend: plan.backend, count, error })
    }

    /// Whether attaching goes on. When it is done, what was refused is known.
    pub fn is_attaching(&mut self) -> bool {
        let attaching = self.background.as_ref().is_some_and(|background| !background.is_done());
        if !attaching {
            self.stop_attaching();
        }
        attaching
    }

    /// How many functions are attached now.
    pub fn attached(&self) -> usize {
        self.attached + self.background.as_ref().map_or(0, kprobe::Background::attached)
    }

    /// Attaches nothing more.
    pub fn stop_attaching(&mut self) {
        if let Some(background) = self.background.take() {
            let done = background.finish();
            self.attached += done.probes.len();
            self.refused.extend(done.refused);
            self.not_by_fentry.extend(done.not_by_fentry);
            for probe in done.probes {
                self.links.extend(probe.into_fds());
            }
        }
    }

    /// The trackers that the kernel refused: indices into the plan's.
    pub fn blind(&self) -> &[u32] {
        &self.blind
    }

    /// Hits that the kernel counts as missed by the probes themselves.
    pub fn missed(&self) -> u64 {
        // A kprobe's event stands beside its link and is none.
        self.links.iter().filter_map(|link| bpf::link_missed(link.as_fd()).ok()).sum()
    }

    /// Detaches `link` together with everything else, unless [`Hooks::end`] does it before.
    pub fn keep(&mut self, link: OwnedFd) -> Kept {
        let kept = Kept(link.as_raw_fd());
        self.links.push(link);
        kept
    }

    /// Detaches one now, which takes the kernel its time.
    pub fn end(&mut self, Kept(kept): Kept) {
        if let Some(at) = self.links.iter().position(|link| link.as_raw_fd() == kept) {
            self.links.remove(at);
        }
    }

    /// The targets that the kernel refused, as far as known.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// The targets that have a kprobe, if they have one, because the kernel refused their trampolines.
    pub fn not_by_fentry(&self) -> &[Refused] {
        &self.not_by_fentry
    }
}

impl Drop for Hooks {
    /// Removes everything from the kernel, in processes that outlive this one: the kernel takes its time.
    fn drop(&mut self) {
        self.stop_attaching();
        let links = std::mem::take(&mut self.links);
        let children = if links.len() > FEW { CHILDREN } else { 1 };
        if !links.is_empty() {
            process::close_in_background(links, children);
        }
    }
}

/// Up to this many links are closed one after another; kprobes are many more, and their closing gains from company.
const FEW: usize = 64;
/// Processes that close kprobes side by side.
const CHILDREN: usize = 8;
