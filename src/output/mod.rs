//! Events and names to lines, and the lines to where they go.

mod clock;
mod details;
mod extra;
mod json;
mod number;
mod rotate;
mod sink;
mod stack;
mod stream;
mod text;
mod tuple;
mod value;
mod zone;

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileTypeExt;
use std::sync::Arc;
use std::time::Instant;

use crate::clean;
use crate::cli::{Args, Timestamp};
use crate::decode::{Event, Function};
use crate::names::{Names, ProgramName, TargetName};
use crate::sys::stop::Stop;

pub use details::Details;
pub use extra::{Extra, Label, MapEntry, Metadata};
pub use value::{Kind, Values};

use clock::WallClock;
use json::Json;
use number::{decimal, hex};
use rotate::{RotatingFile, Rotation};
use sink::{Sink, State};
use stream::Stream;
use text::Text;

/// What a line shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Times.
    pub timestamp: Timestamp,
    /// Namespace, mark, interface, protocol, MTU and length.
    pub meta: bool,
    /// `__sk_buff->cb[]`; shown only beside `meta`.
    pub cb: bool,
    /// Width of the names of namespaces, if they are shown.
    pub netns_names: Option<u8>,
    /// Addresses and ports.
    pub tuple: bool,
    /// TCP flags, in every tuple.
    pub tcp_flags: bool,
    /// Caller of the function.
    pub caller: bool,
    /// Addresses and ports inside a tunnel.
    pub tunnel: bool,
}

/// How lines look and where they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What a line shows.
    pub columns: Columns,
    /// JSON instead of text.
    pub json: bool,
    /// Lines after which to stop; 0: never.
    pub limit: u64,
    /// Whether somebody watches: then lines are written batch by batch, not in large pieces.
    pub is_terminal: bool,
}

impl Settings {
    /// The settings of this command line.
    pub fn new(args: &Args) -> Settings {
        let columns = Columns {
            timestamp: args.timestamp,
            meta: args.output_meta,
            cb: args.output_skb_cb || args.filter_trace_tc,
            netns_names: args.output_netns_names.then_some(args.netns_names_max_length),
            tuple: args.output_tuple,
            tcp_flags: args.output_tcp_flags,
            caller: args.output_caller,
            tunnel: args.output_tunnel,
        };
        let is_terminal = args.output_file.is_none() && io::stdout().is_terminal();
        Settings { columns, json: args.output_json, limit: args.output_limit_lines, is_terminal }
    }
}

/// Opens what the lines are written to: standard output, or the file that was asked for, which rotates. Whenever SIGHUP has
/// come the file is opened again, as after another program has renamed it. A named pipe does neither.
pub fn open(args: &Args, stop: &Arc<Stop>) -> io::Result<Box<dyn Write>> {
    let Some(path) = &args.output_file else {
        return Ok(Box::new(Stream::open(stop.clone())?));
    };
    if std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
        return Ok(Box::new(Stream::open_pipe(path, stop.clone())?));
    }
    let max_size = if args.output_file_max_size == 0 { 100 } else { args.output_file_max_size };
    let rotation = Rotation {
        max_bytes: max_size.saturating_mul(1 << 20),
        max_backups: args.output_file_max_backups,
        max_days: args.output_file_max_age,
        compress: args.output_file_compress,
    };
    // Who has closed standard error wants none of it.
    let say = |text: &str| drop(writeln!(io::stderr(), "{text}"));
    Ok(Box::new(RotatingFile::open(path, rotation, stop.hangups(), say)?))
}

/// Why no more events are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As many lines as were asked for are written.
    Limit,
    /// The reader of our output has closed its end.
    Closed,
}

/// What became of the events.
#[derive(Debug, Default)]
pub struct Counts {
    /// Lines that were written.
    pub written: u64,
    /// Lines that could not be written and were dropped.
    pub dropped: u64,
    /// Records that were lost before they reached us.
    pub lost: u64,
    /// The first failure to write.
    pub error: Option<io::Error>,
}

