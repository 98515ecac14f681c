//! How a value of a type is shown: what its bytes are, worked out once, so that no types are needed when it is printed.
//!
//! C's types say less than their users know: `__be32` is an address or a sequence number. The names of typedefs, of
//! structs and of the member itself tell; where nothing tells, a number is shown as one.

use std::fmt;

use super::path::Bits;
use super::raw::Kind;
use super::types::{Array, Composite, Enum, Int, MAX_DEPTH, Type, View};

/// How the bytes of a value are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// One number of 1, 2, 4 or 8 bytes.
    Number(Number),
    /// 16 bytes: an IPv6 address.
    Ipv6,
    /// 6 bytes: an Ethernet address.
    Mac,
    /// Characters up to a NUL, or all.
    Text,
    /// Bytes in hexadecimal.
    Bytes,
    /// Equal parts, one after another.
    Array {
        /// The first.
        of: Box<Look>,
        /// Bytes from one to the next.
        stride: u32,
        /// How many.
        count: u32,
    },
    /// Parts with names.
    Struct(Vec<Part>),
}

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Bytes from the beginning of the struct.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
    /// How it is shown.
    pub look: Look,
}

/// A number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// The bits of the bytes that it takes, if not all.
    pub bits: Option<Bits>,
    /// The bytes are in network order.
    pub big_endian: bool,
    /// The highest bit is a sign.
    pub signed: bool,
    /// How it is written.
    pub form: Form,
}

/// How a number is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// In decimal.
    Decimal,
    /// `true` or `false`.
    Bool,
    /// As a character, if it is printable.
    Char,
    /// `0x` and hexadecimal.
    Pointer,
    /// `0x` and four digits.
    EtherType,
    /// As an IPv4 address, in the order of its bytes.
    Ipv4,
    /// By name. If no single one fits and each has a bit of its own, by several with `|` between them.
    Names(Vec<(i128, String)>),
}

impl Number {
    /// A number in decimal that takes all its bytes, in the order of the machine.
    pub fn decimal(signed: bool) -> Number {
        Number { bits: None, big_endian: false, signed, form: Form::Decimal }
    }
}

/// Structs within each other, deeper than this, are shown as bytes.
const DEEP: u32 = 8;

impl Look {
    /// How an object of type `t` is shown that is called `name`; `bits` if it is a bit field.
    pub fn of(t: Type<'_>, name: &str, bits: Option<Bits>) -> Look {
        look(t, name, bits, 0)
    }
}

fn look(t: Type<'_>, name: &str, bits: Option<Bits>, depth: u32) -> Look {
    let Ok(peeled) = t.peel() else { return Look::Bytes };
    let number = |big_endian, signed, form| Look::Number(Number { bits, big_endian, signed, form });
    if let Some(int) = Int::from_type(peeled) {
        if !matches!(int.size(), 1 | 2 | 4 | 8) {
            return Look::Bytes;
        }
        let form = match network_order(t) {
            Some("__be16") if name.contains("proto") => Form::EtherType,
            Some("__be32") if is_address(name) => Form::Ipv4,
            Some(_) => Form::Decimal,
            None if int.is_bool() => Form::Bool,
            None if is_char(peeled) && bits.is_none() => Form::Char,
            None => Form::Decimal,
        };
        return number(network_order(t).is_some(), int.signed(), form);
    }
    if let Some(e) = Enum::from_type(peeled) {
        let names = e.values().map(|value| (value.value, value.name.to_owned())).collect();
        return number(false, e.signed(), Form::Names(names));
    }
    if let Some(array) = Array::from_type(peeled) {
        return array_look(array, name, depth);
    }
    if let Some(composite) = Composite::from_type(peeled) {
        return struct_look(composite, depth);
    }
    match peeled.kind() {
        Kind::Ptr => number(false, false, Form::Pointer),
        _ => Look::Bytes,
    }
}

fn array_look(array: Array<'_>, name: &str, depth: u32) -> Look {
    let btf = array.as_type().btf();
    let Ok(element) = btf.get(array.element()) else { return Look::Bytes };
    let (Ok(peeled), Ok(stride)) = (element.peel(), element.size()) else { return Look::Bytes };
    let count = array.len();
    if let Some(int) = Int::from_type(peeled) {
        match (int.size(), count) {
            // The control block is called an array of characters and is none.
            (1, _) if is_char(peeled) && name != "cb" => return Look::Text,
            (1, 6) => return Look::Mac,
            (1, 16) | (2, 8) | (4, 4) if is_address(name) => return Look::Ipv6,
            (1, _) => return Look::Bytes,
            _ => {}
        }
    }
    if depth == DEEP || stride == 0 {
        return Look::Bytes;
    }
    Look::Array { of: Box::new(look(element, name, None, depth + 1)), stride, count }
}

