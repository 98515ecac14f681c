//! `--output-json` prints one object per line, with pwru's keys.

use crate::error::{Context, Result};
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let trace = vm.trace("--output-json --filter-func 'ip_rcv|tcp_v4_rcv' tcp dst port 80")?;
    let left = net.connect("10.0.0.2:80")?;
    let ended = trace.stop()?;
    let mut events = Vec::new();
    for line in ended.stdout.lines() {
        events.push(serde_json::from_str::<serde_json::Value>(line).context(line)?);
    }
    ensure!(!events.is_empty(), "nothing was traced\n{ended}");
    for event in &events {
        ensure!(event["skb"].as_str().is_some_and(|skb| skb.starts_with("0x")), "no skb in {event}");
        ensure!(event["proto"] == 0x800 && event["mtu"].is_u64() && event["len"].is_u64(), "wrong numbers in {event}");
        ensure!(event["netns"] == net.right.inode()?, "wrong netns in {event}");
        let tuple = &event["tuple"];
        let (from, to) = (&tuple["saddr"], &tuple["daddr"]);
        ensure!(from == "10.0.0.1" && to == "10.0.0.2" && tuple["proto"] == 6, "wrong tuple in {event}");
        ensure!(tuple["sport"] == left.port() && tuple["dport"] == 80, "wrong ports in {event}");
    }
    for function in ["ip_rcv", "tcp_v4_rcv"] {
        ensure!(events.iter().any(|event| event["func"] == function), "no {function}\n{ended}");
    }
    Ok(())
}
