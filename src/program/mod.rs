//! The programs of a run, as blueprints: instructions and maps, no descriptors.
//!
//! Each file emits one thing: [`hook`] the way in, [`filter`] the cheap tests, [`locate`] where the packet starts,
//! [`packet`] the pcap expression, [`track`] what follows a packet, [`capture`] the record; [`read`] is how they all read
//! memory. Register use:
//! R6 context, R7 skb, R8 packet (later: a device or route), R9 index into the packet (later: the record).

pub mod arch;
mod capture;
mod cast;
mod fields;
mod filter;
mod hook;
mod locate;
mod maps;
mod packet;
mod quick;
mod read;
pub mod spare;
mod tag;
pub mod traced;
pub mod track;
mod tunnel;
mod whole;
mod xdp;

pub use hook::{CallerAddress, Entry, cookie};

use crate::plan::kernel::Spot;
use crate::plan::track::is_after_death;
use crate::plan::{Backend, Memory, Plan, Transport};
use crate::sys::bpf::{AttachType, MapType, ProgType};
use asm::{Asm, Label, MapRef, R0};
use std::fmt;

/// The ring buffer, or the perf buffers.
pub const EVENTS: MapRef = MapRef(0);
/// For each CPU a u64 at each of the offsets in [`counter`].
pub const COUNTERS: MapRef = MapRef(1);
/// One u32: not 0 while the reader sleeps and wants to be woken by the next record.
pub const SHARED: MapRef = MapRef(2);
/// One u32: not 0 when nothing may be sent any more.
pub const SILENT: MapRef = MapRef(3);
/// One u32: not 0 when a record was lost, which spares all others a look at the counters.
pub const LOSSES: MapRef = MapRef(34);
/// Room for records that are too large for the stack, where there is no ring buffer.
pub const SCRATCH: MapRef = MapRef(32);

/// What is counted, as offsets into the value of [`COUNTERS`].
pub mod counter {
    /// Records that found no room.
    pub const LOST: u32 = 0;
    /// Packets that do not match because the expression needs bytes of them that are in fragments. They are not read.
    pub const UNREAD: u32 = 8;
    /// Packets that could not be followed because there is no room for their address.
    pub const UNTRACKED: u32 = 16;
    /// How many bytes all of them take.
    pub const SIZE: u32 = 24;
}

/// A map to be created. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSpec {
    /// What programs call it.
    pub id: MapRef,
    /// Kind of map.
    pub kind: MapType,
    /// Name that `bpftool map` shows.
    pub name: &'static str,
    /// Size of a key.
    pub key: u32,
    /// Size of a value.
    pub value: u32,
    /// Number of elements; of a ring buffer its size in bytes.
    pub entries: u32,
}

/// A program to be loaded and what it is to be attached to.
#[derive(Debug)]
pub struct Blueprint {
    /// The instructions.
    pub code: asm::Program,
    /// Kind of program.
    pub kind: ProgType,
    /// How it will be attached, where the kernel wants to know at load time.
    pub attach: AttachType,
    /// BTF id of the function for fentry, or of the typedef of a typed tracepoint, else 0; in the BTF of a BPF program if
    /// that is traced.
    pub btf_id: u32,
    /// Indices into the plan's targets: the functions that this program serves.
    pub targets: Vec<u32>,
    /// Whether it can serve no other target, so that the others can do without it.
    pub own_target: bool,
    /// The module whose BTF [`Blueprint::btf_id`] is of, if it is not the kernel's.
    pub module: Option<String>,
}

/// Everything that is to be loaded.
#[derive(Debug)]
pub struct Programs {
    /// The maps.
    pub maps: Vec<MapSpec>,
    /// The programs.
    pub programs: Vec<Blueprint>,
    /// What follows packets, in the order of the plan's trackers.
    pub trackers: Vec<Blueprint>,
}

impl fmt::Display for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for map in &self.maps {
            writeln!(
                f,
                "map      {} {:?} key {} value {} entries {}",
                map.name, map.kind, map.key, map.value, map.entries
            )?;
        }
        for program in self.programs.iter().chain(&self.trackers) {
            let count = program.targets.len();
            writeln!(
                f,
                "program  {} {:?}, {count} targets, {} slots",
                program.code.name(),
                program.kind,
                program.code.slots()
            )?;
            write!(f, "{}", program.code)?;
        }
        Ok(())
    }
}

