//! Which privileges each feature needs, and the end of those that nothing needs any more.
//!
//! [`NEEDS`] is the one table: what a run keeps, what its threads keep, and README's table come from it. System calls are
//! in [`calls`].

pub mod calls;

use crate::cli::Args;
use crate::host::survey::Host;
use crate::plan::{Backend, Plan};
use crate::sys::privilege as sys;
use std::fmt;
use std::io;

/// A capability, by its number (include/uapi/linux/capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Capability {
    /// CAP_CHOWN.
    Chown = 0,
    /// CAP_DAC_OVERRIDE.
    DacOverride = 1,
    /// CAP_NET_BROADCAST.
    NetBroadcast = 11,
    /// CAP_SYS_PTRACE.
    SysPtrace = 19,
    /// CAP_SYS_ADMIN.
    SysAdmin = 21,
    /// CAP_SYS_RESOURCE.
    SysResource = 24,
    /// CAP_SYSLOG.
    Syslog = 34,
    /// CAP_PERFMON. Since Linux 5.8; CAP_SYS_ADMIN stands for it.
    Perfmon = 38,
    /// CAP_BPF. Since Linux 5.8; CAP_SYS_ADMIN stands for it.
    Bpf = 39,
}

use Capability::{Bpf, Chown, DacOverride, NetBroadcast, Perfmon, SysAdmin, SysPtrace, SysResource, Syslog};

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Chown => "CAP_CHOWN",
            DacOverride => "CAP_DAC_OVERRIDE",
            NetBroadcast => "CAP_NET_BROADCAST",
            SysPtrace => "CAP_SYS_PTRACE",
            SysAdmin => "CAP_SYS_ADMIN",
            SysResource => "CAP_SYS_RESOURCE",
            Syslog => "CAP_SYSLOG",
            Perfmon => "CAP_PERFMON",
            Bpf => "CAP_BPF",
        })
    }
}

/// Something that needs privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Programs and buffers.
    Tracing,
    /// Where functions are.
    Addresses,
    /// Locked memory before Linux 5.11.
    LockedMemory,
    /// Paths of processes.
    Processes,
    /// Names of interfaces in all network namespaces.
    Interfaces,
    /// Programs of others: `--filter-trace-tc`, `--filter-trace-xdp`.
    Programs,
    /// Those of them that are entered by tail calls.
    TailCalls,
    /// Functions that are found while the run goes on, those of modules and further ones of a name.
    Functions,
    /// What BPF programs call: `--filter-track-bpf-helpers`.
    Helpers,
    /// What tracing costs, in the status line.
    Costs,
    /// `--output-file`, `--ready-file`.
    Files,
}

/// What a feature needs.
#[derive(Debug)]
pub struct Need {
    /// The feature.
    pub feature: Feature,
    /// What it is called in README.
    pub name: &'static str,
    /// Before everything is attached.
    pub start: &'static [Capability],
    /// Afterwards, on the thread that writes lines.
    pub run: &'static [Capability],
    /// Afterwards, on a thread of its own.
    pub thread: &'static [Capability],
    /// What becomes of the run if they are not there.
    pub without: &'static str,
}

/// Every feature with its needs.
pub const NEEDS: [Need; 11] = [
    Need {
        feature: Feature::Tracing,
        name: "tracing at all",
        start: &[Bpf, Perfmon],
        run: &[Bpf],
        thread: &[Bpf],
        without: "nothing is traced; `whither doctor` says what root would have",
    },
    Need {
        feature: Feature::Addresses,
        name: "addresses of functions, symbols of `--output-stack` and `--output-caller`",
        start: &[Syslog],
        run: &[],
        thread: &[],
        without: "tracepoints and fentry alone",
    },
    Need {
        feature: Feature::LockedMemory,
        name: "buffers, below Linux 5.11",
        start: &[SysResource],
        run: &[],
        thread: &[],
        without: "what `ulimit -l` allows; `--buffer-size` makes it less",
    },
    Need {
        feature: Feature::Processes,
        name: "paths of other users' processes",
        start: &[],
        run: &[SysPtrace],
        thread: &[],
        without: "command names instead",
    },
    Need {
        feature: Feature::Interfaces,
        name: "names of interfaces in other network namespaces; `--filter-ifname` with `--filter-netns`",
        start: &[SysAdmin, SysPtrace, NetBroadcast],
        run: &[],
        thread: &[SysAdmin, SysPtrace],
        without: "numbers instead",
    },
    Need {
        feature: Feature::Programs,
        name: "`--filter-trace-tc`, `--filter-trace-xdp`",
        start: &[SysAdmin],
        run: &[SysAdmin, Perfmon],
        thread: &[],
        without: "no such programs",
    },
    Need {
        feature: Feature::TailCalls,
        name: "such programs where they are entered by a tail call",
        start: &[SysAdmin, Syslog],
        run: &[SysAdmin, Syslog],
        thread: &[],
        without: "they are shown where they are entered by themselves",
    },
    Need {
        feature: Feature::Functions,
        name: "functions that are found later: `--kmods`, `--all-kmods`, for a second those of one name",
        start: &[],
        run: &[Bpf, Perfmon, Syslog, SysAdmin],
        thread: &[],
        without: "they are not traced",
    },
    Need {
        feature: Feature::Helpers,
        name: "`--filter-track-bpf-helpers`",
        start: &[SysAdmin, Syslog],
        run: &[],
        thread: &[],
        without: "an error",
    },
    Need {
        feature: Feature::Costs,
        name: "what tracing costs, in the status line",
        start: &[SysAdmin],
        run: &[],
        thread: &[],
        without: "the line without it",
    },
    Need {
        feature: Feature::Files,
        name: "`--output-file`, `--ready-file` in a directory of somebody else",
        start: &[DacOverride],
        run: &[DacOverride, Chown],
        thread: &[],
        without: "an error; a file that cannot be rotated grows on",
    },
];

