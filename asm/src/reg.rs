//! Registers and constants, typed by their width.
//!
//! `R1` is the whole register and `W1` its low half, as in the verifier's log. An instruction takes its width from
//! its first operand, and [`Source`] says what may stand beside it.

use std::fmt;

/// A general register, all 64 bits of it: [`R0`] to [`R9`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg64(u8);

/// The low 32 bits of a general register: [`W0`] to [`W9`]. Writing one clears the upper half.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg32(u8);

/// The type of [`FP`]: it can be read and addressed from, never written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FramePointer;

/// A register as an instruction carries it: r0 to r10, of either width.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(u8);

macro_rules! registers {
    ($($n:literal $r:ident $w:ident $what:literal;)*) => {
        $(
            #[doc = concat!("Register ", $n, ": ", $what)]
            pub const $r: Reg64 = Reg64($n);
            #[doc = concat!("The low half of register ", $n, ".")]
            pub const $w: Reg32 = Reg32($n);
        )*
    };
}

registers! {
    0 R0 W0 "what a call or the program returns.";
    1 R1 W1 "first argument; the context at the start of the program. Lost in every call.";
    2 R2 W2 "second argument. Lost in every call.";
    3 R3 W3 "third argument. Lost in every call.";
    4 R4 W4 "fourth argument. Lost in every call.";
    5 R5 W5 "fifth argument. Lost in every call.";
    6 R6 W6 "kept across calls.";
    7 R7 W7 "kept across calls.";
    8 R8 W8 "kept across calls.";
    9 R9 W9 "kept across calls.";
}

/// Register 10, the end of the stack frame: the frame's bytes are at `FP - 512` to `FP - 1`.
pub const FP: FramePointer = FramePointer;

impl Reg64 {
    /// All ten, R0 first.
    pub const ALL: [Reg64; 10] = [R0, R1, R2, R3, R4, R5, R6, R7, R8, R9];

    /// The low half of the same register.
    pub const fn low(self) -> Reg32 {
        Reg32(self.0)
    }

    /// 0 to 9.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl Reg32 {
    /// The whole of the same register.
    pub const fn whole(self) -> Reg64 {
        Reg64(self.0)
    }

    /// 0 to 9.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl Reg {
    /// r10.
    pub const FP: Reg = Reg(10);

    /// The register with this number, if there is one: 0 to 10.
    pub const fn new(number: u8) -> Option<Reg> {
        if number <= 10 { Some(Reg(number)) } else { None }
    }

    /// 0 to 10.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl From<Reg64> for Reg {
    fn from(reg: Reg64) -> Reg {
        Reg(reg.0)
    }
}

impl From<Reg32> for Reg {
    fn from(reg: Reg32) -> Reg {
        Reg(reg.0)
    }
}

impl From<FramePointer> for Reg {
    fn from(_: FramePointer) -> Reg {
        Reg::FP
    }
}

impl fmt::Debug for Reg64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{}", self.0)
    }
}

impl fmt::Debug for Reg32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "W{}", self.0)
    }
}

impl fmt::Debug for FramePointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FP")
    }
}

impl fmt::Debug for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// `r0` to `r10`.
impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// Whether an instruction works on the whole registers or on their low halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// The low 32 bits; a result clears the upper half.
    W32,
    /// All 64 bits; a constant is sign-extended.
    W64,
}

/// The second operand of an instruction: a register or a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A register, of the width of the instruction.
    Reg(Reg),
    /// A constant. A 64-bit instruction sign-extends it, a 32-bit one takes its 32 bits.
    Imm(i32),
}

