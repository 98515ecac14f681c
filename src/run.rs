//! One run, from the command line to the last line.

use crate::attach::{self, AttachError, Hooks};
use crate::cli::{Args, Dump};
use crate::events::{self, Next};
use crate::host::Roots;
use crate::host::survey::{Host, HostError};
use crate::load::{self, LoadError, Loaded};
use crate::plan::{Backend, Plan, PlanError, make};
use crate::program;
use crate::sys::stop::Stop;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Why a run failed: one sentence each, exit code 1.
#[derive(Debug)]
pub enum Error {
    /// Something could not be read.
    Host(HostError),
    /// There is nothing to trace.
    Plan(PlanError),
    /// A program could not be emitted: our mistake.
    Program(asm::Error),
    /// The kernel refused a map or a program.
    Load(LoadError),
    /// Nothing could be attached.
    Attach(AttachError),
    /// No way in works here.
    NoBackend(Vec<(Backend, String)>),
    /// Reading records or writing lines failed.
    Io(io::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Host(error) => error.hint().map(str::to_owned),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Host(error) => error.fmt(f),
            Error::Plan(error) => error.fmt(f),
            Error::Program(error) => write!(f, "a program cannot be emitted: {error}"),
            Error::Load(error) => error.fmt(f),
            Error::Attach(error) => error.fmt(f),
            Error::NoBackend(tried) => {
                f.write_str("no way to trace works here")?;
                for (backend, why) in tried {
                    write!(f, "\n  {backend}: {why}")?;
                }
                Ok(())
            }
            Error::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

macro_rules! from {
    ($($type:ty => $variant:ident)*) => {
        $(impl From<$type> for Error {
            fn from(error: $type) -> Error {
                Error::$variant(error)
            }
        })*
    };
}
from! {
    HostError => Host
    PlanError => Plan
    asm::Error => Program
    LoadError => Load
    AttachError => Attach
    io::Error => Io
}

/// Says with `--debug` how long each stage took.
struct Stages {
    debug: bool,
    since: Instant,
}

impl Stages {
    fn done(&mut self, stage: &str) {
        if self.debug {
            eprintln!("debug: {stage}: {:.1} ms", self.since.elapsed().as_secs_f64() * 1e3);
            self.since = Instant::now();
        }
    }
}

/// Traces until `stop`.
pub fn run(args: &Args, stop: &Arc<Stop>) -> Result<(), Error> {
    let mut stages = Stages { debug: args.debug, since: Instant::now() };
    crate::sys::process::raise_nofile()?;
    crate::sys::process::raise_memlock();
    let host = Host::read(args, &Roots::default())?;
    stages.done("host");
    let rungs = make::ladder(args, &host);
    if let Some(dump) = args.dump {
        return print(dump, args, &host, &rungs);
    }
    let (plan, loaded, mut hooks) = climb(args, &host, &rungs, &mut stages)?;
    let mut events = events::follow(&loaded, &plan, stop)?;
    hooks.wait(stop, &mut |_| {});
    stages.done("attach");
    eprintln!("attached {} refused {}", hooks.attached(), hooks.refused().len());
    eprintln!("Listening for events..");
    let mut count = 0u64;
    let mut hooks = Some(hooks);
    loop {
        match events.next(None)? {
            Next::Batch(batch) => {
                for record in batch.records() {
                    use crate::record::Field;
                    let n = |f| plan.layout.number(record, f).unwrap_or(0);
                    let index = (n(Field::Function) as u32 as usize).wrapping_sub(1);
                    println!(
                        "{:#x} cpu {} pid {} {} reason {:x} netns {} mark {} ifindex {} len {} mtu {} proto {:#x} hdrlen {} {:x?}",
                        n(Field::Skb),
                        n(Field::Cpu),
                        n(Field::Pid),
                        plan.targets.get(index).map_or("?", |t| &t.name),
                        n(Field::Reason),
                        n(Field::Netns),
                        n(Field::Mark),
                        n(Field::Ifindex),
                        n(Field::Len),
                        n(Field::Mtu),
                        (n(Field::Protocol) as u16).swap_bytes(),
                        n(Field::HeaderLen),
                        plan.layout.bytes(record, Field::Headers).map(|h| &h[..28])
                    );
                    count += 1;
                    if count == args.output_limit_lines {
                        stop.request();
                    }
                }
                if stop.is_requested()
                    && let Some(hooks) = hooks.take()
                {
                    stages.since = Instant::now();
                    hooks.detach();
                    stages.done("detach");
                    events.end();
                }
            }
            Next::Idle => {}
            Next::End => break,
        }
    }
    eprintln!("lost {}", events.lost()?);
    Ok(())
}

/// Tries the ways in until one works.
fn climb(args: &Args, host: &Host, rungs: &[Backend], stages: &mut Stages) -> Result<(Arc<Plan>, Loaded, Hooks), Error> {
    let mut failed = Vec::new();
    for &backend in rungs {
        match step(args, host, backend, stages) {
            Ok(live) => {
                for (backend, why) in &failed {
                    eprintln!("{backend}: {why}");
                }
                eprintln!("via {backend}");
                return Ok(live);
            }
            Err(error) if rungs.len() == 1 => return Err(error),
            Err(error) => failed.push((backend, error.to_string())),
        }
    }
    Err(Error::NoBackend(failed))
}

fn step(args: &Args, host: &Host, backend: Backend, stages: &mut Stages) -> Result<(Arc<Plan>, Loaded, Hooks), Error> {
    let plan = Arc::new(Plan::new(args, host, backend)?);
    stages.done("plan");
    let programs = program::build(&plan)?;
    stages.done("programs");
    let loaded = load::load(&programs)?;
    stages.done("load");
    let hooks = attach::attach(&loaded, &plan)?;
    Ok((plan, loaded, hooks))
}

/// `--dump`: prints an intermediate form of the first way in that can be planned.
fn print(dump: Dump, args: &Args, host: &Host, rungs: &[Backend]) -> Result<(), Error> {
    let mut first = None;
    for &backend in rungs {
        match Plan::new(args, host, backend) {
            Ok(plan) => {
                match dump {
                    Dump::Plan => print!("{plan}"),
                    Dump::Programs => print!("{}", program::build(&plan)?),
                    Dump::Verifier | Dump::Graph | Dump::Cbpf => {}
                }
                return Ok(());
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or(PlanError::NoFunction { backend: "any backend" }).into())
}
