//! What a program sends: a record with exactly the fields of this run.

use crate::plan::kernel::{Bytes, Spot};
use crate::plan::{Memory, Plan, Transport};
use crate::program::fields;
use crate::program::locate::{self, Packet, UNSET};
use crate::program::quick::FIRST_BYTE;
use crate::program::read::{self, View};
use crate::program::spare;
use crate::program::whole;
use crate::program::{
    COUNTERS, CallerAddress, EVENTS, Entry, LOSSES, MapSpec, SCRATCH, SHARED, SILENT, counter, on_behalf_of,
};
use crate::record::{APPENDED_BYTES, Field, HEADER_BYTES, Layout, Object, PLAIN_BYTES, place};
use crate::sys::bpf::MapType;
use asm::{Asm, Helper, Label, Mem, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, Reg64, Size, W0, W1, W2, W3, u32, u64};

/// The members of `struct sk_buff` that the record of this run needs.
pub fn wanted(plan: &Plan) -> Vec<Spot> {
    let (skb, layout) = (&plan.kernel.skb, &plan.layout);
    let mut out = vec![skb.head, skb.tail];
    let mut want = |fields: &[Field], spots: &[Spot]| {
        if fields.iter().any(|&field| layout.has(field)) {
            out.extend_from_slice(spots);
        }
    };
    want(&[Field::Mark], &[skb.mark]);
    want(&[Field::Len], &[skb.len]);
    want(&[Field::Protocol], &[skb.protocol]);
    want(&[Field::Netns], &[skb.dev, skb.sk]);
    want(&[Field::Ifindex], &[skb.dev]);
    want(&[Field::Mtu], &[skb.dev, skb.refdst]);
    want(&[Field::Cb], &[skb.tc_cb]);
    if plan.matches_late() {
        out.extend(locate::wanted(&plan.kernel));
        out.extend([skb.data, skb.vlan.proto, skb.vlan.tci, skb.pkt_type]);
        out.extend(skb.vlan.present.map(|(spot, _)| spot));
    }
    out.extend(whole::wanted(&plan.kernel, layout));
    out.extend(fields::wanted_by_values(&plan.skb));
    out
}

/// Emits a jump to `end` if nothing may be sent any more. Clobbers: R1.
pub fn unless_silent(a: &mut Asm, end: Label) {
    a.note("is the run over?");
    a.load_map_value(R1, SILENT, 0);
    a.load(R1, u32(R1));
    a.jne(R1, 0, end);
}

/// Emits: make room for a record, fill it, send it. A record that finds no room is counted.
///
/// In: R6 = context, R7 = skb, `view` open for [`wanted`], the slots of `packet`. Clobbers everything; ends by
/// jumping to `end` or falling through to it.
pub fn send(a: &mut Asm, plan: &Plan, entry: &Entry, view: &View, packet: Packet, end: Label) {
    send_filled(a, plan, entry, end, &mut |a| of_packet(a, plan, entry, view, packet));
}

/// Fills the record at R9 as [`send`] does.
pub fn of_packet(a: &mut Asm, plan: &Plan, entry: &Entry, view: &View, packet: Packet) {
    head(a, plan, entry);
    whole::stack(a, &plan.layout, entry);
    skb_fields(a, plan, view);
    devices(a, plan, view);
    headers(a, plan, view, packet);
    whole::skb(a, plan, view);
    fields::store(a, plan, &plan.skb, Object::Skb, view);
    if plan.matches_late() {
        where_it_lies(a, plan, view);
        first_bytes(a, plan, view, packet);
    }
}

/// As [`send`]; `fill` emits what fills the record at R9.
pub fn send_filled(a: &mut Asm, plan: &Plan, entry: &Entry, end: Label, fill: &mut dyn FnMut(&mut Asm)) {
    send_longer(a, plan, entry, plan.sent(), end, fill);
}

