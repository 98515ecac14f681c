//! What our checks accept the verifier accepts, and what they refuse it refuses, where no more is at stake than registers
//! that hold numbers, the stack, and the flow of control.

use crate::bpf::{self, Blueprint};
use crate::skip;
use crate::support::random::Rng;
use asm::*;
use std::collections::BTreeMap;

/// The kind of a refusal, without its data.
fn kind(error: &Error) -> String {
    let text = format!("{:?}", error.kind());
    text.split([' ', '(']).next().unwrap_or(&text).to_string()
}

#[test]
fn the_verifier_refuses_what_we_refuse() {
    if skip() {
        return;
    }
    let mut rng = Rng(10);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for round in 0..6_000 {
        let ops = wild(&mut rng);
        let slots: Vec<u64> = ops
            .iter()
            .flat_map(|op| {
                let (first, second) = encode(op);
                [first].into_iter().chain(second)
            })
            .collect();
        let program = Program::disassemble("wild", &slots).expect("instructions can be read back");
        let ours = program.check(Cpu::V3);
        let theirs = bpf::load(Blueprint::new(&slots), 0).program;
        let verdict = match &ours {
            Ok(()) => "accepted".to_string(),
            Err(error) => kind(error),
        };
        // Unwritten stack bytes are refused by old kernels only.
        if ours.is_ok() != theirs.is_ok() && verdict != "UnsetStack" {
            let log = bpf::load(Blueprint::new(&slots), 1).log;
            panic!("round {round}: we say {ours:?}, the verifier {theirs:?}:\n{program}\n{log}");
        }
        *counts.entry(verdict).or_default() += 1;
    }
    println!("{counts:?}");
    for kind in [
        "accepted",
        "BadTarget",
        "DivisionByZero",
        "FallsOff",
        "MisalignedStack",
        "OutsideFrame",
        "ShiftTooFar",
        "Unreachable",
        "Unset",
        "UnsetArgument",
        "WriteToFramePointer",
    ] {
        assert!(counts.get(kind).is_some_and(|&count| count >= 20), "too few cases of {kind}: {counts:?}");
    }
}

/// A short program that is often wrong. R9 is the context, R8 a number that the verifier does not know.
fn wild(rng: &mut Rng) -> Vec<Op> {
    let mut groups = groups(rng);
    // Distances count groups until here, so that no jump leads between instructions that belong together.
    for at in 0..groups.len() {
        let sizes: Vec<usize> = groups[at + 1..].iter().map(|group| group.iter().map(Op::slots).sum()).collect();
        let long_follows = matches!(groups.get(at + 1).map(Vec::as_slice), Some([Op::LoadImm64 { .. }]));
        if let Some(Op::Jump { offset } | Op::Branch { offset, .. }) = groups[at].last_mut() {
            let over = sizes.iter().take(usize::from(offset.unsigned_abs())).sum::<usize>() as i16;
            *offset = match rng.below(40) {
                0 => 200,
                // Into the middle of what is two slots long.
                1 if long_follows => 1,
                _ => over,
            };
        }
    }
    groups.concat()
}

