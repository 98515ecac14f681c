//! How packets are followed once they matched: by the address of their skb, from hooks where an skb is copied or ends.

use super::kernel::{Spot, number};
use super::{Backend, Target};
use crate::btf::{Btf, Composite, PathError, PathErrorKind, PointerSet, Struct, TypeId};
use crate::host::SkbFunction;
use crate::host::survey::Host;
use std::fmt;

/// What follows packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// How many skbs can be followed at a time.
    pub entries: u32,
    /// How the hooks get in.
    pub by: By,
    /// The hooks.
    pub trackers: Vec<Tracker>,
    /// Bytes of a `struct sk_buff`.
    pub skb_size: u32,
    /// `--filter-track-skb`: whether skbs that matched are followed by their address.
    pub skbs: bool,
    /// `--filter-track-skb-by-stackid`: how the stacks that packets are worked on are told apart.
    pub stacks: Option<Stacks>,
}

/// How stacks are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stacks {
    /// `struct task_struct`.
    pub task: TypeId,
    /// `void *stack` in it: the lowest address of the task's stack.
    pub base: Spot,
    /// Bytes of a task's stack (THREAD_SIZE).
    pub size: u32,
}

impl Stacks {
    /// Finds what it takes in the kernel's types.
    pub fn find(btf: &Btf) -> Result<Stacks, PathError> {
        let missing = |error| PathError { kind: PathErrorKind::Root(error), span: 0..11 };
        let task = btf.find::<Struct>("task_struct").map_err(missing)?.id();
        // A union of the stack with what lies at its end; the linker makes room of this size for the first task.
        let size = btf.find::<Composite>("thread_union").map_or(DEFAULT_STACK, |union| union.size());
        Ok(Stacks { task, base: number(btf, "task_struct", "stack")?, size })
    }
}

/// THREAD_SIZE of x86_64, and of arm64 with pages of 4 KiB.
const DEFAULT_STACK: u32 = 16 << 10;

/// How trackers get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// fentry and fexit. Unlike kprobes they are not skipped while another probe runs on their CPU, and a hook that is
    /// skipped where an skb ends leaves its address behind, to match a stranger.
    Fentry,
    /// As the functions that are traced: where there is no fentry.
    Probes,
    /// Tracepoints: copies are not seen.
    Tracepoints,
}

/// BPF programs that are traced besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    /// Any: that takes fentry, whatever the backend is.
    pub any: bool,
    /// XDP programs: packets are followed from there on.
    pub xdp: bool,
}

/// A hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracker {
    /// Where.
    pub target: Target,
    /// What for.
    pub does: Does,
}

/// What a function does with the life of an skb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Argument 1 becomes a copy of argument 2, or a part of it.
    Copies,
    /// The skb gets another buffer. If it shared the old one, [`Does::Releases`] follows, and the skb lives on.
    Expands,
    /// The skb begins to end; whatever it did before is over.
    Dies,
    /// The data are released. Unless the skb gets another buffer this is its end; only functions of
    /// [`is_after_death`] still hear of it.
    Releases,
    /// The memory of the skb is free for the next one.
    Frees,
    /// As [`Does::Frees`], if argument 2 is true.
    FreesIf,
    /// The skb was just built around a frame, which may be one that an XDP program let through.
    TakesFrame,
    /// As [`Does::Frees`], for whatever memory starts at argument 2: there may be two skbs, one behind the other
    /// (`struct sk_buff_fclones`).
    FreesMemory,
}

impl fmt::Display for Does {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Does::Copies => "copies",
            Does::Expands => "gets another buffer",
            Does::Dies => "begins to end",
            Does::Releases => "releases the data",
            Does::Frees => "frees",
            Does::TakesFrame => "takes a frame",
            Does::FreesIf => "frees if asked to",
            Does::FreesMemory => "frees any memory",
        })
    }
}

/// What a function of [`crate::host::life::LIFE`] does.
fn does(name: &str) -> Option<Does> {
    Some(match name {
        "__copy_skb_header" | "skb_copy_header" | "ip_copy_metadata" | "ip6_copy_metadata" => Does::Copies,
        "pskb_expand_head" => Does::Expands,
        "skb_release_head_state" => Does::Dies,
        "skb_release_data" => Does::Releases,
        "kfree_skbmem" | "napi_skb_cache_put" | "napi_skb_free_stolen_head" | "napi_reuse_skb" => Does::Frees,
        "kfree_skb_partial" => Does::FreesIf,
        "eth_type_trans" => Does::TakesFrame,
        _ => return None,
    })
}

/// Without these packets are not followed at all: what ends would not be seen, and its address would match strangers.
const ESSENTIAL: [&str; 2] = ["skb_release_data", "kfree_skbmem"];

/// Functions that are handed an skb that ends or has ended: one that matches there is shown, but not followed.
///
/// The callbacks of zero-copy sending run inside `skb_release_data`.
const AFTER_DEATH: [&str; 9] = [
    "skb_release_head_state",
    "skb_release_data",
    "skb_free_head",
    "kfree_skbmem",
    "napi_skb_cache_put",
    "napi_skb_free_stolen_head",
    "msg_zerocopy_callback",
    "msg_zerocopy_complete",
    "sock_zerocopy_callback",
];

