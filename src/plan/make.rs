//! The decisions.

use super::fields::Fields;
use super::kernel::Kernel;
use super::maps::Maps;
use super::track::{Programs, Stacks, Tracking};
use super::{Backend, Columns, Filters, Memory, Plan, PlanError, Target, Transport, targets};
use crate::btf::{PointerSet, Struct};
use crate::cli::{Args, EventBuffer, Timestamp};
use crate::host::features::Lockdown;
use crate::host::survey::Host;
use crate::record::{Dump, Identity, Layout, Object};
use filter_compiler::names::System;
use filter_compiler::{Graph, LinkType};
use std::collections::HashSet;

/// How many functions fentry is tried on without being asked for: each takes the kernel 10 to 150 ms.
const FENTRY_LIMIT: usize = 64;

/// The ways in that are worth trying on `host`, the best first. The last one that works is taken, so even one that
/// cannot is in the list, for its reason to be told.
pub fn ladder(args: &Args, host: &Host) -> Vec<Backend> {
    if let Some(backend) = args.backend {
        return vec![backend];
    }
    let mut rungs = Vec::new();
    if !host.functions.functions.is_empty() {
        rungs.extend([Backend::KprobeMulti, Backend::Kprobe, Backend::Fentry]);
    }
    // What comes later cannot tell which of the ways in works: this one does in more kernels.
    if rungs.is_empty() && !host.awaited.is_empty() {
        rungs.push(Backend::Kprobe);
    }
    rungs.push(Backend::Tracepoint);
    rungs
}

impl Plan {
    /// Decides what is traced by `backend` and what is sent.
    pub fn new(args: &Args, host: &Host, backend: Backend) -> Result<Plan, PlanError> {
        Plan::with(args, host, backend, expression(args)?)
    }

    /// As [`Plan::new`], with the packet expression already compiled by [`expression`].
    pub fn with(args: &Args, host: &Host, backend: Backend, packet: Option<Graph>) -> Result<Plan, PlanError> {
        let mut kernel = Kernel::find(&host.btf).map_err(PlanError::Kernel)?;
        kernel.task = kernel.task.filter(|_| host.features.task.is_ok());
        if let (Backend::KprobeMulti | Backend::Kprobe, Some(error)) = (backend, &host.no_symbols) {
            return Err(PlanError::NoAddresses { why: error.to_string(), hint: error.hint() });
        }
        if backend == Backend::Fentry && !host.own_types {
            return Err(PlanError::ForeignTypes);
        }
        let memory = memory(args, host, backend)?;
        let targets = targets(args, host, backend);
        let can_come = args.filter_trace_tc || args.filter_trace_xdp || !host.awaited.is_empty();
        if targets.is_empty() && !can_come {
            return Err(nothing(args, host, backend));
        }
        let maps = maps(args, host, &targets)?;
        let columns = Columns {
            time: args.timestamp != Timestamp::None,
            meta: args.output_meta,
            netns: args.output_netns_names,
            tuple: args.output_tuple,
            cb: args.output_meta && (args.output_skb_cb || args.filter_trace_tc),
            caller: args.output_caller,
            frames: matches!(backend, Backend::Fentry | Backend::Tracepoint)
                || args.filter_trace_tc
                || args.filter_trace_xdp,
            stack: args.output_stack,
            tunnel: args.output_tunnel,
            reason: targets.iter().any(|target| target.reason_arg.is_some()),
            appended: memory == Memory::Direct,
        };
        let identity = match backend {
            Backend::Kprobe if host.features.cookie.is_err() => Identity::Address,
            Backend::KprobeMulti if one_reason_for_each_program(&targets) => Identity::Function,
            _ => Identity::Index,
        };
        let skb = Fields::new(&host.btf, Object::Skb, args.filter_skb_expr.as_deref(), &args.output_skb_metadata)?;
        let xdp = Fields::new(&host.btf, Object::Xdp, args.filter_xdp_expr.as_deref(), &args.output_xdp_metadata)?;
        let layout = with_dumps(columns.layout(identity), args, host, memory)?;
        let layout = layout.with_values(Object::Skb, skb.sizes()).with_values(Object::Xdp, xdp.sizes());
        let layout = if maps.is_some() { layout.with_maps() } else { layout };
        let [inner_link, inner_network] = inner(args)?;
        let (mark, netns, ifindex) = (args.filter_mark, host.netns, host.ifindex);
        let filters = Filters { mark, netns, ifindex, packet, inner_link, inner_network };
        let all = filters.is_empty() && skb.filter.is_none();
        let late = memory == Memory::Direct && args.filter_track_skb && !args.filter_track_skb_by_stackid;
        let follow_late = (late && !all).then_some(args.track_table_size);
        let tracking = if late { None } else { tracking(args, host, backend, memory, all)? };
        let transport = transport(args, host, memory);
        let stacks = tracking.as_ref().is_some_and(|tracking| tracking.stacks.is_some());
        let trampolines = if stacks { Vec::new() } else { busy(args, host, backend, &targets) };
        Ok(Plan {
            backend,
            memory,
            transport,
            targets,
            trampolines,
            filters,
            tracking,
            follow_late,
            maps,
            skb,
            xdp,
            layout,
            kernel,
        })
    }
}

