//! One JSON object per line, with pwru's keys in pwru's order; what is 0 or empty is left out, as pwru does.
//!
//! Ours, at the end: `metadata`, `map` and `prog`. Names were cleaned before they got here, so every string is UTF-8 without
//! control characters; only `"` and `\` need escaping.

use crate::cli::Timestamp;
use crate::decode::{Event, Network, Tuple};
use crate::names::Names;

use super::clock::{self, LastSeen, WallClock};
use super::extra::{self, Extra, MapEntry, Metadata};
use super::number::{decimal, hex, hex_fixed};
use super::value::Kind;
use super::{Columns, function, stack, symbol, tuple};

/// Writes lines of JSON.
#[derive(Debug)]
pub(super) struct Json {
    columns: Columns,
    clock: WallClock,
    seen: Option<LastSeen>,
    /// The last tuple and its text: one packet makes many lines in a row.
    last_tuple: Tuple,
    last_text: Vec<u8>,
}

impl Json {
    pub fn new(columns: Columns, clock: WallClock) -> Json {
        let seen = (columns.timestamp == Timestamp::Relative).then(LastSeen::new);
        Json { columns, clock, seen, last_tuple: Tuple::default(), last_text: b"{}".to_vec() }
    }

    /// Follows the clock of this machine.
    pub fn tick(&mut self) {
        self.clock.tick();
    }

    /// Appends the line of `event`.
    pub fn line(&mut self, out: &mut Vec<u8>, event: &Event, extra: &Extra<'_>, names: &mut Names) {
        out.extend_from_slice(b"{\"skb\":\"0x");
        hex(out, event.skb);
        out.push(b'"');
        if !extra.shared_info.is_empty() {
            dump(out, ",\"skb_shared_info\":", extra.shared_info);
        }
        number(out, ",\"cpu\":", event.cpu.into());
        out.extend_from_slice(b",\"process\":");
        string(out, |out| out.extend_from_slice(names.processes.text(event.pid, &event.comm).as_bytes()));
        out.extend_from_slice(b",\"func\":");
        string(out, |out| function(out, event, names));
        if self.columns.caller {
            out.extend_from_slice(b",\"caller_func\":");
            string(out, |out| symbol(out, event.caller, names));
        }
        match self.columns.timestamp {
            Timestamp::None => {}
            Timestamp::Absolute => {
                out.extend_from_slice(b",\"time\":\"");
                out.extend_from_slice(self.clock.text(event.time));
                out.push(b'"');
            }
            Timestamp::Current | Timestamp::Relative => {
                out.extend_from_slice(b",\"time\":");
                let time = self.seen.as_mut().map_or(event.time as i64, |seen| seen.delta(event.skb, event.time));
                clock::nanos(out, time);
            }
        }
        self.meta(out, event, names);
        if self.columns.tuple {
            if self.last_tuple != event.tuple {
                self.last_tuple = event.tuple;
                self.last_text.clear();
                tuple(&mut self.last_text, &event.tuple, self.columns.tcp_flags);
            }
            out.extend_from_slice(b",\"tuple\":");
            out.extend_from_slice(&self.last_text);
        }
        if self.columns.tunnel {
            out.extend_from_slice(b",\"tunnel_tuple\":");
            tuple(out, &extra.tunnel, self.columns.tcp_flags);
        }
        if !extra.stack.is_empty() {
            out.extend_from_slice(b",\"stack\":\"");
            for (n, address) in extra.stack.iter().enumerate() {
                out.extend_from_slice(b"\\n");
                escaped(out, |out| stack::frame(out, *address, n == 0, names));
            }
            out.push(b'"');
        }
        if !extra.skb.is_empty() {
            dump(out, ",\"skb_metadata\":", extra.skb);
        }
        if let Some(values) = &extra.metadata {
            metadata(out, values);
        }
        if let Some(entry) = &extra.map {
            map(out, entry);
        }
        if let Some(program) = names.functions.program(event.function) {
            out.extend_from_slice(b",\"prog\":{\"id\":");
            decimal(out, program.id.into());
            out.extend_from_slice(b",\"tag\":\"");
            program.tag.iter().for_each(|byte| hex_fixed(out, (*byte).into(), 2));
            out.extend_from_slice(b"\",\"name\":");
            string(out, |out| out.extend_from_slice(program.name.as_bytes()));
            out.push(b'}');
        }
        out.extend_from_slice(b"}\n");
    }

