//! A system call that fails while whither starts: it ends with one sentence and status 1, or does without what failed.
//! Never does it panic, hang, or die of a signal.
//!
//! The real program runs under ptrace, which answers one call of its main thread in the kernel's place. A part of the calls
//! is tried always, `WHITHER_FAULTS=all` tries each, as in CI; the case `faults` of vm-tests does the same by kprobes.

#![cfg(target_arch = "x86_64")]

#[path = "faults/traced.rs"]
#[allow(dead_code)] // the rest is for other tests
mod traced;
#[path = "faults/tries.rs"]
#[allow(dead_code)] // fewer are for vm-tests
mod tries;

use tries::{Choice, try_all};

#[test]
fn a_failing_call_ends_in_one_sentence() {
    let program = env!("CARGO_BIN_EXE_whither");
    let whither = [program, "--backend", "tracepoint", "--filter-func", "kfree_skb|consume_skb", "icmp"];
    let all = std::env::var_os("WHITHER_FAULTS").is_some_and(|value| value == "all");
    let tried = match try_all(&whither, if all { Choice::All } else { Choice::Some }) {
        Ok(tried) => tried,
        // Without privilege, or without BPF, there is no start to disturb.
        Err(whole) => {
            assert!(std::env::var_os("CI").is_none(), "whither must start here: {whole:?}");
            eprintln!("skipped: whither does not start here: {}", whole.stderr.trim_end());
            return;
        }
    };
    // One run reads more often than another, so the last of many calls may not come.
    assert!(tried.met > 50 && tried.met * 20 > tried.faults * 19, "{tried:?}");
    assert!(tried.wrong.is_empty(), "{}", tried.wrong);
}
