//! Record bytes to an [`Event`]: numbers only, no names, no allocation.
//!
//! The packet's addresses and ports are found here, in user space, in the header bytes that the record carries: a
//! program in the kernel would have to walk IPv6 extension headers under the verifier's rules, at every hit.

use std::fmt;

use crate::record::{Field, Layout, NO_REASON};

/// One hit of one function: what a record says, in the byte order of the host.
///
/// A field that this run does not record is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Which function was hit.
    pub function: Function,
    /// Address of the `struct sk_buff`.
    pub skb: u64,
    /// Thread group id of the task on whose CPU time the function ran.
    pub pid: u32,
    /// Number of the CPU.
    pub cpu: u32,
    /// Records lost on this CPU before this one; wraps.
    pub lost: u32,
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub time: u64,
    /// Command name of the task, NUL-padded.
    pub comm: [u8; 16],
    /// `enum skb_drop_reason`, for functions that take one.
    pub reason: Option<u32>,
    /// The address that the function returns to.
    pub caller: u64,
    /// What the skb and its device say about the packet.
    pub meta: Meta,
    /// `__sk_buff->cb[]`.
    pub cb: [u32; 5],
    /// Addresses and ports.
    pub tuple: Tuple,
}

/// The function that was hit, see [`Field::Function`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Function {
    /// The kernel did not say.
    #[default]
    Unknown,
    /// Index into the plan's targets.
    Index(u32),
    /// Address of the probed instruction.
    Address(u64),
}

/// What the skb and its device say about the packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Inode number of the network namespace, 0 if unknown.
    pub netns: u32,
    /// `skb->mark`.
    pub mark: u32,
    /// Index of the interface within `netns`, 0 without a device.
    pub ifindex: u32,
    /// `skb->len`, in bytes.
    pub len: u32,
    /// MTU of the route or else of the device, in bytes.
    pub mtu: u32,
    /// EtherType.
    pub protocol: u16,
}

/// Addresses and ports of a packet, as far as its captured headers tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuple {
    /// Addresses.
    pub network: Network,
    /// IP protocol number of the payload, behind all IPv6 extension headers that could be read; 0 if unknown.
    pub protocol: u8,
    /// Ports of TCP, UDP, UDP-Lite, DCCP and SCTP. `None` for other protocols, for a header that was not captured,
    /// and for a fragment other than the first, whose payload is no header.
    pub ports: Option<Ports>,
    /// Flags of the TCP header, lowest bit FIN; 0 where there is none.
    pub tcp_flags: u8,
}

/// Addresses of a packet, in the byte order of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Neither IP nor ARP, or not captured.
    #[default]
    Unknown,
    /// IPv4.
    Ipv4 {
        /// Where it comes from.
        source: [u8; 4],
        /// Where it goes.
        destination: [u8; 4],
    },
    /// IPv6.
    Ipv6 {
        /// Where it comes from.
        source: [u8; 16],
        /// Where it goes.
        destination: [u8; 16],
    },
    /// ARP for IPv4.
    Arp {
        /// IPv4 address of the sender.
        sender: [u8; 4],
        /// IPv4 address that is asked for or answered.
        target: [u8; 4],
    },
}

/// Source and destination port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Port of the sender.
    pub source: u16,
    /// Port of the receiver.
    pub destination: u16,
}

