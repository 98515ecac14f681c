//! `--filter-mark` compares under its mask, and zero is a mark like any other.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    net.left.sh("nft add table ip t && nft add chain ip t out '{ type route hook output priority 0; }'")?;
    net.left.sh("nft add rule ip t out udp dport 5001 meta mark set 0xa01")?;
    net.left.sh("nft add rule ip t out udp dport 5002 meta mark set 0xb01")?;
    let function = "--filter-func ip_output udp";
    let exact = vm.trace(&format!("--filter-mark 0xa01 {function}"))?;
    let masked = vm.trace(&format!("--filter-mark 2561/0xff {function}"))?;
    let zero = vm.trace(&format!("--filter-mark 0 {function}"))?;
    for port in [5001, 5002, 5003] {
        net.udp(&format!("10.0.0.2:{port}"), 10, 3)?;
    }
    let ports = |port: u16| format!("->10.0.0.2:{port}(udp)");
    let (exact, masked, zero) = (exact.stop()?, masked.stop()?, zero.stop()?);
    exact.expect_all("marked a01", |line| line.mark == 0xa01 && line.tuple.ends_with(&ports(5001)))?;
    masked.expect_all("marked ..01", |line| line.mark & 0xff == 1)?;
    masked.expect_in_order(&[&format!("ip_output {}", ports(5001)), &format!("ip_output {}", ports(5002))])?;
    zero.expect_all("unmarked", |line| line.mark == 0 && line.tuple.ends_with(&ports(5003)))?;
    for (ended, count) in [(exact, 3), (masked, 6), (zero, 3)] {
        let lines = ended.lines()?.len();
        ensure!(lines == count, "{lines} lines instead of {count}\n{ended}");
    }
    Ok(())
}
