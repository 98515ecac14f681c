//! Each datagram of a flow is seen once at each function on its way, with its length.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let trace = vm.trace("--filter-func 'ip_send_skb|ip_rcv|udp_rcv' udp dst port 5001")?;
    let (left, arrived) = net.udp("10.0.0.2:5001", 64, 50)?;
    ensure!(arrived == 50, "{arrived} of 50 datagrams arrived");
    net.udp("10.0.0.2:5002", 64, 5)?;
    let ended = trace.stop()?;
    let tuple = format!("{left}->10.0.0.2:5001(udp)");
    ended.expect_all("the flow", |line| line.tuple == tuple)?;
    for (function, length) in [("ip_send_skb", 92), ("ip_rcv", 92)] {
        let lines = ended.lines()?;
        let count = lines.iter().filter(|line| line.name() == function && line.length == length).count();
        ensure!(count == 50, "{count} of 50 lines of {function} with length {length}\n{ended}");
    }
    let received = ended.lines()?.iter().filter(|line| line.name() == "udp_rcv").count();
    ensure!(received == 50 && ended.lost() == 0, "udp_rcv {received} times\n{ended}");
    Ok(())
}