/// Why a program cannot be emitted.
#[derive(Clone, Debug)]
pub enum BuildError {
    /// The assembler found a mistake of ours.
    Asm(asm::Error),
    /// The packet expression is more than a program can compute.
    Filter(filter_compiler::ebpf::Error),
}

impl BuildError {
    /// Whether there is too much of something that is right as such, which may be less where packets are read otherwise.
    pub fn is_about_size(&self) -> bool {
        match self {
            BuildError::Asm(error) => error.is_about_size(),
            BuildError::Filter(error) => error.is_about_size(),
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Asm(error) => error.fmt(f),
            BuildError::Filter(error) => error.fmt(f),
        }
    }
}

impl From<asm::Error> for BuildError {
    fn from(error: asm::Error) -> BuildError {
        BuildError::Asm(error)
    }
}

impl From<filter_compiler::ebpf::Error> for BuildError {
    fn from(error: filter_compiler::ebpf::Error) -> BuildError {
        BuildError::Filter(error)
    }
}

/// Emits all programs of `plan`.
pub fn build(plan: &Plan) -> Result<Programs, BuildError> {
    let programs = functions(plan)?;
    let trackers = match &plan.tracking {
        Some(tracking) => track::build(plan, tracking)?,
        None => Vec::new(),
    };
    Ok(Programs { maps: maps(plan), programs, trackers })
}

/// Emits the programs for the trampolines of `plan`, whose targets those for kprobes serve, too: one when it is asked for,
/// as they are many.
pub fn trampolines(plan: &Plan) -> impl Iterator<Item = Result<Blueprint, BuildError>> + use<> {
    let (indices, by_fentry) = (plan.trampolines.clone(), plan.by_fentry());
    indices.into_iter().map(move |index| own(&by_fentry, index))
}

/// Emits the programs for the targets of `plan`.
pub fn functions(plan: &Plan) -> Result<Vec<Blueprint>, BuildError> {
    let mut programs = Vec::new();
    match plan.backend {
        Backend::KprobeMulti | Backend::Kprobe => {
            let has_own = |index| plan.maps.as_ref().is_some_and(|maps| maps.has(index));
            for (skb_arg, after_death) in (0..=5).flat_map(|position| [(position, false), (position, true)]) {
                let mut targets = plan.targets_where(|target| {
                    target.skb_arg == skb_arg
                        && after_death == (plan.tracking.is_some() && is_after_death(&target.name))
                });
                targets.retain(|&index| skb_arg != 0 || !has_own(index));
                if targets.is_empty() {
                    continue;
                }
                let has_reason_at = |&position: &u8| {
                    targets.iter().any(|&index| plan.targets[index as usize].reason_arg == Some(position))
                };
                let reason_args: Vec<u8> = (1..=5).filter(has_reason_at).collect();
                let entry = Entry::Registers { skb_arg, identity: plan.layout.identity, reason_args };
                let name = format!("whither_arg{skb_arg}{}", if after_death { "_end" } else { "" });
                programs.push(Blueprint {
                    code: emit(plan, &entry, after_death, name)?,
                    kind: ProgType::Kprobe,
                    attach: match plan.backend {
                        Backend::KprobeMulti => AttachType::TraceKprobeMulti,
                        _ => AttachType::None,
                    },
                    btf_id: 0,
                    targets,
                    own_target: false,
                    module: None,
                });
            }
        }
        Backend::Fentry | Backend::Tracepoint => {
            for index in plan.targets_where(|_| true) {
                if plan.maps.as_ref().is_none_or(|maps| !maps.has(index)) {
                    programs.push(own(plan, index)?);
                }
            }
        }
    }
    if let Some(maps) = &plan.maps {
        programs.extend(maps::build(plan, maps)?);
    }
    Ok(programs)
}

