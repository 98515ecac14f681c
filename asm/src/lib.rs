//! An eBPF assembler: every instruction, labels, stack slots, listings in the verifier's notation, and the checks that
//! need no kernel. No dependencies.
//!
//! One whole program: does a packet mark match, under a mask?
//!
//! ```
//! use asm::*;
//!
//! fn filter_mark(a: &mut Asm, mask: u32, value: u32, drop: Label) {
//!     let mark = a.stack_named(4, "mark");
//!     a.store(u32(mark), 0);
//!     a.lea(R1, mark);
//!     a.mov(R2, 4);
//!     a.lea(R3, R6 + 168);
//!     a.call(Helper::ProbeReadKernel);
//!     a.load(R1, u32(mark));
//!     a.note("skb->mark & mask");
//!     a.and(W1, mask);
//!     a.jne(W1, value, drop);
//! }
//!
//! let mut a = Asm::new("entry");
//! let drop = a.label_named("drop");
//! a.load(R6, u64(R1));
//! filter_mark(&mut a, 0xf00, 0xa00, drop);
//! a.mov(R0, 1);
//! a.exit();
//! a.bind(drop);
//! a.mov(R0, 0);
//! a.exit();
//! let program = a.finish()?;
//!
//! assert_eq!(
//!     program.to_string(),
//!     "\
//! entry: 8 bytes of stack
//! 0: (79) r6 = *(u64 *)(r1 +0)
//! 1: (62) *(u32 *)(r10 -8) = 0                  ; mark
//! 2: (bf) r1 = r10                              ; mark
//! 3: (07) r1 += -8                              ; mark
//! 4: (b7) r2 = 4
//! 5: (bf) r3 = r6
//! 6: (07) r3 += 168
//! 7: (85) call bpf_probe_read_kernel#113
//! 8: (61) r1 = *(u32 *)(r10 -8)                 ; mark
//! 9: (54) w1 &= 3840                            ; skb->mark & mask
//! 10: (56) if w1 != 0xa00 goto pc+2
//! 11: (b7) r0 = 1
//! 12: (95) exit
//! drop:
//! 13: (b7) r0 = 0
//! 14: (95) exit
//! "
//! );
//! let slots: Vec<u64> = program.encode(|_map| 0)?;
//! assert_eq!(slots[0], 0x0000_0000_0000_1679);
//! assert_eq!(decode(&slots)?, program.insns());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Operands
//!
//! `R0` to `R9` are whole registers, `W0` to `W9` their low halves, and an instruction has the width of its first
//! operand: `a.add(R1, R2)` adds 64 bits, `a.add(W1, W2)` 32. Mixing them does not compile, and neither does a 64-bit
//! instruction with a `u32` constant, whose sign the machine would extend; see [`Source`]. `FP` can be read, not
//! written; see [`Dst`]. Registers are values ([`Reg64`], [`Reg32`]), so they can be kept in variables and arrays.
//!
//! Memory is `u8(..)` to `u64(..)` of a base and an offset: `u32(R7 + 8)`, `u64(FP - 8)`, `u16(slot + 2)`; [`Mem::new`]
//! where the size is known at run time only.
//!
//! # Labels, subprograms, stack
//!
//! [`Asm::label`] makes a label, any number of jumps use it, [`Asm::bind`] binds it once, before or after. A subprogram
//! starts with [`Asm::begin_subprogram`] and has a frame of its own:
//!
//! ```
//! use asm::*;
//!
//! let mut a = Asm::new("count");
//! let (double, big) = (a.label_named("double"), a.label());
//! a.load(R1, u32(R1));
//! a.jge(W1, 0x8000_0000_u32, big);
//! a.call_local(double);
//! a.exit();
//! a.bind(big);
//! a.mov(R0, -1);
//! a.exit();
//!
//! a.begin_subprogram(double);
//! a.mov(R0, R1);
//! a.add(R0, R1);
//! a.exit();
//!
//! let program = a.finish()?;
//! let names: Vec<_> = program.subprograms().iter().map(|f| (&*f.name, f.start..f.end)).collect();
//! assert_eq!(names, [("count", 0..6), ("double", 6..9)]);
//! # Ok::<(), asm::Error>(())
//! ```
//!
//! Bytes of the frame come from [`Asm::stack`] and its variants. Slots live until the end of the function, or between
//! [`Asm::stack_mark`] and [`Asm::stack_release`]: those that follow share their bytes.
//!
//! # What is checked
//!
//! No method fails; [`Asm::finish`] reports the first mistake with the line that made it:
//!
//! ```
//! use asm::*;
//!
//! let mut a = Asm::new("wrong");
//! a.call(Helper::KtimeGetNs);
//! a.load(R0, u64(R1));
//! a.exit();
//! let error = a.finish().unwrap_err().to_string();
//! let expected = "program `wrong`: r1 may be read before it is written, at 1: (79) r0 = *(u64 *)(r1 +0), emitted by ";
//! assert!(error.starts_with(expected), "{error}");
//! ```
//!
//! It knows jumps and calls that lead nowhere, code that no path reaches or that runs past its end, registers and stack
//! bytes that are read before they are written, missing arguments of helpers, stack accesses outside the frame or the
//! slot or not aligned, frames that are too large, instructions that the target ([`Cpu`]) lacks, divisions by 0, shifts
//! that are too far, writes to FP. [`ErrorKind`] lists them. Types of pointers, bounds and loops are left to the
//! verifier.
//!
//! # Listings and refusals
//!
//! A program prints as the verifier's log does, with notes ([`Asm::note`]) and names of slots behind, and with `{:#}`
//! the source lines. [`Program::source_of`] leads from a slot number in the log back to the line that emitted it.
//! [`Program::disassemble`] does the same for slots from elsewhere, and [`Program::check`] checks them.
//!
//! # Loading
//!
//! [`Program::encode`] gives the slots for `BPF_PROG_LOAD` on a little-endian machine. Maps are symbolic ([`MapRef`])
//! until then. [`Program::subprograms`] has what `func_info` needs.

mod builder;
mod check;
mod cpu;
mod emit;
mod encode;
mod error;
mod flow;
mod helper;
mod insn;
mod map;
mod mem;
mod program;
mod reg;

pub use builder::{Asm, Label, StackMark};
pub use cpu::Cpu;
pub use encode::{decode, encode};
pub use error::{DecodeError, DecodeErrorKind, EncodeError, Error, ErrorKind};
pub use helper::Helper;
pub use insn::{AluOp, AtomicOp, Cmp, Imm64, Insn, Op, Order};
pub use map::MapRef;
pub use mem::{Addr, Mem, SignedMem, Size, Slot, Stored, i8, i16, i32, u8, u16, u32, u64};
pub use program::{Program, Subprogram};
pub use reg::{
    Dst, FP, FramePointer, Operand, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, Reg, Reg32, Reg64, Source, W0, W1, W2, W3,
    W4, W5, W6, W7, W8, W9, Width,
};
