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
    /// nearly all do. It gives the same verdict for those of which all bytes are captured that it loads
    /// ([`Graph::reads`]); where the original rejects what is cut short, it is not to be asked.
    ///
    /// Every load is at a fixed offset, and may be done early. `None` if that cannot be had.
    pub fn for_plain_ipv4(&self) -> Option<Graph> {
        if self.link != LinkType::En10Mb {
            return None;
        }
        let mut values = Values::with_room(self.values.list().len());
        let mut moved: Vec<ValueId> = Vec::with_capacity(self.values.list().len());
        for &value in self.values.list() {
            moved.push(known(&mut values, &moved, value));
        }
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
        (!reads.computed && reads.behind_header.is_none()).then_some(graph)
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
        graph.for_plain_ipv4().map(|graph| graph.to_string())
    }

    #[test]
    fn ports_are_at_fixed_places() {
        let text = plain("udp port 53").expect("no index is computed");
        assert_eq!(
            text,
            "n0: u8[23] == 0x11 ? n1 : reject\n\
             n1: u16[20] & 0x1fff != 0 ? reject : n2\n\
             n2: u16[34] == 0x35 ? accept : n3\n\
             n3: u16[36] == 0x35 ? accept : reject\n"
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
