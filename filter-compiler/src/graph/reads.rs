//! What a graph reads of a packet, so that a caller can fetch it beforehand.

use super::{Base, Graph, IpVersion, Operand, Test, Value, ValueId};

/// What the tests of a graph read. Offsets count bytes from the start of the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reads {
    /// The bytes at fixed offsets: the first of them, and the first after all of them.
    pub fixed: Option<(u32, u32)>,
    /// For loads behind an IPv4 header of variable length: the largest offset past that length, plus the load's size.
    /// Such a load ends at most 60 bytes after that.
    pub behind_header: Option<u32>,
    /// Whether an offset is computed in some other way, so that nothing bounds it (`protochain` included).
    pub computed: bool,
    /// Whether one of the first twelve bytes is read at a fixed offset: MAC addresses.
    pub mac: bool,
    /// Whether one of the bytes 12 and 13 is read at a fixed offset: the link type field.
    pub link_type: bool,
    /// Whether the length on the wire is used.
    pub length: bool,
    /// Whether the packet type (direction) is used.
    pub packet_type: bool,
    /// Whether the interface is used.
    pub interface: bool,
}

impl Reads {
    fn fixed(&mut self, from: u32, size: u32) {
        let end = from.saturating_add(size);
        self.fixed = Some(match self.fixed {
            None => (from, end),
            Some((first, last)) => (first.min(from), last.max(end)),
        });
        self.mac |= from < 12;
        self.link_type |= from < 14 && end > 12;
    }

    fn value(&mut self, value: Value) {
        match value {
            Value::Length => self.length = true,
            Value::PacketType => self.packet_type = true,
            Value::InterfaceIndex => self.interface = true,
            Value::HeaderLength(at) => self.fixed(at, 1),
            Value::Load { base: Base::Packet, offset, size } => self.fixed(offset, size.bytes()),
            Value::Load { base: Base::Header(at), offset, size } => {
                self.fixed(at, 1);
                let end = offset.saturating_add(size.bytes());
                self.behind_header = Some(self.behind_header.map_or(end, |known| known.max(end)));
            }
            Value::Load { base: Base::Index(_), .. } => self.computed = true,
            Value::Const(_) | Value::Negate(_) | Value::Binary { .. } => {}
        }
    }
}

impl Graph {
    /// What the tests read.
    pub fn reads(&self) -> Reads {
        self.reads_of(|_| true)
    }

    /// What the tests of these nodes read.
    pub(super) fn reads_of(&self, is_meant: impl Fn(usize) -> bool) -> Reads {
        let mut reads = Reads::default();
        for (_, node) in self.nodes.iter().enumerate().filter(|(at, _)| is_meant(*at)) {
            if let Test::Chain(chain) = node.test {
                reads.computed = true;
                let at = if chain.version == IpVersion::V4 { 9 } else { 6 };
                reads.fixed(chain.header.saturating_add(at), 1);
                if chain.version == IpVersion::V4 {
                    reads.fixed(chain.header, 1);
                }
            }
        }
        for (value, _) in self.values.list().iter().zip(self.used_by(&is_meant)).filter(|(_, used)| *used) {
            reads.value(*value);
        }
        reads
    }

    /// Whether some test needs the value.
    pub(crate) fn computes(&self, value: ValueId) -> bool {
        self.used_by(|_| true)[value.index()]
    }

    /// Per value, whether the test of one of these nodes needs it.
    fn used_by(&self, is_meant: impl Fn(usize) -> bool) -> Vec<bool> {
        let mut used = vec![false; self.values.list().len()];
        for (_, node) in self.nodes.iter().enumerate().filter(|(at, _)| is_meant(*at)) {
            let (left, right) = match node.test {
                Test::Compare { left, right, .. } | Test::Bits { value: left, mask: right } => (left, right),
                Test::Chain(_) => continue,
            };
            used[left.index()] = true;
            if let Operand::Value(right) = right {
                used[right.index()] = true;
            }
        }
        // Operands have smaller numbers than what is computed from them.
        for at in (0..used.len()).rev() {
            if used[at] {
                match self.values.list()[at] {
                    Value::Load { base: Base::Index(index), .. } => used[index.index()] = true,
                    Value::Negate(operand) => used[operand.index()] = true,
                    Value::Binary { left, right, .. } => {
                        used[left.index()] = true;
                        used[right.index()] = true;
                    }
                    _ => {}
                }
            }
        }
        used
    }
}
