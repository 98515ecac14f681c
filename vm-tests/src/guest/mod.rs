//! The side that runs inside the virtual machine: the first process, and what cases are written with.

pub mod attach;
pub mod bpf;
pub mod driver;
pub mod feature;
pub mod init;
pub mod leftovers;
pub mod lines;
pub mod net;
pub mod privilege;
pub mod report;
pub mod trace;

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::error::{Context, Error, Result};
pub use feature::Feature;

/// One behaviour, shown in a guest.
#[derive(Clone, Copy)]
pub struct Case {
    /// What the kernel must have. A kernel that does not claim to have it skips the case; one that does fails it.
    pub needs: &'static [Feature],
    /// What the kernel is booted with.
    pub boot: Boot,
    /// Seconds that are enough where nothing else runs; see [`Case::limit`].
    pub seconds: u64,
    /// Shows the behaviour; an error is a failure.
    pub run: fn(&Guest) -> Result<()>,
}

impl Case {
    /// A case that needs nothing, in a plain boot, for a minute.
    pub const fn new(run: fn(&Guest) -> Result<()>) -> Self {
        Self { needs: &[], boot: Boot::Plain, seconds: 60, run }
    }

    /// Guest time after which it has failed: machines are slow, or busy.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(3 * self.seconds)
    }
}

/// What is added to the kernel's command line. Cases with the same value share one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Boot {
    /// Nothing.
    Plain,
    /// Userland may not change the kernel.
    LockdownIntegrity,
    /// Userland may not read the kernel either.
    LockdownConfidentiality,
}

impl Boot {
    /// The words for the command line.
    pub fn append(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::LockdownIntegrity => "lockdown=integrity",
            Self::LockdownConfidentiality => "lockdown=confidentiality",
        }
    }
}

/// The running kernel, and the programs around it. Each case has its own, in fresh network and mount namespaces.
pub struct Guest {
    /// The kernel's name in the matrix.
    pub kernel: String,
    /// As `uname -r` prints it.
    pub release: String,
    /// The first two numbers of the release.
    pub version: (u32, u32),
    options: String,
    symbols: OnceLock<HashMap<String, u64>>,
}

impl Guest {
    /// Reads what the running kernel says about itself.
    pub fn new(kernel: &str) -> Result<Self> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim_end().to_owned();
        let mut numbers = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let options = fs::read_to_string("/boot/config").context("/boot/config")?;
        Ok(Self { kernel: kernel.to_owned(), release, version, options, symbols: OnceLock::new() })
    }

    /// Whether the kernel was built with `option`, as `y` or `m`.
    pub fn has_option(&self, option: &str) -> bool {
        self.options.lines().any(|line| line.strip_prefix(option).is_some_and(|value| matches!(value, "=y" | "=m")))
    }

    /// Whether kallsyms has `name`, in the kernel or in a module that was loaded when symbols were first asked for.
    pub fn has_symbol(&self, name: &str) -> bool {
        self.symbol_address(name).is_some()
    }

    /// Where kallsyms says that `name` is; one of the places if there are several.
    pub fn symbol_address(&self, name: &str) -> Option<u64> {
        let symbols = self.symbols.get_or_init(|| {
            let text = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
            let line = |line: &str| {
                let mut words = line.split_whitespace();
                let address = u64::from_str_radix(words.next()?, 16).ok()?;
                Some((words.nth(1)?.to_owned(), address))
            };
            text.lines().filter_map(line).collect()
        });
        symbols.get(name).copied()
    }

    /// Runs a shell command; its output, or an error with what it said.
    pub fn sh(&self, command: &str) -> Result<String> {
        sh(command)
    }
}

/// Runs a shell command in the network namespace of the calling thread; its output, or an error with what it said.
pub fn sh(command: &str) -> Result<String> {
    let done = Command::new("/bin/sh").args(["-c", command]).output().context(command)?;
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if done.status.success() {
        return Ok(out.into_owned());
    }
    Err(Error::new(format!("`{command}` ended with {}: {out}{err}", init::exit_code(done.status))))
}
