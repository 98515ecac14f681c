//! What was typed: the tree of an expression, with the place of every part.
//!
//! `Display` writes it fully parenthesised, with inherited qualifiers filled in.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::Span;
pub use crate::words::Protocol;

/// A parsed expression. The empty one accepts every packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ast {
    /// The expression; `None` if the text is blank.
    pub root: Option<Expr>,
    pub(crate) text: String,
}

/// A boolean expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expr {
    /// `a and b or c`: one level of precedence, from left to right.
    Chain {
        /// The first operand.
        first: Box<Expr>,
        /// Operators and the operands right of them.
        rest: Vec<(Join, Expr)>,
    },
    /// `not a`
    Not(Box<Expr>),
    /// A test.
    Test(Test),
}

/// A boolean operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Join {
    /// `and`
    And,
    /// `or`
    Or,
}

/// One test and its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Test {
    /// What is tested.
    pub kind: TestKind,
    /// From its first word, or from the bare id whose qualifiers are inherited.
    pub span: Span,
}

/// What is tested.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TestKind {
    /// `tcp dst port 80`
    Id {
        /// What kind of thing the id is.
        qualifier: Qualifier,
        /// The id.
        id: Id,
        /// Place of the id alone.
        at: Span,
    },
    /// `tcp`
    Protocol(Protocol),
    /// `ip[0] & 15 > 5`
    Relation(Box<Relation>),
    /// `ether broadcast`
    Broadcast(Option<Protocol>),
    /// `ip6 multicast`
    Multicast(Option<Protocol>),
    /// `less 64`
    Less(u32),
    /// `greater 64`
    Greater(u32),
    /// `byte 0 & 1`
    Byte {
        /// Which byte.
        index: u32,
        /// `& | < > =`
        op: ByteOp,
        /// The other operand.
        value: u32,
    },
    /// `inbound`
    Inbound,
    /// `outbound`
    Outbound,
    /// `ifindex 2`
    IfIndex(u32),
    /// `vlan 100`
    Vlan(Option<u32>),
    /// `mpls 1000`
    Mpls(Option<u32>),
    /// `pppoed`
    PppoeD,
    /// `pppoes 1`
    PppoeS(Option<u32>),
    /// `geneve 1`
    Geneve(Option<u32>),
    /// `vxlan 1`
    Vxlan(Option<u32>),
    /// `llc s`
    Llc(Option<String>),
}

/// What kind of thing an id is. Missing parts are left to the meaning of the rest.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Qualifier {
    /// `tcp`
    pub protocol: Option<Protocol>,
    /// `src`
    pub direction: Option<Direction>,
    /// `port`
    pub kind: Option<Kind>,
    /// Place of the protocol, direction and kind words.
    pub span: Span,
}

/// Which of two addresses or ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// `src`
    Source,
    /// `dst`
    Destination,
    /// `src or dst`, also if nothing was said
    Either,
    /// `src and dst`
    Both,
}

/// The kind of an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `host`, also if nothing was said
    Host,
    /// `net`
    Net,
    /// `port`
    Port,
    /// `portrange`
    PortRange,
    /// `proto`
    Proto,
    /// `protochain`
    ProtoChain,
    /// `gateway`
    Gateway,
}

/// A name, number or address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Id {
    /// A name that somebody has to look up.
    Name(String),
    /// A number.
    Number(u32),
    /// `10.1`: 16, 24 or 32 bits of an address.
    Ipv4(Ipv4Addr, u8),
    /// `10.0.0.0/8`
    Ipv4Prefix(Ipv4Addr, u32),
    /// `10.0 mask 255.255`
    Ipv4Mask(Ipv4Addr, Ipv4Addr),
    /// `::1`
    Ipv6(Ipv6Addr),
    /// `fe80::/10`
    Ipv6Prefix(Ipv6Addr, u32),
    /// `0:1:2:3:4:5`
    Mac([u8; 6]),
    /// `1.300`, after `decnet`
    Decnet {
        /// Before the dot.
        area: u32,
        /// After the dot.
        node: u32,
    },
}

