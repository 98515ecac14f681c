//! One run, from the command line to the last line.

use crate::arrivals::{self, Arrivals, Lookout, Tracing};
use crate::attach::{self, Hooks};
use crate::cli::{Args, Dump};
use crate::decode::decode;
use crate::error::Error;
use crate::events::{self, Events, Next};
use crate::host::survey::Host;
use crate::host::{Roots, modules};
use crate::late::Late;
use crate::load::{self, Loaded, Program};
use crate::names::{Interfaces, Names, NoSymbols, Reasons, Symbols};
use crate::output::{self, Counts, Details, End, Lines, Settings};
use crate::plan::{Backend, Plan, PlanError, make};
use crate::privilege::{self, Feature};
use crate::program;
use crate::progs::{self, Progs, Tools};
use crate::say::Say;
use crate::shrink::{self, GivenUp, Ready};
use crate::status::{self, Status};
use crate::sys::stop::Stop;
use crate::sys::{bpf, process};
use filter_compiler::Graph;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a run amounted to.
#[derive(Debug, Default)]
pub struct Summary {
    /// Lines that were written.
    pub written: u64,
    /// Events that are missing: lost in the kernel or not written.
    pub lost: u64,
    /// These, and what may be missing because something could not be traced, read or followed.
    pub missing: u64,
}

/// Traces until `stop`.
pub fn run(args: &Args, stop: &Arc<Stop>) -> Result<Summary, Error> {
    let say = Say::new(args.debug);
    let packet = make::expression(args)?;
    make::inner(args)?;
    process::raise_nofile();
    process::raise_memlock();
    let host = match Host::read(args, &Roots::default(), Some(stop)).map_err(Error::from) {
        Err(error) if error.is_stop() => return Ok(not_started(&say, stop)),
        host => host?,
    };
    say.stage("host");
    say.host(&host);
    let rungs = make::ladder(args, &host);
    if let Some(dump) = args.dump {
        return print(dump, args, &host, &rungs);
    }
    let out = output::open(args, stop).map_err(|error| Error::File { path: file_name(args), error })?;
    let interfaces = Interfaces::of_host().map_err(Error::cannot("start the thread that finds names of interfaces"))?;
    let Live { plan, loaded, mut names, hooks, failed, given_up } = match climb(args, &host, &rungs, packet, stop, &say)
    {
        Err(error) if error.is_stop() => return Ok(not_started(&say, stop)),
        live => live?,
    };
    say.backend(&plan, &host, &failed);
    say.given_up(&plan, &loaded, given_up.as_ref());
    say.old_names(interfaces.deaf(), Interfaces::MAX_AGE_MS);
    names.interfaces = interfaces;
    if args.strict
        && matches!(plan.backend, Backend::KprobeMulti | Backend::Kprobe)
        && host.btf.path("bpf_link_info", "kprobe_multi.missed").is_err()
    {
        say.misses_unknown();
    }
    let (tc, xdp) = (args.filter_trace_tc, args.filter_trace_xdp);
    let progs = if tc || xdp { Some(Progs::new(tc, xdp, &host)?) } else { None };
    if args.output_file.is_none() {
        stop.watch(io::stdout().as_fd()).map_err(Error::cannot("watch standard output"))?;
    }
    let details = Details::new(&plan, &host.btf);
    let lookout = Lookout::new(args, &host, &plan)?;
    let features = privilege::running(args, &host, &plan);
    // Types are most of the memory that a run takes, and hardly any run needs them any more.
    let modules = { host }.modules;
    process::give_memory_back();
    let events = events::follow(&loaded, &plan, stop).map_err(Error::cannot("follow events"))?;
    let lines = Lines::new(Settings::new(args), names, out);
    let late = Late::new(&plan)?;
    let status = Status::new(args);
    say.privilege("capabilities", privilege::keep(&features));
    let mut run = Run {
        args,
        features,
        say,
        stop,
        plan,
        loaded,
        hooks,
        progs,
        lookout,
        arrivals: None,
        events,
        late,
        status,
        lines,
        details,
        modules,
        full: false,
    };
    run.look_for_programs()?;
    run.follow()
}

