//! An skb that has ended is not followed: the next one at its address is another packet.

use super::{ALIVE, EXPANDING, GONE, TRACKED, find, forget, stack, update};
use crate::plan::track::Tracking;
use crate::program::Entry;
use asm::{Asm, Label, R0, R1, R6, R7, u64};

/// Emits: the skb in R7, if it is followed, is in `state`. Clobbers: R0-R5.
pub fn becomes(a: &mut Asm, state: i32, end: Label) {
    find(a, TRACKED, R7);
    a.jeq(R0, 0, end);
    a.store(u64(R0), state);
}

/// Emits: the data of the skb in R7 are released, which is its end unless it gets another buffer. Clobbers: R0-R5.
pub fn releases(a: &mut Asm, end: Label) {
    let (stranger, ends) = (a.label(), a.label());
    find(a, TRACKED, R7);
    a.jeq(R0, 0, stranger);
    a.load(R1, u64(R0));
    a.jne(R1, EXPANDING, ends);
    a.note("only its old buffer");
    a.store(u64(R0), ALIVE);
    a.jump(end);
    a.bind(ends);
    forget(a, TRACKED, R7);
    let state = a.stack_named(8, "state");
    a.store(u64(state), ALIVE);
    update(a, GONE, R7, state);
    a.jump(end);
    a.bind(stranger);
    find(a, GONE, R7);
    a.jeq(R0, 0, end);
    forget(a, GONE, R7);
}

/// Emits: the memory of the skb in R7 is free. Clobbers: R0-R5.
pub fn frees(a: &mut Asm) {
    for map in [TRACKED, GONE] {
        let none = a.label();
        find(a, map, R7);
        a.jeq(R0, 0, none);
        forget(a, map, R7);
        a.bind(none);
    }
}

/// Emits: the memory of the skb in R7 is free if argument 2, a `bool`, is true. In: R6 = context. Clobbers: R0-R5.
pub fn frees_if(a: &mut Asm, entry: &Entry, tracking: &Tracking, end: Label) {
    a.load(R1, u64(R6 + entry.argument(2)));
    a.and(R1, 0xff);
    a.jeq(R1, 0, end);
    all(a, tracking);
}

/// Emits: the memory at R7 is free, be it that of one skb, of two, or none. Clobbers: R0-R5, R7.
pub fn frees_memory(a: &mut Asm, tracking: &Tracking) {
    all(a, tracking);
    a.note("the second of a pair");
    a.add(R7, tracking.skb_size as i32);
    all(a, tracking);
}

/// Emits: nothing is known of the skb in R7. Clobbers: R0-R5.
fn all(a: &mut Asm, tracking: &Tracking) {
    if tracking.stacks.is_some() {
        stack::forget(a);
    }
    frees(a);
}
