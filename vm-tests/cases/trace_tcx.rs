//! A tc program that is attached by tcx is traced like any other.

use crate::error::Result;
use crate::guest::bpf::{self, Packets};
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::Tcx], ..Case::new(run) };

/// `TCX_NEXT`.
const NEXT: u32 = u32::MAX;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let program = bpf::load(Packets::Tc, "lab_tcx", &bpf::returns(NEXT), true)?;
    let index = net.right.sh("cat /sys/class/net/right0/ifindex || ip -o link show right0")?;
    let index: String = index.chars().take_while(char::is_ascii_digit).collect();
    let _link = net.right.enter(|| Ok(bpf::attach_tcx(&program, index.parse()?, true)?))?;
    let trace = vm.trace("--filter-trace-tc --filter-func udp_rcv udp port 5001")?;
    net.udp("10.0.0.2:5001", 100, 1)?;
    let ended = trace.stop()?;
    let lines: Vec<_> = ended.stdout.lines().skip(1).collect();
    ensure!(lines.len() == 2 && lines[0].contains("_lab_tcx[bpf](tc) id "), "no program first\n{ended}");
    ensure!(lines[1].ends_with(" udp_rcv"), "no function then\n{ended}");
    Ok(())
}
