//! Where the packet of an skb starts.
//!
//! The rule is in PCAP-FILTER.md section 11: the link header counts only if it is set and directly in front of the
//! network header. A packet without one is given a virtual Ethernet header, 14 bytes in front of its network
//! header, of which only the type field exists; so one program serves both kinds (`filter`).
//!
//! Netlink has both headers at the start of the buffer, where no driver puts a frame: what has 0 for both is no packet.

use crate::plan::kernel::{Kernel, Spot};
use crate::program::read::View;
use asm::{Asm, Label, R0, R1, R2, R4, R8, Slot, W0, W1, W2, W3, W4, u64};

/// Length of an Ethernet header.
pub const ETHERNET: i32 = 14;
/// `mac_header` of an skb that has none.
pub const UNSET: u32 = 0xffff;

/// What was found out, in the stack frame.
#[derive(Clone, Copy)]
pub struct Packet {
    /// u64: offset of the network header from `head`, 0 if there is none.
    pub network: Slot,
    /// u64: captured bytes from the (virtual) link header on, at least 0. Only set by [`link`].
    pub link_len: Slot,
    /// u64: 1 if the link header is virtual. Only set by [`link`].
    pub is_virtual: Slot,
}

impl Packet {
    /// Reserves the slots.
    pub fn new(a: &mut Asm) -> Packet {
        Packet {
            network: a.stack_named(8, "network header"),
            link_len: a.stack_named(8, "bytes from the link header"),
            is_virtual: a.stack_named(8, "no link header"),
        }
    }
}

/// The members of `struct sk_buff` that the search looks at.
pub fn wanted(kernel: &Kernel) -> [Spot; 4] {
    let skb = &kernel.skb;
    [skb.head, skb.tail, skb.mac_header, skb.network_header]
}

/// Finds the network header of the skb in `view`, which must be open for [`wanted`].
///
/// Out: `packet.network`, which is 0 if the skb has no headers (AF_UNIX, netlink, not built yet). Clobbers: R1, R2.
pub fn network(a: &mut Asm, kernel: &Kernel, view: &View, packet: Packet) {
    let found = a.label();
    a.note("network_header");
    a.load(R1, view.at(kernel.skb.network_header));
    a.jne(W1, 0, found);
    // Early on the receive side only the link header is set.
    a.note("mac_header");
    a.load(R2, view.at(kernel.skb.mac_header));
    a.jeq(W2, UNSET, found);
    a.jeq(W2, 0, found);
    a.mov(W1, W2);
    a.add(W1, ETHERNET);
    a.bind(found);
    a.store(u64(packet.network), R1);
}

/// Finds the packet of the skb in `view`, which must be open for [`wanted`].
///
/// Out: all slots of `packet`; R8 = address of the link header, real or virtual. Jumps to `unknown` if the skb has no
/// headers. Clobbers: R0-R5.
pub fn link(a: &mut Asm, kernel: &Kernel, view: &View, packet: Packet, unknown: Label) {
    let skb = &kernel.skb;
    let (link, has_network, network_only) = (a.label(), a.label(), a.label());
    a.store(u64(packet.is_virtual), 0);
    offsets(a, kernel, view);
    // Nearly always. An offset that is not set is 0 or UNSET: neither is so far from the other.
    a.mov(W3, W1);
    a.sub(W3, W2);
    a.jeq(W3, ETHERNET, link);
    a.jeq(W2, UNSET, network_only);
    a.jne(W1, 0, has_network);
    a.jeq(W2, 0, unknown);
    // Early on the receive side only the link header is set.
    a.mov(W1, W2);
    a.add(W1, ETHERNET);
    a.jump(link);
    a.bind(has_network);
    a.jeq(W3, ETHERNET + 4, link);
    a.jeq(W3, ETHERNET + 8, link);
    a.bind(network_only);
    a.jeq(W1, 0, unknown);
    a.mov(W2, W1);
    a.sub(W2, ETHERNET);
    // The virtual header may begin in front of head.
    a.lsh(R2, 32);
    a.arsh(R2, 32);
    a.store(u64(packet.is_virtual), 1);
    a.bind(link);
    // Here: W2 = offset of the link header from head, W1 = of the network header, W4 = of the tail.
    a.store(u64(packet.network), R1);
    a.sub(W4, W2);
    let captured = a.label();
    a.jsge(W4, 0, captured);
    a.mov(W4, 0);
    a.bind(captured);
    a.store(u64(packet.link_len), R4);
    a.note("head");
    a.load(R8, view.at(skb.head));
    a.add(R8, R2);
}

/// Emits R1 = `network_header`, R2 = `mac_header`, R4 = `tail`: one load instead of three, where one can have them all. In:
/// `view` open for [`wanted`].
pub fn offsets(a: &mut Asm, kernel: &Kernel, view: &View) {
    let skb = &kernel.skb;
    let mut parts = [(skb.network_header, R1), (skb.mac_header, R2), (skb.tail, R4)];
    let start = parts.iter().map(|(spot, _)| spot.offset).min().unwrap_or(0);
    let end = parts.iter().map(|(spot, _)| spot.end()).max().unwrap_or(0);
    let Some(all) = view.across(start, 8).filter(|_| end - start <= 8 && cfg!(target_endian = "little")) else {
        for (name, (spot, to)) in ["network_header", "mac_header", "tail"].into_iter().zip(parts) {
            a.note(name);
            a.load(to, view.at(spot));
        }
        return;
    };
    a.note("network_header, mac_header, tail");
    a.load(R4, all);
    // R4 itself comes last.
    parts.sort_by_key(|(_, to)| *to == R4);
    for (spot, to) in parts {
        let (from, size) = (spot.offset - start, spot.size);
        if from + size <= 4 {
            a.mov(to.low(), W4);
            if from > 0 {
                a.rsh(to.low(), 8 * from);
            }
            if from + size < 4 {
                a.and(to.low(), u32::MAX >> (32 - 8 * size));
            }
        } else {
            if to != R4 {
                a.mov(to, R4);
            }
            if from + size < 8 {
                a.lsh(to, (64 - 8 * (from + size)) as i32);
            }
            a.rsh(to, (64 - 8 * size) as i32);
        }
    }
}

/// Emits R0 = captured bytes from the network header on, 0 without one. In: `view` open for [`wanted`]. Clobbers: R1.
pub fn network_len(a: &mut Asm, kernel: &Kernel, view: &View, packet: Packet) {
    let (none, known) = (a.label(), a.label());
    a.load(R1, u64(packet.network));
    a.jeq(R1, 0, none);
    a.load(R0, view.at(kernel.skb.tail));
    a.sub(W0, W1);
    a.jsgt(W0, 0, known);
    a.bind(none);
    a.mov(R0, 0);
    a.bind(known);
}