/// Writes a line for each event.
pub struct Lines<'o> {
    format: Format,
    names: Names,
    sink: Sink<'o>,
    notes: Box<dyn Write + 'o>,
    settings: Settings,
    gaps: Gaps,
    counts: Counts,
    /// Events until the caches are told the time, so that this is not done for each.
    until_tick: u32,
    noted_failure: bool,
    started: Instant,
}

enum Format {
    Text(Box<Text>),
    Json(Box<Json>),
}

/// Events between two looks at the clock.
const TICK: u32 = 1024;

impl<'o> Lines<'o> {
    /// Lines to `out`, notes to standard error. The header, if there is one, is written with the first line or when
    /// nothing comes.
    pub fn new(settings: Settings, names: Names, out: Box<dyn Write + 'o>) -> Lines<'o> {
        Lines::with_notes(settings, names, out, Box::new(io::stderr()))
    }

    /// Lines to `out`, notes to `notes`.
    pub fn with_notes(
        settings: Settings,
        names: Names,
        out: Box<dyn Write + 'o>,
        notes: Box<dyn Write + 'o>,
    ) -> Lines<'o> {
        let mut sink = Sink::new(out);
        let clock = WallClock::of_host();
        let format = if settings.json {
            Format::Json(Box::new(Json::new(settings.columns, clock)))
        } else {
            let text = Text::new(settings.columns, clock);
            if let Ok(room) = sink.room() {
                text.header(room);
            }
            Format::Text(Box::new(text))
        };
        Lines {
            format,
            names,
            sink,
            notes,
            settings,
            gaps: Gaps::default(),
            counts: Counts::default(),
            until_tick: 0,
            noted_failure: false,
            started: Instant::now(),
        }
    }

    /// Names one more function, which has the next index.
    pub fn add_function(&mut self, function: &TargetName) {
        self.names.functions.add_function(function);
    }

    /// Says where functions are, too: their indices, and addresses.
    pub fn add_places(&mut self, places: &[(u32, u64)]) {
        self.names.functions.add_places(places);
    }

    /// Names one more BPF program, which has the next index.
    pub fn add_program(&mut self, program: ProgramName) {
        self.names.functions.add(program);
    }

    /// Writes the line of `event`; breaks when no more are wanted.
    pub fn event(&mut self, event: &Event) -> ControlFlow<End> {
        self.event_with(event, &Extra::default())
    }

    /// Writes the lines of `event` and of what belongs to it.
    pub fn event_with(&mut self, event: &Event, extra: &Extra<'_>) -> ControlFlow<End> {
        if self.until_tick == 0 {
            self.tick();
        }
        self.until_tick -= 1;
        let lost = self.gaps.step(event.cpu, event.lost);
        if lost > 0 {
            self.gap(event.cpu, lost);
        }
        match self.sink.room() {
            Ok(room) => {
                match &mut self.format {
                    Format::Text(text) => text.line(room, event, extra, &mut self.names),
                    Format::Json(json) => json.line(room, event, extra, &mut self.names),
                }
                self.counts.written += 1;
                self.sink.end_event();
            }
            Err(State::Closed) => return ControlFlow::Break(End::Closed),
            Err(_) => self.counts.dropped += 1,
        }
        self.sink.flush_full();
        if self.counts.written == self.settings.limit && self.settings.limit != 0 {
            return ControlFlow::Break(End::Limit);
        }
        ControlFlow::Continue(())
    }

    /// Says that `lost` more records of `cpu` were lost than the records themselves tell, as after the last one.
    pub fn gap(&mut self, cpu: u32, lost: u64) {
        self.counts.lost += lost;
        self.gaps.add(cpu, lost);
        self.note_gap(false);
    }

    /// The names of this machine.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Lines that were written so far.
    pub fn written(&self) -> u64 {
        self.counts.written
    }

    /// Records known to be lost so far.
    pub fn lost(&self) -> u64 {
        self.counts.lost
    }

    /// Says that `lost` more records were lost after the last one of their CPU.
    pub fn gap_at_end(&mut self, lost: u64) {
        self.counts.lost += lost;
        self.gaps.unsaid += lost;
        self.note_gap(true);
    }

