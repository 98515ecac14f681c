//! A lockdown boot is one.

use crate::error::Result;
use crate::guest::{Boot, Case, Guest};

pub const CASE: Case = Case { boot: Boot::LockdownConfidentiality, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let state = vm.sh("cat /sys/kernel/security/lockdown")?;
    ensure!(state.contains("[confidentiality]"), "lockdown is {state}");
    let list = std::fs::File::open("/sys/kernel/tracing/available_filter_functions");
    ensure!(list.is_err(), "tracefs is readable under lockdown");
    Ok(())
}
