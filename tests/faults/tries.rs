//! Every fault of a start tried once, and what became of each.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nix::errno::Errno;

use super::traced::{Call, Ended, Fault, run};

#[path = "without.rs"]
mod without;

use without::{Says, Without};

/// What the kernel may say to anything.
const ANSWERS: [Errno; 3] = [Errno::EPERM, Errno::ENOMEM, Errno::EINVAL];

/// Which faults are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Each kind of call fails one way at its first time.
    Few,
    /// Each kind of call fails each way at its first time and one way at its last, and every bpf(2) one way.
    Some,
    /// Each call fails each way.
    All,
}

/// How it went.
#[derive(Debug)]
pub struct Tried {
    /// So many faults were tried.
    pub faults: usize,
    /// In so many runs the call that was to fail was made.
    pub met: usize,
    /// So many of these ended with one sentence and status 1; the others went on.
    pub ends: usize,
    /// A line for each run that did not end as it must.
    pub wrong: String,
}

/// Starts `whither`, its path and arguments, once for every fault of `choice`. An error is the run without any that did
/// not get so far as to trace.
pub fn try_all(whither: &[&str], choice: Choice) -> Result<Tried, Ended> {
    let whole = run(whither, None);
    let faults = match whole.calls_until_ready() {
        Some(calls) if whole.code == Some(0) => chosen(calls, choice),
        _ => return Err(whole),
    };
    let [next, met, ends] = [const { AtomicUsize::new(0) }; 3];
    let wrong = Mutex::new(String::new());
    let tries = || {
        while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
            let ended = run(whither, Some(fault.clone()));
            if !ended.failed {
                continue;
            }
            met.fetch_add(1, Ordering::Relaxed);
            match judge(fault, &ended, &whole) {
                Ok(Outcome::Ends) => drop(ends.fetch_add(1, Ordering::Relaxed)),
                Ok(Outcome::GoesOn) => {}
                Err(why) => {
                    let Fault { call, after, errno } = fault;
                    *wrong.lock().expect("nobody panics") += &format!("{call} ({after} before it): {errno}: {why}\n");
                }
            }
        }
    };
    thread::scope(|scope| {
        (0..thread::available_parallelism().map_or(1, usize::from)).for_each(|_| drop(scope.spawn(tries)))
    });
    let (met, ends) = (met.into_inner(), ends.into_inner());
    Ok(Tried { faults: faults.len(), met, ends, wrong: wrong.into_inner().expect("nobody panicked") })
}

/// Which calls are to fail, and how.
fn chosen(calls: &[Call], choice: Choice) -> Vec<Fault> {
    let mut kinds: BTreeMap<Call, usize> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.may_fail()) {
        *kinds.entry(call.clone()).or_default() += 1;
    }
    let mut chosen = Vec::new();
    for (kind, (call, times)) in kinds.into_iter().enumerate() {
        for after in 0..times {
            let one = &ANSWERS[(kind + after) % 3..][..1];
            let answers = match (choice, after) {
                (Choice::All, _) | (Choice::Some, 0) => &ANSWERS[..],
                (Choice::Few, 0) => one,
                (Choice::Some, _) if after == times - 1 || call.is_bpf() => one,
                _ => continue,
            };
            chosen.extend(answers.iter().map(|&errno| Fault { call: call.clone(), after, errno }));
        }
    }
    chosen
}

/// How a run ended that ended as it must.
enum Outcome {
    /// With one sentence and status 1.
    Ends,
    /// It went on, as [`without::WITHOUT`] allows.
    GoesOn,
}

fn judge(fault: &Fault, ended: &Ended, whole: &Ended) -> Result<Outcome, String> {
    let complaint = |what: &str| Err(format!("{what}\n{}", ended.stderr));
    if ended.stderr.contains("panicked") {
        return complaint("a panic");
    }
    let errors = ended.stderr.lines().filter(|line| line.starts_with("error: ")).count();
    match ended.code {
        None => complaint("no exit status"),
        Some(0) if errors > 0 || !ended.is_ready() => complaint("status 0, but it did not trace"),
        Some(0) => match without::find(&fault.call) {
            None => complaint("it goes on, which is not in the list"),
            Some(without) if says(ended, whole, without.says) => Ok(Outcome::GoesOn),
            Some(Without { says, .. }) => complaint(&format!("it goes on, and what it says is not {says:?}")),
        },
        // Who reads `error: Cannot allocate memory` does not know for what.
        Some(1) if errors == 1 && !ended.stderr.lines().any(is_bare) => Ok(Outcome::Ends),
        Some(code) => complaint(&format!("status {code}, {errors} errors")),
    }
}

fn says(ended: &Ended, whole: &Ended, says: Says) -> bool {
    let is_same = lines(ended) == lines(whole);
    // What is said without the fault, too, says nothing of it.
    let is_new = |text| ended.stderr.contains(text) && !whole.stderr.contains(text);
    match says {
        Says::Same => is_same,
        Says::Also(text) => is_new(text),
        Says::Either(one, other) => is_new(one) || is_new(other),
        Says::SameOr(text) => is_same || is_new(text),
    }
}

/// What was said, but for what depends on the traffic.
fn lines(ended: &Ended) -> Vec<&str> {
    ended.stderr.lines().filter(|line| !line.starts_with("Received signal, exiting: ")).collect()
}

/// Whether all that is said is the kernel's answer.
fn is_bare(line: &str) -> bool {
    line.strip_prefix("error: ").is_some_and(|said| said.contains("(os error ") && !said.contains(": "))
}
