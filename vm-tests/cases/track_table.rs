//! A table that is too small does not lose packets in silence: whoever finds no room is counted, and told.

use super::track::FUNCTIONS;
use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    // Datagrams that nobody reads pile up in the receiver's socket, alive.
    let trace = vm.trace(&format!("--filter-track-skb --track-table-size 4 {FUNCTIONS} udp dst port 5001"))?;
    net.pile_up("10.0.0.2:5001", 40)?;
    let ended = trace.stop()?;
    ensure!(ended.stderr.contains("--track-table-size"), "nobody says that the table is full\n{ended}");
    let counted = ended.stderr.lines().find(|line| line.contains("packets were not followed"));
    ensure!(counted.is_some(), "the summary does not count them\n{ended}");
    vm.whither("--filter-track-skb --track-table-size 0 icmp").finish()?.expect_refusal(2, &["--track-table-size"])
}
