//! What can be refused without a kernel.
//!
//! The verifier (`kernel/bpf/verifier.c`) refuses all of this too; here it is found when the program is built, in tests
//! without root, and with the line of Rust that emitted the instruction. `tests/kernel/refusals.rs` compares the two.
//!
//! What some kernels accept is refused in three cases, because older ones do not: stack bytes that were never written
//! (privileged programs may read them since Linux 6.3), chains of calls whose frames exceed 512 bytes only when each is
//! counted in units of 32 bytes (newer kernels use 16, and may give each frame a stack of its own), and mistakes on a
//! path that the verifier can prove is never taken.

use crate::builder::STACK;
use crate::cpu::Cpu;
use crate::error::{Error, ErrorKind};
use crate::flow::{self, Regs, State};
use crate::insn::{AluOp, Imm64, Insn, Op};
use crate::mem::Size;
use crate::program::Program;
use crate::reg::{Operand, Reg, Width};

/// Frames of a chain of calls: the kernel's `MAX_CALL_FRAMES`.
const CALL_FRAMES: usize = 8;
/// A frame's share of the stack is a multiple of this where several functions are active.
const FRAME_UNIT: u32 = 32;

/// What is wrong, and with which instruction.
type Refusal = (usize, ErrorKind);

impl Program {
    /// Checks all that can be checked without a kernel, for programs that use no more than `cpu` has.
    ///
    /// [`Asm::finish`](crate::Asm::finish) has done it. What depends on the kernel, the program type, the maps, and
    /// pointers other than into the stack, is left to the verifier.
    pub fn check(&self, cpu: Cpu) -> Result<(), Error> {
        self.measure(cpu).map(|_| ())
    }

    /// As [`Program::check`]; gives the bytes that each subprogram's frame really has.
    pub(crate) fn measure(&self, cpu: Cpu) -> Result<Vec<u32>, Error> {
        Code::new(self).and_then(|code| code.check(cpu)).map_err(|(index, kind)| {
            let insn = self.insns.get(index);
            Error {
                program: self.name.clone(),
                kind,
                at: insn.map(|insn| (self.starts[index], insn.op)),
                source: insn.and_then(Insn::source),
                behalf: insn.and_then(|insn| insn.behalf.clone()),
            }
        })
    }
}

/// A program by index of instruction.
struct Code<'a> {
    insns: &'a [Insn],
    /// For each instruction the one that it jumps to, calls, or takes the address of.
    targets: Vec<Option<usize>>,
    /// For each instruction its subprogram.
    owner: Vec<usize>,
    /// First instruction of each subprogram, and the end.
    bounds: Vec<usize>,
    /// Declared sizes of the frames.
    frames: Vec<u32>,
}

