//! `--output-tunnel` shows the packet inside VXLAN, and nothing for a packet that is in no tunnel.

use crate::error::Result;
use crate::guest::net::Net;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

/// A VXLAN device on each side, 10.9.0.1 and 10.9.0.2, that has been used.
pub fn vxlan(net: &Net) -> Result<()> {
    net.greet("10.0.0.2")?;
    for (side, own, other) in [(&net.left, 1, 2), (&net.right, 2, 1)] {
        let device = if own == 1 { "left0" } else { "right0" };
        side.sh(&format!("ip link add vx type vxlan id 7 dstport 4789 local 10.0.0.{own} remote 10.0.0.{other} dev {device}"))?;
        side.sh(&format!("ip addr add 10.9.0.{own}/24 dev vx && ip link set vx up"))?;
    }
    net.ping("10.9.0.2")
}

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    vxlan(&net)?;
    let trace = vm.trace("--filter-func 'ip_local_out|__ip_local_out|dev_hard_start_xmit' --output-tunnel --output-tcp-flags udp or icmp")?;
    net.ping("10.9.0.2")?;
    let ended = trace.stop()?;
    let outside = ended.stdout.lines().any(|line| line.contains("10.9.0.1:0->10.9.0.2:0(icmp)") && line.ends_with(" :0->:0()"));
    let inside = ended.stdout.lines().any(|line| line.contains("->10.0.0.2:4789(udp)") && line.ends_with(" 10.9.0.1:0->10.9.0.2:0(icmp)"));
    ensure!(outside && inside, "before the tunnel: {outside}, inside of it: {inside}\n{ended}");
    Ok(())
}
