//! The pcap expression, run on the packet that [`locate`] finds.
//!
//! One program serves packets with and without an Ethernet header. The latter get a virtual one of which only the type
//! field exists: IPv4 or IPv6 by the version nibble. Anything else without a link header is no network packet (netlink,
//! AF_UNIX) and does not match. An expression that reads any other byte of the link header matches only packets that
//! have one.
//!
//! A VLAN tag that the kernel took out of the packet is put back for expressions that ask for `vlan`, so that they see
//! what was on the wire. All others see the packet without it, as a live capture does.
//!
//! Only the linear part of a packet is read. A packet that ends there and goes on in fragments is counted where the
//! expression needs more of it.

use crate::plan::kernel::{Skb, Spot};
use crate::plan::shrink::PACKET_EXPRESSION;
use crate::plan::{Memory, Plan};
use crate::program::cast::CastReader;
use crate::program::locate::{self, ETHERNET, Packet};
use crate::program::quick::{self, Quick};
use crate::program::read::{self, View};
use crate::program::tag::{self, Tag, Tagged};
use crate::program::{BuildError, capture, counter, on_behalf_of};
use asm::{Asm, Label, R0, R1, R2, R3, R7, R8, Reg32, Reg64, Size, Slot, W1, W2, u64};
use filter_compiler::Graph;
use filter_compiler::ebpf::{self, Indexing, Metadata, Needs, PacketAccess, Place, Span, StackWindow};

/// The type field of the Ethernet header.
const TYPE: Span = Span { offset: 12, size: Size::B2 };
/// Where the payload of an Ethernet header starts.
const PAYLOAD: u32 = ETHERNET as u32;
/// EtherTypes as a load in memory order sees them.
const IPV4: u32 = (0x0800u16.to_be()) as u32;
const IPV6: u32 = (0x86ddu16.to_be()) as u32;

/// The members of `struct sk_buff` that the expression of `plan` needs, besides those for locating the packet.
pub fn wanted(plan: &Plan) -> Vec<Spot> {
    plan.filters.packet.as_ref().map_or(Vec::new(), |graph| wanted_by(graph, &plan.kernel.skb))
}

/// The same for any expression.
pub fn wanted_by(graph: &Graph, skb: &Skb) -> Vec<Spot> {
    let mut out = Vec::new();
    for which in Needs::of(graph).metadata {
        match which {
            Metadata::Length => out.extend([skb.len, skb.data]),
            Metadata::PacketType => out.push(skb.pkt_type),
            Metadata::Interface => out.push(skb.dev),
        }
    }
    if graph.has_vlan() {
        out.extend([skb.vlan.proto, skb.vlan.tci]);
        out.extend(skb.vlan.present.map(|(spot, _)| spot));
    }
    out
}

/// Emits the test of the pcap expression; falls through if the packet matches.
///
/// In: R7 = skb, `view` open for [`wanted`] and [`locate::wanted`]. Out: `packet.network`. Clobbers: R0-R5, R8, R9.
pub fn test(a: &mut Asm, plan: &Plan, view: &View, packet: Packet, drop: Label) -> Result<(), BuildError> {
    let Some(graph) = &plan.filters.packet else { return Ok(()) };
    on_behalf_of(a, PACKET_EXPRESSION, |a| {
        let matched = a.label();
        let mut quick = Quick::of(graph, &Needs::of(graph)).filter(|_| !graph.has_vlan());
        if let Some(first) = &quick
            && first.first(a, plan, view, packet, matched, drop)?
        {
            quick = None;
        }
        locate::link(a, &plan.kernel, view, packet, drop);
        test_located(a, plan, graph, quick, view, packet, drop)?;
        a.bind(matched);
        Ok(())
    })
}

