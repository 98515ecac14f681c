//! The kernel accepts what follows packets, by every way in, together with everything that makes programs large.

use super::load::{backends, loads, starts};
use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 300, ..Case::new(run) };

const LARGE: &str = "--filter-track-skb --filter-track-skb-by-stackid --output-skb-cb --output-caller --timestamp absolute";
const EXPRESSION: &str = "host 10.0.0.2 and tcp port 80";

fn run(vm: &Guest) -> Result<()> {
    let mut runs = Vec::new();
    for backend in backends(vm)? {
        let functions = match backend {
            "tracepoint" => "",
            _ => "--filter-func 'ip_rcv|ip_output|kfree_skbmem|skb_release_data'",
        };
        for follow in [
            "--filter-track-skb",
            "--filter-track-skb-by-stackid",
            "--filter-track-skb --filter-track-skb-by-stackid --track-table-size 1",
            "--filter-track-skb --event-buffer perf --filter-mark 1",
        ] {
            loads(&format!("--backend {backend} {functions} {follow}"), &[EXPRESSION])?;
        }
        runs.push(format!("--backend {backend} {functions} {LARGE} {EXPRESSION}"));
        if backend != "tracepoint" {
            let named = format!("--backend {backend} {functions} --filter-non-skb-funcs fib_table_lookup");
            loads(&named, &["vlan 5", ""])?;
        }
    }
    starts(runs)
}
