//! Two tracers side by side: each shows its own packets, and the end of one does not disturb the other.

use crate::error::{Context, Result};
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 150, ..Case::new(run) };

const FUNCTIONS: &str = "--filter-func 'ip_rcv|ip_output'";

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let before = vm.leftovers()?;
    let pings = vm.trace(&format!("{FUNCTIONS} icmp"))?;
    let datagrams = vm.trace(&format!("{FUNCTIONS} udp dst port 5001"))?;
    net.ping("10.0.0.2")?;
    net.udp("10.0.0.2:5001", 32, 3)?;
    pings.wait_for_lines(4)?;
    datagrams.wait_for_lines(6)?;
    let pings = pings.stop()?;
    pings.expect_all("the ping", |line| line.tuple.ends_with("(icmp)"))?;
    net.udp("10.0.0.2:5001", 32, 3)?;
    datagrams.wait_for_lines(12).context("after the other has ended")?;
    let datagrams = datagrams.stop()?;
    datagrams.expect_all("the datagrams", |line| line.tuple.ends_with("(udp)"))?;
    let count = datagrams.lines()?.iter().filter(|line| line.name() == "ip_rcv").count();
    ensure!(count == 6 && datagrams.lost() == 0, "{count} of 6 datagrams at ip_rcv\n{datagrams}");
    vm.expect_nothing_left(&before, super::signals_leave_nothing::SOON)
}
