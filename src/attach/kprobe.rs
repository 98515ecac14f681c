//! Single kprobes through `perf_event_open` (Linux 4.17). Each takes the kernel 15 to 20 ms, because it walks every
//! ftrace record under a global lock (`arm_kprobe_ftrace`), so attaching goes on in the background while the probes
//! that are there trace already.
//!
//! The plan's trampolines are attached on the way: fentry takes the kernel as long, but a hit costs less. One that is
//! refused is a kprobe like the others.

use super::{AttachError, Hooks, Refused};
use crate::load::{Loaded, Program};
use crate::plan::{Backend, Plan};
use crate::program::cookie;
use crate::record::Identity;
use crate::sys::bpf::{self, ProgType, Site};
use crate::sys::perf_event::{self, Place};
use crate::sys::stop::Stop;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::vec::IntoIter;

const PMU: &str = "/sys/bus/event_source/devices/kprobe/type";

/// One attached kprobe, or the link of a trampoline in its stead.
#[derive(Debug)]
pub struct Probe {
    event: OwnedFd,
    link: Option<OwnedFd>,
}

impl Probe {
    /// What has to be closed for the probe to go.
    pub fn into_fds(self) -> impl Iterator<Item = OwnedFd> {
        self.link.into_iter().chain([self.event])
    }
}

/// The thread that attaches.
#[derive(Debug)]
pub struct Background {
    state: Arc<State>,
    thread: JoinHandle<Done>,
}

/// What became of the functions.
#[derive(Debug, Default)]
pub struct Done {
    /// What is attached.
    pub probes: Vec<Probe>,
    /// Functions that the kernel refused.
    pub refused: Vec<Refused>,
    /// Functions that have a kprobe because fentry was refused.
    pub not_by_fentry: Vec<Refused>,
}

#[derive(Debug, Default)]
struct State {
    attached: AtomicUsize,
    stop: AtomicBool,
    done: AtomicBool,
}

impl Background {
    /// How many probes are attached.
    pub fn attached(&self) -> usize {
        self.state.attached.load(Ordering::Relaxed)
    }

    /// Whether every function was tried.
    pub fn is_done(&self) -> bool {
        self.state.done.load(Ordering::Acquire)
    }

    /// Stops attaching and hands over what was done.
    pub fn finish(self) -> Done {
        self.state.stop.store(true, Ordering::Release);
        self.thread.join().unwrap_or_default()
    }
}

/// Attaches the first probe, to learn whether kprobes work here, and the others in the background.
pub fn attach(loaded: &Loaded, plan: &Arc<Plan>, stop: &Stop) -> Result<Hooks, AttachError> {
    let pmu = pmu()?;
    let mut trampolines = HashMap::new();
    for program in loaded.programs.iter().filter(|program| program.kind == ProgType::Tracing) {
        if let (&[target], Ok(fd)) = (&program.targets[..], program.fd.try_clone()) {
            trampolines.insert(target, Arc::new(fd));
        }
    }
    let mut work: Vec<Work> = Vec::new();
    for program in loaded.programs.iter().filter(|program| program.kind == ProgType::Kprobe) {
        let fd = Arc::new(program.fd.try_clone().map_err(|error| unusable("copying a descriptor", error))?);
        for &target in &program.targets {
            let function = &plan.targets[target as usize];
            let cookie = cookie(target, function);
            work.extend(function.addresses.iter().map(|&address| Work {
                target,
                site: Site { address, cookie },
                program: fd.clone(),
                trampoline: trampolines.get(&target).cloned(),
            }));
        }
    }
    // The plan's order, not that of the programs: what shows most comes first.
    work.sort_by_key(|work| work.target);
    // Whether kprobes work here is the question.
    if let Some(first) = work.iter().position(|work| work.trampoline.is_none()) {
        work[..=first].rotate_right(1);
    }
    let mut hooks = Hooks::of(loaded);
    let mut rest = work.into_iter();
    let mut done = Done::default();
    let identity = plan.layout.identity;
    for work in rest.by_ref() {
        if stop.is_requested() {
            return Err(AttachError::Stopped);
        }
        match work.attach(pmu, identity, &mut done) {
            Ok(()) => break,
            Err(error) if is_final(&error) => return Err(unusable("opening a probe", error)),
            Err(error) => hooks.refused.push(Refused { target: work.target, error }),
        }
    }
    if done.probes.is_empty() {
        return hooks.or_nothing(plan);
    }
    hooks.background = Some(in_background(pmu, rest, done, identity)?);
    Ok(hooks)
}

