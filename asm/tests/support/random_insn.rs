//! A random instruction of a given form.

use crate::support::random::Rng;
use asm::{Helper, Imm64, MapRef, Op, Operand, Reg};

/// The same operation on operands that nothing restricts but the encoding.
pub fn instance(form: &Op, rng: &mut Rng) -> Op {
    let reg = |rng: &mut Rng| Reg::new(rng.below(11) as u8).expect("a register from r0 to r10");
    let imm = |rng: &mut Rng| rng.edgy() as i32;
    let offset = rng.edgy() as i16;
    let operand = |rng: &mut Rng, operand| match operand {
        Operand::Reg(_) => Operand::Reg(reg(rng)),
        Operand::Imm(_) => Operand::Imm(imm(rng)),
    };
    match *form {
        Op::Alu { op, width, src, .. } => Op::Alu { op, width, dst: reg(rng), src: operand(rng, src) },
        Op::MovSigned { width, from, .. } => Op::MovSigned { width, from, dst: reg(rng), src: reg(rng) },
        Op::Neg { width, .. } => Op::Neg { width, dst: reg(rng) },
        Op::Swap { order, size, .. } => Op::Swap { order, size, dst: reg(rng) },
        Op::AddrSpaceCast { .. } => {
            Op::AddrSpaceCast { dst: reg(rng), src: reg(rng), to: rng.edgy() as u16, from: rng.edgy() as u16 }
        }
        Op::Load { size, .. } => Op::Load { size, dst: reg(rng), base: reg(rng), offset },
        Op::LoadSigned { size, .. } => Op::LoadSigned { size, dst: reg(rng), base: reg(rng), offset },
        Op::Store { size, src, .. } => Op::Store { size, base: reg(rng), offset, src: operand(rng, src) },
        Op::Atomic { op, size, .. } => Op::Atomic { op, size, base: reg(rng), offset, src: reg(rng) },
        Op::LoadAcquire { size, .. } => Op::LoadAcquire { size, dst: reg(rng), base: reg(rng), offset },
        Op::StoreRelease { size, .. } => Op::StoreRelease { size, base: reg(rng), offset, src: reg(rng) },
        Op::LoadPacket { size, index, .. } => Op::LoadPacket { size, index: index.map(|_| reg(rng)), offset: imm(rng) },
        Op::LoadImm64 { value, .. } => {
            let (low, high) = (rng.edgy() as u32, rng.edgy() as u32);
            let value = match value {
                Imm64::Const(_) => Imm64::Const(rng.edgy()),
                Imm64::Map(_) => Imm64::Map(MapRef(low)),
                Imm64::MapValue(..) => Imm64::MapValue(MapRef(low), high),
                Imm64::BtfId { .. } => Imm64::BtfId { id: low, btf_fd: high.cast_signed() },
                Imm64::Func { .. } => Imm64::Func { offset: low.cast_signed() },
                Imm64::MapIndex(_) => Imm64::MapIndex(low),
                Imm64::MapIndexValue(..) => Imm64::MapIndexValue(low, high),
            };
            Op::LoadImm64 { dst: reg(rng), value }
        }
        Op::Jump { .. } => Op::Jump { offset },
        Op::JumpLong { .. } => Op::JumpLong { offset: imm(rng) },
        Op::JumpTo { .. } => Op::JumpTo { target: reg(rng) },
        Op::MayGoto { .. } => Op::MayGoto { offset },
        Op::Branch { cmp, width, rhs, .. } => Op::Branch { cmp, width, lhs: reg(rng), rhs: operand(rng, rhs), offset },
        Op::Call(_) => {
            Op::Call(Helper::from_id(if rng.below(2) == 0 { rng.next() as u32 % 220 } else { imm(rng) as u32 }))
        }
        Op::CallLocal { .. } => Op::CallLocal { offset: imm(rng) },
        Op::CallKfunc { .. } => Op::CallKfunc { btf_id: imm(rng) as u32, fd_index: offset.unsigned_abs() & 0x7fff },
        Op::Exit => Op::Exit,
    }
}
