//! Whether the kernel takes programs, without tracing by them. A start of whither is mostly reading what the host is, which
//! is the same for all expressions; so that is done once, by the same code, and only what differs for each.

use std::sync::Mutex;

use whither::cli::{self, Args, Command};
use whither::host::{Roots, survey::Host};
use whither::plan::{Backend, Plan, make};
use whither::shrink;
use whither::sys::{bpf::ProgType, process, stop::Stop};

use crate::error::{Context, Error, Result};
use crate::guest::trace::{Launch, split};
use crate::guest::{Feature, Guest};

/// Every way in that works on this kernel.
pub fn backends(vm: &Guest) -> Result<Vec<&'static str>> {
    let mut backends = vec!["kprobe", "tracepoint"];
    for (feature, backend) in [(Feature::Fentry, "fentry"), (Feature::KprobeMulti, "kprobe-multi")] {
        if vm.has(feature)? {
            backends.push(backend);
        }
    }
    Ok(backends)
}

/// Loads what a run with `options`, a `--backend` among them, and each of `expressions` would attach; reports all that
/// were refused, wholly or in part. `--backend kprobe` stands for a run that comes to kprobes by itself, and so has
/// trampolines beside them.
pub fn loads(options: &str, expressions: &[&str]) -> Result<()> {
    process::raise_memlock();
    process::raise_nofile();
    let stop = Stop::on_signals()?;
    let args = by_itself(arguments(options, "")?);
    let host = Host::read(&args, &Roots::default(), None).map_err(told).context(options)?;
    let mut refused = Vec::new();
    for expression in expressions {
        let loaded = arguments(options, expression).and_then(|args| load(&args, &host, &stop));
        refused.extend(loaded.err().map(|error| format!("{options} -- {expression}\n{error}")));
    }
    told_of(expressions.len(), &refused)
}

/// Starts whither with each of `runs`, two at a time, and stops it; reports all that were refused.
pub fn starts(runs: Vec<String>) -> Result<()> {
    let count = runs.len();
    let (queue, refused) = (Mutex::new(runs.into_iter()), Mutex::new(Vec::new()));
    let next = || queue.lock().ok().and_then(|mut queue| queue.next());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(arguments) = next() {
                    if let Err(error) = Launch::whither(&arguments).start().and_then(|trace| trace.stop()) {
                        refused.lock().map(|mut refused| refused.push(format!("{arguments}\n{error}"))).ok();
                    }
                }
            });
        }
    });
    told_of(count, &refused.into_inner().unwrap_or_default())
}

/// From the command line to loaded programs, as in `run()`.
fn load(args: &Args, host: &Host, stop: &Stop) -> Result<()> {
    let packet = make::expression(args).map_err(told)?;
    for backend in make::ladder(args, host) {
        let plan = Plan::with(&by_itself(args.clone()), host, backend, packet.clone()).map_err(told)?;
        let trampolines = plan.trampolines.clone();
        // Nothing is given up, and all programs are taken.
        let ready = shrink::load(plan, true, stop).map_err(told)?;
        let is_loaded = |target: &u32| {
            ready
                .loaded
                .programs
                .iter()
                .any(|program| program.kind == ProgType::Tracing && program.targets == [*target])
        };
        ensure!(trampolines.iter().all(is_loaded), "the program of a trampoline is refused");
        ready.loaded.trackers.into_iter().try_for_each(|tracker| tracker.map(drop)).map_err(told)?;
    }
    Ok(())
}

/// The same without `--backend kprobe`.
fn by_itself(mut args: Args) -> Args {
    args.backend = args.backend.filter(|backend| *backend != Backend::Kprobe);
    args
}

fn arguments(options: &str, expression: &str) -> Result<Args> {
    let words = ["whither", "--strict"].into_iter().map(str::to_owned).chain(split(options));
    let words = words.chain(["--".to_owned(), expression.to_owned()]);
    match cli::parse(words.map(Into::into)) {
        Ok(Command::Trace(args)) => Ok(*args),
        other => Err(Error::new(format!("`{options} -- {expression}` is {other:?}"))),
    }
}

fn told(error: impl std::fmt::Display) -> Error {
    Error::new(error.to_string())
}

fn told_of(count: usize, refused: &[String]) -> Result<()> {
    ensure!(refused.is_empty(), "{} of {count} do not run:\n{}", refused.len(), refused.join("\n"));
    Ok(())
}
