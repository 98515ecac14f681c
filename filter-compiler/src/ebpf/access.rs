//! Two ways to reach the bytes of a packet: a copy on the stack, and a pointer.

use asm::{Asm, FP, Helper, Label, Mem, R0, R1, R2, R3, R9, Reg32, Reg64, Size, Slot, u64};

use super::{Error, Metadata, Needs, PacketAccess, Span};

/// Where the caller keeps a 64-bit value while the filter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// One of R6, R7 and R8.
    Reg(Reg64),
    /// Eight bytes of the stack, already written.
    Slot(Slot),
}

impl Place {
    /// The value in a register: its own, or `scratch`, which is loaded.
    fn get(self, a: &mut Asm, scratch: Reg64) -> Reg64 {
        match self {
            Place::Reg(reg) => reg,
            Place::Slot(slot) => {
                a.load(scratch, u64(slot));
                scratch
            }
        }
    }

    /// Copies the value to `dst`.
    fn copy(self, a: &mut Asm, dst: Reg64) {
        match self {
            Place::Reg(reg) => a.mov(dst, reg),
            Place::Slot(slot) => a.load(dst, u64(slot)),
        }
    }

    /// Adds the value to `dst`.
    fn add_to(self, a: &mut Asm, dst: Reg64, scratch: Reg64) {
        let value = self.get(a, scratch);
        a.add(dst, value);
    }
}

/// Where the caller keeps what it knows of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Address of the first byte, a number as far as the verifier is concerned.
    pub start: Place,
    /// How many bytes can be read from there on; at most 2^31.
    pub captured: Place,
    /// Length on the wire. Like the two that follow needed only if [`Needs::metadata`] asks for it.
    pub length: Option<Place>,
    /// `skb->pkt_type`.
    pub packet_type: Option<Place>,
    /// The number of the interface, 0 if there is none.
    pub interface: Option<Place>,
}

impl Packet {
    /// A packet of which nothing is known but its captured bytes.
    pub fn new(start: Place, captured: Place) -> Packet {
        Packet { start, captured, length: None, packet_type: None, interface: None }
    }

    fn check(&self, needs: &Needs) -> Result<(), Error> {
        match needs.metadata.iter().find(|&&which| self.place(which).is_none()) {
            Some(&which) => Err(Error::Missing(which)),
            None => Ok(()),
        }
    }

    fn place(&self, which: Metadata) -> Option<Place> {
        match which {
            Metadata::Length => self.length,
            Metadata::PacketType => self.packet_type,
            Metadata::Interface => self.interface,
        }
    }

    /// `dst` = the value; the constructors of accesses have checked that there is one.
    fn metadata(&self, a: &mut Asm, dst: Reg32, which: Metadata) {
        match self.place(which) {
            Some(place) => place.copy(a, dst.whole()),
            None => a.mov(dst, 0),
        }
    }

    /// Jumps to `fail` if `end`, which is lost, is more than what is captured.
    fn bound(&self, a: &mut Asm, end: Reg64, scratch: Reg64, fail: Label) {
        let captured = self.captured.get(a, scratch);
        a.jgt(end, captured, fail);
    }

    fn require(&self, a: &mut Asm, end: u32, fail: Label) {
        let captured = self.captured.get(a, R0);
        match i32::try_from(end) {
            Ok(end) => a.jlt(captured, end, fail),
            Err(_) => {
                a.mov(R1.low(), end);
                a.jlt(captured, R1, fail);
            }
        }
    }
}

/// How a [`StackWindow`] reads below a header whose length is only known at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// From the window, at a variable offset from the frame pointer. Linux 5.12 (before, the verifier refuses it), and
    /// privileged programs only.
    Stack,
    /// From a second window, read when the header length is known. Every kernel; costs a helper call on that path.
    SecondRead,
}

/// The first bytes of the packet that are asked for, copied to the stack by one call of `bpf_probe_read_kernel` (Linux 5.5).
///
/// Loads that the window does not cover cost a call each. The helper reads up to the size of the window even where
/// less is captured: that is harmless behind an skb's linear data, where `struct skb_shared_info` follows.
#[derive(Debug)]
pub struct StackWindow {
    packet: Packet,
    indexing: Indexing,
    first: Option<Window>,
    /// Of [`Indexing::SecondRead`]: what is below the index.
    second: Option<Window>,
    /// Where single loads go that no window covers.
    scratch: Option<Slot>,
}