/// The operator of `byte`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ByteOp {
    /// `&`: any common bit
    And,
    /// `|`: any bit in one of them
    Or,
    /// `<`
    Less,
    /// `>`
    Greater,
    /// `=`
    Equal,
}

/// A comparison of two numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Relation {
    /// The operator.
    pub op: Relop,
    /// Left of it.
    pub left: Arith,
    /// Right of it.
    pub right: Arith,
}

/// The operator of a comparison; all are unsigned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relop {
    /// `=`, `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// An arithmetic expression: every operand stands before its operator in the list, the result is the last one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Arith {
    /// The parts; operands are positions in this list.
    pub parts: Vec<ArithPart>,
}

/// One operand or operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArithPart {
    /// What it is.
    pub kind: ArithKind,
    /// Its place, with its operands.
    pub span: Span,
}

/// An operand or operation; all numbers are unsigned, 32 bits, and wrap around.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ArithKind {
    /// A number.
    Number(u32),
    /// `len`
    Length,
    /// `ip[index:size]`
    Load {
        /// The protocol whose header the index counts from.
        protocol: Protocol,
        /// Position of the index.
        index: usize,
        /// Bytes: 1, 2 or 4.
        size: u32,
    },
    /// `-x`
    Negate(usize),
    /// `x + y`
    Binary(BinaryOp, usize, usize),
}

/// An arithmetic operator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`: a zero divisor rejects the packet
    Divide,
    /// `%`: a zero divisor rejects the packet
    Modulus,
    /// `&`
    And,
    /// `|`
    Or,
    /// `^`
    Xor,
    /// `<<`: more than 31 gives 0
    ShiftLeft,
    /// `>>`: more than 31 gives 0
    ShiftRight,
}

impl BinaryOp {
    /// The operator as it is typed.
    pub fn text(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::Modulus => "%",
            BinaryOp::And => "&",
            BinaryOp::Or => "|",
            BinaryOp::Xor => "^",
            BinaryOp::ShiftLeft => "<<",
            BinaryOp::ShiftRight => ">>",
        }
    }
}

impl fmt::Display for Ast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.as_ref().map_or(Ok(()), |root| root.fmt(f))
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Chain { first, rest } => {
                // Every operator but the last needs a parenthesis opened before the first operand.
                write!(f, "{}{first}", "(".repeat(rest.len()))?;
                for (join, expr) in rest {
                    write!(f, " {} {expr})", if *join == Join::And { "and" } else { "or" })?;
                }
                Ok(())
            }
            Expr::Not(expr) => write!(f, "not {expr}"),
            Expr::Test(test) => test.kind.fmt(f),
        }
    }
}

impl fmt::Display for TestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |f: &mut fmt::Formatter<'_>, word: &str, number: &Option<u32>| match number {
            Some(number) => write!(f, "{word} {number}"),
            None => f.write_str(word),
        };
        let prefix = |protocol: &Option<Protocol>| protocol.map_or(String::new(), |p| format!("{} ", p.text()));
        match self {
            TestKind::Id { qualifier, id, .. } => write!(f, "{qualifier}{id}"),
            TestKind::Protocol(protocol) => f.write_str(protocol.text()),
            TestKind::Relation(relation) => relation.fmt(f),
            TestKind::Broadcast(protocol) => write!(f, "{}broadcast", prefix(protocol)),
            TestKind::Multicast(protocol) => write!(f, "{}multicast", prefix(protocol)),
            TestKind::Less(bytes) => write!(f, "less {bytes}"),
            TestKind::Greater(bytes) => write!(f, "greater {bytes}"),
            TestKind::Byte { index, op, value } => {
                let op = match op {
                    ByteOp::And => "&",
                    ByteOp::Or => "|",
                    ByteOp::Less => "<",
                    ByteOp::Greater => ">",
                    ByteOp::Equal => "=",
                };
                write!(f, "byte {index} {op} {value}")
            }
            TestKind::Inbound => f.write_str("inbound"),
            TestKind::Outbound => f.write_str("outbound"),
            TestKind::IfIndex(index) => write!(f, "ifindex {index}"),
            TestKind::Vlan(tag) => number(f, "vlan", tag),
            TestKind::Mpls(label) => number(f, "mpls", label),
            TestKind::PppoeD => f.write_str("pppoed"),
            TestKind::PppoeS(session) => number(f, "pppoes", session),
            TestKind::Geneve(network) => number(f, "geneve", network),
            TestKind::Vxlan(network) => number(f, "vxlan", network),
            TestKind::Llc(None) => f.write_str("llc"),
            TestKind::Llc(Some(kind)) => write!(f, "llc {kind}"),
        }
    }
}

