//! Classic BPF: instructions, programs, their listing, a checker and an interpreter.
//!
//! A program is what libpcap's `pcap_compile()` produces and what `SO_ATTACH_FILTER`, savefile readers and
//! `iptables -m bpf` take: instructions over an accumulator A, an index register X and sixteen scratch cells M[0..15].

mod emit;
mod insn;
mod interp;

pub use emit::{ACCEPT, to_cbpf};
pub use insn::{CheckError, Insn, ParseError, Program, Runner, op};
pub use interp::{End, Meta, Outcome, Packet, STEP_LIMIT};
