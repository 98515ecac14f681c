//! [`Asm`]: labels, stack slots, notes, subprograms. Its instructions are in `emit.rs`.

use crate::cpu::Cpu;
use crate::error::{Error, ErrorKind};
use crate::insn::{Imm64, Insn, Op};
use crate::mem::{Addr, Base, Slot};
use crate::program::{self, Program, Subprogram};
use crate::reg::Reg;
use std::panic::Location;
use std::sync::Arc;

/// Bytes of a stack frame, and of all frames of a chain of calls: the kernel's `MAX_BPF_STACK`.
pub(crate) const STACK: u32 = 512;

/// A place in the code, from [`Asm::label`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label(u32);

/// A state of the stack to return to, from [`Asm::stack_mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StackMark {
    id: u32,
    frame: usize,
    depth: u32,
    slots: usize,
}

/// A program being written: one method, one instruction, in the order of the calls.
///
/// No method fails. What is wrong is kept and reported by [`Asm::finish`], with the line of the caller; so functions
/// that emit code and are called from many places may carry `#[track_caller]` to name their caller instead.
#[derive(Debug)]
pub struct Asm {
    name: Box<str>,
    cpu: Cpu,
    insns: Vec<Insn>,
    /// For each instruction the label whose distance it gets.
    targets: Vec<Option<Label>>,
    labels: Vec<LabelState>,
    /// Subprograms, the main program first; the last one is being written.
    frames: Vec<Frame>,
    slots: Vec<SlotState>,
    marks: Vec<u32>,
    next_mark: u32,
    note: Option<String>,
    behalf: Option<Arc<str>>,
    /// The first mistake.
    error: Option<Error>,
}

#[derive(Debug)]
struct LabelState {
    name: Option<Box<str>>,
    bound: Option<Bound>,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    /// Of the instruction that follows.
    index: usize,
    source: &'static Location<'static>,
    starts_subprogram: bool,
}

#[derive(Debug)]
struct Frame {
    name: Box<str>,
    start: usize,
    source: &'static Location<'static>,
    /// In use now.
    depth: u32,
    /// In use at any time.
    size: u32,
}

#[derive(Debug)]
struct SlotState {
    slot: Slot,
    name: Option<Box<str>>,
    frame: usize,
    live: bool,
}

impl Asm {
    /// An empty program for [`Cpu::V3`]. The name is for messages and listings; the kernel takes 15 bytes of it.
    #[track_caller]
    pub fn new(name: impl Into<Box<str>>) -> Asm {
        Asm::for_cpu(name, Cpu::default())
    }

    /// An empty program that may use the instructions of `cpu`.
    #[track_caller]
    pub fn for_cpu(name: impl Into<Box<str>>, cpu: Cpu) -> Asm {
        let name = name.into();
        let main = Frame { name: name.clone(), start: 0, source: Location::caller(), depth: 0, size: 0 };
        Asm {
            name,
            cpu,
            insns: Vec::new(),
            targets: Vec::new(),
            labels: Vec::new(),
            frames: vec![main],
            slots: Vec::new(),
            marks: Vec::new(),
            next_mark: 0,
            note: None,
            behalf: None,
            error: None,
        }
    }

    /// The instructions that the program may use.
    pub const fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// A place to jump to, bound later or by [`Asm::bind`] at once.
    pub fn label(&mut self) -> Label {
        self.new_label(None)
    }

    /// A label that the listing shows; the name of the subprogram, for [`Asm::begin_subprogram`].
    pub fn label_named(&mut self, name: impl Into<Box<str>>) -> Label {
        self.new_label(Some(name.into()))
    }

    fn new_label(&mut self, name: Option<Box<str>>) -> Label {
        let label = Label(u32::try_from(self.labels.len()).unwrap_or(u32::MAX));
        self.labels.push(LabelState { name, bound: None });
        label
    }

    /// Makes `label` mean the next instruction. Each label is bound once.
    #[track_caller]
    pub fn bind(&mut self, label: Label) {
        self.bind_here(label, false, Location::caller());
    }

    /// Ends the function being written and starts the one that `label` means, for [`Asm::call_local`] and
    /// [`Asm::load_func`]. It finds its arguments in R1-R5, keeps R6-R9 for its caller by itself (the machine saves
    /// them), returns R0, and has a stack frame of its own.
    #[track_caller]
    pub fn begin_subprogram(&mut self, label: Label) {
        let source = Location::caller();
        self.bind_here(label, true, source);
        let named = self.labels.get(label.0 as usize).and_then(|state| state.name.clone());
        let name = named.unwrap_or_else(|| format!("{}_{}", self.name, self.frames.len()).into());
        self.frames.push(Frame { name, start: self.insns.len(), source, depth: 0, size: 0 });
    }

    fn bind_here(&mut self, label: Label, starts_subprogram: bool, source: &'static Location<'static>) {
        let index = self.insns.len();
        let Some(state) = self.labels.get_mut(label.0 as usize) else {
            return self.fail(ErrorKind::ForeignLabel, source);
        };
        match state.bound {
            None => state.bound = Some(Bound { index, source, starts_subprogram }),
            Some(first) => {
                let label = state.name.clone();
                self.fail(ErrorKind::BoundTwice { label, first: first.source }, source);
            }
        }
    }