    /// Ends a batch of events: on a terminal they are shown now. Breaks when no more are wanted.
    pub fn batch(&mut self) -> ControlFlow<End> {
        if self.settings.is_terminal {
            self.flush();
        }
        self.wanted()
    }

    /// Says that there are no more events for the moment: everything is written now. Breaks when no more are wanted.
    pub fn idle(&mut self) -> ControlFlow<End> {
        self.flush();
        self.note_gap(false);
        self.until_tick = 0;
        self.wanted()
    }

    fn wanted(&self) -> ControlFlow<End> {
        match self.sink.state {
            State::Closed => ControlFlow::Break(End::Closed),
            State::Open | State::Failing => ControlFlow::Continue(()),
        }
    }

    /// Writes what is left.
    pub fn finish(mut self) -> Counts {
        self.flush();
        self.note_gap(true);
        let left = self.sink.pending();
        self.counts.written -= (left + self.sink.unread).min(self.counts.written);
        self.counts.dropped += left;
        self.counts.error = self.sink.error.take();
        self.counts
    }

    fn flush(&mut self) {
        self.sink.flush();
        self.note_failure();
    }

    fn tick(&mut self) {
        self.until_tick = TICK;
        self.names.tick();
        match &mut self.format {
            Format::Text(text) => text.tick(),
            Format::Json(json) => json.tick(),
        }
        if self.sink.state == State::Failing {
            self.sink.flush();
        }
        self.note_failure();
    }

    /// Says once that lines cannot be written; the count is for the summary.
    fn note_failure(&mut self) {
        if let Some(error) = self.sink.error.as_ref().filter(|_| !self.noted_failure) {
            self.noted_failure = true;
            let _ =
                writeln!(self.notes, "warning: lines cannot be written: {error}; trying again, some may be dropped");
        }
    }

    /// Says how much was lost, if that was not said just now; with `last` in any case.
    fn note_gap(&mut self, last: bool) {
        let now_ms = self.started.elapsed().as_millis() as u64;
        if let Some(note) = self.gaps.note(now_ms, last) {
            // Where it happened: after the lines before it.
            if self.settings.is_terminal {
                self.sink.flush();
            }
            let _ = self.notes.write_all(note.as_bytes());
        }
    }
}

/// Losses, and when to speak of them.
#[derive(Debug, Default)]
struct Gaps {
    /// The count in the last record of each CPU.
    last: Vec<u32>,
    /// Lost since the last note.
    unsaid: u64,
    /// The CPU they were lost on, if it is one.
    cpu: Option<u32>,
    said_ms: Option<u64>,
}

/// Time between two notes on losses.
const NOTE_MS: u64 = 1000;

/// More CPUs than a kernel can have.
const MAX_CPUS: u32 = 1 << 16;

impl Gaps {
    /// Records lost on `cpu` since its last one, which now counts `lost`.
    #[inline]
    fn step(&mut self, cpu: u32, lost: u32) -> u64 {
        match self.last.get_mut(cpu as usize) {
            Some(last) if *last == lost => 0,
            _ => self.other_step(cpu, lost),
        }
    }

    #[cold]
    fn other_step(&mut self, cpu: u32, lost: u32) -> u64 {
        if cpu >= MAX_CPUS {
            return 0;
        }
        if self.last.len() <= cpu as usize {
            self.last.resize(cpu as usize + 1, 0);
        }
        let last = &mut self.last[cpu as usize];
        let step = lost.wrapping_sub(*last);
        // An interrupt's record may overtake the one it interrupted: that counts nothing twice.
        if step as i32 <= 0 {
            return 0;
        }
        *last = lost;
        step.into()
    }

    fn add(&mut self, cpu: u32, lost: u64) {
        self.cpu = if self.unsaid == 0 || self.cpu == Some(cpu) { Some(cpu) } else { None };
        self.unsaid += lost;
    }

