//! A signal before everything is attached ends the tracer, too, and leaves nothing.

use std::time::Duration;

use crate::error::{Context, Result};
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 150, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let before = vm.leftovers()?;
    for millis in [5, 50, 200, 500, 1000] {
        let ended = vm.whither("--filter-func 'ip_.*|tcp_v4.*' tcp").interrupted_after(Duration::from_millis(millis))?;
        ensure!([0, 130].contains(&ended.code), "status {} after {millis} ms\n{ended}", ended.code);
        vm.expect_nothing_left(&before, Duration::from_secs(60)).context(format!("{millis} ms"))?;
    }
    Ok(())
}
