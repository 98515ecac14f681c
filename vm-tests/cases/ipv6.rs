//! IPv6: a TCP connection and an echo.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("fd00::2")?;
    let functions = "--filter-func 'ip6_output|ipv6_rcv|tcp_v6_rcv|icmpv6_rcv'";
    let tcp = vm.trace(&format!("{functions} ip6 and tcp port 80"))?;
    let echo = vm.trace(&format!("{functions} icmp6 and ip6[40] = 128"))?;
    let left = net.connect("[fd00::2]:80")?;
    net.ping("fd00::2")?;
    let (tcp, echo) = (tcp.stop()?, echo.stop()?);

    let (there, back) = (format!("[fd00::1]:{0}->[fd00::2]:80(tcp)", left.port()), format!("]:80->[fd00::1]:{}(tcp)", left.port()));
    tcp.expect_in_order(&[
        &format!("ip6_output {there}"),
        &format!("ipv6_rcv {there}"),
        &format!("tcp_v6_rcv {there}"),
        &format!("tcp_v6_rcv {back}"),
    ])?;
    tcp.expect_all("IPv6", |line| line.protocol == 0x86dd && line.tuple.ends_with("(tcp)"))?;
    echo.expect_in_order(&["ip6_output [fd00::1]", "ipv6_rcv [fd00::1]", "icmpv6_rcv [fd00::1]"])?;
    echo.expect_all("a request", |line| line.tuple == "[fd00::1]:0->[fd00::2]:0(icmp6)")
}
