//! A BPF program that is entered by tail calls is shown there, and where it is entered by itself: each packet once.

use crate::error::Result;
use crate::guest::bpf::{self, Packets};
use crate::guest::net::Net;
use crate::guest::trace::Ended;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::NativeCode], seconds: 240, ..Case::new(run) };

const OK: u32 = 0;
const SHOT: u32 = 2;
const DROP: u32 = 1;
const PASS: u32 = 2;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    in_tc(vm, &net)?;
    in_xdp(vm, &net)
}

/// Both programs are there before the run, as they are in what Cilium loads.
fn in_tc(vm: &Guest, net: &Net) -> Result<()> {
    vm.sh("mount -t bpf bpf /sys/fs/bpf")?;
    let behind = bpf::load(Packets::Tc, "lab_behind", &bpf::returns(OK), true)?;
    let array = bpf::program_array()?;
    bpf::put(&array, &behind)?;
    let front = bpf::load(Packets::Tc, "lab_front", &bpf::tail_call(&array, SHOT), true)?;
    for (program, name) in [(&front, "front"), (&behind, "behind")] {
        bpf::pin(program, &format!("/sys/fs/bpf/{name}"))?;
    }
    for (namespace, device, direction, name) in
        [(&net.left, "left0", "egress", "front"), (&net.right, "right0", "ingress", "behind")]
    {
        namespace.sh(&format!(
            "tc qdisc add dev {device} clsact && \
             tc filter add dev {device} {direction} bpf direct-action object-pinned /sys/fs/bpf/{name}"
        ))?;
    }
    let trace = vm.trace("--filter-trace-tc --filter-func none --output-caller udp port 5001")?;
    // What is shot in the front does not arrive: the tail call happened.
    let (from, arrived) = net.udp("10.0.0.2:5001", 100, 2)?;
    let ended = trace.stop()?;
    ensure!(arrived == 2, "{arrived} datagrams arrived: the programs do not call each other\n{ended}");
    shown(&ended, "_lab_front[bpf](tc)", "left0", 2)?;
    shown(&ended, "_lab_behind[bpf](tc)", "left0", 2)?;
    shown(&ended, "_lab_behind[bpf](tc)", "right0", 2)?;
    let (tuple, id) = (format!(" {from}->10.0.0.2:5001(udp) "), format!("[bpf](tc) id {} ", bpf::id_of(&behind)?));
    for line in ended.stdout.lines().filter(|line| line.contains("_lab_behind")) {
        ensure!(line.contains(" 1500  142 ") && line.contains(&tuple), "another packet: {line}");
        // The caller is that of the first of the programs.
        ensure!(line.contains(&id) && line.contains(" cls_bpf_classify"), "another program, or way to it: {line}");
    }

    // The packet is known there when it is followed, and the stack begins there.
    let trace = vm.trace("--filter-trace-tc --filter-track-skb --output-stack --filter-func udp_rcv udp port 5001")?;
    net.udp("10.0.0.2:5001", 100, 1)?;
    let ended = trace.stop()?;
    shown(&ended, "_lab_behind[bpf](tc)", "left0", 1)?;
    ensure!(ended.stdout.contains(" udp_rcv"), "it is not followed\n{ended}");
    let mut stack = ended.stdout.lines().skip_while(|line| !line.contains("_lab_behind[bpf](tc)")).skip(1);
    let frames = [stack.next().unwrap_or_default(), stack.next().unwrap_or_default()];
    let is_whole = frames[0].contains("_lab_behind") && frames[1].contains("cls_bpf_classify+0x");
    ensure!(is_whole, "the stack begins with {frames:?}\n{ended}");
    for (namespace, device) in [(&net.left, "left0"), (&net.right, "right0")] {
        namespace.sh(&format!("tc qdisc del dev {device} clsact"))?;
    }
    vm.sh("rm /sys/fs/bpf/front /sys/fs/bpf/behind && umount /sys/fs/bpf")?;
    Ok(())
}

/// The program is put into the array during the run, and taken out again.
fn in_xdp(vm: &Guest, net: &Net) -> Result<()> {
    let behind = bpf::load(Packets::Xdp, "lab_behind", &bpf::returns(PASS), true)?;
    let other = bpf::load(Packets::Xdp, "lab_other", &bpf::returns(PASS), true)?;
    let array = bpf::program_array()?;
    let front = bpf::load(Packets::Xdp, "lab_front", &bpf::tail_call(&array, DROP), true)?;
    let attach = |program| {
        let id = bpf::id_of(program)?;
        net.right.sh(&format!("bpftool net attach xdp id {id} dev right0 overwrite")).map(drop)
    };
    let trace = vm.trace("--filter-trace-xdp --filter-func none udp port 5001")?;
    attach(&behind)?;
    let mut arrived = net.udp("10.0.0.2:5001", 100, 1)?.1;
    bpf::put(&array, &behind)?;
    trace.wait_until_said("`lab_behind` (id", "by a breakpoint")?;
    arrived += net.udp("10.0.0.2:5001", 100, 1)?.1;
    attach(&front)?;
    arrived += net.udp("10.0.0.2:5001", 100, 3)?.1;
    // Both are in the array now and then: what is out of it has fentry again.
    bpf::put(&array, &other)?;
    trace.wait_until_said("`lab_other` (id", "by a breakpoint")?;
    arrived += net.udp("10.0.0.2:5001", 100, 5)?.1;
    attach(&behind)?;
    arrived += net.udp("10.0.0.2:5001", 100, 7)?.1;
    let ended = trace.stop()?;
    net.right.sh("bpftool net detach xdp dev right0")?;
    ensure!(arrived == 17, "{arrived} datagrams arrived: the programs do not call each other\n{ended}");
    shown(&ended, "_lab_front[bpf](xdp)", "right0", 8)?;
    shown(&ended, "_lab_behind[bpf](xdp)", "right0", 1 + 1 + 3 + 7)?;
    shown(&ended, "_lab_other[bpf](xdp)", "right0", 5)?;
    let lines = ended.lines()?;
    let is_whole = |line: &crate::guest::lines::Line| {
        line.skb.starts_with("0xff") && line.tuple.ends_with("->10.0.0.2:5001(udp)") && line.length == 142
    };
    ensure!(lines.iter().all(is_whole), "another frame\n{ended}");
    Ok(())
}

fn shown(ended: &Ended, name: &str, device: &str, times: usize) -> Result<()> {
    let count = ended.stdout.lines().filter(|line| line.contains(name) && line.contains(device)).count();
    ensure!(count == times, "{name} is shown {count} times on {device} instead of {times}\n{ended}");
    Ok(())
}
