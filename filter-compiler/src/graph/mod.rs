//! What a filter means: tests of packet bytes, each with two ways to go on, ending in accept or reject.
//!
//! There are no cycles; what loops in classic BPF, `protochain`, is one test here. `Display` writes one test per line:
//!
//! ```text
//! n0: u16[12] == 0x800 ? n1 : reject
//! n1: u8[23] == 0x6 ? accept : reject
//! ```

mod assume;
mod build;
mod order;
mod reads;
mod show;
mod value;

pub(crate) use build::Builder;
pub use reads::Reads;
pub use value::{Base, Size, Value, ValueId, Values, fold};

use crate::LinkType;

/// A filter for one link type.
///
/// Nodes stand in topological order: the successors of a node come after it, and every node can be reached.
#[derive(Clone, Debug)]
pub struct Graph {
    pub(crate) link: LinkType,
    pub(crate) root: Target,
    pub(crate) nodes: Vec<Node>,
    pub(crate) values: Values,
    pub(crate) has_vlan: bool,
}

/// Where to go on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// The packet matches.
    Accept,
    /// The packet does not match.
    Reject,
    /// A test decides.
    Node(NodeId),
}

/// Names a node of one graph.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// Position in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A test and what follows.
///
/// The loads in the values of the test happen when the node is reached, not earlier; each one beyond the captured bytes
/// rejects the packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Node {
    /// What is tested.
    pub test: Test,
    /// If it holds.
    pub yes: Target,
    /// If it does not.
    pub no: Target,
}

/// What is tested. Comparisons are unsigned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Test {
    /// A comparison of a value with a constant or with another value.
    Compare {
        /// The operator.
        op: Comparison,
        /// Left of it; never a constant if `right` is one.
        left: ValueId,
        /// Right of it.
        right: Operand,
    },
    /// `value & mask != 0`
    Bits {
        /// The value.
        value: ValueId,
        /// The mask.
        mask: Operand,
    },
    /// `protochain`
    Chain(Chain),
}

/// The operator of a comparison. The missing ones are these with `yes` and `no` exchanged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// Whether it is true of these numbers.
    fn holds(self, left: u32, right: u32) -> bool {
        match self {
            Comparison::Equal => left == right,
            Comparison::Greater => left > right,
            Comparison::GreaterOrEqual => left >= right,
        }
    }
}

/// The right side of a test.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operand {
    /// A constant.
    Const(u32),
    /// A value that is not constant.
    Value(ValueId),
}

/// Whether the chain of headers that starts with an IP header holds `protocol`.
///
/// The loop is libpcap's. With H the offset `header`: A = `[H+9:1]` and X = `4*([H:1]&15)` for IPv4, A = `[H+6:1]` and
/// X = 40 for IPv6. Then, over and over: A == `protocol` is yes; A == 59 is no; for IPv6 an A of 0, 43, 44 or 60 is
/// an extension header, A becomes `[H+X:1]` and X grows by `8*([H+X+1:1]+1)`; an A of 51 is AH, A becomes
/// `[H+X:1]` and X becomes `4*([H+X+1:1]+2)` (becomes, does not grow by: so does libpcap); any other A is no.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Chain {
    /// Which IP header.
    pub version: IpVersion,
    /// Its offset in the packet.
    pub header: u32,
    /// The protocol that is looked for.
    pub protocol: u32,
}

/// A version of the Internet Protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IpVersion {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Test {
    /// Whether the test does more than to compare: its division by zero rejects the packet, or it follows a chain of
    /// headers. It must not be dropped or done earlier or later.
    pub(crate) fn is_fixed(&self, values: &Values) -> bool {
        match *self {
            Test::Chain(_) => true,
            Test::Compare { left, right, .. } | Test::Bits { value: left, mask: right } => {
                values.divides(left) || matches!(right, Operand::Value(right) if values.divides(right))
            }
        }
    }
}

impl Graph {
    /// What packets start with.
    pub fn link(&self) -> LinkType {
        self.link
    }

    /// Where to start.
    pub fn root(&self) -> Target {
        self.root
    }

    /// The tests, successors after predecessors.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The values that the tests name, and perhaps others.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Whether the expression holds `vlan`, so that a tag taken out of the packet has to be put back before.
    pub fn has_vlan(&self) -> bool {
        self.has_vlan
    }
}

impl Target {
    /// The node, unless it is a verdict.
    pub fn node(self) -> Option<NodeId> {
        match self {
            Target::Node(id) => Some(id),
            Target::Accept | Target::Reject => None,
        }
    }
}
