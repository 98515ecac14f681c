//! Instructions to 8-byte slots and back.
//!
//! A slot is the kernel's `struct bpf_insn` (`include/uapi/linux/bpf.h`) as one `u64` of a little-endian machine: the
//! opcode in bits 0-7, the destination register in 8-11, the source register in 12-15, a signed offset in 16-31,
//! a signed constant in 32-63.

use crate::error::{DecodeError, DecodeErrorKind};
use crate::helper::Helper;
use crate::insn::{AluOp, AtomicOp, Cmp, Imm64, Insn, Op, Order};
use crate::map::MapRef;
use crate::mem::Size;
use crate::reg::{Operand, Reg, Width};

// Classes, the low three bits.
const LD: u8 = 0;
const LDX: u8 = 1;
const ST: u8 = 2;
const STX: u8 = 3;
const ALU: u8 = 4;
const JMP: u8 = 5;
const JMP32: u8 = 6;
const ALU64: u8 = 7;
// The second operand is a register; for byte swaps: big endian.
const X: u8 = 0x08;
// Modes of loads and stores.
const ABS: u8 = 0x20;
const IND: u8 = 0x40;
const MEM: u8 = 0x60;
const MEMSX: u8 = 0x80;
const ATOMIC: u8 = 0xc0;
// Operations that are not in a table below.
const NEG: u8 = 0x80;
const END: u8 = 0xd0;
const LDDW: u8 = 0x18;
const JA: u8 = 0x05;
const JA_X: u8 = 0x0d;
const JA32: u8 = 0x06;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const JCOND: u8 = 0xe5;
const MOV_X: u8 = 0xb0 | X;
// The constant of atomic instructions that are not read-modify-write.
const LOAD_ACQUIRE: i32 = 0x100;
const STORE_RELEASE: i32 = 0x110;
// The source register of LDDW says what the constant is.
const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;
const PSEUDO_BTF_ID: u8 = 3;
const PSEUDO_FUNC: u8 = 4;
const PSEUDO_MAP_IDX: u8 = 5;
const PSEUDO_MAP_IDX_VALUE: u8 = 6;
// The source register of CALL says what is called.
const PSEUDO_CALL: u8 = 1;
const PSEUDO_KFUNC_CALL: u8 = 2;

/// The slots of one instruction: the second is there for [`Op::LoadImm64`] only. Map references become their numbers.
///
/// An `Op` that no instruction can express (a byte swap of one byte, a sign-extended eight-byte load) gives a slot
/// that [`decode`] refuses, as the kernel does.
pub fn encode(op: &Op) -> (u64, Option<u64>) {
    let f = fields(op);
    let second = matches!(op, Op::LoadImm64 { .. }).then(|| u64::from(f.second.cast_unsigned()) << 32);
    (f.slot(), second)
}

/// The low byte of the instruction.
pub(crate) fn opcode(op: &Op) -> u8 {
    fields(op).opcode
}

/// Reads a whole program back. Every program that is accepted encodes to the same slots again: bits that an
/// instruction does not use must be zero, as the kernel demands.
pub fn decode(slots: &[u64]) -> Result<Vec<Insn>, DecodeError> {
    let mut insns = Vec::with_capacity(slots.len());
    let mut at = 0;
    while let Some(&slot) = slots.get(at) {
        let error = |kind| DecodeError { slot: at, kind };
        let op = if slot.to_le_bytes()[0] == LDDW {
            let &second = slots.get(at + 1).ok_or(error(DecodeErrorKind::Truncated))?;
            decode_imm64(slot, second).map_err(error)?
        } else {
            decode_one(slot).map_err(error)?
        };
        at += op.slots();
        insns.push(Insn::new(op));
    }
    Ok(insns)
}

/// The fields of a slot, and the constant of the second one.
#[derive(Clone, Copy, Default)]
struct Fields {
    opcode: u8,
    dst: u8,
    src: u8,
    offset: i16,
    imm: i32,
    second: i32,
}

impl Fields {
    fn slot(self) -> u64 {
        u64::from(self.opcode)
            | u64::from(self.dst) << 8
            | u64::from(self.src) << 12
            | u64::from(self.offset.cast_unsigned()) << 16
            | u64::from(self.imm.cast_unsigned()) << 32
    }

