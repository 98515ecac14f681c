//! What can go wrong, with the place that caused it.

use crate::helper::Helper;
use crate::insn::Op;
use crate::map::MapRef;
use crate::reg::Reg;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// Why a program was refused before any kernel saw it, and which line of the caller is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub(crate) program: Box<str>,
    pub(crate) kind: ErrorKind,
    pub(crate) at: Option<(usize, Op)>,
    pub(crate) source: Option<&'static Location<'static>>,
    pub(crate) behalf: Option<Arc<str>>,
}

impl Error {
    /// The name of the program.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// What is wrong.
    pub const fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The slot of the instruction, as the verifier counts, if one is at fault.
    pub fn slot(&self) -> Option<usize> {
        self.at.map(|(slot, _)| slot)
    }

    /// On whose behalf the place that is at fault was emitted ([`Asm::on_behalf_of`](crate::Asm::on_behalf_of)).
    pub fn behalf(&self) -> Option<&str> {
        self.behalf.as_deref()
    }

    /// Whether there is too much of something that is right as such: stack, or code between a jump and its target.
    pub const fn is_about_size(&self) -> bool {
        matches!(self.kind, ErrorKind::StackTooLarge { .. } | ErrorKind::JumpTooFar { .. })
    }

    /// The line that emitted it; none in a program that was disassembled.
    pub const fn source(&self) -> Option<&'static Location<'static>> {
        self.source
    }
}

/// What is wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The program has no instruction.
    Empty,
    /// A label is used and bound nowhere.
    UnboundLabel {
        /// Its name, if it has one.
        label: Option<Box<str>>,
    },
    /// A label is bound for the second time.
    BoundTwice {
        /// Its name, if it has one.
        label: Option<Box<str>>,
        /// Where it was bound first.
        first: &'static Location<'static>,
    },
    /// A label was made by another `Asm`.
    ForeignLabel,
    /// A label is called, or its address is taken, but `begin_subprogram` was not used to bind it.
    NotASubprogram {
        /// Its name, if it has one.
        label: Option<Box<str>>,
    },
    /// A jump from one subprogram into another.
    JumpBetweenSubprograms,
    /// The distance of a jump does not fit into 16 bits.
    JumpTooFar {
        /// The distance in slots.
        distance: i64,
    },
    /// A jump or call to a place where no instruction starts.
    BadTarget {
        /// The slot that it names.
        slot: i64,
    },
    /// The offset of a memory operand does not fit into 16 bits.
    OffsetTooFar {
        /// The offset in bytes.
        offset: i64,
    },
    /// The operand reaches outside the slot that it names.
    OutsideSlot {
        /// Start of the operand in the slot.
        offset: i64,
        /// Size of the operand.
        bytes: u8,
        /// Size of the slot.
        size: u32,
    },
    /// The slot was given back with `stack_release`, or belongs to another subprogram or program.
    DeadSlot,
    /// A stack mark is released twice, out of order, or in another subprogram.
    BadMark,
    /// A slot of no bytes, or an alignment that is not 1, 2, 4 or 8.
    BadSlot {
        /// The size asked for.
        size: u32,
        /// The alignment asked for.
        align: u32,
    },
    /// The frame, or the deepest chain of calls, needs more than 512 bytes.
    StackTooLarge {
        /// What is needed.
        bytes: u32,
    },
    /// More than eight calls deep, or a subprogram that calls itself.
    CallsTooDeep,
    /// The size of the memory operand is not one that the instruction has.
    BadSize {
        /// The size in bytes.
        bytes: u8,
    },
    /// Eight bytes are to be written from a low half.
    HalfRegister,
    /// A constant that the bytes written cannot hold, or that the machine would sign-extend to another value.
    ConstantTooLarge {
        /// The constant.
        constant: i64,
        /// How many bytes are written.
        bytes: u8,
    },
    /// The index of a module's descriptor does not fit.
    BadFdIndex {
        /// The index.
        index: u16,
    },
    /// The instruction came to the machine after the one that the program is for.
    NeedsCpu {
        /// What it needs.
        needs: crate::Cpu,
        /// What the program is for.
        target: crate::Cpu,
    },
    /// A division by the constant 0.
    DivisionByZero,
    /// A shift by a constant that is negative, or not less than the width.
    ShiftTooFar {
        /// By how many bits.
        by: i32,
    },
    /// r10 is written.
    WriteToFramePointer,
    /// The last instruction of a subprogram is neither `exit` nor a jump.
    FallsOff,
    /// No path leads to the instruction.
    Unreachable,
    /// On some path the register was not written since the start or the last call.
    Unset {
        /// The register.
        reg: Reg,
    },
    /// On some path an argument of the helper was not written since the start or the last call.
    UnsetArgument {
        /// The helper.
        helper: Helper,
        /// The register.
        reg: Reg,
    },
    /// Stack bytes are read that were not written on some path.
    UnsetStack {
        /// Relative to the frame pointer.
        offset: i64,
        /// Size of the operand.
        bytes: u8,
    },
    /// An access reaches outside the 512 bytes below the frame pointer.
    OutsideFrame {
        /// Relative to the frame pointer.
        offset: i64,
        /// Size of the operand.
        bytes: u8,
    },
    /// A stack access is not aligned to its size.
    MisalignedStack {
        /// Relative to the frame pointer.
        offset: i64,
        /// Size of the operand.
        bytes: u8,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program `{}`: {}", self.program, self.kind)?;
        if let Some((slot, op)) = self.at {
            write!(f, ", at {slot}: {op}")?;
        }
        match self.source {
            Some(source) => write!(f, ", emitted by {}:{}", source.file(), source.line()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::Empty => write!(f, "there is no instruction"),
            ErrorKind::UnboundLabel { label } => write!(f, "{} is used but never bound", Name(label)),
            ErrorKind::BoundTwice { label, first } => {
                write!(f, "{} is bound twice, first by {}:{}", Name(label), first.file(), first.line())
            }
            ErrorKind::ForeignLabel => write!(f, "the label belongs to another program"),
            ErrorKind::NotASubprogram { label } => {
                write!(f, "{} is called, but `begin_subprogram` did not bind it", Name(label))
            }
            ErrorKind::JumpBetweenSubprograms => write!(f, "a jump leaves its subprogram"),
            ErrorKind::JumpTooFar { distance } => {
                write!(f, "the jump of {distance} slots is too far for 16 bits")
            }
            ErrorKind::BadTarget { slot } => write!(f, "no instruction starts at the target {slot}"),
            ErrorKind::OffsetTooFar { offset } => write!(f, "the offset {offset} does not fit into 16 bits"),
            ErrorKind::OutsideSlot { offset, bytes, size } => {
                write!(f, "{bytes} bytes at {offset} reach outside the stack slot of {size} bytes")
            }
            ErrorKind::DeadSlot => {
                write!(f, "the stack slot was released before, or belongs to another subprogram")
            }
            ErrorKind::BadMark => {
                write!(f, "the stack mark was released before, or belongs to another subprogram")
            }
            ErrorKind::BadSlot { size, align } => {
                write!(f, "a stack slot cannot have {size} bytes aligned to {align}")
            }
            ErrorKind::StackTooLarge { bytes } => {
                write!(f, "the stack would need {bytes} bytes, and there are 512")
            }
            ErrorKind::CallsTooDeep => write!(f, "subprograms call each other more than eight deep"),
            ErrorKind::BadSize { bytes } => write!(f, "the instruction cannot work on {bytes} bytes"),
            ErrorKind::HalfRegister => write!(f, "the low half of a register cannot fill eight bytes"),
            ErrorKind::ConstantTooLarge { constant, bytes } => {
                write!(f, "the constant {constant} cannot be stored into {bytes} bytes unchanged")
            }
            ErrorKind::BadFdIndex { index } => write!(f, "the descriptor index {index} does not fit into 15 bits"),
            ErrorKind::NeedsCpu { needs, target } => {
                write!(f, "the instruction needs {needs}, and the program is for {target}")
            }
            ErrorKind::DivisionByZero => write!(f, "the divisor is the constant 0"),
            ErrorKind::ShiftTooFar { by } => write!(f, "a shift by {by} bits is outside the register"),
            ErrorKind::WriteToFramePointer => write!(f, "the frame pointer cannot be written"),
            ErrorKind::FallsOff => write!(f, "the code runs past its end"),
            ErrorKind::Unreachable => write!(f, "no path leads to the instruction"),
            ErrorKind::Unset { reg } => write!(f, "{reg} may be read before it is written"),
            ErrorKind::UnsetArgument { helper, reg } => {
                write!(f, "the argument {reg} of {} may not have been written", helper.name())
            }
            ErrorKind::UnsetStack { offset, bytes } => {
                write!(f, "the {bytes} bytes of stack at {offset} may be read before they are written")
            }
            ErrorKind::OutsideFrame { offset, bytes } => {
                write!(f, "{bytes} bytes at {offset} from the frame pointer are outside the frame")
            }
            ErrorKind::MisalignedStack { offset, bytes } => {
                write!(f, "{bytes} bytes at {offset} from the frame pointer are not aligned")
            }
        }
    }
}

