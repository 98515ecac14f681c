//! Values of expressions as text, by the looks that plans give them.

use crate::btf::look::{Form, Look, Number};
use crate::clean;

use super::number::{decimal, hex, hex_fixed};
use super::tuple::{ipv4, ipv6_bare};

/// What a value is in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its text is a number, `true` or `false`.
    Bare,
    /// Its text is a string.
    Text,
    /// It lies behind a NULL pointer. In text it is 0, as pwru has it.
    Unknown,
}

/// The values of one event as text, in the order of the command line. Kept from event to event, so that nothing is
/// allocated for each.
#[derive(Clone, Debug, Default)]
pub struct Values {
    text: Vec<u8>,
    ends: Vec<(usize, Kind)>,
}

impl Values {
    /// Forgets all values.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Adds a value that is text already.
    pub fn push(&mut self, text: &str, kind: Kind) {
        self.text.extend_from_slice(text.as_bytes());
        self.ends.push((self.text.len(), kind));
    }

    /// Adds a value by its bytes; `None` if there is none. Of a string behind a pointer only `limit` bytes are shown.
    pub(super) fn add(&mut self, bytes: Option<&[u8]>, look: &Look, limit: usize) {
        let kind = match bytes {
            Some(bytes) => print(&mut self.text, bytes, look, limit),
            None => {
                self.text.push(b'0');
                Kind::Unknown
            }
        };
        self.ends.push((self.text.len(), kind));
    }

    /// All values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Kind)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(end, _)| *end));
        starts.zip(&self.ends).map(|(start, &(end, kind))| (&self.text[start..end], kind))
    }
}

/// Appends a value.
fn print(out: &mut Vec<u8>, bytes: &[u8], look: &Look, limit: usize) -> Kind {
    match look {
        Look::Number(number) => return print_number(out, bytes, number),
        Look::Ipv6 => match bytes.first_chunk() {
            Some(address) => ipv6_bare(out, address),
            None => print_bytes(out, bytes),
        },
        Look::Mac => {
            for (n, byte) in bytes.iter().enumerate() {
                if n > 0 {
                    out.push(b':');
                }
                hex_fixed(out, (*byte).into(), 2);
            }
        }
        Look::Text => {
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            out.extend_from_slice(clean::clean(&bytes[..end.min(limit)]).as_bytes());
            if end > limit {
                out.extend_from_slice(b"...");
            }
        }
        Look::Bytes => print_bytes(out, bytes),
        Look::Array { of, stride, count } => {
            out.push(b'[');
            for (n, element) in bytes.chunks(*stride as usize).take(*count as usize).enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                print(out, element, of, limit);
            }
            out.push(b']');
        }
        Look::Struct(parts) => {
            out.push(b'{');
            for (n, part) in parts.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                if !part.name.is_empty() {
                    out.extend_from_slice(part.name.as_bytes());
                    out.push(b'=');
                }
                let start = part.offset as usize;
                if let Some(bytes) = bytes.get(start..start + part.size as usize) {
                    print(out, bytes, &part.look, limit);
                }
            }
            out.push(b'}');
        }
    }
    Kind::Text
}

fn print_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    bytes.iter().for_each(|byte| hex_fixed(out, (*byte).into(), 2));
}

fn print_number(out: &mut Vec<u8>, bytes: &[u8], number: &Number) -> Kind {
    let Number { bits, big_endian, signed, form } = number;
    if let (Form::Ipv4, Some(address)) = (form, bytes.first_chunk()) {
        ipv4(out, address);
        return Kind::Text;
    }
    let mut word = [0; 8];
    let size = bytes.len().min(8);
    word[..size].copy_from_slice(&bytes[..size]);
    if *big_endian {
        word[..size].reverse();
    }
    let (shift, width) = bits.map_or((0, size as u32 * 8), |bits| (u32::from(bits.shift), bits.width.into()));
    let unused = 64 - width.clamp(1, 64);
    let value = (u64::from_le_bytes(word) >> (shift & 63)) << unused;
    let value = if *signed { (value as i64 >> unused) as u64 } else { value >> unused };
    match form {
        Form::Bool => {
            out.extend_from_slice(if value == 0 { b"false" } else { b"true" });
            return Kind::Bare;
        }
        Form::Char if (0x20..0x7f).contains(&value) => out.extend_from_slice(&[b'\'', value as u8, b'\'']),
        Form::Pointer => {
            out.extend_from_slice(b"0x");
            hex(out, value);
        }
        Form::EtherType => {
            out.extend_from_slice(b"0x");
            hex_fixed(out, value, 4);
        }
        Form::Names(names) if by_name(out, value, *signed, width, names) => {}
        _ => {
            if *signed && (value as i64) < 0 {
                out.push(b'-');
                decimal(out, (value as i64).unsigned_abs());
            } else {
                decimal(out, value);
            }
            return Kind::Bare;
        }
    }
    Kind::Text
}

