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
use nix::sys::signal::{Signal, kill};

use crate::error::Result;
use crate::guest::{Case, Feature, Guest};
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
    // Where the kernel refuses all of them one is as good as another.
    if vm.version == (6, 1) && vm.has(Feature::Fentry)? {
        a_kprobe_stands_in()?;
    }
    vm.expect_nothing_left(&before, Duration::from_secs(60))
}

/// A function whose trampoline is refused, by the verifier or when it is attached, has a kprobe, and that is said.
fn a_kprobe_stands_in() -> Result<()> {
    let whither = ["/usr/bin/whither", "--debug", "--filter-func", "ip_rcv|ip_output", "icmp"];
    // Where programs for fentry find an argument; kprobes have the registers there.
    let is_argument = |slot: u64| slot & 0xf0ff == 0x6079 && (0..48).contains(&(slot >> 16 & 0xffff));
    let interrupt = |main| kill(main, Signal::SIGINT).expect("it is there");
    let whole = traced::run(&whither, None);
    let calls = whole.calls_until_ready().ok_or("it does not start")?;
    let trampolines: Vec<&Call> = calls.iter().filter(|call| call.is_trampoline()).collect();
    let call = (*trampolines.last().ok_or("it attaches by no trampoline")?).clone();
    let fault = Fault { call, after: trampolines.len() - 1, errno: Errno::ENOSPC };
    for (ended, fentry, refused) in [
        (whole, "fentry for 2 of the functions", ""),
        (traced::run(&whither, Some(fault)), "fentry for 2 of the functions", ", 1 by kprobes where fentry is refused"),
        (traced::run_refusing(&whither, is_argument, interrupt), "", ", 2 by kprobes where fentry is refused"),
    ] {
        let said = ended.stderr;
        let is_right = if fentry.is_empty() { !said.contains("fentry for") } else { said.contains(fentry) };
        ensure!(is_right && said.contains(&format!("Attached to 2 functions{refused}\n")), "{said}");
        ensure!(refused.is_empty() || said.contains("debug: ip_rcv not by fentry: "), "{said}");
    }
    Ok(())
}
