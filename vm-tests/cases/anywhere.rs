//! What whither shows on every host, whatever that host allows.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::guest::{Boot, Case, Feature, Guest, feature::Presence};

/// Attaching by plain kprobes goes on while packets are shown, so what is looked for may come late.
const PATIENCE: Duration = Duration::from_secs(240);

/// A case on hosts that are booted like this.
pub const fn case(boot: Boot) -> Case {
    Case { boot, seconds: 420, ..Case::new(run) }
}

/// Without a word about how to trace: a TCP connection, and a packet that nftables drops.
fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    net.right.sh("nft add table ip t && nft add chain ip t in '{ type filter hook input priority 0; }'")?;
    net.right.sh("nft add rule ip t in tcp dport 81 drop")?;
    let before = vm.leftovers()?;
    let trace = vm.whither("tcp port 80 or tcp port 81").start_when_said("Tracing by")?;
    let reason = match Feature::DropReasons.presence(vm) {
        Presence::Here => "(SKB_DROP_REASON_NETFILTER_DROP)",
        _ => "",
    };
    let begin = Instant::now();
    loop {
        net.connect("10.0.0.2:80")?;
        net.connect_in_vain("10.0.0.2:81", Duration::from_millis(300))?;
        std::thread::sleep(Duration::from_millis(300));
        let seen = trace.so_far();
        let line = |words: &[&str]| seen.lines().any(|line| words.iter().all(|word| line.contains(word)));
        let there = line(&["->10.0.0.2:80(tcp)"]);
        let back = line(&["10.0.0.2:80->", "(tcp)"]);
        let dropped = line(&["->10.0.0.2:81(tcp)", "kfree_skb", reason])
            || line(&["->10.0.0.2:81(tcp)", "sk_skb_reason_drop", reason]);
        if there && back && dropped {
            break;
        }
        if begin.elapsed() > PATIENCE {
            let ended = trace.stop()?;
            return Err(format!("seen there {there}, back {back}, dropped {dropped}\n{ended}").into());
        }
    }
    let ended = trace.stop()?;
    ended.expect_all("a packet of these connections", |line| {
        line.tuple.ends_with("(tcp)") && (line.tuple.contains("10.0.0.2:80") || line.tuple.contains("10.0.0.2:81"))
    })?;
    let named = ["kprobe-multi", "kprobe", "fentry", "tracepoint"].iter().any(|way| ended.stderr.contains(way));
    ensure!(named, "the way in is not named\n{ended}");
    vm.expect_nothing_left(&before, Duration::from_secs(240))
}
