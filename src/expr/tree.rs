//! What an expression means: loads, operations and comparisons on 64-bit registers. No types are left.
//!
//! A value of 32 bits is held with the upper half zero. Constructors fold constants, so that no operation of a tree has
//! constants for all its operands. Negation is gone: [`Cond::negate`] moves it into the comparisons, where a NULL
//! pointer counts as false.

use std::fmt;

use crate::btf::{Bits, TypeId};

/// How many bits an operation works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 32; the upper half of the result is zero.
    W32,
    /// 64.
    W64,
}

impl Width {
    /// The number of bits.
    pub fn bits(self) -> u32 {
        match self {
            Width::W32 => 32,
            Width::W64 => 64,
        }
    }

    /// `value` with no more bits than this.
    pub fn cut(self, value: u64) -> u64 {
        match self {
            Width::W32 => value & 0xffff_ffff,
            Width::W64 => value,
        }
    }

    /// `value`, of this width, as a signed number.
    pub fn signed(self, value: u64) -> i64 {
        match self {
            Width::W32 => i64::from(value as u32 as i32),
            Width::W64 => value as i64,
        }
    }
}

/// A value that a program computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The address of the object that the expression is about. Never NULL.
    Root,
    /// A constant.
    Const(u64),
    /// What is in memory.
    Load(Load),
    /// An operation on one value.
    Unary(UnaryOp, Width, Box<Value>),
    /// An operation on two values.
    Binary(BinaryOp, Width, Box<Value>, Box<Value>),
    /// The lowest 8, 16 or 32 bits, with their sign or with zeros, to this width.
    Extend {
        /// How many bits are kept.
        from: u8,
        /// Their highest one is repeated.
        signed: bool,
        /// Up to which width.
        to: Width,
        /// What is extended.
        of: Box<Value>,
    },
    /// 1 if the condition holds, else 0.
    Bool(Box<Cond>),
}

/// A load of 1, 2, 4 or 8 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The address of the object that the bytes are in.
    pub base: Box<Value>,
    /// The object's type, without typedefs and qualifiers; 0 if it is not a type's member that is read.
    pub object: TypeId,
    /// Bytes from the object's beginning.
    pub offset: u32,
    /// How many bytes.
    pub size: u8,
    /// The bytes are in network order.
    pub swap: bool,
    /// Which bits of the loaded word are meant.
    pub bits: Option<Bits>,
    /// The result is sign-extended,
    pub signed: bool,
    /// ... to this width.
    pub to: Width,
}

/// Operations on one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-`
    Neg,
    /// `~`
    Not,
}

