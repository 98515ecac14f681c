//! What instructions do, in plain Rust: arithmetic, jumps and the stack, no helpers.

use asm::{AluOp, AtomicOp, Cmp, Imm64, Op, Operand, Order, Program, Reg, Size, Width};

/// Runs the program on a context that R1 points to. Panics on what it does not know.
pub fn run(program: &Program, context: &mut [u8]) -> u64 {
    let mut machine = Machine { regs: [0; 11], context, stack: [0; 512] };
    machine.regs[1] = CONTEXT;
    machine.regs[10] = STACK + 512;
    let starts: Vec<usize> =
        program.insns().iter().scan(0, |at, insn| Some(std::mem::replace(at, *at + insn.op.slots()))).collect();
    let mut slot = 0;
    for _ in 0..1_000_000 {
        let op = program.insns()[starts.binary_search(&slot).expect("jumps lead to instructions")].op;
        let next = slot + op.slots();
        slot = match machine.step(&op) {
            Step::Next => next,
            Step::Jump(distance) => (next as i64 + distance) as usize,
            Step::Exit => return machine.regs[0],
        };
    }
    panic!("the program does not end");
}

/// Where the context and the stack are, for the model.
const CONTEXT: u64 = 0x1000_0000;
const STACK: u64 = 0x2000_0000;

enum Step {
    Next,
    Jump(i64),
    Exit,
}

struct Machine<'a> {
    regs: [u64; 11],
    context: &'a mut [u8],
    stack: [u8; 512],
}

impl Machine<'_> {
    fn step(&mut self, op: &Op) -> Step {
        match *op {
            Op::Alu { op, width, dst, src } => {
                let result = alu(op, width, self.get(dst), self.value(src));
                self.set(dst, result);
            }
            Op::MovSigned { width, from, dst, src } => {
                let value = extend(self.get(src), from);
                self.set(dst, if width == Width::W32 { u64::from(value as u32) } else { value });
            }
            Op::Neg { width, dst } => {
                let value = self.get(dst);
                self.set(dst, alu(AluOp::Sub, width, 0, value));
            }
            Op::Swap { order, size, dst } => {
                let value = self.get(dst);
                let swapped = match (order, size) {
                    (Order::Le, Size::B2) => u64::from((value as u16).to_le()),
                    (Order::Le, Size::B4) => u64::from((value as u32).to_le()),
                    (Order::Le, _) => value.to_le(),
                    (Order::Be, Size::B2) => u64::from((value as u16).to_be()),
                    (Order::Be, Size::B4) => u64::from((value as u32).to_be()),
                    (Order::Be, _) => value.to_be(),
                    (Order::Bswap, Size::B2) => u64::from((value as u16).swap_bytes()),
                    (Order::Bswap, Size::B4) => u64::from((value as u32).swap_bytes()),
                    (Order::Bswap, _) => value.swap_bytes(),
                };
                self.set(dst, swapped);
            }
            Op::Load { size, dst, base, offset } | Op::LoadAcquire { size, dst, base, offset } => {
                let value = self.read(base, offset, size);
                self.set(dst, value);
            }
            Op::LoadSigned { size, dst, base, offset } => {
                let value = extend(self.read(base, offset, size), size);
                self.set(dst, value);
            }
            Op::Store { size, base, offset, src } => self.write(base, offset, size, self.value(src)),
            Op::StoreRelease { size, base, offset, src } => self.write(base, offset, size, self.get(src)),
            Op::Atomic { op, size, base, offset, src } => self.atomic(op, size, base, offset, src),
            Op::LoadImm64 { dst, value: Imm64::Const(value) } => self.set(dst, value),
            Op::Jump { offset } => return Step::Jump(offset.into()),
            Op::JumpLong { offset } => return Step::Jump(offset.into()),
            Op::Branch { cmp, width, lhs, rhs, offset } => {
                if compare(cmp, width, self.get(lhs), self.value(rhs)) {
                    return Step::Jump(offset.into());
                }
            }
            Op::Exit => return Step::Exit,
            other => panic!("the model does not know {other}"),
        }
        Step::Next
    }

    fn atomic(&mut self, op: AtomicOp, size: Size, base: Reg, offset: i16, src: Reg) {
        let old = self.read(base, offset, size);
        let operand = self.get(src);
        let new = match op {
            AtomicOp::Add | AtomicOp::FetchAdd => old.wrapping_add(operand),
            AtomicOp::Or | AtomicOp::FetchOr => old | operand,
            AtomicOp::And | AtomicOp::FetchAnd => old & operand,
            AtomicOp::Xor | AtomicOp::FetchXor => old ^ operand,
            AtomicOp::Xchg => operand,
            AtomicOp::CmpXchg => {
                let expected = if size == Size::B8 { self.regs[0] } else { u64::from(self.regs[0] as u32) };
                if old == expected { operand } else { old }
            }
        };
        self.write(base, offset, size, new);
        match op {
            AtomicOp::CmpXchg => self.regs[0] = old,
            _ if op.fetches() => self.set(src, old),
            _ => {}
        }
    }

    fn get(&self, reg: Reg) -> u64 {
        self.regs[usize::from(reg.number())]
    }

    fn set(&mut self, reg: Reg, value: u64) {
        self.regs[usize::from(reg.number())] = value;
    }

    fn value(&self, operand: Operand) -> u64 {
        match operand {
            Operand::Reg(reg) => self.get(reg),
            Operand::Imm(imm) => i64::from(imm) as u64,
        }
    }

    fn memory(&mut self, base: Reg, offset: i16, size: Size) -> &mut [u8] {
        let address = self.get(base).wrapping_add_signed(offset.into());
        let (memory, start) = match address {
            STACK.. => (&mut self.stack[..], address - STACK),
            _ => (&mut *self.context, address.checked_sub(CONTEXT).expect("an address in the context")),
        };
        &mut memory[start as usize..][..usize::from(size.bytes())]
    }

    fn read(&mut self, base: Reg, offset: i16, size: Size) -> u64 {
        let mut bytes = [0; 8];
        bytes[..usize::from(size.bytes())].copy_from_slice(self.memory(base, offset, size));
        u64::from_le_bytes(bytes)
    }

    fn write(&mut self, base: Reg, offset: i16, size: Size, value: u64) {
        let memory = self.memory(base, offset, size);
        memory.copy_from_slice(&value.to_le_bytes()[..usize::from(size.bytes())]);
    }
}