/// Everything that is live.
struct Run<'a> {
    args: &'a Args,
    /// What needs privileges from now on.
    features: Vec<Feature>,
    say: Say,
    stop: &'a Arc<Stop>,
    plan: Arc<Plan>,
    loaded: Loaded,
    hooks: Hooks,
    progs: Option<Progs>,
    lookout: Option<Lookout>,
    /// Functions that are found later; from the time on when all others are attached.
    arrivals: Option<Arrivals>,
    events: Events,
    late: Option<Late>,
    status: Option<Status>,
    lines: Lines<'static>,
    details: Details,
    /// The modules whose functions are traced.
    modules: Vec<String>,
    /// Whether it was said that the table of followed packets is full.
    full: bool,
}

/// How long the formatter waits for records before it writes what it has.
const PATIENCE: Duration = Duration::from_millis(5);
/// Lines are written at the latest this long after their event.
const STALE: Duration = Duration::from_millis(100);
/// How often attaching in the background is looked at.
const ATTACHING: Duration = Duration::from_millis(50);

/// A counter that the programs keep.
fn counted(count: io::Result<u64>) -> Result<u64, Error> {
    count.map_err(Error::cannot("read what was lost"))
}

impl Run<'_> {
    /// Writes lines until the end is asked for and everything was read.
    fn follow(mut self) -> Result<Summary, Error> {
        let mut wanted = true;
        let mut patience = self.attaching()?.then_some(ATTACHING);
        let (mut idle, mut ending) = (false, false);
        let mut written = Instant::now();
        loop {
            let rest = patience.or(self.rest().filter(|_| !ending));
            let next = self.events.next(if idle { rest } else { Some(PATIENCE) });
            match next.map_err(Error::cannot("read events"))? {
                Next::Batch(batch) => {
                    idle = false;
                    for record in batch.records() {
                        let record = match &mut self.late {
                            Some(late) => match late.pass(record) {
                                Some(record) => record,
                                None => continue,
                            },
                            None => record,
                        };
                        if !wanted {
                            break;
                        }
                        let mut event = decode(record, &self.plan.layout)?;
                        let extra = self.details.of(record, &mut event, self.lines.names());
                        if let ControlFlow::Break(end) = self.lines.event_with(&event, &extra) {
                            wanted = false;
                            self.end(end);
                        }
                    }
                    if let ControlFlow::Break(end) = self.lines.batch() {
                        wanted = false;
                        self.end(end);
                    }
                }
                Next::Idle => {
                    if let ControlFlow::Break(end) = self.lines.idle() {
                        wanted = false;
                        self.end(end);
                    }
                    written = Instant::now();
                    idle = true;
                }
                Next::End => break,
            }
            if patience.is_some() {
                patience = self.attaching()?.then_some(ATTACHING);
            }
            if !ending && self.progs.as_ref().is_some_and(Progs::is_due) {
                self.look_for_programs()?;
            }
            if !ending && self.arrivals.as_ref().is_some_and(Arrivals::is_due) {
                self.look_for_functions()?;
            }
            if let Some(status) = self.status.as_mut().filter(|status| !ending && patience.is_none() && status.is_due())
            {
                self.say.status(&status.line(&self.loaded, self.lines.written(), counted(self.events.lost())?));
            }
            if !ending && self.stop.is_requested() {
                ending = true;
                self.hooks.stop_attaching();
                self.events.end().map_err(Error::cannot("silence programs"))?;
                patience = None;
            }
            if written.elapsed() > STALE {
                if let ControlFlow::Break(end) = self.lines.idle() {
                    wanted = false;
                    self.end(end);
                }
                written = Instant::now();
                self.watch_table()?;
            }
        }
        self.finish(wanted)
    }

    /// How long nothing is to be done if no records come; `None`: for ever.
    fn rest(&self) -> Option<Duration> {
        let programs = self.progs.as_ref().map(|_| progs::INTERVAL);
        let programs = programs.or(self.arrivals.as_ref().map(|_| arrivals::INTERVAL));
        programs.or(self.status.as_ref().map(|_| status::INTERVAL))
    }

    /// Traces BPF programs that are new.
    fn look_for_programs(&mut self) -> Result<(), Error> {
        if let Some(progs) = &mut self.progs {
            let next = self.lines.names().functions.len() as u32;
            let (loaded, hooks) = (&mut self.loaded, &mut self.hooks);
            let mut tools = Tools { plan: &self.plan, loaded, hooks, say: &self.say };
            for name in progs.look(next, &mut tools)? {
                self.lines.add_program(name);
            }
        }
        Ok(())
    }

    /// Traces functions that were found meanwhile.
    fn look_for_functions(&mut self) -> Result<(), Error> {
        let Some(arrivals) = &mut self.arrivals else { return Ok(()) };
        let mut tracing = Tracing {
            plan: &self.plan,
            loaded: &mut self.loaded,
            hooks: &mut self.hooks,
            lines: &mut self.lines,
            modules: &mut self.modules,
            say: &self.say,
            stop: self.stop,
        };
        if !arrivals.look(&mut tracing) {
            self.arrivals = None;
            self.features.retain(|&feature| feature != Feature::Functions);
            self.say.privilege("capabilities", privilege::keep(&self.features));
            self.say.privilege("system calls", privilege::confine(&self.features));
        }
        Ok(())
    }

    /// Whether attaching goes on; says so when it is done.
    fn attaching(&mut self) -> Result<bool, Error> {
        if self.hooks.is_attaching() {
            self.say.progress(self.hooks.attached(), self.plan.places());
            return Ok(true);
        }
        self.say.attached(&self.plan, &self.hooks);
        self.say.stage("attach");
        if let Some(path) = &self.args.ready_file {
            let created = process::reader_of_pipe(path).and_then(|_reader| File::create(path));
            created.map_err(|error| Error::File { path: path.clone(), error })?;
        }
        self.say.privilege("system calls", privilege::confine(&self.features));
        self.say.listening();
        self.arrivals = self.lookout.take().map(Lookout::start).transpose()?;
        Ok(false)
    }

    /// Says once that packets find no room in the table of those that are followed.
    fn watch_table(&mut self) -> Result<(), Error> {
        if let Some(tracking) = &self.plan.tracking
            && !self.full
            && counted(self.events.untracked())? > 0
        {
            self.full = true;
            self.say.table_full(tracking.entries);
        }
        Ok(())
    }

    fn end(&mut self, end: End) {
        match end {
            End::Limit | End::Closed => self.stop.request(),
        }
    }

    /// Summary, then detach.
    fn finish(mut self, complete: bool) -> Result<Summary, Error> {
        let mut summary = Summary::default();
        // Stages are timed from the one before.
        self.say.stage("trace");
        let lost = counted(self.events.lost())?;
        let by_probes = self.hooks.missed();
        let mut missed = by_probes;
        // What works on maps is called by our own programs, too, which is no loss.
        let maps = self.plan.maps.as_ref();
        let is_map = |program: &Program| maps.is_some_and(|maps| program.targets.iter().all(|&index| maps.has(index)));
        for program in &self.loaded.programs {
            if let Ok(stats) = bpf::prog_stats(program.fd.as_fd()) {
                missed += if is_map(program) { 0 } else { stats.recursion_misses };
                self.say.program(&program.name, &stats);
            }
        }
        let known = self.lines.lost();
        if complete && lost > known {
            self.lines.gap_at_end(lost - known);
        }
        if self.args.all_kmods {
            match modules::list(&Roots::default().sys) {
                Ok(now) => self.say.late_modules(now.into_iter().filter(|name| !self.modules.contains(name))),
                Err(error) => self.say.not_attached(arrivals::MODULES, &error.to_string()),
            }
        }
        let stats = |program: &Program| bpf::prog_stats(program.fd.as_fd()).map_or(0, |stats| stats.recursion_misses);
        let lives: u64 = self.loaded.trackers.iter().flatten().map(stats).sum();
        let (untracked, unread) = (counted(self.events.untracked())?, counted(self.events.unread())?);
        let late = self.late.as_ref();
        let (unseen, cut) = (late.map_or(0, Late::unseen), late.map_or(0, Late::cut));
        let counts = self.lines.finish();
        summary.written = counts.written;
        summary.lost = counts.dropped + if complete { lost } else { counts.lost };
        summary.missing = summary.lost + missed + lives + untracked + unread + unseen + cut;
        self.say.missed_lives(lives);
        self.say.untracked(untracked);
        self.say.unread(unread);
        self.say.unseen(unseen);
        self.say.cut(cut);
        self.say.missed(missed, by_probes);
        self.say.summary(&counts, summary.lost, self.events.spared(), self.stop.is_signalled());
        drop(self.hooks);
        self.say.stage("detach");
        Ok(summary)
    }
}

