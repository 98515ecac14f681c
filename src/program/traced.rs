//! Programs that run when a BPF program does: fentry on its main function; a breakpoint in its native code where it is
//! entered by tail calls, which jump over the place of fentry.
//!
//! The verifier types the argument as what it really is, `struct sk_buff *` or `struct xdp_buff *`, not as what the
//! program sees (`btf_translate_to_vmlinux`, kernel/bpf/btf.c). A program that calls itself otherwise passes a number.
//! Either way it is read as `plan.memory` says.

use crate::plan::{Memory, Plan};
use crate::program::{Blueprint, BuildError, Entry, emit, xdp};
use crate::sys::bpf::{AttachType, ProgType};

/// What a traced program works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// An skb.
    Skb,
    /// An `xdp_buff`.
    Xdp,
}

/// Emits the program for the entry of a BPF program whose main function is `main` in its own BTF. In records it is the
/// target with the index `target`.
pub fn entry(plan: &Plan, context: Context, target: u32, main: u32) -> Result<Blueprint, BuildError> {
    let way = Entry::Words { target, skb_arg: 1, reason_arg: None };
    let code = match context {
        Context::Skb => emit(plan, &way, false, "whither_tc".into())?,
        Context::Xdp => xdp::emit(plan, &way, "whither_xdp".into())?,
    };
    Ok(Blueprint {
        code,
        kind: ProgType::Tracing,
        attach: AttachType::TraceFentry,
        btf_id: main,
        targets: vec![target],
        own_target: true,
        module: None,
    })
}

/// Emits the program for a breakpoint in a BPF program; `None` if that could not read the packet: what is in registers is
/// a mere number to the verifier, which no typed load follows.
pub fn breakpoint(plan: &Plan, context: Context, target: u32) -> Option<Result<Blueprint, BuildError>> {
    if plan.memory == Memory::Direct {
        return None;
    }
    let way = Entry::Breakpoint { target };
    let code = match context {
        Context::Skb => emit(plan, &way, false, "whither_tc_tail".into()),
        Context::Xdp => xdp::emit(plan, &way, "whither_xdp_tail".into()),
    };
    Some(code.map(|code| Blueprint {
        code,
        kind: ProgType::PerfEvent,
        attach: AttachType::None,
        btf_id: 0,
        targets: vec![target],
        own_target: true,
        module: None,
    }))
}

/// Emits the program for the end of an XDP program, if packets are followed from there on.
pub fn exit(plan: &Plan, target: u32, main: u32) -> Option<Result<Blueprint, BuildError>> {
    plan.tracking.as_ref().filter(|tracking| tracking.takes_frames())?;
    let blueprint = |code| Blueprint {
        code,
        kind: ProgType::Tracing,
        attach: AttachType::TraceFexit,
        btf_id: main,
        targets: vec![target],
        own_target: true,
        module: None,
    };
    Some(xdp::emit_exit(plan, "whither_xdp_exit".into()).map(blueprint))
}

/// The programs that the next tc program and the next XDP program would get, by either way, for listings.
pub fn samples(plan: &Plan, tc: bool, xdp: bool) -> Result<Vec<Blueprint>, BuildError> {
    let wanted = [(tc, Context::Skb), (xdp, Context::Xdp)].into_iter().filter(|(wanted, _)| *wanted);
    let numbered = (plan.targets.len() as u32..).zip(wanted.map(|(_, context)| context));
    let entries = numbered.clone().map(|(index, context)| entry(plan, context, index, 0));
    let breakpoints = numbered.filter_map(|(index, context)| breakpoint(plan, context, index));
    let exit = exit(plan, plan.targets.len() as u32, 0).filter(|_| xdp);
    entries.chain(breakpoints).chain(exit).collect()
}
