//! Random programs that compute: context in, context out.

use crate::support::random::Rng;
use asm::*;

/// How many registers a program computes with: R0 to R8. R9 holds the context.
pub const REGS: usize = 9;
/// Eight bytes for each of them: the values at the start, and at the end.
pub const CONTEXT_BYTES: usize = REGS * 8;

/// A program of about `length` instructions, each of which `allowed` accepts. It ends, and passes all checks.
pub fn computing(rng: &mut Rng, cpu: Cpu, length: usize, allowed: fn(&Op) -> bool) -> Program {
    let mut a = Asm::for_cpu("random", cpu);
    a.mov(R9, R1);
    let slots = [a.stack(8), a.stack(8), a.stack(8)];
    for slot in slots {
        a.store(u64(slot), rng.edgy() as i32);
    }
    for (n, reg) in registers().into_iter().enumerate() {
        a.load(reg, u64(R9 + 8 * n as i32));
    }
    // Labels that are ahead, each with the number of instructions until it is bound.
    let mut ahead: Vec<(Label, usize)> = Vec::new();
    for _ in 0..length {
        if rng.below(4) == 0 {
            let label = a.label();
            ahead.push((label, 1 + rng.below(4)));
            branch(&mut a, rng, label, allowed);
        } else {
            compute(&mut a, rng, &slots, allowed);
        }
        for (label, wait) in &mut ahead {
            *wait -= 1;
            if *wait == 0 {
                a.bind(*label);
            }
        }
        ahead.retain(|&(_, wait)| wait > 0);
    }
    for (label, _) in ahead {
        a.bind(label);
    }
    for (n, reg) in registers().into_iter().enumerate() {
        a.store(u64(R9 + 8 * n as i32), reg);
    }
    a.mov(R0, 0);
    a.exit();
    a.finish().unwrap_or_else(|error| panic!("{error}"))
}

/// Bytes for the registers.
pub fn context(rng: &mut Rng) -> [u8; CONTEXT_BYTES] {
    let mut bytes = [0; CONTEXT_BYTES];
    for value in bytes.chunks_mut(8) {
        value.copy_from_slice(&rng.edgy().to_le_bytes());
    }
    bytes
}

fn registers() -> Vec<Reg64> {
    Reg64::ALL[..REGS].to_vec()
}

fn branch(a: &mut Asm, rng: &mut Rng, to: Label, allowed: fn(&Op) -> bool) {
    loop {
        let cmp = rng.pick(&Cmp::ALL);
        let (lhs, rhs, imm) = (rng.pick(&registers()), rng.pick(&registers()), rng.edgy() as i32);
        let (width, operand) = match rng.below(4) {
            0 => (Width::W64, Operand::Reg(rhs.into())),
            1 => (Width::W64, Operand::Imm(imm)),
            2 => (Width::W32, Operand::Reg(rhs.into())),
            _ => (Width::W32, Operand::Imm(imm)),
        };
        if !allowed(&Op::Branch { cmp, width, lhs: lhs.into(), rhs: operand, offset: 0 }) {
            continue;
        }
        return match (width, operand) {
            (Width::W64, Operand::Reg(_)) => a.branch(cmp, lhs, rhs, to),
            (Width::W64, Operand::Imm(_)) => a.branch(cmp, lhs, imm, to),
            (Width::W32, Operand::Reg(_)) => a.branch(cmp, lhs.low(), rhs.low(), to),
            (Width::W32, Operand::Imm(_)) => a.branch(cmp, lhs.low(), imm, to),
        };
    }
}

fn compute(a: &mut Asm, rng: &mut Rng, slots: &[Slot], allowed: fn(&Op) -> bool) {
    loop {
        let (dst, src) = (rng.pick(&registers()), rng.pick(&registers()));
        let width = rng.pick(&[Width::W32, Width::W64]);
        let place = i32::from(rng.pick(&[0_u8, 8, 16]));
        let op = match rng.below(12) {
            0..=4 => {
                let op = rng.pick(&AluOp::ALL);
                let mut imm = rng.edgy() as i32;
                match op {
                    AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => imm &= if width == Width::W64 { 63 } else { 31 },
                    AluOp::Div | AluOp::SDiv | AluOp::Rem | AluOp::SRem if imm == 0 => imm = 3,
                    _ => {}
                }
                let src = if rng.below(2) == 0 { Operand::Reg(src.into()) } else { Operand::Imm(imm) };
                Op::Alu { op, width, dst: dst.into(), src }
            }
            5 => Op::Neg { width, dst: dst.into() },
            6 => {
                let order = rng.pick(&[Order::Le, Order::Be, Order::Bswap]);
                Op::Swap { order, size: rng.pick(&[Size::B2, Size::B4, Size::B8]), dst: dst.into() }
            }
            7 => {
                let from = rng.pick(&[Size::B1, Size::B2, Size::B4][..if width == Width::W64 { 3 } else { 2 }]);
                Op::MovSigned { width, from, dst: dst.into(), src: src.into() }
            }
            8 => Op::LoadImm64 { dst: dst.into(), value: Imm64::Const(rng.edgy()) },
            kind => {
                let size = rng.pick(&Size::ALL);
                let inside = i32::from(rng.below(8 / usize::from(size.bytes())) as u8 * size.bytes());
                let offset = (slots[2].offset() + place + inside) as i16;
                let (base, dst, src): (Reg, Reg, Reg) = (FP.into(), dst.into(), src.into());
                match (kind, rng.below(3)) {
                    (9, 0) => Op::LoadAcquire { size, dst, base, offset },
                    (9, 1) if size != Size::B8 => Op::LoadSigned { size, dst, base, offset },
                    (9, _) => Op::Load { size, dst, base, offset },
                    (10, 0) => Op::StoreRelease { size, base, offset, src },
                    (10, 1) => Op::Store { size, base, offset, src: Operand::Imm(rng.edgy() as i32) },
                    (10, _) => Op::Store { size, base, offset, src: Operand::Reg(src) },
                    _ if size < Size::B4 => continue,
                    _ => Op::Atomic { op: rng.pick(&AtomicOp::ALL), size, base, offset, src },
                }
            }
        };
        if op.needs() <= a.cpu() && allowed(&op) {
            a.emit(op);
            // Linux 6.18 on x86 sometimes leaves the upper half of R0 in place after a four-byte exchange, where the
            // verifier joins paths and forgets that the half is read.
            if matches!(op, Op::Atomic { op: AtomicOp::CmpXchg, size: Size::B4, .. }) {
                a.mov(W0, W0);
            }
            return;
        }
    }
}
