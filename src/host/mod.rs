//! Stage 2, discovery: what this kernel has. Everything is read, nothing is changed.
//!
//! All readers take the directories that they look under, so that recorded hosts (`tests/hosts/`) stand in for real
//! ones: [`Roots`].

use std::path::{Path, PathBuf};

pub mod arrivals;
pub mod bpf_progs;
pub mod callees;
pub mod features;
pub mod functions;
pub mod kallsyms;
pub mod landing;
pub mod life;
pub mod lines;
pub mod map_functions;
pub mod modules;
pub mod netns;
pub mod packed;
pub mod prog_arrays;
pub mod resolve;
pub mod survey;
pub mod targets;

pub use functions::{ListError, Traceable};
pub use kallsyms::{Addresses, Symbol, Symbols, SymbolsError};
pub use lines::NameSet;
pub use modules::LoadError;
pub use netns::Netns;
pub use targets::{Finder, LeftOut, Rejected, SkbFunction, Targets};

/// Where a host is looked at.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// `/run`, for the names of network namespaces.
    pub run: PathBuf,
}

impl Default for Roots {
    /// The host that we run on.
    fn default() -> Roots {
        Roots { proc: "/proc".into(), sys: "/sys".into(), run: "/run".into() }
    }
}

impl Roots {
    /// A recorded host: `proc`, `sys` and `run` under one directory.
    pub fn under(directory: impl Into<PathBuf>) -> Roots {
        let directory = directory.into();
        Roots { proc: directory.join("proc"), sys: directory.join("sys"), run: directory.join("run") }
    }

    /// True for the host that we run on, which can be asked more than its files tell.
    pub fn is_here(&self) -> bool {
        self.proc == Path::new("/proc") && self.sys == Path::new("/sys")
    }

    /// The kernel's release, such as `6.12.8-amd64`; empty if it cannot be read.
    pub fn release(&self) -> String {
        let text = std::fs::read_to_string(self.proc.join("sys/kernel/osrelease")).unwrap_or_default();
        text.trim().to_owned()
    }
}
