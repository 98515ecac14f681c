//! The static binary needs no file but itself.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    vm.sh("mkdir /tmp/bare && mount -t tmpfs none /tmp/bare && cp /usr/bin/whither /tmp/bare && mkdir /tmp/bare/proc /tmp/bare/sys")?;
    vm.sh("mount -t proc none /tmp/bare/proc && mount --rbind /sys /tmp/bare/sys")?;
    let launch = vm.whither("--filter-func ip_rcv icmp").through(&["/usr/busybox/chroot", "/tmp/bare"], "/whither");
    let trace = launch.start()?;
    net.ping("10.0.0.2")?;
    trace.stop()?.expect_in_order(&["ip_rcv 10.0.0.1:0->10.0.0.2:0(icmp)"])
}
