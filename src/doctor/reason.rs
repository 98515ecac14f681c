//! Why something does not work here, and the one change that would help.

use super::facts::Facts;
use crate::error::Error;
use crate::host::features::Lockdown;
use crate::host::survey::HostError;
use crate::plan::{Backend, PlanError};
use std::io;

/// What stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Lockdown forbids it.
    Lockdown,
    /// The kernel was built without it.
    Config,
    /// The kernel is too old.
    Version,
    /// This process lacks a capability.
    Capability,
    /// A seccomp filter forbids it.
    Seccomp,
    /// A sysctl hides or disables it.
    Sysctl,
    /// The limit of locked memory.
    Memlock,
    /// A file system is not mounted.
    Mount,
    /// Programs are interpreted.
    Jit,
    /// The network of this process.
    Network,
    /// Nobody says.
    Unknown,
}

impl Cause {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Cause::Lockdown => "lockdown",
            Cause::Config => "config",
            Cause::Version => "version",
            Cause::Capability => "capability",
            Cause::Seccomp => "seccomp",
            Cause::Sysctl => "sysctl",
            Cause::Memlock => "memlock",
            Cause::Mount => "mount",
            Cause::Jit => "jit",
            Cause::Network => "network",
            Cause::Unknown => "unknown",
        }
    }
}

/// Why something does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What kind of obstacle it is.
    pub cause: Cause,
    /// What happened, one sentence.
    pub text: String,
    /// The one change that would unlock it, if there is one.
    pub unlock: Option<String>,
}

impl Reason {
    fn new(cause: Cause, text: impl Into<String>, unlock: impl Into<String>) -> Reason {
        Reason { cause, text: text.into(), unlock: Some(unlock.into()).filter(|unlock| !unlock.is_empty()) }
    }

    /// Why a kernel feature that is there since Linux `since` was refused with `error`.
    pub fn of_feature(error: &io::Error, since: (u32, u32), facts: &Facts) -> Reason {
        if let Some(reason) = permission(error, facts) {
            return reason;
        }
        let (major, minor) = since;
        if facts.before(major, minor) {
            let text = format!("there since Linux {major}.{minor}");
            return Reason::new(Cause::Version, text, format!("Linux {major}.{minor} or later"));
        }
        Reason::new(Cause::Unknown, error.to_string(), "")
    }

    /// Why nothing was found of what is there since Linux `since`.
    pub fn of_none(since: (u32, u32), facts: &Facts) -> Reason {
        Reason::of_feature(&io::Error::other("there are none"), since, facts)
    }

    /// Why reading kernel memory by a helper was refused with `error`.
    pub fn of_reading(error: &io::Error, facts: &Facts) -> Reason {
        if facts.lockdown == Some(Lockdown::Confidentiality) && facts.may_trace() {
            return locked(facts);
        }
        Reason::of_feature(error, (5, 5), facts)
    }

