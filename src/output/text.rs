//! Lines of text: pwru's columns, byte for byte.
//!
//! Three columns grow: the tuple, and the function if a caller follows, are padded to the longest one so far; what is
//! the last on a line is not padded. Where records tell more than pwru's do, the text of a column is better, never its
//! place: see [`super::tuple`] and [`crate::names`].

use crate::cli::Timestamp;
use crate::decode::{Event, Tuple};
use crate::names::Names;

use super::clock::{self, LastSeen, WallClock};
use super::extra::{self, Extra};
use super::number::{Row, centred, decimal, pad};
use super::{Columns, function, stack, symbol, tuple};

/// Writes lines of text.
#[derive(Debug)]
pub(super) struct Text {
    columns: Columns,
    clock: WallClock,
    seen: Option<LastSeen>,
    /// Length of the longest tuple so far.
    tuple_width: usize,
    /// Length of the longest function so far.
    function_width: usize,
    /// The last tuple and its text: one packet makes many lines in a row.
    last_tuple: Tuple,
    last_text: Vec<u8>,
}

impl Text {
    pub fn new(columns: Columns, clock: WallClock) -> Text {
        let seen = (columns.timestamp == Timestamp::Relative).then(LastSeen::new);
        let (last_tuple, last_text) = (Tuple::default(), Vec::new());
        let mut text = Text { columns, clock, seen, tuple_width: 0, function_width: 0, last_tuple, last_text };
        text.remember(&Tuple::default());
        text.tuple_width = 0;
        text
    }

    /// Follows the clock of this machine.
    pub fn tick(&mut self) {
        self.clock.tick();
    }

    /// Appends the line above the first.
    pub fn header(&self, out: &mut Vec<u8>) {
        let column = |out: &mut Vec<u8>, title: &[u8], width| {
            let start = out.len();
            out.extend_from_slice(title);
            pad(out, start, width);
        };
        if self.columns.timestamp == Timestamp::Absolute {
            column(out, b"TIME", clock::WIDTH + 1);
        }
        column(out, b"SKB", 19);
        column(out, b"CPU", 4);
        column(out, b"PROCESS", 16);
        if self.columns.timestamp != Timestamp::None {
            column(out, b" TIMESTAMP", 17);
        }
        if self.columns.meta {
            column(out, b" NETNS", 12);
            column(out, b"MARK/x", 9);
            centred(out, b"IFACE", 16);
            out.extend_from_slice(b" PROTO  MTU   LEN  ");
        }
        if self.columns.meta && self.columns.cb {
            column(out, b" __sk_buff->cb[]", 57);
        }
        if let Some(width) = self.columns.netns_names {
            centred(out, b"NETNS NAME", width.into());
        }
        for (is_on, title) in [
            (self.columns.tuple, " TUPLE"),
            (true, " FUNC"),
            (self.columns.caller, " CALLER"),
            (self.columns.tunnel, " TUNNEL"),
        ] {
            if is_on {
                out.extend_from_slice(title.as_bytes());
            }
        }
        out.push(b'\n');
    }

    /// Appends the line of `event`, and the lines of `extra` below it.
    pub fn line(&mut self, out: &mut Vec<u8>, event: &Event, extra: &Extra<'_>, names: &mut Names) {
        let mut row = Row::new();
        if self.columns.timestamp == Timestamp::Absolute {
            row.text(self.clock.text(event.time), clock::WIDTH, clock::WIDTH);
        }
        row.address(event.skb, 18);
        row.decimal(event.cpu.into(), 3);
        let process = names.processes.text(event.pid, &event.comm);
        row.text(process.padded(), process.len(), 16);
        if self.columns.timestamp != Timestamp::None {
            let time = self.seen.as_mut().map_or(event.time as i64, |seen| seen.delta(event.skb, event.time));
            row.signed(time, 16);
        }
        if self.columns.meta {
            self.meta(&mut row, event, names);
        }
        row.finish(out);
        if let Some(width) = self.columns.netns_names {
            // This column alone has no space before it.
            out.pop();
            centred(out, names.netns.get(event.meta.netns).map_or(b"", |name| cut(name, width.into())), width.into());
            out.push(b' ');
        }
        if self.columns.tuple {
            if self.last_tuple != event.tuple {
                self.remember(&event.tuple);
            }
            out.extend_from_slice(&self.last_text);
        }
        let start = out.len();
        function(out, event, names);
        if let Some(program) = names.functions.program(event.function) {
            out.extend_from_slice(b" id ");
            decimal(out, program.id.into());
        }
        if self.columns.caller {
            self.function_width = self.function_width.max(out.len() - start);
            pad(out, start, self.function_width);
            out.push(b' ');
            symbol(out, event.caller, names);
        }
        self.below(out, extra, names);
        out.push(b'\n');
    }

    /// Makes the text of the tuple's column, and of the space behind it.
    fn remember(&mut self, tuple: &Tuple) {
        self.last_tuple = *tuple;
        self.last_text.clear();
        tuple::tuple(&mut self.last_text, tuple, self.columns.tcp_flags);
        self.tuple_width = self.tuple_width.max(self.last_text.len());
        pad(&mut self.last_text, 0, self.tuple_width);
        self.last_text.push(b' ');
    }

    /// Namespace to length, and cb.
    fn meta(&self, row: &mut Row, event: &Event, names: &mut Names) {
        let meta = &event.meta;
        row.decimal(meta.netns.into(), 10);
        row.hex(meta.mark.into(), 8);
        let interface = names.interfaces.text(meta.netns, meta.ifindex);
        row.text(&interface.column, 16, 16);
        row.ethertype(meta.protocol);
        row.decimal(meta.mtu.into(), 5);
        row.decimal(meta.len.into(), 5);
        if self.columns.cb {
            row.words(&event.cb);
        }
    }

    /// What is on further lines, and the tunnel, which comes after them.
    fn below(&self, out: &mut Vec<u8>, extra: &Extra<'_>, names: &Names) {
        if let Some(metadata) = extra.metadata {
            for (label, (value, _)) in metadata.labels.iter().zip(metadata.values.iter()) {
                out.push(b' ');
                out.extend_from_slice(label.text.as_bytes());
                out.push(b'=');
                out.extend_from_slice(value);
            }
        }
        for (n, address) in extra.stack.iter().enumerate() {
            out.push(b'\n');
            stack::frame(out, *address, n == 0, names);
        }
        for dump in [extra.skb, extra.shared_info] {
            if !dump.is_empty() {
                out.push(b'\n');
                extra::lines(out, dump);
            }
        }
        if self.columns.tunnel {
            out.push(b' ');
            tuple::tuple(out, &extra.tunnel, self.columns.tcp_flags);
        }
        if let Some(map) = &extra.map {
            map.text(out);
        }
    }
}

/// The first `width` bytes of `name`, less what is left of a character there.
fn cut(name: &str, width: usize) -> &[u8] {
    let mut end = name.len().min(width);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name.as_bytes()[..end]
}
