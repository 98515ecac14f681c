//! Numbers to names, each kind in a bounded cache. Names are escaped here, before anything prints them.

mod functions;
mod interfaces;
mod netlink;
mod netns;
mod processes;
mod reasons;
mod short;
mod symbols;

use std::time::Instant;

pub use functions::{Functions, ProgramName, TargetKind, TargetName};
pub use interfaces::Interfaces;
pub use netlink::Link;
pub use netns::NetnsNames;
pub use processes::Processes;
pub use reasons::Reasons;
pub use short::Short;
pub use symbols::{NoSymbols, Symbols};

/// Every table that the output looks into.
pub struct Names {
    /// Traced functions.
    pub functions: Functions,
    /// Symbols of the kernel, for callers and stacks.
    pub symbols: Box<dyn Symbols + Send>,
    /// Drop reasons.
    pub reasons: Reasons,
    /// Interfaces.
    pub interfaces: Interfaces,
    /// Network namespaces.
    pub netns: NetnsNames,
    /// Processes.
    pub processes: Processes,
    started: Instant,
}

impl Names {
    /// The names of this machine, but for its interfaces: [`Interfaces::of_host`] starts a thread.
    pub fn of_host(targets: &[TargetName], reasons: Reasons, symbols: Box<dyn Symbols + Send>) -> Names {
        Names {
            functions: Functions::new(targets),
            symbols,
            reasons,
            interfaces: Interfaces::fixed([]),
            netns: NetnsNames::new("/run/netns"),
            processes: Processes::new("/proc"),
            started: Instant::now(),
        }
    }

    /// These names and no others; processes and namespaces are those of an empty machine.
    pub fn fixed(targets: &[TargetName], reasons: Reasons, interfaces: Interfaces) -> Names {
        Names {
            functions: Functions::new(targets),
            symbols: Box::new(NoSymbols),
            reasons,
            interfaces,
            netns: NetnsNames::new("/nonexistent"),
            processes: Processes::new("/nonexistent"),
            started: Instant::now(),
        }
    }

    /// Tells the caches what time it is; to be called once per batch, not per line.
    pub fn tick(&mut self) {
        let now_ms = self.started.elapsed().as_millis() as u64;
        self.interfaces.tick(now_ms);
        self.netns.tick(now_ms);
        self.processes.tick(now_ms);
    }
}