    /// Why `backend` does not work.
    pub fn of_backend(backend: Backend, error: &Error, facts: &Facts) -> Reason {
        let brief = error.brief();
        let text = brief.strip_prefix(&format!("{backend} does not work here: ")).unwrap_or(&brief).to_owned();
        if !facts.may_trace() {
            let reason = lacking(facts);
            return Reason { text: format!("{}; {}", reason.text, root_would(backend, facts)), ..reason };
        }
        match error {
            Error::Plan(PlanError::Unreadable { .. }) if facts.lockdown == Some(Lockdown::Confidentiality) => {
                return Reason { text, ..locked(facts) };
            }
            Error::Plan(PlanError::NoAddresses { hint, .. }) => return Reason::of_addresses(text, *hint, facts),
            Error::Host(HostError::Btf(_)) => {
                let unlock = "a kernel with CONFIG_DEBUG_INFO_BTF, or its types in a file: --kernel-btf FILE";
                return Reason::new(Cause::Config, text, unlock);
            }
            _ => {}
        }
        let Some(answer) = error.io() else { return Reason::new(Cause::Unknown, text, "") };
        if let Some(reason) = permission(answer, facts) {
            return Reason { text: format!("{text}; {}", reason.text), ..reason };
        }
        let needs = |option: &str, since: (u32, u32)| {
            let (major, minor) = since;
            if facts.before(major, minor) {
                let unlock = format!("Linux {major}.{minor} or later with {option}");
                return Reason::new(Cause::Version, format!("{text} (there since Linux {major}.{minor})"), unlock);
            }
            match facts.option(option) {
                Some(false) | None => {
                    Reason::new(Cause::Config, format!("{text} (needs {option})"), format!("a kernel with {option}"))
                }
                Some(true) => Reason::new(Cause::Unknown, text.clone(), ""),
            }
        };
        if facts.ftrace == Some(false) && backend != Backend::Tracepoint {
            return Reason::new(Cause::Sysctl, format!("{text} (ftrace is off)"), "sysctl kernel.ftrace_enabled=1");
        }
        match backend {
            Backend::KprobeMulti => needs("CONFIG_FPROBE", (5, 18)),
            Backend::Kprobe if answer.kind() == io::ErrorKind::NotFound => match facts.option("CONFIG_KPROBE_EVENTS") {
                Some(true) => Reason::new(Cause::Mount, text, "mount -t sysfs sysfs /sys"),
                _ => needs("CONFIG_KPROBE_EVENTS", (4, 17)),
            },
            Backend::Fentry if facts.jit == Some(false) => Reason::new(
                Cause::Jit,
                format!("{text} (programs are interpreted)"),
                "sysctl net.core.bpf_jit_enable=1",
            ),
            Backend::Fentry => needs("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS", (5, 5)),
            _ => Reason::new(Cause::Unknown, text, ""),
        }
    }

    /// Why functions have no addresses.
    pub fn of_addresses(text: String, hint: Option<&str>, facts: &Facts) -> Reason {
        match hint {
            Some(hint) => Reason::new(Cause::Sysctl, text, hint),
            None if facts.missing().contains(&"CAP_SYSLOG") => Reason::new(Cause::Capability, text, "CAP_SYSLOG"),
            None => Reason::new(Cause::Unknown, text, ""),
        }
    }
}

/// What a process with all privileges would find, by what the kernel tells everybody.
fn root_would(backend: Backend, facts: &Facts) -> String {
    let (option, since) = match backend {
        Backend::KprobeMulti => ("CONFIG_FPROBE", (5, 18)),
        Backend::Kprobe => ("CONFIG_KPROBE_EVENTS", (4, 17)),
        Backend::Fentry => ("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS", (5, 5)),
        Backend::Tracepoint => ("CONFIG_TRACEPOINTS", (4, 17)),
    };
    let kprobes = matches!(backend, Backend::KprobeMulti | Backend::Kprobe);
    let closed = facts.lockdown == Some(Lockdown::Confidentiality);
    if facts.before(since.0, since.1) {
        return format!("nor would root have it: it is there since Linux {}.{}", since.0, since.1);
    }
    if closed && kprobes && (backend == Backend::Kprobe || facts.before(6, 2)) {
        return "nor would root have it: lockdown=confidentiality forbids it".into();
    }
    match facts.option(option) {
        Some(true) => format!("root would have it ({option})"),
        Some(false) => format!("nor would root have it: the kernel is built without {option}"),
        None => "root may have it: the kernel's options are not shown here".into(),
    }
}

fn lacking(facts: &Facts) -> Reason {
    let missing = facts.missing().join(", ");
    Reason::new(Cause::Capability, format!("this process lacks {missing}"), "run as root, or with these capabilities")
}

fn locked(facts: &Facts) -> Reason {
    let word = facts.lockdown.map_or("?", Lockdown::word);
    Reason::new(Cause::Lockdown, format!("lockdown={word} forbids it"), format!("boot without lockdown={word}"))
}

