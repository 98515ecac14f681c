//! The meaning of a tree, computed: what the emitted code is tested against, and how stored data is filtered.

use super::tree::{Cond, Value, extend};

/// Memory that loads read.
pub trait Memory {
    /// `size` (1, 2, 4 or 8) bytes at `address`, as a little-endian number. What cannot be read is 0, as the kernel's
    /// readers have it.
    fn load(&self, address: u64, size: u8) -> u64;
}

/// The value for the object at `root`; `None` if a NULL pointer had to be followed, or for a division by zero.
pub fn value(value: &Value, root: u64, memory: &dyn Memory) -> Option<u64> {
    match value {
        Value::Root => Some(root),
        Value::Const(constant) => Some(*constant),
        Value::Load(load) => {
            let base = self::value(&load.base, root, memory)?;
            if base == 0 {
                return None;
            }
            Some(load.value(memory.load(base.wrapping_add(u64::from(load.offset)), load.size)))
        }
        Value::Unary(op, width, of) => Some(op.apply(*width, self::value(of, root, memory)?)),
        Value::Binary(op, width, left, right) => {
            let left = self::value(left, root, memory)?;
            op.apply(*width, left, self::value(right, root, memory)?)
        }
        Value::Extend { from, signed, to, of } => Some(extend(*from, *signed, *to, self::value(of, root, memory)?)),
        Value::Bool(cond) => try_condition(cond, root, memory).map(u64::from),
    }
}

/// Whether the condition holds for the object at `root`.
pub fn condition(cond: &Cond, root: u64, memory: &dyn Memory) -> bool {
    match cond {
        Cond::Const(holds) => *holds,
        Cond::Compare { .. } => try_condition(cond, root, memory).unwrap_or(false),
        Cond::And(left, right) => condition(left, root, memory) && condition(right, root, memory),
        Cond::Or(left, right) => condition(left, root, memory) || condition(right, root, memory),
    }
}

/// As part of a value, a condition that cannot be computed makes the whole value one.
fn try_condition(cond: &Cond, root: u64, memory: &dyn Memory) -> Option<bool> {
    match cond {
        Cond::Const(holds) => Some(*holds),
        Cond::Compare { op, width, signed, left, right } => {
            let left = value(left, root, memory)?;
            Some(op.holds(*width, *signed, left, value(right, root, memory)?))
        }
        Cond::And(left, right) => Some(try_condition(left, root, memory)? && try_condition(right, root, memory)?),
        Cond::Or(left, right) => Some(try_condition(left, root, memory)? || try_condition(right, root, memory)?),
    }
}
