//! `--filter-trace-tc` shows packets in tc programs, in both directions, in text and in JSON; the name of the line is
//! what `bpftool` finds the program by.

use crate::error::{Context, Result};
use crate::guest::bpf::{self, Packets};
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::Fentry], ..Case::new(run) };

const OK: u32 = 0;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    vm.sh("mount -t bpf bpf /sys/fs/bpf")?;
    let long = "lab_egress_with_a_name_of_some_length";
    let mut ids = Vec::new();
    for (name, direction, namespace, device) in
        [("lab_in", "ingress", &net.right, "right0"), (long, "egress", &net.left, "left0")]
    {
        let program = bpf::load(Packets::Tc, name, &bpf::returns(OK), true)?;
        bpf::pin(&program, &format!("/sys/fs/bpf/{direction}"))?;
        ids.push(bpf::id_of(&program)?);
        namespace.sh(&format!(
            "tc qdisc add dev {device} clsact && \
             tc filter add dev {device} {direction} bpf direct-action object-pinned /sys/fs/bpf/{direction}"
        ))?;
    }
    let trace = vm.trace("--filter-trace-tc --filter-func none udp port 5001")?;
    let json = vm.trace("--filter-trace-tc --filter-func udp_rcv --output-json udp port 5001")?;
    let (from, arrived) = net.udp("10.0.0.2:5001", 100, 2)?;
    let (ended, json) = (trace.stop()?, json.stop()?);
    ensure!(arrived == 2, "{arrived} datagrams arrived");
    let lines: Vec<_> = ended.stdout.lines().skip(1).collect();
    ensure!(ended.stdout.starts_with("SKB ") && lines.len() == 4, "not a header and four lines\n{ended}");
    for (n, line) in lines.iter().enumerate() {
        let (name, id) = if n % 2 == 0 { (long, ids[1]) } else { ("lab_in", ids[0]) };
        ensure!(line.ends_with(&format!("_{name}[bpf](tc) id {id}")), "another program: {line}\n{ended}");
        ensure!(line.contains(&format!(" {from}->10.0.0.2:5001(udp) bpf_prog_")), "another packet: {line}");
        ensure!(line.contains(" [0x00000000,0x00000000,"), "no cb: {line}");
        ensure!(line.contains(" 1500  142 "), "another length: {line}");
    }
    let mut seen = Vec::new();
    for line in json.stdout.lines() {
        let event: serde_json::Value = serde_json::from_str(line).context(line)?;
        let prog = &event["prog"];
        if prog.is_null() {
            ensure!(event["func"] == "udp_rcv", "neither: {line}");
            continue;
        }
        let (id, tag) = (prog["id"].as_u64().unwrap_or(0), prog["tag"].as_str().unwrap_or("none"));
        let found: serde_json::Value = serde_json::from_str(&vm.sh(&format!("bpftool -j prog show tag {tag}"))?)?;
        let found = found.as_array().is_some_and(|all| all.iter().any(|one| one["id"] == id));
        ensure!(found, "bpftool finds no program {id} by its tag {tag}");
        let name = prog["name"].as_str().unwrap_or("none");
        ensure!(event["func"] == format!("bpf_prog_{tag}_{name}[bpf](tc)"), "another name: {line}");
        ensure!(event["cb"].is_array(), "no cb: {line}");
        seen.push(name.to_owned());
    }
    ensure!(seen == [long, "lab_in", long, "lab_in"], "{seen:?}\n{json}");
    Ok(())
}
