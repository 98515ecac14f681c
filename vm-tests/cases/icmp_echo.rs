//! An echo request and its answer are told apart by their type.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let requests = vm.trace("--filter-func 'ip_rcv|icmp_rcv' icmp[icmptype] = icmp-echo")?;
    let both = vm.trace("--filter-func 'ip_rcv|icmp_rcv' icmp")?;
    net.ping("10.0.0.2")?;
    net.connect("10.0.0.2:80")?;
    let (requests, both) = (requests.stop()?, both.stop()?);
    requests.expect_in_order(&["ip_rcv 10.0.0.1:0->10.0.0.2:0(icmp)", "icmp_rcv 10.0.0.1:0->10.0.0.2:0(icmp)"])?;
    requests.expect_all("a request", |line| line.tuple.starts_with("10.0.0.1:"))?;
    both.expect_in_order(&["icmp_rcv 10.0.0.1:0->10.0.0.2:0(icmp)", "icmp_rcv 10.0.0.2:0->10.0.0.1:0(icmp)"])?;
    both.expect_all("ICMP", |line| line.tuple.ends_with("(icmp)"))
}
