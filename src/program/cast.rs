//! The bytes of a packet by plain loads, through a cast to a structure with a long array of bytes.

use crate::plan::kernel::Bytes;
use crate::program::tag;
use asm::{Asm, Label, Mem, R0, R1, R2, R8, R9, Reg32, Reg64, Slot, W0, u64};
use filter_compiler::ebpf::{self, Metadata, PacketAccess, Place, Span};

/// Reads through R8, and behind an index through R9: pointers with the array's offset less than the address that they
/// stand for.
pub struct CastReader {
    kfunc: u32,
    bytes: Bytes,
    packet: ebpf::Packet,
    /// R8 stands for the packet's byte at this offset.
    first: u32,
    /// u64: what R8 holds, as a number. Only for loads at computed offsets, which the verifier lets nobody add to a pointer.
    start: Option<Slot>,
}

impl CastReader {
    /// In: R8 = address of the packet; out: R8 = the cast of it. Clobbers: R0-R5.
    ///
    /// `computed`: there are loads at computed offsets.
    pub fn new(a: &mut Asm, kfunc: u32, bytes: Bytes, packet: ebpf::Packet, computed: bool) -> CastReader {
        a.mov(R1, R8);
        CastReader::from(a, kfunc, bytes, packet, 0, computed)
    }

    /// For a packet of which nothing in front of the byte at `first` is read, nor at computed offsets. In: R1 = address of
    /// that byte; out: R8 = the cast of it. Clobbers: R0-R5.
    pub fn behind(a: &mut Asm, kfunc: u32, bytes: Bytes, packet: ebpf::Packet, first: u32) -> CastReader {
        CastReader::from(a, kfunc, bytes, packet, first, false)
    }

    fn from(a: &mut Asm, kfunc: u32, bytes: Bytes, packet: ebpf::Packet, first: u32, computed: bool) -> CastReader {
        if bytes.array.offset != 0 {
            a.sub(R1, bytes.array.offset as i32);
        }
        let start = computed.then(|| a.stack_named(8, "packet"));
        if let Some(start) = start {
            a.store(u64(start), R1);
        }
        let reader = CastReader { kfunc, bytes, packet, first, start };
        reader.cast(a);
        a.mov(R8, R0);
        reader
    }

    /// R0 = R1 as a pointer. Clobbers: R1-R5.
    fn cast(&self, a: &mut Asm) {
        a.mov(R2, self.bytes.id.0 as i32);
        a.call_kfunc(self.kfunc, 0);
    }

    fn within(&self, span: Span) -> bool {
        span.end() <= u64::from(self.first + self.bytes.array.size)
    }

    fn operand(&self, base: Reg64, span: Span) -> Mem {
        Mem::new(span.size, base + (self.bytes.array.offset + span.offset - self.first) as i32)
    }

    /// `dst` = the bytes at `base + span`.
    fn load_at(&self, a: &mut Asm, dst: Reg32, base: Reg64, span: Span) {
        if self.within(span) {
            return a.load(dst.whole(), self.operand(base, span));
        }
        a.mov(R1, base);
        add(a, R1, span.offset - self.first);
        self.cast(a);
        a.load(dst.whole(), self.operand(R0, Span { offset: self.first, ..span }));
    }

    /// Jumps to `fail` if the number in `end` is more than what is captured. Clobbers: R0.
    fn bound(&self, a: &mut Asm, end: Reg64, fail: Label) {
        match self.packet.captured {
            Place::Reg(reg) => a.mov(R0, reg),
            Place::Slot(slot) => a.load(R0, u64(slot)),
        }
        a.jgt(end, R0, fail);
    }
}

/// `to += value`, by way of R0 where the constant would be sign-extended.
fn add(a: &mut Asm, to: Reg64, value: u32) {
    match i32::try_from(value) {
        Ok(0) => {}
        Ok(value) => a.add(to, value),
        Err(_) => {
            a.mov(W0, value);
            a.add(to, R0);
        }
    }
}

impl PacketAccess for CastReader {
    fn require(&mut self, a: &mut Asm, end: u32, fail: Label) {
        match self.packet.captured {
            Place::Reg(reg) => a.mov(R0, reg),
            Place::Slot(slot) => a.load(R0, u64(slot)),
        }
        match i32::try_from(end) {
            Ok(end) => a.jlt(R0, end, fail),
            Err(_) => tag::always(a, W0, fail),
        }
    }

    fn load(&mut self, a: &mut Asm, dst: Reg32, span: Span, _: Label) {
        self.load_at(a, dst, R8, span);
    }

    fn index(&mut self, a: &mut Asm, x: Reg64, end: u32, fail: Label) {
        if x != R1 {
            a.mov(R1, x);
        }
        if end > 0 {
            a.mov(R2, R1);
            add(a, R2, end);
            self.bound(a, R2, fail);
        }
        a.add(R1, R8);
        self.cast(a);
        a.mov(R9, R0);
    }

    fn require_indexed(&mut self, a: &mut Asm, end: u32, fail: Label) {
        a.mov(R1, R9);
        a.sub(R1, R8);
        add(a, R1, end);
        self.bound(a, R1, fail);
    }

    fn load_indexed(&mut self, a: &mut Asm, dst: Reg32, span: Span, _: Label) {
        self.load_at(a, dst, R9, span);
    }

    fn load_computed(&mut self, a: &mut Asm, dst: Reg32, x: Reg64, span: Span, fail: Label) {
        if x != R1 {
            a.mov(R1, x);
        }
        add(a, R1, span.offset);
        a.mov(R2, R1);
        a.add(R2, i32::from(span.size.bytes()));
        self.bound(a, R2, fail);
        if let Some(start) = self.start {
            a.load(R0, u64(start));
            a.add(R1, R0);
        }
        self.cast(a);
        a.load(dst.whole(), self.operand(R0, Span { offset: self.first, ..span }));
    }

    fn metadata(&mut self, a: &mut Asm, dst: Reg32, which: Metadata) {
        let place = match which {
            Metadata::Length => self.packet.length,
            Metadata::PacketType => self.packet.packet_type,
            Metadata::Interface => self.packet.interface,
        };
        match place {
            Some(Place::Slot(slot)) => a.load(dst.whole(), u64(slot)),
            Some(Place::Reg(reg)) => a.mov(dst.whole(), reg),
            None => a.mov(dst, 0),
        }
    }
}
