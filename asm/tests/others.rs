//! Other implementations read our slots as we mean them, and do with them what we say.
//!
//! `bpf-ins` decodes and encodes, `rbpf` disassembles and executes. What bpf-ins cannot do is listed by name, and the list
//! is checked: an entry that it can do by now fails.

use asm::*;
use bpf_ins::{
    ArithmeticOperation as Arithmetic, Instruction, JumpOperation, MemoryOpLoadType, MemoryOpSize, Register,
};

mod support {
    pub mod forms;
    pub mod model;
    pub mod random;
    pub mod random_insn;
    pub mod random_program;
    pub mod rbpf;
}
use support::forms;
use support::model;
use support::random::Rng;
use support::random_insn::instance;
use support::random_program::{computing, context};
use support::rbpf;

/// Why bpf-ins 0.7.4 does not decode the instruction.
fn unknown_to_bpf_ins(op: &Op) -> Option<&'static str> {
    match op {
        Op::LoadSigned { .. } => Some("no sign-extending loads"),
        Op::LoadPacket { .. } => Some("no packet loads"),
        Op::MayGoto { .. } => Some("no may_goto"),
        _ => None,
    }
}

#[test]
fn bpf_ins_decodes_and_encodes_the_same() {
    let mut rng = Rng(3);
    for form in forms::all() {
        for _ in 0..50 {
            let op = instance(&form, &mut rng);
            let (first, second) = encode(&op);
            let slots: Vec<u64> = [first].into_iter().chain(second).collect();
            match (Instruction::decode(&slots), unknown_to_bpf_ins(&op)) {
                (Ok(theirs), None) => assert_eq!(theirs.encode(), (first, second), "{op}"),
                (Err(_), Some(_)) => {}
                (Ok(_), Some(why)) => panic!("{op}: bpf-ins decodes it, the exception `{why}` is out of date"),
                (Err(error), None) => panic!("{op}: bpf-ins: {error}"),
            }
            assert_eq!(forms::form(&op), form);
        }
    }
}

