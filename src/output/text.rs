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
use super::number::{centred, decimal_padded, hex, hex_fixed, pad, signed_padded, spaces};
use super::{Columns, function, symbol, tuple};

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
        let last_tuple = Tuple::default();
        let mut last_text = Vec::new();
        tuple::tuple(&mut last_text, &last_tuple, columns.tcp_flags);
        Text { columns, clock, seen, tuple_width: 0, function_width: 0, last_tuple, last_text }
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
        if self.columns.timestamp == Timestamp::Absolute {
            self.clock.write(out, event.time);
            out.push(b' ');
        }
        out.extend_from_slice(b"0x");
        let start = out.len();
        hex(out, event.skb);
        pad(out, start, 17);
        decimal_padded(out, event.cpu.into(), 3);
        out.push(b' ');
        let start = out.len();
        out.extend_from_slice(names.processes.text(event.pid, &event.comm));
        pad(out, start, 16);
        if self.columns.timestamp != Timestamp::None {
            out.push(b' ');
            let time = self.seen.as_mut().map_or(event.time as i64, |seen| seen.delta(event.skb, event.time));
            signed_padded(out, time, 16);
        }
        if self.columns.meta {
            self.meta(out, event, names);
        }
        if let Some(width) = self.columns.netns_names {
            centred(out, names.netns.get(event.meta.netns).map_or(b"", |name| cut(name, width.into())), width.into());
        }
        if self.columns.tuple {
            if self.last_tuple != event.tuple {
                self.last_tuple = event.tuple;
                self.last_text.clear();
                tuple::tuple(&mut self.last_text, &event.tuple, self.columns.tcp_flags);
            }
            self.tuple_width = self.tuple_width.max(self.last_text.len());
            out.push(b' ');
            out.extend_from_slice(&self.last_text);
            spaces(out, self.tuple_width - self.last_text.len());
        }
        out.push(b' ');
        let start = out.len();
        function(out, event, names);
        if self.columns.caller {
            self.function_width = self.function_width.max(out.len() - start);
            pad(out, start, self.function_width);
            out.push(b' ');
            symbol(out, event.caller, names);
        }
        self.below(out, extra, names);
        out.push(b'\n');
    }

    /// Namespace to length, and cb.
    fn meta(&self, out: &mut Vec<u8>, event: &Event, names: &mut Names) {
        let meta = &event.meta;
        out.push(b' ');
        decimal_padded(out, meta.netns.into(), 11);
        let start = out.len();
        hex(out, meta.mark.into());
        pad(out, start, 9);
        centred(out, names.interfaces.text(meta.netns, meta.ifindex), 16);
        out.extend_from_slice(b" 0x");
        hex_fixed(out, meta.protocol.into(), 4);
        out.push(b' ');
        decimal_padded(out, meta.mtu.into(), 5);
        out.push(b' ');
        decimal_padded(out, meta.len.into(), 5);
        if self.columns.cb {
            out.extend_from_slice(b" [");
            for (i, word) in event.cb.iter().enumerate() {
                out.extend_from_slice(if i == 0 { b"0x" } else { b",0x" });
                let start = out.len();
                hex_fixed(out, (*word).into(), 8);
                out[start..].make_ascii_uppercase();
            }
            out.push(b']');
        }
    }

    /// What is on further lines, and the tunnel, which comes after them.
    fn below(&self, out: &mut Vec<u8>, extra: &Extra<'_>, names: &Names) {
        for (name, value) in extra.metadata {
            out.push(b' ');
            extra::text(out, name);
            out.push(b'=');
            extra::text(out, value);
        }
        for address in extra.stack {
            out.push(b'\n');
            symbol(out, *address, names);
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
