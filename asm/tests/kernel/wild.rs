//! Random programs that are often wrong, in ways that our checks claim to find and in no other.
//!
//! So no path may be impossible in a way that only the verifier sees (all branches depend on numbers that it does not
//! know), and no pointer is left in a register that arithmetic could spoil.

use crate::support::random::Rng;
use asm::*;

/// One to three functions of a few instructions.
pub fn program(rng: &mut Rng) -> Vec<Op> {
    let count = rng.pick(&[1, 1, 2, 3]);
    let functions = (0..count).map(|n| Function::new(rng, n, count).groups).collect();
    link(rng, functions)
}

/// Instructions that belong together, so that no jump leads between them. Until the program is linked, the distance of
/// a jump counts groups, that of a call is the number of the function.
type Groups = Vec<Vec<Op>>;

fn size(group: &[Op]) -> i32 {
    group.iter().map(|op| op.slots() as i32).sum()
}

fn link(rng: &mut Rng, mut functions: Vec<Groups>) -> Vec<Op> {
    let mut starts = vec![0];
    for function in &functions {
        let slots: i32 = function.iter().map(|group| size(group)).sum();
        starts.push(starts[starts.len() - 1] + slots);
    }
    for (number, groups) in functions.iter_mut().enumerate() {
        let end = starts[number + 1];
        let mut at = starts[number];
        for index in 0..groups.len() {
            at += size(&groups[index]);
            let sizes: Vec<i32> = groups[index + 1..].iter().map(|group| size(group)).collect();
            let long_follows = matches!(groups.get(index + 1).map(Vec::as_slice), Some([Op::LoadImm64 { .. }]));
            match groups[index].last_mut() {
                Some(Op::Jump { offset } | Op::Branch { offset, .. }) => {
                    let over: i32 = sizes.iter().take(usize::from(offset.unsigned_abs())).sum();
                    *offset = match rng.below(100) {
                        0 => 200,
                        // Into the middle of what is two slots long.
                        1 if long_follows => 1,
                        // To the next function, or past the end.
                        2 => end - at,
                        _ => over,
                    } as i16;
                }
                Some(Op::CallLocal { offset }) => *offset = starts[*offset as usize] - at,
                _ => {}
            }
        }
    }
    functions.concat().concat()
}

fn mov(dst: impl Into<Reg>, src: Operand) -> Op {
    Op::Alu { op: AluOp::Mov, width: Width::W64, dst: dst.into(), src }
}

fn small(rng: &mut Rng) -> Operand {
    Operand::Imm(1 + rng.below(9) as i32)
}

struct Function {
    number: usize,
    count: usize,
    groups: Groups,
}

impl Function {
    fn new(rng: &mut Rng, number: usize, count: usize) -> Function {
        let mut function = Function { number, count, groups: Vec::new() };
        let mut start = Vec::new();
        if number == 0 {
            // The context goes to R9, where nothing touches it.
            start.extend([mov(R9, Operand::Reg(R1.into())), mov(R1, Operand::Imm(1))]);
        }
        // Without these most programs would be wrong in the same way.
        let missing = if number == 0 { 16 } else { 6 };
        start.extend(Reg64::ALL[..8].iter().filter(|_| rng.below(missing) != 0).map(|&reg| mov(reg, Operand::Imm(2))));
        start.extend([-8, -16, -24].map(|offset| Op::Store {
            size: Size::B8,
            base: Reg::FP,
            offset,
            src: Operand::Imm(0),
        }));
        function.groups.push(start);
        let call = rng.below(3);
        for step in 0..rng.below(14).max(call + 1) {
            if step == call && number + 1 < count && rng.below(20) != 0 {
                function.call(number + 1, rng);
            }
            let group = function.group(rng);
            function.groups.push(group);
        }
        if rng.below(20) != 0 {
            function.groups.push(vec![mov(R0, Operand::Imm(0))]);
        }
        if rng.below(40) != 0 {
            function.groups.push(vec![Op::Exit]);
        }
        function
    }

    fn call(&mut self, function: usize, rng: &mut Rng) {
        self.groups.push(vec![Op::CallLocal { offset: function as i32 }]);
        if rng.below(3) != 0 {
            self.groups.push([R1, R2, R3, R4, R5].map(|reg| mov(reg, Operand::Imm(5))).to_vec());
        }
    }