/// No window is larger than this: the stack has 512 bytes for everybody.
const LARGEST: u32 = 192;
/// No second window is larger than this.
const LARGEST_SECOND: u32 = 64;
/// The longest header that an index can name.
const LONGEST_INDEX: u32 = 60;

/// A copy of bytes `low..high`, counted from the packet's start (or from the index).
#[derive(Clone, Copy, Debug)]
struct Window {
    slot: Slot,
    /// Unused bytes in front, so that most loads are aligned.
    pad: u32,
    low: u32,
    high: u32,
}

impl Window {
    fn new(a: &mut Asm, low: u32, high: u32, loads: &[Span]) -> Option<Window> {
        if low >= high {
            return None;
        }
        // The verifier wants stack accesses aligned, and an unaligned load is put together from parts.
        let misaligned =
            |pad: u32| loads.iter().filter(|s| !(s.offset - low + pad).is_multiple_of(s.size.bytes().into())).count();
        let pad = (0..4).min_by_key(|&pad| misaligned(pad)).unwrap_or(0);
        let slot = a.stack_named(pad + high - low, "packet");
        Some(Window { slot, pad, low, high })
    }

    fn covers(&self, span: Span) -> bool {
        span.offset >= self.low && span.end() <= u64::from(self.high)
    }

    /// Offset from the frame pointer.
    fn offset(&self, packet_offset: u32) -> i32 {
        self.slot.offset() + (packet_offset - self.low + self.pad).cast_signed()
    }

    /// Copies the packet's bytes here. In: R3 = address of the first one. Clobbers: R0-R5.
    fn read(&self, a: &mut Asm, fail: Label) {
        a.lea(R1, self.slot + self.pad.cast_signed());
        a.mov(R2, (self.high - self.low).cast_signed());
        a.call(Helper::ProbeReadKernel);
        a.jne(R0, 0, fail);
    }
}

impl StackWindow {
    /// Takes stack for the windows that `needs` asks for. The packet's metadata must be there if it asks for them.
    pub fn new(a: &mut Asm, needs: &Needs, packet: Packet, indexing: Indexing) -> Result<StackWindow, Error> {
        packet.check(needs)?;
        let within = |spans: &[Span], limit: u32| -> Vec<Span> {
            spans.iter().copied().filter(|span| span.end() <= u64::from(limit)).collect()
        };
        let high = |spans: &[Span]| spans.iter().map(|span| span.end() as u32).max().unwrap_or(0);
        let fixed = within(&needs.fixed, LARGEST);
        let near = within(&needs.indexed, LARGEST - LONGEST_INDEX);
        let (indexing, first, second) = if indexing == Indexing::Stack && !near.is_empty() {
            // An index is a multiple of four: it leaves the alignment as it is.
            let high = high(&fixed).max(high(&near) + LONGEST_INDEX);
            (Indexing::Stack, Window::new(a, 0, high, &[fixed, near].concat()), None)
        } else {
            let low = |spans: &[Span]| spans.iter().map(|span| span.offset).min().unwrap_or(0);
            let behind = low(&needs.indexed);
            let indexed = within(&needs.indexed, behind.saturating_add(LARGEST_SECOND));
            let second = Window::new(a, behind, high(&indexed), &indexed);
            (Indexing::SecondRead, Window::new(a, low(&fixed), high(&fixed), &fixed), second)
        };
        Ok(StackWindow { packet, indexing, first, second, scratch: None })
    }

    /// Reads the window; goes before the code of the filter. Clobbers R0-R5.
    pub fn read(&self, a: &mut Asm, fail: Label) {
        if let Some(window) = self.first {
            self.packet.start.copy(a, R3);
            add(a, R3, window.low, R0);
            window.read(a, fail);
        }
    }

    /// Whether the window holds an indexed load, whatever the index is.
    fn holds_indexed(&self, span: Span) -> bool {
        let reach = span.end() + u64::from(LONGEST_INDEX);
        self.first.is_some_and(|window| reach <= u64::from(window.high))
    }

