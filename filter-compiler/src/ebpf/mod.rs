//! A filter as eBPF, inside a program of the caller.
//!
//! [`emit`] turns a [`Graph`] into instructions; how packet bytes are reached is a [`PacketAccess`] of the caller's
//! choice. Two are here: [`StackWindow`] for programs that may only read kernel memory by helper, [`Pointer`] for packets
//! that can be addressed. All opcodes are those of cpu v3 without fetch atomics.
//!
//! ```
//! use asm::*;
//! use filter_compiler::ebpf::{self, Indexing, Needs, Packet, Place, StackWindow};
//!
//! let graph = filter_compiler::compile("icmp", filter_compiler::LinkType::En10Mb, &filter_compiler::names::Builtin)?;
//! let mut a = Asm::new("filter");
//! let reject = a.label_named("reject");
//! a.load(R7, u64(R1)); // address of the packet
//! a.load(R8, u64(R1 + 8)); // captured bytes
//! let packet = Packet::new(Place::Reg(R7), Place::Reg(R8));
//! let mut window = StackWindow::new(&mut a, &Needs::of(&graph), packet, Indexing::SecondRead)?;
//! window.read(&mut a, reject);
//! ebpf::emit(&graph, &mut a, &mut window, reject)?;
//! a.mov(R0, 1);
//! a.exit();
//! a.bind(reject);
//! a.mov(R0, 0);
//! a.exit();
//! println!("{}", a.finish()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Registers
//! R6, R7 and R8 are the caller's and never touched. R9 is the access's, between [`PacketAccess::index`] and the loads
//! that depend on it. R0 to R5 are lost. Nothing is expected in any register but what the access expects.

mod access;
mod code;
mod guards;
mod types;

use std::collections::BTreeSet;
use std::fmt;

use asm::{Asm, Label, Reg32, Reg64, Size};

use crate::graph::Graph;

pub use access::{Indexing, Packet, Place, Pointer, StackWindow};

/// How emitted code reaches a packet.
///
/// Every method may clobber R0 to R5, but for the `dst` that it writes, and must leave R6 to R8 alone. Offsets count from
/// the packet's first byte, or from the index.
pub trait PacketAccess {
    /// Jumps to `fail` unless the first `end` bytes of the packet are captured.
    fn require(&mut self, a: &mut Asm, end: u32, fail: Label);

    /// `dst` = the bytes, in memory order (not swapped), zero-extended to 64 bits. A [`PacketAccess::require`] of at least
    /// `span.end()` was executed before on every path. Jumps to `fail` if they cannot be read all the same.
    fn load(&mut self, a: &mut Asm, dst: Reg32, span: Span, fail: Label);

    /// From here on `x`, one of R0 to R5, is the index: a multiple of four from 0 to 60, the length of a header. `x` is
    /// lost. Jumps to `fail` unless the first `x + end` bytes of the packet are captured; 0 means that nothing is known
    /// to be needed. There is one index at a time, and R9 can remember it.
    fn index(&mut self, a: &mut Asm, x: Reg64, end: u32, fail: Label);

    /// Jumps to `fail` unless the first `index + end` bytes of the packet are captured.
    fn require_indexed(&mut self, a: &mut Asm, end: u32, fail: Label);

    /// `dst` = the bytes at `index + span`, else like [`PacketAccess::load`].
    fn load_indexed(&mut self, a: &mut Asm, dst: Reg32, span: Span, fail: Label);

    /// `dst` = the bytes at `x + span`, else like [`PacketAccess::load`]; nothing was required before. `x`, one of R0 to
    /// R5, is any 32-bit number, zero-extended; the sum must not wrap. Jumps to `fail` unless all of them are captured.
    fn load_computed(&mut self, a: &mut Asm, dst: Reg32, x: Reg64, span: Span, fail: Label);

    /// The number, less than 32, of the word that holds the bytes of a load at a fixed offset; `None` if the load is to be
    /// done by itself. For accesses to which every load is dear and a few bytes more cost nothing.
    fn word(&self, span: Span) -> Option<u32> {
        let _ = span;
        None
    }

    /// Fetches the word. This is executed, on every path, before the first [`PacketAccess::load`] of its bytes, and after
    /// a [`PacketAccess::require`] for that load.
    fn fetch(&mut self, a: &mut Asm, word: u32, fail: Label) {
        let _ = (a, word, fail);
    }

    /// `dst` = something that is not in the packet's bytes, host byte order.
    fn metadata(&mut self, a: &mut Asm, dst: Reg32, which: Metadata);
}

/// One load: where, and how many bytes (1, 2 or 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Offset of the first byte.
    pub offset: u32,
    /// How many.
    pub size: Size,
}

impl Span {
    /// Offset after the last byte. Beyond 32 bits no packet holds it.
    pub fn end(self) -> u64 {
        u64::from(self.offset) + u64::from(self.size.bytes())
    }
}

/// What a filter can ask about a packet besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metadata {
    /// Length on the wire, in bytes.
    Length,
    /// `PACKET_HOST`, `PACKET_OUTGOING` and so on of `linux/if_packet.h`.
    PacketType,
    /// Number of the interface.
    Interface,
}

/// What the code of a graph will ask of its access: for choosing windows, and for computing metadata beforehand only
/// where somebody asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Loads at fixed offsets, sorted.
    pub fixed: Vec<Span>,
    /// Loads relative to an index, sorted.
    pub indexed: Vec<Span>,
    /// Whether there are loads at other addresses.
    pub computed: bool,
    /// What is asked besides bytes, sorted.
    pub metadata: Vec<Metadata>,
}

impl Needs {
    /// The needs of `graph`.
    pub fn of(graph: &Graph) -> Needs {
        guards::needs(graph)
    }
}

/// The values of an Ethernet header's type field with which a packet can match; `None` if it may be any.
///
/// `skb->protocol` is that field on most paths: a caller can reject by it before reading the packet. It is not where a
/// VLAN tag was taken out of a packet and the filter shall see it.
pub fn ether_types(graph: &Graph) -> Option<BTreeSet<u16>> {
    types::ether_types(graph)
}

/// Emits the filter. A packet that matches falls through to what the caller emits next, others jump to `reject`.
///
/// `protochain` follows 8 headers; a packet with a longer chain is rejected.
pub fn emit(graph: &Graph, a: &mut Asm, access: &mut dyn PacketAccess, reject: Label) -> Result<(), Error> {
    code::emit(graph, a, access, reject)
}

/// Why a filter cannot be emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The filter asks for something that the caller does not provide.
    Missing(Metadata),
    /// An arithmetic expression has more than so many intermediate results at a time.
    TooDeep(usize),
    /// The filter takes more than so many instructions.
    TooLong(usize),
}

impl Error {
    /// Whether there is too much of something that is right as such.
    pub const fn is_about_size(&self) -> bool {
        matches!(self, Error::TooDeep(_) | Error::TooLong(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Missing(which) => {
                let what = match which {
                    Metadata::Length => "the packet's length",
                    Metadata::PacketType => "the packet's direction",
                    Metadata::Interface => "the packet's interface",
                };
                write!(f, "the filter asks for {what}, which is not known here")
            }
            Error::TooDeep(limit) => write!(f, "the filter computes with more than {limit} intermediate results"),
            Error::TooLong(limit) => write!(f, "the filter takes more than {limit} instructions of eBPF"),
        }
    }
}

impl std::error::Error for Error {}
