//! The short way for what nearly every packet is: IPv4 without options, all of it captured that the expression reads.
//!
//! Such a packet has everything at fixed places, and nothing needs to be asked twice: no header length, no bounds. All
//! others take the general way, which is emitted, too. Where every load is dear (a load through a cast is eight instructions
//! of x86), neighbours are loaded eight bytes at a time, and the short way comes before everything else: nothing is
//! remembered that only the general way wants to know. Where reading is a call of a helper, both ways share what is read.

use crate::plan::{Memory, Plan};
use crate::program::BuildError;
use crate::program::cast::CastReader;
use crate::program::locate::{self, ETHERNET, UNSET};
use crate::program::read::View;
use asm::{Asm, Label, Mem, R0, R1, R8, Reg32, Reg64, Size, Slot, W0, W1, W2, W3, W4, u64};
use filter_compiler::Graph;
use filter_compiler::ebpf::{self, Metadata, Needs, PacketAccess, Place, Span};
use std::collections::BTreeSet;

/// The type field and the first bytes of the IP header.
pub const START: Span = Span { offset: 12, size: Size::B4 };
/// The first byte of the IP header.
pub const VERSION: Span = Span { offset: 14, size: Size::B1 };
/// The same of an IPv4 header without options.
pub const FIRST_BYTE: u32 = 0x45;
/// EtherTypes.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// More types are not asked for.
const MOST_TYPES: usize = 4;
/// An expression that has more tests is not emitted a second time.
const MOST_TESTS: usize = 24;
/// A packet is not required to have more bytes than this.
const FAR: u32 = 64;

/// Which bits of [`START`], as a load in memory order sees them, tell such a packet.
pub fn mask() -> u32 {
    u32::from_ne_bytes([0xff, 0xff, 0xff, 0])
}

/// What they are.
pub fn value() -> u32 {
    u32::from_ne_bytes([8, 0, FIRST_BYTE as u8, 0])
}

/// The bits of [`START`] that are the type field.
pub fn type_mask() -> u32 {
    u32::from_ne_bytes([0xff, 0xff, 0, 0])
}

/// An expression about such packets.
pub struct Quick {
    graph: Graph,
    needs: Needs,
    /// So many bytes of the packet must be captured.
    end: u32,
    /// Packets of any kind match only if they are of one of these types; `None`: of any.
    types: Option<BTreeSet<u16>>,
}

impl Quick {
    /// `graph`, whose needs are `needs`, for such packets; `None` if it is not worth it.
    pub fn of(graph: &Graph, needs: &Needs) -> Option<Quick> {
        let reads_link = |span: &Span| span.offset < START.offset || (span.offset < 14 && span.size != Size::B2);
        if needs.fixed.iter().any(reads_link) {
            return None;
        }
        let types = ebpf::ether_types(graph).filter(|types| types.len() <= MOST_TYPES);
        let (graph, end) = graph.for_plain_ipv4()?;
        let needs = Needs::of(&graph);
        let count = graph.nodes().len();
        let end = end.max(START.end() as u32);
        (end <= FAR && count > 0 && count <= MOST_TESTS).then_some(Quick { graph, needs, end, types })
    }

    /// What it reads.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// So many bytes of the packet must be captured.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// Emits the short way by itself: jumps to `matched` or `drop` if the packet is such a one, else falls through. Emits
    /// nothing, and gives `false`, where that does not pay.
    ///
    /// In: R7 = skb, `view` open for [`locate::wanted`]. Out: `packet.network`, if it matched. Clobbers: R0-R5, R8.
    pub fn first(
        &self,
        a: &mut Asm,
        plan: &Plan,
        view: &View,
        packet: locate::Packet,
        matched: Label,
        drop: Label,
    ) -> Result<bool, BuildError> {
        let (Memory::Cast { kfunc, .. }, Some(bytes), []) = (plan.memory, plan.kernel.bytes, &self.needs.metadata[..])
        else {
            return Ok(false);
        };
        let kernel = &plan.kernel;
        let mark = a.stack_mark();
        let (other, real, plain) = (a.label(), a.label(), a.label());
        locate::offsets(a, kernel, view);
        a.sub(W4, W1);
        a.jslt(W4, self.end.cast_signed() - ETHERNET, other);
        a.store(u64(packet.network), R1);
        a.mov(W3, W1);
        a.sub(W3, W2);
        let open = |a: &mut Asm| {
            a.note("head");
            a.load(R0, view.at(kernel.skb.head));
            a.add(R1, R0);
            a.sub(R1, ETHERNET - START.offset.cast_signed());
            let all = ebpf::Packet::new(Place::Reg(R8), Place::Slot(packet.link_len));
            CastReader::behind(a, kfunc, bytes, all, START.offset)
        };
        a.jeq(W3, ETHERNET, real);
        a.jne(W2, UNSET, other);
        a.jeq(W1, 0, other);
        let mut reader = open(a);
        reader.load(a, W1, VERSION, other);
        a.jeq(W1, FIRST_BYTE, plain);
        if let Some(types) = &self.types {
            a.rsh(W1, 4);
            for (version, kind) in [(4, IPV4), (6, IPV6)] {
                if types.contains(&kind) {
                    a.jeq(W1, version, other);
                }
            }
            a.jump(drop);
        } else {
            a.jump(other);
        }
        a.bind(real);
        let _ = open(a);
        reader.load(a, W1, START, other);
        a.and(W1, mask());
        match &self.types {
            Some(types) => {
                a.jeq(W1, value(), plain);
                a.and(W1, type_mask());
                for kind in types {
                    a.jeq(W1, u32::from(kind.to_be()), other);
                }
                a.jump(drop);
            }
            None => a.jne(W1, value(), other),
        }
        a.bind(plain);
        self.emit(a, &mut reader, true, drop)?;
        a.jump(matched);
        a.bind(other);
        a.stack_release(mark);
        Ok(true)
    }

