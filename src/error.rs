//! Why a run failed: one sentence each, at most one hint.

use crate::attach::AttachError;
use crate::decode::DecodeError;
use crate::host::SymbolsError;
use crate::host::survey::HostError;
use crate::load::LoadError;
use crate::plan::{Backend, PlanError};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a run failed.
#[derive(Debug)]
pub enum Error {
    /// Something could not be read.
    Host(HostError),
    /// Addresses cannot be named.
    Symbols(SymbolsError),
    /// There is nothing to trace.
    Plan(PlanError),
    /// A program could not be emitted.
    Program(crate::program::BuildError),
    /// The kernel refused a map or a program.
    Load(LoadError),
    /// Nothing could be attached.
    Attach(AttachError),
    /// There is no function of a name that matches this pattern.
    NoSuchFunction(String),
    /// BPF programs cannot be traced here.
    NoFentry(String),
    /// No way in works here.
    NoBackend(Vec<(Backend, Error)>),
    /// A file that the user named.
    File {
        /// The file.
        path: PathBuf,
        /// The answer.
        error: io::Error,
    },
    /// A record that no program of ours can have sent.
    Record(DecodeError),
    /// Reading records failed.
    Io(io::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Host(error) => error.hint().map(str::to_owned),
            Error::Symbols(error) => error.hint().map(str::to_owned),
            Error::Plan(PlanError::NoAddresses { hint, .. }) => hint.map(str::to_owned),
            Error::NoBackend(tried) if lacks_privilege(tried).is_some() => Some(PRIVILEGE.into()),
            _ if self.is_permission() => Some(PRIVILEGE.into()),
            Error::Load(error) => error.hint().map(str::to_owned),
            _ => None,
        }
    }

    /// Whether this is no failure: the end was asked for before anything could be traced.
    pub fn is_stop(&self) -> bool {
        matches!(self, Error::Load(LoadError::Stopped) | Error::Attach(AttachError::Stopped))
    }

    /// The first line: what is wrong, without where and what to do.
    pub fn brief(&self) -> String {
        self.to_string().lines().next().unwrap_or_default().to_owned()
    }

    /// Whether another way in cannot help: a mistake of the user, or ours, or the end.
    pub fn is_ours(&self) -> bool {
        match self {
            Error::Plan(error) => {
                use PlanError::{Expression, Field, Inner, NoMaps};
                matches!(error, NoMaps { .. } | Expression(_) | Inner { .. } | Field { .. })
            }
            // Another way in takes fewer instructions.
            Error::Program(error) => !error.is_about_size(),
            _ => self.is_stop() || matches!(self, Error::Symbols(_) | Error::File { .. }),
        }
    }

    /// The kernel's answer, where that is what failed.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Error::Load(error) => error.io(),
            Error::Attach(AttachError::Backend { error, .. } | AttachError::Nothing { error, .. }) => Some(error),
            Error::Io(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the kernel refused for lack of privilege. The verifier gives the same answer to code that it does not like.
    fn is_permission(&self) -> bool {
        let is_about_code = matches!(self, Error::Load(error) if error.is_about_code());
        let error = self.io().filter(|_| !is_about_code && !matches!(self, Error::Io(_)));
        error.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// The exit code: 2 for what the user typed, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Plan(PlanError::Expression(_) | PlanError::Inner { .. } | PlanError::Field { .. })
            | Error::Host(HostError::Pattern(_)) => 2,
            _ => 1,
        }
    }
}

/// The last way in asks for the least privilege: where it fails for want of that, the others say nothing more.
fn lacks_privilege(tried: &[(Backend, Error)]) -> Option<&(Backend, Error)> {
    tried.last().filter(|(_, error)| error.is_permission())
}

