//! Addresses, ports and protocols as text.

use crate::decode::{Network, Ports, Tuple, protocol};

use super::number::{decimal, hex};

/// `SOURCE:PORT->DESTINATION:PORT(PROTOCOL)`, with the TCP flags behind the protocol if `flags`.
///
/// This is pwru's form. Where pwru leaves the protocol empty we name it, and ARP has its addresses; a part that is not
/// known is empty, and a port that is not known is 0.
pub(super) fn tuple(out: &mut Vec<u8>, tuple: &Tuple, flags: bool) {
    let ports = tuple.ports.unwrap_or(Ports { source: 0, destination: 0 });
    source(out, &tuple.network);
    out.push(b':');
    decimal(out, ports.source.into());
    out.extend_from_slice(b"->");
    destination(out, &tuple.network);
    out.push(b':');
    decimal(out, ports.destination.into());
    out.push(b'(');
    out.extend_from_slice(protocol_name(tuple).as_bytes());
    if flags && tuple.tcp_flags != 0 {
        out.push(b':');
        tcp_flags(out, tuple.tcp_flags);
    }
    out.push(b')');
}

/// The address that the packet comes from; nothing if unknown.
pub(super) fn source(out: &mut Vec<u8>, network: &Network) {
    match network {
        Network::Unknown => {}
        Network::Ipv4 { source, .. } | Network::Arp { sender: source, .. } => ipv4(out, source),
        Network::Ipv6 { source, .. } => ipv6(out, source),
    }
}

/// The address that the packet goes to; nothing if unknown.
pub(super) fn destination(out: &mut Vec<u8>, network: &Network) {
    match network {
        Network::Unknown => {}
        Network::Ipv4 { destination, .. } | Network::Arp { target: destination, .. } => ipv4(out, destination),
        Network::Ipv6 { destination, .. } => ipv6(out, destination),
    }
}

/// The flags that are set, lowest first, with `|` between them.
pub(super) fn tcp_flags(out: &mut Vec<u8>, flags: u8) {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let mut first = true;
    for (bit, name) in names.iter().enumerate() {
        if flags & 1 << bit != 0 {
            if !first {
                out.push(b'|');
            }
            out.extend_from_slice(name.as_bytes());
            first = false;
        }
    }
}

/// The protocol's name as pcap-filter(7) spells it; empty if it has none there.
fn protocol_name(tuple: &Tuple) -> &'static str {
    match (tuple.network, tuple.protocol) {
        (Network::Arp { .. }, _) => "arp",
        (_, protocol::TCP) => "tcp",
        (_, protocol::UDP) => "udp",
        (_, protocol::ICMP) => "icmp",
        (_, protocol::ICMPV6) => "icmp6",
        (_, protocol::IGMP) => "igmp",
        (_, protocol::IPIP) => "ipip",
        (_, protocol::DCCP) => "dccp",
        (_, protocol::IPV6) => "ipv6",
        (_, protocol::GRE) => "gre",
        (_, protocol::ESP) => "esp",
        (_, protocol::AH) => "ah",
        (_, protocol::OSPF) => "ospf",
        (_, protocol::PIM) => "pim",
        (_, protocol::VRRP) => "vrrp",
        (_, protocol::SCTP) => "sctp",
        (_, protocol::UDPLITE) => "udplite",
        _ => "",
    }
}

/// `ADDRESS`
pub(super) fn ipv4(out: &mut Vec<u8>, address: &[u8; 4]) {
    for (i, &byte) in address.iter().enumerate() {
        if i > 0 {
            out.push(b'.');
        }
        decimal(out, byte.into());
    }
}

/// `[ADDRESS]`
fn ipv6(out: &mut Vec<u8>, address: &[u8; 16]) {
    out.push(b'[');
    ipv6_bare(out, address);
    out.push(b']');
}

/// `ADDRESS` as RFC 5952 writes it; a mapped IPv4 address is written as that address, as Go does.
pub(super) fn ipv6_bare(out: &mut Vec<u8>, address: &[u8; 16]) {
    if let [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] = *address {
        ipv4(out, &[a, b, c, d]);
    } else {
        let mut groups = [0u16; 8];
        for (group, bytes) in groups.iter_mut().zip(address.as_chunks().0) {
            *group = u16::from_be_bytes(*bytes);
        }
        let (start, length) = longest_zeros(&groups);
        let mut i = 0;
        while i < groups.len() {
            if i == start && length > 1 {
                out.extend_from_slice(b"::");
                i += length;
                continue;
            }
            if i > 0 && !out.ends_with(b":") {
                out.push(b':');
            }
            hex(out, groups[i].into());
            i += 1;
        }
    }
}

/// Start and length of the first longest run of zeros.
fn longest_zeros(groups: &[u16; 8]) -> (usize, usize) {
    let (mut best, mut run) = ((0, 0), 0);
    for (i, &group) in groups.iter().enumerate() {
        run = if group == 0 { run + 1 } else { 0 };
        if run > best.1 {
            best = (i + 1 - run, run);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn text(of: &Tuple, flags: bool) -> String {
        let mut out = Vec::new();
        tuple(&mut out, of, flags);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn ipv6_is_what_the_standard_library_writes() {
        for address in [
            "::",
            "::1",
            "1::",
            "fd00::1",
            "2001:db8::1:0:0:1",
            "2001:db8:0:1:1:1:1:1",
            "1:0:0:2:0:0:0:3",
            "0:0:1::",
            "1:2:3:4:5:6:7:8",
            "::2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "64:ff9b::a00:1",
        ] {
            let address: Ipv6Addr = address.parse().unwrap();
            let mut out = Vec::new();
            ipv6(&mut out, &address.octets());
            assert_eq!(String::from_utf8(out).unwrap(), format!("[{address}]"));
        }
        let mut out = Vec::new();
        ipv6(&mut out, &"::ffff:1.2.3.4".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(out, b"[1.2.3.4]");
    }

    #[test]
    fn tuples_have_pwrus_form() {
        let network = Network::Ipv4 { source: [10, 0, 0, 1], destination: [10, 0, 0, 200] };
        let ports = Some(Ports { source: 50260, destination: 80 });
        let tcp = Tuple { network, protocol: 6, ports, tcp_flags: 0x12 };
        assert_eq!(text(&tcp, false), "10.0.0.1:50260->10.0.0.200:80(tcp)");
        assert_eq!(text(&tcp, true), "10.0.0.1:50260->10.0.0.200:80(tcp:SYN|ACK)");
        assert_eq!(text(&Tuple { tcp_flags: 0, ..tcp }, true), "10.0.0.1:50260->10.0.0.200:80(tcp)");
        assert_eq!(text(&Tuple::default(), true), ":0->:0()");
        let arp = Network::Arp { sender: [10, 0, 0, 1], target: [10, 0, 0, 2] };
        assert_eq!(text(&Tuple { network: arp, ..Tuple::default() }, true), "10.0.0.1:0->10.0.0.2:0(arp)");
        let all = Tuple { tcp_flags: 0xff, ..tcp };
        assert!(text(&all, true).ends_with("(tcp:FIN|SYN|RST|PSH|ACK|URG|ECE|CWR)"));
    }
}
