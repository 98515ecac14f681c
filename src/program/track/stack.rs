//! Following the stack that a packet is worked on.
//!
//! What runs on the same stack as a packet that matched belongs to it, be it about another skb or about none. A stack is
//! told apart by where it lies, which needs no frame pointers: the stack pointer is either in the current task's stack,
//! and then it is that task's, or in one of the CPU's own (interrupts and what follows them), and then it is that
//! CPU's. A packet leaves its stack when it is seen on another one, or ends.

use super::find;
use crate::plan::Plan;
use crate::plan::track::Stacks;
use crate::program::{Entry, capture, counter, read};
use asm::{Asm, Helper, Label, MapRef, R0, R1, R2, R3, R4, R7, R8, Slot, u64};

/// Stacks that a packet is worked on: which one (u64) to address of the skb (u64).
pub const STACKS: MapRef = MapRef(6);
/// The same the other way round.
pub const ON_STACK: MapRef = MapRef(7);

/// The stack that the program was entered on, in the frame.
pub struct Running(Slot);

impl Running {
    /// Emits: find out which stack this is. In: R6 = context. Clobbers: R0-R5, R8.
    pub fn find(a: &mut Asm, plan: &Plan, entry: &Entry, stacks: &Stacks) -> Running {
        let slot = a.stack_named(8, "stack");
        let known = a.label();
        a.note("which stack is this?");
        entry.stack_pointer(a, slot);
        a.mov(R8, R1);
        a.call(Helper::GetCurrentTask);
        a.mov(R1, R0);
        read::member(a, plan.memory, R1, stacks.task, stacks.base);
        a.sub(R8, R1);
        a.store(u64(slot), R1);
        a.jlt(R8, stacks.size as i32, known);
        // The CPU's own. No address is that small.
        a.call(Helper::GetSmpProcessorId);
        a.add(R0, 1);
        a.store(u64(slot), R0);
        a.bind(known);
        Running(slot)
    }

    /// Emits R0 = where the address of the skb is that is worked on here, 0 if none is. Clobbers: R1-R5.
    pub fn packet(&self, a: &mut Asm) {
        at(a, STACKS, self.0, Helper::MapLookupElem);
    }

    /// Emits: the skb in R7 is worked on here. Clobbers: R0-R5.
    pub fn remember(&self, a: &mut Asm) {
        let mark = a.stack_mark();
        let (here, done) = (a.label(), a.label());
        let (skb, old) = (a.stack_named(8, "skb"), a.stack_named(8, "old stack"));
        a.note("its stack");
        a.store(u64(skb), R7);
        at(a, ON_STACK, skb, Helper::MapLookupElem);
        a.jeq(R0, 0, here);
        a.load(R1, u64(R0));
        a.load(R2, u64(self.0));
        a.jeq(R1, R2, here);
        a.store(u64(old), R1);
        leave(a, old, here);
        a.bind(here);
        put(a, STACKS, self.0, skb);
        let full = a.label();
        a.jne(R0, 0, full);
        put(a, ON_STACK, skb, self.0);
        a.jeq(R0, 0, done);
        a.bind(full);
        capture::count(a, counter::UNTRACKED, done);
        a.bind(done);
        a.stack_release(mark);
    }
}

/// Emits: enter a function without an skb. R7 = the skb that is worked on there; jumps to `drop` if there is
/// none. In: R6 = context. Clobbers: R0-R5, R8.
pub fn enter(a: &mut Asm, plan: &Plan, entry: &Entry, stacks: &Stacks, drop: Label) {
    let running = Running::find(a, plan, entry, stacks);
    running.packet(a);
    a.jeq(R0, 0, drop);
    a.load(R7, u64(R0));
}

/// Emits: the skb in R7 is worked on nowhere. Clobbers: R0-R5.
pub fn forget(a: &mut Asm) {
    let mark = a.stack_mark();
    let (none, left) = (a.label(), a.label());
    let (skb, stack) = (a.stack_named(8, "skb"), a.stack_named(8, "stack"));
    a.note("its stack");
    find(a, ON_STACK, R7);
    a.jeq(R0, 0, none);
    a.load(R1, u64(R0));
    a.store(u64(stack), R1);
    a.store(u64(skb), R7);
    leave(a, stack, left);
    a.bind(left);
    at(a, ON_STACK, skb, Helper::MapDeleteElem);
    a.bind(none);
    a.stack_release(mark);
}

/// Emits: the stack in `stack` is no longer that of the skb in R7, unless it is another's: then jumps to `other`.
fn leave(a: &mut Asm, stack: Slot, other: Label) {
    at(a, STACKS, stack, Helper::MapLookupElem);
    a.jeq(R0, 0, other);
    a.load(R1, u64(R0));
    a.jne(R1, R7, other);
    at(a, STACKS, stack, Helper::MapDeleteElem);
}

/// Emits a call of `helper` for the key in `key`.
fn at(a: &mut Asm, map: MapRef, key: Slot, helper: Helper) {
    a.load_map(R1, map);
    a.lea(R2, key);
    a.call(helper);
}

/// Emits: `map` has the word in `value` for the one in `key`; R0 = 0 if there was room.
fn put(a: &mut Asm, map: MapRef, key: Slot, value: Slot) {
    a.load_map(R1, map);
    a.lea(R2, key);
    a.lea(R3, value);
    a.mov(R4, 0);
    a.call(Helper::MapUpdateElem);
}
