//! Numbers computed from a packet: an arena in which equal expressions have equal numbers.

use crate::ast::BinaryOp;
use crate::hash::Positions;

/// Names a value of one graph.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// Position in [`super::Graph::values`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An unsigned 32-bit number that depends on nothing but the packet.
///
/// Arithmetic wraps around. A division by zero rejects the packet, a shift by more than 31 gives 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Value {
    /// The number itself.
    Const(u32),
    /// Length of the packet on the wire, in bytes.
    Length,
    /// `PACKET_HOST`, `PACKET_OUTGOING` and so on of `linux/if_packet.h`; not in the packet.
    PacketType,
    /// Number of the interface; not in the packet.
    InterfaceIndex,
    /// `4 * (packet[at] & 15)`: length in bytes of the IPv4 header that starts at `at`. 0 to 60, not checked.
    HeaderLength(u32),
    /// Bytes of the packet, in network byte order. A load beyond the captured bytes rejects the packet.
    Load {
        /// What `offset` counts from.
        base: Base,
        /// In bytes.
        offset: u32,
        /// How many bytes.
        size: Size,
    },
    /// Two's complement.
    Negate(ValueId),
    /// An operation on two values.
    Binary {
        /// The operation.
        op: BinaryOp,
        /// Left operand.
        left: ValueId,
        /// Right operand.
        right: ValueId,
    },
}

/// What the offset of a load counts from. The sum of both does not wrap around: beyond 32 bits it rejects the packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Base {
    /// The start of the packet.
    Packet,
    /// The length of the IPv4 header that starts at this offset: [`Value::HeaderLength`].
    Header(u32),
    /// A computed number of bytes.
    Index(ValueId),
}

/// Size of a load.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Size {
    /// 1 byte
    Byte,
    /// 2 bytes
    Half,
    /// 4 bytes
    Word,
}

impl Size {
    /// In bytes.
    pub fn bytes(self) -> u32 {
        match self {
            Size::Byte => 1,
            Size::Half => 2,
            Size::Word => 4,
        }
    }
}

/// All values of a graph; operands come before what is computed from them.
#[derive(Clone, Debug, Default)]
pub struct Values {
    list: Vec<Value>,
    places: Positions,
    facts: Vec<Facts>,
}

/// What is known about a value whatever the packet.
#[derive(Clone, Copy, Debug)]
struct Facts {
    /// What it cannot exceed.
    max: u32,
    /// How many intermediate results are kept at a time while it is computed.
    cells: u32,
    /// Whether it divides by something that can be zero.
    divides: bool,
}

impl Values {
    /// With room for about `count` values.
    pub(crate) fn with_room(count: usize) -> Values {
        Values {
            list: Vec::with_capacity(count),
            places: Positions::with_room(count),
            facts: Vec::with_capacity(count),
        }
    }

    /// The values, by their number.
    pub fn list(&self) -> &[Value] {
        &self.list
    }

    /// The value.
    pub fn get(&self, id: ValueId) -> Value {
        self.list[id.index()]
    }

    /// The number, if the value is a constant.
    pub fn as_const(&self, id: ValueId) -> Option<u32> {
        match self.get(id) {
            Value::Const(number) => Some(number),
            _ => None,
        }
    }

    /// What the value cannot exceed, whatever the packet.
    pub fn max(&self, id: ValueId) -> u32 {
        self.facts[id.index()].max
    }

    /// How many intermediate results have to be kept at a time while the value is computed.
    pub fn cells(&self, id: ValueId) -> usize {
        self.facts[id.index()].cells as usize
    }

    /// Whether computing the value may reject the packet even if all its bytes are there: by a division by zero.
    pub fn divides(&self, id: ValueId) -> bool {
        self.facts[id.index()].divides
    }

    fn has_division(&self, value: Value) -> bool {
        let divides = |id: ValueId| self.divides(id);
        match value {
            Value::Load { base: Base::Index(index), .. } => divides(index),
            Value::Negate(operand) => divides(operand),
            Value::Binary { op, left, right } => {
                let by_zero = matches!(op, BinaryOp::Divide | BinaryOp::Modulus)
                    && self.as_const(right).is_none_or(|number| number == 0);
                by_zero || divides(left) || divides(right)
            }
            _ => false,
        }
    }

