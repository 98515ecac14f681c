//! What every backend that probes functions must show.

use crate::error::Result;
use crate::guest::Guest;

/// Follows datagrams through functions that take the skb as their first, second and third argument.
pub fn follows_datagrams(vm: &Guest, backend: &str) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let before = vm.leftovers()?;
    let functions = "ip_send_skb|ip_output|dev_hard_start_xmit|ip_rcv|ip_rcv_finish|udp_rcv";
    let trace = vm.trace(&format!("--backend {backend} --filter-func '{functions}' udp dst port 5001"))?;
    let (left, arrived) = net.udp("10.0.0.2:5001", 64, 10)?;
    ensure!(arrived == 10, "{arrived} of 10 datagrams arrived");
    let ended = trace.stop()?;
    let tuple = format!("{left}->10.0.0.2:5001(udp)");
    for function in ["ip_send_skb", "ip_output", "dev_hard_start_xmit", "ip_rcv", "udp_rcv"] {
        let count = ended.lines()?.iter().filter(|line| line.name() == function && line.tuple == tuple).count();
        ensure!(count == 10, "{function} was seen {count} times instead of 10\n{ended}");
    }
    ended.expect_in_order(&["ip_send_skb", "ip_output", "dev_hard_start_xmit", "ip_rcv", "udp_rcv"])?;
    ensure!(ended.lost() == 0, "events of ten datagrams were lost\n{ended}");
    vm.expect_nothing_left(&before, super::signals_leave_nothing::SOON)
}