    fn of(slot: u64) -> Fields {
        let [opcode, regs, o0, o1, i0, i1, i2, i3] = slot.to_le_bytes();
        Fields {
            opcode,
            dst: regs & 0xf,
            src: regs >> 4,
            offset: i16::from_le_bytes([o0, o1]),
            imm: i32::from_le_bytes([i0, i1, i2, i3]),
            second: 0,
        }
    }

    fn with(self, operand: Operand) -> Fields {
        match operand {
            Operand::Reg(reg) => Fields { opcode: self.opcode | X, src: reg.number(), ..self },
            Operand::Imm(imm) => Fields { imm, ..self },
        }
    }
}

fn fields(op: &Op) -> Fields {
    let none = Fields::default();
    match *op {
        Op::Alu { op, width, dst, src } => {
            let (code, offset) = alu_code(op);
            Fields { opcode: alu_class(width) | code, dst: dst.number(), offset, ..none }.with(src)
        }
        Op::MovSigned { width, from, dst, src } => Fields {
            opcode: alu_class(width) | MOV_X,
            dst: dst.number(),
            src: src.number(),
            offset: i16::from(from.bytes()) * 8,
            ..none
        },
        Op::Neg { width, dst } => Fields { opcode: alu_class(width) | NEG, dst: dst.number(), ..none },
        Op::Swap { order, size, dst } => {
            let opcode = match order {
                Order::Le => ALU | END,
                Order::Be => ALU | END | X,
                Order::Bswap => ALU64 | END,
            };
            Fields { opcode, dst: dst.number(), imm: i32::from(size.bytes()) * 8, ..none }
        }
        Op::AddrSpaceCast { dst, src, to, from } => Fields {
            opcode: ALU64 | MOV_X,
            dst: dst.number(),
            src: src.number(),
            offset: 1,
            imm: (u32::from(to) << 16 | u32::from(from)).cast_signed(),
            ..none
        },
        Op::Load { size, dst, base, offset } => {
            Fields { opcode: LDX | MEM | size_code(size), dst: dst.number(), src: base.number(), offset, ..none }
        }
        Op::LoadSigned { size, dst, base, offset } => {
            Fields { opcode: LDX | MEMSX | size_code(size), dst: dst.number(), src: base.number(), offset, ..none }
        }
        Op::Store { size, base, offset, src } => {
            let to = Fields { opcode: MEM | size_code(size), dst: base.number(), offset, ..none };
            match src {
                Operand::Reg(src) => Fields { opcode: to.opcode | STX, src: src.number(), ..to },
                Operand::Imm(imm) => Fields { opcode: to.opcode | ST, imm, ..to },
            }
        }
        Op::Atomic { op, size, base, offset, src } => Fields {
            opcode: STX | ATOMIC | size_code(size),
            dst: base.number(),
            src: src.number(),
            offset,
            imm: atomic_code(op),
            ..none
        },
        Op::LoadAcquire { size, dst, base, offset } => Fields {
            opcode: STX | ATOMIC | size_code(size),
            dst: dst.number(),
            src: base.number(),
            offset,
            imm: LOAD_ACQUIRE,
            ..none
        },
        Op::StoreRelease { size, base, offset, src } => Fields {
            opcode: STX | ATOMIC | size_code(size),
            dst: base.number(),
            src: src.number(),
            offset,
            imm: STORE_RELEASE,
            ..none
        },
        Op::LoadPacket { size, index: None, offset } => {
            Fields { opcode: LD | ABS | size_code(size), imm: offset, ..none }
        }
        Op::LoadPacket { size, index: Some(index), offset } => {
            Fields { opcode: LD | IND | size_code(size), src: index.number(), imm: offset, ..none }
        }
        Op::LoadImm64 { dst, value } => {
            let (src, imm, second) = match value {
                Imm64::Const(value) => (0, value as i32, (value >> 32) as i32),
                Imm64::Map(MapRef(map)) => (PSEUDO_MAP_FD, map.cast_signed(), 0),
                Imm64::MapValue(MapRef(map), offset) => (PSEUDO_MAP_VALUE, map.cast_signed(), offset.cast_signed()),
                Imm64::BtfId { id, btf_fd } => (PSEUDO_BTF_ID, id.cast_signed(), btf_fd),
                Imm64::Func { offset } => (PSEUDO_FUNC, offset, 0),
                Imm64::MapIndex(index) => (PSEUDO_MAP_IDX, index.cast_signed(), 0),
                Imm64::MapIndexValue(index, offset) => {
                    (PSEUDO_MAP_IDX_VALUE, index.cast_signed(), offset.cast_signed())
                }
            };
            Fields { opcode: LDDW, dst: dst.number(), src, imm, second, ..none }
        }
        Op::Jump { offset } => Fields { opcode: JA, offset, ..none },
        Op::JumpLong { offset } => Fields { opcode: JA32, imm: offset, ..none },
        Op::JumpTo { target } => Fields { opcode: JA_X, dst: target.number(), ..none },
        Op::MayGoto { offset } => Fields { opcode: JCOND, offset, ..none },
        Op::Branch { cmp, width, lhs, rhs, offset } => {
            let class = match width {
                Width::W32 => JMP32,
                Width::W64 => JMP,
            };
            Fields { opcode: class | cmp_code(cmp), dst: lhs.number(), offset, ..none }.with(rhs)
        }
        Op::Call(helper) => Fields { opcode: CALL, imm: helper.id().cast_signed(), ..none },
        Op::CallLocal { offset } => Fields { opcode: CALL, src: PSEUDO_CALL, imm: offset, ..none },
        Op::CallKfunc { btf_id, fd_index } => Fields {
            opcode: CALL,
            src: PSEUDO_KFUNC_CALL,
            offset: fd_index.cast_signed(),
            imm: btf_id.cast_signed(),
            ..none
        },
        Op::Exit => Fields { opcode: EXIT, ..none },
    }
}

