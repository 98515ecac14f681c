//! `--output-bpfmap` shows what BPF programs do to maps for a packet that matched: map, key and value, beside the packet.

use crate::error::{Context, Result};
use crate::guest::bpf::{self, Packets};
use crate::guest::trace::Ended;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::Fentry], seconds: 300, ..Case::new(run) };

const UPDATE: &str = "htab_map_update_elem";
const LOOKUP: &str = "__htab_map_lookup_elem";
const DELETE: &str = "htab_map_delete_elem";
/// The only packet that is looked at.
const PACKET: &str = "10.0.0.1:0->10.0.0.2:0(icmp)";

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    vm.sh("mount -t bpf bpf /sys/fs/bpf")?;
    let map = bpf::hash_map("lab_counts", 4, 300)?;
    let program = bpf::load(Packets::Tc, "lab_count", &bpf::uses_map(&map, 300, 0), true)?;
    bpf::pin(&program, "/sys/fs/bpf/count")?;
    net.left.sh(
        "tc qdisc add dev left0 clsact && tc filter add dev left0 egress bpf direct-action object-pinned /sys/fs/bpf/count",
    )?;
    let filter = "--filter-func '__dev_queue_xmit|ip_rcv' icmp[icmptype] = icmp-echo";
    // Each by another way in and out.
    let alone = vm.trace(&format!("--output-bpfmap {filter}"))?;
    let json = vm.trace(&format!("--backend fentry --output-bpfmap --output-json {filter}"))?;
    let helpers = format!("--output-bpfmap --filter-track-bpf-helpers --event-buffer perf {filter}");
    let helpers = if vm.has(Feature::NativeCode)? {
        Some(vm.trace(&helpers)?)
    } else {
        vm.whither(&helpers).finish()?.expect_refusal(1, &["only code of x86_64 can be read"])?;
        None
    };
    let named = vm.trace(&format!("--backend kprobe --output-bpfmap --filter-track-skb --filter-non-skb-funcs {UPDATE} {filter}"))?;
    net.ping("10.0.0.2")?;
    net.udp("10.0.0.2:5001", 100, 5)?;
    for (trace, calls) in [(Some(alone), 4), (helpers, 4), (Some(named), 1)] {
        if let Some(trace) = trace {
            let ended = trace.stop()?;
            is_right(&ended, calls).context(&ended)?;
        }
    }
    let json = json.stop()?;
    let events: Vec<serde_json::Value> =
        json.stdout.lines().map(|line| serde_json::from_str(line).context(line)).collect::<Result<_>>()?;
    let maps: Vec<_> = events.iter().filter(|event| event["map"].is_object()).collect();
    let functions: Vec<_> = maps.iter().filter_map(|event| event["func"].as_str()).collect();
    ensure!(functions == [UPDATE, LOOKUP, DELETE, LOOKUP], "{functions:?}\n{json}");
    let skb = events.iter().find(|event| event["func"] == "__dev_queue_xmit").map(|event| &event["skb"]);
    for (n, event) in maps.iter().enumerate() {
        let map = &event["map"];
        ensure!(map["name"] == "lab_counts" && map["key"] == "11223344", "another entry: {map}");
        ensure!(map["key_size"] == 4 && map["value_size"] == 300, "other sizes: {map}");
        let value = format!("55667788{}", "0".repeat(504));
        let value = if n < 2 { serde_json::Value::from(value) } else { serde_json::Value::Null };
        ensure!(map["value"] == value, "another value: {map}");
        ensure!(Some(&event["skb"]) == skb, "another packet\n{json}");
    }
    Ok(())
}

/// Whether the functions are there, each with its dump, once.
fn is_right(ended: &Ended, calls: usize) -> Result<()> {
    let is_call = |line: &&str| [UPDATE, LOOKUP, DELETE].iter().any(|name| line.ends_with(&format!(" {name}")));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let seen: Vec<&str> = lines.iter().copied().filter(is_call).collect();
    ensure!(seen.len() == calls, "{} calls, not {calls}", seen.len());
    for line in &seen {
        ensure!(line.contains(PACKET), "another packet: {line}");
    }
    let names: Vec<_> = seen.iter().filter_map(|line| line.split_whitespace().last()).collect();
    ensure!(names == [UPDATE, LOOKUP, DELETE, LOOKUP][..calls], "{names:?}");
    let first = lines.iter().position(is_call).unwrap_or(0);
    let dump = lines.get(first + 2..first + 7).unwrap_or_default();
    let want = [
        "map_name: lab_counts",
        "key(4):",
        "00000000  11 22 33 44                                       |.\"3D|",
        "value(300):",
        "00000000  55 66 77 88 00 00 00 00  00 00 00 00 00 00 00 00  |Ufw.............|",
    ];
    ensure!(dump == want, "{dump:#?}");
    ensure!(lines.iter().filter(|line| **line == "... 44 more bytes").count() == calls.min(2), "not cut where it should be");
    ensure!(lines.iter().filter(|line| **line == "map_name: lab_counts").count() == calls, "other maps are shown");
    ensure!(!ended.stdout.contains("whither_"), "our own maps are shown");
    Ok(())
}
