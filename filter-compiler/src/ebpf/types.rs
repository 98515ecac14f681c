//! Which EtherTypes can match at all: what a caller can ask of `skb->protocol` before it reads a single byte.

use std::collections::BTreeSet;

use crate::LinkType;
use crate::graph::{Base, Comparison, Graph, Operand, Size, Target, Test, Value};

/// Where an Ethernet header has its type.
const TYPE_FIELD: Value = Value::Load { base: Base::Packet, offset: 12, size: Size::Half };

/// `None`: any.
type Types = Option<BTreeSet<u16>>;

pub fn ether_types(graph: &Graph) -> Types {
    if graph.link() != LinkType::En10Mb {
        return None;
    }
    let mut types: Vec<Types> = vec![None; graph.nodes().len()];
    let of = |types: &[Types], target: Target| match target {
        Target::Accept => None,
        Target::Reject => Some(BTreeSet::new()),
        Target::Node(id) => types[id.index()].clone(),
    };
    for (at, node) in graph.nodes().iter().enumerate().rev() {
        let (mut yes, no) = (of(&types, node.yes), of(&types, node.no));
        if let Test::Compare { op: Comparison::Equal, left, right: Operand::Const(number) } = node.test
            && graph.values().get(left) == TYPE_FIELD
        {
            let only = u16::try_from(number).ok().filter(|kind| yes.as_ref().is_none_or(|yes| yes.contains(kind)));
            yes = Some(only.into_iter().collect());
        }
        types[at] = match (yes, no) {
            (Some(yes), Some(no)) => Some(&yes | &no),
            _ => None,
        };
    }
    of(&types, graph.root())
}
