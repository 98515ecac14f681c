//! The program for XDP programs: a frame before it is an skb. `--filter-mark` does not apply, there is no mark.
//!
//! Register use is that of all programs, with R7 = xdp_buff.

use crate::plan::kernel::{Spot, Xdp};
use crate::plan::track::Tracking;
use crate::plan::{Memory, Plan};
use crate::program::locate::ETHERNET;
use crate::program::read::{self, View};
use crate::program::{BuildError, Entry, capture, fields, packet, track, whole};
use crate::record::{APPENDED_BYTES, Field, HEADER_BYTES, Layout, Object, place};
use asm::{Asm, Helper, Label, Mem, R0, R1, R3, R6, R7, R8, R9, Size, Slot, W1, u64};
use filter_compiler::ebpf::{self, Metadata, Needs, Place};

/// Emits the program: enter, cheap tests, packet expression, record.
pub fn emit(plan: &Plan, entry: &Entry, name: String) -> Result<asm::Program, BuildError> {
    let mut asm = Asm::new(name);
    let a = &mut asm;
    let drop = a.label();
    if let Some(xdp) = &plan.kernel.xdp {
        a.mov(R6, R1);
        a.note("xdp_buff");
        a.load(R7, u64(R6 + entry.argument(1)));
        a.jeq(R7, 0, drop);
        let mut wanted = vec![xdp.data, xdp.data_end, xdp.rxq];
        wanted.extend(fields::wanted_by_test(&plan.xdp));
        wanted.extend(fields::wanted_by_values(&plan.xdp));
        let view = View::open(a, plan.memory, R7, xdp.id, R7, &wanted);
        let early = a.stack_mark();
        filter_device(a, plan, xdp, &view, drop);
        if plan.memory == Memory::Direct {
            // The frame is out of reach: whether it matches is found out where it goes.
            fields::test(a, plan, &plan.xdp, &view, drop);
            hand_over(a, plan);
            capture::unless_silent(a, drop);
            capture::append_filled(a, plan, entry, Helper::XdpOutput, drop, &mut |a| {
                capture::head(a, plan, entry);
                whole::stack(a, &plan.layout, entry);
                device(a, plan, xdp, &view);
                fields::store(a, plan, &plan.xdp, Object::Xdp, &view);
                where_it_lies(a, plan, xdp, &view);
            });
            a.bind(drop);
            a.mov(R0, 0);
            a.exit();
            return Ok(asm.finish()?);
        }
        if !plan.matches_late() {
            filter_packet(a, plan, xdp, &view, drop)?;
        }
        fields::test(a, plan, &plan.xdp, &view, drop);
        a.stack_release(early);
        hand_over(a, plan);
        capture::unless_silent(a, drop);
        capture::send_filled(a, plan, entry, drop, &mut |a| {
            clear(a, &plan.layout);
            capture::head(a, plan, entry);
            whole::stack(a, &plan.layout, entry);
            device(a, plan, xdp, &view);
            headers(a, plan, xdp, &view);
            fields::store(a, plan, &plan.xdp, Object::Xdp, &view);
            if plan.matches_late() {
                where_it_lies(a, plan, xdp, &view);
                a.load(R3, view.at(xdp.data));
                read::copy(a, plan.memory, plan.kernel.bytes, R9, plan.layout.size(), APPENDED_BYTES);
            }
        });
    }
    a.bind(drop);
    a.mov(R0, 0);
    a.exit();
    Ok(asm.finish()?)
}

/// Notes the frame at R7, which matches, where packets are followed from here on. Clobbers: R0-R5.
fn hand_over(a: &mut Asm, plan: &Plan) {
    if plan.tracking.as_ref().is_some_and(Tracking::takes_frames) {
        track::matches(a);
    }
}

/// Emits the program for the end of an XDP program: a frame that it lets through is followed as an skb.
pub fn emit_exit(plan: &Plan, name: String) -> Result<asm::Program, BuildError> {
    let mut asm = Asm::new(name);
    let a = &mut asm;
    let end = a.label();
    if let Some(xdp) = &plan.kernel.xdp {
        a.mov(R6, R1);
        track::is_let_through(a, plan, xdp, end);
    }
    a.bind(end);
    a.mov(R0, 0);
    a.exit();
    Ok(asm.finish()?)
}

/// R1 = `xdp->rxq->dev`, or a jump to `none`. Clobbers: R0-R5.
fn dev(a: &mut Asm, plan: &Plan, xdp: &Xdp, view: &View, none: Label) {
    a.note("xdp->rxq");
    a.load(R1, view.at(xdp.rxq));
    a.jeq(R1, 0, none);
    read::member(a, plan.memory, R1, xdp.rxq_dev.0, xdp.rxq_dev.1);
    a.jeq(R1, 0, none);
}

fn filter_device(a: &mut Asm, plan: &Plan, xdp: &Xdp, view: &View, drop: Label) {
    let kernel = &plan.kernel;
    if let Some(ifindex) = plan.filters.ifindex {
        a.note("--filter-ifname");
        dev(a, plan, xdp, view, drop);
        read::member(a, plan.memory, R1, kernel.dev.id, kernel.dev.ifindex);
        a.jne(W1, ifindex, drop);
    }
    if let Some(netns) = plan.filters.netns {
        a.note("--filter-netns");
        dev(a, plan, xdp, view, drop);
        read::member(a, plan.memory, R1, kernel.dev.id, kernel.dev.net);
        read::member(a, plan.memory, R1, kernel.net.0, kernel.net.1);
        a.jne(W1, netns, drop);
    }
}

