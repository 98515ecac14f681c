//! A packet that matched once is followed into a tunnel and out of it, to its end; what travels beside it is not shown.

use super::track::{FUNCTIONS, expect_only};
use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.tunnel("vxlan", "id 5 local OWN remote OTHER dstport 4789")?;
    net.greet("10.9.0.2")?;
    net.greet("10.0.0.2")?;
    let trace = vm.trace(&format!("--filter-track-skb {FUNCTIONS} icmp and dst host 10.9.0.2"))?;
    let plain = vm.trace(&format!("{FUNCTIONS} icmp and dst host 10.9.0.2"))?;
    net.ping("10.9.0.2")?;
    // Buffers are used again at once: strangers get the address of the packet that was followed.
    for _ in 0..5 {
        net.ping("10.0.0.2")?;
    }
    net.udp("10.0.0.2:5001", 100, 20)?;
    let (ended, plain) = (trace.stop()?, plain.stop()?);
    plain.expect_none("udp_rcv")?;
    ended.expect_in_order(&[
        "ip_output 10.9.0.1:0->10.9.0.2:0(icmp)",
        "__dev_queue_xmit 10.9.0.1:0->10.9.0.2:0(icmp)",
        "ip_local_out ->10.0.0.2:4789(udp)",
        "__dev_queue_xmit ->10.0.0.2:4789(udp)",
        "ip_rcv ->10.0.0.2:4789(udp)",
        "udp_rcv ->10.0.0.2:4789(udp)",
        "icmp_rcv 10.9.0.1:0->10.9.0.2:0(icmp)",
        "skb_release_data",
        "kfree_skbmem",
    ])?;
    expect_only(&ended, &["icmp_rcv", "udp_rcv", "kfree_skbmem"], |line| {
        line.tuple.contains("10.9.0.1:0->10.9.0.2:0(icmp)") || line.tuple.ends_with("->10.0.0.2:4789(udp)")
    })
}