/// As [`test`]. In: R8 and the slots of `packet` from [`locate::link`].
///
/// `quick`: what takes the short way out of here.
fn test_located(
    a: &mut Asm,
    plan: &Plan,
    graph: &Graph,
    quick: Option<Quick>,
    view: &View,
    packet: Packet,
    drop: Label,
) -> Result<(), BuildError> {
    let needs = Needs::of(graph);
    let mark = a.stack_mark();
    let facts = Facts::gather(a, plan, view, packet, &needs);
    let matched = a.label();
    let out = Out { drop, short: a.label() };
    if graph.has_vlan() {
        // With a tag to put back the same tests read other places: the expression is there twice.
        let plain = a.label();
        let tag = Tag::read(a, &plan.kernel, view, plain);
        let early = a.stack_mark();
        tagged(a, plan, graph, &needs, &facts, tag, out)?;
        a.jump(matched);
        a.stack_release(early);
        a.bind(plain);
    }
    let (mut access, entered) = SkbAccess::new(a, plan, &needs, &facts, out, quick.as_ref())?;
    ebpf::emit(graph, a, &mut access, drop)?;
    a.jump(matched);
    if let (Some(quick), Some(entered)) = (&quick, entered) {
        a.bind(entered);
        let wide = matches!(access.reader, Reader::Cast(_));
        quick.emit(a, access.reader.inner(), wide, drop)?;
        a.jump(matched);
    }
    a.stack_release(mark);
    a.bind(out.short);
    unread(a, plan, drop);
    a.bind(matched);
    Ok(())
}

/// Where a packet goes that does not match.
#[derive(Clone, Copy)]
struct Out {
    /// It is known not to.
    drop: Label,
    /// Its linear part has fewer bytes than the expression needs.
    short: Label,
}

/// Counts a packet whose linear part is too short, if there is more of it; jumps to `drop`. In: R7. Clobbers: R0-R5.
fn unread(a: &mut Asm, plan: &Plan, drop: Label) {
    let skb = &plan.kernel.skb;
    a.note("skb->data_len");
    a.mov(R1, R7);
    read::member(a, plan.memory, R1, skb.id, skb.data_len);
    a.jeq(R1, 0, drop);
    capture::count(a, counter::UNREAD, drop);
    a.jump(drop);
}

/// As [`test`], for a frame that is no skb: with a link header, and all there is of it in the packet.
///
/// In: what `frame` says; its start must be in R8. Clobbers: R0-R5, R8, R9.
pub fn test_frame(a: &mut Asm, plan: &Plan, frame: ebpf::Packet, drop: Label) -> Result<(), BuildError> {
    let Some(graph) = &plan.filters.packet else { return Ok(()) };
    on_behalf_of(a, PACKET_EXPRESSION, |a| {
        let mut reader = Reader::new(a, plan, &Needs::of(graph), &[], frame, drop)?;
        Ok(ebpf::emit(graph, a, reader.inner(), drop)?)
    })
}

/// As [`test_frame`], for any expression about the packet at R8, whose length is in `packet.link_len`; `packet.is_virtual`
/// must be 0.
///
/// In: R7 = skb, `view` open for [`wanted_by`]. Clobbers: R0-R5, R8, R9.
pub fn test_inner(
    a: &mut Asm,
    plan: &Plan,
    graph: &Graph,
    view: &View,
    packet: Packet,
    drop: Label,
) -> Result<(), BuildError> {
    let needs = Needs::of(graph);
    let facts = Facts::gather(a, plan, view, packet, &needs);
    let mut reader = Reader::new(a, plan, &needs, &[], facts.packet, drop)?;
    Ok(ebpf::emit(graph, a, reader.inner(), drop)?)
}

fn tagged(
    a: &mut Asm,
    plan: &Plan,
    graph: &Graph,
    needs: &Needs,
    facts: &Facts,
    tag: Tag,
    out: Out,
) -> Result<(), BuildError> {
    let below = tag::below(needs);
    let (inner, _) = SkbAccess::new(a, plan, &below, facts, out, None)?;
    let mut access = Tagged { inner, tag };
    Ok(ebpf::emit(graph, a, &mut access, out.drop)?)
}

/// What a filter may ask besides bytes, in the stack frame.
struct Facts {
    packet: ebpf::Packet,
    is_virtual: Slot,
}