/// R1 = bytes from `data` to `data_end`. Clobbers: R0.
fn length(a: &mut Asm, xdp: &Xdp, view: &View) {
    a.load(R1, view.at(xdp.data_end));
    a.load(R0, view.at(xdp.data));
    a.sub(R1, R0);
}

fn filter_packet(a: &mut Asm, plan: &Plan, xdp: &Xdp, view: &View, drop: Label) -> Result<(), BuildError> {
    let Some(graph) = &plan.filters.packet else { return Ok(()) };
    let slot = |a: &mut Asm, name: &'static str| -> Slot { a.stack_named(8, name) };
    let captured = slot(a, "bytes of the frame");
    length(a, xdp, view);
    a.jslt(R1, 0, drop);
    a.store(u64(captured), R1);
    let mut frame = ebpf::Packet::new(Place::Reg(R8), Place::Slot(captured));
    for which in Needs::of(graph).metadata {
        match which {
            Metadata::Length => frame.length = Some(Place::Slot(captured)),
            // Whether it is for this host is found out later: it comes in.
            Metadata::PacketType => {
                let host = slot(a, "packet type");
                a.store(u64(host), 0);
                frame.packet_type = Some(Place::Slot(host));
            }
            Metadata::Interface => {
                let (index, none) = (slot(a, "interface"), a.label());
                a.store(u64(index), 0);
                dev(a, plan, xdp, view, none);
                read::member(a, plan.memory, R1, plan.kernel.dev.id, plan.kernel.dev.ifindex);
                a.store(u64(index), R1);
                a.bind(none);
                frame.interface = Some(Place::Slot(index));
            }
        }
    }
    a.load(R8, view.at(xdp.data));
    packet::test_frame(a, plan, frame, drop)
}

/// Writes 0 to every field that only an skb has: a buffer's memory holds what was there before.
fn clear(a: &mut Asm, layout: &Layout) {
    for field in Field::ALL {
        // Of these another field tells how much counts.
        let is_counted = matches!(field, Field::Headers | Field::InnerHeaders | Field::Stack);
        let Some(offset) = layout.offset(field).filter(|_| !is_counted) else { continue };
        let mut at = offset;
        while at < offset + field.size() {
            let left = offset + field.size() - at;
            let size = [8, 4, 2, 1].into_iter().find(|&size| size <= left && at.is_multiple_of(size)).unwrap_or(1);
            if let Some(size) = Size::from_bytes(size as usize) {
                a.store(Mem::new(size, R9 + at as i32), 0);
            }
            at += size;
        }
    }
}

/// Network namespace, interface and MTU; 0 without a device.
fn device(a: &mut Asm, plan: &Plan, xdp: &Xdp, view: &View) {
    let (layout, kernel, memory) = (&plan.layout, &plan.kernel, plan.memory);
    let fields = [(Field::Ifindex, kernel.dev.ifindex), (Field::Mtu, kernel.dev.mtu), (Field::Netns, kernel.dev.net)];
    let wanted: Vec<Spot> = fields.into_iter().filter(|&(field, _)| layout.has(field)).map(|(_, spot)| spot).collect();
    if wanted.is_empty() {
        return;
    }
    let mark = a.stack_mark();
    let none = a.label();
    dev(a, plan, xdp, view, none);
    let dev = View::open(a, memory, R1, kernel.dev.id, R8, &wanted);
    for (field, spot) in fields {
        let Some(to) = capture::at(layout, field) else { continue };
        a.load(R1, dev.at(spot));
        if field == Field::Netns {
            read::member(a, memory, R1, kernel.net.0, kernel.net.1);
        }
        a.store(to, R1);
    }
    a.bind(none);
    a.stack_release(mark);
}

/// Length, and in [`Field::Place`] a frame that begins with its link header; R8 = how many bytes to append.
fn where_it_lies(a: &mut Asm, plan: &Plan, xdp: &Xdp, view: &View) {
    let (layout, all) = (&plan.layout, a.label());
    length(a, xdp, view);
    if let Some(to) = capture::at(layout, Field::Len) {
        a.store(to, R1);
    }
    a.mov(R8, R1);
    a.jle(R8, APPENDED_BYTES as i32, all);
    a.mov(R8, APPENDED_BYTES as i32);
    a.bind(all);
    let Some(at) = layout.offset(Field::Place) else { return };
    let part = |(from, size): (u32, u32)| {
        Mem::new(Size::from_bytes(size as usize).expect("parts are 1, 2, 4 or 8 bytes"), R9 + (at + from) as i32)
    };
    a.load(R1, view.at(xdp.data));
    a.store(part(place::HEAD), R1);
    a.store(part(place::NETWORK), ETHERNET);
    a.store(part(place::APPENDED), R8);
}

/// Length, EtherType and what follows the Ethernet header.
fn headers(a: &mut Asm, plan: &Plan, xdp: &Xdp, view: &View) {
    let layout = &plan.layout;
    let end = a.label();
    length(a, xdp, view);
    if let Some(to) = capture::at(layout, Field::Len) {
        a.store(to, R1);
    }
    a.sub(R1, ETHERNET);
    a.jslt(R1, 0, end);
    if let Some(to) = capture::at(layout, Field::HeaderLen) {
        a.store(to, R1);
    }
    if let Some(to) = capture::at(layout, Field::Protocol) {
        a.load(R1, view.at(xdp.data));
        read::member(a, plan.memory, R1, xdp.ether_type.0, xdp.ether_type.1);
        a.store(to, R1);
    }
    if let Some(offset) = layout.offset(Field::Headers) {
        a.load(R3, view.at(xdp.data));
        a.add(R3, ETHERNET);
        read::copy(a, plan.memory, plan.kernel.bytes, R9, offset, HEADER_BYTES);
    }
    a.bind(end);
}