    fn intern(&mut self, value: Value) -> ValueId {
        let id = ValueId(self.places.find_or_add(&self.list, &value) as u32);
        if id.index() < self.list.len() {
            return id;
        }
        let facts = Facts { max: self.bound(value), cells: self.count_cells(value), divides: self.has_division(value) };
        self.list.push(value);
        self.facts.push(facts);
        id
    }

    fn bound(&self, value: Value) -> u32 {
        match value {
            Value::Const(number) => number,
            Value::HeaderLength(_) => 60,
            Value::Load { size: Size::Byte, .. } => 0xff,
            Value::Load { size: Size::Half, .. } => 0xffff,
            Value::PacketType => 0xff,
            Value::Load { .. } | Value::Length | Value::InterfaceIndex | Value::Negate(_) => u32::MAX,
            Value::Binary { op, left, right } => {
                let (a, b) = (self.max(left), self.max(right));
                let ones = |n: u32| u32::MAX.checked_shr(n.leading_zeros()).unwrap_or(0);
                match op {
                    BinaryOp::Add => a.saturating_add(b),
                    BinaryOp::Multiply => a.saturating_mul(b),
                    BinaryOp::And => a.min(b),
                    BinaryOp::Or | BinaryOp::Xor => ones(a | b),
                    BinaryOp::Divide => a,
                    BinaryOp::Modulus => a.min(b.saturating_sub(1)),
                    BinaryOp::Subtract => u32::MAX,
                    BinaryOp::ShiftRight => a >> self.as_const(right).unwrap_or(0).min(31),
                    BinaryOp::ShiftLeft => match self.as_const(right) {
                        Some(count) if count <= a.leading_zeros() => a.checked_shl(count).unwrap_or(0),
                        _ => u32::MAX,
                    },
                }
            }
        }
    }

    /// One operand waits while the other is computed: the one that needs more comes first.
    fn count_cells(&self, value: Value) -> u32 {
        let cells = |id: ValueId| self.facts[id.index()].cells;
        match value {
            Value::Load { base: Base::Index(index), .. } => cells(index),
            Value::Negate(operand) => cells(operand),
            Value::Binary { left, right, .. } if self.as_const(right).is_some() => cells(left),
            Value::Binary { left, right, .. } => {
                let (a, b) = (cells(left), cells(right));
                a.max(b).max(a.min(b) + 1)
            }
            _ => 0,
        }
    }

    /// A constant.
    pub fn constant(&mut self, number: u32) -> ValueId {
        self.intern(Value::Const(number))
    }

    /// A value without operands.
    pub fn leaf(&mut self, value: Value) -> ValueId {
        self.intern(value)
    }

    /// A load; the base is made as simple as it can be.
    pub fn load(&mut self, base: Base, offset: u32, size: Size) -> ValueId {
        let (base, offset) = self.simple_base(base, offset);
        self.intern(Value::Load { base, offset, size })
    }

    /// A load from `anchor + offset`, where constants stay in the anchor: headers that are found in different ways are
    /// then read by the same code.
    pub fn load_anchored(&mut self, anchor: ValueId, offset: u32, size: Size) -> ValueId {
        match self.get(anchor) {
            Value::Const(_) | Value::HeaderLength(_) => self.load(Base::Index(anchor), offset, size),
            _ => self.intern(Value::Load { base: Base::Index(anchor), offset, size }),
        }
    }

    /// `anchor + bytes`, computed from the anchor even where a shorter sum could be found.
    pub fn behind_anchor(&mut self, anchor: ValueId, bytes: u32) -> ValueId {
        let right = self.constant(bytes);
        self.intern(Value::Binary { op: BinaryOp::Add, left: anchor, right })
    }

