//! What this process may do and what the kernel says about itself, as far as that explains a refusal.

use crate::host::Roots;
use crate::host::features::Lockdown;
use std::io::Read;

/// Bits of `CapEff` (include/uapi/linux/capability.h).
const SYS_PTRACE: u32 = 19;
const SYS_ADMIN: u32 = 21;
const SYSLOG: u32 = 34;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// Facts that explain refusals.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Such as `6.12.8-amd64`.
    pub release: String,
    /// Effective capabilities; `None` where `/proc` does not say.
    pub capabilities: Option<u64>,
    /// Whether a seccomp filter is in force.
    pub seccomp: bool,
    /// What lockdown forbids.
    pub lockdown: Option<Lockdown>,
    /// `net.core.bpf_jit_enable`, if it can be read.
    pub jit: Option<bool>,
    /// `kernel.ftrace_enabled`, if it can be read.
    pub ftrace: Option<bool>,
    /// The kernel's build options, if it tells.
    pub(super) config: Option<String>,
}

impl Facts {
    /// Reads them.
    pub fn read(roots: &Roots) -> Facts {
        let release = roots.release();
        let status = std::fs::read_to_string(roots.proc.join("self/status")).unwrap_or_default();
        let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let switch = |path: &str| {
            let text = std::fs::read_to_string(roots.proc.join("sys").join(path)).ok()?;
            Some(text.trim() != "0")
        };
        let config = gunzip(&roots.proc.join("config.gz"))
            .or_else(|| std::fs::read_to_string(format!("/boot/config-{release}")).ok())
            .or_else(|| std::fs::read_to_string(format!("/lib/modules/{release}/config")).ok());
        Facts {
            capabilities: line("CapEff:").and_then(|digits| u64::from_str_radix(digits, 16).ok()),
            seccomp: line("Seccomp:") == Some("2"),
            lockdown: Lockdown::read(&roots.sys),
            jit: switch("net/core/bpf_jit_enable"),
            ftrace: switch("kernel/ftrace_enabled"),
            config,
            release,
        }
    }

    fn has(&self, capability: u32) -> bool {
        self.capabilities.is_none_or(|all| all >> capability & 1 == 1)
    }

    /// The capabilities that tracing needs and this process lacks.
    pub fn missing(&self) -> Vec<&'static str> {
        let all = [(BPF, "CAP_BPF"), (PERFMON, "CAP_PERFMON"), (SYSLOG, "CAP_SYSLOG")];
        let lacks = |capability| {
            // Before Linux 5.8 there was only CAP_SYS_ADMIN, which still stands for the first two.
            !self.has(capability) && (capability == SYSLOG || !self.has(SYS_ADMIN))
        };
        all.into_iter().filter(|&(capability, _)| lacks(capability)).map(|(_, name)| name).collect()
    }

    /// Whether programs can be loaded and probes attached, as far as capabilities go.
    pub fn may_trace(&self) -> bool {
        self.missing().iter().all(|&name| name == "CAP_SYSLOG")
    }

    /// Whether other network namespaces can be entered.
    pub fn may_enter(&self) -> bool {
        self.has(SYS_ADMIN)
    }

    /// Whether namespaces without a name can be found, in which only processes of other users are.
    pub fn may_look_at_processes(&self) -> bool {
        self.has(SYS_PTRACE)
    }

    /// Whether the kernel was built with `option`; `None` where it does not tell.
    pub fn option(&self, option: &str) -> Option<bool> {
        let config = self.config.as_ref()?;
        Some(config.lines().any(|line| {
            let value = line.strip_prefix(option).and_then(|rest| rest.strip_prefix('='));
            value.is_some_and(|value| value.starts_with(['y', 'm']))
        }))
    }

    /// Whether the kernel is older than `major.minor`; false where that is not known.
    pub fn before(&self, major: u32, minor: u32) -> bool {
        let mut numbers = self.release.split('.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| &part[..end]);
            digits.parse::<u32>().ok()
        });
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(first), Some(second)) => (first, second) < (major, minor),
            _ => false,
        }
    }
}

fn gunzip(path: &std::path::Path) -> Option<String> {
    /// No kernel's options are longer.
    const LIMIT: u64 = 4 << 20;
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    flate2::read::GzDecoder::new(file).take(LIMIT).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_that_matter() {
        let with =
            |bits: &[u32]| Facts { capabilities: Some(bits.iter().map(|bit| 1 << bit).sum()), ..Facts::default() };
        assert_eq!(with(&[]).missing(), ["CAP_BPF", "CAP_PERFMON", "CAP_SYSLOG"]);
        assert_eq!(with(&[SYS_ADMIN, SYSLOG]).missing(), [""; 0]);
        assert!(with(&[BPF, PERFMON]).may_trace() && !with(&[BPF]).may_trace());
        assert!(Facts::default().may_trace(), "nobody says that it may not");
    }

    #[test]
    fn versions_and_options() {
        let facts = Facts {
            release: "6.12.107+deb13-amd64".into(),
            config: Some("CONFIG_FPROBE=y\n# CONFIG_KPROBES is not set\nCONFIG_FPROBE_EVENTS=n\n".into()),
            ..Facts::default()
        };
        assert!(facts.before(6, 13) && facts.before(7, 0) && !facts.before(6, 12));
        assert!(Facts { release: "5.10-rc1".into(), ..Facts::default() }.before(5, 11));
        assert!(!Facts { release: "next".into(), ..Facts::default() }.before(5, 11));
        assert_eq!(facts.option("CONFIG_FPROBE"), Some(true));
        assert_eq!((facts.option("CONFIG_KPROBES"), facts.option("CONFIG_FPROBE_EVENTS")), (Some(false), Some(false)));
        assert_eq!(Facts::default().option("CONFIG_FPROBE"), None);
    }
}
