//! What a case may need of a kernel, found by trying it.

use whither::btf::{Btf, Func};

use super::bpf::Packets;
use super::{Guest, bpf};
use crate::error::{Error, Result};

/// Something that not every kernel of the matrix has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Many kprobes with one system call.
    KprobeMulti,
    /// Functions can be traced by trampolines. Where they cannot, whither traces no BPF programs either.
    Fentry,
    /// Dropped packets carry a reason.
    DropReasons,
    /// Modules have BTF.
    ModuleBtf,
    /// tc programs can be attached without a qdisc.
    Tcx,
    /// The processor is the one that pwru's samples were recorded on.
    SamplesOfPwru,
    /// The processor is the one whose native code whither can read: for helpers, and for breakpoints behind tail calls.
    NativeCode,
}

/// Whether a kernel has a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It works.
    Here,
    /// It does not, and this kernel is too old or built without it; the text says which.
    Absent(String),
    /// It does not, although this kernel should have it.
    Broken(String),
}

impl Feature {
    /// The first version that has it, and the build option that it depends on.
    fn claim(self) -> ((u32, u32), Option<&'static str>) {
        match self {
            Self::KprobeMulti => ((5, 18), Some("CONFIG_FPROBE")),
            // On arm64 a trampoline cannot be entered from ftrace before.
            Self::Fentry => (if cfg!(target_arch = "aarch64") { (6, 4) } else { (5, 5) }, None),
            Self::DropReasons => ((5, 17), None),
            Self::ModuleBtf => ((5, 11), Some("CONFIG_DEBUG_INFO_BTF_MODULES")),
            Self::Tcx => ((6, 6), Some("CONFIG_NET_XGRESS")),
            Self::SamplesOfPwru | Self::NativeCode => ((0, 0), Some("CONFIG_X86_64")),
        }
    }

    /// Tries it on the running kernel.
    pub fn presence(self, guest: &Guest) -> Presence {
        let problem = match self {
            Self::KprobeMulti => {
                let address = guest.symbol_address("ip_rcv").unwrap_or(0);
                bpf::link_kprobe_multi(&[address]).err().map(|error| error.to_string())
            }
            Self::Fentry => fentry().err().map(|error| error.to_string()),
            Self::DropReasons => {
                let found = ["kfree_skb_reason", "sk_skb_reason_drop"].iter().any(|name| guest.has_symbol(name));
                (!found).then(|| "no function takes a reason".to_owned())
            }
            Self::ModuleBtf => {
                let loaded = guest.sh("modprobe veth && test -e /sys/kernel/btf/veth");
                loaded.err().map(|_| "/sys/kernel/btf/veth is missing".to_owned())
            }
            Self::Tcx => {
                let program = bpf::load(Packets::Tc, "try_tcx", &bpf::returns(u32::MAX), false);
                // The loopback device is interface 1 in every namespace.
                program.and_then(|program| bpf::attach_tcx(&program, 1, true)).err().map(|error| error.to_string())
            }
            Self::SamplesOfPwru | Self::NativeCode => {
                (!cfg!(target_arch = "x86_64")).then(|| "this is another processor".to_owned())
            }
        };
        let Some(problem) = problem else { return Presence::Here };
        let ((major, minor), option) = self.claim();
        if guest.version < (major, minor) {
            return Presence::Absent(format!("{self:?} is there since Linux {major}.{minor}"));
        }
        match option {
            Some(option) if !guest.has_option(option) => Presence::Absent(format!("{self:?} needs {option}")),
            _ => Presence::Broken(format!("{self:?} is there since Linux {major}.{minor}, but: {problem}")),
        }
    }
}

impl Guest {
    /// Whether the kernel has `feature`; an error where it should.
    pub fn has(&self, feature: Feature) -> Result<bool> {
        match feature.presence(self) {
            Presence::Here => Ok(true),
            Presence::Absent(_) => Ok(false),
            Presence::Broken(problem) => Err(Error::new(problem)),
        }
    }
}

fn fentry() -> Result<()> {
    let types = Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux")?, "vmlinux").map_err(told)?;
    let function = types.find::<Func>("kfree_skbmem").map_err(told)?.id();
    bpf::attach_fentry(function.0)?;
    Ok(())
}

fn told(error: impl std::fmt::Display) -> Error {
    Error::new(error.to_string())
}