impl fmt::Display for Qualifier {
    /// The words, each with a space after it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(protocol) = self.protocol {
            write!(f, "{} ", protocol.text())?;
        }
        f.write_str(match self.direction {
            None => "",
            Some(Direction::Source) => "src ",
            Some(Direction::Destination) => "dst ",
            Some(Direction::Either) => "src or dst ",
            Some(Direction::Both) => "src and dst ",
        })?;
        f.write_str(match self.kind {
            None => "",
            Some(Kind::Host) => "host ",
            Some(Kind::Net) => "net ",
            Some(Kind::Port) => "port ",
            Some(Kind::PortRange) => "portrange ",
            Some(Kind::Proto) => "proto ",
            Some(Kind::ProtoChain) => "protochain ",
            Some(Kind::Gateway) => "gateway ",
        })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Name(name) if crate::words::keyword(name).is_some() => write!(f, "\\{name}"),
            Id::Name(name) => f.write_str(name),
            Id::Number(number) => number.fmt(f),
            Id::Ipv4(address, bits) => {
                let parts = address.octets();
                let parts: Vec<String> = parts.iter().take(usize::from(bits / 8)).map(u8::to_string).collect();
                f.write_str(&parts.join("."))
            }
            Id::Ipv4Prefix(address, length) => write!(f, "{address}/{length}"),
            Id::Ipv4Mask(address, mask) => write!(f, "{address} mask {mask}"),
            Id::Ipv6(address) => address.fmt(f),
            Id::Ipv6Prefix(address, length) => write!(f, "{address}/{length}"),
            Id::Decnet { area, node } => write!(f, "{area}.{node}"),
            Id::Mac([a, b, c, d, e, g]) => write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"),
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            Relop::Equal => "=",
            Relop::NotEqual => "!=",
            Relop::Less => "<",
            Relop::LessOrEqual => "<=",
            Relop::Greater => ">",
            Relop::GreaterOrEqual => ">=",
        };
        write!(f, "{} {op} {}", self.left, self.right)
    }
}

impl fmt::Display for Arith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts.len() {
            0 => Ok(()),
            length => self.part(f, length - 1),
        }
    }
}

impl Arith {
    /// Recursion is bounded by the limit on operators.
    fn part(&self, f: &mut fmt::Formatter<'_>, at: usize) -> fmt::Result {
        match self.parts[at].kind {
            ArithKind::Number(number) => write!(f, "{number}"),
            ArithKind::Length => f.write_str("len"),
            ArithKind::Load { protocol, index, size } => {
                write!(f, "{}[", protocol.text())?;
                self.part(f, index)?;
                if size == 1 { f.write_str("]") } else { write!(f, ":{size}]") }
            }
            ArithKind::Negate(operand) => {
                f.write_str("-")?;
                self.part(f, operand)
            }
            ArithKind::Binary(op, left, right) => {
                f.write_str("(")?;
                self.part(f, left)?;
                write!(f, " {} ", op.text())?;
                self.part(f, right)?;
                f.write_str(")")
            }
        }
    }
}