/// What EPERM, EACCES and ENOMEM mean here; `None` for other answers.
fn permission(error: &io::Error, facts: &Facts) -> Option<Reason> {
    match error.raw_os_error() {
        Some(libc::ENOMEM) if facts.before(5, 11) => {
            Some(Reason::new(Cause::Memlock, "the limit of locked memory is reached", "ulimit -l unlimited"))
        }
        Some(libc::EPERM | libc::EACCES) => Some(if !facts.may_trace() {
            lacking(facts)
        } else if facts.seccomp {
            let unlock = "start it without the seccomp filter, for example with --security-opt seccomp=unconfined";
            Reason::new(Cause::Seccomp, "a seccomp filter is in force", unlock)
        } else if facts.lockdown.is_some_and(|state| state != Lockdown::Off) {
            locked(facts)
        } else if facts.before(5, 11) {
            Reason::new(Cause::Memlock, "locked memory may be limited", "ulimit -l unlimited")
        } else {
            Reason::new(Cause::Unknown, "the kernel does not say why (a security module?)", "")
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::AttachError;
    use crate::host::LoadError;

    fn refused(backend: Backend, code: i32) -> Error {
        let error = io::Error::from_raw_os_error(code);
        Error::Attach(AttachError::Backend { backend, what: "creating the link", error })
    }

    fn on(release: &str) -> Facts {
        Facts { release: release.into(), ..Facts::default() }
    }

    fn with(release: &str, option: &str) -> Facts {
        Facts { config: Some(option.into()), ..on(release) }
    }

    #[test]
    fn every_obstacle_has_its_way_out() {
        use Backend::{Fentry, Kprobe, KprobeMulti, Tracepoint};
        let check = |backend, code: i32, facts: Facts, cause: Cause, text: &str, unlock: &str| {
            let reason = Reason::of_backend(backend, &refused(backend, code), &facts);
            let answer = io::Error::from_raw_os_error(code);
            let said = reason.text.strip_prefix(&format!("creating the link: {answer}")).unwrap_or(&reason.text);
            assert_eq!((reason.cause, said), (cause, text), "{reason:?}");
            assert_eq!(reason.unlock.as_deref().unwrap_or_default(), unlock, "{reason:?}");
        };
        check(
            KprobeMulti,
            libc::EINVAL,
            on("5.10.1"),
            Cause::Version,
            " (there since Linux 5.18)",
            "Linux 5.18 or later with CONFIG_FPROBE",
        );
        check(
            KprobeMulti,
            libc::EOPNOTSUPP,
            on("6.1.0"),
            Cause::Config,
            " (needs CONFIG_FPROBE)",
            "a kernel with CONFIG_FPROBE",
        );
        check(KprobeMulti, libc::EOPNOTSUPP, with("6.1.0", "CONFIG_FPROBE=y"), Cause::Unknown, "", "");
        check(
            KprobeMulti,
            libc::EINVAL,
            Facts { ftrace: Some(false), ..on("6.12.1") },
            Cause::Sysctl,
            " (ftrace is off)",
            "sysctl kernel.ftrace_enabled=1",
        );
        check(
            Kprobe,
            libc::ENOENT,
            with("6.12.1", "CONFIG_KPROBE_EVENTS=y"),
            Cause::Mount,
            "",
            "mount -t sysfs sysfs /sys",
        );
        check(
            Kprobe,
            libc::ENOENT,
            on("6.12.1"),
            Cause::Config,
            " (needs CONFIG_KPROBE_EVENTS)",
            "a kernel with CONFIG_KPROBE_EVENTS",
        );
        check(
            Fentry,
            libc::EINVAL,
            Facts { jit: Some(false), ..on("6.12.1") },
            Cause::Jit,
            " (programs are interpreted)",
            "sysctl net.core.bpf_jit_enable=1",
        );
        check(
            Fentry,
            libc::EINVAL,
            on("6.12.1"),
            Cause::Config,
            " (needs CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS)",
            "a kernel with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
        );
        check(Tracepoint, libc::EINVAL, on("6.12.1"), Cause::Unknown, "", "");
    }

    #[test]
    fn a_refusal_has_its_reason() {
        let check = |code: i32, facts: Facts, cause: Cause, text: &str, unlock: &str| {
            let reason = permission(&io::Error::from_raw_os_error(code), &facts).expect("it is a refusal");
            assert_eq!((reason.cause, reason.text.as_str()), (cause, text));
            assert_eq!(reason.unlock.as_deref().unwrap_or_default(), unlock);
        };
        let limit = "the limit of locked memory is reached";
        check(libc::ENOMEM, on("5.10.1"), Cause::Memlock, limit, "ulimit -l unlimited");
        let text = "this process lacks CAP_BPF, CAP_PERFMON, CAP_SYSLOG";
        let alone = Facts { capabilities: Some(0), ..on("6.12.1") };
        check(libc::EPERM, alone, Cause::Capability, text, "run as root, or with these capabilities");
        check(
            libc::EPERM,
            Facts { seccomp: true, ..on("6.12.1") },
            Cause::Seccomp,
            "a seccomp filter is in force",
            "start it without the seccomp filter, for example with --security-opt seccomp=unconfined",
        );
        check(
            libc::EPERM,
            Facts { lockdown: Some(Lockdown::Integrity), ..on("6.12.1") },
            Cause::Lockdown,
            "lockdown=integrity forbids it",
            "boot without lockdown=integrity",
        );
        let text = "locked memory may be limited";
        check(libc::EPERM, on("5.10.1"), Cause::Memlock, text, "ulimit -l unlimited");
        let text = "the kernel does not say why (a security module?)";
        check(libc::EACCES, on("6.12.1"), Cause::Unknown, text, "");
        assert_eq!(permission(&io::Error::from_raw_os_error(libc::ENOMEM), &on("6.12.1")), None);
    }

    #[test]
    fn what_root_would_have_is_told_where_it_is_known() {
        let check = |backend, facts: Facts, text: &str| {
            let facts = Facts { capabilities: Some(0), ..facts };
            let reason = Reason::of_backend(backend, &refused(backend, libc::EPERM), &facts);
            let text = format!("this process lacks CAP_BPF, CAP_PERFMON, CAP_SYSLOG; {text}");
            assert_eq!((reason.cause, reason.text), (Cause::Capability, text));
        };
        let multi = Backend::KprobeMulti;
        check(multi, on("5.10.1"), "nor would root have it: it is there since Linux 5.18");
        check(multi, with("6.12.1", "CONFIG_FPROBE=y"), "root would have it (CONFIG_FPROBE)");
        check(
            multi,
            with("6.12.1", "# CONFIG_FPROBE is not set"),
            "nor would root have it: the kernel is built without CONFIG_FPROBE",
        );
        check(multi, on("6.12.1"), "root may have it: the kernel's options are not shown here");
        let closed = Facts { lockdown: Some(Lockdown::Confidentiality), ..on("6.12.1") };
        check(Backend::Kprobe, closed, "nor would root have it: lockdown=confidentiality forbids it");
    }

    #[test]
    fn what_is_missing_before_anything_is_attached_has_its_reason() {
        let check = |error: Error, facts: Facts, cause: Cause, text: &str, unlock: &str| {
            let reason = Reason::of_backend(Backend::Kprobe, &error, &facts);
            assert_eq!((reason.cause, reason.text.as_str()), (cause, text));
            assert_eq!(reason.unlock.as_deref().unwrap_or_default(), unlock);
        };
        let unreadable = || Error::Plan(PlanError::Unreadable { why: "bpf_probe_read_kernel: no".into() });
        let text = "programs may not read kernel memory: bpf_probe_read_kernel: no";
        let closed = Facts { lockdown: Some(Lockdown::Confidentiality), ..on("6.12.1") };
        check(unreadable(), closed, Cause::Lockdown, text, "boot without lockdown=confidentiality");
        check(unreadable(), on("6.12.1"), Cause::Unknown, text, "");
        let hidden = |hint| Error::Plan(PlanError::NoAddresses { why: "hidden".into(), hint });
        let text = "functions have no addresses here: hidden";
        check(hidden(Some("sysctl x=1")), on("6.12.1"), Cause::Sysctl, text, "sysctl x=1");
        check(hidden(None), on("6.12.1"), Cause::Unknown, text, "");
        let missing = Error::Host(HostError::Btf(LoadError::Missing("/sys/kernel/btf/vmlinux".into())));
        check(
            missing,
            on("6.12.1"),
            Cause::Config,
            "no kernel type information (BTF): there is no /sys/kernel/btf/vmlinux",
            "a kernel with CONFIG_DEBUG_INFO_BTF, or its types in a file: --kernel-btf FILE",
        );
        let without_syslog = Facts { capabilities: Some(1 << 38 | 1 << 39), ..on("6.12.1") };
        let reason = Reason::of_addresses("hidden".into(), None, &without_syslog);
        assert_eq!((reason.cause, reason.unlock.as_deref()), (Cause::Capability, Some("CAP_SYSLOG")));
    }
}