/// IP protocol numbers (IANA) that are treated specially here or have a name in the output.
pub mod protocol {
    #![allow(missing_docs)]
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const IPIP: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const DCCP: u8 = 33;
    pub const IPV6: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const NO_NEXT_HEADER: u8 = 59;
    pub const DESTINATION_OPTIONS: u8 = 60;
    pub const OSPF: u8 = 89;
    pub const PIM: u8 = 103;
    pub const VRRP: u8 = 112;
    pub const SCTP: u8 = 132;
    pub const MOBILITY: u8 = 135;
    pub const UDPLITE: u8 = 136;
    pub const HIP: u8 = 139;
    pub const SHIM6: u8 = 140;
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_QINQ: u16 = 0x88a8;

/// Why a record could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The record is shorter than its layout.
    Short {
        /// Bytes that are there.
        have: usize,
        /// Bytes that the layout needs.
        need: u32,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Short { have, need } => write!(f, "a record of {have} bytes where the layout has {need}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads `record`, which was written by a program built for `layout`. Bytes after the layout's end are ignored.
pub fn decode(record: &[u8], layout: &Layout) -> Result<Event, DecodeError> {
    let Some(record) = record.get(..layout.size() as usize) else {
        return Err(DecodeError::Short { have: record.len(), need: layout.size() });
    };
    let long = |field| layout.number(record, field).unwrap_or(0);
    let word = |field| long(field) as u32;
    let function = match long(Field::Function) {
        address if address >> 63 != 0 => Function::Address(address),
        index => (index as u32).checked_sub(1).map_or(Function::Unknown, Function::Index),
    };
    let reason = layout.number(record, Field::Reason).filter(|&reason| reason != NO_REASON);
    let protocol = u16::from_be(long(Field::Protocol) as u16);
    let tuple = match layout.bytes(record, Field::Headers) {
        Some(headers) => tuple(&headers[..headers.len().min(word(Field::HeaderLen) as usize)], protocol),
        None => Tuple::default(),
    };
    let mut comm = [0; 16];
    if let Some(bytes) = layout.bytes(record, Field::Comm) {
        comm.copy_from_slice(bytes);
    }
    let mut cb = [0; 5];
    if let Some(bytes) = layout.bytes(record, Field::Cb) {
        for (word, bytes) in cb.iter_mut().zip(bytes.as_chunks().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
    }
    Ok(Event {
        function,
        skb: long(Field::Skb),
        pid: word(Field::Pid),
        cpu: word(Field::Cpu),
        lost: word(Field::Lost),
        time: long(Field::Time),
        comm,
        // The kernel's type is an int-sized enum; the upper half of the register means nothing.
        reason: reason.map(|reason| reason as u32),
        caller: long(Field::Caller),
        meta: Meta {
            netns: word(Field::Netns),
            mark: word(Field::Mark),
            ifindex: word(Field::Ifindex),
            len: word(Field::Len),
            mtu: word(Field::Mtu),
            protocol,
        },
        cb,
        tuple,
    })
}

/// Finds addresses and ports in `headers`, the packet from its network header on. `ethertype` is `skb->protocol`,
/// 0 if unknown: only ARP and 802.1Q need it, since the kernel sets it late on the way out.
pub fn tuple(headers: &[u8], ethertype: u16) -> Tuple {
    match ethertype {
        ETHERTYPE_ARP => arp(headers),
        ETHERTYPE_VLAN | ETHERTYPE_QINQ => tagged(headers),
        _ => ip(headers),
    }
}

/// A packet whose protocol is VLAN. The network header is either the tag's remaining 4 bytes (TCI, then the inner
/// EtherType), as on receive, or already the IP header, as after `vlan_insert_tag` on transmit.
fn tagged(headers: &[u8]) -> Tuple {
    if let Some((&[_, _, high, low], inner)) = headers.split_first_chunk() {
        let ethertype = u16::from_be_bytes([high, low]);
        let version = inner.first().map(|byte| byte >> 4);
        match (ethertype, version) {
            (ETHERTYPE_IPV4, Some(4)) | (ETHERTYPE_IPV6, Some(6)) => return ip(inner),
            (ETHERTYPE_ARP, Some(_)) => return arp(inner),
            // Two tags at most: the kernel dissects no more either.
            (ETHERTYPE_VLAN | ETHERTYPE_QINQ, Some(_)) => {
                if let Some((&[_, _, high, low], inner)) = inner.split_first_chunk() {
                    return match u16::from_be_bytes([high, low]) {
                        ETHERTYPE_ARP => arp(inner),
                        _ => ip(inner),
                    };
                }
            }
            _ => {}
        }
    }
    ip(headers)
}

/// ARP with Ethernet and IPv4 addresses (RFC 826).
fn arp(headers: &[u8]) -> Tuple {
    match headers.first_chunk::<28>() {
        Some(&[0, 1, 8, 0, 6, 4, _, _, _, _, _, _, _, _, a, b, c, d, _, _, _, _, _, _, e, f, g, h]) => {
            Tuple { network: Network::Arp { sender: [a, b, c, d], target: [e, f, g, h] }, ..Tuple::default() }
        }
        _ => Tuple::default(),
    }
}

/// IPv4 or IPv6 by the first four bits, as the kernel's own raw sockets do.
fn ip(headers: &[u8]) -> Tuple {
    match headers.first().map(|byte| byte >> 4) {
        Some(4) => ipv4(headers),
        Some(6) => ipv6(headers),
        _ => Tuple::default(),
    }
}

fn ipv4(headers: &[u8]) -> Tuple {
    let Some(header) = headers.first_chunk::<20>() else { return Tuple::default() };
    let [first, _, _, _, _, _, frag_high, frag_low, _, protocol, _, _, a, b, c, d, e, f, g, h] = *header;
    let network = Network::Ipv4 { source: [a, b, c, d], destination: [e, f, g, h] };
    let options = usize::from(first & 0xf) * 4;
    let is_first = u16::from_be_bytes([frag_high, frag_low]) & 0x1fff == 0;
    let payload = if is_first && options >= 20 { headers.get(options..).unwrap_or_default() } else { &[] };
    transport(network, protocol, payload)
}

fn ipv6(headers: &[u8]) -> Tuple {
    let Some((header, mut payload)) = headers.split_first_chunk::<40>() else { return Tuple::default() };
    let (mut source, mut destination) = ([0; 16], [0; 16]);
    source.copy_from_slice(&header[8..24]);
    destination.copy_from_slice(&header[24..40]);
    let network = Network::Ipv6 { source, destination };
    let mut next = header[6];
    // Each round consumes at least 8 bytes, so this ends.
    loop {
        let length = match (next, payload) {
            (
                protocol::HOP_BY_HOP
                | protocol::ROUTING
                | protocol::DESTINATION_OPTIONS
                | protocol::MOBILITY
                | protocol::HIP
                | protocol::SHIM6,
                [_, units, ..],
            ) => (usize::from(*units) + 1) * 8,
            // RFC 4302: its length counts words of 4 bytes, less 2.
            (protocol::AH, [_, units, ..]) => (usize::from(*units) + 2) * 4,
            (protocol::FRAGMENT, [_, _, high, low, ..]) => {
                if u16::from_be_bytes([*high, *low]) & 0xfff8 != 0 {
                    return transport(network, payload[0], &[]);
                }
                8
            }
            (
                protocol::HOP_BY_HOP
                | protocol::ROUTING
                | protocol::DESTINATION_OPTIONS
                | protocol::MOBILITY
                | protocol::HIP
                | protocol::SHIM6
                | protocol::AH
                | protocol::FRAGMENT,
                _,
            ) => return transport(network, 0, &[]),
            _ => return transport(network, next, payload),
        };
        next = payload[0];
        payload = payload.get(length..).unwrap_or_default();
    }
}

/// Ports and flags at the start of `payload`, empty if they cannot be seen.
fn transport(network: Network, protocol: u8, payload: &[u8]) -> Tuple {
    let has_ports =
        matches!(protocol, protocol::TCP | protocol::UDP | protocol::UDPLITE | protocol::DCCP | protocol::SCTP);
    let ports = match payload.first_chunk() {
        Some(&[a, b, c, d]) if has_ports => {
            Some(Ports { source: u16::from_be_bytes([a, b]), destination: u16::from_be_bytes([c, d]) })
        }
        _ => None,
    };
    let tcp_flags = if protocol == protocol::TCP { payload.get(13).copied().unwrap_or(0) } else { 0 };
    Tuple { network, protocol, ports, tcp_flags }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::HEADER_BYTES;
    use crate::record::Identity;

    const SOURCE: [u8; 4] = [10, 0, 0, 1];
    const DESTINATION: [u8; 4] = [10, 0, 0, 2];
    /// Ports 1000 and 80, then a TCP header's rest with SYN and ACK.
    const TCP: [u8; 20] = [0x03, 0xe8, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x12, 0, 0, 0, 0, 0, 0];

    fn v4(protocol: u8, fragment: u16, options: usize, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45 + options as u8, 0, 0, 0, 0, 0];
        packet.extend(fragment.to_be_bytes());
        packet.extend([64, protocol, 0, 0]);
        packet.extend(SOURCE.iter().chain(&DESTINATION));
        packet.extend(vec![1; options * 4]);
        packet.extend(payload);
        packet
    }

    fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
        packet.extend([0xfd; 16].iter().chain(&[0xfe; 16]));
        packet.extend(payload);
        packet
    }

    /// An extension header of `units + 1` times 8 bytes, then `payload`.
    fn extension(next: u8, units: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = vec![0; (usize::from(units) + 1) * 8];
        (header[0], header[1]) = (next, units);
        header.extend(payload);
        header
    }

    const V4: Network = Network::Ipv4 { source: SOURCE, destination: DESTINATION };
    const V6: Network = Network::Ipv6 { source: [0xfd; 16], destination: [0xfe; 16] };
    const WEB: Option<Ports> = Some(Ports { source: 1000, destination: 80 });

    #[track_caller]
    fn check(packet: &[u8], ethertype: u16, network: Network, protocol: u8, ports: Option<Ports>, tcp_flags: u8) {
        assert_eq!(tuple(packet, ethertype), Tuple { network, protocol, ports, tcp_flags });
        for end in 0..packet.len() {
            let cut = tuple(&packet[..end], ethertype);
            assert!(cut.network == network || cut == Tuple::default(), "cut at {end}: {cut:?}");
            assert!(cut.ports == ports || cut.ports.is_none(), "cut at {end}: {cut:?}");
        }
    }

    #[test]
    fn ipv4_ports_are_behind_the_options() {
        check(&v4(6, 0, 0, &TCP), 0x0800, V4, 6, WEB, 0x12);
        check(&v4(6, 0, 10, &TCP), 0, V4, 6, WEB, 0x12);
        for protocol in [17, 33, 132, 136] {
            check(&v4(protocol, 0x4000, 0, &TCP), 0x0800, V4, protocol, WEB, 0);
        }
        for protocol in [1, 2, 47, 50, 51] {
            check(&v4(protocol, 0, 0, &TCP), 0x0800, V4, protocol, None, 0);
        }
        let mut short_ihl = v4(6, 0, 0, &TCP);
        short_ihl[0] = 0x44;
        check(&short_ihl, 0x0800, V4, 6, None, 0);
    }

    #[test]
    fn only_the_first_fragment_has_ports() {
        check(&v4(17, 0x2000, 0, &TCP), 0x0800, V4, 17, WEB, 0);
        check(&v4(17, 0x2001, 0, &TCP), 0x0800, V4, 17, None, 0);
        check(&v4(6, 0x0100, 0, &TCP), 0x0800, V4, 6, None, 0);
        let fragment = |offset: u16| {
            let mut header = vec![17, 0];
            header.extend(offset.to_be_bytes());
            header.extend([0; 4]);
            header.extend(TCP);
            v6(44, &header)
        };
        check(&fragment(1), 0x86dd, V6, 17, WEB, 0);
        check(&fragment(8), 0x86dd, V6, 17, None, 0);
    }

    #[test]
    fn ipv6_extension_headers_are_walked() {
        check(&v6(6, &TCP), 0x86dd, V6, 6, WEB, 0x12);
        for next in [0, 43, 60, 135, 139, 140] {
            check(&v6(next, &extension(6, 0, &TCP)), 0x86dd, V6, 6, WEB, 0x12);
            check(&v6(next, &extension(6, 1, &TCP)), 0x86dd, V6, 6, WEB, 0x12);
        }
        // 24 bytes: (4 + 2) * 4.
        let mut ah = vec![6, 4];
        ah.extend([0; 22]);
        ah.extend(TCP);
        check(&v6(51, &ah), 0x86dd, V6, 6, WEB, 0x12);
        check(&v6(0, &extension(60, 0, &extension(44, 0, &extension(17, 0, &TCP)))), 0x86dd, V6, 17, WEB, 0);
        check(&v6(58, &[128, 0]), 0x86dd, V6, 58, None, 0);
        check(&v6(59, &TCP), 0x86dd, V6, 59, None, 0);
        check(&v6(0, &[6]), 0x86dd, V6, 0, None, 0);
        // The header after it is known, its ports were not captured.
        check(&v6(0, &[6, 30, 0, 0]), 0x86dd, V6, 6, None, 0);
    }

    #[test]
    fn a_vlan_tag_may_be_in_front() {
        let tag = |ethertype: u16, packet: Vec<u8>| {
            let mut tagged = vec![0x40, 5];
            tagged.extend(ethertype.to_be_bytes());
            tagged.extend(packet);
            tagged
        };
        assert_eq!(tuple(&tag(0x0800, v4(6, 0, 0, &TCP)), 0x8100).ports, WEB);
        assert_eq!(tuple(&tag(0x86dd, v6(6, &TCP)), 0x8100).ports, WEB);
        assert_eq!(tuple(&tag(0x8100, tag(0x0800, v4(6, 0, 0, &TCP))), 0x88a8).ports, WEB);
        assert_eq!(tuple(&v4(6, 0, 0, &TCP), 0x8100).ports, WEB, "the tag is before the network header");
        assert_eq!(tuple(&tag(0x88cc, vec![2, 7]), 0x8100), Tuple::default());
    }

    #[test]
    fn arp_is_known_by_its_ethertype() {
        let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 2, 2, 2, 2, 2];
        packet.extend(SOURCE.iter().chain(&[0; 6]).chain(&DESTINATION));
        let arp = Network::Arp { sender: SOURCE, target: DESTINATION };
        check(&packet, 0x0806, arp, 0, None, 0);
        check(&packet, 0, Network::Unknown, 0, None, 0);
        packet[4] = 8;
        check(&packet, 0x0806, Network::Unknown, 0, None, 0);
    }

    #[test]
    fn anything_else_is_empty() {
        for packet in [&[][..], &[0x50; 60], &[0; 60], &[0xff; 60]] {
            assert_eq!(tuple(packet, 0), Tuple::default());
        }
    }

    #[test]
    fn every_field_is_read_from_its_place() {
        let layout = Layout::new(&Field::ALL, Identity::Index);
        let mut record = vec![0u8; layout.size() as usize];
        let mut put = |field, bytes: &[u8]| {
            let at = layout.offset(field).expect("every field is there") as usize;
            record[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(Field::Function, &0x0000_0002_0000_0008u64.to_ne_bytes());
        put(Field::Skb, &0xff37_8120_c189_5a00u64.to_ne_bytes());
        for (field, value) in [(Field::Pid, 11u32), (Field::Cpu, 12), (Field::Lost, 13), (Field::Netns, 14)] {
            put(field, &value.to_ne_bytes());
        }
        for (field, value) in [(Field::Mark, 15u32), (Field::Ifindex, 16), (Field::Len, 17), (Field::Mtu, 18)] {
            put(field, &value.to_ne_bytes());
        }
        put(Field::Time, &19u64.to_ne_bytes());
        put(Field::Comm, b"curl");
        put(Field::Reason, &20u64.to_ne_bytes());
        put(Field::Caller, &21u64.to_ne_bytes());
        put(Field::Protocol, &0x0800u16.to_be_bytes());
        put(Field::Headers, &v4(6, 0, 0, &TCP));
        put(Field::HeaderLen, &28u32.to_ne_bytes());
        put(Field::Cb, &1u32.to_ne_bytes());
        let mut comm = [0; 16];
        comm[..4].copy_from_slice(b"curl");
        let event = decode(&record, &layout).expect("the record is long enough");
        let want = Event {
            function: Function::Index(7),
            skb: 0xff37_8120_c189_5a00,
            pid: 11,
            cpu: 12,
            lost: 13,
            time: 19,
            comm,
            reason: Some(20),
            caller: 21,
            meta: Meta { netns: 14, mark: 15, ifindex: 16, len: 17, mtu: 18, protocol: 0x0800 },
            cb: [1, 0, 0, 0, 0],
            tuple: Tuple { network: V4, protocol: 6, ports: WEB, tcp_flags: 0 },
        };
        assert_eq!(event, want);
        let at = layout.offset(Field::Function).unwrap() as usize;
        record[at..at + 8].copy_from_slice(&0xffff_ffff_8100_0010u64.to_ne_bytes());
        assert_eq!(decode(&record, &layout).unwrap().function, Function::Address(0xffff_ffff_8100_0010));
    }

    #[test]
    fn a_captured_length_beyond_the_window_is_cut() {
        let layout = Layout::new(&[Field::Headers], Identity::Index);
        let mut record = vec![0u8; layout.size() as usize];
        let at = layout.offset(Field::HeaderLen).unwrap() as usize;
        record[at..at + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
        let at = layout.offset(Field::Headers).unwrap() as usize;
        let packet = v4(6, 0, 0, &TCP);
        record[at..at + packet.len()].copy_from_slice(&packet);
        assert!(packet.len() <= HEADER_BYTES as usize);
        assert_eq!(decode(&record, &layout).unwrap().tuple.ports, WEB);
    }

    #[test]
    fn a_short_record_is_refused() {
        let layout = Layout::new(&[], Identity::Index);
        assert_eq!(decode(&[0; 31], &layout), Err(DecodeError::Short { have: 31, need: 32 }));
        assert_eq!(decode(&[0; 40], &layout).unwrap().function, Function::Unknown);
    }

    #[test]
    fn no_reason_is_none() {
        let layout = Layout::new(&[Field::Reason], Identity::Index);
        let mut record = vec![0u8; layout.size() as usize];
        assert_eq!(decode(&record, &layout).unwrap().reason, Some(0));
        let at = layout.offset(Field::Reason).unwrap() as usize;
        record[at..at + 8].copy_from_slice(&NO_REASON.to_ne_bytes());
        assert_eq!(decode(&record, &layout).unwrap().reason, None);
    }
}