/// Emits the program that serves one target alone.
fn own(plan: &Plan, index: u32) -> Result<Blueprint, BuildError> {
    let target = &plan.targets[index as usize];
    let entry = Entry::Words { target: index, skb_arg: target.skb_arg, reason_arg: target.reason_arg };
    let (kind, attach, btf_id) = match (target.is_tracepoint, plan.memory) {
        (false, _) => (ProgType::Tracing, AttachType::TraceFentry, target.btf_id),
        (true, Memory::Direct) => (ProgType::Tracing, AttachType::TraceRawTp, target.btf_id),
        (true, _) => (ProgType::RawTracepoint, AttachType::None, 0),
    };
    let code = emit(plan, &entry, is_after_death(&target.name), target.name.clone())?;
    let module = target.module.clone();
    Ok(Blueprint { code, kind, attach, btf_id, targets: vec![index], own_target: true, module })
}

fn maps(plan: &Plan) -> Vec<MapSpec> {
    let events = match plan.transport {
        Transport::Ring { bytes } => {
            MapSpec { id: EVENTS, kind: MapType::RingBuf, name: "whither_events", key: 0, value: 0, entries: bytes }
        }
        Transport::Perf { cpus, .. } => MapSpec {
            id: EVENTS,
            kind: MapType::PerfEventArray,
            name: "whither_events",
            key: 4,
            value: 4,
            entries: cpus,
        },
    };
    let mut maps = vec![
        events,
        MapSpec {
            id: COUNTERS,
            kind: MapType::PerCpuArray,
            name: "whither_counts",
            key: 4,
            value: counter::SIZE,
            entries: 1,
        },
        MapSpec { id: SHARED, kind: MapType::Array, name: "whither_shared", key: 4, value: 8, entries: 1 },
        MapSpec { id: SILENT, kind: MapType::Array, name: "whither_silent", key: 4, value: 8, entries: 1 },
        MapSpec { id: LOSSES, kind: MapType::Array, name: "whither_losses", key: 4, value: 8, entries: 1 },
    ];
    maps.extend(capture::scratch(plan));
    maps.extend(spare::map(plan));
    if let Some(tracking) = &plan.tracking {
        maps.extend(track::maps(tracking));
    }
    maps
}

/// Emits by `emit` what is there on behalf of `whom`: a flag of the user's, perhaps with its value, or
/// [`PACKET_EXPRESSION`](crate::plan::shrink::PACKET_EXPRESSION).
fn on_behalf_of<T>(a: &mut Asm, whom: &str, emit: impl FnOnce(&mut Asm) -> T) -> T {
    let before = a.on_behalf_of(Some(whom.into()));
    let emitted = emit(a);
    a.on_behalf_of(before);
    emitted
}

/// Emits one program: enter, decide, record.
///
/// `after_death`: for a function that is handed skbs that have ended; those are not followed any further.
fn emit(plan: &Plan, entry: &Entry, after_death: bool, name: String) -> Result<asm::Program, BuildError> {
    let mut asm = Asm::new(name);
    let a = &mut asm;
    let drop = a.label();
    entry.begin(a, plan, drop);

    let found = locate::Packet::new(a);
    let captured = capture::wanted(plan);
    if plan.memory == Memory::Direct {
        // The packet is out of reach: whether it matches is found out where it goes.
        let view = read::View::Pointer(asm::R7);
        filter::metadata(a, plan, &view, drop);
        fields::test(a, plan, &plan.skb, &view, drop);
        capture::unless_silent(a, drop);
        capture::append(a, plan, entry, &view, drop);
    } else if plan.matches_late() {
        let early = a.stack_mark();
        let wanted: [&[Spot]; 3] = [&filter::wanted(plan), &tunnel::wanted(plan), &fields::wanted_by_test(&plan.skb)];
        let tests = view(a, plan, &wanted);
        filter::metadata(a, plan, &tests, drop);
        tunnel::test(a, plan, &tests, drop)?;
        fields::test(a, plan, &plan.skb, &tests, drop);
        a.stack_release(early);
        capture::unless_silent(a, drop);
        let view = view(a, plan, &[&locate::wanted(&plan.kernel), &captured]);
        locate::network(a, &plan.kernel, &view, found);
        capture::send(a, plan, entry, &view, found, drop);
    } else if plan.filters.is_empty() && plan.skb.filter.is_none() && plan.tracking.is_none() {
        capture::unless_silent(a, drop);
        let view = view(a, plan, &[&locate::wanted(&plan.kernel), &captured]);
        locate::network(a, &plan.kernel, &view, found);
        capture::send(a, plan, entry, &view, found, drop);
    } else {
        match entry.has_skb() {
            true => decide(a, plan, entry, after_death, found, drop)?,
            false => taken(a, plan, found),
        }
        capture::unless_silent(a, drop);
        let view = view(a, plan, &[&captured]);
        capture::send(a, plan, entry, &view, found, drop);
    }

    a.bind(drop);
    a.mov(R0, 0);
    a.exit();
    Ok(asm.finish()?)
}

