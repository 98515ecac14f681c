//! Graphs as text.

use std::fmt;

use super::{Base, Comparison, Graph, IpVersion, Operand, Size, Target, Test, Value, ValueId, Values};
use crate::ast::BinaryOp;

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes.is_empty() {
            return writeln!(f, "{}", self.root);
        }
        for (at, node) in self.nodes.iter().enumerate() {
            writeln!(f, "n{at}: {} ? {} : {}", ShowTest(&self.values, node.test), node.yes, node.no)?;
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Accept => f.write_str("accept"),
            Target::Reject => f.write_str("reject"),
            Target::Node(id) => write!(f, "n{}", id.0),
        }
    }
}

struct ShowTest<'a>(&'a Values, Test);

impl fmt::Display for ShowTest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ShowTest(values, test) = self;
        let operand = |operand: Operand| match operand {
            Operand::Const(number) => format!("{number:#x}"),
            Operand::Value(id) => ShowValue(values, id).to_string(),
        };
        match *test {
            Test::Compare { op, left, right } => {
                let op = match op {
                    Comparison::Equal => "==",
                    Comparison::Greater => ">",
                    Comparison::GreaterOrEqual => ">=",
                };
                write!(f, "{} {op} {}", ShowValue(values, left), operand(right))
            }
            Test::Bits { value, mask } => write!(f, "{} & {} != 0", ShowValue(values, value), operand(mask)),
            Test::Chain(chain) => {
                let version = if chain.version == IpVersion::V4 { "ip" } else { "ip6" };
                write!(f, "{version} at {} leads to protocol {}", chain.header, chain.protocol)
            }
        }
    }
}

struct ShowValue<'a>(&'a Values, ValueId);

impl fmt::Display for ShowValue<'_> {
    /// Recursion is bounded by the limits on operators and nesting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ShowValue(values, id) = *self;
        let show = |id| ShowValue(values, id);
        match values.get(id) {
            Value::Const(number) => write!(f, "{number:#x}"),
            Value::Length => f.write_str("len"),
            Value::PacketType => f.write_str("pkttype"),
            Value::InterfaceIndex => f.write_str("ifindex"),
            Value::HeaderLength(at) => write!(f, "ihl({at})"),
            Value::Load { base, offset, size } => {
                let bits = match size {
                    Size::Byte => 8,
                    Size::Half => 16,
                    Size::Word => 32,
                };
                match base {
                    Base::Packet => write!(f, "u{bits}[{offset}]"),
                    Base::Header(at) => write!(f, "u{bits}[{offset} + ihl({at})]"),
                    // Offsets that wrap around are known to be small and negative.
                    Base::Index(index) if offset > u32::MAX - 0xffff => {
                        write!(f, "u{bits}[{} - {}]", show(index), offset.wrapping_neg())
                    }
                    Base::Index(index) => write!(f, "u{bits}[{offset} + {}]", show(index)),
                }
            }
            Value::Negate(operand) => write!(f, "-{}", show(operand)),
            Value::Binary { op, left, right } => match (op, values.as_const(right)) {
                (BinaryOp::Add, Some(number)) if number > u32::MAX - 0xffff => {
                    write!(f, "({} - {:#x})", show(left), number.wrapping_neg())
                }
                _ => write!(f, "({} {} {})", show(left), op.text(), show(right)),
            },
        }
    }
}