fn decode_one(slot: u64) -> Result<Op, DecodeErrorKind> {
    let f = Fields::of(slot);
    let op = match f.opcode & 7 {
        ALU | ALU64 => decode_alu(f)?,
        LD => decode_packet(f)?,
        LDX | ST | STX => decode_memory(f)?,
        _ => decode_jump(f)?,
    };
    // What the instruction does not use must be zero; the comparison names it without a rule per instruction.
    let used = fields(&op);
    let unused = [
        ("destination register", used.dst != f.dst),
        ("source register", used.src != f.src),
        ("offset", used.offset != f.offset),
        ("constant", used.imm != f.imm),
    ];
    match unused.into_iter().find(|(_, differs)| *differs) {
        Some((field, _)) => Err(DecodeErrorKind::Reserved { opcode: f.opcode, field }),
        None => Ok(op),
    }
}

fn decode_imm64(first: u64, second: u64) -> Result<Op, DecodeErrorKind> {
    let f = Fields::of(first);
    let dst = register(f.dst)?;
    let high = Fields::of(second);
    let imm = f.imm.cast_unsigned();
    let offset = high.imm.cast_unsigned();
    let value = match f.src {
        0 => Imm64::Const(u64::from(offset) << 32 | u64::from(imm)),
        PSEUDO_MAP_FD => Imm64::Map(MapRef(imm)),
        PSEUDO_MAP_VALUE => Imm64::MapValue(MapRef(imm), offset),
        PSEUDO_BTF_ID => Imm64::BtfId { id: imm, btf_fd: high.imm },
        PSEUDO_FUNC => Imm64::Func { offset: f.imm },
        PSEUDO_MAP_IDX => Imm64::MapIndex(imm),
        PSEUDO_MAP_IDX_VALUE => Imm64::MapIndexValue(imm, offset),
        _ => return Err(DecodeErrorKind::Reserved { opcode: LDDW, field: "source register" }),
    };
    let op = Op::LoadImm64 { dst, value };
    let used = fields(&op);
    if used.offset != f.offset {
        return Err(DecodeErrorKind::Reserved { opcode: LDDW, field: "offset" });
    }
    if encode(&op).1 != Some(second) {
        return Err(DecodeErrorKind::Reserved { opcode: LDDW, field: "second slot" });
    }
    Ok(op)
}

