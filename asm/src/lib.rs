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
