//! The kernel accepts the program of every expression, however its packets are read.

use super::load::loads;
use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 900, ..Case::new(run) };

/// What is chosen for its code, and all that the filter compiler's corpus takes for Ethernet.
fn run(_: &Guest) -> Result<()> {
    let chosen = include_str!("expressions.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let corpus = include_str!("../../filter-compiler/tests/corpus.txt").lines().filter_map(|line| {
        let mut columns = line.splitn(3, '\t');
        let (link, verdict) = (columns.next()?, columns.next()?);
        (link != "RAW" && verdict == "ok").then(|| columns.next()).flatten()
    });
    loads(chosen.chain(corpus).map(|expression| format!("--filter-func ip_rcv -- {expression}")).collect())
}