    fn group(&mut self, rng: &mut Rng) -> Vec<Op> {
        let dst = Reg::from(rng.pick(&Reg64::ALL[..8]));
        let src = Reg::from(rng.pick(&Reg64::ALL[..8]));
        let width = rng.pick(&[Width::W32, Width::W64]);
        let groups_over = rng.below(4) as i16;
        match rng.below(16) {
            0..=2 => vec![mov(dst, small(rng))],
            3 | 4 => {
                let op =
                    rng.pick(&[AluOp::Add, AluOp::Div, AluOp::Rem, AluOp::Lsh, AluOp::Arsh, AluOp::Mov, AluOp::Xor]);
                let src = if rng.below(2) == 0 { Operand::Reg(src) } else { small(rng) };
                vec![Op::Alu { op, width, dst, src }]
            }
            5 if rng.below(6) == 0 => {
                let wrong = [(AluOp::Div, 0), (AluOp::Rem, 0), (AluOp::Lsh, 32), (AluOp::Rsh, 64), (AluOp::Arsh, -1)];
                let (op, imm) = rng.pick(&wrong);
                vec![Op::Alu { op, width, dst, src: Operand::Imm(imm) }]
            }
            6..=9 => memory(rng, src),
            10 | 11 => {
                let (cmp, rhs) = (rng.pick(&Cmp::ALL), small(rng));
                let (number, lhs) = match self.number {
                    0 => (Op::Load { size: Size::B8, dst: R8.into(), base: R9.into(), offset: 8 }, R8),
                    _ => (Op::Call(Helper::GetPrandomU32), R0),
                };
                vec![number, Op::Branch { cmp, width, lhs: lhs.into(), rhs, offset: groups_over }]
            }
            12 if rng.below(3) == 0 => vec![Op::Jump { offset: groups_over }],
            13 => vec![Op::LoadImm64 { dst, value: Imm64::Const(rng.next()) }],
            14 => {
                let mut ops = vec![Op::Call(rng.pick(&[Helper::KtimeGetNs, Helper::SysClose]))];
                if rng.below(2) == 0 {
                    ops.extend([R1, R2, R3, R4, R5].map(|reg| mov(reg, Operand::Imm(5))));
                }
                ops
            }
            15 => match rng.below(30) {
                0 => vec![mov(Reg::FP, Operand::Imm(6))],
                1 => vec![Op::Exit],
                // Itself, or the entry, or another one.
                2..4 if self.count > 1 => {
                    let callee = rng.below(self.count);
                    self.call(callee, rng);
                    vec![]
                }
                _ => vec![],
            },
            _ => vec![],
        }
    }
}

/// A stack access, directly or through a copy of the frame pointer.
fn memory(rng: &mut Rng, src: Reg) -> Vec<Op> {
    let mut ops = Vec::new();
    let size = rng.pick(&Size::ALL);
    let bytes = i16::from(size.bytes());
    let offset = match rng.below(24) {
        0 => rng.pick(&[0, 8, -bytes + 1, -504, -512, -513, -520, -516]),
        1 => -bytes - 1,
        _ => -bytes * (1 + rng.below(usize::from(24 / bytes.unsigned_abs())) as i16),
    };
    let base = if rng.below(2) == 0 {
        Reg::FP
    } else {
        ops.push(mov(R7, Operand::Reg(Reg::FP)));
        let by = Operand::Imm(rng.pick(&[0, -8, 8, -24]));
        ops.push(Op::Alu { op: AluOp::Add, width: Width::W64, dst: R7.into(), src: by });
        R7.into()
    };
    ops.push(match rng.below(4) {
        0 => Op::Store { size, base, offset, src: Operand::Imm(3) },
        1 if src != base => Op::Store { size, base, offset, src: Operand::Reg(src) },
        2 if size >= Size::B4 && src != base => Op::Atomic { op: AtomicOp::Add, size, base, offset, src },
        _ => Op::Load { size, dst: R6.into(), base, offset },
    });
    if base == R7.into() {
        ops.push(mov(base, Operand::Imm(4)));
    }
    ops
}