/// As [`send_filled`], of `size` bytes: the record and what comes behind it.
pub fn send_longer(a: &mut Asm, plan: &Plan, entry: &Entry, size: u32, end: Label, fill: &mut dyn FnMut(&mut Asm)) {
    let lost = a.label();
    match plan.transport {
        Transport::Ring { .. } => spare::reserve(a, plan, entry, size, lost),
        Transport::Perf { .. } => make_room(a, size, entry, lost),
    }
    fill(a);
    match plan.transport {
        Transport::Ring { .. } => {
            submit(a);
            a.jump(end);
        }
        Transport::Perf { .. } => {
            output(a, size);
            give_back(a, size);
            a.jeq(R0, 0, end);
        }
    }
    a.bind(lost);
    lose(a, end);
}

/// Emits: a record was lost. Clobbers: R0-R5; may jump to `end`.
fn lose(a: &mut Asm, end: Label) {
    count(a, counter::LOST, end);
    a.load_map_value(R1, LOSSES, 0);
    a.store(u32(R1), 1);
}

/// Emits: one more of what `which` counts. Jumps to `end` if it cannot be counted. Clobbers: R0-R5.
pub fn count(a: &mut Asm, which: u32, end: Label) {
    counters(a);
    a.jeq(R0, 0, end);
    a.mov(R1, 1);
    a.atomic_add(u64(R0 + which as i32), R1);
}

/// Emits: fill a record and send it with the first bytes of the packet behind it (`bpf_skb_output`).
///
/// In: R6 = context, R7 = skb, which `view` reads directly. Clobbers everything; falls through, or jumps to `end`.
pub fn append(a: &mut Asm, plan: &Plan, entry: &Entry, view: &View, end: Label) {
    append_filled(a, plan, entry, Helper::SkbOutput, end, &mut |a| {
        head(a, plan, entry);
        whole::stack(a, &plan.layout, entry);
        skb_fields(a, plan, view);
        devices(a, plan, view);
        fields::store(a, plan, &plan.skb, Object::Skb, view);
        where_it_lies(a, plan, view);
    });
}

/// As [`append`], with the bytes of what R7 is by `helper`; `fill` emits what fills the record at R9, which is all
/// zero unless it is large, and leaves in R8 how many bytes to append.
pub fn append_filled(
    a: &mut Asm,
    plan: &Plan,
    entry: &Entry,
    helper: Helper,
    end: Label,
    fill: &mut dyn FnMut(&mut Asm),
) {
    let lost = a.label();
    let size = plan.layout.size();
    make_room(a, size, entry, lost);
    fill(a);
    output_with(a, size, helper);
    give_back(a, size);
    a.jeq(R0, 0, end);
    a.bind(lost);
    lose(a, end);
}

/// Fills [`Field::Place`]; R8 = how many bytes to append.
fn where_it_lies(a: &mut Asm, plan: &Plan, view: &View) {
    let Some(at) = plan.layout.offset(Field::Place) else { return };
    let skb = &plan.kernel.skb;
    let part = |(from, size): (u32, u32)| {
        Mem::new(Size::from_bytes(size as usize).expect("parts are 1, 2, 4 or 8 bytes"), R9 + (at + from) as i32)
    };
    a.load(R1, view.at(skb.head));
    a.store(part(place::HEAD), R1);
    a.load(R2, view.at(skb.data));
    a.sub(R2, R1);
    a.store(part(place::DATA), R2);
    let mut copy = |spot: Spot, to| {
        a.load(R1, view.at(spot));
        a.store(part(to), R1);
    };
    copy(skb.vlan.proto, place::VLAN_PROTO);
    copy(skb.vlan.tci, place::VLAN_TCI);
    copy(skb.pkt_type, place::PKT_TYPE);
    copy(skb.mac_header, place::MAC);
    copy(skb.network_header, place::NETWORK);
    let untagged = a.label();
    a.store(part(place::VLAN_PRESENT), 0);
    match skb.vlan.present {
        Some((present, mask)) => {
            a.load(R1, view.at(present));
            a.and(R1, i32::from(mask));
        }
        None => {
            a.load(R1, view.at(skb.vlan.proto));
            a.load(R2, view.at(skb.vlan.tci));
            a.or(R1, R2);
        }
    }
    a.jeq(R1, 0, untagged);
    a.store(part(place::VLAN_PRESENT), 1);
    a.bind(untagged);
    let (packet, none, all) = (a.label(), a.label(), a.label());
    a.load(R8, view.at(skb.len));
    a.jle(R8, APPENDED_BYTES as i32, all);
    a.mov(R8, APPENDED_BYTES as i32);
    a.bind(all);
    // What has no network header is no network packet, but somebody's data.
    a.load(R1, view.at(skb.network_header));
    a.jne(R1, 0, packet);
    a.load(R1, view.at(skb.mac_header));
    a.jeq(R1, 0, none);
    a.jne(R1, UNSET as i32, packet);
    a.bind(none);
    a.mov(R8, 0);
    a.bind(packet);
    a.store(part(place::APPENDED), R8);
}

