//! A packet is followed through encryption by WireGuard, and back.

use super::track::{FUNCTIONS, expect_only};
use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.tunnel("wireguard", "")?;
    vm.sh("umask 077; for side in left right; do wg genkey > /tmp/$side.key; wg pubkey < /tmp/$side.key > /tmp/$side.pub; done")?;
    for (namespace, own, other, address) in
        [(&net.left, "left", "right", "10.0.0.2"), (&net.right, "right", "left", "10.0.0.1")]
    {
        namespace.sh(&format!(
            "wg set tun9 listen-port 51820 private-key /tmp/{own}.key \
             peer $(cat /tmp/{other}.pub) allowed-ips 10.9.0.0/24 endpoint {address}:51820"
        ))?;
    }
    // The first packets shake hands.
    net.greet("10.9.0.2")?;
    net.greet("10.0.0.2")?;
    let trace = vm.trace(&format!("--filter-track-skb {FUNCTIONS} icmp and dst host 10.9.0.2"))?;
    net.ping("10.9.0.2")?;
    net.ping("10.0.0.2")?;
    let ended = trace.stop()?;
    ended.expect_in_order(&[
        "ip_output 10.9.0.1:0->10.9.0.2:0(icmp)",
        "ip_local_out 10.0.0.1:51820->10.0.0.2:51820(udp)",
        "ip_rcv 10.0.0.1:51820->10.0.0.2:51820(udp)",
        "udp_rcv 10.0.0.1:51820->10.0.0.2:51820(udp)",
        "icmp_rcv 10.9.0.1:0->10.9.0.2:0(icmp)",
        "kfree_skbmem",
    ])?;
    expect_only(&ended, &["icmp_rcv", "kfree_skbmem"], |line| {
        line.tuple.contains("10.9.0.1:0->10.9.0.2:0(icmp)") || line.tuple.ends_with("->10.0.0.2:51820(udp)")
    })
}
