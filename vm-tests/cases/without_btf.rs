//! A kernel without BTF is refused with a way out, and the way out works.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    std::fs::copy("/sys/kernel/btf/vmlinux", "/tmp/vmlinux.btf")?;
    vm.sh("mount -t tmpfs none /sys/kernel/btf")?;
    vm.whither("icmp").finish()?.expect_refusal(1, &["btf", "--kernel-btf"])?;
    let trace = vm.trace("--kernel-btf /tmp/vmlinux.btf --filter-func ip_rcv icmp")?;
    net.ping("10.0.0.2")?;
    trace.stop()?.expect_in_order(&["ip_rcv 10.0.0.1:0->10.0.0.2:0(icmp)"])
}
