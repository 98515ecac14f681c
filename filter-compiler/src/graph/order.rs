//! Which test comes first, where all of them may be done in any order.

use super::{Builder, Comparison, Graph, Node, Operand, Size, Target, Test, Value};
use crate::ast::BinaryOp;

/// Protocols that most packets have: to ask for them tells little.
const TCP: u32 = 6;
const UDP: u32 = 17;

/// How soon tests are done, the soonest first: what few packets pass, by what is asked of most hosts' traffic. A host
/// that looks for its own address finds it in every packet, but few packets have the port; hardly one is a fragment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Two bytes are some number, or one byte that names no usual protocol.
    Rare,
    /// Four bytes or some of their bits are some number; bits that must be set.
    Some,
    /// Everything else.
    Many,
    /// TCP or UDP.
    Most,
    /// Bits must be clear.
    Nearly,
}

impl Graph {
    /// The same filter with the tests first that few packets pass, where it is several that must all hold.
    ///
    /// Only for a graph whose loads may all be done early: a load beyond the captured bytes then does not reject.
    pub(super) fn rarest_first(self) -> Graph {
        let starts = self.steps();
        if starts.len() < 2 {
            return self;
        }
        let ends = starts.iter().skip(1).copied().chain([self.nodes.len()]);
        let mut steps: Vec<(usize, usize)> = starts.iter().copied().zip(ends).collect();
        steps.sort_by_key(|&(start, end)| self.nodes[start..end].iter().map(|node| self.rank(node)).max());
        let mut builder = Builder::new(self.values, self.nodes.len());
        let mut next = Target::Accept;
        for &(start, end) in steps.iter().rev() {
            let mut built: Vec<Target> = vec![Target::Reject; end - start];
            for at in (start..end).rev() {
                let node = self.nodes[at];
                let moved = |target: Target| match target {
                    Target::Reject => Target::Reject,
                    // To another test of the step, or out of it.
                    Target::Node(id) => built.get(id.index() - start).copied().unwrap_or(next),
                    Target::Accept => next,
                };
                built[at - start] = builder.node(node.test, moved(node.yes), moved(node.no));
            }
            next = built[0];
        }
        builder.finish(next, self.link, self.has_vlan)
    }

    /// Where the tests begin that must all hold: the nodes that every packet comes by which is accepted, the root first.
    fn steps(&self) -> Vec<usize> {
        let mut starts = Vec::new();
        // The furthest that the tests so far lead to.
        let mut reached = 0;
        for (at, node) in self.nodes.iter().enumerate() {
            if reached == at {
                starts.push(at);
            }
            for target in [node.yes, node.no] {
                reached = reached.max(match target {
                    Target::Reject => 0,
                    Target::Node(id) => id.index(),
                    Target::Accept => self.nodes.len(),
                });
            }
        }
        starts
    }

    fn rank(&self, node: &Node) -> Rank {
        let size = |id| match self.values.get(id) {
            Value::Load { size, .. } => Some(size),
            Value::Binary { op: BinaryOp::And, .. } => Some(Size::Word),
            _ => None,
        };
        match node.test {
            Test::Compare { op: Comparison::Equal, left, right: Operand::Const(number) } => match size(left) {
                _ if node.yes == Target::Reject => Rank::Nearly,
                Some(Size::Byte) if [TCP, UDP].contains(&number) => Rank::Most,
                Some(Size::Byte | Size::Half) => Rank::Rare,
                Some(Size::Word) => Rank::Some,
                None => Rank::Many,
            },
            Test::Bits { .. } if node.yes == Target::Reject => Rank::Nearly,
            Test::Bits { .. } => Rank::Some,
            _ => Rank::Many,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::names::Builtin;
    use crate::{LinkType, compile};

    fn plain(text: &str) -> String {
        let graph = compile(text, LinkType::En10Mb, &Builtin).expect("an expression");
        graph.for_plain_ipv4().expect("no index is computed").0.to_string()
    }

    #[test]
    fn ports_come_before_hosts_and_hosts_before_usual_protocols() {
        assert_eq!(
            plain("host 10.0.0.2 and udp port 53"),
            "n0: u16[34] == 0x35 ? n2 : n1\n\
             n1: u16[36] == 0x35 ? n2 : reject\n\
             n2: u32[26] == 0xa000002 ? n4 : n3\n\
             n3: u32[30] == 0xa000002 ? n4 : reject\n\
             n4: u8[23] == 0x11 ? n5 : reject\n\
             n5: u16[20] & 0x1fff != 0 ? reject : accept\n"
        );
        assert_eq!(
            plain("src host 10.0.0.2 and icmp"),
            "n0: u8[23] == 0x1 ? n1 : reject\nn1: u32[26] == 0xa000002 ? accept : reject\n"
        );
    }

    #[test]
    fn what_holds_alone_stays_as_it_is() {
        assert_eq!(
            plain("src host 10.0.0.2 or icmp"),
            "n0: u32[26] == 0xa000002 ? accept : n1\nn1: u8[23] == 0x1 ? accept : reject\n"
        );
    }
}