    /// Emits the test of such a packet; falls through if it matches, else jumps to `drop`.
    ///
    /// `wide`: `inner` loads eight bytes, too.
    pub fn emit(&self, a: &mut Asm, inner: &mut dyn PacketAccess, wide: bool, drop: Label) -> Result<(), BuildError> {
        let words = if wide { words(a, &self.needs.fixed) } else { Vec::new() };
        Ok(ebpf::emit(&self.graph, a, &mut Words { inner, words }, drop)?)
    }
}

/// Eight bytes of the packet, from `start` on, kept in `slot`.
struct Word {
    start: u32,
    slot: Slot,
}

impl Word {
    fn holds(&self, span: Span) -> bool {
        span.offset >= self.start && span.end() <= u64::from(self.start + 8)
    }
}

/// Words for all loads that have a neighbour; loads lie in them as the stack wants them: aligned.
fn words(a: &mut Asm, loads: &[Span]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = loads;
    while let Some(first) = rest.first() {
        let fits = |span: &&Span| {
            let from = span.offset - first.offset;
            span.end() <= u64::from(first.offset) + 8 && from.is_multiple_of(span.size.bytes().into())
        };
        let count = rest.iter().take_while(fits).count();
        if count > 1 {
            words.push(Word { start: first.offset, slot: a.stack_named(8, "word") });
        }
        rest = &rest[count.max(1)..];
    }
    words
}

/// A packet of which all bytes are there, and at fixed places.
struct Words<'a> {
    inner: &'a mut dyn PacketAccess,
    words: Vec<Word>,
}

impl PacketAccess for Words<'_> {
    fn require(&mut self, _: &mut Asm, _: u32, _: Label) {}

    fn load(&mut self, a: &mut Asm, dst: Reg32, span: Span, fail: Label) {
        match self.words.iter().find(|word| word.holds(span)) {
            Some(word) => a.load(dst.whole(), Mem::new(span.size, word.slot + (span.offset - word.start) as i32)),
            None => self.inner.load(a, dst, span, fail),
        }
    }

    fn word(&self, span: Span) -> Option<u32> {
        self.words.iter().position(|word| word.holds(span)).map(|at| at as u32)
    }

    fn fetch(&mut self, a: &mut Asm, word: u32, fail: Label) {
        let Some(&Word { start, slot }) = self.words.get(word as usize) else { return };
        // What is behind the captured bytes is behind the linear part of an skb: memory that is there.
        self.inner.load(a, W0, Span { offset: start, size: Size::B8 }, fail);
        a.store(u64(slot), R0);
    }

    fn index(&mut self, a: &mut Asm, x: Reg64, end: u32, fail: Label) {
        self.inner.index(a, x, end, fail);
    }

    fn require_indexed(&mut self, a: &mut Asm, end: u32, fail: Label) {
        self.inner.require_indexed(a, end, fail);
    }

    fn load_indexed(&mut self, a: &mut Asm, dst: Reg32, span: Span, fail: Label) {
        self.inner.load_indexed(a, dst, span, fail);
    }

    fn load_computed(&mut self, a: &mut Asm, dst: Reg32, x: Reg64, span: Span, fail: Label) {
        self.inner.load_computed(a, dst, x, span, fail);
    }

    fn metadata(&mut self, a: &mut Asm, dst: Reg32, which: Metadata) {
        self.inner.metadata(a, dst, which);
    }
}
