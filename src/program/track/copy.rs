//! An skb that is made of one that is followed is followed, too.

use super::{TRACKED, find, remember};
use crate::program::Entry;
use asm::{Asm, Label, R0, R6, R7, R8, u64};

/// Emits: the skb in R7, a copy of argument 2 or a part of it, is followed if argument 2 is. In: R6 = context.
/// Clobbers: R0-R5, R8.
pub fn copies(a: &mut Asm, entry: &Entry, end: Label) {
    a.note("the original");
    a.load(R8, u64(R6 + entry.argument(2)));
    find(a, TRACKED, R8);
    a.jeq(R0, 0, end);
    remember(a, R7);
}
