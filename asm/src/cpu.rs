//! Which instructions a program may use.

use crate::insn::{AluOp, AtomicOp, Op, Order};
use std::fmt;

/// A set of instructions, each including the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cpu {
    /// 32-bit arithmetic and jumps, `lock +=`: every kernel since Linux 5.1.
    #[default]
    V3,
    /// And the other atomic instructions: Linux 5.12.
    V3Atomics,
    /// And signed division, sign-extending moves and loads, `bswap`, long jumps: Linux 6.6.
    V4,
    /// And whatever this crate knows: `may_goto` and `addr_space_cast` (6.9), `load_acquire` and `store_release`
    /// (6.15), `gotox` (6.19).
    Latest,
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cpu::V3 => "cpu v3",
            Cpu::V3Atomics => "cpu v3 with all atomics (Linux 5.12)",
            Cpu::V4 => "cpu v4 (Linux 6.6)",
            Cpu::Latest => "a newer cpu than v4 (Linux 6.9 and later)",
        })
    }
}

impl Op {
    /// The oldest set that has the instruction. Helpers and kfuncs are not considered.
    pub const fn needs(&self) -> Cpu {
        match self {
            Op::Alu { op: AluOp::SDiv | AluOp::SRem, .. }
            | Op::MovSigned { .. }
            | Op::LoadSigned { .. }
            | Op::Swap { order: Order::Bswap, .. }
            | Op::JumpLong { .. } => Cpu::V4,
            Op::Atomic { op: AtomicOp::Add, .. } => Cpu::V3,
            Op::Atomic { .. } => Cpu::V3Atomics,
            Op::AddrSpaceCast { .. }
            | Op::LoadAcquire { .. }
            | Op::StoreRelease { .. }
            | Op::JumpTo { .. }
            | Op::MayGoto { .. } => Cpu::Latest,
            _ => Cpu::V3,
        }
    }
}
