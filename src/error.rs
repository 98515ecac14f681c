//! Why a command failed: one sentence each, at most one hint, and the exit code.

use crate::attach::AttachError;
use crate::clean;
use crate::cli::Misuse;
use crate::decode::DecodeError;
use crate::filter_command;
use crate::host::survey::HostError;
use crate::host::{LoadError as TypesError, SymbolsError};
use crate::load::LoadError;
use crate::plan::{Backend, PlanError};
use crate::program::BuildError;
use crate::types_command;
use filter_compiler::ErrorKind;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a command failed.
#[derive(Debug)]
pub enum Error {
    /// The command line cannot be meant.
    Misuse(Misuse),
    /// Something could not be read.
    Host(HostError),
    /// Addresses cannot be named.
    Symbols(SymbolsError),
    /// There is nothing to trace.
    Plan(PlanError),
    /// A program could not be emitted.
    Program(BuildError),
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
    /// Something that every run needs was refused.
    Io {
        /// What was not done, after "cannot".
        what: &'static str,
        /// The answer.
        error: io::Error,
    },
    /// `whither filter` failed.
    Filter(filter_command::Error),
    /// `whither types export` failed.
    Types(types_command::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Host(error) | Error::Types(types_command::Error::Types(error)) => error.hint().map(str::to_owned),
            Error::Symbols(error) => error.hint().map(str::to_owned),
            Error::Plan(PlanError::NoAddresses { hint, .. }) => hint.map(str::to_owned),
            Error::NoBackend(tried) if lacks_privilege(tried).is_some() => Some(PRIVILEGE.into()),
            _ if self.is_permission() => Some(PRIVILEGE.into()),
            _ if self.io().is_some_and(|error| error.raw_os_error() == Some(libc::EMFILE)) => {
                Some("`ulimit -n` bounds how many files may be open".into())
            }
            Error::Load(error) => error.hint().map(str::to_owned),
            _ => None,
        }
    }

    /// Whether this is no failure: the end was asked for before anything could be traced.
    pub fn is_stop(&self) -> bool {
        let of_host = matches!(self, Error::Host(HostError::Btf(TypesError::Stopped)));
        of_host || matches!(self, Error::Load(LoadError::Stopped) | Error::Attach(AttachError::Stopped))
    }

    /// The first line: what is wrong, without where and what to do.
    pub fn brief(&self) -> String {
        self.to_string().lines().next().unwrap_or_default().to_owned()
    }

    /// Whether another way in cannot help: a mistake of the user, or ours, no memory, or the end.
    pub fn is_final(&self) -> bool {
        match self {
            Error::Plan(error) => {
                use PlanError::{Expression, Field, Inner, NoMaps};
                matches!(error, NoMaps { .. } | Expression(_) | Inner { .. } | Field { .. })
            }
            // Another way in takes fewer instructions.
            Error::Program(error) => !error.is_about_size(),
            // Every way in has maps.
            Error::Load(LoadError::Map { .. }) => true,
            _ => self.is_stop() || matches!(self, Error::Symbols(_) | Error::File { .. }),
        }
    }

    /// The kernel's answer, where that is what failed.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Error::Load(error) => error.io(),
            Error::Attach(AttachError::Backend { error, .. } | AttachError::Nothing { error, .. }) => Some(error),
            Error::Io { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Whether the kernel refused for lack of privilege. The verifier gives the same answer to code that it does not like.
    fn is_permission(&self) -> bool {
        let is_about_code = matches!(self, Error::Load(error) if error.is_about_code());
        let error = self.io().filter(|_| !is_about_code && !matches!(self, Error::Io { .. }));
        error.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Something that every run needs was refused: `what` stands after "cannot".
    pub fn cannot(what: &'static str) -> impl Fn(io::Error) -> Error {
        move |error| Error::Io { what, error }
    }

    /// Standard output takes nothing.
    pub fn output(error: io::Error) -> Error {
        Error::File { path: "standard output".into(), error }
    }

    /// What the command ends with on standard error.
    pub fn last_words(&self) -> String {
        match (self, self.hint()) {
            (Error::Misuse(misuse), _) => misuse.to_string(),
            (_, Some(hint)) => format!("error: {self}\nhint: {hint}\n"),
            (_, None) => format!("error: {self}\n"),
        }
    }

    /// The exit code: 2 for what was typed and can mean nothing, 1 for what cannot be had, read or done.
    pub fn exit_code(&self) -> u8 {
        // Who cannot ask a name server does not know whether the name is right.
        let is_wrong = |error: &filter_compiler::Error| !matches!(error.kind(), ErrorKind::Lookup { .. });
        let is_misuse = match self {
            Error::Misuse(_) | Error::Host(HostError::Pattern(_) | HostError::IfnameInode) => true,
            Error::Plan(PlanError::Expression(error) | PlanError::Inner { error, .. }) => is_wrong(error),
            Error::Plan(PlanError::Field { error, .. }) => !error.is_damage(),
            Error::Program(BuildError::Filter(error)) => error.is_about_size(),
            Error::Filter(error) => match error {
                filter_command::Error::Expression(error) => is_wrong(error),
                filter_command::Error::Emit(error) => error.is_about_size(),
                filter_command::Error::Untold(_)
                | filter_command::Error::Tasks
                | filter_command::Error::Expressions => true,
                _ => false,
            },
            _ => false,
        };
        if is_misuse { 2 } else { 1 }
    }
}

/// The last way in asks for the least privilege: where it fails for want of that, the others say nothing more.
fn lacks_privilege(tried: &[(Backend, Error)]) -> Option<&(Backend, Error)> {
    tried.last().filter(|(_, error)| error.is_permission())
}

/// Not every EPERM is about privilege: lockdown and seccomp filters give it to root.
const PRIVILEGE: &str =
    "run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYSLOG; `whither doctor` says what else the host forbids";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Misuse(misuse) => f.write_str(&misuse.error),
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
            Error::File { path, error } => write!(f, "{}: {error}", clean::path(path)),
            Error::Record(error) => write!(f, "a record cannot be read: {error}"),
            Error::Io { what, error } => write!(f, "cannot {what}: {error}"),
            Error::Filter(error) => error.fmt(f),
            Error::Types(error) => error.fmt(f),
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
    Misuse => Misuse
    HostError => Host
    SymbolsError => Symbols
    PlanError => Plan
    BuildError => Program
    LoadError => Load
    AttachError => Attach
    DecodeError => Record
    filter_command::Error => Filter
    types_command::Error => Types
}
