//! The kernel accepts the program of every expression, however its packets are read.

use super::load::{backends, loads};
use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 600, ..Case::new(run) };

/// What is chosen for its code, and all that the filter compiler's corpus takes for Ethernet.
fn run(vm: &Guest) -> Result<()> {
    let chosen = include_str!("expressions.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let corpus = include_str!("../../filter-compiler/tests/corpus.txt").lines().filter_map(|line| {
        let mut columns = line.splitn(3, '\t');
        let (link, verdict) = (columns.next()?, columns.next()?);
        (link != "RAW" && verdict == "ok").then(|| columns.next()).flatten()
    });
    let expressions: Vec<&str> = chosen.chain(corpus).collect();
    let backends = backends(vm)?;
    let is_same = |backend: &str| backend == "kprobe" && backends.contains(&"kprobe-multi");
    for backend in backends.iter().filter(|backend| !is_same(backend)) {
        let function = if *backend == "tracepoint" { "net_dev_queue" } else { "ip_rcv" };
        loads(&format!("--backend {backend} --filter-func {function}"), &expressions)?;
    }
    Ok(())
}
