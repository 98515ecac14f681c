//! A packet that matched once is followed into a tunnel and out of it, to its end; what travels beside it is not shown.

use crate::error::Result;
use crate::guest::trace::Ended;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

/// Functions of all layers, of tunnels, and those that every skb ends in.
const FUNCTIONS: &str = "--filter-func 'ip_rcv|ip_output|ip_local_out|__dev_queue_xmit|udp_rcv|icmp_rcv|icmp_echo|iptunnel_xmit\
                         |skb_release_data|kfree_skbmem'";

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    vm.sh("modprobe vxlan")?;
    for (namespace, own, other) in [(&net.left, 1, 2), (&net.right, 2, 1)] {
        namespace.sh(&format!(
            "ip link add vx0 type vxlan id 5 local 10.0.0.{own} remote 10.0.0.{other} dstport 4789 && \
             ip addr add 10.9.0.{own}/24 dev vx0 && ip link set vx0 addrgenmode none up"
        ))?;
    }
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
        "ip_rcv 10.9.0.1:0->10.9.0.2:0(icmp)",
        "icmp_rcv 10.9.0.1:0->10.9.0.2:0(icmp)",
        "skb_release_data",
        "kfree_skbmem",
    ])?;
    once(&ended)
}

/// One packet and nothing but it: one way through, one end.
fn once(ended: &Ended) -> Result<()> {
    ended.expect_all("the packet that is followed", |line| {
        line.tuple.contains("10.9.0.1:0->10.9.0.2:0(icmp)") || line.tuple.ends_with("->10.0.0.2:4789(udp)")
    })?;
    for function in ["icmp_rcv", "udp_rcv", "kfree_skbmem"] {
        let count = ended.lines()?.iter().filter(|line| line.name() == function).count();
        ensure!(count == 1, "{count} lines of {function}\n{ended}");
    }
    Ok(())
}
