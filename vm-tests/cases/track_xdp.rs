//! A packet that matched in an XDP program is followed as the skb that is made of its frame; others are not.

use crate::error::Result;
use crate::guest::bpf::{self, Packets};
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::Fentry], ..Case::new(run) };

const PASS: u32 = 2;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    // Behind the network layer's input no packet has the port that is asked for.
    net.right.sh("nft add table ip t && nft add chain ip t in '{ type nat hook prerouting priority -100; }'")?;
    net.right.sh("nft add rule ip t in udp dport 5001 dnat to 10.0.0.2:5002")?;
    let program = bpf::load(Packets::Xdp, "lab_pass", &bpf::returns(PASS), true)?;
    net.right.sh(&format!("bpftool net attach xdp id {} dev right0", bpf::id_of(&program)?))?;
    let functions = "--filter-func 'udp_rcv|kfree_skbmem'";
    let trace = vm.trace(&format!("--filter-trace-xdp --filter-track-skb {functions} udp dst port 5001"))?;
    for port in [5003, 5001, 5003] {
        net.udp(&format!("10.0.0.2:{port}"), 100, 1)?;
    }
    let ended = trace.stop()?;
    let lines = ended.lines()?;
    let of_other = lines.iter().find(|line| line.tuple.contains(":5003("));
    ensure!(of_other.is_none(), "a packet that never matched\n{ended}");
    let frame = lines.iter().find(|line| line.function.contains("_lab_pass[bpf](xdp)"));
    ensure!(frame.is_some_and(|line| line.tuple.ends_with("->10.0.0.2:5001(udp)")), "no frame\n{ended}");
    ended.expect_in_order(&["udp_rcv ->10.0.0.2:5002(udp)", "kfree_skbmem"])
}