    /// `dst` = `size` bytes at the address in R3. Clobbers: R0-R5.
    fn read_one(&mut self, a: &mut Asm, dst: Reg32, size: Size, fail: Label) {
        let scratch = *self.scratch.get_or_insert_with(|| a.stack_named(8, "far bytes"));
        a.lea(R1, scratch);
        a.mov(R2, i32::from(size.bytes()));
        a.call(Helper::ProbeReadKernel);
        a.jne(R0, 0, fail);
        a.load(dst.whole(), Mem::new(size, scratch));
    }
}

impl PacketAccess for StackWindow {
    fn require(&mut self, a: &mut Asm, end: u32, fail: Label) {
        self.packet.require(a, end, fail);
    }

    fn load(&mut self, a: &mut Asm, dst: Reg32, span: Span, fail: Label) {
        match self.first.filter(|window| window.covers(span)) {
            Some(window) => load_aligned(a, dst, FP.into(), window.offset(span.offset), span.size),
            None => {
                self.packet.start.copy(a, R3);
                add(a, R3, span.offset, R0);
                self.read_one(a, dst, span.size, fail);
            }
        }
    }

    fn index(&mut self, a: &mut Asm, x: Reg64, end: u32, fail: Label) {
        match self.indexing {
            Indexing::Stack => a.mov(R9, FP),
            Indexing::SecondRead => self.packet.start.copy(a, R9),
        }
        a.add(R9, x);
        if end > 0 {
            let scratch = if x == R0 { R1 } else { R0 };
            add(a, x, end, scratch);
            self.packet.bound(a, x, scratch, fail);
        }
        if let Some(window) = self.second {
            a.mov(R3, R9);
            add(a, R3, window.low, R0);
            window.read(a, fail);
        }
    }

    fn require_indexed(&mut self, a: &mut Asm, end: u32, fail: Label) {
        a.mov(R0, R9);
        match self.indexing {
            // The difference of two stack pointers is a number to privileged programs.
            Indexing::Stack => a.sub(R0, FP),
            Indexing::SecondRead => {
                let start = self.packet.start.get(a, R1);
                a.sub(R0, start);
            }
        }
        add(a, R0, end, R1);
        self.packet.bound(a, R0, R1, fail);
    }

    fn load_indexed(&mut self, a: &mut Asm, dst: Reg32, span: Span, fail: Label) {
        match (self.indexing, self.first, self.second) {
            (Indexing::Stack, Some(window), _) if self.holds_indexed(span) => {
                load_aligned(a, dst, R9.into(), window.offset(span.offset), span.size);
            }
            (Indexing::SecondRead, _, Some(window)) if window.covers(span) => {
                load_aligned(a, dst, FP.into(), window.offset(span.offset), span.size);
            }
            _ => {
                a.mov(R3, R9);
                if self.indexing == Indexing::Stack {
                    a.sub(R3, FP);
                    self.packet.start.add_to(a, R3, R0);
                }
                add(a, R3, span.offset, R0);
                self.read_one(a, dst, span.size, fail);
            }
        }
    }

    fn load_computed(&mut self, a: &mut Asm, dst: Reg32, x: Reg64, span: Span, fail: Label) {
        a.mov(R3, x);
        add(a, R3, span.offset, R0);
        a.mov(R1, R3);
        a.add(R1, i32::from(span.size.bytes()));
        self.packet.bound(a, R1, R0, fail);
        self.packet.start.add_to(a, R3, R0);
        self.read_one(a, dst, span.size, fail);
    }

    fn metadata(&mut self, a: &mut Asm, dst: Reg32, which: Metadata) {
        self.packet.metadata(a, dst, which);
    }
}

/// Loads through a register that holds the address of the packet: for packets in ordinary memory, and a model for
/// accesses through pointers that the verifier knows.
#[derive(Debug)]
pub struct Pointer {
    base: Reg64,
    packet: Packet,
}

impl Pointer {
    /// `base`, one of R6, R7 and R8, holds the address of the packet's first byte. `packet.start` is not used.
    pub fn new(base: Reg64, needs: &Needs, packet: Packet) -> Result<Pointer, Error> {
        packet.check(needs)?;
        Ok(Pointer { base, packet })
    }