fn groups(rng: &mut Rng) -> Vec<Vec<Op>> {
    let mov = |dst: Reg, src| Op::Alu { op: AluOp::Mov, width: Width::W64, dst, src };
    let imm = |rng: &mut Rng| Operand::Imm(1 + rng.below(9) as i32);
    let mut groups = Vec::new();
    let mut ops = vec![mov(R9.into(), Operand::Reg(R1.into())), mov(R1.into(), Operand::Imm(1))];
    // Without these most programs would be wrong in the same way.
    for reg in [R0, R2, R3, R4, R5, R6, R7] {
        if rng.below(8) != 0 {
            ops.push(mov(reg.into(), Operand::Imm(2)));
        }
    }
    let store = |offset, src| Op::Store { size: Size::B8, base: Reg::FP, offset, src };
    ops.extend([-8, -16, -24].map(|offset| store(offset, Operand::Imm(0))));
    for _ in 0..rng.below(14) {
        let dst = Reg::from(rng.pick(&Reg64::ALL[..8]));
        let src = Reg::from(rng.pick(&Reg64::ALL[..8]));
        let distance = rng.below(4) as i16;
        groups.push(std::mem::take(&mut ops));
        match rng.below(16) {
            0..=2 => ops.push(mov(dst, imm(rng))),
            3 | 4 => {
                let op =
                    rng.pick(&[AluOp::Add, AluOp::Div, AluOp::Rem, AluOp::Lsh, AluOp::Arsh, AluOp::Mov, AluOp::Xor]);
                let width = rng.pick(&[Width::W32, Width::W64]);
                let src = if rng.below(2) == 0 { Operand::Reg(src) } else { imm(rng) };
                ops.push(Op::Alu { op, width, dst, src });
            }
            5 => {
                let (op, imm) = rng.pick(&[
                    (AluOp::Div, 0),
                    (AluOp::Rem, 0),
                    (AluOp::Lsh, 32),
                    (AluOp::Rsh, 64),
                    (AluOp::Arsh, -1),
                ]);
                if rng.below(3) == 0 {
                    let width = rng.pick(&[Width::W32, Width::W64]);
                    ops.push(Op::Alu { op, width, dst, src: Operand::Imm(imm) });
                }
            }
            6..=9 => {
                let size = rng.pick(&Size::ALL);
                let bytes = i16::from(size.bytes());
                let offset = match rng.below(12) {
                    0 => rng.pick(&[0, 8, -bytes + 1, -512, -513, -520, -516]),
                    1 => -bytes - 1,
                    _ => -bytes * (1 + rng.below(usize::try_from(24 / bytes).unwrap_or(1)) as i16),
                };
                // Half of them through a copy of the frame pointer.
                let base = if rng.below(2) == 0 {
                    Reg::FP
                } else {
                    let shift = rng.pick(&[0, -8, 8, -24]);
                    ops.push(mov(R7.into(), Operand::Reg(Reg::FP)));
                    let to = Operand::Imm(shift);
                    ops.push(Op::Alu { op: AluOp::Add, width: Width::W64, dst: R7.into(), src: to });
                    R7.into()
                };
                ops.push(match rng.below(4) {
                    0 => Op::Store { size, base, offset, src: Operand::Imm(3) },
                    1 if src != base => Op::Store { size, base, offset, src: Operand::Reg(src) },
                    2 if size >= Size::B4 && src != base => Op::Atomic { op: AtomicOp::Add, size, base, offset, src },
                    _ => Op::Load { size, dst: R6.into(), base, offset },
                });
                // No pointer is left behind, which arithmetic would spoil.
                if base == R7.into() {
                    ops.push(mov(base, Operand::Imm(4)));
                }
            }
            10 | 11 => {
                ops.push(Op::Load { size: Size::B8, dst: R8.into(), base: R9.into(), offset: 8 });
                let (cmp, width) = (rng.pick(&Cmp::ALL), rng.pick(&[Width::W32, Width::W64]));
                ops.push(Op::Branch { cmp, width, lhs: R8.into(), rhs: imm(rng), offset: distance });
            }
            12 if rng.below(3) == 0 => ops.push(Op::Jump { offset: distance }),
            13 => ops.push(Op::LoadImm64 { dst, value: Imm64::Const(rng.next()) }),
            14 => {
                ops.push(Op::Call(rng.pick(&[Helper::KtimeGetNs, Helper::SysClose])));
                if rng.below(2) == 0 {
                    ops.extend([R1, R2, R3, R4, R5].map(|reg| mov(reg.into(), Operand::Imm(5))));
                }
            }
            15 => match rng.below(12) {
                0 => ops.push(mov(Reg::FP, Operand::Imm(6))),
                1 => ops.push(Op::Exit),
                _ => {}
            },
            _ => {}
        }
    }
    groups.push(ops);
    if rng.below(20) != 0 {
        groups.push(vec![mov(R0.into(), Operand::Imm(0))]);
    }
    if rng.below(40) != 0 {
        groups.push(vec![Op::Exit]);
    }
    groups
}