const PRIVILEGE: &str = "run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYSLOG";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Host(error) => error.fmt(f),
            Error::Symbols(error) => error.fmt(f),
            Error::Plan(error) => error.fmt(f),
            Error::Program(error) => write!(f, "a program cannot be emitted: {error}"),
            Error::Load(error) => error.fmt(f),
            Error::Attach(error) => error.fmt(f),
            Error::NoSuchFunction(pattern) => {
                write!(f, "no function's whole name matches `{}`", pattern.escape_debug())
            }
            Error::NoFentry(error) => {
                // As pwru has it.
                f.write_str("Current kernel does not support fentry/fexit to run with ")?;
                write!(f, "--filter-trace-tc/--filter-trace-xdp: {error}")
            }
            Error::NoBackend(tried) => {
                f.write_str("no way to trace works here")?;
                if let Some((backend, error)) = lacks_privilege(tried) {
                    return write!(f, ", not even by {backend}: {error}");
                }
                for (backend, error) in tried {
                    write!(f, "\n  {backend}: {error}")?;
                }
                Ok(())
            }
            Error::File { path, error } => write!(f, "{}: {error}", path.display()),
            Error::Record(error) => write!(f, "a record cannot be read: {error}"),
            Error::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

macro_rules! from {
    ($($type:ty => $variant:ident)*) => {
        $(impl From<$type> for Error {
            fn from(error: $type) -> Error {
                Error::$variant(error)
            }
        })*
    };
}
from! {
    HostError => Host
    SymbolsError => Symbols
    PlanError => Plan
    crate::program::BuildError => Program
    LoadError => Load
    AttachError => Attach
    DecodeError => Record
    io::Error => Io
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied() -> io::Error {
        io::Error::from_raw_os_error(libc::EPERM)
    }

    fn refused(backend: Backend, error: io::Error) -> (Backend, Error) {
        (backend, AttachError::Backend { backend, what: "opening a probe", error }.into())
    }

    #[test]
    fn failures_are_sentences() {
        let check = |error: Error, code: u8, text: &str, hint: Option<&str>| {
            assert_eq!((error.to_string().as_str(), error.exit_code()), (text, code));
            assert_eq!(error.hint().as_deref(), hint, "{text}");
        };
        let privilege = Some("run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYSLOG");
        let asm = asm::Asm::new("entry").finish().expect_err("it has no end");
        let text = format!("a program cannot be emitted: {asm}");
        check(crate::program::BuildError::Asm(asm).into(), 1, &text, None);
        check(Error::NoSuchFunction("ip_rcvv".into()), 1, "no function's whole name matches `ip_rcvv`", None);
        let text =
            "Current kernel does not support fentry/fexit to run with --filter-trace-tc/--filter-trace-xdp: no BTF";
        check(Error::NoFentry("no BTF".into()), 1, text, None);
        let path = PathBuf::from("/no/such");
        let error = io::Error::from_raw_os_error(libc::ENOENT);
        check(Error::File { path, error }, 1, "/no/such: No such file or directory (os error 2)", None);
        let error = DecodeError::Short { have: 12, need: 40 };
        check(error.into(), 1, "a record cannot be read: a record of 12 bytes where the layout has 40", None);
        check(denied().into(), 1, "Operation not permitted (os error 1)", None);
        let error = LoadError::Map { name: "events", error: denied() };
        check(error.into(), 1, "the kernel made no map `events`: Operation not permitted (os error 1)", privilege);
    }

    /// Each way in says why it does not work; one reason is enough where it is that of the least demanding one.
    #[test]
    fn where_nothing_works_every_reason_is_told() {
        let missing = || io::Error::from_raw_os_error(libc::ENOENT);
        let error = Error::NoBackend(vec![refused(Backend::Kprobe, denied()), refused(Backend::Tracepoint, missing())]);
        let text = "no way to trace works here
  kprobe: kprobe does not work here: opening a probe: Operation not permitted (os error 1)
  tracepoint: tracepoint does not work here: opening a probe: No such file or directory (os error 2)";
        assert_eq!((error.to_string().as_str(), error.hint()), (text, None));
        let error = Error::NoBackend(vec![refused(Backend::Kprobe, missing()), refused(Backend::Tracepoint, denied())]);
        let text = "no way to trace works here, not even by tracepoint: tracepoint does not work here: opening a probe: \
                    Operation not permitted (os error 1)";
        assert_eq!((error.to_string().as_str(), error.hint().as_deref()), (text, Some(PRIVILEGE)));
    }
}
