//! Programs for the functions that work on BPF maps: the packet whose stack they run on, and the map, key and value.
//!
//! A lookup is hooked where it returns, by fexit, which has the arguments as well as the result: nothing has to be
//! remembered between entry and return, where it could be lost or taken for another call's.

use crate::plan::kernel::Spot;
use crate::plan::maps::{Call, Maps, Value};
use crate::plan::{Memory, Plan};
use crate::program::{Blueprint, BuildError, Entry, capture, locate, read, taken, view};
use crate::record::map;
use crate::sys::bpf::{AttachType, ProgType};
use asm::{Asm, Helper, Label, R0, R1, R2, R3, R6, R9, W2, u32, u64};

/// What the names of our own maps begin with, as a number in memory.
const OURS: [u8; 8] = *b"whither_";

/// Emits the programs of all functions that work on maps.
pub fn build(plan: &Plan, maps: &Maps) -> Result<Vec<Blueprint>, BuildError> {
    maps.calls.iter().map(|call| blueprint(plan, maps, call)).collect()
}

fn blueprint(plan: &Plan, maps: &Maps, call: &Call) -> Result<Blueprint, BuildError> {
    let function = &plan.targets[call.target as usize];
    let entry = Entry::Words { target: call.target, skb_arg: 0, reason_arg: None };
    let mut asm = Asm::new(function.name.clone());
    let a = &mut asm;
    let drop = a.label();
    a.mov(R6, R1);
    unless_ours(a, plan, maps, &entry, drop);
    a.mov(R1, R6);
    entry.begin(a, plan, drop);
    let found = locate::Packet::new(a);
    taken(a, plan, found);
    capture::unless_silent(a, drop);
    let view = view(a, plan, &[&capture::wanted(plan)]);
    capture::send_longer(a, plan, &entry, plan.layout.room(), drop, &mut |a| {
        capture::of_packet(a, plan, &entry, &view, found);
        map_part(a, plan, maps, call, &entry);
    });
    a.bind(drop);
    a.mov(R0, 0);
    a.exit();
    let is_lookup = matches!(call.value, Value::Found { .. });
    Ok(Blueprint {
        code: asm.finish()?,
        kind: ProgType::Tracing,
        attach: if is_lookup { AttachType::TraceFexit } else { AttachType::TraceFentry },
        btf_id: function.btf_id,
        targets: vec![call.target],
        own_target: true,
        module: None,
    })
}

/// Emits a jump to `ours` if the map is one of ours: the programs that follow packets work on them. In: R6 = context.
/// Clobbers: R0-R5.
fn unless_ours(a: &mut Asm, plan: &Plan, maps: &Maps, entry: &Entry, ours: Label) {
    a.note("is it our own map?");
    a.load(R1, u64(R6 + entry.argument(1)));
    read::member(a, plan.memory, R1, maps.id, Spot { offset: maps.name.offset, size: 8 });
    a.mov_u64(R2, u64::from_ne_bytes(OURS));
    a.jeq(R1, R2, ours);
}

/// Fills what comes behind the record at R9. In: R6 = context. Clobbers: R0-R5.
fn map_part(a: &mut Asm, plan: &Plan, maps: &Maps, call: &Call, entry: &Entry) {
    let behind = plan.layout.size();
    let number = |part: (u32, u32)| u32(R9 + (behind + part.0) as i32);
    for (spot, part) in maps.numbers.into_iter().zip([map::ID, map::KIND, map::KEY_SIZE, map::VALUE_SIZE]) {
        a.load(R1, u64(R6 + entry.argument(1)));
        read::member(a, plan.memory, R1, maps.id, spot);
        a.store(number(part), R1);
    }
    a.note("name");
    a.load(R3, u64(R6 + entry.argument(1)));
    a.add(R3, maps.name.offset as i32);
    read::copy(a, plan.memory, plan.kernel.bytes, R9, behind + map::NAME.0, map::NAME.1);
    a.note("key");
    a.load(R3, u64(R6 + entry.argument(2)));
    copy_part(a, plan, map::KEY, map::KEY_SIZE);
    let state = u64(R9 + (behind + map::STATE.0) as i32);
    a.store(state, 1);
    let none = a.label();
    match call.value {
        Value::None => {}
        Value::Given => a.load(R3, u64(R6 + entry.argument(3))),
        Value::Found { params, key } => {
            a.load(R3, u64(R6 + entry.argument(params + 1)));
            a.jeq(R3, 0, none);
            if let Some(key) = key {
                a.load(R2, number(map::KEY_SIZE));
                a.add(R2, key as i32 + 7);
                a.and(R2, !7);
                a.add(R3, R2);
            }
        }
    }
    if call.value != Value::None {
        a.note("value");
        copy_part(a, plan, map::VALUE, map::VALUE_SIZE);
        a.store(state, 2);
    }
    a.bind(none);
}

/// Copies from the address in R3 to `part` as many bytes as the number in `size` says, if there is room. Clobbers: R0-R5.
fn copy_part(a: &mut Asm, plan: &Plan, part: (u32, u32), size: (u32, u32)) {
    let behind = plan.layout.size();
    if let (Memory::Cast { helper: false, .. }, Some(_)) = (plan.memory, plan.kernel.bytes) {
        return read::copy(a, plan.memory, plan.kernel.bytes, R9, behind + part.0, part.1);
    }
    let fits = a.label();
    a.load(R2, u32(R9 + (behind + size.0) as i32));
    a.jle(R2, map::MOST as i32, fits);
    a.mov(W2, map::MOST);
    a.bind(fits);
    a.mov(R1, R9);
    a.add(R1, (behind + part.0) as i32);
    a.call(Helper::ProbeReadKernel);
}
