//! Helpers that a BPF program calls are found in its native code, and shown where they run for a packet that matched.

use crate::error::Result;
use crate::guest::bpf::{self, Packets};
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::NativeCode], ..Case::new(run) };

/// `call bpf_get_prandom_u32; r0 = 0; exit`: the call is to `bpf_user_rnd_u32`.
const CODE: [u64; 3] = [0x7_0000_0085, 0xb7, 0x95];

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    vm.sh("mount -t bpf bpf /sys/fs/bpf")?;
    let program = bpf::load(Packets::Tc, "lab_dice", &CODE, true)?;
    bpf::pin(&program, "/sys/fs/bpf/dice")?;
    net.left.sh(
        "tc qdisc add dev left0 clsact && tc filter add dev left0 egress bpf direct-action object-pinned /sys/fs/bpf/dice",
    )?;
    let functions = "--filter-func '__dev_queue_xmit|ip_rcv'";
    let trace = vm.trace(&format!("--filter-track-bpf-helpers {functions} icmp"))?;
    let plain = vm.trace(&format!("{functions} icmp"))?;
    net.ping("10.0.0.2")?;
    net.udp("10.0.0.2:5001", 100, 5)?;
    let (ended, plain) = (trace.stop()?, plain.stop()?);
    plain.expect_none("bpf_user_rnd_u32")?;
    ended.expect_in_order(&[
        "__dev_queue_xmit 10.0.0.1:0->10.0.0.2:0(icmp)",
        "bpf_user_rnd_u32 10.0.0.1:0->10.0.0.2:0(icmp)",
        "ip_rcv 10.0.0.1:0->10.0.0.2:0(icmp)",
    ])?;
    let rolled = ended.lines()?.iter().filter(|line| line.name() == "bpf_user_rnd_u32").count();
    ensure!(rolled == 1, "{rolled} lines for one packet\n{ended}");
    ensure!(ended.stderr.contains("BPF programs call"), "nobody says what was found\n{ended}");
    Ok(())
}
