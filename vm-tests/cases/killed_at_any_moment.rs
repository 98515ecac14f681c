//! SIGKILL at many moments of start, run and end leaves nothing in the kernel.

use std::time::Duration;

use crate::error::{Context, Result};
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 200, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let before = vm.leftovers()?;
    let launch = vm.whither("--filter-func 'ip_.*|tcp_v4.*' tcp");
    // From before the first map to behind the last probe, whatever the machine's speed: a start takes 0.2 to 3 s here.
    for millis in [1, 20, 60, 120, 180, 250, 330, 420, 520, 700, 1000, 1500, 2500] {
        launch.killed_after(Duration::from_millis(millis))?;
    }
    // In the middle of its end, which a child goes on with.
    let trace = launch.start()?;
    let pid = trace.pid();
    vm.sh(&format!("kill -INT {pid}; sleep 0.01; kill -KILL {pid} 2>/dev/null; true"))?;
    let ended = trace.wait()?;
    ensure!([0, 137].contains(&ended.code), "status {}\n{ended}", ended.code);
    vm.expect_nothing_left(&before, Duration::from_secs(60)).context("after all of them")
}
