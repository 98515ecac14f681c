//! Memory operands: `u32(R7 + 8)`, `u8(FP - 1)`, `u64(slot)`.

use crate::reg::{FramePointer, Reg, Reg32, Reg64};
use std::ops::{Add, Sub};

/// How many bytes an instruction moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Size {
    /// One byte.
    B1,
    /// Two bytes.
    B2,
    /// Four bytes.
    B4,
    /// Eight bytes.
    B8,
}

impl Size {
    /// Each of them, the smallest first.
    pub const ALL: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];

    /// The size with so many bytes: 1, 2, 4 or 8.
    pub const fn from_bytes(bytes: usize) -> Option<Size> {
        match bytes {
            1 => Some(Size::B1),
            2 => Some(Size::B2),
            4 => Some(Size::B4),
            8 => Some(Size::B8),
            _ => None,
        }
    }

    /// 1, 2, 4 or 8.
    pub const fn bytes(self) -> u8 {
        match self {
            Size::B1 => 1,
            Size::B2 => 2,
            Size::B4 => 4,
            Size::B8 => 8,
        }
    }
}

/// Bytes of the stack frame, from [`Asm::stack`](crate::Asm::stack) and its variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    pub(crate) id: u32,
    pub(crate) offset: i32,
    pub(crate) size: u32,
}

impl Slot {
    /// Where the slot starts, relative to FP: negative.
    pub const fn offset(self) -> i32 {
        self.offset
    }

    /// Its size in bytes.
    pub const fn size(self) -> u32 {
        self.size
    }
}

/// A base and an offset in bytes: what `R7 + 8`, `FP - 8` and `slot + 4` make.
///
/// The offset is checked when the instruction is emitted: it must fit into 16 bits, and stay inside the slot.
///
/// Addresses have 64 bits:
///
/// ```compile_fail,E0277
/// # use asm::*;
/// # let mut a = Asm::new("doc");
/// a.load(R1, u32(W2));
/// ```
/// ```compile_fail,E0369
/// # use asm::*;
/// # let mut a = Asm::new("doc");
/// a.load(R1, u32(W2 + 4));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Addr {
    pub(crate) base: Base,
    pub(crate) offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Base {
    Reg(Reg),
    Slot(Slot),
}

impl From<Reg64> for Addr {
    fn from(reg: Reg64) -> Addr {
        Addr { base: Base::Reg(reg.into()), offset: 0 }
    }
}

impl From<FramePointer> for Addr {
    fn from(fp: FramePointer) -> Addr {
        Addr { base: Base::Reg(fp.into()), offset: 0 }
    }
}

impl From<Slot> for Addr {
    fn from(slot: Slot) -> Addr {
        Addr { base: Base::Slot(slot), offset: 0 }
    }
}

macro_rules! address_arithmetic {
    ($($base:ty)*) => {
        $(
            impl Add<i32> for $base {
                type Output = Addr;

                fn add(self, bytes: i32) -> Addr {
                    let Addr { base, offset } = self.into();
                    Addr { base, offset: offset.saturating_add(i64::from(bytes)) }
                }
            }

            impl Sub<i32> for $base {
                type Output = Addr;

                fn sub(self, bytes: i32) -> Addr {
                    let Addr { base, offset } = self.into();
                    Addr { base, offset: offset.saturating_sub(i64::from(bytes)) }
                }
            }

            impl Add<u32> for $base {
                type Output = Addr;

                fn add(self, bytes: u32) -> Addr {
                    let Addr { base, offset } = self.into();
                    Addr { base, offset: offset.saturating_add(i64::from(bytes)) }
                }
            }
        )*
    };
}

address_arithmetic!(Reg64 FramePointer Slot Addr);

/// Memory of a size: the operand of loads, stores and atomic instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mem {
    pub(crate) size: Size,
    pub(crate) addr: Addr,
}

impl Mem {
    /// For a size that is known only at run time; [`u8()`], [`u16()`], [`u32()`] and [`u64()`] otherwise.
    pub fn new(size: Size, addr: impl Into<Addr>) -> Mem {
        Mem { size, addr: addr.into() }
    }

    /// How many bytes.
    pub const fn size(self) -> Size {
        self.size
    }
}

/// Memory that is read with its sign: the operand of [`Asm::load_signed`](crate::Asm::load_signed), and of nothing
/// else.
///
/// ```compile_fail,E0308
/// # use asm::*;
/// # let mut a = Asm::for_cpu("doc", Cpu::V4);
/// a.load(R1, i32(R2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignedMem(pub(crate) Mem);

macro_rules! memory {
    ($($name:ident $size:ident $what:literal;)*) => {
        $(
            #[doc = $what]
            pub fn $name(addr: impl Into<Addr>) -> Mem {
                Mem::new(Size::$size, addr)
            }
        )*
    };
}

memory! {
    u8 B1 "One byte at `addr`.";
    u16 B2 "Two bytes at `addr`, in the byte order of the machine.";
    u32 B4 "Four bytes at `addr`, in the byte order of the machine.";
    u64 B8 "Eight bytes at `addr`, in the byte order of the machine.";
}

macro_rules! signed_memory {
    ($($name:ident $size:ident $what:literal;)*) => {
        $(
            #[doc = $what]
            pub fn $name(addr: impl Into<Addr>) -> SignedMem {
                SignedMem(Mem::new(Size::$size, addr))
            }
        )*
    };
}

signed_memory! {
    i8 B1 "One byte at `addr`, with its sign.";
    i16 B2 "Two bytes at `addr`, in the byte order of the machine, with their sign.";
    i32 B4 "Four bytes at `addr`, in the byte order of the machine, with their sign.";
}

/// What a store writes: a register or a constant.
///
/// A `W` register is stored into at most four bytes, an `R` register into any size (its low bytes). A constant must
/// be representable in the bytes that are written, with or without sign; for eight bytes it is sign-extended, so
/// a `u32` from 0x80000000 up is refused there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stored(pub(crate) StoredValue);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StoredValue {
    Whole(Reg),
    Low(Reg),
    Constant(i64),
}

impl From<Reg64> for Stored {
    fn from(reg: Reg64) -> Stored {
        Stored(StoredValue::Whole(reg.into()))
    }
}

impl From<FramePointer> for Stored {
    fn from(fp: FramePointer) -> Stored {
        Stored(StoredValue::Whole(fp.into()))
    }
}

impl From<Reg32> for Stored {
    fn from(reg: Reg32) -> Stored {
        Stored(StoredValue::Low(reg.into()))
    }
}

impl From<i32> for Stored {
    fn from(constant: i32) -> Stored {
        Stored(StoredValue::Constant(constant.into()))
    }
}

impl From<u32> for Stored {
    fn from(constant: u32) -> Stored {
        Stored(StoredValue::Constant(constant.into()))
    }
}