fn decode_alu(f: Fields) -> Result<Op, DecodeErrorKind> {
    let dst = register(f.dst)?;
    let width = if f.opcode & 7 == ALU64 { Width::W64 } else { Width::W32 };
    let reserved = |field| DecodeErrorKind::Reserved { opcode: f.opcode, field };
    match f.opcode & 0xf0 {
        NEG if f.opcode & X == 0 => return Ok(Op::Neg { width, dst }),
        END => {
            let order = match (width, f.opcode & X) {
                (Width::W32, 0) => Order::Le,
                (Width::W32, _) => Order::Be,
                (Width::W64, 0) => Order::Bswap,
                (Width::W64, _) => return Err(DecodeErrorKind::Opcode(f.opcode)),
            };
            let size = match f.imm {
                16 => Size::B2,
                32 => Size::B4,
                64 => Size::B8,
                _ => return Err(reserved("constant")),
            };
            return Ok(Op::Swap { order, size, dst });
        }
        _ => {}
    }
    if f.opcode & 0xf8 == MOV_X {
        let src = register(f.src)?;
        match (f.offset, width) {
            (8, _) => return Ok(Op::MovSigned { width, from: Size::B1, dst, src }),
            (16, _) => return Ok(Op::MovSigned { width, from: Size::B2, dst, src }),
            (32, Width::W64) => return Ok(Op::MovSigned { width, from: Size::B4, dst, src }),
            (1, Width::W64) => {
                let imm = f.imm.cast_unsigned();
                return Ok(Op::AddrSpaceCast { dst, src, to: (imm >> 16) as u16, from: imm as u16 });
            }
            _ => {}
        }
    }
    let op = AluOp::ALL
        .into_iter()
        .find(|&op| alu_code(op) == (f.opcode & 0xf0, f.offset))
        .or_else(|| AluOp::ALL.into_iter().find(|&op| alu_code(op) == (f.opcode & 0xf0, 0)))
        .ok_or(DecodeErrorKind::Opcode(f.opcode))?;
    Ok(Op::Alu { op, width, dst, src: operand(f)? })
}

fn decode_packet(f: Fields) -> Result<Op, DecodeErrorKind> {
    let size = size_of_code(f.opcode);
    match f.opcode & 0xe0 {
        ABS if size != Size::B8 => Ok(Op::LoadPacket { size, index: None, offset: f.imm }),
        IND if size != Size::B8 => Ok(Op::LoadPacket { size, index: Some(register(f.src)?), offset: f.imm }),
        _ => Err(DecodeErrorKind::Opcode(f.opcode)),
    }
}

fn decode_memory(f: Fields) -> Result<Op, DecodeErrorKind> {
    let size = size_of_code(f.opcode);
    let offset = f.offset;
    let (dst, src) = (register(f.dst)?, register(f.src)?);
    match (f.opcode & 7, f.opcode & 0xe0) {
        (LDX, MEM) => Ok(Op::Load { size, dst, base: src, offset }),
        (LDX, MEMSX) if size != Size::B8 => Ok(Op::LoadSigned { size, dst, base: src, offset }),
        (ST, MEM) => Ok(Op::Store { size, base: dst, offset, src: Operand::Imm(f.imm) }),
        (STX, MEM) => Ok(Op::Store { size, base: dst, offset, src: Operand::Reg(src) }),
        (STX, ATOMIC) => match f.imm {
            LOAD_ACQUIRE => Ok(Op::LoadAcquire { size, dst, base: src, offset }),
            STORE_RELEASE => Ok(Op::StoreRelease { size, base: dst, offset, src }),
            _ if size < Size::B4 => Err(DecodeErrorKind::Opcode(f.opcode)),
            imm => {
                let op = AtomicOp::ALL
                    .into_iter()
                    .find(|&op| atomic_code(op) == imm)
                    .ok_or(DecodeErrorKind::Reserved { opcode: f.opcode, field: "constant" })?;
                Ok(Op::Atomic { op, size, base: dst, offset, src })
            }
        },
        _ => Err(DecodeErrorKind::Opcode(f.opcode)),
    }
}

