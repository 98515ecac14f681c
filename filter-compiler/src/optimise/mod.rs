//! The same meaning in fewer tests.
//!
//! Passes are functions from a graph to a graph, and whether it differs; they run until none of them changes anything.
//! A pass never lets a load happen on a way where the text would not have loaded it: on a packet that was cut short,
//! that could turn "accept" into "reject". It may drop loads, or let them happen later.

mod domain;
pub mod group;
#[cfg(test)]
mod tests;
pub mod thread;

use crate::error::{Error, ErrorKind, Span};
use crate::graph::{Graph, Target};
use crate::lower::Lowered;

/// A pass: the new graph, and whether it differs from the old one.
pub type Pass = fn(Graph) -> (Graph, bool);

/// In the order in which they run.
pub const PASSES: [(&str, Pass); 2] = [("thread", thread::thread), ("group", group::group)];

/// Passes can undo each other's work for ever in theory; no expression is known that needs half as many rounds.
const ROUNDS: usize = 20;

/// Optimises, and refuses what no packet can match.
///
/// `again` lowers once more: what was typed is needed only if nothing seems to match.
pub(crate) fn checked(
    lowered: Lowered,
    text: &str,
    again: impl FnOnce() -> Result<Lowered, Error>,
) -> Result<Graph, Error> {
    let Lowered { graph, never_rejected, mut doubtful } = lowered;
    if !doubtful.is_empty() {
        let reached = if never_rejected { graph.clone() } else { as_libpcap(graph.clone()) };
        let first = doubtful.iter().position(|(value, _)| reached.computes(*value));
        if let Some(first) = first {
            return Err(doubtful.swap_remove(first).1);
        }
    }
    if graph.root() == Target::Reject && !never_rejected {
        return Err(rejects_all(text));
    }
    let graph = optimise(graph);
    if graph.root() == Target::Reject && !never_rejected && is_rejected_by_libpcap(again()?.graph) {
        return Err(rejects_all(text));
    }
    Ok(graph)
}

fn rejects_all(text: &str) -> Error {
    Error::new(text, Span { start: 0, end: text.len() }, ErrorKind::RejectsAll)
}

/// Runs all passes until none of them changes anything.
pub fn optimise(graph: Graph) -> Graph {
    let (mut graph, _) = thread::impossible_loads(graph);
    // How many passes in a row found nothing to do. A pass that changed something does not run again before another
    // one has changed something too.
    let mut idle = 0;
    for (_, pass) in PASSES.iter().cycle().take(ROUNDS * PASSES.len()) {
        let changed;
        (graph, changed) = pass(graph);
        idle = if changed { 1 } else { idle + 1 };
        if idle >= PASSES.len() {
            break;
        }
    }
    graph
}

/// We find out more often than libpcap that nothing can match; what it accepts has to be accepted.
fn is_rejected_by_libpcap(graph: Graph) -> bool {
    as_libpcap(graph).root() == Target::Reject
}

/// Only what libpcap's optimiser finds out.
fn as_libpcap(mut graph: Graph) -> Graph {
    for _ in 0..ROUNDS {
        let changed;
        (graph, changed) = thread::thread_with::<thread::Outcomes>(graph);
        if !changed {
            break;
        }
    }
    graph
}
