//! The `tracepoint` backend sees a packet enter, be queued and die, without a probe in any function.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let before = vm.leftovers()?;
    let trace = vm.trace("--backend tracepoint icmp")?;
    net.ping("10.0.0.2")?;
    let ended = trace.stop()?;
    ended.expect_all("an echo", |line| line.tuple.ends_with("(icmp)"))?;
    let lines = ended.lines()?;
    for (tuple, point) in [("10.0.0.1:0->", "net_dev_queue"), ("10.0.0.1:0->", "netif_receive_skb"), ("10.0.0.2:0->", "net_dev_queue")] {
        let seen = lines.iter().any(|line| line.tuple.starts_with(tuple) && line.function.contains(point));
        ensure!(seen, "{tuple} was not seen at {point}\n{ended}");
    }
    vm.expect_nothing_left(&before, super::signals_leave_nothing::SOON)
}