/// The low bytes with their sign.
pub fn extend(value: u64, size: Size) -> u64 {
    match size {
        Size::B1 => i64::from(value as i8) as u64,
        Size::B2 => i64::from(value as i16) as u64,
        Size::B4 => i64::from(value as i32) as u64,
        Size::B8 => value,
    }
}

/// The result of an operation.
pub fn alu(op: AluOp, width: Width, a: u64, b: u64) -> u64 {
    if width == Width::W32 {
        let (a, b) = (a as u32, b as u32);
        let (sa, sb) = (a as i32, b as i32);
        return u64::from(match op {
            AluOp::Add => a.wrapping_add(b),
            AluOp::Sub => a.wrapping_sub(b),
            AluOp::Mul => a.wrapping_mul(b),
            AluOp::Div => a.checked_div(b).unwrap_or(0),
            AluOp::SDiv => {
                if sb == 0 {
                    0
                } else {
                    sa.wrapping_div(sb) as u32
                }
            }
            AluOp::Rem => a.checked_rem(b).unwrap_or(a),
            AluOp::SRem => {
                if sb == 0 {
                    a
                } else {
                    sa.wrapping_rem(sb) as u32
                }
            }
            AluOp::Or => a | b,
            AluOp::And => a & b,
            AluOp::Xor => a ^ b,
            AluOp::Lsh => a.wrapping_shl(b),
            AluOp::Rsh => a.wrapping_shr(b),
            AluOp::Arsh => sa.wrapping_shr(b) as u32,
            AluOp::Mov => b,
        });
    }
    let (sa, sb) = (a as i64, b as i64);
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::SDiv => {
            if sb == 0 {
                0
            } else {
                sa.wrapping_div(sb) as u64
            }
        }
        AluOp::Rem => a.checked_rem(b).unwrap_or(a),
        AluOp::SRem => {
            if sb == 0 {
                a
            } else {
                sa.wrapping_rem(sb) as u64
            }
        }
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => a.wrapping_shl(b as u32),
        AluOp::Rsh => a.wrapping_shr(b as u32),
        AluOp::Arsh => sa.wrapping_shr(b as u32) as u64,
        AluOp::Mov => b,
    }
}

/// Whether a comparison holds.
pub fn compare(cmp: Cmp, width: Width, a: u64, b: u64) -> bool {
    let (a, b, sa, sb) = match width {
        Width::W32 => {
            let (a, b) = (a as u32, b as u32);
            (u64::from(a), u64::from(b), i64::from(a as i32), i64::from(b as i32))
        }
        Width::W64 => (a, b, a as i64, b as i64),
    };
    match cmp {
        Cmp::Eq => a == b,
        Cmp::Ne => a != b,
        Cmp::Gt => a > b,
        Cmp::Ge => a >= b,
        Cmp::Lt => a < b,
        Cmp::Le => a <= b,
        Cmp::Set => a & b != 0,
        Cmp::Sgt => sa > sb,
        Cmp::Sge => sa >= sb,
        Cmp::Slt => sa < sb,
        Cmp::Sle => sa <= sb,
    }
}
