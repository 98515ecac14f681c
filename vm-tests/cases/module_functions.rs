//! Functions of modules are traced when they are asked for.

use crate::error::Result;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::ModuleBtf], ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let without = vm.trace("--filter-func 'veth_xmit|ip_rcv' icmp")?;
    let with = vm.trace("--kmods veth --filter-func 'veth_xmit|ip_rcv' icmp")?;
    vm.sh("rmmod nft_limit 2>/dev/null || true")?;
    let all = vm.trace("--all-kmods --filter-func 'veth_xmit|ip_rcv' icmp")?;
    net.ping("10.0.0.2")?;
    without.stop()?.expect_none("veth_xmit")?;
    vm.sh("modprobe nft_limit")?;
    let all = all.stop()?;
    let told = all.stderr.lines().any(|line| line.contains("not traced:") && line.contains("nft_limit"));
    ensure!(told, "nobody names the module that came\n{all}");
    for ended in [with.stop()?, all] {
        ended.expect_in_order(&["veth_xmit 10.0.0.1:0->", "ip_rcv 10.0.0.1:0->", "veth_xmit 10.0.0.2:0->", "ip_rcv 10.0.0.2:0->"])?;
        ensure!(ended.stdout.contains("veth_xmit[veth]"), "the module is not named\n{ended}");
    }
    // By fentry, a program is checked against the module's own types.
    let fentry = vm.trace("--backend fentry --kmods veth --filter-func veth_xmit icmp")?;
    net.ping("10.0.0.2")?;
    fentry.stop()?.expect_in_order(&["veth_xmit 10.0.0.1:0->", "veth_xmit 10.0.0.2:0->"])
}
