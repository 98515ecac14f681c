//! The pcap expressions about the packet inside a tunnel.
//!
//! The kernel knows of such a packet while it wraps it (`skb->inner_network_header`) and, if nothing else used the
//! skb since, later. A packet that is in no tunnel passes.

use crate::plan::Plan;
use crate::plan::kernel::Spot;
use crate::program::locate::{ETHERNET, Packet, UNSET};
use crate::program::read::View;
use crate::program::{BuildError, packet};
use asm::{Asm, Label, R1, R2, R8, W0, W1, W2, W3, u64};

/// The members of `struct sk_buff` that the tests need.
pub fn wanted(plan: &Plan) -> Vec<Spot> {
    let (filters, skb) = (&plan.filters, &plan.kernel.skb);
    let mut out = Vec::new();
    for graph in [&filters.inner_link, &filters.inner_network].into_iter().flatten() {
        out.extend([skb.head, skb.tail, skb.inner_mac_header, skb.inner_network_header]);
        out.extend(packet::wanted_by(graph, skb));
    }
    out
}

/// Emits the tests; falls through if the packet passes. In: R7 = skb, `view` open for [`wanted`]. Clobbers: R0-R5, R8,
/// R9.
pub fn test(a: &mut Asm, plan: &Plan, view: &View, drop: Label) -> Result<(), BuildError> {
    let (filters, skb) = (&plan.filters, &plan.kernel.skb);
    if filters.inner_link.is_none() && filters.inner_network.is_none() {
        return Ok(());
    }
    let outside = a.label();
    a.note("inner_network_header");
    a.load(R1, view.at(skb.inner_network_header));
    a.jeq(W1, 0, outside);
    for (graph, is_link) in [(&filters.inner_link, true), (&filters.inner_network, false)] {
        let Some(graph) = graph else { continue };
        let mark = a.stack_mark();
        let found = Packet::new(a);
        a.store(u64(found.is_virtual), 0);
        a.load(R2, view.at(skb.inner_network_header));
        if is_link {
            // IP in IP has no frame inside, and matches nothing that is asked of one.
            let link = a.label();
            a.load(R1, view.at(skb.inner_mac_header));
            a.jeq(W1, UNSET, drop);
            a.mov(W3, W2);
            a.sub(W3, W1);
            a.jeq(W3, ETHERNET, link);
            a.jeq(W3, ETHERNET + 4, link);
            a.jne(W3, ETHERNET + 8, drop);
            a.bind(link);
            a.mov(W2, W1);
        }
        a.load(R1, view.at(skb.tail));
        a.mov(W0, W1);
        a.sub(W0, W2);
        a.jsle(W0, 0, drop);
        a.store(u64(found.link_len), asm::R0);
        a.load(R8, view.at(skb.head));
        a.add(R8, R2);
        packet::test_inner(a, plan, graph, view, found, drop)?;
        a.stack_release(mark);
    }
    a.bind(outside);
    Ok(())
}
