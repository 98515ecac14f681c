//! From an XDP program to the skb that is built around the frame.
//!
//! The skb's data begin where the frame's do when the driver hands it to `eth_type_trans`, whatever the driver puts in
//! front of them. A frame that is dropped or sent on is forgotten; one of which no skb is built is forgotten when the
//! next one in its buffer passes the XDP program.

use super::{ALIVE, find, forget, remember, update};
use crate::plan::Plan;
use crate::plan::kernel::Xdp;
use crate::program::read::{self, View};
use asm::{Asm, Label, MapRef, R0, R1, R6, R7, R8, R9, Reg64, u64};

/// Frames that matched: the address of the `xdp_buff` while the program runs, then that of the data. Forgets the oldest.
pub const FRAMES: MapRef = MapRef(8);

/// `enum xdp_action`.
const PASS: i32 = 2;

/// Emits: the frame of the `xdp_buff` at R7 matches. Clobbers: R0-R5.
pub fn matches(a: &mut Asm) {
    a.note("if it becomes an skb, follow that");
    note(a, R7);
}

fn note(a: &mut Asm, address: Reg64) {
    let mark = a.stack_mark();
    let state = a.stack_named(8, "state");
    a.store(u64(state), ALIVE);
    update(a, FRAMES, address, state);
    a.stack_release(mark);
}

/// Emits the end of an XDP program: what it let through is expected to become an skb. In: R6 = context. Clobbers
/// everything.
pub fn is_let_through(a: &mut Asm, plan: &Plan, xdp: &Xdp, end: Label) {
    let forgotten = a.label();
    a.note("xdp_buff");
    a.load(R7, u64(R6));
    a.jeq(R7, 0, end);
    a.note("verdict");
    a.load(R8, u64(R6 + 8));
    a.note("data");
    a.mov(R1, R7);
    read::member(a, plan.memory, R9, xdp.id, xdp.data);
    find(a, FRAMES, R7);
    a.jeq(R0, 0, forgotten);
    forget(a, FRAMES, R7);
    a.jne(asm::W8, PASS as u32, forgotten);
    note(a, R9);
    a.jump(end);
    a.bind(forgotten);
    forget(a, FRAMES, R9);
}

/// Emits: the skb in R7 is followed if its data are those of a frame that matched. Clobbers: R0-R5, R8.
pub fn taken(a: &mut Asm, plan: &Plan, end: Label) {
    let skb = &plan.kernel.skb;
    a.note("skb->data");
    let view = View::open(a, plan.memory, R7, skb.id, R8, &[skb.data]);
    a.load(R8, view.at(skb.data));
    find(a, FRAMES, R8);
    a.jeq(R0, 0, end);
    forget(a, FRAMES, R8);
    remember(a, R7);
}