    fn meta(&self, out: &mut Vec<u8>, event: &Event, names: &mut Names) {
        let meta = &event.meta;
        if self.columns.meta {
            number(out, ",\"netns\":", meta.netns.into());
        }
        if self.columns.netns_names.is_some()
            && let Some(name) = names.netns.get(meta.netns)
        {
            out.extend_from_slice(b",\"netns_name\":");
            string(out, |out| out.extend_from_slice(name.as_bytes()));
        }
        if !self.columns.meta {
            return;
        }
        number(out, ",\"mark\":", meta.mark.into());
        out.extend_from_slice(b",\"iface\":");
        string(out, |out| out.extend_from_slice(names.interfaces.text(meta.netns, meta.ifindex).text.as_bytes()));
        number(out, ",\"proto\":", meta.protocol.into());
        number(out, ",\"mtu\":", meta.mtu.into());
        number(out, ",\"len\":", meta.len.into());
        if self.columns.cb {
            out.extend_from_slice(b",\"cb\":[");
            for (i, word) in event.cb.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                decimal(out, (*word).into());
            }
            out.push(b']');
        }
    }
}

/// `key` and `value`, unless it is 0.
fn number(out: &mut Vec<u8>, key: &str, value: u64) {
    if value != 0 {
        out.extend_from_slice(key.as_bytes());
        decimal(out, value);
    }
}

/// An object; `{}` if nothing is known.
fn tuple(out: &mut Vec<u8>, tuple: &Tuple, flags: bool) {
    let start = out.len();
    if tuple.network != Network::Unknown {
        out.extend_from_slice(b",\"saddr\":\"");
        tuple::source(out, &tuple.network);
        out.extend_from_slice(b"\",\"daddr\":\"");
        tuple::destination(out, &tuple.network);
        out.push(b'"');
    }
    if let Some(ports) = tuple.ports {
        number(out, ",\"sport\":", ports.source.into());
        number(out, ",\"dport\":", ports.destination.into());
    }
    number(out, ",\"proto\":", tuple.protocol.into());
    if flags && tuple.tcp_flags != 0 {
        out.extend_from_slice(b",\"flags\":\"");
        tuple::tcp_flags(out, tuple.tcp_flags);
        out.push(b'"');
    }
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

/// What `write` writes, as a string.
fn string(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    escaped(out, write);
    out.push(b'"');
}

/// What `write` writes, escaped. It must write UTF-8.
fn escaped(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    // Every byte is looked at, without a branch each: this is compiled to vector instructions.
    let is_special = |byte: u8| (byte == b'"') | (byte == b'\\') | (byte < 0x20);
    if out[start..].iter().fold(false, |any, &byte| any | is_special(byte)) {
        let text = out.split_off(start);
        for byte in text {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                b'\n' => out.extend_from_slice(b"\\n"),
                0..=0x1f => {
                    out.extend_from_slice(b"\\u00");
                    hex_fixed(out, byte.into(), 2);
                }
                _ => out.push(byte),
            }
        }
    }
}

/// Text of several lines, which pwru puts behind a line feed.
fn dump(out: &mut Vec<u8>, key: &str, text: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\"\\n");
    escaped(out, |out| extra::lines(out, text));
    out.push(b'"');
}

/// The values of the user's expressions, as an object: numbers, strings, and null behind a NULL pointer.
fn metadata(out: &mut Vec<u8>, metadata: &Metadata<'_>) {
    out.extend_from_slice(b",\"metadata\":{");
    let mut is_first = true;
    for (label, (value, kind)) in metadata.labels.iter().zip(metadata.values.iter()) {
        let Some(key) = &label.key else { continue };
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        string(out, |out| out.extend_from_slice(key.as_bytes()));
        out.push(b':');
        match kind {
            Kind::Bare => out.extend_from_slice(value),
            Kind::Text => string(out, |out| out.extend_from_slice(value)),
            Kind::Unknown => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

fn map(out: &mut Vec<u8>, entry: &MapEntry<'_>) {
    out.extend_from_slice(b",\"map\":{\"id\":");
    decimal(out, entry.id.into());
    out.extend_from_slice(b",\"name\":");
    string(out, |out| out.extend_from_slice(entry.clean_name().as_bytes()));
    let sizes = [(",\"key_size\":", entry.key_size), (",\"value_size\":", entry.value_size)];
    sizes.iter().for_each(|&(key, size)| number(out, key, size.into()));
    for (key, bytes) in [(",\"key\":\"", Some(entry.key)), (",\"value\":\"", entry.value)] {
        let Some(bytes) = bytes else { continue };
        out.extend_from_slice(key.as_bytes());
        bytes.iter().for_each(|byte| hex_fixed(out, (*byte).into(), 2));
        out.push(b'"');
    }
    out.push(b'}');
}