/// The same instruction from the constructors of bpf-ins, where it has one.
fn constructed(op: &Op) -> Option<Instruction> {
    let reg = |reg: Reg| Register::from_num(reg.number()).expect("a register from r0 to r10");
    let size = |size| match size {
        Size::B1 => MemoryOpSize::Byte,
        Size::B2 => MemoryOpSize::HalfWord,
        Size::B4 => MemoryOpSize::Word,
        Size::B8 => MemoryOpSize::DoubleWord,
    };
    Some(match *op {
        Op::Alu { op, width, dst, src } => {
            let op = match op {
                AluOp::Add => Arithmetic::Add,
                AluOp::Sub => Arithmetic::Sub,
                AluOp::Mul => Arithmetic::Mul,
                AluOp::Div => Arithmetic::Div,
                AluOp::Or => Arithmetic::Or,
                AluOp::And => Arithmetic::And,
                AluOp::Lsh => Arithmetic::Lhs,
                AluOp::Rsh => Arithmetic::Rhs,
                AluOp::Rem => Arithmetic::Mod,
                AluOp::Xor => Arithmetic::Xor,
                AluOp::Mov => Arithmetic::Mov,
                AluOp::Arsh => Arithmetic::Ash,
                AluOp::SDiv | AluOp::SRem => return None,
            };
            match (width, src) {
                (Width::W32, Operand::Imm(imm)) => Instruction::alu32(reg(dst), imm, op),
                (Width::W64, Operand::Imm(imm)) => Instruction::alu64(reg(dst), imm, op),
                (Width::W32, Operand::Reg(src)) => Instruction::alux32(reg(dst), reg(src), op),
                (Width::W64, Operand::Reg(src)) => Instruction::alux64(reg(dst), reg(src), op),
            }
        }
        Op::Load { size: bytes, dst, base, offset } => Instruction::loadx(reg(dst), reg(base), offset, size(bytes)),
        Op::Store { size: bytes, base, offset, src: Operand::Imm(imm) } => {
            Instruction::store(reg(base), offset, imm.into(), size(bytes))
        }
        Op::Store { size: bytes, base, offset, src: Operand::Reg(src) } => {
            Instruction::storex(reg(base), offset, reg(src), size(bytes))
        }
        Op::LoadImm64 { dst, value } => {
            let pair = |low: u32, high: u32| (u64::from(high) << 32 | u64::from(low)) as i64;
            match value {
                Imm64::Const(value) => Instruction::loadtype(reg(dst), value as i64, MemoryOpLoadType::Void),
                Imm64::Map(MapRef(map)) => Instruction::loadtype(reg(dst), map.into(), MemoryOpLoadType::Map),
                Imm64::MapValue(MapRef(map), offset) => {
                    Instruction::loadtype(reg(dst), pair(map, offset), MemoryOpLoadType::MapValue)
                }
                Imm64::BtfId { id, btf_fd } => {
                    Instruction::loadtype(reg(dst), pair(id, btf_fd as u32), MemoryOpLoadType::BtfId)
                }
                Imm64::Func { offset } => {
                    Instruction::loadtype(reg(dst), i64::from(offset as u32), MemoryOpLoadType::Function)
                }
                Imm64::MapIndex(index) => Instruction::loadtype(reg(dst), index.into(), MemoryOpLoadType::MapIndex),
                Imm64::MapIndexValue(index, offset) => {
                    Instruction::loadtype(reg(dst), pair(index, offset), MemoryOpLoadType::MapIndexValue)
                }
            }
        }
        Op::Jump { offset } => Instruction::jmp_abs(offset),
        Op::Branch { cmp, width: Width::W64, lhs, rhs, offset } => {
            let cmp = match cmp {
                Cmp::Eq => JumpOperation::IfEqual,
                Cmp::Ne => JumpOperation::IfNotEqual,
                Cmp::Gt => JumpOperation::IfGreater,
                Cmp::Ge => JumpOperation::IfGreaterOrEqual,
                Cmp::Lt => JumpOperation::IfLessThan,
                Cmp::Le => JumpOperation::IfLessThanOrEqual,
                Cmp::Set => JumpOperation::IfAnd,
                Cmp::Sgt => JumpOperation::IfSignedGreater,
                Cmp::Sge => JumpOperation::IfSignedGreaterOrEqual,
                Cmp::Slt => JumpOperation::IfSignedLessThan,
                Cmp::Sle => JumpOperation::IfSignedLessThanOrEqual,
            };
            match rhs {
                Operand::Imm(imm) => Instruction::jmp_if(reg(lhs), cmp, imm.into(), offset),
                Operand::Reg(rhs) => Instruction::jmp_ifx(reg(lhs), cmp, reg(rhs), offset),
            }
        }
        Op::Call(helper) => Instruction::call(helper.id()),
        Op::Exit => Instruction::exit(),
        _ => return None,
    })
}