fn decode_jump(f: Fields) -> Result<Op, DecodeErrorKind> {
    match f.opcode {
        JA => return Ok(Op::Jump { offset: f.offset }),
        JA32 => return Ok(Op::JumpLong { offset: f.imm }),
        JA_X => return Ok(Op::JumpTo { target: register(f.dst)? }),
        JCOND => return Ok(Op::MayGoto { offset: f.offset }),
        EXIT => return Ok(Op::Exit),
        CALL => {
            return match f.src {
                0 => Ok(Op::Call(Helper::from_id(f.imm.cast_unsigned()))),
                PSEUDO_CALL => Ok(Op::CallLocal { offset: f.imm }),
                PSEUDO_KFUNC_CALL => match u16::try_from(f.offset) {
                    Ok(fd_index) => Ok(Op::CallKfunc { btf_id: f.imm.cast_unsigned(), fd_index }),
                    Err(_) => Err(DecodeErrorKind::Reserved { opcode: CALL, field: "offset" }),
                },
                _ => Err(DecodeErrorKind::Reserved { opcode: CALL, field: "source register" }),
            };
        }
        _ => {}
    }
    let width = if f.opcode & 7 == JMP { Width::W64 } else { Width::W32 };
    let cmp =
        Cmp::ALL.into_iter().find(|&cmp| cmp_code(cmp) == f.opcode & 0xf0).ok_or(DecodeErrorKind::Opcode(f.opcode))?;
    Ok(Op::Branch { cmp, width, lhs: register(f.dst)?, rhs: operand(f)?, offset: f.offset })
}

fn operand(f: Fields) -> Result<Operand, DecodeErrorKind> {
    if f.opcode & X != 0 { Ok(Operand::Reg(register(f.src)?)) } else { Ok(Operand::Imm(f.imm)) }
}

fn register(number: u8) -> Result<Reg, DecodeErrorKind> {
    Reg::new(number).ok_or(DecodeErrorKind::Register(number))
}

fn alu_class(width: Width) -> u8 {
    match width {
        Width::W32 => ALU,
        Width::W64 => ALU64,
    }
}

/// The operation's bits and the offset that makes a division signed.
fn alu_code(op: AluOp) -> (u8, i16) {
    match op {
        AluOp::Add => (0x00, 0),
        AluOp::Sub => (0x10, 0),
        AluOp::Mul => (0x20, 0),
        AluOp::Div => (0x30, 0),
        AluOp::SDiv => (0x30, 1),
        AluOp::Or => (0x40, 0),
        AluOp::And => (0x50, 0),
        AluOp::Lsh => (0x60, 0),
        AluOp::Rsh => (0x70, 0),
        AluOp::Rem => (0x90, 0),
        AluOp::SRem => (0x90, 1),
        AluOp::Xor => (0xa0, 0),
        AluOp::Mov => (0xb0, 0),
        AluOp::Arsh => (0xc0, 0),
    }
}

fn cmp_code(cmp: Cmp) -> u8 {
    match cmp {
        Cmp::Eq => 0x10,
        Cmp::Gt => 0x20,
        Cmp::Ge => 0x30,
        Cmp::Set => 0x40,
        Cmp::Ne => 0x50,
        Cmp::Sgt => 0x60,
        Cmp::Sge => 0x70,
        Cmp::Lt => 0xa0,
        Cmp::Le => 0xb0,
        Cmp::Slt => 0xc0,
        Cmp::Sle => 0xd0,
    }
}

fn atomic_code(op: AtomicOp) -> i32 {
    match op {
        AtomicOp::Add => 0x00,
        AtomicOp::Or => 0x40,
        AtomicOp::And => 0x50,
        AtomicOp::Xor => 0xa0,
        AtomicOp::FetchAdd => 0x01,
        AtomicOp::FetchOr => 0x41,
        AtomicOp::FetchAnd => 0x51,
        AtomicOp::FetchXor => 0xa1,
        AtomicOp::Xchg => 0xe1,
        AtomicOp::CmpXchg => 0xf1,
    }
}

fn size_code(size: Size) -> u8 {
    match size {
        Size::B4 => 0x00,
        Size::B2 => 0x08,
        Size::B1 => 0x10,
        Size::B8 => 0x18,
    }
}

fn size_of_code(opcode: u8) -> Size {
    match opcode & 0x18 {
        0x00 => Size::B4,
        0x08 => Size::B2,
        0x10 => Size::B1,
        _ => Size::B8,
    }
}
