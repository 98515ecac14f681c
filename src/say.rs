//! What a run says on standard error: one line for a stage, progress on a terminal, the summary.

use crate::attach::Hooks;
use crate::error::Error;
use crate::host::bpf_progs::{ProgLabel, Skipped};
use crate::host::prog_arrays::ProgArray;
use crate::host::survey::Host;
use crate::load::Loaded;
use crate::output::Counts;
use crate::plan::track::By;
use crate::plan::{Backend, Memory, Plan};
use crate::shrink::GivenUp;
use crate::sys::bpf::ProgStats;
use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

/// How many functions a line names, of those that are not traced for one reason.
const NAMED: usize = 8;

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
            terminal: io::stderr().is_terminal(),
            since: Cell::new(Instant::now()),
            progress: Cell::new(false),
        }
    }

    /// Failing to speak is no reason to stop.
    fn line(&self, text: &str) {
        let clear = if self.progress.take() { "\r\x1b[K" } else { "" };
        let _ = writeln!(io::stderr(), "{clear}{text}");
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
        if let Some(callees) = &host.callees {
            let traced =
                callees.names.iter().filter(|name| host.functions.functions.iter().any(|f| *f.name == ***name));
            let (traced, all, programs) = (traced.count(), callees.names.len(), callees.programs);
            let mut text =
                format!("{programs} BPF programs call {all} kernel functions, {traced} of which can be traced");
            if callees.unread > 0 {
                text += &format!("; the code of {} cannot be read to its end", callees.unread);
            }
            self.line(&text);
        }
        if !host.not_traceable.is_empty() {
            self.line(&format!("warning: {} cannot be traced here", host.not_traceable.join(", ")));
        }
    }

    /// Which way in was taken, why none above it, and what cannot be seen by it.
    pub fn backend(&self, plan: &Plan, host: &Host, failed: &[(Backend, Error)]) {
        self.line(&way(plan, host, failed));
        let when = match plan.backend {
            Backend::KprobeMulti | Backend::Kprobe => "as soon as it is loaded",
            Backend::Fentry | Backend::Tracepoint => "only if it is loaded before the start",
        };
        for error in &host.awaited {
            self.line(&format!("note: {error}\n  its functions are traced {when}"));
        }
        if plan.maps.as_ref().is_some_and(|maps| maps.calls.is_empty()) {
            self.line("warning: --output-bpfmap shows nothing: none of the functions to trace works on a BPF map");
        }
        if plan.follow_late.is_some() {
            self.line(
                "Following packets in user space: not into clones, copies, segments and fragments, and --filter-mark, \
                 --filter-netns and --filter-ifname must hold all the way",
            );
        }
        match plan.tracking.as_ref().map(|tracking| tracking.by) {
            Some(By::Fentry) => self.line("Following packets by fentry"),
            Some(By::Probes) => self.line("Following packets by probes: there is no fentry here"),
            Some(By::Tracepoints) => self.line(
                "Following packets by tracepoints: not into clones, copies, segments and fragments, and not past GRO \
                 and TCP's receiver",
            ),
            None => {}
        }
    }

    /// What the programs do without, and what has none.
    pub fn given_up(&self, plan: &Plan, loaded: &Loaded, given_up: Option<&GivenUp>) {
        if let Some(given_up) = given_up {
            self.line(&format!("warning: {given_up}"));
        }
        // Where each function has a program of its own they are counted with those that cannot be attached.
        for (targets, error) in loaded.refused.iter().filter(|(targets, _)| targets.len() > 1) {
            let name = |&index: &u32| plan.targets.get(index as usize).map(|target| target.name.as_str());
            let names: Vec<&str> = targets.iter().filter_map(name).take(NAMED).collect();
            let more = if targets.len() > names.len() { ", ..." } else { "" };
            self.line(&format!(
                "warning: {} functions are not traced ({}{more}): {}",
                targets.len(),
                names.join(", "),
                error.to_string().replace("\n ", ",")
            ));
        }
    }

    /// How far attaching is.
    pub fn progress(&self, done: usize, all: usize) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[KAttaching {done} of {all}");
            self.progress.set(true);
        }
    }

    /// What comes, in a line that the next one replaces.
    pub fn status(&self, text: &str) {
        let _ = write!(io::stderr(), "\r\x1b[K{text}");
        self.progress.set(true);
    }

    /// Attaching is done.
    pub fn attached(&self, plan: &Plan, hooks: &Hooks) {
        if plan.targets.is_empty() {
            return;
        }
        let what = match plan.backend {
            Backend::Tracepoint => "tracepoints",
            Backend::Fentry if plan.targets.iter().any(|target| target.is_tracepoint) => "functions and tracepoints",
            _ => "functions",
        };
        let mut text = format!("Attached to {} {what}", hooks.attached());
        if !hooks.refused().is_empty() {
            text += &format!(", {} refused by the kernel", hooks.refused().len());
        }
        self.line(&text);
        let trackers = plan.tracking.as_ref().map_or(&[][..], |tracking| &tracking.trackers);
        let blind = hooks.blind().iter().filter_map(|&index| Some(trackers.get(index as usize)?.target.name.as_str()));
        let blind: Vec<&str> = blind.collect();
        if !blind.is_empty() {
            self.line(&format!("warning: packets are not followed through {}", blind.join(", ")));
        }
        if self.debug {
            for refused in hooks.refused() {
                let name = plan.targets.get(refused.target as usize).map_or("?", |target| &target.name);
                self.line(&format!("debug: {name} refused: {}", refused.error));
            }
        }
    }

    /// A BPF program is traced from now on; with the array that tail calls find it in, by a breakpoint.
    pub fn traced(&self, label: &ProgLabel, behind: Option<&ProgArray>) {
        match behind {
            Some(array) => self.line(&format!("Attached to {label} by a breakpoint, for tail calls by {array}")),
            None => self.line(&format!("Attached to {label}")),
        }
    }

    /// Where a BPF program is entered by tail calls it is not shown.
    pub fn not_behind_tail_calls(&self, label: &ProgLabel, array: &ProgArray, why: &str) {
        self.line(&format!("note: {label} is not shown where it is entered by a tail call, by {array}: {why}"));
    }

    /// Frames in an XDP program are shown, but not followed further.
    pub fn not_followed(&self, label: &ProgLabel, why: &str) {
        self.line(&format!("note: frames are not followed from {label} on: {why}"));
    }

    /// A BPF program is not traced.
    pub fn skipped(&self, skipped: &Skipped) {
        self.line(&format!("note: {skipped}"));
    }

    /// Whether privileges that nothing needs any more were given up; a kernel or a container may refuse.
    pub fn privilege(&self, what: &str, given_up: io::Result<()>) {
        if let (true, Err(error)) = (self.debug, given_up) {
            self.line(&format!("debug: all {what} stay: {error}"));
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

    /// The table of followed packets is full for the first time.
    pub fn table_full(&self, entries: u32) {
        self.line(&format!(
            "warning: {entries} packets are being followed and there is no room for more; --track-table-size makes room"
        ));
    }

    /// Functions of a module that was loaded during the run are attached to.
    pub fn module(&self, name: &str, count: usize) {
        self.line(&format!("Attaching to {count} functions of module {name}, which was loaded meanwhile"));
    }

    /// A module was unloaded.
    pub fn module_gone(&self, name: &str) {
        self.line(&format!("note: module {name} is gone, and its functions with it"));
    }

    /// Further functions of names that are traced are attached to.
    pub fn further(&self, count: usize) {
        if count > 0 {
            self.line(&format!("Attached to {count} more functions that share their names"));
        }
    }

    /// Something that was found meanwhile is not traced.
    pub fn not_attached(&self, what: &str, why: &str) {
        self.line(&format!("warning: {what} are not traced: {why}"));
    }

    /// Modules that were not there when functions were looked for.
    pub fn late_modules(&self, names: impl Iterator<Item = String>) {
        let names: Vec<String> = names.collect();
        if !names.is_empty() {
            let names = names.join(", ");
            self.line(&format!(
                "warning: functions of modules that were loaded during the run were not traced: {names}"
            ));
        }
    }

    /// How often a hook that follows packets was skipped.
    pub fn missed_lives(&self, count: u64) {
        if count > 0 {
            self.line(&format!(
                "warning: {count} ends or copies of packets were missed because an interrupt came in between: a packet \
                 may have been followed too long or not far enough"
            ));
        }
    }

    /// How many packets were not followed at the end, if any.
    pub fn untracked(&self, count: u64) {
        if count > 0 {
            self.line(&format!("warning: {count} packets were not followed because the table was full"));
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

    /// How many hits were missed, if any, and how many of them by the probes; the others by the programs.
    pub fn missed(&self, count: u64, by_probes: u64) {
        if count > 0 {
            self.line(&format!(
                "warning: {count} hits went untraced because another probe was running on their CPU ({} found its \
                 program, {by_probes} the probe itself)",
                count - by_probes
            ));
        }
    }

    /// Events whose packet was not in sight as far as the filter looks.
    pub fn cut(&self, count: u64) {
        if count > 0 {
            self.line(&format!(
                "warning: {count} events are not shown although they may match: the filter needs more of their packets \
                 than user space gets"
            ));
        }
    }

    /// `--strict` promises more than this kernel can tell.
    pub fn misses_unknown(&self) {
        self.line(
            "note: this kernel does not count the hits that kprobes miss (Linux 6.7 does): --strict is blind to them",
        );
    }

    /// What the run amounted to; `spared` records came by the buffer for the ends of packets.
    pub fn summary(&self, counts: &Counts, lost: u64, spared: u64, signalled: bool) {
        if let Some(error) = &counts.error {
            self.line(&format!("warning: {} lines could not be written: {error}", counts.dropped));
        }
        let why = if signalled { "Received signal, exiting" } else { "Exiting" };
        let mut text = format!("{why}: {} events shown, {lost} lost", counts.written);
        if spared > 0 {
            text += &format!("; for {spared} drops and frees there was room only in the reserve");
        }
        self.line(&text);
    }
}

/// The way in of `plan`, how it reads, what is out of its sight, and why none above it was taken.
pub fn way(plan: &Plan, host: &Host, failed: &[(Backend, Error)]) -> String {
    let points = plan.targets.iter().filter(|target| target.is_tracepoint).count();
    let functions = plan.targets.len() - points;
    let unseen = host.functions.functions.len().saturating_sub(functions);
    let mut text = match plan.targets.is_empty() {
        true if !host.awaited.is_empty() => format!("Tracing by {}", plan.backend),
        true => "Tracing BPF programs alone".into(),
        false => format!("Tracing by {}", plan.backend),
    };
    if plan.backend == Backend::Fentry && points > 0 {
        text += &format!(" ({functions} functions) and {points} tracepoints");
    }
    text += match plan.memory {
        Memory::Cast { .. } => ", memory read by bpf_rdonly_cast",
        Memory::Direct => ", memory read by typed loads, packets matched in user space",
        Memory::Read => ", memory read by bpf_probe_read_kernel",
    };
    match plan.backend {
        _ if plan.targets.is_empty() => {}
        Backend::Tracepoint => text += &format!("; only the {points} tracepoints with an skb are seen, no functions"),
        Backend::Fentry if unseen > 0 => text += &format!("; {unseen} other functions are not seen"),
        _ => {}
    }
    text + &reasons(failed)
}

/// Why the ways in above were not taken; those with one reason together.
fn reasons(failed: &[(Backend, Error)]) -> String {
    let mut text = String::new();
    let reason = |backend: &Backend, error: &Error| {
        let text = error.brief();
        text.strip_prefix(&format!("{backend} does not work here: ")).map(str::to_owned).unwrap_or(text)
    };
    let mut rest = failed.iter().map(|(backend, error)| (backend, reason(backend, error))).peekable();
    while let Some((backend, reason)) = rest.next() {
        text += &format!("; not {backend}");
        while let Some((also, _)) = rest.next_if(|(_, other)| *other == reason) {
            text += &format!(", {also}");
        }
        text += &format!(": {reason}");
    }
    text
}
