//! Graph to classic BPF.
//!
//! Every node becomes a block: statements that bring the value into A (and a second one into X), then a jump. What the
//! registers hold where a block starts is what all ways to it agree on; blocks with the same text become one.

mod layout;
mod select;

use super::Program;
use crate::error::Error;
use crate::graph::Graph;

/// What an accepting program returns: libpcap's default snapshot length.
pub const ACCEPT: u32 = 262_144;

/// Translates a graph. The program is what libpcap would make of the same tests or shorter.
///
/// `protochain` becomes a loop with a backward jump, which Linux refuses for socket filters; [`Program::check`] tells.
///
/// # Errors
///
/// None today: what does not fit into sixteen scratch cells was refused when the expression was compiled.
pub fn to_cbpf(graph: &Graph) -> Result<Program, Error> {
    let (blocks, entry) = select::select(graph);
    Ok(layout::layout(&blocks, entry))
}
