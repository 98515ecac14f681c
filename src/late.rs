//! The packet expression where programs do not judge the packet: in user space, on the bytes behind the record.
//!
//! Where the kernel does not take the expression as code, programs put the packet's first bytes there, from its link
//! header on if it has one. Where they cannot read the packet at all it is less:
//!
//! Typed loads ([`Memory::Direct`](crate::plan::Memory::Direct)) follow pointers to structures, and `skb->head` is a
//! pointer to bytes. `bpf_skb_output` appends the packet from `skb->data` on, which is behind the IP header where the
//! transport layer has the packet. So the headers of every skb are remembered from where they could be seen until it is
//! freed or shows other ones; what was never seen is counted.

use crate::plan::{Memory, Plan, PlanError};
use crate::record::{APPENDED_BYTES, Field, HEADER_BYTES, Layout, place};
use filter_compiler::cbpf::{End, Meta, Packet, Program};
use filter_compiler::ebpf::Needs;
use filter_compiler::{Graph, to_cbpf};
use std::collections::HashSet;

/// Length of an Ethernet header.
const ETHERNET: usize = 14;
/// Where the type is in it, and behind which tags stand.
const TYPE: usize = 12;
/// `mac_header` of an skb that has none.
const UNSET: u16 = 0xffff;
/// How many packets are remembered: a power of two. Of two that fall on one place the later one stays.
const REMEMBERED: usize = 4096;

/// Decides on records with a packet behind them, and completes those that pass.
pub struct Late {
    layout: Layout,
    filter: Option<Filter>,
    /// Whether the bytes begin with a header, not at `skb->data`.
    from_header: bool,
    /// Which targets are told when a packet is freed.
    frees: Vec<bool>,
    remembered: Vec<Remembered>,
    /// Packets that matched once, and how many there may be; 0 if none is followed.
    followed: HashSet<u64>,
    limit: usize,
    record: Vec<u8>,
    packet: Vec<u8>,
    unseen: u64,
    cut: u64,
}

struct Filter {
    program: Program,
    /// Whether it reads more of the link header than the type.
    needs_link: bool,
    has_vlan: bool,
}

/// The headers of an skb.
#[derive(Clone, Default)]
struct Remembered {
    skb: u64,
    head: u64,
    network: u16,
    bytes: Vec<u8>,
}

/// [`Field::Place`], read.
struct Lie {
    head: u64,
    data: usize,
    mac: u16,
    network: u16,
    tag: Option<[u8; 4]>,
    tci: u16,
    pkt_type: u8,
}

impl Late {
    /// What the records of `plan` need; `None` if their programs decide.
    pub fn new(plan: &Plan) -> Result<Option<Late>, PlanError> {
        if !plan.layout.has(Field::Place) {
            return Ok(None);
        }
        let filter = plan.filters.packet.as_ref().map(Filter::new).transpose()?;
        let freeing = ["kfree_skb", "consume_skb"];
        let frees = plan.targets.iter().map(|t| t.is_tracepoint && freeing.contains(&t.name.as_str())).collect();
        Ok(Some(Late {
            layout: plan.layout.clone(),
            filter,
            from_header: plan.memory != Memory::Direct,
            frees,
            remembered: vec![Remembered::default(); REMEMBERED],
            followed: HashSet::new(),
            limit: plan.follow_late.map_or(0, |limit| limit as usize),
            record: Vec::new(),
            packet: Vec::new(),
            unseen: 0,
            cut: 0,
        }))
    }