    fn simple_base(&mut self, base: Base, offset: u32) -> (Base, u32) {
        let Base::Index(index) = base else { return (base, offset) };
        match self.get(index) {
            // What is computed before the program runs wraps around: ip[-1] is the byte before the header.
            Value::Const(number) => (Base::Packet, offset.wrapping_add(number)),
            Value::HeaderLength(at) => (Base::Header(at), offset),
            Value::Binary { op: BinaryOp::Add, left, right } => match self.as_const(right) {
                // Negative indexes wrap when the program runs; only a sum that stays positive can be moved.
                Some(number) => {
                    let sum = offset.wrapping_add(number);
                    let positive = (number as i32) < 0 && sum < offset;
                    let bounded = self.max(left).checked_add(number).is_some() && offset.checked_add(number).is_some();
                    if positive || bounded { self.simple_base(Base::Index(left), sum) } else { (base, offset) }
                }
                None => (base, offset),
            },
            _ => (base, offset),
        }
    }

    /// Two's complement.
    pub fn negate(&mut self, operand: ValueId) -> ValueId {
        match self.get(operand) {
            Value::Const(number) => self.constant(number.wrapping_neg()),
            Value::Negate(inner) => inner,
            _ => self.intern(Value::Negate(operand)),
        }
    }

    /// An operation, folded as far as constants allow.
    ///
    /// A constant zero divisor is left alone: the packet will be rejected when the program gets there.
    pub fn binary(&mut self, op: BinaryOp, left: ValueId, right: ValueId) -> ValueId {
        use BinaryOp::*;
        let (a, b) = (self.as_const(left), self.as_const(right));
        if let (Some(a), Some(b)) = (a, b)
            && let Some(result) = fold(op, a, b)
        {
            return self.constant(result);
        }
        // Constants stand right.
        if a.is_some() && matches!(op, Add | Multiply | And | Or | Xor) {
            return self.binary(op, right, left);
        }
        match (op, b) {
            (Add | Subtract | Or | Xor | ShiftLeft | ShiftRight, Some(0)) | (Multiply | Divide, Some(1)) => {
                return left;
            }
            (Multiply | And, Some(0)) | (Modulus, Some(1)) if !self.divides(left) => return self.constant(0),
            (And, Some(mask)) if covers(mask, self.max(left)) => return left,
            (Subtract, Some(number)) => {
                let negative = self.constant(number.wrapping_neg());
                return self.binary(Add, left, negative);
            }
            _ => {}
        }
        if a == Some(0) && matches!(op, ShiftLeft | ShiftRight) && !self.divides(right) {
            return left;
        }
        if left == right && matches!(op, And | Or) {
            return left;
        }
        // (x + 1) + 2 is x + 3; the same for the other operations that associate.
        if let (Some(b), Value::Binary { op: inner, left: x, right: y }) = (b, self.get(left))
            && inner == op
            && matches!(op, Add | And | Or | Xor | Multiply)
            && let Some(y) = self.as_const(y)
            && let Some(both) = fold(op, y, b)
        {
            let both = self.constant(both);
            return self.binary(op, x, both);
        }
        self.intern(Value::Binary { op, left, right })
    }
}

/// Whether `mask` keeps all bits of the numbers up to `max`.
fn covers(mask: u32, max: u32) -> bool {
    let bits = u32::MAX.checked_shr(max.leading_zeros()).unwrap_or(0);
    mask & bits == bits
}

/// The result of an operation; `None` for a division by zero.
pub fn fold(op: BinaryOp, a: u32, b: u32) -> Option<u32> {
    Some(match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Subtract => a.wrapping_sub(b),
        BinaryOp::Multiply => a.wrapping_mul(b),
        BinaryOp::Divide => a.checked_div(b)?,
        BinaryOp::Modulus => a.checked_rem(b)?,
        BinaryOp::And => a & b,
        BinaryOp::Or => a | b,
        BinaryOp::Xor => a ^ b,
        BinaryOp::ShiftLeft => a.checked_shl(b).unwrap_or(0),
        BinaryOp::ShiftRight => a.checked_shr(b).unwrap_or(0),
    })
}
