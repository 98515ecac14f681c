//! Every form of instruction that there is, and random instructions of each.

use asm::{AluOp, AtomicOp, Cmp, Helper, Imm64, MapRef, Op, Operand, Order, Reg, Size, Width};

const WIDTHS: [Width; 2] = [Width::W32, Width::W64];

/// One instruction of each form, with the operands of [`form`].
pub fn all() -> Vec<Op> {
    let (dst, src, base, offset) = (reg(1), reg(2), reg(2), 0);
    let operands = [Operand::Reg(src), Operand::Imm(1)];
    let mut forms = Vec::new();
    for width in WIDTHS {
        for src in operands {
            forms.extend(AluOp::ALL.map(|op| Op::Alu { op, width, dst, src }));
            forms.extend(Cmp::ALL.map(|cmp| Op::Branch { cmp, width, lhs: dst, rhs: src, offset }));
        }
        forms.extend([Size::B1, Size::B2].map(|from| Op::MovSigned { width, from, dst, src }));
        forms.push(Op::Neg { width, dst });
    }
    forms.push(Op::MovSigned { width: Width::W64, from: Size::B4, dst, src });
    for order in [Order::Le, Order::Be, Order::Bswap] {
        forms.extend([Size::B2, Size::B4, Size::B8].map(|size| Op::Swap { order, size, dst }));
    }
    forms.push(Op::AddrSpaceCast { dst, src, to: 0, from: 1 });
    for size in Size::ALL {
        forms.push(Op::Load { size, dst, base, offset });
        forms.extend(operands.map(|src| Op::Store { size, base: dst, offset, src }));
        forms.push(Op::LoadAcquire { size, dst, base, offset });
        forms.push(Op::StoreRelease { size, base: dst, offset, src });
        if size != Size::B8 {
            forms.push(Op::LoadSigned { size, dst, base, offset });
            forms.push(Op::LoadPacket { size, index: None, offset: 1 });
            forms.push(Op::LoadPacket { size, index: Some(src), offset: 1 });
        }
        if size >= Size::B4 {
            forms.extend(AtomicOp::ALL.map(|op| Op::Atomic { op, size, base: dst, offset, src }));
        }
    }
    let values = [
        Imm64::Const(1),
        Imm64::Map(MapRef(1)),
        Imm64::MapValue(MapRef(1), 1),
        Imm64::BtfId { id: 1, btf_fd: 0 },
        Imm64::Func { offset: 0 },
        Imm64::MapIndex(1),
        Imm64::MapIndexValue(1, 1),
    ];
    forms.extend(values.map(|value| Op::LoadImm64 { dst, value }));
    forms.extend([
        Op::Jump { offset },
        Op::JumpLong { offset: 0 },
        Op::JumpTo { target: dst },
        Op::MayGoto { offset },
        Op::Call(Helper::MapLookupElem),
        Op::CallLocal { offset: 0 },
        Op::CallKfunc { btf_id: 1, fd_index: 0 },
        Op::Exit,
    ]);
    forms
}

/// The form of an instruction: the same operation on fixed operands.
pub fn form(op: &Op) -> Op {
    let (dst, src, base, offset) = (reg(1), reg(2), reg(2), 0);
    let operand = |operand| match operand {
        Operand::Reg(_) => Operand::Reg(src),
        Operand::Imm(_) => Operand::Imm(1),
    };
    match *op {
        Op::Alu { op, width, src, .. } => Op::Alu { op, width, dst, src: operand(src) },
        Op::MovSigned { width, from, .. } => Op::MovSigned { width, from, dst, src },
        Op::Neg { width, .. } => Op::Neg { width, dst },
        Op::Swap { order, size, .. } => Op::Swap { order, size, dst },
        Op::AddrSpaceCast { .. } => Op::AddrSpaceCast { dst, src, to: 0, from: 1 },
        Op::Load { size, .. } => Op::Load { size, dst, base, offset },
        Op::LoadSigned { size, .. } => Op::LoadSigned { size, dst, base, offset },
        Op::Store { size, src, .. } => Op::Store { size, base: dst, offset, src: operand(src) },
        Op::Atomic { op, size, .. } => Op::Atomic { op, size, base: dst, offset, src },
        Op::LoadAcquire { size, .. } => Op::LoadAcquire { size, dst, base, offset },
        Op::StoreRelease { size, .. } => Op::StoreRelease { size, base: dst, offset, src },
        Op::LoadPacket { size, index, .. } => Op::LoadPacket { size, index: index.map(|_| src), offset: 1 },
        Op::LoadImm64 { value, .. } => {
            let value = match value {
                Imm64::Const(_) => Imm64::Const(1),
                Imm64::Map(_) => Imm64::Map(MapRef(1)),
                Imm64::MapValue(..) => Imm64::MapValue(MapRef(1), 1),
                Imm64::BtfId { .. } => Imm64::BtfId { id: 1, btf_fd: 0 },
                Imm64::Func { .. } => Imm64::Func { offset: 0 },
                Imm64::MapIndex(_) => Imm64::MapIndex(1),
                Imm64::MapIndexValue(..) => Imm64::MapIndexValue(1, 1),
            };
            Op::LoadImm64 { dst, value }
        }
        Op::Jump { .. } => Op::Jump { offset },
        Op::JumpLong { .. } => Op::JumpLong { offset: 0 },
        Op::JumpTo { .. } => Op::JumpTo { target: dst },
        Op::MayGoto { .. } => Op::MayGoto { offset },
        Op::Branch { cmp, width, rhs, .. } => Op::Branch { cmp, width, lhs: dst, rhs: operand(rhs), offset },
        Op::Call(_) => Op::Call(Helper::MapLookupElem),
        Op::CallLocal { .. } => Op::CallLocal { offset: 0 },
        Op::CallKfunc { .. } => Op::CallKfunc { btf_id: 1, fd_index: 0 },
        Op::Exit => Op::Exit,
    }
}

fn reg(number: u8) -> Reg {
    Reg::new(number).expect("a register from r0 to r10")
}
