//! What registers and stack bytes hold along the paths of a program, as far as checks need it.

use crate::builder::STACK;
use crate::helper::Helper;
use crate::insn::{AluOp, AtomicOp, Op};
use crate::mem::Size;
use crate::reg::{Operand, Reg, Width};

/// A set of registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Regs(u16);

impl Regs {
    pub(crate) const NONE: Regs = Regs(0);
    /// r0, which calls return.
    pub(crate) const RESULT: Regs = Regs(1);
    /// r1-r5.
    pub(crate) const ARGUMENTS: Regs = Regs(0b11_1110);

    /// r1 to r`count`.
    pub(crate) fn arguments(count: u8) -> Regs {
        Regs(((2_u16 << count.min(5)) - 1) & Regs::ARGUMENTS.0)
    }

    pub(crate) fn of(reg: Reg) -> Regs {
        Regs(1 << reg.number())
    }

    fn of_operand(operand: Operand) -> Regs {
        match operand {
            Operand::Reg(reg) => Regs::of(reg),
            Operand::Imm(_) => Regs::NONE,
        }
    }

    pub(crate) fn and(self, other: Regs) -> Regs {
        Regs(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Regs) -> Regs {
        Regs(self.0 & !other.0)
    }

    pub(crate) fn both(self, other: Regs) -> Regs {
        Regs(self.0 & other.0)
    }

    pub(crate) fn contains(self, reg: Reg) -> bool {
        self.0 & Regs::of(reg).0 != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Reg> {
        (0..=10).filter_map(Reg::new).filter(move |&reg| self.contains(reg))
    }
}

/// The registers that an instruction reads. For a call to a subprogram that depends on the subprogram: none here.
pub(crate) fn reads(op: &Op) -> Regs {
    match *op {
        Op::Alu { op: AluOp::Mov, src, .. } => Regs::of_operand(src),
        Op::Alu { dst, src, .. } => Regs::of(dst).and(Regs::of_operand(src)),
        Op::MovSigned { src, .. } | Op::AddrSpaceCast { src, .. } => Regs::of(src),
        Op::Neg { dst, .. } | Op::Swap { dst, .. } => Regs::of(dst),
        Op::Load { base, .. } | Op::LoadSigned { base, .. } | Op::LoadAcquire { base, .. } => Regs::of(base),
        Op::Store { base, src, .. } => Regs::of(base).and(Regs::of_operand(src)),
        Op::StoreRelease { base, src, .. } => Regs::of(base).and(Regs::of(src)),
        Op::Atomic { op, base, src, .. } => {
            let old = if op == AtomicOp::CmpXchg { Regs::RESULT } else { Regs::NONE };
            Regs::of(base).and(Regs::of(src)).and(old)
        }
        Op::LoadPacket { index, .. } => Regs::of(crate::R6.into()).and(index.map_or(Regs::NONE, Regs::of)),
        Op::JumpTo { target } => Regs::of(target),
        Op::Branch { lhs, rhs, .. } => Regs::of(lhs).and(Regs::of_operand(rhs)),
        Op::Call(helper) => Regs::arguments(helper.args()),
        Op::Exit => Regs::RESULT,
        Op::LoadImm64 { .. }
        | Op::Jump { .. }
        | Op::JumpLong { .. }
        | Op::MayGoto { .. }
        | Op::CallLocal { .. }
        | Op::CallKfunc { .. } => Regs::NONE,
    }
}

/// The registers that an instruction writes, or leaves without a value.
pub(crate) fn writes(op: &Op) -> Regs {
    match *op {
        Op::Alu { dst, .. }
        | Op::MovSigned { dst, .. }
        | Op::Neg { dst, .. }
        | Op::Swap { dst, .. }
        | Op::AddrSpaceCast { dst, .. }
        | Op::Load { dst, .. }
        | Op::LoadSigned { dst, .. }
        | Op::LoadAcquire { dst, .. }
        | Op::LoadImm64 { dst, .. } => Regs::of(dst),
        Op::Atomic { op, src, .. } => match op {
            AtomicOp::CmpXchg => Regs::RESULT,
            _ if op.fetches() => Regs::of(src),
            _ => Regs::NONE,
        },
        Op::Call(_) | Op::CallLocal { .. } | Op::CallKfunc { .. } | Op::LoadPacket { .. } => {
            Regs::RESULT.and(Regs::ARGUMENTS)
        }
        Op::Store { .. }
        | Op::StoreRelease { .. }
        | Op::Jump { .. }
        | Op::JumpLong { .. }
        | Op::JumpTo { .. }
        | Op::MayGoto { .. }
        | Op::Branch { .. }
        | Op::Exit => Regs::NONE,
    }
}

/// What is known of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// Not written on some path.
    Unset,
    /// Written; unknown.
    Any,
    /// So many bytes from the frame pointer.
    Frame(i32),
}

/// What is known in front of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    regs: [Value; 11],
    /// Stack bytes that were written on every path.
    written: Bytes,
    /// A pointer into the stack was lost sight of: any stack byte may have been written.
    escaped: bool,
}