/// A probe that is to be.
struct Work {
    /// Index into the plan's targets.
    target: u32,
    site: Site,
    program: Arc<OwnedFd>,
    /// The program for fentry on the same function, which is tried before.
    trampoline: Option<Arc<OwnedFd>>,
}

impl Work {
    fn attach(&self, pmu: u32, identity: Identity, done: &mut Done) -> io::Result<()> {
        if let Some(program) = &self.trampoline {
            match bpf::raw_tracepoint_open(program.as_fd(), None) {
                Ok(event) => {
                    done.probes.push(Probe { event, link: None });
                    return Ok(());
                }
                Err(error) => done.not_by_fentry.push(Refused { target: self.target, error }),
            }
        }
        done.probes.push(probe(pmu, self.site, self.program.as_fd(), identity)?);
        Ok(())
    }
}

/// Attaches programs to places.
pub fn more(places: &[(&Program, Vec<(u32, Site)>)], identity: Identity) -> Result<Background, AttachError> {
    let pmu = pmu()?;
    let mut work: Vec<Work> = Vec::new();
    for (program, sites) in places {
        let fd = Arc::new(program.fd.try_clone().map_err(|error| unusable("copying a descriptor", error))?);
        work.extend(sites.iter().map(|&(target, site)| Work { target, site, program: fd.clone(), trampoline: None }));
    }
    in_background(pmu, work.into_iter(), Done::default(), identity)
}

/// Attaches the `rest`, besides what is `done`.
fn in_background(
    pmu: u32,
    rest: IntoIter<Work>,
    mut done: Done,
    identity: Identity,
) -> Result<Background, AttachError> {
    let state = Arc::new(State::default());
    state.attached.store(done.probes.len(), Ordering::Relaxed);
    let thread = std::thread::Builder::new().spawn({
        let state = state.clone();
        move || {
            for work in rest {
                if state.stop.load(Ordering::Acquire) {
                    break;
                }
                match work.attach(pmu, identity, &mut done) {
                    Ok(()) => _ = state.attached.fetch_add(1, Ordering::Relaxed),
                    Err(error) => done.refused.push(Refused { target: work.target, error }),
                }
            }
            state.done.store(true, Ordering::Release);
            done
        }
    });
    let thread = thread.map_err(|error| unusable("starting a thread", error))?;
    Ok(Background { state, thread })
}

fn unusable(what: &'static str, error: io::Error) -> AttachError {
    AttachError::Backend { backend: Backend::Kprobe, what, error }
}

/// The kernel's number for kprobes as perf events.
pub fn pmu() -> Result<u32, AttachError> {
    let pmu = std::fs::read_to_string(PMU).map_err(|error| unusable(PMU, error))?;
    pmu.trim().parse().map_err(|error| unusable(PMU, io::Error::other(error)))
}

/// Answers that no other function would get differently.
fn is_final(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENOSYS | libc::EOPNOTSUPP | libc::ENODEV))
}

fn probe(pmu: u32, site: Site, program: BorrowedFd<'_>, identity: Identity) -> io::Result<Probe> {
    let event = perf_event::open_kprobe(pmu, Place::Address(site.address))?;
    if identity == Identity::Index {
        let link = bpf::link_perf_event(program, event.as_fd(), site.cookie)?;
        Ok(Probe { event, link: Some(link) })
    } else {
        enable(event, program)
    }
}

/// A kprobe at `address` that runs `program`, which can not tell it from others.
pub fn without_cookie(pmu: u32, address: u64, program: BorrowedFd<'_>) -> io::Result<Probe> {
    enable(perf_event::open_kprobe(pmu, Place::Address(address))?, program)
}

fn enable(event: OwnedFd, program: BorrowedFd<'_>) -> io::Result<Probe> {
    perf_event::set_bpf(event.as_fd(), program)?;
    perf_event::enable(event.as_fd())?;
    Ok(Probe { event, link: None })
}