impl Facts {
    /// Computes what `needs` asks for. In: R8 = start of the packet. Clobbers: R0-R5.
    fn gather(a: &mut Asm, plan: &Plan, view: &View, packet: Packet, needs: &Needs) -> Facts {
        let (kernel, skb) = (&plan.kernel, &plan.kernel.skb);
        let mut out = ebpf::Packet::new(Place::Reg(R8), Place::Slot(packet.link_len));
        for which in &needs.metadata {
            let slot = a.stack_named(8, "fact");
            match which {
                Metadata::Length => {
                    // All of it, from the first header that is really there: len counts from data.
                    let real = a.label();
                    a.load(R1, view.at(skb.data));
                    a.load(R2, view.at(skb.len));
                    a.add(R2, R1);
                    a.mov(R3, R8);
                    a.load(R0, u64(packet.is_virtual));
                    a.jeq(R0, 0, real);
                    a.add(R3, ETHERNET);
                    a.bind(real);
                    a.sub(R2, R3);
                    a.mov(W2, W2);
                    a.store(u64(slot), R2);
                    out.length = Some(Place::Slot(slot));
                }
                Metadata::PacketType => {
                    a.load(R1, view.at(skb.pkt_type));
                    a.and(R1, 7);
                    a.store(u64(slot), R1);
                    out.packet_type = Some(Place::Slot(slot));
                }
                Metadata::Interface => {
                    let none = a.label();
                    a.load(R1, view.at(skb.dev));
                    a.jeq(R1, 0, none);
                    read::member(a, plan.memory, R1, kernel.dev.id, kernel.dev.ifindex);
                    a.bind(none);
                    a.store(u64(slot), R1);
                    out.interface = Some(Place::Slot(slot));
                }
            }
        }
        Facts { packet: out, is_virtual: packet.is_virtual }
    }
}

/// The packet of an skb: the type field may be virtual, all else is read by `Reader`.
struct SkbAccess {
    reader: Reader,
    /// u64: the type field in memory order, if it may be virtual.
    link_type: Option<Slot>,
    /// Where loads go that do not fit into the linear part: not to where their caller would have them.
    short: Label,
}

enum Reader {
    Window(StackWindow),
    Cast(CastReader),
}

impl Reader {
    /// Prepares reading of what `needs` and `more` say. In: the start of the packet in R8. Clobbers: R0-R5, R8.
    fn new(
        a: &mut Asm,
        plan: &Plan,
        needs: &Needs,
        more: &[Span],
        packet: ebpf::Packet,
        drop: Label,
    ) -> Result<Reader, BuildError> {
        Ok(match (plan.memory, plan.kernel.bytes) {
            (Memory::Cast { kfunc, .. }, Some(bytes)) => {
                Reader::Cast(CastReader::new(a, kfunc, bytes, packet, needs.computed))
            }
            _ => {
                let mut needs = needs.clone();
                needs.fixed.extend(more);
                needs.fixed.sort_unstable();
                needs.fixed.dedup();
                let window = StackWindow::new(a, &needs, packet, Indexing::SecondRead)?;
                window.read(a, drop);
                Reader::Window(window)
            }
        })
    }

    fn inner(&mut self) -> &mut dyn PacketAccess {
        match self {
            Reader::Window(window) => window,
            Reader::Cast(cast) => cast,
        }
    }
}

