//! Room for a record in the ring buffer, and for the last records of a packet when that is full.
//!
//! A trace is read for where packets end, and that comes last, when a flood has filled the buffer. So functions that drop
//! or free packets have a second, small ring buffer to themselves. What a record costs that finds room is not changed:
//! only where it does not the program asks which function was hit.

use crate::plan::{Plan, Target, Transport};
use crate::program::{EVENTS, Entry, MapSpec};
use crate::sys::bpf::MapType;
use asm::{Asm, Helper, Label, MapRef, R0, R1, R2, R3, R9, u64};

/// The second ring buffer. Behind each record stands, as u64, how far the first one was filled: there the record belongs.
pub const SPARE: MapRef = MapRef(33);

/// Its size in bytes.
pub const BYTES: u32 = 256 << 10;

/// Asks `bpf_ringbuf_query` how many bytes were ever written.
const PRODUCER_POSITION: i32 = 3;

/// The map; `None` if this run has no ring buffer or sees no packet end.
pub fn map(plan: &Plan) -> Option<MapSpec> {
    let wanted = matches!(plan.transport, Transport::Ring { .. }) && plan.targets.iter().any(Target::is_end);
    let (kind, name) = (MapType::RingBuf, "whither_spare");
    wanted.then_some(MapSpec { id: SPARE, kind, name, key: 0, value: 0, entries: BYTES })
}

/// Emits R9 = a record of `size` bytes in a ring buffer, or a jump to `lost` if there is no room. In: R6. Clobbers: R0-R5.
pub fn reserve(a: &mut Asm, plan: &Plan, entry: &Entry, size: u32, lost: Label) {
    let size = size as i32;
    ask(a, EVENTS, size);
    if !entry.has_end(plan) {
        a.jeq(R0, 0, lost);
        a.mov(R9, R0);
        return;
    }
    let (room, filled) = (a.label(), a.label());
    a.jne(R0, 0, room);
    a.note("is it an end?");
    entry.unless_end(a, plan, lost);
    ask(a, SPARE, size + 8);
    a.jeq(R0, 0, lost);
    a.mov(R9, R0);
    a.load_map(R1, EVENTS);
    a.mov(R2, PRODUCER_POSITION);
    a.call(Helper::RingbufQuery);
    a.store(u64(R9 + size), R0);
    a.jump(filled);
    a.bind(room);
    a.mov(R9, R0);
    a.bind(filled);
}

fn ask(a: &mut Asm, map: MapRef, size: i32) {
    a.load_map(R1, map);
    a.mov(R2, size);
    a.mov(R3, 0);
    a.call(Helper::RingbufReserve);
}
