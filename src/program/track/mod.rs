//! Following packets: the table of skbs that matched, and the programs that keep it true.
//!
//! A table of fixed size that refuses what does not fit, not one that forgets the oldest: whoever watches a packet must
//! not lose it because others matched. What is refused is counted.

mod copy;
mod end;
mod frame;
pub mod stack;

use crate::plan::track::{By, Does, Tracker, Tracking};
use crate::plan::{Backend, Plan};
use crate::program::{Blueprint, BuildError, Entry, MapSpec, capture, counter};
use crate::record::Identity;
use crate::sys::bpf::{AttachType, MapType, ProgType};
use asm::{Asm, Helper, Label, MapRef, R0, R1, R2, R3, R4, R6, R7, Reg64, Slot, u64};

/// The skbs that are followed: address (u64) to state (u64).
pub const TRACKED: MapRef = MapRef(4);
/// Addresses of skbs that were followed until their data were released, until their memory is free: the last functions
/// that they visit know them by it. Forgets the oldest.
const GONE: MapRef = MapRef(5);

/// State of an skb that is followed.
const ALIVE: i32 = 1;
/// State of one that is about to get another buffer.
const EXPANDING: i32 = 2;

pub use frame::{FRAMES, is_let_through, matches};

/// The maps that following takes.
pub fn maps(tracking: &Tracking) -> Vec<MapSpec> {
    let entries = tracking.entries;
    let table = |id, name| MapSpec { id, kind: MapType::Hash, name, key: 8, value: 8, entries };
    let few = |id, name, entries| MapSpec { id, kind: MapType::LruHash, name, key: 8, value: 8, entries };
    let mut maps = vec![table(TRACKED, "whither_tracked"), few(GONE, "whither_gone", 1024)];
    if tracking.takes_frames() {
        maps.push(few(FRAMES, "whither_frames", 4096));
    }
    if tracking.stacks.is_some() {
        maps.extend([table(stack::STACKS, "whither_stacks"), table(stack::ON_STACK, "whither_onstack")]);
    }
    maps
}

/// Emits a jump to `followed` if the skb in R7 is followed. With `after_death` also if it was until a moment ago.
/// Clobbers: R0-R5.
pub fn known(a: &mut Asm, after_death: bool, followed: Label) {
    a.note("is it followed?");
    find(a, TRACKED, R7);
    a.jne(R0, 0, followed);
    if after_death {
        find(a, GONE, R7);
        a.jne(R0, 0, followed);
    }
}

/// Emits: from now on the skb at `skb` is followed. One that finds no room is counted. Clobbers: R0-R5.
pub fn remember(a: &mut Asm, skb: Reg64) {
    let mark = a.stack_mark();
    let done = a.label();
    let state = a.stack_named(8, "state");
    a.note("follow it");
    a.store(u64(state), ALIVE);
    update(a, TRACKED, skb, state);
    a.jeq(R0, 0, done);
    capture::count(a, counter::UNTRACKED, done);
    a.bind(done);
    a.stack_release(mark);
}

/// Emits R0 = address of what `map` has for the skb at `skb`, or 0. Clobbers: R1-R5.
fn find(a: &mut Asm, map: MapRef, skb: Reg64) {
    let mark = a.stack_mark();
    key(a, map, skb);
    a.call(Helper::MapLookupElem);
    a.stack_release(mark);
}

/// Emits: `map` has nothing for the skb at `skb`. Clobbers: R0-R5.
fn forget(a: &mut Asm, map: MapRef, skb: Reg64) {
    let mark = a.stack_mark();
    key(a, map, skb);
    a.call(Helper::MapDeleteElem);
    a.stack_release(mark);
}

/// Emits: `map` has `value` for the skb at `skb`; R0 = 0 if there was room. Clobbers: R1-R5.
fn update(a: &mut Asm, map: MapRef, skb: Reg64, value: Slot) {
    let mark = a.stack_mark();
    key(a, map, skb);
    a.lea(R3, value);
    a.mov(R4, 0);
    a.call(Helper::MapUpdateElem);
    a.stack_release(mark);
}

/// R1 = `map`, R2 = address of the key.
fn key(a: &mut Asm, map: MapRef, skb: Reg64) {
    let key = a.stack_named(8, "skb");
    a.store(u64(key), skb);
    a.load_map(R1, map);
    a.lea(R2, key);
}

/// Emits the programs that keep the table true, in the order of `tracking.trackers`.
pub fn build(plan: &Plan, tracking: &Tracking) -> Result<Vec<Blueprint>, BuildError> {
    (0u32..).zip(&tracking.trackers).map(|(index, tracker)| blueprint(plan, tracking, index, tracker)).collect()
}

fn blueprint(plan: &Plan, tracking: &Tracking, index: u32, tracker: &Tracker) -> Result<Blueprint, BuildError> {
    let skb_arg = tracker.target.skb_arg;
    let entry = match tracking.by {
        By::Probes => Entry::Registers { skb_arg, identity: Identity::Address, reason_args: Vec::new() },
        By::Fentry | By::Tracepoints => Entry::Words { target: index, skb_arg, reason_arg: None },
    };
    let (kind, attach) = match (tracking.by, tracker.does) {
        // The memory is handed back inside: after that nothing can match any more.
        (By::Fentry, Does::FreesIf) => (ProgType::Tracing, AttachType::TraceFexit),
        (By::Fentry, _) => (ProgType::Tracing, AttachType::TraceFentry),
        (By::Tracepoints, _) => (ProgType::RawTracepoint, AttachType::None),
        (By::Probes, _) if plan.backend == Backend::KprobeMulti => (ProgType::Kprobe, AttachType::TraceKprobeMulti),
        (By::Probes, _) => (ProgType::Kprobe, AttachType::None),
    };
    let mut asm = Asm::new(format!("follow_{}", tracker.target.name));
    let a = &mut asm;
    let end = a.label();
    a.mov(R6, R1);
    a.load(R7, u64(R6 + entry.argument(skb_arg)));
    if tracking.stacks.is_some()
        && !matches!(tracker.does, Does::Copies | Does::Expands | Does::FreesIf | Does::FreesMemory)
    {
        stack::forget(a);
    }
    match tracker.does {
        Does::Copies => copy::copies(a, &entry, end),
        Does::Expands => end::becomes(a, EXPANDING, end),
        Does::Dies => end::becomes(a, ALIVE, end),
        Does::Releases => end::releases(a, end),
        Does::Frees => end::frees(a),
        Does::FreesIf => end::frees_if(a, &entry, tracking, end),
        Does::TakesFrame => frame::taken(a, plan, end),
        Does::FreesMemory => end::frees_memory(a, tracking),
    }
    a.bind(end);
    a.mov(R0, 0);
    a.exit();
    let btf_id = if kind == ProgType::Tracing { tracker.target.btf_id } else { 0 };
    Ok(Blueprint { code: asm.finish()?, kind, attach, btf_id, targets: vec![index], own_target: true, module: None })
}
