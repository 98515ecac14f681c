//! A packet is followed over a bridge into another namespace, to both of the ports that it is flooded to.

use std::net::UdpSocket;
use std::time::Duration;

use super::track::FUNCTIONS;
use crate::error::Result;
use crate::guest::net::{Namespace, ip};
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    let middle = Namespace::create("middle")?;
    ip("link add a0 netns left type veth peer name a1 netns middle
        link add b0 netns right type veth peer name b1 netns middle
        link add c0 netns right type veth peer name c1 netns middle")?;
    middle.enter(|| {
        ip("link add br0 type bridge
            link set a1 master br0 up\nlink set b1 master br0 up\nlink set c1 master br0 up\nlink set br0 up")
    })?;
    net.left.enter(|| ip("addr add 10.7.0.1/24 dev a0\nlink set a0 addrgenmode none up\nneigh add 10.7.0.2 lladdr 02:00:00:00:00:77 dev a0"))?;
    net.right.enter(|| ip("addr add 10.7.0.2/24 dev b0\nlink set b0 addrgenmode none up\nlink set c0 addrgenmode none up"))?;
    // Only what leaves by a0 matches: all that is seen behind it was followed.
    let trace = vm.trace(&format!(
        "--filter-track-skb --filter-netns {} --filter-ifname a0 {FUNCTIONS} udp",
        net.left.path()
    ))?;
    net.left.enter(|| {
        UdpSocket::bind("0.0.0.0:0")?.send_to(b"hello", "10.7.0.2:7777")?;
        std::thread::sleep(Duration::from_millis(300));
        Ok(())
    })?;
    net.udp("10.0.0.2:5001", 100, 5)?;
    let ended = trace.stop()?;
    ended.expect_in_order(&["__dev_queue_xmit ->10.7.0.2:7777(udp)"])?;
    ended.expect_all("the flooded datagram", |line| line.tuple.ends_with("->10.7.0.2:7777(udp)"))?;
    let right = net.right.inode()?;
    for port in ["b0", "c0"] {
        let found = ended.lines()?.iter().any(|line| u64::from(line.netns) == right && line.interface.starts_with(port));
        ensure!(found, "not seen at {port}\n{ended}");
    }
    Ok(())
}
