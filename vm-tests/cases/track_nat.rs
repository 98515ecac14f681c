//! Packets are followed through a change of their destination, which the filter does not know.

use super::track::FUNCTIONS;
use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?.dnat("10.0.0.2:80", "10.0.0.3:8080")?;
    net.greet("10.0.0.2")?;
    let filter = "tcp and dst host 10.0.0.2 and dst port 80";
    let trace = vm.trace(&format!("--filter-track-skb {FUNCTIONS} {filter}"))?;
    let plain = vm.trace(&format!("{FUNCTIONS} {filter}"))?;
    net.connect("10.0.0.2:80")?;
    net.udp("10.0.0.2:5001", 100, 20)?;
    let (ended, plain) = (trace.stop()?, plain.stop()?);
    plain.expect_none("tcp_v4_rcv")?;
    ended.expect_in_order(&[
        "ip_rcv ->10.0.0.2:80(tcp)",
        "ip_local_deliver ->10.0.0.3:8080(tcp)",
        "tcp_v4_rcv ->10.0.0.3:8080(tcp)",
    ])?;
    // Nothing of the answers, which come from the other address.
    ended.expect_all("on its way to the server", |line| {
        line.tuple.ends_with("->10.0.0.2:80(tcp)") || line.tuple.ends_with("->10.0.0.3:8080(tcp)")
    })
}
