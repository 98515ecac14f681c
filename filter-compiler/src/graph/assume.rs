//! A filter for packets of which something is known already.

use super::{Base, Builder, Graph, Operand, Size, Target, Test, Value, ValueId, Values};
use crate::LinkType;

/// Where an Ethernet header ends.
const PAYLOAD: u32 = 14;
/// Where an Ethernet header has its type.
const TYPE: Value = Value::Load { base: Base::Packet, offset: 12, size: Size::Half };
/// The type of IPv4.
const IPV4: u32 = 0x800;
/// Length of an IPv4 header without options.
const HEADER: u32 = 20;

impl Graph {
    /// The same filter for packets that start with an Ethernet header, of type IPv4, and an IPv4 header of 20 bytes, as
    /// nearly all do, and how many bytes of them must be captured: for such packets it gives the same verdict. The number
    /// counts all loads of the whole filter that such a packet meets, also those that are left out because nothing depends
    /// on them any more: a byte that is not there makes the whole filter reject.
    ///
    /// Every load is at a fixed offset, and may be done early; tests that must all hold are in the order in which they
    /// reject most. `None` if that cannot be had.
    pub fn for_plain_ipv4(&self) -> Option<(Graph, u32)> {
        if self.link != LinkType::En10Mb {
            return None;
        }
        let mut values = Values::with_room(self.values.list().len());
        let mut moved: Vec<ValueId> = Vec::with_capacity(self.values.list().len());
        for &value in self.values.list() {
            moved.push(known(&mut values, &moved, value));
        }
        let met = self.met(&values, &moved);
        let met = self.reads_of(|at| met[at]);
        let mut builder = Builder::new(values, self.nodes.len());
        let mut targets: Vec<Target> = vec![Target::Reject; self.nodes.len()];
        let at = |targets: &[Target], target: Target| target.node().map_or(target, |id| targets[id.index()]);
        let operand = |operand| match operand {
            Operand::Value(id) => Operand::Value(moved[id.index()]),
            number => number,
        };
        for (index, node) in self.nodes.iter().enumerate().rev() {
            let test = match node.test {
                Test::Compare { op, left, right } => {
                    Test::Compare { op, left: moved[left.index()], right: operand(right) }
                }
                Test::Bits { value, mask } => Test::Bits { value: moved[value.index()], mask: operand(mask) },
                chain => chain,
            };
            targets[index] = builder.node(test, at(&targets, node.yes), at(&targets, node.no));
        }
        let root = at(&targets, self.root);
        let graph = crate::optimise::optimise(builder.finish(root, self.link, self.has_vlan));
        let reads = graph.reads();
        if met.computed || reads.computed || reads.behind_header.is_some() {
            return None;
        }
        let behind = met.behind_header.map_or(Some(0), |end| end.checked_add(HEADER))?;
        Some((graph.rarest_first(), met.fixed.map_or(0, |(_, end)| end).max(behind)))
    }
}

impl Graph {
    /// Per node, whether it can be come to where the values are what `moved` makes of them.
    fn met(&self, values: &Values, moved: &[ValueId]) -> Vec<bool> {
        let mut met = vec![false; self.nodes.len()];
        let number = |id: ValueId| values.as_const(moved[id.index()]);
        let operand = |operand| match operand {
            Operand::Value(id) => number(id),
            Operand::Const(number) => Some(number),
        };
        let meet = |met: &mut [bool], target: Target| target.node().into_iter().for_each(|id| met[id.index()] = true);
        meet(&mut met, self.root);
        for (at, node) in self.nodes.iter().enumerate() {
            if !met[at] {
                continue;
            }
            let known = match node.test {
                Test::Compare { op, left, right } => {
                    number(left).zip(operand(right)).map(|(left, right)| op.holds(left, right))
                }
                Test::Bits { value, mask } => number(value).zip(operand(mask)).map(|(value, mask)| value & mask != 0),
                Test::Chain(_) => None,
            };
            for (target, other) in [(node.yes, false), (node.no, true)] {
                if known != Some(other) {
                    meet(&mut met, target);
                }
            }
        }
        met
    }
}

/// The value as it is in such a packet; `moved` has its operands.
fn known(values: &mut Values, moved: &[ValueId], value: Value) -> ValueId {
    match value {
        TYPE => values.constant(IPV4),
        Value::HeaderLength(PAYLOAD) => values.constant(HEADER),
        Value::Load { base: Base::Header(PAYLOAD), offset, size } => match offset.checked_add(HEADER) {
            Some(offset) => values.load(Base::Packet, offset, size),
            None => values.leaf(value),
        },
        Value::Load { base: Base::Index(index), offset, size } => {
            let index = moved[index.index()];
            match values.as_const(index) {
                // The sum of a load does not wrap: this one rejects, and stays as it is.
                Some(number) if number.checked_add(offset).is_none() => {
                    values.leaf(Value::Load { base: Base::Index(index), offset, size })
                }
                _ => values.load(Base::Index(index), offset, size),
            }
        }
        Value::Negate(operand) => values.negate(moved[operand.index()]),
        Value::Binary { op, left, right } => values.binary(op, moved[left.index()], moved[right.index()]),
        other => values.leaf(other),
    }
}

#[cfg(test)]
mod tests {
    use crate::names::Builtin;
    use crate::{LinkType, compile};

    fn plain(text: &str) -> Option<String> {
        let graph = compile(text, LinkType::En10Mb, &Builtin).expect("an expression");
        graph.for_plain_ipv4().map(|(graph, _)| graph.to_string())
    }

    #[test]
    fn ports_are_at_fixed_places() {
        let text = plain("udp port 53").expect("no index is computed");
        assert_eq!(
            text,
            "n0: u16[34] == 0x35 ? n2 : n1\n\
             n1: u16[36] == 0x35 ? n2 : reject\n\
             n2: u8[23] == 0x11 ? n3 : reject\n\
             n3: u16[20] & 0x1fff != 0 ? reject : accept\n"
        );
    }

    #[test]
    fn what_is_known_is_not_tested() {
        assert_eq!(plain("ip6").as_deref(), Some("reject\n"));
        assert_eq!(plain("ip").as_deref(), Some("accept\n"));
        assert_eq!(plain("ether[12:2] & 0xff = 0").as_deref(), Some("accept\n"));
    }

    #[test]
    fn chains_and_computed_offsets_are_not_simplified() {
        assert_eq!(plain("ip protochain 6"), None);
        assert_eq!(plain("ip[ip[8]] = 1"), None);
    }
}
