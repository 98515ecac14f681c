//! The kernel accepts what follows packets, by every way in, together with everything that makes programs large.

use super::load::loads;
use crate::error::Result;
use crate::guest::feature::Presence;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { seconds: 300, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let mut backends = vec!["kprobe", "fentry", "tracepoint"];
    if Feature::KprobeMulti.presence(vm) == Presence::Here {
        backends.push("kprobe-multi");
    }
    let mut runs = Vec::new();
    for backend in backends {
        let functions = match backend {
            "tracepoint" => "",
            _ => "--filter-func 'ip_rcv|ip_output|kfree_skbmem|skb_release_data'",
        };
        for follow in [
            "--filter-track-skb",
            "--filter-track-skb-by-stackid",
            "--filter-track-skb --filter-track-skb-by-stackid --track-table-size 1",
            "--filter-track-skb --filter-track-skb-by-stackid --output-skb-cb --output-caller --timestamp absolute",
        ] {
            runs.push(format!("--backend {backend} {functions} {follow} host 10.0.0.2 and tcp port 80"));
        }
        runs.push(format!("--backend {backend} {functions} --filter-track-skb --event-buffer perf --filter-mark 1"));
        if backend != "tracepoint" {
            let named = "--filter-non-skb-funcs fib_table_lookup";
            runs.push(format!("--backend {backend} {functions} {named} vlan 5"));
            runs.push(format!("--backend {backend} {functions} {named}"));
        }
    }
    loads(runs)
}
