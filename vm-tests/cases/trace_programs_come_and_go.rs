//! Programs that are loaded during the run are traced; one without type information is named and left alone, and one that
//! goes does no harm.

use crate::error::Result;
use crate::guest::bpf::{self, Packets};
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::Fentry], ..Case::new(run) };

const PASS: u32 = 2;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let attach = |id: u32| net.right.sh(&format!("bpftool net attach xdp id {id} dev right0 overwrite"));
    let untyped = bpf::load(Packets::Xdp, "lab_untyped", &bpf::returns(PASS), false)?;
    let gone = bpf::load(Packets::Xdp, "lab_gone", &bpf::returns(PASS), true)?;
    attach(bpf::id_of(&untyped)?)?;
    let trace = vm.trace("--filter-trace-xdp --filter-func none udp port 5001")?;
    net.udp("10.0.0.2:5001", 100, 1)?;
    drop(gone);

    // Many that are gone at once: some while they are looked at.
    for _ in 0..200 {
        bpf::load(Packets::Xdp, "lab_brief", &bpf::returns(PASS), true)?;
    }

    let late = bpf::load(Packets::Xdp, "lab_late", &bpf::returns(PASS), true)?;
    trace.wait_until_said("lab_late", "Attached")?;
    attach(bpf::id_of(&late)?)?;
    net.udp("10.0.0.2:5001", 100, 1)?;
    net.right.sh("bpftool net detach xdp dev right0")?;
    drop(late);
    net.udp("10.0.0.2:5001", 100, 1)?;
    let ended = trace.stop()?;
    let lines = ended.lines()?;
    ensure!(lines.len() == 1 && lines[0].function.contains("_lab_late[bpf](xdp)"), "not one line of lab_late\n{ended}");
    let said: Vec<_> = ended.stderr.lines().filter(|line| line.contains("lab_untyped")).collect();
    ensure!(said.len() == 1 && said[0].contains("has no BTF"), "lab_untyped is not named once: {said:?}\n{ended}");
    ensure!(ended.stderr.contains("`lab_gone`"), "lab_gone is not named\n{ended}");
    Ok(())
}