/// A register that can be written: [`Reg64`] or [`Reg32`]. It decides the width of the instruction.
///
/// FP is none, neither for a result nor for a comparison's left side:
///
/// ```compile_fail,E0277
/// # use asm::*;
/// # let mut a = Asm::new("doc");
/// a.mov(FP, R1);
/// ```
/// ```compile_fail,E0308
/// # use asm::*;
/// # let mut a = Asm::new("doc");
/// a.load(FP, u64(R1));
/// ```
/// ```
/// # use asm::*;
/// # let mut a = Asm::new("doc");
/// a.mov(R2, FP);
/// a.store(u64(FP - 8), FP);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a register that can be written",
    label = "expected R0 to R9 or W0 to W9",
    note = "FP is read-only: copy it with `a.mov(R1, FP)`, or take the address of a slot with `a.lea(R1, slot)`"
)]
pub trait Dst: Copy + Into<Reg> + sealed::Sealed {
    /// The width of the instruction.
    const WIDTH: Width;
}

impl Dst for Reg64 {
    const WIDTH: Width = Width::W64;
}

impl Dst for Reg32 {
    const WIDTH: Width = Width::W32;
}

/// What may stand beside a register of type `D`: a register of the same width, or a constant whose meaning does not
/// change when the machine widens it.
///
/// ```
/// # use asm::*;
/// # let mut a = Asm::new("doc");
/// # let to = a.label();
/// a.mov(R1, R2);
/// a.mov(W1, W2);
/// a.and(W1, 0xffff_0000_u32);
/// a.jeq(R1, -1, to);
/// for reg in [R1, R2, R3] {
///     a.mov(reg.low(), 7);
/// }
/// ```
/// Widths do not mix, neither in arithmetic nor in jumps nor in moves that extend a sign:
///
/// ```compile_fail,E0277
/// # use asm::*;
/// # let mut a = Asm::new("doc");
/// a.mov(R1, W2);
/// ```
/// ```compile_fail,E0277
/// # use asm::*;
/// # let mut a = Asm::new("doc");
/// a.add(W1, R2);
/// ```
/// ```compile_fail,E0277
/// # use asm::*;
/// # let mut a = Asm::new("doc");
/// # let to = a.label();
/// a.jgt(R1, W2, to);
/// ```
/// ```compile_fail,E0308
/// # use asm::*;
/// # let mut a = Asm::for_cpu("doc", Cpu::V4);
/// a.movsx8(R1, W2);
/// ```
/// The machine would extend the sign of this constant, and compare with 0xffffffffdeadbeef:
///
/// ```compile_fail,E0277
/// # use asm::*;
/// # let mut a = Asm::new("doc");
/// # let to = a.label();
/// a.jeq(R1, 0xdead_beef_u32, to);
/// ```
/// Nor does a literal slip through: it is an `i32`, and this one is out of its range.
///
/// ```compile_fail
/// # use asm::*;
/// # let mut a = Asm::new("doc");
/// # let to = a.label();
/// a.jeq(R1, 0xdead_beef, to);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the second operand beside a `{D}`",
    label = "not a register or constant of the width of `{D}`",
    note = "R0 to R9 go with R0 to R9, FP and `i32`; W0 to W9 go with W0 to W9, `i32` and `u32`",
    note = "a 64-bit instruction sign-extends its 32-bit constant, so a `u32` from 0x80000000 up would change its \
            value: use the W register, or `mov_u64` into another register first"
)]
pub trait Source<D>: sealed::Sealed {
    /// The operand as the instruction carries it.
    fn operand(self) -> Operand;
}

macro_rules! sources {
    ($($source:ty, $dst:ty, $self:ident => $operand:expr;)*) => {
        $(impl Source<$dst> for $source {
            fn operand($self) -> Operand {
                $operand
            }
        })*
    };
}

sources! {
    Reg64, Reg64, self => Operand::Reg(self.into());
    FramePointer, Reg64, self => Operand::Reg(self.into());
    i32, Reg64, self => Operand::Imm(self);
    Reg32, Reg32, self => Operand::Reg(self.into());
    i32, Reg32, self => Operand::Imm(self);
    u32, Reg32, self => Operand::Imm(self.cast_signed());
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Reg64 {}
    impl Sealed for super::Reg32 {}
    impl Sealed for super::FramePointer {}
    impl Sealed for i32 {}
    impl Sealed for u32 {}
}
