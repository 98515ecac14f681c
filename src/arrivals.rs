//! Functions that are found while the run goes on: those of modules that are loaded, and further ones that share a name.

use crate::attach::{AttachError, Hooks};
use crate::cli::Args;
use crate::error::Error;
use crate::host::arrivals::{Change, Modules, further_places};
use crate::host::survey::{Host, HostError};
use crate::host::{Roots, SkbFunction};
use crate::load::Loaded;
use crate::names::{TargetKind, TargetName};
use crate::output::Lines;
use crate::plan::{Backend, Plan, Target, targets};
use crate::program;
use crate::say::Say;
use crate::sys::bpf::{ProgType, Site};
use crate::sys::process;
use crate::sys::stop::Stop;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often modules are looked at, and how soon functions that were found are attached to.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// What a thread of its own finds: reading the kernel's tables takes long.
pub struct Arrivals {
    found: Receiver<Found>,
    looked: Instant,
}

/// Something new.
enum Found {
    /// Further places of targets: their indices, and addresses.
    Places(Vec<(u32, u64)>),
    /// A module that came or went.
    Module(Change),
    /// What could not be looked for, and why.
    Nothing(&'static str, String),
}

const SHARED: &str = "functions that share their name with others";
/// What is not seen where modules cannot be listed.
pub const MODULES: &str = "functions of modules that are loaded now";

/// What is to be looked out for.
pub struct Lookout {
    /// Functions whose names others may have.
    shared: Option<Arc<Plan>>,
    modules: Option<Modules>,
}

impl Lookout {
    /// What a run with `args` would trace; `None` if nothing can come, or not by this way in.
    pub fn new(args: &Args, host: &Host, plan: &Arc<Plan>) -> Result<Option<Lookout>, Error> {
        if !matches!(plan.backend, Backend::KprobeMulti | Backend::Kprobe) {
            return Ok(None);
        }
        let watched = args.all_kmods || !args.kmods.is_empty();
        let modules = watched.then(|| Modules::new(host, (!args.all_kmods).then(|| args.kmods.clone())));
        let modules = modules.transpose().map_err(HostError::Btf)?;
        let shared = host.first_only.then(|| plan.clone());
        Ok((modules.is_some() || shared.is_some()).then_some(Lookout { shared, modules }))
    }

    /// Begins to look.
    pub fn start(self) -> Result<Arrivals, Error> {
        let (send, found) = bounded(16);
        let thread = std::thread::Builder::new().name("functions".into());
        let started = thread.spawn(move || look_out(&send, self));
        started.map_err(Error::cannot("start the thread that looks for functions"))?;
        Ok(Arrivals { found, looked: Instant::now() })
    }
}

impl Arrivals {
    /// Whether it is time to look.
    pub fn is_due(&self) -> bool {
        self.looked.elapsed() >= INTERVAL
    }