/// The functions that are better hooked by fentry than by kprobes: those that packets visit most. Not where something is
/// found by a function's registers or on its stack.
fn busy(args: &Args, host: &Host, backend: Backend, targets: &[Target]) -> Vec<u32> {
    // Kernels that have cookies (Linux 5.15) check the address before a typed load.
    let can = matches!(host.features.fentry, Some(Ok(()))) && host.features.cookie.is_ok();
    if backend != Backend::Kprobe
        || args.backend.is_some()
        || !can
        || args.output_caller
        || args.output_stack
        || args.output_bpfmap
    {
        return Vec::new();
    }
    let able: HashSet<u32> = host
        .functions
        .functions
        .iter()
        .filter(|function| function.fentry.is_ok() && function.module.is_none())
        .map(|function| function.btf_id.0)
        .collect();
    let is_busy = |target: &Target| {
        let is_plain = target.module.is_none() && target.skb_arg != 0 && target.addresses.len() == 1;
        is_plain && targets::BUSY.contains(&target.name.as_str()) && able.contains(&target.btf_id)
    };
    (0..).zip(targets).filter(|(_, target)| is_busy(target)).map(|(index, _)| index).collect()
}

/// What is shown of BPF maps, if anything is to be.
fn maps(args: &Args, host: &Host, targets: &[Target]) -> Result<Option<Maps>, PlanError> {
    if !args.output_bpfmap {
        return Ok(None);
    }
    match &host.features.fentry {
        Some(Ok(())) => Maps::find(&host.btf, targets).map(Some),
        Some(Err(error)) => Err(PlanError::NoMaps { why: error.to_string() }),
        None => Err(PlanError::NoMaps { why: PlanError::ForeignTypes.to_string() }),
    }
}

/// Adds the structures that are shown whole. A run that needs memory behind a pointer to bytes is refused where programs
/// cannot follow one.
fn with_dumps(mut layout: Layout, args: &Args, host: &Host, memory: Memory) -> Result<Layout, PlanError> {
    let wanted = [
        (args.output_skb, "--output-skb", "sk_buff", Dump::Skb),
        (args.output_skb_shared_info, "--output-skb-shared-info", "skb_shared_info", Dump::SharedInfo),
    ];
    for (is_wanted, flag, name, dump) in wanted {
        if is_wanted {
            let found = host.btf.find::<Struct>(name);
            let size = found.map_err(|error| PlanError::NoType { flag, error: error.to_string() })?.size();
            layout = layout.with_dump(dump, size);
            if memory == Memory::Direct {
                return Err(PlanError::Untyped { flag });
            }
        }
    }
    for (is_wanted, flag) in [
        (args.output_tunnel, "--output-tunnel"),
        (args.filter_tunnel_pcap_l2.is_some(), "--filter-tunnel-pcap-l2"),
        (args.filter_tunnel_pcap_l3.is_some(), "--filter-tunnel-pcap-l3"),
    ] {
        if is_wanted && memory == Memory::Direct {
            return Err(PlanError::Untyped { flag });
        }
    }
    Ok(layout)
}

