//! The tests that a packet must pass, cheapest first.

use crate::plan::kernel::Spot;
use crate::plan::{Filters, Plan};
use crate::program::read::{self, View};
use asm::{Asm, Label, R0, R1, W1};

/// The members of `struct sk_buff` that the tests before the packet expression need.
pub fn wanted(plan: &Plan) -> Vec<Spot> {
    let skb = &plan.kernel.skb;
    let filters = &plan.filters;
    let mut out = Vec::new();
    if filters.mark.is_some() {
        out.push(skb.mark);
    }
    if filters.ifindex.is_some() || filters.netns.is_some() {
        out.push(skb.dev);
    }
    if filters.netns.is_some() {
        out.push(skb.sk);
    }
    out
}

/// Emits the tests of mark, interface and network namespace. In: `view` open for [`wanted`]. Clobbers: R0-R5.
pub fn metadata(a: &mut Asm, plan: &Plan, view: &View, drop: Label) {
    let Filters { mark, netns, ifindex, .. } = &plan.filters;
    let (kernel, memory) = (&plan.kernel, plan.memory);
    if let Some(mark) = mark {
        a.note("--filter-mark");
        a.load(R1, view.at(kernel.skb.mark));
        if mark.mask != u32::MAX {
            a.and(W1, mark.mask);
        }
        a.jne(W1, mark.value & mark.mask, drop);
    }
    if let Some(ifindex) = *ifindex {
        a.note("--filter-ifname");
        a.load(R1, view.at(kernel.skb.dev));
        a.jeq(R1, 0, drop);
        read::member(a, memory, R1, kernel.dev.id, kernel.dev.ifindex);
        a.jne(W1, ifindex, drop);
    }
    if let Some(netns) = *netns {
        let (socket, have) = (a.label(), a.label());
        a.note("--filter-netns");
        a.load(R1, view.at(kernel.skb.dev));
        a.jeq(R1, 0, socket);
        read::member(a, memory, R1, kernel.dev.id, kernel.dev.net);
        read::member(a, memory, R1, kernel.net.0, kernel.net.1);
        a.jne(W1, 0, have);
        a.bind(socket);
        a.load(R0, view.at(kernel.skb.sk));
        a.jeq(R0, 0, drop);
        a.mov(R1, R0);
        read::member(a, memory, R1, kernel.sock.0, kernel.sock.1);
        read::member(a, memory, R1, kernel.net.0, kernel.net.1);
        a.bind(have);
        a.jne(W1, netns, drop);
    }
}