/// Puts the first bytes of the packet behind the record at R9, from its link header on if it really has one, else from
/// its network header, and says in [`Field::Place`] how many.
fn first_bytes(a: &mut Asm, plan: &Plan, view: &View, packet: Packet) {
    let (layout, kernel) = (&plan.layout, &plan.kernel);
    let Some(at) = layout.offset(Field::Place) else { return };
    let appended = asm::u16(R9 + (at + place::APPENDED.0) as i32);
    let (none, real, all) = (a.label(), a.label(), a.label());
    a.store(appended, 0);
    locate::link(a, kernel, view, packet, none);
    a.load(R1, u64(packet.link_len));
    a.load(R0, u64(packet.is_virtual));
    a.jeq(R0, 0, real);
    a.add(R8, locate::ETHERNET);
    a.sub(R1, locate::ETHERNET);
    a.bind(real);
    a.jsle(R1, 0, none);
    a.jle(R1, APPENDED_BYTES as i32, all);
    a.mov(R1, APPENDED_BYTES as i32);
    a.bind(all);
    a.store(appended, R1);
    a.mov(R3, R8);
    read::copy(a, plan.memory, kernel.bytes, R9, layout.size(), APPENDED_BYTES);
    a.bind(none);
}

/// R0 = 0 if the record at R9, and R8 bytes of the packet, found room in this CPU's perf buffer.
fn output_with(a: &mut Asm, size: u32, helper: Helper) {
    const CURRENT_CPU: u32 = u32::MAX;
    a.mov(R1, R7);
    a.load_map(R2, EVENTS);
    a.lsh(R8, 32);
    a.mov(W3, CURRENT_CPU);
    a.or(R3, R8);
    a.mov(R4, R9);
    a.mov(R5, size as i32);
    a.call(helper);
}

const NO_WAKEUP: i32 = 1;
const FORCE_WAKEUP: i32 = 2;

/// Hands the record at R9 over, and wakes the reader if it asked for it. It is woken once, not by every record that
/// comes before it runs: each wake-up is an interrupt.
fn submit(a: &mut Asm) {
    let quiet = a.label();
    a.note("does the reader wait?");
    a.load_map_value(R3, SHARED, 0);
    a.load(R1, u32(R3));
    a.mov(R2, NO_WAKEUP);
    a.jeq(R1, 0, quiet);
    a.store(u32(R3), 0);
    a.mov(R2, FORCE_WAKEUP);
    a.bind(quiet);
    a.mov(R1, R9);
    a.call(Helper::RingbufSubmit);
}

/// A record that is larger than this is built in a map.
pub const ON_STACK: u32 = 216;

/// R9 = room for a record that will be copied into a perf buffer; jumps to `lost` if there is none.
fn make_room(a: &mut Asm, size: u32, entry: &Entry, lost: Label) {
    if size <= ON_STACK {
        return on_stack(a, size);
    }
    let mark = a.stack_mark();
    let key = a.stack(4);
    a.store(u32(key), entry.room());
    a.load_map(R1, SCRATCH);
    a.lea(R2, key);
    a.call(Helper::MapLookupElem);
    a.stack_release(mark);
    a.jeq(R0, 0, lost);
    // Whoever interrupts this program runs to its end before this goes on, so a plain flag is enough.
    a.note("in use?");
    a.load(R1, u64(R0));
    a.jne(R1, 0, lost);
    a.store(u64(R0), 1);
    a.mov(R9, R0);
    a.add(R9, 8);
}

