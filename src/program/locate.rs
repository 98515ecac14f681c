//! Where the packet of an skb starts.
//!
//! The rule is in PCAP-FILTER.md section 11: the link header counts only if it is set and directly in front of the
//! network header. A packet without one is given a virtual Ethernet header, 14 bytes in front of its network
//! header, of which only the type field exists; so one program serves both kinds (`filter`).

use crate::plan::kernel::Kernel;
use crate::program::read::View;
use asm::{Asm, Label, R1, R2, R3, R4, R5, R8, Slot, W1, W2, W3, W4, W5, u64};

/// Length of an Ethernet header.
pub const ETHERNET: i32 = 14;

/// What [`locate`] found out, in the stack frame.
#[derive(Clone, Copy)]
pub struct Packet {
    /// u64: address of the network header.
    pub network: Slot,
    /// u64: captured bytes from the network header on, at least 0; 0 if there is no network header.
    pub network_len: Slot,
    /// u64: captured bytes from the (virtual) link header on, at least 0.
    pub link_len: Slot,
    /// u64: 1 if the link header is virtual.
    pub is_virtual: Slot,
}

impl Packet {
    /// Reserves the slots.
    pub fn new(a: &mut Asm) -> Packet {
        Packet {
            network: a.stack_named(8, "network header"),
            network_len: a.stack_named(8, "bytes from there"),
            link_len: a.stack_named(8, "bytes from the link header"),
            is_virtual: a.stack_named(8, "no link header"),
        }
    }
}

/// Finds the packet of the skb in `view`, which must be open for `head`, `tail`, `mac_header` and
/// `network_header`.
///
/// Out: the slots of `packet`; R8 = address of the link header, real or virtual. Jumps to `unknown`, with
/// `network_len` = 0 and nothing else set, if the skb has no headers (AF_UNIX, netlink, not built yet).
/// Clobbers: R0-R5.
pub fn locate(a: &mut Asm, kernel: &Kernel, view: &View, packet: Packet, unknown: Label) {
    let skb = &kernel.skb;
    let (link, has_network, network_only, done) = (a.label(), a.label(), a.label(), a.label());
    a.store(u64(packet.network_len), 0);
    a.store(u64(packet.is_virtual), 0);
    a.note("network_header");
    a.load(R1, view.at(skb.network_header));
    a.note("mac_header");
    a.load(R2, view.at(skb.mac_header));
    a.mov(W5, W1);
    a.jeq(W2, 0xffff, network_only);
    a.jne(W1, 0, has_network);
    // Early on the receive side only the link header is set.
    a.mov(W5, W2);
    a.add(W5, ETHERNET);
    a.jump(link);
    a.bind(has_network);
    a.mov(W3, W1);
    a.sub(W3, W2);
    a.jeq(W3, ETHERNET, link);
    a.jeq(W3, ETHERNET + 4, link);
    a.jeq(W3, ETHERNET + 8, link);
    a.bind(network_only);
    a.jeq(W1, 0, unknown);
    a.mov(W2, W1);
    a.sub(W2, ETHERNET);
    a.store(u64(packet.is_virtual), 1);
    a.bind(link);
    // Here: W2 = offset of the link header from head, W5 = of the network header.
    a.note("tail");
    a.load(R4, view.at(skb.tail));
    let captured = a.label();
    a.mov(W3, W4);
    a.sub(W3, W2);
    a.jsge(W3, 0, captured);
    a.mov(W3, 0);
    a.bind(captured);
    a.store(u64(packet.link_len), R3);
    a.jle(W4, W5, done);
    a.sub(W4, W5);
    a.store(u64(packet.network_len), R4);
    a.bind(done);
    a.note("head");
    a.load(R8, view.at(skb.head));
    a.add(R5, R8);
    a.store(u64(packet.network), R5);
    a.lsh(R2, 32);
    a.arsh(R2, 32);
    a.add(R8, R2);
}