/// Operations on two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    /// Unsigned; by zero: no value.
    Div,
    /// Unsigned; by zero: no value.
    Rem,
    /// Signed, towards zero; by zero: no value.
    SDiv,
    /// Signed, with the sign of the first; by zero: no value.
    SRem,
    And,
    Or,
    Xor,
    /// By the second modulo the width.
    Shl,
    /// With zeros; by the second modulo the width.
    Shr,
    /// With the sign; by the second modulo the width.
    Sar,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cond {
    /// Always or never.
    Const(bool),
    /// Two values compared; false if one of them cannot be computed.
    Compare {
        /// How.
        op: Cmp,
        /// As numbers of this width,
        width: Width,
        /// ... with sign.
        signed: bool,
        /// The first value.
        left: Value,
        /// The second value.
        right: Value,
    },
    /// Both.
    And(Box<Cond>, Box<Cond>),
    /// One or the other; the second is not computed if the first holds.
    Or(Box<Cond>, Box<Cond>),
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Cmp {
    /// True where this one is false.
    pub fn negate(self) -> Cmp {
        match self {
            Cmp::Eq => Cmp::Ne,
            Cmp::Ne => Cmp::Eq,
            Cmp::Lt => Cmp::Ge,
            Cmp::Le => Cmp::Gt,
            Cmp::Gt => Cmp::Le,
            Cmp::Ge => Cmp::Lt,
        }
    }

    /// The comparison of two numbers of `width` bits.
    pub fn holds(self, width: Width, signed: bool, left: u64, right: u64) -> bool {
        let order = match signed {
            true => width.signed(left).cmp(&width.signed(right)),
            false => width.cut(left).cmp(&width.cut(right)),
        };
        match self {
            Cmp::Eq => order.is_eq(),
            Cmp::Ne => order.is_ne(),
            Cmp::Lt => order.is_lt(),
            Cmp::Le => order.is_le(),
            Cmp::Gt => order.is_gt(),
            Cmp::Ge => order.is_ge(),
        }
    }
}

impl UnaryOp {
    /// The result for a number of `width` bits.
    pub fn apply(self, width: Width, of: u64) -> u64 {
        width.cut(match self {
            UnaryOp::Neg => of.wrapping_neg(),
            UnaryOp::Not => !of,
        })
    }
}

impl BinaryOp {
    /// The result for two numbers of `width` bits; `None` for a division by zero.
    pub fn apply(self, width: Width, left: u64, right: u64) -> Option<u64> {
        let (left, right) = (width.cut(left), width.cut(right));
        let (sleft, sright) = (width.signed(left), width.signed(right));
        let count = (right % u64::from(width.bits())) as u32;
        Some(width.cut(match self {
            BinaryOp::Add => left.wrapping_add(right),
            BinaryOp::Sub => left.wrapping_sub(right),
            BinaryOp::Mul => left.wrapping_mul(right),
            BinaryOp::Div => left.checked_div(right)?,
            BinaryOp::Rem => left.checked_rem(right)?,
            BinaryOp::SDiv if sright == 0 => return None,
            BinaryOp::SDiv => sleft.wrapping_div(sright) as u64,
            BinaryOp::SRem if sright == 0 => return None,
            BinaryOp::SRem => sleft.wrapping_rem(sright) as u64,
            BinaryOp::And => left & right,
            BinaryOp::Or => left | right,
            BinaryOp::Xor => left ^ right,
            BinaryOp::Shl => left << count,
            BinaryOp::Shr => left >> count,
            BinaryOp::Sar => (sleft >> count) as u64,
        }))
    }
}

/// The lowest `from` bits of `value`, extended.
pub fn extend(from: u8, signed: bool, to: Width, value: u64) -> u64 {
    let unused = 64 - u32::from(from.clamp(1, 64));
    let value = value << unused;
    to.cut(if signed { (value as i64 >> unused) as u64 } else { value >> unused })
}

impl Load {
    /// The value that the loaded bytes, as a little-endian number, stand for.
    pub fn value(&self, bytes: u64) -> u64 {
        let bits = self.size * 8;
        let word = extend(bits, false, Width::W64, bytes);
        let word = if self.swap { word.swap_bytes() >> (64 - u32::from(bits)) } else { word };
        let (word, width) = match self.bits {
            Some(Bits { shift, width }) => (word >> shift, width),
            None => (word, bits),
        };
        extend(width, self.signed, self.to, word)
    }
}

impl Value {
    /// An operation on one value.
    pub fn unary(op: UnaryOp, width: Width, of: Value) -> Value {
        match of {
            Value::Const(of) => Value::Const(op.apply(width, of)),
            of => Value::Unary(op, width, Box::new(of)),
        }
    }

    /// An operation on two values. Divisions by a constant zero stay.
    pub fn binary(op: BinaryOp, width: Width, left: Value, right: Value) -> Value {
        use BinaryOp::{Add, And, Mul, Or, Sar, Shl, Shr, Sub, Xor};
        match (op, left, right) {
            (op, Value::Const(left), Value::Const(right)) if op.apply(width, left, right).is_some() => {
                Value::Const(op.apply(width, left, right).unwrap_or(0))
            }
            (Shl | Shr | Sar, left, Value::Const(count)) if count >= u64::from(width.bits()) => {
                Value::binary(op, width, left, Value::Const(count % u64::from(width.bits())))
            }
            (Add | Sub | Or | Xor | Shl | Shr | Sar, left, Value::Const(0)) | (Mul, left, Value::Const(1)) => left,
            (Add | Mul | And | Or | Xor, left @ Value::Const(_), right) => Value::binary(op, width, right, left),
            // `(p + 8) + 4`, as arrays in arrays make it.
            (Add, Value::Binary(Add, inner, of, first), Value::Const(second)) if inner == width => match *first {
                Value::Const(first) => {
                    Value::binary(Add, width, *of, Value::Const(width.cut(first.wrapping_add(second))))
                }
                first => {
                    let left = Value::Binary(Add, width, of, Box::new(first));
                    Value::Binary(Add, width, Box::new(left), Box::new(Value::Const(second)))
                }
            },
            (op, left, right) => Value::Binary(op, width, Box::new(left), Box::new(right)),
        }
    }

    /// The lowest bits of a value.
    pub fn extend(from: u8, signed: bool, to: Width, of: Value) -> Value {
        match of {
            Value::Const(of) => Value::Const(extend(from, signed, to, of)),
            // It has zeros above already.
            Value::Load(load) if !load.signed && load.size < 4 && from == 32 => Value::Load(load),
            of => Value::Extend { from, signed, to, of: Box::new(of) },
        }
    }

    /// 1 or 0.
    pub fn bool(cond: Cond) -> Value {
        match cond {
            Cond::Const(holds) => Value::Const(holds.into()),
            cond => Value::Bool(Box::new(cond)),
        }
    }

    /// Calls `visit` for every load, inner ones first.
    pub fn loads<'a>(&'a self, visit: &mut dyn FnMut(&'a Load)) {
        match self {
            Value::Root | Value::Const(_) => {}
            Value::Load(load) => {
                load.base.loads(visit);
                visit(load);
            }
            Value::Unary(_, _, of) | Value::Extend { of, .. } => of.loads(visit),
            Value::Binary(_, _, left, right) => {
                left.loads(visit);
                right.loads(visit);
            }
            Value::Bool(cond) => cond.loads(visit),
        }
    }
}

impl Cond {
    /// Two values compared.
    pub fn compare(op: Cmp, width: Width, signed: bool, left: Value, right: Value) -> Cond {
        match (left, right) {
            (Value::Const(left), Value::Const(right)) => Cond::Const(op.holds(width, signed, left, right)),
            // A condition that C made a number of, to be tested.
            (Value::Bool(cond), Value::Const(0)) if op == Cmp::Ne => *cond,
            (Value::Bool(cond), Value::Const(0)) if op == Cmp::Eq => cond.negate(),
            (left @ Value::Const(_), right) => {
                let op = match op {
                    Cmp::Lt => Cmp::Gt,
                    Cmp::Le => Cmp::Ge,
                    Cmp::Gt => Cmp::Lt,
                    Cmp::Ge => Cmp::Le,
                    Cmp::Eq | Cmp::Ne => op,
                };
                Cond::compare(op, width, signed, right, left)
            }
            (left, right) => Cond::Compare { op, width, signed, left, right },
        }
    }

    /// Both.
    pub fn and(self, other: Cond) -> Cond {
        match (self, other) {
            (Cond::Const(true), cond) | (cond, Cond::Const(true)) => cond,
            (Cond::Const(false), _) | (_, Cond::Const(false)) => Cond::Const(false),
            (left, right) => Cond::And(Box::new(left), Box::new(right)),
        }
    }

    /// One or the other.
    pub fn or(self, other: Cond) -> Cond {
        match (self, other) {
            (Cond::Const(false), cond) | (cond, Cond::Const(false)) => cond,
            (Cond::Const(true), _) | (_, Cond::Const(true)) => Cond::Const(true),
            (left, right) => Cond::Or(Box::new(left), Box::new(right)),
        }
    }

    /// The opposite, except that a comparison whose values cannot be computed stays false.
    pub fn negate(self) -> Cond {
        match self {
            Cond::Const(holds) => Cond::Const(!holds),
            Cond::Compare { op, width, signed, left, right } => {
                Cond::Compare { op: op.negate(), width, signed, left, right }
            }
            Cond::And(left, right) => left.negate().or(right.negate()),
            Cond::Or(left, right) => left.negate().and(right.negate()),
        }
    }

    /// Calls `visit` for every load, inner ones first.
    pub fn loads<'a>(&'a self, visit: &mut dyn FnMut(&'a Load)) {
        match self {
            Cond::Const(_) => {}
            Cond::Compare { left, right, .. } => {
                left.loads(visit);
                right.loads(visit);
            }
            Cond::And(left, right) | Cond::Or(left, right) => {
                left.loads(visit);
                right.loads(visit);
            }
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (self.swap, self.signed) {
            (true, _) => "be",
            (false, true) => "s",
            (false, false) => "u",
        };
        write!(f, "{kind}{}[{} + {}]", self.size * 8, self.base, self.offset)?;
        match self.bits {
            Some(Bits { shift, width }) => write!(f, ".{shift}..{}", u32::from(shift) + u32::from(width)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Value {
    /// `(a +32 b)` adds 32 bits; `s16(a)` extends with the sign; `u8[root + 4]` loads a byte.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Root => f.write_str("root"),
            Value::Const(value) => write!(f, "{value:#x}"),
            Value::Load(load) => load.fmt(f),
            Value::Unary(op, width, of) => {
                let symbol = if *op == UnaryOp::Neg { "-" } else { "~" };
                write!(f, "{symbol}{}({of})", width.bits())
            }
            Value::Binary(op, width, left, right) => {
                let symbol = match op {
                    BinaryOp::Add => "+",
                    BinaryOp::Sub => "-",
                    BinaryOp::Mul => "*",
                    BinaryOp::Div => "/",
                    BinaryOp::Rem => "%",
                    BinaryOp::SDiv => "s/",
                    BinaryOp::SRem => "s%",
                    BinaryOp::And => "&",
                    BinaryOp::Or => "|",
                    BinaryOp::Xor => "^",
                    BinaryOp::Shl => "<<",
                    BinaryOp::Shr => ">>",
                    BinaryOp::Sar => "s>>",
                };
                write!(f, "({left} {symbol}{} {right})", width.bits())
            }
            Value::Extend { from, signed, to, of } => {
                write!(f, "{}{from}to{}({of})", if *signed { "s" } else { "u" }, to.bits())
            }
            Value::Bool(cond) => write!(f, "bool({cond})"),
        }
    }
}

impl fmt::Display for Cond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cond::Const(holds) => holds.fmt(f),
            Cond::Compare { op, width, signed, left, right } => {
                let symbol = match op {
                    Cmp::Eq => "==",
                    Cmp::Ne => "!=",
                    Cmp::Lt => "<",
                    Cmp::Le => "<=",
                    Cmp::Gt => ">",
                    Cmp::Ge => ">=",
                };
                let sign = if *signed && !matches!(op, Cmp::Eq | Cmp::Ne) { "s" } else { "" };
                write!(f, "{left} {sign}{symbol}{} {right}", width.bits())
            }
            Cond::And(left, right) => write!(f, "({left} && {right})"),
            Cond::Or(left, right) => write!(f, "({left} || {right})"),
        }
    }
}
