//! A system call that fails while whither attaches by the best way in: one sentence, or a run without what failed, and
//! nothing is left in the kernel.

#[path = "../../tests/faults/traced.rs"]
#[allow(dead_code)] // the rest is for tests of the host
mod traced;
#[path = "../../tests/faults/tries.rs"]
#[allow(dead_code)] // so is trying more of them
mod tries;

use std::time::Duration;

use crate::error::Result;
use crate::guest::{Case, Guest};
use tries::{Choice, try_all};

pub const CASE: Case = Case { seconds: 300, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let before = vm.leftovers()?;
    let whither = ["/usr/bin/whither", "--filter-func", "ip_rcv|ip_output", "icmp"];
    let tried = try_all(&whither, Choice::Few).map_err(|whole| format!("it does not start: {whole:?}"))?;
    ensure!(tried.met >= 20 && tried.met + 2 >= tried.faults, "{tried:?}");
    println!("{tried:?}");
    ensure!(tried.wrong.is_empty(), "{}", tried.wrong);
    vm.expect_nothing_left(&before, Duration::from_secs(60))
}