    /// The record at the front of `bytes`, with its headers filled in; `None` if its packet does not match.
    pub fn pass(&mut self, bytes: &[u8]) -> Option<&[u8]> {
        let (record, behind) = bytes.split_at_checked(self.layout.size() as usize)?;
        self.record.clear();
        self.record.extend_from_slice(record);
        let skb = self.layout.number(record, Field::Skb)?;
        let lie = Lie::read(self.layout.bytes(record, Field::Place)?)?;
        let appended = self.layout.bytes(record, Field::Place).and_then(|bytes| part(bytes, place::APPENDED))?;
        let behind = behind.get(..appended.min(u64::from(APPENDED_BYTES)) as usize)?;

        let network = match (lie.network, lie.mac) {
            (0, 0 | UNSET) => 0,
            (0, mac) => usize::from(mac) + ETHERNET,
            (network, _) => usize::from(network),
        };
        let slot = (skb >> 6) as usize % REMEMBERED;
        let start = match self.from_header {
            true if lie.is_real() => usize::from(lie.mac),
            true => network,
            false => lie.data,
        };
        let seen = network.checked_sub(start).and_then(|at| behind.get(at..)).filter(|_| network != 0);
        let known = &mut self.remembered[slot];
        let same = known.skb == skb && known.head == lie.head && usize::from(known.network) == network;
        match seen {
            Some(headers) => {
                known.bytes.clear();
                known.bytes.extend_from_slice(headers);
                (known.skb, known.head, known.network) = (skb, lie.head, network as u16);
            }
            None if network != 0 && same => {}
            None => {
                known.skb = 0;
                known.bytes.clear();
                // Not a network packet, or one whose start was never in sight.
                self.unseen += u64::from(network != 0);
            }
        }
        let forget = self
            .layout
            .number(record, Field::Function)
            .and_then(|id| usize::try_from((id as u32).checked_sub(1)?).ok())
            .is_some_and(|index| self.frees.get(index) == Some(&true));
        let headers = std::mem::take(&mut known.bytes);
        if forget {
            known.skb = 0;
        }
        let known = self.followed.contains(&skb);
        let passes = known || self.filter.is_none() || self.matches(&lie, start, &headers, behind);
        if forget {
            self.followed.remove(&skb);
        } else if passes && !known && self.followed.len() < self.limit {
            self.followed.insert(skb);
        }
        self.complete(&headers);
        self.remembered[slot].bytes = headers;
        passes.then_some(&self.record[..])
    }

    /// How many packets were not shown although they may match: the expression needs bytes that did not come along.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// How many packets were not shown because their headers were never in sight.
    pub fn unseen(&self) -> u64 {
        self.unseen
    }

    fn complete(&mut self, headers: &[u8]) {
        if let Some(at) = self.layout.offset(Field::HeaderLen) {
            self.record[at as usize..][..4].copy_from_slice(&(headers.len() as u32).to_ne_bytes());
        }
        if let Some(at) = self.layout.offset(Field::Headers) {
            let count = headers.len().min(HEADER_BYTES as usize);
            self.record[at as usize..][..count].copy_from_slice(&headers[..count]);
        }
    }

    /// Runs the expression on the packet: with its link header if that can be seen, else with one that has only a type,
    /// as the programs do that can read (`program::locate`).
    fn matches(&mut self, lie: &Lie, start: usize, headers: &[u8], behind: &[u8]) -> bool {
        let Some(filter) = &self.filter else { return true };
        let number = |field| self.layout.number(&self.record, field).unwrap_or(0);
        let is_real = lie.is_real();
        let link = usize::from(lie.mac).checked_sub(start).and_then(|at| behind.get(at..)).filter(|_| is_real);
        // The length counts from data; what is in front of it was pulled already.
        let (data, packet) = (lie.data as i64, &mut self.packet);
        packet.clear();
        let first = match link {
            Some(bytes) => {
                packet.extend_from_slice(bytes);
                i64::from(lie.mac)
            }
            None if filter.needs_link || headers.is_empty() => return false,
            None => {
                let kind = match (is_real, headers[0] >> 4) {
                    (true, _) => (number(Field::Protocol) as u16).to_ne_bytes(),
                    (false, 4) => 0x0800u16.to_be_bytes(),
                    (false, 6) => 0x86ddu16.to_be_bytes(),
                    _ => return false,
                };
                packet.extend_from_slice(&[0; TYPE]);
                packet.extend_from_slice(&kind);
                packet.extend_from_slice(headers);
                if is_real { i64::from(lie.mac) } else { i64::from(lie.network) }
            }
        };
        let mut length = number(Field::Len) as i64 + data - first;
        if let Some(tag) = lie.tag.filter(|_| filter.has_vlan && packet.len() >= TYPE) {
            packet.splice(TYPE..TYPE, tag);
            length += 4;
        }
        let meta =
            Meta { pkt_type: lie.pkt_type, ifindex: number(Field::Ifindex) as u32, vlan_tag: lie.tag.map(|_| lie.tci) };
        let wire_len = length.clamp(0, i64::from(u32::MAX)) as u32;
        let outcome = filter.program.run(&Packet { data: packet, wire_len, meta });
        self.cut += u64::from(outcome.end == End::NoSuchByte && (packet.len() as u64) < u64::from(wire_len));
        outcome.accepted()
    }
}

