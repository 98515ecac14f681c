//! The networks that cases are built on carry what they should, and nothing that they should not.

use std::time::Duration;

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    for address in ["10.0.0.2", "fd00::2"] {
        net.ping(address)?;
    }
    let local = net.connect("10.0.0.2:80")?;
    ensure!(local.ip().to_string() == "10.0.0.1", "connected from {local}");
    net.connect("[fd00::2]:80")?;
    let (_, arrived) = net.udp("10.0.0.2:5001", 64, 100)?;
    ensure!(arrived == 100, "{arrived} of 100 datagrams arrived");
    net.vlan(5)?;
    net.ping("10.5.0.2")?;
    net.right.sh("nft add table ip t && nft add chain ip t in '{ type filter hook input priority 0; }'")?;
    net.right.sh("nft add rule ip t in tcp dport 81 drop")?;
    net.connect_in_vain("10.0.0.2:81", Duration::from_millis(300))?;
    net.connect("10.0.0.2:80")?;
    net.right.sh("iptables-legacy -A INPUT -p tcp --dport 82 -j DROP")?;
    net.connect_in_vain("10.0.0.2:82", Duration::from_millis(300))
}
