//! `--output-skb` and `--output-skb-shared-info` print the whole structures, as the kernel itself would.

use crate::error::Result;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { seconds: 90, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let mut ways = vec!["", "--event-buffer perf"];
    if vm.has(Feature::Fentry)? {
        ways.push("--backend fentry");
    }
    for flags in ways {
        let trace = vm.trace(&format!("{flags} --filter-func ip_rcv --output-skb --output-skb-shared-info udp dst port 5001"))?;
        net.udp("10.0.0.2:5001", 100, 1)?;
        let ended = trace.stop()?;
        let (line, rest) = ended.stdout.split_once("(struct sk_buff){\n").ok_or_else(|| format!("no sk_buff\n{ended}"))?;
        let (skb, info) = rest.split_once("(struct skb_shared_info){\n").ok_or_else(|| format!("no shared info\n{ended}"))?;
        ensure!(line.trim_end().ends_with("ip_rcv"), "{line}");
        for part in [" .len = (unsigned int)128,\n", " .head = (unsigned char *)0xff", ".protocol = (__be16)8,\n", "}\n\n"] {
            ensure!(skb.contains(part), "{flags}: the sk_buff has no {part:?}\n{ended}");
        }
        ensure!(info.contains(" .dataref = (atomic_t){\n  .counter = (int)") && info.ends_with("}\n\n"), "{flags}: {info}");
    }
    let json = vm.trace("--output-json --filter-func ip_rcv --output-skb --output-skb-shared-info udp dst port 5001")?;
    net.udp("10.0.0.2:5001", 100, 1)?;
    let json = json.stop()?;
    let event: serde_json::Value = serde_json::from_str(json.stdout.lines().next().ok_or("no line")?)?;
    let starts = |key: &str, start: &str| event[key].as_str().is_some_and(|text| text.starts_with(start));
    ensure!(starts("skb_metadata", "\n(struct sk_buff){\n") && starts("skb_shared_info", "\n(struct skb_shared_info){\n"), "{event}");
    Ok(())
}