impl SkbAccess {
    /// Prepares the access. A packet without a link header is dropped if the filter reads more of it than the type.
    ///
    /// Packets that `quick` can judge are sent to the label that is returned.
    fn new(
        a: &mut Asm,
        plan: &Plan,
        needs: &Needs,
        facts: &Facts,
        out: Out,
        quick: Option<&Quick>,
    ) -> Result<(SkbAccess, Option<Label>), BuildError> {
        let Out { drop, short } = out;
        let in_header = |span: &&Span| span.offset < PAYLOAD;
        let needs_header = needs.fixed.iter().filter(in_header).any(|&span| span != TYPE);
        if needs_header {
            a.load(R0, u64(facts.is_virtual));
            a.jne(R0, 0, drop);
        }
        // The version nibble tells the type of packets without a link header.
        let mut more: Vec<Span> = if needs_header { Vec::new() } else { vec![TYPE, quick::VERSION] };
        if let Some(quick) = quick {
            more.push(quick::START);
            more.extend(&quick.needs().fixed);
        }
        let mut reader = Reader::new(a, plan, needs, &more, facts.packet, drop)?;
        let entered = quick.map(|quick| (a.label(), quick.end()));
        let link_type = (!needs_header).then(|| link_type(a, reader.inner(), facts, out, entered));
        Ok((SkbAccess { reader, link_type, short }, entered.map(|(label, _)| label)))
    }
}

/// Emits the computation of the type field. Clobbers: R0-R5.
///
/// `quick`: where plain IPv4 packets go, of which so many bytes are captured.
fn link_type(a: &mut Asm, reader: &mut dyn PacketAccess, facts: &Facts, out: Out, quick: Option<(Label, u32)>) -> Slot {
    let Out { drop, short } = out;
    let slot = a.stack_named(8, "link type");
    let (real, known) = (a.label(), a.label());
    a.load(R0, u64(facts.is_virtual));
    a.jeq(R0, 0, real);
    if let Some((entered, end)) = quick {
        let (cut, read) = (a.label(), a.label());
        reader.require(a, end, cut);
        reader.load(a, W2, quick::VERSION, short);
        a.jeq(W2, quick::FIRST_BYTE, entered);
        a.jump(read);
        a.bind(cut);
        reader.require(a, PAYLOAD + 1, short);
        reader.load(a, W2, quick::VERSION, short);
        a.bind(read);
    } else {
        reader.require(a, PAYLOAD + 1, short);
        reader.load(a, W2, quick::VERSION, short);
    }
    a.and(W2, 0xf0u32);
    a.mov(R1, IPV4 as i32);
    a.jeq(W2, 0x40u32, known);
    a.mov(R1, IPV6 as i32);
    a.jne(W2, 0x60u32, drop);
    a.jump(known);
    a.bind(real);
    if let Some((entered, end)) = quick {
        let cut = a.label();
        reader.require(a, end, cut);
        reader.load(a, W1, quick::START, short);
        a.mov(W2, W1);
        a.and(W2, quick::mask());
        a.jeq(W2, quick::value(), entered);
        a.and(W1, quick::type_mask());
        a.jump(known);
        a.bind(cut);
    }
    reader.require(a, PAYLOAD, short);
    reader.load(a, W1, TYPE, short);
    a.bind(known);
    a.store(u64(slot), R1);
    slot
}

impl PacketAccess for SkbAccess {
    fn require(&mut self, a: &mut Asm, end: u32, _: Label) {
        self.reader.inner().require(a, end, self.short);
    }

    fn load(&mut self, a: &mut Asm, dst: Reg32, span: Span, _: Label) {
        match self.link_type.filter(|_| span == TYPE) {
            Some(slot) => a.load(dst.whole(), u64(slot)),
            None => self.reader.inner().load(a, dst, span, self.short),
        }
    }

    fn index(&mut self, a: &mut Asm, x: Reg64, end: u32, _: Label) {
        self.reader.inner().index(a, x, end, self.short);
    }

    fn require_indexed(&mut self, a: &mut Asm, end: u32, _: Label) {
        self.reader.inner().require_indexed(a, end, self.short);
    }

    fn load_indexed(&mut self, a: &mut Asm, dst: Reg32, span: Span, _: Label) {
        self.reader.inner().load_indexed(a, dst, span, self.short);
    }

    fn load_computed(&mut self, a: &mut Asm, dst: Reg32, x: Reg64, span: Span, _: Label) {
        self.reader.inner().load_computed(a, dst, x, span, self.short);
    }

    fn metadata(&mut self, a: &mut Asm, dst: Reg32, which: Metadata) {
        self.reader.inner().metadata(a, dst, which);
    }
}