/// Appends the name of an enumerator, or the names of several whose bits make up the value; false if neither fits.
fn by_name(out: &mut Vec<u8>, value: u64, signed: bool, width: u32, names: &[(i128, String)]) -> bool {
    let value = if signed { i128::from(value as i64) } else { value.into() };
    // BTF before Linux 6.0 does not tell whether an enum is signed.
    let same = |of: i128| of == value || (of as u128 ^ value as u128) << (128 - width.clamp(1, 64)) == 0;
    if let Some((_, name)) = names.iter().find(|(of, _)| same(*of)) {
        out.extend_from_slice(name.as_bytes());
        return true;
    }
    let flags = || names.iter().filter(|(of, _)| *of != 0);
    let mut all = 0;
    if value == 0 || !flags().all(|(of, _)| of.count_ones() == 1) {
        return false;
    }
    flags().for_each(|(of, _)| all |= of);
    if value & !all != 0 {
        return false;
    }
    let mut left = value;
    for (of, name) in flags() {
        if left & of != 0 {
            if left != value {
                out.push(b'|');
            }
            out.extend_from_slice(name.as_bytes());
            left &= !of;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::Bits;
    use crate::btf::look::Part;

    #[track_caller]
    fn check(bytes: &[u8], look: Look, text: &str, kind: Kind) {
        let mut values = Values::default();
        values.push("before", Kind::Text);
        values.add(Some(bytes), &look, 8);
        let (last, is) = values.iter().last().unwrap();
        assert_eq!((str::from_utf8(last).unwrap(), is), (text, kind), "{look}");
    }

    fn number(form: Form, big_endian: bool, signed: bool) -> Look {
        Look::Number(Number { bits: None, big_endian, signed, form })
    }

    #[test]
    fn numbers() {
        check(&[1, 2], number(Form::Decimal, false, false), "513", Kind::Bare);
        check(&[1, 2], number(Form::Decimal, true, false), "258", Kind::Bare);
        check(&[0xff; 4], number(Form::Decimal, false, true), "-1", Kind::Bare);
        check(&[0xff; 4], number(Form::Decimal, false, false), "4294967295", Kind::Bare);
        check(&[0xff; 8], number(Form::Decimal, false, false), "18446744073709551615", Kind::Bare);
        check(&[0, 0, 0, 0, 0, 0, 0, 0x80], number(Form::Decimal, false, true), "-9223372036854775808", Kind::Bare);
        check(&[1], number(Form::Bool, false, false), "true", Kind::Bare);
        check(b"a", number(Form::Char, false, true), "'a'", Kind::Text);
        check(&[0xff], number(Form::Char, false, true), "-1", Kind::Bare);
        check(&[27], number(Form::Char, false, true), "27", Kind::Bare);
        check(&[8, 0], number(Form::EtherType, true, false), "0x0800", Kind::Text);
        check(&[10, 0, 0, 1], number(Form::Ipv4, true, false), "10.0.0.1", Kind::Text);
        check(
            &[0, 0, 0xff, 0xff, 0, 0, 0x80, 0xff],
            number(Form::Pointer, false, false),
            "0xff800000ffff0000",
            Kind::Text,
        );
        let bits = Some(Bits { shift: 3, width: 2 });
        let field = |signed| Look::Number(Number { bits, ..Number::decimal(signed) });
        check(&[0b0001_0111], field(false), "2", Kind::Bare);
        check(&[0b0001_0111], field(true), "-2", Kind::Bare);
    }

    #[test]
    fn names_of_enumerators() {
        let names = |list: &[(i128, &str)], signed| {
            let names = list.iter().map(|(value, name)| (*value, (*name).to_owned())).collect();
            number(Form::Names(names), false, signed)
        };
        let states = [(0, "NONE"), (1, "ONE"), (3, "THREE"), (-1, "BAD")];
        check(&[3, 0, 0, 0], names(&states, true), "THREE", Kind::Text);
        check(&[2, 0, 0, 0], names(&states, true), "2", Kind::Bare);
        check(&[0xff; 4], names(&states, true), "BAD", Kind::Text);
        check(&[0xff; 4], names(&[(0xffff_ffff, "OLD")], true), "OLD", Kind::Text);
        let flags = [(0, "NONE"), (1, "UP"), (2, "DOWN"), (8, "LEFT")];
        check(&[0, 0, 0, 0], names(&flags, false), "NONE", Kind::Text);
        check(&[9, 0, 0, 0], names(&flags, false), "UP|LEFT", Kind::Text);
        check(&[4, 0, 0, 0], names(&flags, false), "4", Kind::Bare);
    }

    #[test]
    fn more_than_numbers() {
        check(b"eth0\0\0\0\0", Look::Text, "eth0", Kind::Text);
        check(b"a\x1b[31m", Look::Text, "a\\x1b[31m", Kind::Text);
        check(b"veryverylong", Look::Text, "veryvery...", Kind::Text);
        check(&[2, 0, 0, 0, 0, 0xab], Look::Mac, "02:00:00:00:00:ab", Kind::Text);
        check(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], Look::Ipv6, "fd00::1", Kind::Text);
        check(&[1, 2, 0xff], Look::Bytes, "0102ff", Kind::Text);
        let of = Box::new(number(Form::Decimal, false, false));
        check(&[1, 0, 2, 0], Look::Array { of, stride: 2, count: 2 }, "[1,2]", Kind::Text);
        let part = |name: &str, offset, size, look| Part { name: name.into(), offset, size, look };
        let parts = vec![part("a", 0, 1, number(Form::Decimal, false, false)), part("b", 1, 4, Look::Text)];
        check(b"\x05ab\0\0", Look::Struct(parts), "{a=5,b=ab}", Kind::Text);
        let mut values = Values::default();
        values.add(None, &Look::Mac, 8);
        assert_eq!(values.iter().collect::<Vec<_>>(), [(&b"0"[..], Kind::Unknown)]);
    }
}
