//! Runs cases on kernels: all cases of a kernel with the same boot options share a machine, a few machines run at once,
//! and whoever wants to know waits for a verdict.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::binaries::{self, Binaries};
use super::cache::Cache;
use super::kernels::{self, Ready};
use super::qemu::{Event, Machine, Running};
use super::{initramfs, tools};
use crate::cases::CASES;
use crate::error::{Error, Result};
use crate::guest::{Boot, Case};
use crate::matrix::Matrix;
use crate::protocol::{Job, Report, Task, Verdict};

/// What the guest may take longer than a case's own limit, before its machine is ended: to kill what the case left.
const GRACE: Duration = Duration::from_secs(330);

/// A case on a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Trial {
    /// The kernel's name.
    pub kernel: String,
    /// The case's name.
    pub case: &'static str,
}

/// How a trial ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What the guest said, or that it could not say it.
    pub verdict: Verdict,
    /// Time in the guest.
    pub took: Duration,
}

/// Verdicts, as they come in.
#[derive(Default)]
pub struct Board {
    outcomes: Mutex<HashMap<Trial, Outcome>>,
    changed: Condvar,
}

impl Board {
    /// Waits for the outcome of `trial`, which must be one of those that were started.
    pub fn wait(&self, trial: &Trial) -> Outcome {
        let mut outcomes = self.lock();
        loop {
            match outcomes.get(trial) {
                Some(outcome) => return outcome.clone(),
                None => outcomes = self.changed.wait(outcomes).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn publish(&self, trial: Trial, verdict: Verdict, took: Duration) {
        if std::env::var_os("WHITHER_VM_TIMES").is_some() {
            eprintln!("vm-tests: {:6.1} s  {}::{}", took.as_secs_f64(), trial.kernel, trial.case);
            if let Verdict::Failed(why) = &verdict {
                eprintln!("{why}");
            }
        }
        self.lock().insert(trial, Outcome { verdict, took });
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Trial, Outcome>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every case on every kernel.
pub fn trials(matrix: &Matrix) -> Result<Vec<Trial>> {
    let names = kernels::names(matrix)?;
    let pairs =
        names.iter().flat_map(|kernel| CASES.iter().map(move |(case, _)| Trial { kernel: kernel.clone(), case }));
    Ok(pairs.collect())
}

/// Starts to run `trials` in the background.
pub fn start(matrix: Matrix, trials: Vec<Trial>) -> Arc<Board> {
    let board = Arc::new(Board::default());
    let mut groups: BTreeMap<(Boot, String), VecDeque<Trial>> = BTreeMap::new();
    for trial in trials {
        groups.entry((case(trial.case).boot, trial.kernel.clone())).or_default().push_back(trial);
    }
    let queue: VecDeque<_> =
        groups.into_iter().map(|((boot, kernel), trials)| Group { boot, kernel, trials, again: Vec::new() }).collect();
    let shared = Arc::clone(&board);
    std::thread::spawn(move || work(&matrix, queue, &shared));
    board
}

struct Group {
    boot: Boot,
    kernel: String,
    trials: VecDeque<Trial>,
    /// Trials that are run once more, see [`EMULATOR`].
    again: Vec<Trial>,
}

/// What the console says when a processor of QEMU's emulation runs a breakpoint of the kernel's code patching after that is
/// over. Real processors do not; a case that this ends is run once more, and says so.
const EMULATOR: &str = "Oops: int3";

fn case(name: &str) -> Case {
    let missing = Case::new(|_| Err(Error::new("there is no such case")));
    CASES.iter().find(|(known, _)| *known == name).map_or(missing, |(_, case)| *case)
}

/// How many machines run at once. More are slower where there are two processors: those of a guest wait for each other.
const JOBS: usize = 2;

fn work(matrix: &Matrix, queue: VecDeque<Group>, board: &Board) {
    let jobs = std::env::var("WHITHER_VM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(JOBS);
    let built = binaries::build(true);
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(mut group) = next(&queue) {
                    let result = built.clone().and_then(|binaries| run(matrix, &binaries, &mut group, board));
                    if let Err(error) = result {
                        fail_all(&mut group, board, &error);
                    }
                }
            });
        }
    });
}

fn next(queue: &Mutex<VecDeque<Group>>) -> Option<Group> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn fail_all(group: &mut Group, board: &Board, error: &Error) {
    for trial in group.trials.drain(..) {
        board.publish(trial, Verdict::Failed(error.to_string()), Duration::ZERO);
    }
}

fn prepare(matrix: &Matrix, name: &str) -> Result<(Ready, PathBuf)> {
    let cache = Cache::open()?;
    let tools = tools::ready(&cache, matrix)?;
    let kernel = kernels::ready(&cache, matrix, name)?;
    let base = initramfs::base(&cache, &kernel, &tools)?;
    Ok((kernel, base))
}

/// Runs a group; boots again for what is left when a case took its machine down.
fn run(matrix: &Matrix, binaries: &Binaries, group: &mut Group, board: &Board) -> Result<()> {
    let (kernel, base) = prepare(matrix, &group.kernel)?;
    while !group.trials.is_empty() {
        let names = group.trials.iter().map(|trial| trial.case.to_owned()).collect();
        let job = Job { kernel: group.kernel.clone(), task: Task::Cases(names) };
        let machine = Machine {
            kernel: &kernel,
            base: &base,
            binaries,
            job: &job,
            extras: &[],
            append: group.boot.append(),
            cpus: 2,
            icount: false,
        };
        let (mut running, _) = machine.boot()?;
        let left = (group.trials.len(), group.again.len());
        follow(&mut running, group, board);
        if (group.trials.len(), group.again.len()) == left {
            return Err(Error::new(format!("the machine ended before any case did:\n{}", running.console())));
        }
    }
    Ok(())
}

/// Publishes verdicts until the machine has done its job or has broken down.
fn follow(running: &mut Running, group: &mut Group, board: &Board) {
    let mut current: Option<Trial> = None;
    let mut end = Instant::now() + GRACE;
    let problem = loop {
        match running.next(end.saturating_duration_since(Instant::now())) {
            Some(Event::Report(Report::Started { case: name })) => {
                current = group.trials.iter().find(|trial| trial.case == name).cloned();
                end = Instant::now() + case(&name).limit() + GRACE;
                running.clear_console();
            }
            Some(Event::Report(Report::Ended { case, verdict, millis })) => {
                if let Some(place) = group.trials.iter().position(|trial| trial.case == case)
                    && let Some(trial) = group.trials.remove(place)
                {
                    board.publish(trial, verdict, Duration::from_millis(millis));
                }
                current = None;
                end = Instant::now() + GRACE;
            }
            Some(Event::Report(Report::Done)) => return,
            Some(Event::Console(line)) if Running::is_fatal(&line) => break "the guest's kernel broke",
            Some(Event::Gone) => break "the machine ended",
            None => break "the guest is silent",
            Some(Event::Report(_) | Event::Console(_)) => {}
        }
    };
    let console = running.console();
    if let Some(trial) = current.clone().filter(|trial| console.contains(EMULATOR) && !group.again.contains(trial)) {
        eprintln!("vm-tests: {}::{}: {EMULATOR}; running it again", trial.kernel, trial.case);
        group.again.push(trial);
    } else if let Some(trial) = current {
        group.trials.retain(|other| *other != trial);
        board.publish(trial, Verdict::Failed(format!("{problem}; its console:\n{console}")), Duration::ZERO);
    } else {
        eprintln!("vm-tests: {}: {problem} between two cases:\n{console}", group.kernel);
    }
}