/// Emits: is the skb in R7 followed, or on the stack of one that is, or does it pass the cheap tests and the packet
/// expression? Then follow it; else jump to `drop`.
fn decide(
    a: &mut Asm,
    plan: &Plan,
    entry: &Entry,
    after_death: bool,
    found: locate::Packet,
    drop: Label,
) -> Result<(), BuildError> {
    let (ours, beside, end) = (a.label(), a.label(), a.label());
    let skbs = plan.tracking.as_ref().is_some_and(|tracking| tracking.skbs);
    let stacks = plan.tracking.as_ref().and_then(|tracking| tracking.stacks);
    if skbs {
        track::known(a, after_death, ours);
    }
    let stack = stacks.map(|stacks| track::stack::Running::find(a, plan, entry, &stacks));
    if let Some(stack) = &stack {
        stack.packet(a);
        a.jne(R0, 0, beside);
    }

    let early = a.stack_mark();
    let wanted: [&[Spot]; 5] = [
        &filter::wanted(plan),
        &locate::wanted(&plan.kernel),
        &packet::wanted(plan),
        &tunnel::wanted(plan),
        &fields::wanted_by_test(&plan.skb),
    ];
    let tests = view(a, plan, &wanted);
    filter::metadata(a, plan, &tests, drop);
    if plan.filters.packet.is_some() {
        packet::test(a, plan, &tests, found, drop)?;
    } else {
        locate::network(a, &plan.kernel, &tests, found);
    }
    tunnel::test(a, plan, &tests, drop)?;
    fields::test(a, plan, &plan.skb, &tests, drop);
    a.stack_release(early);
    if plan.tracking.is_none() {
        return Ok(());
    }

    if skbs && !after_death {
        track::remember(a, asm::R7);
    }
    if let Some(stack) = stack.as_ref().filter(|_| !after_death) {
        stack.remember(a);
    }
    a.jump(end);
    if skbs {
        a.bind(ours);
        if let Some(stacks) = stacks.filter(|_| !after_death) {
            track::stack::Running::find(a, plan, entry, &stacks).remember(a);
        }
    }
    if stack.is_some() {
        a.bind(beside);
    }
    taken(a, plan, found);
    a.bind(end);
    Ok(())
}

/// Emits what is left to find out of an skb that needs to pass no test.
fn taken(a: &mut Asm, plan: &Plan, found: locate::Packet) {
    let mark = a.stack_mark();
    let view = view(a, plan, &[&locate::wanted(&plan.kernel)]);
    locate::network(a, &plan.kernel, &view, found);
    a.stack_release(mark);
}

/// Opens the skb in R7 for the members in `wanted`.
fn view(a: &mut Asm, plan: &Plan, wanted: &[&[Spot]]) -> read::View {
    match plan.memory {
        // `Entry::begin` made R7 a pointer.
        Memory::Cast { .. } if plan.kernel.skb_cast() != plan.kernel.skb.id => read::View::Bytes(asm::R7),
        Memory::Cast { .. } | Memory::Direct | Memory::Typed => read::View::Pointer(asm::R7),
        Memory::Read => read::View::open(a, plan.memory, asm::R7, plan.kernel.skb.id, asm::R7, &wanted.concat()),
    }
}