/// Capabilities, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    fn of<'n>(lists: impl IntoIterator<Item = &'n [Capability]>) -> Capabilities {
        Capabilities(lists.into_iter().flatten().fold(0, |bits, &capability| bits | 1 << capability as u8))
    }

    /// Whether `capability` is among them.
    pub fn has(self, capability: Capability) -> bool {
        self.0 >> capability as u8 & 1 == 1
    }
}

/// The features of a run with these flags that need privileges after everything is attached.
pub fn running(args: &Args, host: &Host, plan: &Plan) -> Vec<Feature> {
    let mut features = vec![Feature::Tracing, Feature::Processes];
    let may_come = args.all_kmods || !args.kmods.is_empty() || host.first_only;
    if may_come && matches!(plan.backend, Backend::KprobeMulti | Backend::Kprobe) {
        features.push(Feature::Functions);
    }
    if args.filter_trace_tc || args.filter_trace_xdp {
        features.extend([Feature::Programs, Feature::TailCalls]);
    }
    if args.output_file.is_some() || args.ready_file.is_some() {
        features.push(Feature::Files);
    }
    features
}

/// What the thread that writes lines keeps for `features`.
pub fn kept(features: &[Feature]) -> Capabilities {
    Capabilities::of(NEEDS.iter().filter(|need| features.contains(&need.feature)).map(|need| need.run))
}

/// Leaves this thread what it needs for the `features`.
pub fn keep(features: &[Feature]) -> io::Result<()> {
    sys::keep(kept(features).0)
}

/// Leaves this thread what the thread of `feature` needs. Where that is refused the thread does its work all the same.
pub fn keep_for_thread(feature: Feature) {
    let _ = sys::keep(Capabilities::of(NEEDS.iter().filter(|need| need.feature == feature).map(|need| need.thread)).0);
}

/// Takes from all threads every system call that `features` do not make, and the way to privileges of other programs.
/// What an earlier call took stays taken.
pub fn confine(features: &[Feature]) -> io::Result<()> {
    sys::close_up()?;
    let program = calls::filter(features);
    let code = program.0.iter().map(|insn| libc::sock_filter { code: insn.code, jt: insn.jt, jf: insn.jf, k: insn.k });
    sys::filter_calls(&code.collect::<Vec<_>>())
}

/// README's table: a row for each feature.
pub fn table() -> String {
    let mut text = String::from("| for | to start | while it runs | without |\n|---|---|---|---|\n");
    for need in &NEEDS {
        let list = |capabilities: &[&[Capability]]| {
            let mut all: Vec<Capability> = capabilities.concat();
            all.sort_unstable_by_key(|&capability| std::cmp::Reverse(capability));
            all.dedup();
            let names: Vec<String> = all.iter().map(Capability::to_string).collect();
            if names.is_empty() { "-".to_owned() } else { names.join(", ") }
        };
        let (start, run) = (list(&[need.start]), list(&[need.run, need.thread]));
        text += &format!("| {} | {start} | {run} | {} |\n", need.name, need.without);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_kept() {
        let kept = kept(&[Feature::Tracing, Feature::Processes]);
        assert!(kept.has(Bpf) && kept.has(SysPtrace) && !kept.has(SysAdmin) && !kept.has(Perfmon), "{kept:?}");
        assert!(super::kept(&[Feature::Programs]).has(SysAdmin));
    }

    #[test]
    fn every_feature_has_one_row() {
        for (n, need) in NEEDS.iter().enumerate() {
            assert!(NEEDS[..n].iter().all(|other| other.feature != need.feature), "{need:?}");
        }
    }
}
