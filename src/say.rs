//! What a run says on standard error: one line for a stage, progress on a terminal, the summary.

use crate::attach::Hooks;
use crate::error::Error;
use crate::host::bpf_progs::{ProgLabel, Skipped};
use crate::host::prog_arrays::ProgArray;
use crate::host::survey::Host;
use crate::load::Loaded;
use crate::output::Counts;
use crate::plan::track::By;
use crate::plan::{Backend, Memory, Plan, Transport};
use crate::shrink::GivenUp;
use crate::sys::bpf::ProgStats;
use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

/// How many functions a line names, of those that are not traced for one reason.
const NAMED: usize = 8;

/// Speaks on standard error.
pub struct Say {
    out: RefCell<Box<dyn Write>>,
    debug: bool,
    terminal: bool,
    since: Cell<Instant>,
    /// Whether the last line is progress, to be overwritten.
    progress: Cell<bool>,
}

impl Say {
    /// With `debug` the time that each stage took is told, too.
    pub fn new(debug: bool) -> Say {
        Say { terminal: io::stderr().is_terminal(), ..Say::to(Box::new(io::stderr()), debug) }
    }

    /// Speaks elsewhere.
    pub fn to(out: Box<dyn Write>, debug: bool) -> Say {
        let (since, progress) = (Cell::new(Instant::now()), Cell::new(false));
        Say { out: RefCell::new(out), debug, terminal: false, since, progress }
    }