impl Filter {
    fn new(graph: &Graph) -> Result<Filter, PlanError> {
        let fixed = Needs::of(graph).fixed;
        let in_header = |offset: u32| (offset as usize) < ETHERNET && offset as usize != TYPE;
        Ok(Filter {
            program: to_cbpf(graph).map_err(PlanError::Expression)?,
            needs_link: fixed.iter().any(|span| in_header(span.offset)),
            has_vlan: graph.has_vlan(),
        })
    }
}

/// The number in a part of [`Field::Place`].
fn part(bytes: &[u8], (at, size): (u32, u32)) -> Option<u64> {
    let bytes = bytes.get(at as usize..(at + size) as usize)?;
    Some(match bytes.len() {
        1 => bytes[0].into(),
        2 => u16::from_ne_bytes(bytes.try_into().ok()?).into(),
        4 => u32::from_ne_bytes(bytes.try_into().ok()?).into(),
        _ => u64::from_ne_bytes(bytes.try_into().ok()?),
    })
}

impl Lie {
    /// Whether there is a link header, as `program::locate` has it.
    fn is_real(&self) -> bool {
        let distance = i32::from(self.network) - i32::from(self.mac);
        self.mac != UNSET && (self.network == 0 || matches!(distance, 14 | 18 | 22))
    }

    fn read(bytes: &[u8]) -> Option<Lie> {
        let part = |which| part(bytes, which);
        let proto = part(place::VLAN_PROTO)? as u16;
        let tci = part(place::VLAN_TCI)? as u16;
        let [a, b] = proto.to_ne_bytes();
        let [c, d] = tci.to_be_bytes();
        let tag = (part(place::VLAN_PRESENT)? != 0).then_some([a, b, c, d]);
        Some(Lie {
            head: part(place::HEAD)?,
            data: part(place::DATA)? as usize,
            mac: part(place::MAC)? as u16,
            network: part(place::NETWORK)? as u16,
            tag,
            tci,
            pkt_type: part(place::PKT_TYPE)? as u8 & 7,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Identity;
    use filter_compiler::LinkType;
    use filter_compiler::names::Builtin;

    const SKB: u64 = 0xffff_8881_0000_4100;
    const CONSUME: u64 = 2;

    /// A packet's way: Ethernet, IPv4, UDP from 10.0.0.1:40000 to 10.0.0.2:53.
    fn frame() -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00]);
        frame.extend([0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x9c, 0x40, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]);
        frame
    }

    struct Hit {
        skb: u64,
        function: u64,
        /// Where `data` is in the buffer, which has 64 bytes in front of the frame.
        data: usize,
        mac: u16,
        network: u16,
    }

    impl Hit {
        fn at(data: usize) -> Hit {
            Hit { skb: SKB, function: 1, data, mac: 64, network: 78 }
        }

        fn record(&self, layout: &Layout) -> Vec<u8> {
            let mut buffer = vec![0xee; 64];
            buffer.extend(frame());
            let behind = &buffer[self.data..];
            let mut record = vec![0; layout.room() as usize];
            let mut put = |field, value: &[u8]| {
                let at = layout.offset(field).expect("the field is recorded") as usize;
                record[at..at + value.len()].copy_from_slice(value);
            };
            put(Field::Skb, &self.skb.to_ne_bytes());
            put(Field::Function, &self.function.to_ne_bytes());
            put(Field::Len, &(behind.len() as u32).to_ne_bytes());
            put(Field::Protocol, &0x0800u16.to_be_bytes());
            let mut lie = [0; 24];
            lie[..8].copy_from_slice(&0xffff_8881_2222_0000u64.to_ne_bytes());
            lie[8..12].copy_from_slice(&(self.data as u32).to_ne_bytes());
            lie[12..14].copy_from_slice(&self.mac.to_ne_bytes());
            lie[14..16].copy_from_slice(&self.network.to_ne_bytes());
            lie[22..24].copy_from_slice(&(behind.len() as u16).to_ne_bytes());
            put(Field::Place, &lie);
            let size = layout.size() as usize;
            record[size..size + behind.len()].copy_from_slice(behind);
            record
        }
    }