fn struct_look(composite: Composite<'_>, depth: u32) -> Look {
    if composite.name() == "in6_addr" {
        return Look::Ipv6;
    }
    if depth == DEEP {
        return Look::Bytes;
    }
    let btf = composite.as_type().btf();
    let mut parts = Vec::new();
    for member in composite.members() {
        let Ok(t) = btf.get(member.ty) else { return Look::Bytes };
        let Ok(size) = t.size() else { return Look::Bytes };
        let (offset, bits) = match member.bit_size {
            0 => (member.bit_offset / 8, None),
            width => {
                let shift = member.bit_offset % 8;
                // Bit fields that need more bytes than a number has are those of a damaged type.
                if shift + u32::from(width) > 64 {
                    return Look::Bytes;
                }
                (member.bit_offset / 8, Some(Bits { shift: shift as u8, width }))
            }
        };
        let size = bits.map_or(size, |bits| (u32::from(bits.shift) + u32::from(bits.width)).div_ceil(8));
        parts.push(Part { name: member.name.to_owned(), offset, size, look: look(t, member.name, bits, depth + 1) });
    }
    // A struct around one thing is that thing: refcount_t, in_addr, possible_net_t.
    match &mut parts[..] {
        [] => Look::Bytes,
        [only] if only.offset == 0 && only.size == composite.size() => parts.remove(0).look,
        _ => Look::Struct(parts),
    }
}

/// The typedef that says that the bytes are in network order.
fn network_order(t: Type<'_>) -> Option<&'static str> {
    let mut t = t;
    for _ in 0..MAX_DEPTH {
        if t.kind() == Kind::Typedef
            && let Some(name) = ["__be16", "__be32", "__be64"].into_iter().find(|name| t.is_called(name))
        {
            return Some(name);
        }
        match t.target() {
            Some(next) if t.is_alias() => t = t.btf().get(next).ok()?,
            _ => return None,
        }
    }
    None
}

/// The integer type that C calls `char`.
fn is_char(peeled: Type<'_>) -> bool {
    Int::from_type(peeled).is_some_and(|int| int.size() == 1 && (peeled.is_called("char") || int.is_char()))
}

/// Whether members of this name hold an address: `saddr`, `skc_rcv_saddr`, `rt_gw4`, `gateway`.
fn is_address(name: &str) -> bool {
    name.contains("addr") || name.contains("gw") || name.contains("gateway")
}

/// What a pointer leads to, if that is worth showing instead of the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A string.
    Text,
    /// An Ethernet address.
    Mac,
}

impl Target {
    /// What a pointer leads to that is called `name` and declared as a pointer to `pointee`.
    pub fn of(pointee: Type<'_>, name: &str) -> Option<Target> {
        let peeled = pointee.peel().ok()?;
        match is_char(peeled) {
            true => Some(Target::Text),
            // `const unsigned char *dev_addr` (Linux 5.17; before, an array or a pointer that may be written to).
            false if name == "dev_addr" && Int::from_type(peeled)?.size() == 1 => Some(Target::Mac),
            false => None,
        }
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Look::Number(number) => number.fmt(f),
            Look::Ipv6 => f.write_str("IPv6 address"),
            Look::Mac => f.write_str("Ethernet address"),
            Look::Text => f.write_str("text"),
            Look::Bytes => f.write_str("bytes"),
            Look::Array { of, count, .. } => write!(f, "{count} of {of}"),
            Look::Struct(parts) => {
                f.write_str("{")?;
                for (n, part) in parts.iter().enumerate() {
                    write!(f, "{}{} {}", if n == 0 { "" } else { ", " }, part.name, part.look)?;
                }
                f.write_str("}")
            }
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.signed, self.big_endian) {
            (_, true) => "be ",
            (true, _) => "signed ",
            _ => "",
        })?;
        match &self.form {
            Form::Decimal => f.write_str("decimal")?,
            Form::Bool => f.write_str("bool")?,
            Form::Char => f.write_str("character")?,
            Form::Pointer => f.write_str("pointer")?,
            Form::EtherType => f.write_str("EtherType")?,
            Form::Ipv4 => f.write_str("IPv4 address")?,
            Form::Names(names) => write!(f, "{} names", names.len())?,
        }
        match self.bits {
            Some(Bits { shift, width }) => write!(f, " bits {shift}..{}", u32::from(shift) + u32::from(width)),
            None => Ok(()),
        }
    }
}
