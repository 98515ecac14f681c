//! Packets, layer by layer.

/// An Ethernet header in front of a payload.
pub fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let addresses = [0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01];
    [&addresses[..], &kind.to_be_bytes(), payload].concat()
}

/// Puts an 802.1Q tag into a frame.
pub fn tagged(frame: &[u8], proto: u16, tci: u16) -> Vec<u8> {
    [&frame[..12], &proto.to_be_bytes(), &tci.to_be_bytes(), &frame[12..]].concat()
}

/// An IPv4 packet; `options` is a multiple of four bytes.
pub fn ipv4(protocol: u8, from: [u8; 4], to: [u8; 4], options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let mut packet = vec![0x40 | (header / 4) as u8, 0, 0, 0, 0x12, 0x34, 0, 0, 64, protocol, 0, 0];
    packet[2..4].copy_from_slice(&((header + payload.len()) as u16).to_be_bytes());
    packet.extend(from.iter().chain(&to).chain(options).chain(payload));
    packet
}

/// An IPv6 packet.
pub fn ipv6(next: u8, from: [u8; 16], to: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
    packet[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend(from.iter().chain(&to).chain(payload));
    packet
}

/// A UDP datagram.
pub fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
}

/// A TCP header without options.
pub fn tcp(from: u16, to: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment =
        [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; 8], &[0x50, flags], &[0x20, 0, 0, 0, 0, 0]].concat();
    segment.extend(payload);
    segment
}

/// An ARP request.
pub fn arp(from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1];
    packet.extend(from);
    packet.extend([0; 6]);
    packet.extend(to);
    packet
}