    /// Attaches to what is new, and names it in `lines`; what cannot be attached to is said and left alone. False if
    /// nothing will come any more.
    pub fn look(&mut self, run: &mut Tracing<'_, '_>) -> bool {
        self.looked = Instant::now();
        while !run.hooks.is_attaching() {
            match self.found.try_recv() {
                Ok(Found::Places(places)) => run.places(places),
                Ok(Found::Module(Change::Came(name, functions))) => run.module(&name, &functions),
                Ok(Found::Module(Change::Unknown(name, why))) => run.say.not_attached(&of_module(&name), &why),
                Ok(Found::Module(Change::Went(name))) => run.say.module_gone(&name),
                Ok(Found::Nothing(what, why)) => run.say.not_attached(what, &why),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }
}

fn look_out(send: &Sender<Found>, Lookout { shared, modules }: Lookout) {
    // Whoever is watched needs the processor more.
    process::be_nice();
    if let Some(plan) = shared {
        let functions: Vec<_> =
            plan.targets.iter().map(|t| (&*t.name, t.module.as_deref(), &t.addresses[..])).collect();
        let found = match further_places(&Roots::default(), &functions) {
            Ok(places) if places.is_empty() => None,
            Ok(places) => Some(Found::Places(places)),
            Err(error) => Some(Found::Nothing(SHARED, error.to_string())),
        };
        if found.is_some_and(|found| send.send(found).is_err()) {
            return;
        }
    }
    let Some(mut modules) = modules else { return };
    let mut told = false;
    loop {
        std::thread::sleep(INTERVAL);
        let found: Vec<Found> = match modules.look() {
            Ok(changes) => {
                told = false;
                changes.into_iter().map(Found::Module).collect()
            }
            Err(_) if std::mem::replace(&mut told, true) => continue,
            Err(error) => vec![Found::Nothing(MODULES, error.to_string())],
        };
        for found in found {
            if send.send(found).is_err() {
                return;
            }
        }
    }
}

/// What is live, to be added to.
pub struct Tracing<'a, 'o> {
    /// What was planned.
    pub plan: &'a Plan,
    /// The programs.
    pub loaded: &'a mut Loaded,
    /// What is attached.
    pub hooks: &'a mut Hooks,
    /// The names.
    pub lines: &'a mut Lines<'o>,
    /// The modules whose functions are traced.
    pub modules: &'a mut Vec<String>,
    /// Tells the user.
    pub say: &'a Say,
    /// The end.
    pub stop: &'a Stop,
}

impl Tracing<'_, '_> {
    /// More places of functions that are traced.
    fn places(&mut self, places: Vec<(u32, u64)>) {
        self.lines.add_places(&places);
        let before = self.hooks.attached();
        let site = |&(index, address): &(u32, u64)| {
            (index, Site { address, cookie: program::cookie(index, &self.plan.targets[index as usize]) })
        };
        let programs = self.loaded.programs.iter().filter(|program| program.kind == ProgType::Kprobe);
        let work = programs.map(|program| {
            let own = places.iter().filter(|(index, _)| program.targets.contains(index));
            (program, own.map(site).collect())
        });
        let work: Vec<_> = work.collect();
        match self.hooks.more(&work, self.plan, self.stop) {
            Ok(()) => self.say.further(self.hooks.attached() - before),
            Err(AttachError::Stopped) => {}
            Err(error) => self.say.not_attached(SHARED, &error.to_string()),
        }
    }

    /// The functions of a module.
    fn module(&mut self, name: &str, functions: &[SkbFunction]) {
        self.modules.push(name.to_owned());
        let targets = targets::of_module(functions);
        if targets.is_empty() {
            return;
        }
        let first = self.lines.names().functions.len() as u32;
        for target in &targets {
            self.lines.add_function(&target_name(target));
        }
        match self.attach(first, targets) {
            Ok(count) => self.say.module(name, count),
            Err(error) if error.is_stop() => {}
            Err(error) => self.say.not_attached(&of_module(name), &error.brief()),
        }
    }

    /// Loads programs for `targets`, the first of which has the index `first`, and attaches them.
    fn attach(&mut self, first: u32, targets: Vec<Target>) -> Result<usize, Error> {
        let count = targets.len();
        let plan = Plan { targets, trampolines: Vec::new(), maps: None, ..self.plan.clone() };
        let mut work = Vec::new();
        for blueprint in program::functions(&plan)? {
            let mut program = self.loaded.load_more(&blueprint)?;
            let sites = program.targets.iter().flat_map(|&index| {
                let target = &plan.targets[index as usize];
                let cookie = program::cookie(first + index, target);
                target.addresses.iter().map(move |&address| (first + index, Site { address, cookie }))
            });
            let sites: Vec<(u32, Site)> = sites.collect();
            program.targets.iter_mut().for_each(|index| *index += first);
            work.push((program, sites));
        }
        let places: Vec<_> = work.iter().map(|(program, sites)| (program, sites.clone())).collect();
        self.hooks.more(&places, &plan, self.stop)?;
        self.loaded.programs.extend(work.into_iter().map(|(program, _)| program));
        Ok(count)
    }
}

fn of_module(name: &str) -> String {
    format!("functions of module {name}")
}

/// The name of a target, as lines show it.
pub fn target_name(target: &Target) -> TargetName {
    TargetName {
        name: target.title(),
        kind: TargetKind::Function,
        has_reason: target.reason_arg.is_some(),
        addresses: target.addresses.clone(),
    }
}
