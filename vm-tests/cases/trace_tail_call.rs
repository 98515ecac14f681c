//! A BPF program that another one tail-calls is not shown there: the kernel jumps over the place where fentry is. The one
//! that calls is shown; and the other, too, where it is entered by itself.

use crate::error::Result;
use crate::guest::bpf::{self, Packets};
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 120, ..Case::new(run) };

const OK: u32 = 0;
const SHOT: u32 = 2;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
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
    let trace = vm.trace("--filter-trace-tc --filter-func none udp port 5001")?;
    // What is shot in the front does not arrive: the tail call happened.
    let (_, arrived) = net.udp("10.0.0.2:5001", 100, 2)?;
    let ended = trace.stop()?;
    ensure!(arrived == 2, "{arrived} datagrams arrived: the programs do not call each other\n{ended}");
    let shown = |name: &str, device: &str| {
        let is_it = |line: &&str| line.contains(name) && line.contains(device);
        ended.stdout.lines().filter(is_it).count()
    };
    ensure!(shown("_lab_front[bpf](tc)", "left0") == 2, "the program that calls is not shown\n{ended}");
    ensure!(shown("_lab_behind[bpf](tc)", "right0") == 2, "the program is not shown where it is entered by itself\n{ended}");
    let behind = shown("_lab_behind[bpf](tc)", "left0");
    ensure!(behind == 0, "the program is shown {behind} times where it is tail-called: README says it is not\n{ended}");
    Ok(())
}