impl<'a> Code<'a> {
    fn new(program: &'a Program) -> Result<Code<'a>, Refusal> {
        let insns = &program.insns[..];
        if insns.is_empty() {
            return Err((0, ErrorKind::Empty));
        }
        let index_of = |slot: usize| program.starts[..insns.len()].binary_search(&slot).ok();
        let mut bounds: Vec<usize> = program.subprograms.iter().filter_map(|sub| index_of(sub.start)).collect();
        bounds.push(insns.len());
        let mut owner = Vec::with_capacity(insns.len());
        for (subprogram, ends) in bounds.windows(2).enumerate() {
            owner.resize(ends[1], subprogram);
        }
        let mut targets = Vec::with_capacity(insns.len());
        for (index, insn) in insns.iter().enumerate() {
            targets.push(match distance(&insn.op) {
                None => None,
                Some(distance) => {
                    let slot = program.starts[index] as i64 + 1 + distance;
                    let target = usize::try_from(slot).ok().and_then(index_of);
                    Some(target.ok_or((index, ErrorKind::BadTarget { slot }))?)
                }
            });
        }
        let frames = program.subprograms.iter().map(|sub| sub.stack_size).collect();
        Ok(Code { insns, targets, owner, bounds, frames })
    }

    fn check(&self, cpu: Cpu) -> Result<Vec<u32>, Refusal> {
        for (index, insn) in self.insns.iter().enumerate() {
            check_alone(&insn.op, cpu).map_err(|kind| (index, kind))?;
        }
        self.check_flow()?;
        // Where a jump through a register leads is known only to a map.
        let frames = match self.insns.iter().any(|insn| matches!(insn.op, Op::JumpTo { .. })) {
            true => self.frames.clone(),
            false => {
                self.check_reached()?;
                self.check_values()?
            }
        };
        self.check_calls(&frames)?;
        Ok(frames)
    }

    /// The instructions that may follow in the same subprogram.
    fn successors(&self, index: usize) -> impl Iterator<Item = usize> {
        let op = &self.insns[index].op;
        let next = (!ends(op)).then_some(index + 1);
        let jump = if refers(op) { None } else { self.targets[index] };
        next.into_iter().chain(jump)
    }

    /// Jumps stay in their subprogram, and no code runs past its end.
    fn check_flow(&self) -> Result<(), Refusal> {
        for (index, insn) in self.insns.iter().enumerate() {
            let owner = self.owner[index];
            if let Some(target) = self.targets[index] {
                if refers(&insn.op) && self.bounds[self.owner[target]] != target {
                    return Err((index, ErrorKind::NotASubprogram { label: None }));
                }
                if !refers(&insn.op) && self.owner[target] != owner {
                    return Err((index, ErrorKind::JumpBetweenSubprograms));
                }
            }
            if !ends(&insn.op) && index + 1 == self.bounds[owner + 1] {
                return Err((index, ErrorKind::FallsOff));
            }
        }
        Ok(())
    }

    /// A path leads to each instruction.
    fn check_reached(&self) -> Result<(), Refusal> {
        let mut reached = vec![false; self.insns.len()];
        let mut pending = vec![0];
        while let Some(index) = pending.pop() {
            if !std::mem::replace(&mut reached[index], true) {
                pending.extend(self.successors(index));
                pending.extend(self.targets[index]);
            }
        }
        match reached.iter().position(|reached| !reached) {
            Some(index) => Err((index, ErrorKind::Unreachable)),
            None => Ok(()),
        }
    }

    /// Registers and stack bytes are written before they are read; stack accesses are aligned and in the frame. Gives
    /// the sizes of the frames.
    fn check_values(&self) -> Result<Vec<u32>, Refusal> {
        let arguments = self.arguments();
        let states = self.settled_states(&arguments);
        let mut frames = self.frames.clone();
        for (index, insn) in self.insns.iter().enumerate() {
            let Some(state) = &states[index] else { continue };
            let owner = self.owner[index];
            let unset = self.reads(index, &arguments).iter().find(|&reg| state.is_unset(reg));
            if let Some(reg) = unset {
                let kind = match insn.op {
                    Op::Call(helper) => ErrorKind::UnsetArgument { helper, reg },
                    _ => ErrorKind::Unset { reg },
                };
                return Err((index, kind));
            }
            let mut lowest = state.lowest_passed(flow::passed(&insn.op, self.arguments_of(index, &arguments)));
            if let Some(access) = state.access(&insn.op) {
                let (offset, bytes) = (access.offset, access.size.bytes());
                let kind = if offset < -i64::from(STACK) || offset + i64::from(bytes) > 0 {
                    Some(ErrorKind::OutsideFrame { offset, bytes })
                } else if offset % i64::from(bytes) != 0 {
                    Some(ErrorKind::MisalignedStack { offset, bytes })
                } else if access.reads && !state.is_written(&access) {
                    Some(ErrorKind::UnsetStack { offset, bytes })
                } else {
                    None
                };
                if let Some(kind) = kind {
                    return Err((index, kind));
                }
                lowest = Some(offset);
            }
            if let Some(lowest) = lowest {
                let depth = u32::try_from(-lowest).unwrap_or(0);
                if depth > STACK {
                    return Err((index, ErrorKind::OutsideFrame { offset: lowest, bytes: 0 }));
                }
                frames[owner] = frames[owner].max(depth);
            }
        }
        Ok(frames)
    }

    /// The arguments that each subprogram reads on some path.
    fn arguments(&self) -> Vec<Regs> {
        let mut arguments = vec![Regs::NONE; self.frames.len()];
        let mut live = vec![Regs::NONE; self.insns.len()];
        let mut changed = true;
        while std::mem::take(&mut changed) {
            for index in (0..self.insns.len()).rev() {
                let after = self.successors(index).fold(Regs::NONE, |after, next| after.and(live[next]));
                let before = after.without(flow::writes(&self.insns[index].op)).and(self.reads(index, &arguments));
                changed |= std::mem::replace(&mut live[index], before) != before;
            }
            for (subprogram, known) in arguments.iter_mut().enumerate() {
                let read = live[self.bounds[subprogram]].both(Regs::ARGUMENTS);
                changed |= std::mem::replace(known, read) != read;
            }
        }
        arguments
    }

    fn arguments_of(&self, call: usize, arguments: &[Regs]) -> Regs {
        self.targets[call].map_or(Regs::NONE, |target| arguments[self.owner[target]])
    }

    fn reads(&self, index: usize, arguments: &[Regs]) -> Regs {
        match &self.insns[index].op {
            Op::CallLocal { .. } => self.arguments_of(index, arguments),
            // A subprogram need not return anything.
            Op::Exit if self.owner[index] != 0 => Regs::NONE,
            op => flow::reads(op),
        }
    }

    /// What is known in front of each instruction, when it is known which subprograms return a value.
    fn settled_states(&self, arguments: &[Regs]) -> Vec<Option<State>> {
        let mut returns = vec![true; self.frames.len()];
        loop {
            let states = self.states(arguments, &returns);
            let mut settled = true;
            for (index, insn) in self.insns.iter().enumerate() {
                let unset = states[index].as_ref().is_some_and(|state| state.is_unset(crate::R0.into()));
                if insn.op == Op::Exit && unset {
                    settled &= !std::mem::replace(&mut returns[self.owner[index]], false);
                }
            }
            if settled {
                return states;
            }
        }
    }

    fn states(&self, arguments: &[Regs], returns: &[bool]) -> Vec<Option<State>> {
        let mut states: Vec<Option<State>> = vec![None; self.insns.len()];
        for (subprogram, &start) in self.bounds[..self.frames.len()].iter().enumerate() {
            let set = if subprogram == 0 { Regs::arguments(1) } else { Regs::ARGUMENTS };
            states[start] = Some(State::entry(set));
        }
        let mut pending = vec![true; self.insns.len()];
        let mut again = true;
        // In the order of the code, since most jumps are forward; loops take another round.
        while std::mem::take(&mut again) {
            for index in 0..self.insns.len() {
                if !pending[index] {
                    continue;
                }
                let Some(mut state) = states[index].clone() else { continue };
                pending[index] = false;
                let op = &self.insns[index].op;
                let returns = self.targets[index].is_none_or(|target| returns[self.owner[target]]);
                state.step(op, flow::passed(op, self.arguments_of(index, arguments)), returns);
                for next in self.successors(index) {
                    let changed = match &mut states[next] {
                        Some(known) => known.meet(&state),
                        unknown => {
                            *unknown = Some(state.clone());
                            true
                        }
                    };
                    if changed {
                        pending[next] = true;
                        again |= next <= index;
                    }
                }
            }
        }
        states
    }

    /// No chain of calls is too deep or needs too much stack.
    fn check_calls(&self, frames: &[u32]) -> Result<(), Refusal> {
        let calls: Vec<(usize, usize)> = (0..self.insns.len())
            .filter(|&index| matches!(self.insns[index].op, Op::CallLocal { .. }))
            .filter_map(|index| Some((index, self.targets[index]?)))
            .collect();
        // Bytes of the largest chain of so many frames that starts with each subprogram, and its first call.
        let own = |subprogram: usize| frames[subprogram].max(1).next_multiple_of(FRAME_UNIT);
        let mut chains: Vec<Option<(u32, usize)>> = (0..frames.len()).map(|sub| Some((own(sub), 0))).collect();
        for depth in 2..=CALL_FRAMES + 1 {
            let mut longer = vec![None; frames.len()];
            for &(call, target) in &calls {
                let (caller, callee) = (self.owner[call], self.owner[target]);
                if let Some((bytes, _)) = chains[callee] {
                    let chain = Some((own(caller) + bytes, call));
                    longer[caller] = longer[caller].max(chain);
                }
            }
            match longer[0] {
                Some((_, call)) if depth > CALL_FRAMES => return Err((call, ErrorKind::CallsTooDeep)),
                Some((bytes, call)) if bytes > STACK => return Err((call, ErrorKind::StackTooLarge { bytes })),
                _ => chains = longer,
            }
        }
        Ok(())
    }
}

/// How far the instruction's target is from the slot after its first.
fn distance(op: &Op) -> Option<i64> {
    match *op {
        Op::Jump { offset } | Op::MayGoto { offset } | Op::Branch { offset, .. } => Some(offset.into()),
        Op::JumpLong { offset } | Op::CallLocal { offset } | Op::LoadImm64 { value: Imm64::Func { offset }, .. } => {
            Some(offset.into())
        }
        _ => None,
    }
}

/// Whether the target is a subprogram rather than the next instruction.
fn refers(op: &Op) -> bool {
    matches!(op, Op::CallLocal { .. } | Op::LoadImm64 { .. })
}

/// Whether the next instruction does not follow.
fn ends(op: &Op) -> bool {
    matches!(op, Op::Exit | Op::Jump { .. } | Op::JumpLong { .. } | Op::JumpTo { .. })
}

/// What is wrong with an instruction wherever it stands.
fn check_alone(op: &Op, cpu: Cpu) -> Result<(), ErrorKind> {
    let (size, fits) = match *op {
        Op::Swap { size, .. } => (size, size != Size::B1),
        Op::MovSigned { width, from, .. } => (from, from < Size::B4 || (from == Size::B4 && width == Width::W64)),
        Op::LoadSigned { size, .. } | Op::LoadPacket { size, .. } => (size, size != Size::B8),
        Op::Atomic { size, .. } => (size, size >= Size::B4),
        _ => (Size::B8, true),
    };
    if !fits {
        return Err(ErrorKind::BadSize { bytes: size.bytes() });
    }
    if op.needs() > cpu {
        return Err(ErrorKind::NeedsCpu { needs: op.needs(), target: cpu });
    }
    if flow::writes(op).contains(Reg::FP) {
        return Err(ErrorKind::WriteToFramePointer);
    }
    match *op {
        Op::Alu { op: AluOp::Div | AluOp::SDiv | AluOp::Rem | AluOp::SRem, src: Operand::Imm(0), .. } => {
            Err(ErrorKind::DivisionByZero)
        }
        Op::Alu { op: AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, width, src: Operand::Imm(by), .. } => {
            let bits = if width == Width::W64 { 64 } else { 32 };
            if (0..bits).contains(&by) { Ok(()) } else { Err(ErrorKind::ShiftTooFar { by }) }
        }
        Op::CallKfunc { fd_index: index, .. } if i16::try_from(index).is_err() => Err(ErrorKind::BadFdIndex { index }),
        _ => Ok(()),
    }
}