    fn late(expression: &str, limit: usize) -> Late {
        let fields = [Field::Place, Field::Len, Field::Ifindex, Field::Protocol, Field::Headers];
        let graph = filter_compiler::compile(expression, LinkType::En10Mb, &Builtin).expect("an expression");
        Late {
            layout: Layout::new(&fields, Identity::Index),
            filter: Some(Filter::new(&graph).expect("a filter")),
            from_header: false,
            frees: vec![false, true],
            remembered: vec![Remembered::default(); REMEMBERED],
            followed: HashSet::new(),
            limit,
            record: Vec::new(),
            packet: Vec::new(),
            unseen: 0,
            cut: 0,
        }
    }

    fn passes(late: &mut Late, hit: &Hit) -> bool {
        let record = hit.record(&late.layout.clone());
        late.pass(&record).is_some()
    }

    #[test]
    fn headers_in_front_of_data_are_remembered_until_the_end() {
        let mut late = late("host 10.0.0.2 and udp port 53", 0);
        // Nobody has seen its start yet.
        assert!(!passes(&mut late, &Hit::at(98)));
        assert_eq!(late.unseen(), 1);
        // At the network header, then behind it.
        assert!(passes(&mut late, &Hit::at(78)) && passes(&mut late, &Hit::at(98)) && passes(&mut late, &Hit::at(106)));
        // Another skb, and the same one with its headers elsewhere, are strangers.
        assert!(!passes(&mut late, &Hit { skb: SKB + 0x1000, ..Hit::at(98) }));
        assert!(!passes(&mut late, &Hit { network: 82, ..Hit::at(98) }));
        assert!(passes(&mut late, &Hit::at(64)), "from the link header on");
        assert!(passes(&mut late, &Hit { function: CONSUME, ..Hit::at(98) }));
        assert!(!passes(&mut late, &Hit::at(98)), "it was freed");
    }

    #[test]
    fn records_are_completed() {
        let mut late = late("udp", 0);
        let record = Hit::at(64).record(&late.layout.clone());
        let layout = late.layout.clone();
        let record = late.pass(&record).expect("it matches");
        assert_eq!(layout.number(record, Field::HeaderLen), Some(32));
        assert_eq!(layout.bytes(record, Field::Headers).map(|bytes| &bytes[..20]), Some(&frame()[14..34]));
    }

    #[test]
    fn link_headers_match_where_they_are_in_sight() {
        for (expression, at_link, at_network) in [
            ("ether src 00:00:00:00:00:00", true, false),
            ("ether proto 0x800", true, true),
            ("ether proto 0x806", false, false),
            ("len = 46", true, true),
            ("udp[8:4] = 0x01020304", true, true),
            ("vlan", false, false),
        ] {
            assert_eq!(passes(&mut late(expression, 0), &Hit::at(64)), at_link, "{expression} at the link header");
            assert_eq!(
                passes(&mut late(expression, 0), &Hit::at(78)),
                at_network,
                "{expression} at the network header"
            );
        }
    }

    #[test]
    fn what_matched_once_is_followed() {
        let mut late = late("ether src 00:00:00:00:00:00", 1);
        assert!(!passes(&mut late, &Hit::at(78)));
        assert!(passes(&mut late, &Hit::at(64)) && passes(&mut late, &Hit::at(78)));
        assert!(passes(&mut late, &Hit { function: CONSUME, ..Hit::at(98) }));
        assert!(!passes(&mut late, &Hit::at(78)));
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic() {
        let mut late = late("ip6 protochain 17 or tcp[((tcp[12] & 0xf0) >> 2):4] = 1 or vlan 5", 2);
        let room = late.layout.room() as usize;
        let mut state = 1u64;
        for round in 0..2000 {
            let bytes: Vec<u8> = (0..room + 3)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8 & if round % 2 == 0 { 0xff } else { 0x3f }
                })
                .collect();
            late.pass(&bytes[..room - round % 7]);
        }
    }
}
