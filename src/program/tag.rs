//! A VLAN tag that the kernel took out of a packet (`skb->vlan_tci`), put back for the filter.

use crate::plan::kernel::Kernel;
use crate::program::read::View;
use asm::{Asm, Label, Mem, R1, R2, Reg32, Reg64, Slot, W1, W2, u16, u64};
use filter_compiler::ebpf::{Metadata, Needs, PacketAccess, Span};

/// Where the tag stands in the packet.
const START: u32 = 12;
/// Length of the tag.
const LENGTH: u32 = 4;
/// Where the packet goes on behind the tag.
const END: u32 = START + LENGTH;

/// The tag as the wire has it: four bytes.
#[derive(Clone, Copy)]
pub struct Tag(Slot);

impl Tag {
    /// Reads the tag, or jumps to `none`. In: `view` open for the tag's members. Clobbers: R1, R2.
    pub fn read(a: &mut Asm, kernel: &Kernel, view: &View, none: Label) -> Tag {
        let vlan = &kernel.skb.vlan;
        let slot = a.stack_named(8, "vlan tag");
        if let Some((present, mask)) = vlan.present {
            a.note("vlan_present");
            a.load(R1, view.at(present));
            a.and(R1, i32::from(mask));
            a.jeq(R1, 0, none);
        }
        a.note("vlan_proto");
        a.load(R1, view.at(vlan.proto));
        a.note("vlan_tci");
        a.load(R2, view.at(vlan.tci));
        if vlan.present.is_none() {
            let there = a.label();
            a.jne(R1, 0, there);
            a.jeq(R2, 0, none);
            a.bind(there);
        }
        a.store(u16(slot), W1);
        a.be16(R2);
        a.store(u16(slot + 2), W2);
        Tag(slot)
    }
}

/// What an access to the packet without its tag must provide for a filter with `needs` on the packet with it.
pub fn below(needs: &Needs) -> Needs {
    let moved = |span: &Span| match *span {
        span if span.end() <= u64::from(START) => Some(span),
        span if span.offset >= END => Some(Span { offset: span.offset - LENGTH, ..span }),
        _ => None,
    };
    let mut fixed: Vec<Span> = needs.fixed.iter().filter_map(moved).collect();
    fixed.sort_unstable();
    fixed.dedup();
    let indexed = needs.indexed.iter().map(|span| Span { offset: behind(span.offset), ..*span }).collect();
    Needs { fixed, indexed, ..needs.clone() }
}

/// Where something behind the tag is in the packet without it.
fn behind(offset: u32) -> u32 {
    offset.saturating_sub(LENGTH)
}

/// The packet with its tag, on top of an access to the packet without it.
pub struct Tagged<A> {
    /// The packet without the tag.
    pub inner: A,
    /// The tag.
    pub tag: Tag,
}

/// A jump that the code behind it does not become unreachable by.
pub fn always(a: &mut Asm, dst: Reg32, fail: Label) {
    a.mov(dst, 0);
    a.jeq(dst, 0, fail);
}

impl<A: PacketAccess> PacketAccess for Tagged<A> {
    fn require(&mut self, a: &mut Asm, end: u32, fail: Label) {
        let end = if end <= END { end.min(START) } else { end - LENGTH };
        self.inner.require(a, end, fail);
    }

    fn load(&mut self, a: &mut Asm, dst: Reg32, span: Span, fail: Label) {
        let aligned = span.offset.is_multiple_of(span.size.bytes().into());
        if span.end() <= u64::from(START) {
            self.inner.load(a, dst, span, fail);
        } else if span.offset >= END {
            self.inner.load(a, dst, Span { offset: span.offset - LENGTH, ..span }, fail);
        } else if span.offset >= START && span.end() <= u64::from(END) && aligned {
            a.load(dst.whole(), Mem::new(span.size, self.tag.0 + (span.offset - START) as i32));
        } else {
            // Part tag, part neighbour: no field of any protocol lies so.
            always(a, dst, fail);
        }
    }

    fn index(&mut self, a: &mut Asm, x: Reg64, end: u32, fail: Label) {
        self.inner.index(a, x, behind(end), fail);
    }

    fn require_indexed(&mut self, a: &mut Asm, end: u32, fail: Label) {
        self.inner.require_indexed(a, behind(end), fail);
    }

    fn load_indexed(&mut self, a: &mut Asm, dst: Reg32, span: Span, fail: Label) {
        self.inner.load_indexed(a, dst, Span { offset: behind(span.offset), ..span }, fail);
    }

    fn load_computed(&mut self, a: &mut Asm, dst: Reg32, x: Reg64, span: Span, fail: Label) {
        // The sum is at most 33 bits; what is left of it is an offset again.
        let (inside, near) = (a.label(), a.label());
        let at = a.stack_named(8, "offset");
        if x != R1 {
            a.mov(R1, x);
        }
        a.mov(W2, span.offset);
        a.add(R1, R2);
        a.jge(R1, END as i32, inside);
        a.mov(R2, R1);
        a.add(R2, i32::from(span.size.bytes()));
        a.jgt(R2, START as i32, fail);
        a.jump(near);
        a.bind(inside);
        a.sub(R1, LENGTH as i32);
        a.bind(near);
        a.store(u64(at), R1);
        a.rsh(R1, 32);
        a.jne(R1, 0, fail);
        a.load(R1, u64(at));
        self.inner.load_computed(a, dst, R1, Span { offset: 0, ..span }, fail);
    }

    fn metadata(&mut self, a: &mut Asm, dst: Reg32, which: Metadata) {
        self.inner.metadata(a, dst, which);
        if which == Metadata::Length {
            a.add(dst, LENGTH);
        }
    }
}