/// A stack access whose offset is known.
pub(crate) struct Access {
    /// From the frame pointer.
    pub(crate) offset: i64,
    pub(crate) size: Size,
    pub(crate) reads: bool,
}

impl State {
    /// At the start of a function that finds values in `set`.
    pub(crate) fn entry(set: Regs) -> State {
        let mut regs = [Value::Unset; 11];
        for reg in set.iter() {
            regs[usize::from(reg.number())] = Value::Any;
        }
        regs[10] = Value::Frame(0);
        State { regs, written: Bytes::default(), escaped: false }
    }

    fn get(&self, reg: Reg) -> Value {
        self.regs[usize::from(reg.number())]
    }

    fn set(&mut self, reg: Reg, value: Value) {
        self.regs[usize::from(reg.number())] = value;
    }

    pub(crate) fn is_unset(&self, reg: Reg) -> bool {
        self.get(reg) == Value::Unset
    }

    /// The stack access of an instruction, if it has one through a pointer that is known.
    pub(crate) fn access(&self, op: &Op) -> Option<Access> {
        let (base, offset, size, reads) = match *op {
            Op::Load { size, base, offset, .. }
            | Op::LoadSigned { size, base, offset, .. }
            | Op::LoadAcquire { size, base, offset, .. }
            | Op::Atomic { size, base, offset, .. } => (base, offset, size, true),
            Op::Store { size, base, offset, .. } | Op::StoreRelease { size, base, offset, .. } => {
                (base, offset, size, false)
            }
            _ => return None,
        };
        let Value::Frame(start) = self.get(base) else { return None };
        Some(Access { offset: i64::from(start) + i64::from(offset), size, reads })
    }

    /// Whether all bytes of an access were written before.
    pub(crate) fn is_written(&self, access: &Access) -> bool {
        self.escaped || self.written.all(access.offset, access.offset + i64::from(access.size.bytes()))
    }

    /// The lowest stack address among the pointers that a call passes, from the frame pointer.
    pub(crate) fn lowest_passed(&self, passed: Regs) -> Option<i64> {
        let offsets = passed.iter().filter_map(|reg| match self.get(reg) {
            Value::Frame(offset) if offset < 0 => Some(i64::from(offset)),
            _ => None,
        });
        offsets.min()
    }

    /// After the instruction. `passed` is what a call passes on, `returns` whether it sets r0.
    pub(crate) fn step(&mut self, op: &Op, passed: Regs, returns: bool) {
        let access = self.access(op);
        if let Some(Access { offset, size, .. }) = access
            && writes_memory(op)
        {
            self.written.set(offset, offset + i64::from(size.bytes()));
        }
        // A called function may write from a pointer to the end of the frame.
        if let Some(offset) = self.lowest_passed(passed) {
            self.written.set(offset, 0);
        }
        let result = self.result(op, returns);
        for reg in hidden_pointers(op).iter() {
            self.escaped |= matches!(self.get(reg), Value::Frame(_)) && !matches!(result, Value::Frame(_));
        }
        for reg in writes(op).iter() {
            let value = if clears_arguments(op) && Regs::ARGUMENTS.contains(reg) { Value::Unset } else { result };
            self.set(reg, value);
        }
    }

