//! On a host that may not even be read, whither finds a way in by itself and says which.

use crate::error::Result;
use crate::guest::{Boot, Case, Guest};

pub const CASE: Case = Case { boot: Boot::LockdownConfidentiality, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    super::lockdown::follows_an_echo(vm, "icmp")
}