/// Ends the use of the room at R9. Keeps R0.
fn give_back(a: &mut Asm, size: u32) {
    if size > ON_STACK {
        a.store(u64(R9 - 8), 0);
    }
}

/// How many records can be under construction on a CPU.
pub const ROOMS: u32 = 64;

/// The map for records that are too large for the stack; `None` if none is. Programs of fentry and of tracepoints
/// interrupt each other, so each has a room of its own, as far as there are rooms.
pub fn scratch(plan: &Plan) -> Option<MapSpec> {
    let size = if plan.maps.is_some() { plan.layout.room() } else { plan.sent() };
    let is_large = matches!(plan.transport, Transport::Perf { .. }) && size > ON_STACK;
    let (kind, name) = (MapType::PerCpuArray, "whither_records");
    is_large.then_some(MapSpec { id: SCRATCH, kind, name, key: 4, value: 8 + size, entries: ROOMS })
}

/// R9 = a record on the stack, all zero: a perf buffer takes no bytes that were never written.
fn on_stack(a: &mut Asm, size: u32) {
    let record = a.stack_named(size, "record");
    for at in (0..size).step_by(8) {
        a.store(u64(record + at as i32), 0);
    }
    a.lea(R9, record);
}

/// R0 = 0 if the record at R9 found room in this CPU's perf buffer.
fn output(a: &mut Asm, size: u32) {
    const CURRENT_CPU: u32 = u32::MAX;
    a.mov(R1, R6);
    a.load_map(R2, EVENTS);
    a.mov(W3, CURRENT_CPU);
    a.mov(R4, R9);
    a.mov(R5, size as i32);
    a.call(Helper::PerfEventOutput);
}

/// Emits R0 = this CPU's counters, 0 if there are none. Clobbers: R1-R5.
fn counters(a: &mut Asm) {
    let mark = a.stack_mark();
    let key = a.stack(4);
    a.store(u32(key), 0);
    a.load_map(R1, COUNTERS);
    a.lea(R2, key);
    a.call(Helper::MapLookupElem);
    a.stack_release(mark);
}

/// The operand of `field` in the record at R9.
pub fn at(layout: &Layout, field: Field) -> Option<Mem> {
    let size = Size::from_bytes(field.size() as usize)?;
    layout.offset(field).map(|offset| Mem::new(size, R9 + offset as i32))
}

/// What a record tells of the hit itself, whatever was hit. In: R6, R7, R9. Clobbers: R0-R5.
pub fn head(a: &mut Asm, plan: &Plan, entry: &Entry) {
    let layout = &plan.layout;
    let head = |field| at(layout, field).expect("every record has the head");
    entry.identity(a);
    a.store(head(Field::Function), R0);
    if let Some(to) = at(layout, Field::Reason) {
        entry.reason(a);
        a.store(to, R1);
    }
    a.store(head(Field::Skb), R7);
    task(a, plan);
    a.call(Helper::GetSmpProcessorId);
    a.store(head(Field::Cpu), R0);
    let none_lost = a.label();
    a.note("was anything lost?");
    a.load_map_value(R1, LOSSES, 0);
    a.load(R1, u32(R1));
    a.jeq(R1, 0, none_lost);
    counters(a);
    a.mov(R1, 0);
    a.jeq(R0, 0, none_lost);
    a.load(R1, u64(R0 + counter::LOST as i32));
    a.bind(none_lost);
    a.store(head(Field::Lost), R1);
    if let Some(to) = at(layout, Field::Time) {
        a.call(Helper::KtimeGetNs);
        a.store(to, R0);
    }
    if let Some(to) = at(layout, Field::Caller) {
        on_behalf_of(a, "--output-caller", |a| match entry.caller(a) {
            CallerAddress::Behind => {
                let offset = layout.offset(Field::Caller).unwrap_or(0);
                read::copy(a, plan.memory, plan.kernel.bytes, R9, offset, 8);
            }
            CallerAddress::Here => a.store(to, R3),
            CallerAddress::OnStack => a.store(to, 0),
        });
    }
}