    /// What the written register holds after the instruction.
    fn result(&self, op: &Op, returns: bool) -> Value {
        match *op {
            Op::Alu { op: AluOp::Mov, width: Width::W64, src: Operand::Reg(src), .. } => self.get(src),
            Op::Alu { op: op @ (AluOp::Add | AluOp::Sub), width: Width::W64, dst, src: Operand::Imm(imm) } => {
                let Value::Frame(offset) = self.get(dst) else { return Value::Any };
                let moved = if op == AluOp::Add { offset.checked_add(imm) } else { offset.checked_sub(imm) };
                moved.map_or(Value::Any, Value::Frame)
            }
            Op::CallLocal { .. } if !returns => Value::Unset,
            _ => Value::Any,
        }
    }

    /// Meets another path; says whether anything was forgotten.
    pub(crate) fn meet(&mut self, other: &State) -> bool {
        let before = self.clone();
        for (mine, theirs) in self.regs.iter_mut().zip(other.regs) {
            *mine = match (*mine, theirs) {
                (Value::Unset, _) | (_, Value::Unset) => Value::Unset,
                (a, b) if a == b => a,
                (a, b) => {
                    self.escaped |= matches!(a, Value::Frame(_)) || matches!(b, Value::Frame(_));
                    Value::Any
                }
            };
        }
        self.escaped |= other.escaped;
        self.written.keep(&other.written);
        *self != before
    }
}

/// What a call passes on: `arguments` for a subprogram, everything where the signature is not known.
pub(crate) fn passed(op: &Op, arguments: Regs) -> Regs {
    match op {
        Op::Call(Helper::Other(_) | Helper::TracePrintk) | Op::CallKfunc { .. } => Regs::ARGUMENTS,
        Op::Call(helper) => Regs::arguments(helper.args()),
        Op::CallLocal { .. } => arguments,
        _ => Regs::NONE,
    }
}

fn clears_arguments(op: &Op) -> bool {
    matches!(op, Op::Call(_) | Op::CallLocal { .. } | Op::CallKfunc { .. } | Op::LoadPacket { .. })
}

fn writes_memory(op: &Op) -> bool {
    matches!(op, Op::Store { .. } | Op::StoreRelease { .. } | Op::Atomic { .. })
}

/// The registers whose value lives on somewhere in another form: a pointer in them is lost sight of.
fn hidden_pointers(op: &Op) -> Regs {
    match *op {
        Op::Store { src, .. } => Regs::of_operand(src),
        Op::StoreRelease { src, .. } | Op::Atomic { src, .. } => Regs::of(src),
        Op::Alu { .. } | Op::MovSigned { .. } | Op::Neg { .. } | Op::Swap { .. } | Op::AddrSpaceCast { .. } => {
            reads(op)
        }
        _ => Regs::NONE,
    }
}

/// One bit per byte of the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bytes([u64; STACK as usize / 64]);

impl Bytes {
    /// The positions of the bytes from `start` to before `end`, relative to the frame pointer, that are in the frame.
    fn positions(start: i64, end: i64) -> std::ops::Range<usize> {
        let position = |offset: i64| offset.clamp(-i64::from(STACK), 0) + i64::from(STACK);
        position(start) as usize..position(end) as usize
    }

    fn set(&mut self, start: i64, end: i64) {
        for at in Bytes::positions(start, end) {
            self.0[at / 64] |= 1 << (at % 64);
        }
    }

    fn all(&self, start: i64, end: i64) -> bool {
        Bytes::positions(start, end).all(|at| self.0[at / 64] >> (at % 64) & 1 == 1)
    }

    fn keep(&mut self, other: &Bytes) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine &= theirs;
        }
    }
}
