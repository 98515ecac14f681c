//! `--filter-ifname` takes a name in the namespace of `--filter-netns`.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let (left, number) = (net.left.path(), net.left.inode()?);
    let functions = "--filter-func 'ip_output|__dev_queue_xmit|ip_rcv|tcp_v4_rcv'";
    let trace = vm.trace(&format!("{functions} --filter-netns {left} --filter-ifname left0 tcp port 80"))?;
    net.connect("10.0.0.2:80")?;
    let ended = trace.stop()?;
    ended.expect_in_order(&["__dev_queue_xmit ->10.0.0.2:80", "ip_rcv 10.0.0.2:80->"])?;
    let index: u32 = net.left.sh("cat /sys/class/net/left0/ifindex || ip -o link show left0 | cut -d: -f1")?.trim().parse()?;
    ended.expect_all("on the interface", |line| u64::from(line.netns) == number && line.ifindex() == Some(index))?;

    let unknown = vm.whither(&format!("--filter-netns {left} --filter-ifname right0 tcp")).finish()?;
    unknown.expect_refusal(1, &["right0"])
}