/// Whether the function `name` is handed skbs that have ended.
pub fn is_after_death(name: &str) -> bool {
    AFTER_DEATH.contains(&name)
}

/// The tracepoints that tell of the end of an skb: dropped, consumed, handed to TCP's receiver or to GRO, which end it
/// without telling.
const ENDS: [(&str, Does); 6] = [
    ("kfree_skb", Does::Frees),
    ("consume_skb", Does::Frees),
    ("tcp_probe", Does::Frees),
    ("napi_gro_receive_entry", Does::Frees),
    ("napi_gro_frags_entry", Does::Frees),
    ("kmem_cache_free", Does::FreesMemory),
];

impl Tracking {
    /// Decides how skbs are followed while `backend` traces; `None` if this host has not what it takes.
    pub fn new(
        host: &Host,
        backend: Backend,
        entries: u32,
        skbs: bool,
        stacks: Option<Stacks>,
        programs: Programs,
    ) -> Option<Tracking> {
        let skb_size = host.btf.find::<Struct>("sk_buff").map_or(0, |skb| skb.size());
        let has_fentry = matches!(host.features.fentry, Some(Ok(())));
        let (by, mut trackers) = match backend {
            Backend::Tracepoint if !(programs.any && has_fentry) => (By::Tracepoints, ends(host)),
            _ => {
                let by = if has_fentry { By::Fentry } else { By::Probes };
                (by, hooks(host, by))
            }
        };
        if !skbs {
            trackers.retain(|tracker| tracker.does != Does::Copies);
        }
        trackers.retain(|tracker| (skbs && programs.xdp) || tracker.does != Does::TakesFrame);
        let tracking = Tracking { entries, by, trackers, skb_size, skbs, stacks };
        tracking.is_sound(&[]).then_some(tracking)
    }

    /// Whether packets are followed from XDP programs on.
    pub fn takes_frames(&self) -> bool {
        self.trackers.iter().any(|tracker| tracker.does == Does::TakesFrame)
    }

    /// Whether every end is seen if the trackers with the indices `failed` are left out.
    pub fn is_sound(&self, failed: &[u32]) -> bool {
        let left =
            (0u32..).zip(&self.trackers).filter(|(index, _)| !failed.contains(index)).map(|(_, tracker)| tracker);
        match self.by {
            By::Tracepoints => left.count() == ENDS.len(),
            _ => left.filter(|tracker| ESSENTIAL.contains(&tracker.target.name.as_str())).count() == ESSENTIAL.len(),
        }
    }
}

fn hooks(host: &Host, by: By) -> Vec<Tracker> {
    let usable = |function: &&SkbFunction| match by {
        By::Fentry => function.fentry.is_ok(),
        _ => !function.addresses.is_empty(),
    };
    let hook = |function: &SkbFunction| Some(Tracker { does: does(&function.name)?, target: Target::from(function) });
    host.life.iter().filter(usable).filter_map(hook).collect()
}

fn ends(host: &Host) -> Vec<Tracker> {
    let skb = PointerSet::to_struct(&host.btf, "sk_buff");
    let end = |&(name, does): &(&str, Does)| {
        let tracepoint = host.btf.tracepoint(name).ok()?;
        let position = match does {
            Does::FreesMemory => 1,
            _ => tracepoint.args().position(|arg| skb.has_pointer(arg))?,
        };
        let target = Target {
            name: name.to_owned(),
            module: None,
            addresses: Vec::new(),
            skb_arg: u8::try_from(position + 1).ok()?,
            reason_arg: None,
            btf_id: 0,
            is_tracepoint: true,
        };
        Some(Tracker { target, does })
    };
    ENDS.iter().filter_map(end).collect()
}

impl fmt::Display for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            By::Fentry => "fentry",
            By::Probes => "probes",
            By::Tracepoints => "tracepoints",
        };
        let what = match (self.skbs, self.stacks) {
            (true, None) => "",
            (true, Some(_)) => " and their stacks",
            (false, _) => " by their stacks",
        };
        writeln!(f, "follow   {} packets{what}, hooks by {by}", self.entries)?;
        if let Some(stacks) = &self.stacks {
            writeln!(f, "follow   stacks of {} bytes from task_struct + {}", stacks.size, stacks.base.offset)?;
        }
        for Tracker { target, does } in &self.trackers {
            writeln!(f, "follow   {:<30} {does}, skb is argument {}", target.name, target.skb_arg)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::life::LIFE;

    #[test]
    fn a_plan_tells_what_hooks_are_for() {
        let texts = [
            (Does::Copies, "copies"),
            (Does::Expands, "gets another buffer"),
            (Does::Dies, "begins to end"),
            (Does::Releases, "releases the data"),
            (Does::Frees, "frees"),
            (Does::FreesIf, "frees if asked to"),
            (Does::TakesFrame, "takes a frame"),
            (Does::FreesMemory, "frees any memory"),
        ];
        texts.iter().for_each(|(does, text)| assert_eq!(does.to_string(), *text));
    }

    #[test]
    fn what_every_function_does_is_known() {
        for name in LIFE {
            assert!(does(name).is_some(), "{name}");
        }
        assert!(ESSENTIAL.iter().all(|name| LIFE.contains(name)));
    }
}