/// What follows packets, if anything has to. Where every packet matches, `all`, none has to be followed by its address.
fn tracking(
    args: &Args,
    host: &Host,
    backend: Backend,
    memory: Memory,
    all: bool,
) -> Result<Option<Tracking>, PlanError> {
    let skbs = args.filter_track_skb && !all;
    let functions = host.functions.functions.iter().any(|function| function.skb_arg == 0);
    let stacks = args.filter_track_skb_by_stackid && (!all || functions);
    if functions && backend == Backend::Tracepoint {
        return Err(PlanError::NoTracking { why: "functions without an skb cannot be hooked by tracepoints" });
    }
    if !skbs && !stacks {
        return Ok(None);
    }
    if memory == Memory::Direct {
        return Err(PlanError::NoTracking {
            why: "programs cannot read packets here, so they do not know which match",
        });
    }
    let stacks = stacks.then(|| Stacks::find(&host.btf)).transpose().map_err(PlanError::Kernel)?;
    let programs = Programs { any: args.filter_trace_tc || args.filter_trace_xdp, xdp: args.filter_trace_xdp };
    Tracking::new(host, backend, args.track_table_size, skbs, stacks, programs)
        .ok_or(PlanError::NoTracking { why: "where they end cannot be hooked" })
        .map(Some)
}

/// The pcap expression for packets with an Ethernet header; `program` gives packets without one a virtual header.
pub fn expression(args: &Args) -> Result<Option<Graph>, PlanError> {
    let text = &args.expression;
    if text.trim().is_empty() {
        return Ok(None);
    }
    filter_compiler::compile(text, LinkType::En10Mb, &System::new()).map(Some).map_err(PlanError::Expression)
}

/// The pcap expressions about the packet inside a tunnel: with its Ethernet header, and without.
pub fn inner(args: &Args) -> Result<[Option<Graph>; 2], PlanError> {
    let compile = |flag, text: &Option<String>, link| {
        let Some(text) = text.as_ref().filter(|text| !text.trim().is_empty()) else { return Ok(None) };
        let compiled = filter_compiler::compile(text, link, &System::new());
        compiled.map(Some).map_err(|error| PlanError::Inner { flag, error })
    };
    Ok([
        compile("--filter-tunnel-pcap-l2", &args.filter_tunnel_pcap_l2, LinkType::En10Mb)?,
        compile("--filter-tunnel-pcap-l3", &args.filter_tunnel_pcap_l3, LinkType::Raw)?,
    ])
}

/// How programs of `backend` can read memory on `host`.
fn memory(args: &Args, host: &Host, backend: Backend) -> Result<Memory, PlanError> {
    let (cast, read) = match (&host.features.cast, &host.features.read_kernel) {
        (Ok(kfunc), read) => return Ok(Memory::Cast { kfunc: *kfunc, helper: read.is_ok() }),
        (Err(_), Ok(())) => return Ok(Memory::Read),
        (Err(cast), Err(read)) => (cast, read),
    };
    let typed = matches!(backend, Backend::Fentry | Backend::Tracepoint) && host.own_types;
    if typed && args.event_buffer == Some(EventBuffer::Ring) {
        return Err(PlanError::Unreadable {
            why: "packets come by perf buffers alone, not by --event-buffer ring".into(),
        });
    }
    if typed {
        return Ok(Memory::Direct);
    }
    let why = match host.lockdown {
        Some(Lockdown::Confidentiality) => format!("lockdown=confidentiality forbids it, and {cast}"),
        _ => format!("bpf_probe_read_kernel: {read}; {cast}"),
    };
    Err(PlanError::Unreadable { why })
}