/// The end was asked for before anything was traced.
fn not_started(say: &Say, stop: &Stop) -> Summary {
    say.summary(&Counts::default(), 0, 0, stop.is_signalled());
    Summary::default()
}

fn file_name(args: &Args) -> PathBuf {
    args.output_file.clone().unwrap_or_else(|| "standard output".into())
}

fn names(args: &Args, host: &Host, plan: &Plan) -> Result<Names, Error> {
    let symbols: Box<dyn Symbols + Send> = match args.output_caller || args.output_stack {
        true => Box::new(host.symbols()?),
        false => Box::new(NoSymbols),
    };
    let reasons = host.drop_reasons();
    let reasons = Reasons::new(borrow(&reasons.reasons), borrow(&reasons.subsystems));
    Ok(Names::of_host(&plan.targets.iter().map(arrivals::target_name).collect::<Vec<_>>(), reasons, symbols))
}

fn borrow(table: &[(u32, String)]) -> impl Iterator<Item = (u32, &str)> {
    table.iter().map(|(number, name)| (*number, name.as_str()))
}

/// Tries the ways in until one works.
pub(crate) fn climb(
    args: &Args,
    host: &Host,
    rungs: &[Backend],
    packet: Option<Graph>,
    stop: &Stop,
    say: &Say,
) -> Result<Live, Error> {
    let mut failed = Vec::new();
    for &backend in rungs {
        match step(args, host, Plan::with(args, host, backend, packet.clone()), stop, say) {
            Ok(live) => return Ok(Live { failed, ..live }),
            Err(error) if rungs.len() == 1 || error.is_final() => return Err(error),
            Err(error) => failed.push((backend, error)),
        }
    }
    // What is wrong with all of them is not about the way in.
    let is_first = |error: &Error| failed.first().is_some_and(|(_, first)| first.to_string() == error.to_string());
    match failed.iter().all(|(_, error)| matches!(error, Error::Program(_)) && is_first(error)) {
        true if !failed.is_empty() => Err(failed.swap_remove(0).1),
        _ => Err(Error::NoBackend(failed)),
    }
}

