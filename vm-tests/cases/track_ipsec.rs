//! A packet is followed through IPsec (ESP in tunnel mode), and out of it.

use super::track::{FUNCTIONS, expect_only};
use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    for (namespace, own, way) in [(&net.left, 1, "out"), (&net.right, 2, "in")] {
        namespace.sh(&format!("ip addr add 10.9.0.{own}/32 dev lo"))?;
        namespace.sh(&format!(
            "ip xfrm state add src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x1000 reqid 1 mode tunnel \
             enc 'cbc(aes)' 0x000102030405060708090a0b0c0d0e0f auth 'hmac(sha256)' 0x{} && \
             ip xfrm policy add src 10.9.0.1 dst 10.9.0.2 dir {way} \
             tmpl src 10.0.0.1 dst 10.0.0.2 proto esp reqid 1 mode tunnel",
            "0b".repeat(32)
        ))?;
    }
    net.left.sh("ip route add 10.9.0.2 via 10.0.0.2 src 10.9.0.1")?;
    net.right.sh("ip route add 10.9.0.1 via 10.0.0.1 src 10.9.0.2")?;
    net.greet("10.9.0.2")?;
    net.greet("10.0.0.2")?;
    let trace = vm.trace(&format!("--filter-track-skb {} icmp and dst host 10.9.0.2", FUNCTIONS.replace("ip_output", "xfrm_output")))?;
    net.ping("10.9.0.2")?;
    net.ping("10.0.0.2")?;
    let ended = trace.stop()?;
    ended.expect_in_order(&[
        "xfrm_output 10.9.0.1:0->10.9.0.2:0(icmp)",
        "__dev_queue_xmit 10.0.0.1:0->10.0.0.2:0(esp)",
        "ip_rcv 10.0.0.1:0->10.0.0.2:0(esp)",
        "icmp_rcv 10.9.0.1:0->10.9.0.2:0(icmp)",
        "kfree_skbmem",
    ])?;
    expect_only(&ended, &["icmp_rcv", "kfree_skbmem"], |line| {
        line.tuple.contains("10.9.0.1:0->10.9.0.2:0(icmp)") || line.tuple.contains("10.0.0.1:0->10.0.0.2:0(esp)")
    })
}