    /// Attaches a text to the next instruction, for listings. Several are joined.
    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        self.note = Some(match self.note.take() {
            Some(first) => format!("{first}; {note}"),
            None => note,
        });
    }

    /// Says on whose behalf the instructions are from here on that follow, such as an option of the caller's, for those who
    /// have to tell why a program was refused. Returns what held before.
    pub fn on_behalf_of(&mut self, whom: Option<Arc<str>>) -> Option<Arc<str>> {
        std::mem::replace(&mut self.behalf, whom)
    }

    /// Bytes of the stack, aligned to 8. Not initialised.
    #[track_caller]
    pub fn stack(&mut self, size: u32) -> Slot {
        self.new_slot(size, 8, None, Location::caller())
    }

    /// As [`Asm::stack`]; the listing shows the name where the slot is used.
    #[track_caller]
    pub fn stack_named(&mut self, size: u32, name: impl Into<Box<str>>) -> Slot {
        self.new_slot(size, 8, Some(name.into()), Location::caller())
    }

    /// Bytes of the stack, aligned to 1, 2, 4 or 8. Not initialised.
    #[track_caller]
    pub fn stack_aligned(&mut self, size: u32, align: u32) -> Slot {
        self.new_slot(size, align, None, Location::caller())
    }

    fn new_slot(&mut self, size: u32, align: u32, name: Option<Box<str>>, source: &'static Location<'static>) -> Slot {
        let id = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let frame = self.frames.len() - 1;
        let in_use = self.frames[frame].depth;
        let mut slot = Slot { id, offset: 0, size };
        if size == 0 || !matches!(align, 1 | 2 | 4 | 8) {
            self.fail(ErrorKind::BadSlot { size, align }, source);
        } else {
            let depth = in_use.saturating_add(size).checked_next_multiple_of(align).unwrap_or(u32::MAX);
            if depth > STACK {
                self.fail(ErrorKind::StackTooLarge { bytes: depth }, source);
            } else {
                slot.offset = -depth.cast_signed();
                let frame = &mut self.frames[frame];
                frame.depth = depth;
                frame.size = frame.size.max(depth);
            }
        }
        self.slots.push(SlotState { slot, name, frame, live: true });
        slot
    }

    /// Remembers which slots there are. Those that are made from here on end with [`Asm::stack_release`].
    pub fn stack_mark(&mut self) -> StackMark {
        let frame = self.frames.len() - 1;
        let mark = StackMark { id: self.next_mark, frame, depth: self.frames[frame].depth, slots: self.slots.len() };
        self.next_mark += 1;
        self.marks.push(mark.id);
        mark
    }

    /// Gives back the slots made since `mark`: they must not be used any more, later ones share their bytes.
    #[track_caller]
    pub fn stack_release(&mut self, mark: StackMark) {
        let frame = self.frames.len() - 1;
        let open = self.marks.iter().position(|&id| id == mark.id);
        let Some(open) = open.filter(|_| mark.frame == frame) else {
            return self.fail(ErrorKind::BadMark, Location::caller());
        };
        self.marks.truncate(open);
        self.frames[frame].depth = mark.depth;
        for state in self.slots.iter_mut().skip(mark.slots) {
            state.live = false;
        }
    }

    /// Emits an instruction as it is, its distances included: for what the other methods cannot say.
    #[track_caller]
    pub fn emit(&mut self, op: Op) {
        self.push(op, None, None, Location::caller());
    }

    /// How many instructions there are so far.
    pub fn count(&self) -> usize {
        self.insns.len()
    }

    /// Resolves the labels and checks all that can be checked without a kernel.
    ///
    /// The error is the first one in the order of the instructions, after those of single calls.
    pub fn finish(mut self) -> Result<Program, Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let starts = program::starts(&self.insns);
        for (index, target) in self.targets.iter().enumerate() {
            if let Some(label) = target {
                let op = self.insns[index].op;
                let distance = self.distance(&op, *label, &starts, index);
                match distance.and_then(|distance| with_distance(op, distance, self.cpu)) {
                    Ok(op) => self.insns[index].op = op,
                    Err(kind) => {
                        let Insn { source, behalf, .. } = self.insns.swap_remove(index);
                        return Err(Error { program: self.name, kind, at: Some((starts[index], op)), source, behalf });
                    }
                }
            }
        }
        let ends = self.frames.iter().skip(1).map(|frame| frame.start).chain([self.insns.len()]);
        let mut subprograms = Vec::with_capacity(self.frames.len());
        for (frame, end) in self.frames.iter().zip(ends) {
            if frame.start == end {
                let source = Some(frame.source);
                return Err(Error { program: self.name, kind: ErrorKind::Empty, at: None, source, behalf: None });
            }
            subprograms.push(Subprogram {
                name: frame.name.clone(),
                start: starts[frame.start],
                end: starts[end],
                stack_size: frame.size,
            });
        }
        let mut labels: Vec<(usize, Box<str>)> = self
            .labels
            .iter()
            .filter_map(|state| match (&state.name, state.bound) {
                (Some(name), Some(bound)) if !bound.starts_subprogram => Some((starts[bound.index], name.clone())),
                _ => None,
            })
            .collect();
        labels.sort_by_key(|&(slot, _)| slot);
        let mut program = Program { name: self.name, insns: self.insns, starts, subprograms, labels };
        let sizes = program.measure(self.cpu)?;
        for (subprogram, size) in program.subprograms.iter_mut().zip(sizes) {
            subprogram.stack_size = size;
        }
        Ok(program)
    }

    /// Slots from the end of the instruction at `index` to the label.
    fn distance(&self, op: &Op, label: Label, starts: &[usize], index: usize) -> Result<i64, ErrorKind> {
        let state = self.labels.get(label.0 as usize).ok_or(ErrorKind::ForeignLabel)?;
        let bound = state.bound.ok_or_else(|| ErrorKind::UnboundLabel { label: state.name.clone() })?;
        let jumps = !matches!(op, Op::CallLocal { .. } | Op::LoadImm64 { .. });
        if !jumps && !bound.starts_subprogram {
            return Err(ErrorKind::NotASubprogram { label: state.name.clone() });
        }
        // Calls, and loads of a subprogram's address, count from the slot after their first one.
        Ok(starts[bound.index] as i64 - starts[index] as i64 - 1)
    }

    /// Keeps the first mistake.
    pub(crate) fn fail(&mut self, kind: ErrorKind, source: &'static Location<'static>) {
        let program = self.name.clone();
        let behalf = self.behalf.clone();
        self.error.get_or_insert(Error { program, kind, at: None, source: Some(source), behalf });
    }

    /// Appends an instruction with the note that waits for it.
    pub(crate) fn push(
        &mut self,
        op: Op,
        target: Option<Label>,
        place: Option<Box<str>>,
        source: &'static Location<'static>,
    ) {
        let note = self.note.take().map(Into::into);
        self.insns.push(Insn { op, note, place, source: Some(source), behalf: self.behalf.clone() });
        self.targets.push(target);
    }

    /// Base, offset and name of an operand of so many bytes.
    pub(crate) fn address(
        &mut self,
        addr: Addr,
        bytes: u8,
        source: &'static Location<'static>,
    ) -> (Reg, i16, Option<Box<str>>) {
        let (reg, offset, place) = self.address_far(addr, bytes, source);
        let near = i16::try_from(offset).unwrap_or_else(|_| {
            self.fail(ErrorKind::OffsetTooFar { offset }, source);
            0
        });
        (reg, near, place)
    }

    /// As [`Asm::address`], with an offset that need not fit into an instruction.
    pub(crate) fn address_far(
        &mut self,
        addr: Addr,
        bytes: u8,
        source: &'static Location<'static>,
    ) -> (Reg, i64, Option<Box<str>>) {
        let slot = match addr.base {
            Base::Reg(reg) => return (reg, addr.offset, None),
            Base::Slot(slot) => slot,
        };
        let frame = self.frames.len() - 1;
        let state = self.slots.get(slot.id as usize);
        let Some(state) = state.filter(|state| state.slot == slot && state.live && state.frame == frame) else {
            self.fail(ErrorKind::DeadSlot, source);
            return (Reg::FP, 0, None);
        };
        let place = state.name.as_ref().map(|name| match addr.offset {
            0 => name.clone(),
            offset => format!("{name}{offset:+}").into(),
        });
        let inside = addr.offset >= 0 && addr.offset.saturating_add(bytes.into()) <= i64::from(slot.size);
        if !inside {
            self.fail(ErrorKind::OutsideSlot { offset: addr.offset, bytes, size: slot.size }, source);
            return (Reg::FP, 0, None);
        }
        (Reg::FP, i64::from(slot.offset) + addr.offset, place)
    }
}

/// The instruction with its distance filled in.
fn with_distance(op: Op, distance: i64, cpu: Cpu) -> Result<Op, ErrorKind> {
    let far = ErrorKind::JumpTooFar { distance };
    let long = i32::try_from(distance).map_err(|_| far.clone());
    let short = i16::try_from(distance).map_err(|_| far);
    Ok(match op {
        Op::Jump { .. } => match short {
            Ok(offset) => Op::Jump { offset },
            Err(_) if cpu >= Cpu::V4 => Op::JumpLong { offset: long? },
            Err(far) => return Err(far),
        },
        Op::JumpLong { .. } => Op::JumpLong { offset: long? },
        Op::MayGoto { .. } => Op::MayGoto { offset: short? },
        Op::Branch { cmp, width, lhs, rhs, .. } => Op::Branch { cmp, width, lhs, rhs, offset: short? },
        Op::CallLocal { .. } => Op::CallLocal { offset: long? },
        Op::LoadImm64 { dst, value: Imm64::Func { .. } } => Op::LoadImm64 { dst, value: Imm64::Func { offset: long? } },
        other => other,
    })
}
