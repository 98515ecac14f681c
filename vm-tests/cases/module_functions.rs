//! Functions of modules are traced when they are asked for.

use crate::error::Result;
use crate::guest::{Case, Feature, Guest};
use std::time::Duration;

pub const CASE: Case = Case { needs: &[Feature::ModuleBtf], ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let without = vm.trace("--filter-func 'veth_xmit|ip_rcv' icmp")?;
    let with = vm.trace("--kmods veth --filter-func 'veth_xmit|ip_rcv' icmp")?;
    vm.sh("rmmod dummy 2>/dev/null || true")?;
    let all = vm.trace("--all-kmods --filter-func '(veth|dummy)_xmit|ip_rcv' icmp")?;
    let awaited = vm.trace("--kmods dummy --filter-func dummy_xmit icmp")?;
    net.ping("10.0.0.2")?;
    without.stop()?.expect_none("veth_xmit")?;
    // A module that comes is traced within a second; one that goes ends nothing.
    vm.sh("modprobe dummy numdummies=0")?;
    for trace in [&all, &awaited] {
        trace.wait_until_said("functions of module dummy", "Attaching")?;
    }
    std::thread::sleep(Duration::from_secs(1));
    let dummy = "ip link add lab0 type dummy && ip addr add 10.7.0.1/24 dev lab0 && ip link set lab0 up";
    net.left.sh(&format!("{dummy} && ping -c 1 -W 1 10.7.0.2 || ip link del lab0"))?;
    // Where the kernel holds a module as long as it is traced it cannot go.
    vm.sh("rmmod dummy 2>/dev/null || true")?;
    std::thread::sleep(Duration::from_secs(1));
    net.ping("10.0.0.2")?;
    let (all, awaited) = (all.stop()?, awaited.stop()?);
    for ended in [&all, &awaited] {
        ended.expect_in_order(&["dummy_xmit 10.7.0.1:0->10.7.0.2:0(icmp)"])?;
        ensure!(ended.stdout.contains("dummy_xmit[dummy]"), "the module is not named\n{ended}");
        ensure!(ended.stderr.contains("functions of module dummy"), "nobody says that it came\n{ended}");
        ensure!(!ended.stderr.contains("were not traced"), "it is said not to be traced\n{ended}");
    }
    ensure!(awaited.stderr.contains("no module `dummy` is loaded"), "nobody says that it is waited for\n{awaited}");
    for ended in [with.stop()?, all] {
        ended.expect_in_order(&["veth_xmit 10.0.0.1:0->", "ip_rcv 10.0.0.1:0->", "veth_xmit 10.0.0.2:0->", "ip_rcv 10.0.0.2:0->"])?;
        ensure!(ended.stdout.contains("veth_xmit[veth]"), "the module is not named\n{ended}");
    }
    if !vm.has(Feature::Fentry)? {
        return Ok(());
    }
    // By fentry, a program is checked against the module's own types.
    let fentry = vm.trace("--backend fentry --kmods veth --filter-func veth_xmit icmp")?;
    net.ping("10.0.0.2")?;
    fentry.stop()?.expect_in_order(&["veth_xmit 10.0.0.1:0->", "veth_xmit 10.0.0.2:0->"])
}
