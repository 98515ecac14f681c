//! Under lockdown=confidentiality, too, a BPF program is shown where it is entered by tail calls, from Linux 6.2 on; below
//! it is named.

use crate::error::Result;
use crate::guest::bpf::{self, Packets};
use crate::guest::{Boot, Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::NativeCode], seconds: 240, boot: Boot::LockdownConfidentiality, ..Case::new(run) };

const DROP: u32 = 1;
const PASS: u32 = 2;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let behind = bpf::load(Packets::Xdp, "lab_behind", &bpf::returns(PASS), true)?;
    let array = bpf::program_array()?;
    bpf::put(&array, &behind)?;
    let front = bpf::load(Packets::Xdp, "lab_front", &bpf::tail_call(&array, DROP), true)?;
    net.right.sh(&format!("bpftool net attach xdp id {} dev right0", bpf::id_of(&front)?))?;
    let trace = vm.trace("--filter-trace-xdp --filter-func none udp port 5001")?;
    let (_, arrived) = net.udp("10.0.0.2:5001", 100, 2)?;
    let ended = trace.stop()?;
    net.right.sh("bpftool net detach xdp dev right0")?;
    ensure!(arrived == 2, "{arrived} datagrams arrived\n{ended}");
    let count = |name: &str| ended.stdout.lines().filter(|line| line.contains(name)).count();
    let casts = vm.version >= (6, 2);
    let (shown, said) = (count("_lab_behind[bpf](xdp)"), ended.stderr.contains("is not shown where it is entered"));
    ensure!((shown, said) == (if casts { 2 } else { 0 }, !casts), "shown {shown} times, named: {said}\n{ended}");
    ensure!(count("_lab_front[bpf](xdp)") == 2, "the program that calls is not shown\n{ended}");
    Ok(())
}
