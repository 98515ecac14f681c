//! The large parts of a record: whole structures, the kernel stack, the packet inside a tunnel.

use crate::plan::Plan;
use crate::plan::kernel::{Kernel, Spot};
use crate::program::read::{self, View};
use crate::program::{Entry, on_behalf_of};
use crate::record::{Dump, FRAME_BYTES, Field, HEADER_BYTES, Layout, STACK_BYTES};
use asm::{Asm, Helper, Label, R0, R1, R2, R3, R4, R6, R7, R9, W0, W1, u32, u64};

/// The members of `struct sk_buff` that these parts need.
pub fn wanted(kernel: &Kernel, layout: &Layout) -> Vec<Spot> {
    let mut out = Vec::new();
    if layout.dump(Dump::SharedInfo).is_some() {
        out.extend([kernel.skb.head, kernel.skb.end]);
    }
    if layout.has(Field::InnerLen) {
        out.extend([kernel.skb.head, kernel.skb.tail, kernel.skb.inner_network_header]);
    }
    out
}

/// Emits the copying of the structures and of the packet inside a tunnel.
///
/// In: R7 = skb, `view` open for [`wanted`], R9 = record. Clobbers: R0-R5.
pub fn skb(a: &mut Asm, plan: &Plan, view: &View) {
    let (layout, kernel) = (&plan.layout, &plan.kernel);
    if let Some((offset, size)) = layout.dump(Dump::Skb) {
        on_behalf_of(a, "--output-skb", |a| {
            a.note("struct sk_buff");
            a.mov(R3, R7);
            read::copy(a, plan.memory, kernel.bytes, R9, offset, size);
        });
    }
    if let Some((offset, size)) = layout.dump(Dump::SharedInfo) {
        on_behalf_of(a, "--output-skb-shared-info", |a| {
            a.note("struct skb_shared_info");
            a.load(R3, view.at(kernel.skb.head));
            a.load(R1, view.at(kernel.skb.end));
            a.add(R3, R1);
            read::copy(a, plan.memory, kernel.bytes, R9, offset, size);
        });
    }
    if let (Some(length), Some(offset)) = (layout.offset(Field::InnerLen), layout.offset(Field::InnerHeaders)) {
        let none = a.label();
        on_behalf_of(a, "--output-tunnel", |a| {
            a.store(u32(R9 + length as i32), 0);
            inner(a, kernel, view, kernel.skb.inner_network_header, none);
            a.store(u32(R9 + length as i32), W0);
            read::copy(a, plan.memory, kernel.bytes, R9, offset, HEADER_BYTES);
        });
        a.bind(none);
    }
}

/// Emits R3 = address of the header at `offset`, a header of the packet inside a tunnel, W0 = captured bytes from there
/// on, at least 1; jumps to `none` if there is no such header. In: `view` open for it, head and tail. Clobbers: R1.
pub fn inner(a: &mut Asm, kernel: &Kernel, view: &View, offset: Spot, none: Label) {
    a.note("inner header");
    a.load(R1, view.at(offset));
    a.jeq(W1, 0, none);
    a.load(R0, view.at(kernel.skb.tail));
    a.sub(W0, W1);
    a.jsle(W0, 0, none);
    a.load(R3, view.at(kernel.skb.head));
    a.add(R3, R1);
}

/// Emits the unwinding of the stack. In: R6 = context, R9 = record. Clobbers: R0-R5.
pub fn stack(a: &mut Asm, layout: &Layout, entry: &Entry) {
    if let (Some(offset), Some(length)) = (layout.offset(Field::Stack), layout.offset(Field::StackLen)) {
        let good = a.label();
        on_behalf_of(a, "--output-stack", |a| {
            unwind(a, offset, STACK_BYTES);
            a.jsge(R0, 0, good);
            a.mov(R0, 0);
            a.bind(good);
            a.store(u32(R9 + length as i32), R0);
        });
    }
    if let (Some(offset), Entry::Words { .. }) = (layout.offset(Field::Frames), entry) {
        on_behalf_of(a, "--output-caller", |a| {
            // What is not filled must read as 0.
            for at in (0..FRAME_BYTES).step_by(8) {
                a.store(u64(R9 + (offset + at) as i32), 0);
            }
            unwind(a, offset, FRAME_BYTES);
        });
    }
}

fn unwind(a: &mut Asm, offset: u32, size: u32) {
    a.mov(R1, R6);
    a.mov(R2, R9);
    a.add(R2, offset as i32);
    a.mov(R3, size as i32);
    a.mov(R4, 0);
    a.call(Helper::GetStack);
}
