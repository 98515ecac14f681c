//! A system call that fails while whither attaches by the best way in: one sentence, or a run without what failed, and
//! nothing is left in the kernel.

#[path = "../../tests/faults/traced.rs"]
#[allow(dead_code)] // the rest is for tests of the host
mod traced;
#[path = "../../tests/faults/tries.rs"]
#[allow(dead_code)] // so is trying more of them
mod tries;

use std::time::Duration;

use nix::errno::Errno;

use crate::error::Result;
use crate::guest::{Case, Guest};
use traced::{Call, Fault};
use tries::{Choice, try_all};

pub const CASE: Case = Case { seconds: 300, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let before = vm.leftovers()?;
    let whither = ["/usr/bin/whither", "--filter-func", "ip_rcv|ip_output", "icmp"];
    let tried = try_all(&whither, Choice::Few).map_err(|whole| format!("it does not start: {whole:?}"))?;
    ensure!(tried.met >= 20 && tried.met + 2 >= tried.faults, "{tried:?}");
    println!("{tried:?}");
    ensure!(tried.wrong.is_empty(), "{}", tried.wrong);
    if vm.version == (6, 1) {
        a_kprobe_stands_in(&whither)?;
    }
    vm.expect_nothing_left(&before, Duration::from_secs(60))
}

/// A function whose trampoline is refused, by the verifier or later, is hooked by a kprobe, and that is said.
fn a_kprobe_stands_in(whither: &[&str]) -> Result<()> {
    let whole = traced::run(whither, None);
    ensure!(whole.stderr.contains("fentry for 2 of the functions"), "{}", whole.stderr);
    let calls = whole.calls_until_ready().ok_or("it does not start")?;
    for (call, planned) in [(Call::PROG_LOAD, 1), (Call::RAW_TRACEPOINT_OPEN, 2)] {
        let after = calls.iter().filter(|made| **made == call).count() - 1;
        let ended = traced::run(whither, Some(Fault { call, after, errno: Errno::ENOSPC }));
        let said = [
            format!("fentry for {planned} of the functions"),
            "Attached to 2 functions, 1 by kprobes where fentry is refused".into(),
        ];
        ensure!(ended.code == Some(0) && said.iter().all(|said| ended.stderr.contains(said)), "{call:?}: {ended:?}");
    }
    Ok(())
}