/// A ring buffer if there is one and nothing else was asked for.
fn transport(args: &Args, host: &Host, memory: Memory) -> Transport {
    let ring = match args.event_buffer {
        _ if memory == Memory::Direct => false,
        Some(wanted) => wanted == EventBuffer::Ring,
        None => host.features.ring_buffer.is_ok(),
    };
    if ring {
        return Transport::Ring { bytes: power_of_two(args.buffer_size) };
    }
    let cpus = host.cpus.max(1);
    Transport::Perf { bytes: power_of_two(args.buffer_size / u64::from(cpus)), cpus }
}

/// The next power of two, within what the kernel accepts.
fn power_of_two(bytes: u64) -> u32 {
    let bytes = bytes.clamp(64 << 10, 1 << 30);
    u32::try_from(bytes.next_power_of_two()).unwrap_or(1 << 30)
}

/// Whether all functions of one program that take a drop reason take it at the same position: then the program needs no
/// cookie to find it.
fn one_reason_for_each_program(targets: &[Target]) -> bool {
    let mut positions = [None; 6];
    targets.iter().all(|target| match target.reason_arg {
        Some(reason) => *positions[usize::from(target.skb_arg)].get_or_insert(reason) == reason,
        None => true,
    })
}

/// The functions whose lines show the drop reason.
const DROPS: [&str; 2] = ["kfree_skb_reason", "sk_skb_reason_drop"];

fn targets(args: &Args, host: &Host, backend: Backend) -> Vec<Target> {
    let mut targets: Vec<Target> = match backend {
        Backend::Tracepoint => tracepoints(host),
        Backend::Fentry => functions_for_fentry(args, host),
        Backend::Kprobe | Backend::KprobeMulti => host.functions.functions.iter().map(Target::from).collect(),
    };
    for target in &mut targets {
        // Lines are pwru's, which names the reason behind these two alone.
        if !target.is_tracepoint && !DROPS.contains(&target.name.as_str()) {
            target.reason_arg = None;
        }
    }
    targets::most_telling_first(&mut targets);
    targets
}

/// The functions for fentry: all that can be, if it was asked for; else few, and the tracepoints.
fn functions_for_fentry(args: &Args, host: &Host) -> Vec<Target> {
    let able = host.functions.functions.iter().filter(|function| function.fentry.is_ok());
    let mut targets: Vec<Target> = able.map(Target::from).collect();
    if args.backend.is_some() {
        return targets;
    }
    if host.wanted.is_all() {
        targets.retain(|target| target.skb_arg == 0 || targets::MAIN.contains(&target.name.as_str()));
    }
    targets::most_telling_first(&mut targets);
    targets.truncate(FENTRY_LIMIT);
    let points = tracepoints(host).into_iter();
    let new: Vec<Target> = points.filter(|point| targets.iter().all(|target| target.name != point.name)).collect();
    targets.extend(new);
    targets
}

fn tracepoints(host: &Host) -> Vec<Target> {
    let skb = PointerSet::to_struct(&host.btf, "sk_buff");
    let reason = PointerSet::to_enum(&host.btf, "skb_drop_reason");
    let position = |index: usize| u8::try_from(index + 1).ok();
    host.btf
        .tracepoints()
        .filter(|tracepoint| host.wanted.has(tracepoint.name()))
        .filter_map(|tracepoint| {
            let skb_arg = tracepoint.args().position(|arg| skb.has_pointer(arg)).and_then(position)?;
            Some(Target {
                name: tracepoint.name().to_owned(),
                module: None,
                addresses: Vec::new(),
                skb_arg,
                reason_arg: tracepoint.args().position(|arg| reason.has_value(arg)).and_then(position),
                btf_id: tracepoint.id().0,
                is_tracepoint: true,
            })
        })
        .collect()
}

/// Why no target is left.
fn nothing(args: &Args, host: &Host, backend: Backend) -> PlanError {
    if host.wanted.is_all() {
        PlanError::NoFunction { backend: backend.word() }
    } else {
        PlanError::NoMatch { backend: args.backend.as_ref().map(|backend| backend.word()) }
    }
}
