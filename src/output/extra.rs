//! What only some runs print: stacks, whole structures, fields that the user named, map entries.

use crate::clean;
use crate::decode::Tuple;

use super::number::{decimal, hex_fixed};
use super::value::Values;

/// What a line has besides its event; empty where the run does not ask for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extra<'e> {
    /// The packet inside the tunnel.
    pub tunnel: Tuple,
    /// Values of the user's expressions.
    pub metadata: Option<Metadata<'e>>,
    /// Return addresses, innermost first; no zeros.
    pub stack: &'e [u64],
    /// The whole sk_buff as text.
    pub skb: &'e [u8],
    /// The whole skb_shared_info as text.
    pub shared_info: &'e [u8],
    /// An entry of a BPF map.
    pub map: Option<MapEntry<'e>>,
}

/// Values of the user's expressions.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'e> {
    /// What they are called; as many as there are values.
    pub labels: &'e [Label],
    /// The values.
    pub values: &'e Values,
}

/// What a value is called. It was cleaned already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// In text: the last name of the expression.
    pub text: String,
    /// In JSON: a key, unless an earlier value has it.
    pub key: Option<String>,
}

/// An entry of a BPF map.
#[derive(Clone, Copy, Debug)]
pub struct MapEntry<'e> {
    /// Number of the map.
    pub id: u32,
    /// Name of the map, up to the first NUL.
    pub name: &'e [u8],
    /// Size of a key in bytes.
    pub key_size: u32,
    /// Size of a value in bytes.
    pub value_size: u32,
    /// The key's bytes, as many as were read.
    pub key: &'e [u8],
    /// The value's bytes, as many as were read; `None` if there is none: nothing was found, or it was deleted.
    pub value: Option<&'e [u8]>,
}

impl MapEntry<'_> {
    /// The name as it may be shown.
    pub(super) fn clean_name(&self) -> std::borrow::Cow<'_, str> {
        clean::clean(self.name.split(|&byte| byte == 0).next().unwrap_or_default())
    }

    /// Appends the lines of text.
    pub(super) fn text(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\nmap_id: ");
        decimal(out, self.id.into());
        out.extend_from_slice(b"\nmap_name: ");
        out.extend_from_slice(self.clean_name().as_bytes());
        let value = self.value.unwrap_or_default();
        for (title, size, bytes) in [(&b"\nkey("[..], self.key_size, self.key), (b"value(", self.value_size, value)] {
            out.extend_from_slice(title);
            decimal(out, size.into());
            out.extend_from_slice(b"):\n");
            hexdump(out, bytes);
            let more = u64::from(size).saturating_sub(bytes.len() as u64);
            if more > 0 && !bytes.is_empty() {
                out.extend_from_slice(b"... ");
                decimal(out, more);
                out.extend_from_slice(b" more bytes\n");
            }
        }
    }
}

/// The lines of `hexdump -C` but the last, which has only an offset.
fn hexdump(out: &mut Vec<u8>, bytes: &[u8]) {
    for (line, bytes) in bytes.chunks(16).enumerate() {
        hex_fixed(out, line as u64 * 16, 8);
        out.push(b' ');
        for place in 0..16 {
            if place % 8 == 0 {
                out.push(b' ');
            }
            match bytes.get(place) {
                Some(byte) => hex_fixed(out, (*byte).into(), 2),
                None => out.extend_from_slice(b"  "),
            }
            out.push(b' ');
        }
        out.extend_from_slice(b" |");
        out.extend(bytes.iter().map(|byte| if matches!(byte, 0x20..=0x7e) { *byte } else { b'.' }));
        out.extend_from_slice(b"|\n");
    }
}

/// Appends the lines of `text` as they may be shown.
pub(super) fn lines(out: &mut Vec<u8>, text: &[u8]) {
    for (i, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if i > 0 {
            out.push(b'\n');
        }
        if clean::is_plain(line) {
            out.extend_from_slice(line);
        } else {
            out.extend_from_slice(clean::clean(line).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_entry_is_dumped_as_hexdump_does() {
        let value: Vec<u8> = (60..78).collect();
        let name = b"ct\0\0";
        let map = MapEntry { id: 7, name, key_size: 4, value_size: 20, key: &[1, 2, 3, 4], value: Some(&value) };
        let mut out = Vec::new();
        map.text(&mut out);
        let want = "\nmap_id: 7\nmap_name: ct\nkey(4):\n\
            00000000  01 02 03 04                                       |....|\n\
            value(20):\n\
            00000000  3c 3d 3e 3f 40 41 42 43  44 45 46 47 48 49 4a 4b  |<=>?@ABCDEFGHIJK|\n\
            00000010  4c 4d                                             |LM|\n\
            ... 2 more bytes\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
        let mut out = Vec::new();
        MapEntry { value: None, ..map }.text(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), want.split("00000000  3c").next().unwrap());
    }
}
