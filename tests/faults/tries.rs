//! Every fault of a start tried once, and what became of each.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nix::errno::Errno;

use super::traced::{Call, Ended, Fault, run};

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
    let (next, met, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(String::new()));
    let tries = || {
        while let Some(&fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
            let ended = run(whither, Some(fault));
            met.fetch_add(ended.failed.into(), Ordering::Relaxed);
            if let Err(why) = judge(&ended) {
                *wrong.lock().expect("nobody panics") += &format!("{fault:?}: {why}\n");
            }
        }
    };
    thread::scope(|scope| {
        (0..thread::available_parallelism().map_or(1, usize::from)).for_each(|_| drop(scope.spawn(tries)))
    });
    Ok(Tried { faults: faults.len(), met: met.into_inner(), wrong: wrong.into_inner().expect("nobody panicked") })
}

/// Which calls are to fail, and how.
fn chosen(calls: &[Call], choice: Choice) -> Vec<Fault> {
    let mut kinds: BTreeMap<Call, usize> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.may_fail()) {
        *kinds.entry(*call).or_default() += 1;
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
            chosen.extend(answers.iter().map(|&errno| Fault { call, after, errno }));
        }
    }
    chosen
}

fn judge(ended: &Ended) -> Result<(), String> {
    let complaint = |what: &str| Err(format!("{what}\n{}", ended.stderr));
    if ended.stderr.contains("panicked") {
        return complaint("a panic");
    }
    let errors = ended.stderr.lines().filter(|line| line.starts_with("error: ")).count();
    match ended.code {
        None => complaint("no exit status"),
        Some(0) if errors == 0 && ended.is_ready() => Ok(()),
        Some(0) => complaint("status 0, but it did not trace"),
        // Who reads `error: Cannot allocate memory` does not know for what.
        Some(1) if errors == 1 && !ended.stderr.lines().any(is_bare) => Ok(()),
        Some(code) => complaint(&format!("status {code}, {errors} errors")),
    }
}

/// Whether all that is said is the kernel's answer.
fn is_bare(line: &str) -> bool {
    line.strip_prefix("error: ").is_some_and(|said| said.contains("(os error ") && !said.contains(": "))
}