/// The process, and the name of its thread. In: R9. Clobbers: R0-R5.
fn task(a: &mut Asm, plan: &Plan) {
    let layout = &plan.layout;
    let pid = at(layout, Field::Pid).expect("every record has the head");
    let comm = layout.offset(Field::Comm);
    let Some(task) = &plan.kernel.task else {
        a.call(Helper::GetCurrentPidTgid);
        a.rsh(R0, 32);
        a.store(pid, R0);
        if let Some(offset) = comm {
            a.mov(R1, R9);
            a.add(R1, offset as i32);
            a.mov(R2, Field::Comm.size() as i32);
            a.call(Helper::GetCurrentComm);
        }
        return;
    };
    a.call(Helper::GetCurrentTaskBtf);
    a.load(R1, u32(R0 + task.tgid.offset as i32));
    a.store(pid, R1);
    for from in (0..task.comm.size).step_by(8) {
        if let Some(offset) = comm {
            a.load(R1, u64(R0 + (task.comm.offset + from) as i32));
            a.store(u64(R9 + (offset + from) as i32), R1);
        }
    }
}

fn skb_fields(a: &mut Asm, plan: &Plan, view: &View) {
    let (layout, skb) = (&plan.layout, &plan.kernel.skb);
    for (field, spot) in [(Field::Mark, skb.mark), (Field::Len, skb.len), (Field::Protocol, skb.protocol)] {
        if let Some(to) = at(layout, field) {
            a.load(R1, view.at(spot));
            a.store(to, R1);
        }
    }
    if let Some(offset) = layout.offset(Field::Cb) {
        for from in (0..Field::Cb.size()).step_by(4) {
            a.load(R1, view.part(skb.tc_cb, from, 4));
            a.store(u32(R9 + (offset + from) as i32), R1);
        }
    }
}

/// Network namespace, interface and MTU.
fn devices(a: &mut Asm, plan: &Plan, view: &View) {
    let (layout, kernel, memory) = (&plan.layout, &plan.kernel, plan.memory);
    let wanted: Vec<Spot> =
        [(Field::Ifindex, kernel.dev.ifindex), (Field::Mtu, kernel.dev.mtu), (Field::Netns, kernel.dev.net)]
            .into_iter()
            .filter(|&(field, _)| layout.has(field))
            .map(|(_, spot)| spot)
            .collect();
    if wanted.is_empty() {
        return;
    }
    let mark = a.stack_mark();
    let device = a.label();
    let socket = a.label();
    let have_netns = a.label();
    for field in [Field::Ifindex, Field::Mtu] {
        if let Some(to) = at(layout, field) {
            a.store(to, 0);
        }
    }
    a.note("skb->dev");
    a.load(R1, view.at(kernel.skb.dev));
    a.jne(R1, 0, device);
    a.jump(socket);
    a.bind(device);
    let dev = View::open(a, memory, R1, kernel.dev.id, R8, &wanted);
    for (field, spot) in [(Field::Ifindex, kernel.dev.ifindex), (Field::Mtu, kernel.dev.mtu)] {
        if let Some(to) = at(layout, field) {
            a.load(R1, dev.at(spot));
            a.store(to, R1);
        }
    }
    if let Some(to) = at(layout, Field::Netns) {
        a.load(R1, dev.at(kernel.dev.net));
        read::member(a, memory, R1, kernel.net.0, kernel.net.1);
        a.store(to, R1);
        a.jne(W1, 0, have_netns);
        a.bind(socket);
        a.store(to, 0);
        a.note("skb->sk");
        a.load(R1, view.at(kernel.skb.sk));
        a.jeq(R1, 0, have_netns);
        read::member(a, memory, R1, kernel.sock.0, kernel.sock.1);
        read::member(a, memory, R1, kernel.net.0, kernel.net.1);
        a.store(to, R1);
    } else {
        a.bind(socket);
    }
    a.bind(have_netns);
    a.stack_release(mark);
    // The route is a number with flags in it, which no typed load follows.
    if let Some(to) = at(layout, Field::Mtu)
        && memory != Memory::Direct
    {
        route_mtu(a, plan, view, to);
    }
}

