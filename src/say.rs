//! What a run says on standard error: one line for a stage, progress on a terminal, the summary.

use crate::attach::Hooks;
use crate::error::Error;
use crate::host::survey::Host;
use crate::output::Counts;
use crate::plan::{Backend, Memory, Plan};
use crate::sys::bpf::ProgStats;
use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Speaks on standard error.
pub struct Say {
    debug: bool,
    terminal: bool,
    since: Cell<Instant>,
    /// Whether the last line is progress, to be overwritten.
    progress: Cell<bool>,
}

impl Say {
    /// With `debug` the time that each stage took is told, too.
    pub fn new(debug: bool) -> Say {
        Say {
            debug,
            terminal: std::io::stderr().is_terminal(),
            since: Cell::new(Instant::now()),
            progress: Cell::new(false),
        }
    }

    /// Failing to speak is no reason to stop.
    fn line(&self, text: &str) {
        let clear = if self.progress.take() { "\r\x1b[K" } else { "" };
        let _ = writeln!(std::io::stderr(), "{clear}{text}");
    }

    /// The end of a stage, with `--debug`.
    pub fn stage(&self, name: &str) {
        if self.debug {
            self.line(&format!("debug: {name}: {:.1} ms", self.since.get().elapsed().as_secs_f64() * 1e3));
        }
        self.since.set(Instant::now());
    }

    /// What the host keeps from us.
    pub fn host(&self, host: &Host) {
        if let Some(error) = &host.no_list {
            self.line(&format!("note: the list of traceable functions is not used: {error}"));
        }
        if let Some(error) = &host.no_symbols {
            self.line(&format!("note: functions have no addresses here, so only tracepoints are left: {error}"));
        }
    }

    /// Which way in was taken, and why none above it.
    pub fn backend(&self, plan: &Plan, failed: &[(Backend, Error)]) {
        let mut text = format!("Tracing by {}", plan.backend);
        let memory = match plan.memory {
            Memory::Cast { .. } => "bpf_rdonly_cast",
            Memory::Direct => "typed loads; the packet is sent along and matched in user space",
            Memory::Read => "bpf_probe_read_kernel",
        };
        text += &format!(", memory read by {memory}");
        if plan.backend == Backend::Tracepoint {
            text += &format!("; only the {} tracepoints with an skb are seen", plan.targets.len());
        }
        self.line(&text);
        for (backend, error) in failed {
            let reason = error.to_string();
            let reason = reason.lines().next().unwrap_or_default();
            self.line(&format!("  not {backend}: {reason}"));
        }
    }

    /// How far attaching is.
    pub fn progress(&self, done: usize, all: usize) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[KAttaching {done} of {all}");
            self.progress.set(true);
        }
    }

    /// Attaching is done.
    pub fn attached(&self, plan: &Plan, hooks: &Hooks) {
        let what = if plan.backend == Backend::Tracepoint { "tracepoints" } else { "functions" };
        let mut text = format!("Attached to {} {what}", hooks.attached());
        if !hooks.refused().is_empty() {
            text += &format!(", {} refused by the kernel", hooks.refused().len());
        }
        self.line(&text);
        if self.debug {
            for refused in hooks.refused() {
                let name = plan.targets.get(refused.target as usize).map_or("?", |target| &target.name);
                self.line(&format!("debug: {name} refused: {}", refused.error));
            }
        }
    }

    /// Events come from now on.
    pub fn listening(&self) {
        self.line("Listening for events..");
    }

    /// What a program cost, with `--debug`; times only while `kernel.bpf_stats_enabled` is 1.
    pub fn program(&self, name: &str, stats: &ProgStats) {
        if self.debug {
            let each = stats.run_time_ns.checked_div(stats.run_count).unwrap_or(0);
            self.line(&format!(
                "debug: {name}: {} slots, {} bytes of code, {} runs of {each} ns",
                stats.translated_slots, stats.jited_bytes, stats.run_count
            ));
        }
    }

    /// How many packets could not be judged, if any.
    pub fn unread(&self, count: u64) {
        if count > 0 {
            self.line(&format!(
                "warning: {count} events are not shown although they may match: the filter needs bytes that lie in \
                 fragments of their packets"
            ));
        }
    }

    /// Events whose packet was never in sight.
    pub fn unseen(&self, count: u64) {
        if count > 0 {
            self.line(&format!(
                "note: {count} events had no headers in sight: the kernel lets nobody read in front of skb->data"
            ));
        }
    }

    /// What the run amounted to.
    pub fn summary(&self, counts: &Counts, lost: u64, missed: u64, signalled: bool) {
        if let Some(error) = &counts.error {
            self.line(&format!("warning: {} lines could not be written: {error}", counts.dropped));
        }
        if missed > 0 {
            self.line(&format!(
                "warning: {missed} events went untraced because another probe was running on their CPU"
            ));
        }
        let why = if signalled { "Received signal, exiting" } else { "Exiting" };
        self.line(&format!("{why}: {} events shown, {lost} lost", counts.written));
    }
}
