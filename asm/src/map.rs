//! References to maps that do not exist yet.

use std::fmt;

/// A map by a number that the caller gives it; [`Program::encode`](crate::Program::encode) asks for the descriptor.
///
/// In a program that was disassembled the number is the descriptor that was found in the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapRef(pub u32);

/// `map[0]`.
impl fmt::Display for MapRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "map[{}]", self.0)
    }
}