/// The MTU of the route, else of its device, where the packet has a route; else `to` stays as it is.
fn route_mtu(a: &mut Asm, plan: &Plan, view: &View, to: Mem) {
    let (kernel, memory) = (&plan.kernel, plan.memory.untyped());
    let dst = &kernel.dst;
    let mark = a.stack_mark();
    let (end, store) = (a.label(), a.label());
    a.note("skb->_skb_refdst");
    a.load(R1, view.at(kernel.skb.refdst));
    a.and(R1, !1);
    a.jeq(R1, 0, end);
    let route = View::open(a, memory, R1, dst.id, R8, &[dst.metrics, dst.dev]);
    a.load(R1, route.at(dst.metrics));
    a.and(R1, !3);
    read::member(a, memory, R1, dst.metrics_id, dst.metrics_mtu);
    a.jne(W1, 0, store);
    a.load(R1, route.at(dst.dev));
    read::member(a, memory, R1, kernel.dev.id, kernel.dev.mtu);
    a.bind(store);
    a.store(to, R1);
    a.bind(end);
    a.stack_release(mark);
}

/// The packet from its network header on, and how much of it there is.
fn headers(a: &mut Asm, plan: &Plan, view: &View, packet: Packet) {
    let (layout, kernel) = (&plan.layout, &plan.kernel);
    locate::network_len(a, kernel, view, packet);
    if let Some(to) = at(layout, Field::HeaderLen) {
        a.store(to, R0);
    }
    let Some(offset) = layout.offset(Field::Headers) else { return };
    let none = a.label();
    a.jeq(W0, 0, none);
    let address = |a: &mut Asm, to: Reg64, other: Reg64| {
        a.note("head");
        a.load(to, view.at(kernel.skb.head));
        a.load(other, u64(packet.network));
        a.add(to, other);
    };
    if let (Memory::Cast { kfunc, .. }, Some(bytes)) = (plan.memory, kernel.bytes) {
        let other = a.label();
        address(a, R1, R2);
        plain_headers(a, layout, kfunc, bytes, offset, other);
        a.jump(none);
        a.bind(other);
    }
    address(a, R3, R1);
    read::copy(a, plan.memory, kernel.bytes, R9, offset, HEADER_BYTES);
    a.bind(none);
}

/// Copies [`PLAIN_BYTES`] of IPv4 without options by plain loads, which is cheaper than a call, and says that there are no
/// more; jumps to `other` if the packet at R1 is none. Clobbers: R0-R5.
fn plain_headers(a: &mut Asm, layout: &Layout, kfunc: u32, bytes: Bytes, offset: u32, other: Label) {
    // What has a tag may be anything behind it.
    if let Some(protocol) = at(layout, Field::Protocol) {
        a.load(R2, protocol);
        a.jset(W2, u32::from(0x8000u16.to_be()), other);
    }
    if bytes.array.offset != 0 {
        a.sub(R1, bytes.array.offset as i32);
    }
    read::cast(a, kfunc, R1, bytes.id);
    for from in (0..PLAIN_BYTES).step_by(8) {
        a.load(R1, u64(R0 + (bytes.array.offset + from) as i32));
        a.store(u64(R9 + (offset + from) as i32), R1);
        if from == 0 {
            a.and(W1, u32::from_ne_bytes([0xff, 0, 0, 0]));
            a.jne(W1, u32::from_ne_bytes([FIRST_BYTE as u8, 0, 0, 0]), other);
        }
    }
    if let Some(length) = at(layout, Field::HeaderLen) {
        let all = a.label();
        a.load(R1, length);
        a.jle(R1, PLAIN_BYTES as i32, all);
        a.store(length, PLAIN_BYTES as i32);
        a.bind(all);
    }
}
