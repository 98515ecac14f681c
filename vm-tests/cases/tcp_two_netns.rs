//! A TCP connection through a veth pair is followed from `ip_local_out` of one namespace to `tcp_v4_rcv` of the other,
//! and back.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let functions = "(__)?ip_local_out|ip_output|__dev_queue_xmit|dev_hard_start_xmit|ip_rcv|ip_local_deliver|tcp_v4_rcv";
    let trace = vm.trace(&format!("--output-tcp-flags --filter-func '{functions}' host 10.0.0.2 and tcp port 80"))?;
    let left = net.connect("10.0.0.2:80")?;
    let ended = trace.stop()?;

    let (there, back) = (format!("{left}->10.0.0.2:80"), format!("10.0.0.2:80->{left}"));
    // In 5.10, and on aarch64, the caller of `ip_local_out` has it inlined.
    let inlined = vm.version < (6, 0) || cfg!(target_arch = "aarch64");
    let first = if inlined { "__ip_local_out" } else { "ip_local_out" };
    ended.expect_in_order(&[&format!("{first} {there}(tcp:SYN)")])?;
    ended.expect_in_order(&[
        &format!("__ip_local_out {there}(tcp:SYN)"),
        &format!("ip_output {there}(tcp:SYN)"),
        &format!("__dev_queue_xmit {there}(tcp:SYN)"),
        &format!("dev_hard_start_xmit {there}(tcp:SYN)"),
        &format!("ip_rcv {there}(tcp:SYN)"),
        &format!("ip_local_deliver {there}(tcp:SYN)"),
        &format!("tcp_v4_rcv {there}(tcp:SYN)"),
        &format!("ip_output {back}(tcp:SYN|ACK)"),
        &format!("tcp_v4_rcv {back}(tcp:SYN|ACK)"),
        &format!("tcp_v4_rcv {there}(tcp:PSH|ACK)"),
        &format!("tcp_v4_rcv {back}(tcp:PSH|ACK)"),
        &format!("tcp_v4_rcv {there}(tcp:FIN|ACK)"),
    ])?;
    // One buffer carries the SYN from the sender to the receiver, and each namespace is named as it passes.
    let (sender, receiver) = (net.left.inode()?, net.right.inode()?);
    let syn: Vec<_> = ended.lines()?.into_iter().filter(|line| line.tuple == format!("{there}(tcp:SYN)")).collect();
    for line in &syn {
        let expected = if line.name() == "tcp_v4_rcv" || line.name() == "ip_rcv" { receiver } else { sender };
        let inside = line.name() != "ip_local_deliver";
        ensure!(!inside || u64::from(line.netns) == expected, "netns {expected} expected in {}", line.text);
        ensure!(line.skb == syn[0].skb, "not one skb: {} and {}", syn[0].text, line.text);
        // Only `__ip_local_out` sets the protocol.
        let protocol = if line.name().ends_with("ip_local_out") { 0 } else { 0x800 };
        ensure!(line.protocol == protocol && line.cpu < 2, "wrong columns: {}", line.text);
    }
    Ok(())
}
