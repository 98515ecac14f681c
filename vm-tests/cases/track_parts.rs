//! What is made of a packet is followed: fragments, segments, clones. None of them matches by itself.

use super::track::FUNCTIONS;
use crate::error::Result;
use crate::guest::trace::Ended;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 120, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let net = vm.routed_namespaces()?;
    net.router.as_ref().ok_or("a router")?.sh("ip link set router0 mtu 900")?;
    net.right.sh("ip link set right0 mtu 900")?;
    net.greet("10.0.0.2")?;
    let right = net.right.inode()?;

    // Three fragments of the sender, of which the router makes six; only the first of each has an ICMP header.
    let trace = vm.trace(&format!("--filter-track-skb {FUNCTIONS} icmp[icmptype] = icmp-echo"))?;
    net.left.sh("busybox ping -c 1 -W 5 -s 4000 10.0.0.2")?;
    let ended = trace.stop()?;
    let arrived = received(&ended, right)?;
    ensure!(arrived == 6, "{arrived} fragments arrive\n{ended}");
    ended.expect_all("the request", |line| line.tuple.contains("10.0.1.2:0->10.0.0.2:0(icmp)"))?;

    // A large TCP segment is cut by a token bucket that takes no more than 1600 bytes.
    net.left.sh("tc qdisc add dev left0 root tbf rate 100mbit burst 1600 latency 400ms")?;
    let trace = vm.trace(&format!("--filter-track-skb {FUNCTIONS} tcp dst port 5001 and len > 1600"))?;
    net.send("10.0.0.2:5001", 9000)?;
    let ended = trace.stop()?;
    net.left.sh("tc qdisc del dev left0 root")?;
    let small = ended.lines()?.iter().filter(|line| line.name() == "ip_forward" && line.length <= 900).count();
    ensure!(small >= 2, "{small} segments are followed\n{ended}");
    ended.expect_all("to the server", |line| line.tuple.ends_with("->10.0.0.2:5001(tcp)"))?;

    // A mirrored packet is a clone, on an interface that does not match.
    net.left.sh(
        "ip link add copy0 type dummy && ip link set copy0 addrgenmode none up && tc qdisc add dev left0 clsact && \
         tc filter add dev left0 egress matchall action mirred egress mirror dev copy0",
    )?;
    let trace =
        vm.trace(&format!("--filter-track-skb --filter-netns {} --filter-ifname left0 {FUNCTIONS} icmp", net.left.path()))?;
    net.ping("10.0.0.2")?;
    let ended = trace.stop()?;
    ended.expect_in_order(&["__dev_queue_xmit left0 10.0.1.2:0->", "__dev_queue_xmit copy0 10.0.1.2:0->"])
}

/// How many packets `ip_rcv` got in a namespace.
fn received(ended: &Ended, netns: u64) -> Result<usize> {
    Ok(ended.lines()?.iter().filter(|line| line.name() == "ip_rcv" && u64::from(line.netns) == netns).count())
}