#[test]
fn bpf_ins_constructs_the_same() {
    let mut rng = Rng(4);
    let mut compared = 0;
    for form in forms::all() {
        for _ in 0..20 {
            let op = instance(&form, &mut rng);
            if let Some(theirs) = constructed(&op) {
                assert_eq!(theirs.encode(), encode(&op), "{op}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 20 * 80, "only {compared}");
}

/// The line of rbpf's disassembler for the instruction, written from what the instruction means; none for those that it
/// does not know, or takes for others.
fn line_of_rbpf(op: &Op) -> Option<String> {
    let bits = |width| if width == Width::W64 { 64 } else { 32 };
    let letter = |size| match size {
        Size::B1 => "b",
        Size::B2 => "h",
        Size::B4 => "w",
        Size::B8 => "dw",
    };
    let operand = |operand| match operand {
        Operand::Reg(reg) => reg.to_string(),
        Operand::Imm(imm) => format!("{imm:#x}"),
    };
    let signed = |offset: i16| match offset {
        0.. => format!("+{offset:#x}"),
        _ => format!("-{:#x}", -i32::from(offset)),
    };
    Some(match *op {
        Op::Alu { op, width, dst, src } => {
            let name = match op {
                AluOp::Add => "add",
                AluOp::Sub => "sub",
                AluOp::Mul => "mul",
                AluOp::Div => "div",
                AluOp::Or => "or",
                AluOp::And => "and",
                AluOp::Lsh => "lsh",
                AluOp::Rsh => "rsh",
                AluOp::Rem => "mod",
                AluOp::Xor => "xor",
                AluOp::Mov => "mov",
                AluOp::Arsh => "arsh",
                AluOp::SDiv | AluOp::SRem => return None,
            };
            format!("{name}{} {dst}, {}", bits(width), operand(src))
        }
        Op::Neg { width, dst } => format!("neg{} {dst}", bits(width)),
        Op::Swap { order: Order::Le, size, dst } => format!("le{} {dst}", size.bytes() * 8),
        Op::Swap { order: Order::Be, size, dst } => format!("be{} {dst}", size.bytes() * 8),
        Op::Load { size, dst, base, offset } => format!("ldx{} {dst}, [{base}{}]", letter(size), signed(offset)),
        Op::Store { size, base, offset, src: Operand::Reg(src) } => {
            format!("stx{} [{base}{}], {src}", letter(size), signed(offset))
        }
        Op::Store { size, base, offset, src } => {
            format!("st{} [{base}{}], {}", letter(size), signed(offset), operand(src))
        }
        Op::Atomic { op: AtomicOp::Add, size, base, offset, src } => {
            format!("stxxadd{} [{base}{}], {src}", letter(size), signed(offset))
        }
        Op::LoadPacket { size, index: None, offset } => format!("ldabs{} {offset:#x}", letter(size)),
        Op::LoadPacket { size, index: Some(index), offset } => format!("ldind{} {index}, {offset:#x}", letter(size)),
        Op::LoadImm64 { dst, value: Imm64::Const(value) } => format!("lddw {dst}, {value:#x}"),
        Op::Jump { offset } => format!("ja {}", signed(offset)),
        Op::Branch { cmp, width, lhs, rhs, offset } => {
            let name = match cmp {
                Cmp::Eq => "jeq",
                Cmp::Ne => "jne",
                Cmp::Gt => "jgt",
                Cmp::Ge => "jge",
                Cmp::Lt => "jlt",
                Cmp::Le => "jle",
                Cmp::Set => "jset",
                Cmp::Sgt => "jsgt",
                Cmp::Sge => "jsge",
                Cmp::Slt => "jslt",
                Cmp::Sle => "jsle",
            };
            let name = if width == Width::W64 { name.to_string() } else { format!("{name}32") };
            format!("{name} {lhs}, {}, {}", operand(rhs), signed(offset))
        }
        Op::Call(helper) => format!("call {:#x}", helper.id()),
        Op::CallLocal { offset } => format!("callx {offset:#x}"),
        Op::Exit => "exit".to_string(),
        _ => return None,
    })
}

#[test]
fn rbpf_disassembles_what_we_mean() {
    let mut rng = Rng(5);
    let mut compared = 0;
    for form in forms::all() {
        for _ in 0..50 {
            let op = instance(&form, &mut rng);
            if let Some(expected) = line_of_rbpf(&op) {
                let (first, second) = encode(&op);
                let bytes: Vec<u8> = [first].into_iter().chain(second).flat_map(u64::to_le_bytes).collect();
                assert_eq!(::rbpf::disassembler::to_insn_vec(&bytes)[0].desc, expected, "{op}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 50 * 120, "only {compared}");
}

#[test]
fn rbpf_executes_what_we_mean() {
    let mut rng = Rng(6);
    for _ in 0..400 {
        let program = computing(&mut rng, Cpu::V3, 60, rbpf::executes);
        for _ in 0..5 {
            let start = context(&mut rng);
            let (mut ours, mut theirs) = (start, start);
            model::run(&program, &mut ours);
            assert_eq!(rbpf::run(&program, &mut theirs), 0);
            assert_eq!(ours, theirs, "from {start:x?}:\n{program}");
        }
    }
}
