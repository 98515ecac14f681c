//! A filter as a whole eBPF program, to be read.

use asm::{Asm, R0, R1, R7, R8, u64};
use filter_compiler::ebpf::{self, Indexing, Metadata, Needs, Packet, Place, StackWindow};
use filter_compiler::graph::{Graph, Target};
use std::fmt;

/// Why a filter cannot be a program.
#[derive(Debug)]
pub enum EmitError {
    /// It asks for what is not known, or computes too much.
    Filter(ebpf::Error),
    /// It needs more of something than a program has.
    Program(asm::Error),
}

impl EmitError {
    /// Whether there is too much of something that is right as such.
    pub fn is_about_size(&self) -> bool {
        match self {
            EmitError::Filter(error) => error.is_about_size(),
            EmitError::Program(error) => error.is_about_size(),
        }
    }
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EmitError::Filter(error) => error.fmt(f),
            EmitError::Program(error) => error.fmt(f),
        }
    }
}

impl From<ebpf::Error> for EmitError {
    fn from(error: ebpf::Error) -> EmitError {
        EmitError::Filter(error)
    }
}

impl From<asm::Error> for EmitError {
    fn from(error: asm::Error) -> EmitError {
        EmitError::Program(error)
    }
}

/// A program that returns whether a packet matches.
///
/// Its context is five words: address of the packet, captured bytes, length on the wire, packet type, interface.
pub fn program(graph: &Graph) -> Result<asm::Program, EmitError> {
    let mut a = Asm::new("filter");
    let reject = a.label_named("reject");
    a.note("packet");
    a.load(R7, u64(R1));
    a.note("captured bytes");
    a.load(R8, u64(R1 + 8));
    let mut packet = Packet::new(Place::Reg(R7), Place::Reg(R8));
    let needs = Needs::of(graph);
    let words = [
        (Metadata::Length, "length", &mut packet.length),
        (Metadata::PacketType, "packet type", &mut packet.packet_type),
        (Metadata::Interface, "interface", &mut packet.interface),
    ];
    for ((which, name, place), at) in words.into_iter().zip([16, 24, 32]) {
        if needs.metadata.contains(&which) {
            let slot = a.stack_named(8, name);
            a.load(R0, u64(R1 + at));
            a.store(u64(slot), R0);
            *place = Some(Place::Slot(slot));
        }
    }
    let mut window = StackWindow::new(&mut a, &needs, packet, Indexing::SecondRead)?;
    window.read(&mut a, reject);
    ebpf::emit(graph, &mut a, &mut window, reject)?;
    a.note("match");
    a.mov(R0, 1);
    a.exit();
    // Where every packet matches no path leads there.
    if graph.root() != Target::Accept {
        a.bind(reject);
        a.mov(R0, 0);
        a.exit();
    }
    Ok(a.finish()?)
}
