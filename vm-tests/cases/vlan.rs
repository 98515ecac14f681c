//! A VLAN tag that only exists as metadata of the buffer is found as if it were in the frame.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.vlan(5)?;
    net.greet("10.5.0.2")?;
    let functions = "--filter-func '__dev_queue_xmit|dev_hard_start_xmit|__netif_rx|netif_rx|ip_rcv'";
    let tagged = vm.trace(&format!("{functions} vlan 5 and icmp"))?;
    let other = vm.trace(&format!("{functions} vlan 6"))?;
    let inner = vm.trace(&format!("{functions} icmp and host 10.5.0.2"))?;
    net.ping("10.5.0.2")?;
    net.ping("10.0.0.2")?;
    let (tagged, other, inner) = (tagged.stop()?, other.stop()?, inner.stop()?);
    tagged.expect_in_order(&["__dev_queue_xmit 10.5.0.1:0->10.5.0.2:0(icmp)"])?;
    tagged.expect_all("tagged", |line| line.tuple.contains("10.5.0.1") && line.name() != "ip_rcv")?;
    ensure!(other.lines()?.is_empty(), "nothing has VLAN 6\n{other}");
    inner.expect_in_order(&["ip_rcv 10.5.0.1:0->10.5.0.2:0(icmp)"])
}
