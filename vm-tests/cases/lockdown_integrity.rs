//! On a host that may not be changed, whither finds a way in by itself and says which.

use crate::error::Result;
use crate::guest::{Boot, Case, Guest};

pub const CASE: Case = Case { boot: Boot::LockdownIntegrity, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    super::lockdown::follows_an_echo(vm, "--filter-func 'ip_output|ip_rcv|icmp_rcv' icmp")
}