struct Name<'a>(&'a Option<Box<str>>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "label `{name}`"),
            None => write!(f, "a label"),
        }
    }
}

/// Why a program could not be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The caller gave a negative descriptor for this map.
    NoDescriptor(MapRef),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::NoDescriptor(map) => write!(f, "there is no descriptor for {map}"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Why bytes are not a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The slot at fault.
    pub slot: usize,
    /// What is wrong with it.
    pub kind: DecodeErrorKind,
}

/// What is wrong with a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// No instruction has this opcode.
    Opcode(u8),
    /// There are eleven registers.
    Register(u8),
    /// A field that the instruction does not use is not zero, or holds what it cannot hold.
    Reserved {
        /// The opcode.
        opcode: u8,
        /// Which field.
        field: &'static str,
    },
    /// The second slot of a 64-bit load is missing.
    Truncated,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = self.slot;
        match self.kind {
            DecodeErrorKind::Opcode(opcode) => write!(f, "slot {slot}: no instruction has opcode {opcode:#04x}"),
            DecodeErrorKind::Register(number) => write!(f, "slot {slot}: there is no register {number}"),
            DecodeErrorKind::Reserved { opcode, field } => {
                write!(f, "slot {slot}: the {field} of opcode {opcode:#04x} has a value that it cannot have")
            }
            DecodeErrorKind::Truncated => write!(f, "slot {slot}: the second slot of the 64-bit load is missing"),
        }
    }
}

impl std::error::Error for DecodeError {}
