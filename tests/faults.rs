//! A system call that fails while whither starts: it ends with one sentence and status 1, or does without what failed.
//! Never does it panic, hang, or die of a signal.
//!
//! The real program runs under ptrace, which answers one call of its main thread in the kernel's place. Every kind of call is
//! tried, at its first and its last time, and every bpf(2); `WHITHER_FAULTS=all` tries each call each way, as in CI.

#![cfg(target_arch = "x86_64")]

#[path = "faults/traced.rs"]
#[allow(dead_code)] // the rest is for other tests
mod traced;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nix::errno::Errno;
use traced::{Call, Ended, Fault, run};

/// What the kernel may say to anything.
const ANSWERS: [Errno; 3] = [Errno::EPERM, Errno::ENOMEM, Errno::EINVAL];

#[test]
fn a_failing_call_ends_in_one_sentence() {
    let whole = run(None);
    let Some(calls) = whole.calls_until_ready() else {
        // Without privilege, or without BPF, there is no start to disturb.
        assert!(std::env::var_os("CI").is_none(), "whither must start here: {whole:?}");
        eprintln!("skipped: whither does not start here: {}", whole.stderr.trim_end());
        return;
    };
    assert_eq!(whole.code, Some(0), "{whole:?}");
    let faults = chosen(calls);
    let (next, met, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(String::new()));
    let tries = || {
        while let Some(&fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
            let ended = run(Some(fault));
            met.fetch_add(ended.failed.into(), Ordering::Relaxed);
            if let Err(why) = judge(&ended) {
                *wrong.lock().expect("nobody panics") += &format!("{fault:?}: {why}\n");
            }
        }
    };
    thread::scope(|scope| {
        (0..thread::available_parallelism().map_or(1, usize::from)).for_each(|_| drop(scope.spawn(tries)))
    });
    let (tried, met) = (faults.len(), met.into_inner());
    // One run reads more often than another, so the last of many calls may not come.
    assert!(met > 50 && met * 20 > tried * 19, "only {met} of {tried} faults were met with");
    eprintln!("{met} of {tried} faults were met with");
    let wrong = wrong.into_inner().expect("nobody panicked");
    assert!(wrong.is_empty(), "{wrong}");
}

/// Which calls are to fail, and how.
fn chosen(calls: &[Call]) -> Vec<Fault> {
    let all = std::env::var_os("WHITHER_FAULTS").is_some_and(|value| value == "all");
    let mut kinds: BTreeMap<Call, usize> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.may_fail()) {
        *kinds.entry(*call).or_default() += 1;
    }
    let mut chosen = Vec::new();
    for (call, times) in kinds {
        for after in 0..times {
            let answers = match after {
                _ if all || after == 0 => &ANSWERS[..],
                _ if after == times - 1 || call.is_bpf() => &ANSWERS[after % 3..][..1],
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
        Some(1) if errors == 1 => Ok(()),
        Some(code) => complaint(&format!("status {code}, {errors} errors")),
    }
}