    /// `dst` = the bytes at `base + span`; goes by way of R0 where the offset does not fit into an instruction.
    fn load_at(a: &mut Asm, dst: Reg32, base: Reg64, span: Span) {
        match i16::try_from(span.offset) {
            Ok(offset) => a.load(dst.whole(), Mem::new(span.size, base + i32::from(offset))),
            Err(_) => {
                a.mov(R0, base);
                add(a, R0, span.offset, R1);
                a.load(dst.whole(), Mem::new(span.size, R0));
            }
        }
    }
}

impl PacketAccess for Pointer {
    fn require(&mut self, a: &mut Asm, end: u32, fail: Label) {
        self.packet.require(a, end, fail);
    }

    fn load(&mut self, a: &mut Asm, dst: Reg32, span: Span, _: Label) {
        Pointer::load_at(a, dst, self.base, span);
    }

    fn index(&mut self, a: &mut Asm, x: Reg64, end: u32, fail: Label) {
        a.mov(R9, self.base);
        a.add(R9, x);
        if end > 0 {
            let scratch = if x == R0 { R1 } else { R0 };
            add(a, x, end, scratch);
            self.packet.bound(a, x, scratch, fail);
        }
    }

    fn require_indexed(&mut self, a: &mut Asm, end: u32, fail: Label) {
        a.mov(R0, R9);
        a.sub(R0, self.base);
        add(a, R0, end, R1);
        self.packet.bound(a, R0, R1, fail);
    }

    fn load_indexed(&mut self, a: &mut Asm, dst: Reg32, span: Span, _: Label) {
        Pointer::load_at(a, dst, R9, span);
    }

    fn load_computed(&mut self, a: &mut Asm, dst: Reg32, x: Reg64, span: Span, fail: Label) {
        a.mov(R3, x);
        add(a, R3, span.offset, R0);
        a.mov(R1, R3);
        a.add(R1, i32::from(span.size.bytes()));
        self.packet.bound(a, R1, R0, fail);
        a.add(R3, self.base);
        a.load(dst.whole(), Mem::new(span.size, R3));
    }

    fn metadata(&mut self, a: &mut Asm, dst: Reg32, which: Metadata) {
        self.packet.metadata(a, dst, which);
    }
}

/// `dst += value` as 64 bits, by way of `scratch` where the constant would be sign-extended.
fn add(a: &mut Asm, dst: Reg64, value: u32, scratch: Reg64) {
    match i32::try_from(value) {
        Ok(0) => {}
        Ok(value) => a.add(dst, value),
        Err(_) => {
            a.mov(scratch.low(), value);
            a.add(dst, scratch);
        }
    }
}

/// `dst` = the bytes at `base + offset`, from parts where the verifier would find a whole access unaligned. The base
/// is a multiple of four for it. Clobbers: R0 or R1, whichever is not `dst`.
fn load_aligned(a: &mut Asm, dst: Reg32, base: asm::Reg, offset: i32, size: Size) {
    let part = |a: &mut Asm, dst: Reg32, at: i32, size| match base == asm::Reg::FP {
        true => a.load(dst.whole(), Mem::new(size, FP + offset + at)),
        false => a.load(dst.whole(), Mem::new(size, R9 + offset + at)),
    };
    let parts: &[(i32, Size)] = match (size, offset.rem_euclid(i32::from(size.bytes()))) {
        (_, 0) => return part(a, dst, 0, size),
        (Size::B4, 2) => &[(0, Size::B2), (2, Size::B2)],
        (Size::B4, _) => &[(0, Size::B1), (1, Size::B2), (3, Size::B1)],
        _ => &[(0, Size::B1), (1, Size::B1)],
    };
    let other = if dst.whole() == R0 { R1.low() } else { R0.low() };
    for &(at, size) in parts {
        // In memory order, which is little endian here: later bytes are higher.
        let to = if at == 0 { dst } else { other };
        part(a, to, at, size);
        if at != 0 {
            a.lsh(other, 8 * at);
            a.or(dst, other);
        }
    }
}