    /// What to say at `now_ms`, if anything.
    fn note(&mut self, now_ms: u64, last: bool) -> Option<String> {
        let is_due = self.said_ms.is_none_or(|said| now_ms.saturating_sub(said) >= NOTE_MS);
        if self.unsaid == 0 || !(is_due || last) {
            return None;
        }
        let lost = std::mem::take(&mut self.unsaid);
        let cpus = self.cpu.map_or("several CPUs".into(), |cpu| format!("CPU {cpu}"));
        let hint = if self.said_ms.is_none() { "; --buffer-size makes more room" } else { "" };
        self.said_ms = Some(now_ms);
        let (noun, verb) = if lost == 1 { ("event", "was") } else { ("events", "were") };
        Some(format!("note: {lost} {noun} {verb} lost here on {cpus}{hint}\n"))
    }
}

/// Appends the name of the function, its kind and the drop reason that belongs to it.
fn function(out: &mut Vec<u8>, event: &Event, names: &Names) {
    match names.functions.get(event.function) {
        Some((name, has_reason)) => {
            out.extend_from_slice(name);
            if let Some(reason) = event.reason.filter(|_| has_reason) {
                drop_reason(out, reason, names);
            }
        }
        None => match event.function {
            Function::Address(address) => symbol(out, address, names),
            Function::Index(_) | Function::Unknown => out.push(b'?'),
        },
    }
}

/// Appends `(NAME)`, or for an unknown reason ` (NUMBER)`, as pwru does.
fn drop_reason(out: &mut Vec<u8>, reason: u32, names: &Names) {
    match (names.reasons.get(reason), names.reasons.subsystem(reason)) {
        (Some(name), _) => {
            out.push(b'(');
            out.extend_from_slice(name.as_bytes());
        }
        (None, Some(subsystem)) => {
            out.push(b'(');
            out.extend_from_slice(subsystem.as_bytes());
            out.push(b'+');
            decimal(out, u64::from(reason & 0xffff));
        }
        (None, None) => {
            out.extend_from_slice(b" (");
            decimal(out, reason.into());
        }
    }
    out.push(b')');
}

/// No function is larger. What is further behind a symbol belongs to something that is not in the table.
const LARGEST: u64 = 1 << 20;

/// Appends the name of the symbol at or before `address`, or the address if there is none.
fn symbol(out: &mut Vec<u8>, address: u64, names: &Names) {
    let start = out.len();
    let is_far = names.symbols.offset(address).is_some_and(|offset| offset >= LARGEST);
    if is_far || !names.symbols.write_nearest(address, out) {
        out.truncate(start);
        out.extend_from_slice(b"0x");
        hex(out, address);
    } else if !clean::is_plain(&out[start..]) {
        let name = out.split_off(start);
        out.extend_from_slice(clean::clean(&name).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_counted_once_and_said_seldom() {
        let mut gaps = Gaps::default();
        assert_eq!(gaps.step(1, 0), 0);
        assert_eq!(gaps.step(1, 5), 5);
        assert_eq!(gaps.step(1, 4), 0, "overtaken");
        assert_eq!(gaps.step(1, 5), 0);
        assert_eq!(gaps.step(0, 2), 2);
        assert_eq!(gaps.step(u32::MAX, 2), 0);
        let mut wraps = Gaps { last: vec![u32::MAX - 1], ..Gaps::default() };
        assert_eq!(wraps.step(0, 1), 3);

        gaps.add(1, 5);
        let first = gaps.note(0, false);
        assert_eq!(first.as_deref(), Some("note: 5 events were lost here on CPU 1; --buffer-size makes more room\n"));
        gaps.add(1, 1);
        assert_eq!(gaps.note(1, false), None);
        assert_eq!(gaps.note(NOTE_MS, false).as_deref(), Some("note: 1 event was lost here on CPU 1\n"));
        gaps.add(1, 1);
        gaps.add(0, 1);
        assert_eq!(gaps.note(NOTE_MS, true).as_deref(), Some("note: 2 events were lost here on several CPUs\n"));
        assert_eq!(gaps.note(NOTE_MS * 9, true), None);
    }
}