/// A way in that works.
pub(crate) struct Live {
    pub(crate) plan: Arc<Plan>,
    pub(crate) loaded: Loaded,
    names: Names,
    pub(crate) hooks: Hooks,
    /// The ways above it, and why they were not taken.
    pub(crate) failed: Vec<(Backend, Error)>,
    /// What the programs do without.
    pub(crate) given_up: Option<GivenUp>,
}

fn step(args: &Args, host: &Host, plan: Result<Plan, PlanError>, stop: &Stop, say: &Say) -> Result<Live, Error> {
    let plan = plan?;
    say.stage("plan");
    let Ready { plan, loaded, given_up } = shrink::load(plan, args.strict, stop)?;
    let plan = Arc::new(plan);
    say.stage("load");
    // Before the first event, which must not wait in the buffer for it.
    let names = names(args, host, &plan)?;
    say.stage("names");
    let hooks = attach::attach(&loaded, &plan, stop)?;
    say.stage("first attach");
    Ok(Live { plan, loaded, names, hooks, failed: Vec::new(), given_up })
}

/// `--dump`: prints an intermediate form of the first way in that can be planned.
fn print(dump: Dump, args: &Args, host: &Host, rungs: &[Backend]) -> Result<Summary, Error> {
    let mut first = None;
    for &backend in rungs {
        match Plan::new(args, host, backend) {
            Ok(plan) => {
                let text = match dump {
                    Dump::Plan => plan.to_string(),
                    Dump::Programs => {
                        let mut programs = program::build(&plan)?;
                        let (tc, xdp) = (args.filter_trace_tc, args.filter_trace_xdp);
                        // One is as any other.
                        programs.programs.extend(program::trampolines(&plan).next().transpose()?);
                        programs.programs.extend(program::traced::samples(&plan, tc, xdp)?);
                        programs.to_string()
                    }
                    Dump::Graph => plan.filters.packet.as_ref().map(ToString::to_string).unwrap_or_default(),
                    Dump::Cbpf => match &plan.filters.packet {
                        Some(graph) => filter_compiler::to_cbpf(graph).map_err(PlanError::Expression)?.to_string(),
                        None => String::new(),
                    },
                    Dump::Verifier => load::verifier_log(&program::build(&plan)?)?,
                };
                process::print(text.as_bytes()).map_err(Error::output)?;
                return Ok(Summary::default());
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or(PlanError::NoFunction { backend: "any backend" }).into())
}
