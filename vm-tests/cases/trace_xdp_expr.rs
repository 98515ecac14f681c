//! `--filter-xdp-expr` keeps frames, `--output-xdp-metadata` shows what is in the `xdp_buff`, in text and in JSON.

use crate::error::{Context, Result};
use crate::guest::bpf::{self, Packets};
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::Fentry], ..Case::new(run) };

const PASS: u32 = 2;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let program = bpf::load(Packets::Xdp, "lab_pass", &bpf::returns(PASS), true)?;
    let id = bpf::id_of(&program)?;
    net.right.sh(&format!("bpftool net attach xdp id {id} dev right0"))?;
    let common = "--filter-trace-xdp --filter-func none \
                  --filter-xdp-expr 'xdp->data_end - xdp->data > 100 && xdp->rxq->dev->mtu == 1500'";
    let name = "'xdp->rxq->dev->name,((struct ethhdr *)xdp->data)->h_proto'";
    let text = vm.trace(&format!("{common} --output-xdp-metadata {name} udp"))?;
    let json = vm.trace(&format!("{common} --output-xdp-metadata {name} --output-json udp"))?;
    net.udp("10.0.0.2:5001", 100, 2)?;
    net.udp("10.0.0.2:5001", 10, 2)?;
    let (text, json) = (text.stop()?, json.stop()?);
    let lines = text.lines()?;
    ensure!(lines.len() == 2 && lines.iter().all(|line| line.length == 142), "not the two long frames\n{text}");
    for line in lines {
        ensure!(line.text.contains("_lab_pass[bpf](xdp) id ") && line.text.contains(" name="), "{}", line.text);
        ensure!(line.text.contains("right0") && line.text.contains("h_proto="), "{}", line.text);
    }
    let events: Vec<_> = json.stdout.lines().collect();
    ensure!(events.len() == 2, "not two events\n{json}");
    for line in events {
        let event: serde_json::Value = serde_json::from_str(line).context(line)?;
        let told = &event["metadata"];
        ensure!(told["name"] == "right0" && told["h_proto"] == "0x0800", "other values: {line}");
        ensure!(event["prog"]["id"] == id, "no program: {line}");
    }
    Ok(())
}