    /// Failing to speak is no reason to stop.
    fn line(&self, text: &str) {
        let clear = if self.progress.take() { "\r\x1b[K" } else { "" };
        let _ = writeln!(self.out.borrow_mut(), "{clear}{text}");
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
            self.untraced(targets.len(), &names, &error.to_string());
        }
    }

    /// `count` functions, some of which are `names`, have no program.
    fn untraced(&self, count: usize, names: &[&str], error: &str) {
        let more = if count > names.len() { ", ..." } else { "" };
        self.line(&format!(
            "warning: {count} functions are not traced ({}{more}): {}",
            names.join(", "),
            error.replace("\n ", ",")
        ));
    }

    /// How far attaching is.
    pub fn progress(&self, done: usize, all: usize) {
        if self.terminal {
            let _ = write!(self.out.borrow_mut(), "\r\x1b[KAttaching {done} of {all}");
            self.progress.set(true);
        }
    }

    /// What comes, in a line that the next one replaces.
    pub fn status(&self, text: &str) {
        let _ = write!(self.out.borrow_mut(), "\r\x1b[K{text}");
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
        self.count(hooks.attached(), what, hooks.refused().len(), hooks.not_by_fentry().len());
        let trackers = plan.tracking.as_ref().map_or(&[][..], |tracking| &tracking.trackers);
        let blind = hooks.blind().iter().filter_map(|&index| Some(trackers.get(index as usize)?.target.name.as_str()));
        self.blind(&blind.collect::<Vec<&str>>());
        if self.debug {
            for (all, what) in [(hooks.refused(), "refused"), (hooks.not_by_fentry(), "not by fentry")] {
                for refused in all {
                    let name = plan.targets.get(refused.target as usize).map_or("?", |target| &target.name);
                    self.line(&format!("debug: {name} {what}: {}", refused.error));
                }
            }
        }
    }

    fn count(&self, attached: usize, what: &str, refused: usize, not_by_fentry: usize) {
        let refused = if refused > 0 { format!(", {refused} refused by the kernel") } else { String::new() };
        let slower = match not_by_fentry {
            0 => String::new(),
            count => format!(", {count} by kprobes where fentry is refused"),
        };
        self.line(&format!("Attached to {attached} {what}{refused}{slower}"));
    }

    fn blind(&self, names: &[&str]) {
        if !names.is_empty() {
            self.line(&format!("warning: packets are not followed through {}", names.join(", ")));
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
        if let Err(error) = given_up {
            self.line(&format!("note: the run keeps all {what}: {error}"));
        }
    }

    /// Why names of interfaces may be old ones, for so many milliseconds.
    pub fn old_names(&self, deaf: Option<&io::Error>, for_ms: u64) {
        if let Some(error) = deaf {
            let seconds = for_ms / 1000;
            self.line(&format!("note: an interface that is renamed may have its old name for {seconds} s: {error}"));
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
            self.line(&match counts.dropped {
                // Just the head of the columns.
                0 => format!("warning: the output could not be written: {error}"),
                lines => format!("warning: {lines} lines could not be written: {error}"),
            });
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
    if !plan.trampolines.is_empty() {
        text += &format!(", fentry for {} of the functions", plan.trampolines.len());
    }
    text += match plan.memory {
        Memory::Cast { .. } => ", memory read by bpf_rdonly_cast",
        Memory::Direct => ", memory read by typed loads, packets matched in user space",
        Memory::Read | Memory::Typed => ", memory read by bpf_probe_read_kernel",
    };
    if let (Transport::Perf { .. }, Err(error)) = (plan.transport, &host.features.ring_buffer)
        && plan.memory != Memory::Direct
    {
        text += &format!(", buffers for each CPU, whose events are not in order ({error})");
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::bpf_progs::{ProgKind, Why};
    use crate::plan::shrink::Part;
    use std::rc::Rc;

    /// What is said, to be read afterwards.
    #[derive(Clone, Default)]
    struct Said(Rc<RefCell<Vec<u8>>>);

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn said(debug: bool, speak: impl FnOnce(&Say)) -> String {
        let said = Said::default();
        speak(&Say::to(Box::new(said.clone()), debug));
        String::from_utf8(said.0.take()).expect("UTF-8")
    }

    fn label() -> ProgLabel {
        ProgLabel { kind: ProgKind::Tc, id: 7, tag: [0xab; 8], name: "mark".into() }
    }

    fn array() -> ProgArray {
        ProgArray { id: 9, name: "jumps".into(), places: 4 }
    }

    fn denied() -> io::Error {
        io::Error::from_raw_os_error(libc::EPERM)
    }

    #[test]
    fn what_is_done_is_said() {
        let check = |speak: fn(&Say), line: &str| assert_eq!(said(false, speak), format!("{line}\n"));
        check(|say| say.count(1500, "functions", 0, 0), "Attached to 1500 functions");
        check(|say| say.count(1500, "functions", 3, 0), "Attached to 1500 functions, 3 refused by the kernel");
        check(
            |say| say.count(1500, "functions", 0, 2),
            "Attached to 1500 functions, 2 by kprobes where fentry is refused",
        );
        check(|say| say.traced(&label(), None), "Attached to tc program `mark` (id 7, tag abababababababab)");
        check(
            |say| say.traced(&label(), Some(&array())),
            "Attached to tc program `mark` (id 7, tag abababababababab) by a breakpoint, for tail calls by map `jumps` (id 9)",
        );
        check(|say| say.listening(), "Listening for events..");
        check(|say| say.module("veth", 9), "Attaching to 9 functions of module veth, which was loaded meanwhile");
        check(|say| say.module_gone("veth"), "note: module veth is gone, and its functions with it");
        check(|say| say.further(4), "Attached to 4 more functions that share their names");
        check(
            |say| say.not_attached("functions that share their name with others", "no"),
            "warning: functions that share their name with others are not traced: no",
        );
        check(
            |say| say.not_attached("functions of modules that are loaded now", "no"),
            "warning: functions of modules that are loaded now are not traced: no",
        );
        check(
            |say| say.late_modules(["veth".to_owned(), "vxlan".to_owned()].into_iter()),
            "warning: functions of modules that were loaded during the run were not traced: veth, vxlan",
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        let check = |speak: fn(&Say), line: &str| assert_eq!(said(false, speak), format!("{line}\n"));
        check(
            |say| say.blind(&["skb_clone", "skb_copy"]),
            "warning: packets are not followed through skb_clone, skb_copy",
        );
        check(
            |say| say.untraced(9, &["ip_rcv", "ip_output"], "too long\n  at 3: exit"),
            "warning: 9 functions are not traced (ip_rcv, ip_output, ...): too long, at 3: exit",
        );
        check(
            |say| say.not_followed(&label(), "no room"),
            "note: frames are not followed from tc program `mark` (id 7, tag abababababababab) on: no room",
        );
        check(
            |say| say.not_behind_tail_calls(&label(), &array(), "no room"),
            "note: tc program `mark` (id 7, tag abababababababab) is not shown where it is entered by a tail call, by map \
             `jumps` (id 9): no room",
        );
        check(
            |say| say.skipped(&Skipped { label: Err(7), why: Why::Gone }),
            "note: BPF program 7 is not traced: it is gone",
        );
        check(
            |say| say.table_full(16),
            "warning: 16 packets are being followed and there is no room for more; --track-table-size makes room",
        );
        check(|say| say.untracked(2), "warning: 2 packets were not followed because the table was full");
        check(
            |say| say.unread(2),
            "warning: 2 events are not shown although they may match: the filter needs bytes that lie in fragments of \
             their packets",
        );
        check(
            |say| say.cut(2),
            "warning: 2 events are not shown although they may match: the filter needs more of their packets than user \
             space gets",
        );
        check(
            |say| say.unseen(2),
            "note: 2 events had no headers in sight: the kernel lets nobody read in front of skb->data",
        );
        check(
            |say| say.missed_lives(2),
            "warning: 2 ends or copies of packets were missed because an interrupt came in between: a packet may have \
             been followed too long or not far enough",
        );
        check(
            |say| say.missed(5, 2),
            "warning: 5 hits went untraced because another probe was running on their CPU (3 found its program, 2 the \
             probe itself)",
        );
        check(
            |say| say.misses_unknown(),
            "note: this kernel does not count the hits that kprobes miss (Linux 6.7 does): --strict is blind to them",
        );
        let nothing = said(false, |say| {
            say.unread(0);
            say.untracked(0);
            say.cut(0);
            say.unseen(0);
            say.missed_lives(0);
            say.missed(0, 0);
            say.further(0);
            say.blind(&[]);
            say.late_modules(std::iter::empty());
        });
        assert_eq!(nothing, "");
    }

    #[test]
    fn what_is_given_up_is_named() {
        let all = [Part::Tunnel, Part::Dumps, Part::Values, Part::Stack, Part::Caller, Part::Filter];
        let given_up = GivenUp { parts: all.to_vec(), why: "the verifier is tired".into() };
        let text = "given up: addresses inside tunnels, whole structures, values of expressions, kernel stacks, callers, \
                    filtering in the kernel (packets are matched in user space, by the first 256 bytes of each); the \
                    verifier is tired";
        assert_eq!(given_up.to_string(), text);
    }

    #[test]
    fn the_end_counts() {
        let counts = Counts { written: 12, ..Counts::default() };
        let say = |spared, signalled| said(false, |say| say.summary(&counts, 3, spared, signalled));
        assert_eq!(say(0, false), "Exiting: 12 events shown, 3 lost\n");
        assert_eq!(
            say(2, true),
            "Received signal, exiting: 12 events shown, 3 lost; for 2 drops and frees there was room only in the reserve\n"
        );
        let counts = Counts { dropped: 4, error: Some(denied()), ..Counts::default() };
        assert_eq!(
            said(false, |say| say.summary(&counts, 0, 0, false)),
            "warning: 4 lines could not be written: Operation not permitted (os error 1)\nExiting: 0 events shown, 0 lost\n"
        );
        let counts = Counts { error: Some(denied()), ..Counts::default() };
        let said = said(false, |say| say.summary(&counts, 0, 0, false));
        assert!(said.starts_with("warning: the output could not be written: Operation not permitted"), "{said}");
    }

    #[test]
    fn more_is_said_when_asked_for() {
        let stats = ProgStats {
            translated_slots: 90,
            jited_bytes: 400,
            run_count: 10,
            run_time_ns: 1000,
            ..ProgStats::default()
        };
        let speak = |say: &Say| say.program("entry", &stats);
        assert_eq!(said(false, speak), "");
        assert_eq!(said(true, speak), "debug: entry: 90 slots, 400 bytes of code, 10 runs of 100 ns\n");
        assert!(said(true, |say| say.stage("loading")).starts_with("debug: loading: "));
    }

    #[test]
    fn what_a_host_refuses_is_told() {
        assert_eq!(
            said(false, |say| say.privilege("system calls", Err(denied()))),
            "note: the run keeps all system calls: Operation not permitted (os error 1)\n"
        );
        assert_eq!(said(false, |say| say.privilege("capabilities", Ok(()))), "");
        assert_eq!(
            said(false, |say| say.old_names(Some(&denied()), 5000)),
            "note: an interface that is renamed may have its old name for 5 s: Operation not permitted (os error 1)\n"
        );
        assert_eq!(said(false, |say| say.old_names(None, 5000)), "");
    }

    #[test]
    fn progress_is_for_terminals() {
        assert_eq!(said(false, |say| say.progress(5, 9)), "");
        let out = Said::default();
        let say = Say { terminal: true, ..Say::to(Box::new(out.clone()), false) };
        say.progress(5, 9);
        say.listening();
        let shown = String::from_utf8(out.0.take()).expect("UTF-8");
        assert_eq!(shown, "\r\x1b[KAttaching 5 of 9\r\x1b[KListening for events..\n");
        assert_eq!(said(false, |say| say.status("12 events")), "\r\x1b[K12 events");
    }
}
