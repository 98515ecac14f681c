//! Where the list of traceable functions cannot be read, tracing works all the same.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    vm.sh("umount /sys/kernel/tracing; mount -t tmpfs none /sys/kernel/tracing; mount -t tmpfs none /sys/kernel/debug")?;
    let trace = vm.trace("--filter-func 'ip_rcv|tcp_v4_rcv' tcp dst port 80")?;
    net.connect("10.0.0.2:80")?;
    let ended = trace.stop()?;
    ended.expect_in_order(&["ip_rcv ->10.0.0.2:80", "tcp_v4_rcv ->10.0.0.2:80"])
}
