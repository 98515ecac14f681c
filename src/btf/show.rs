//! A whole structure as text, in the form of the kernel's `bpf_snprintf_btf` (kernel/bpf/btf.c `btf_show_*`) without
//! flags: one member per line, what is 0 is left out. Pointers are shown as they are, not hashed.
//!
//! Better than the kernel's: members of structs in arrays have their names, every element of an array of pointers is
//! shown, no name is cut after 79 characters, and there is no limit to the text.

use super::raw::Kind;
use super::types::{Array, Composite, Enum, Int, Member, Type, View};
use std::fmt::Write;

/// Structs and arrays within each other, deeper than this, are left out: kernels have no such types.
const MAX_DEPTH: usize = 64;

/// Appends the `bytes` of an object of type `t`. What is behind their end counts as 0.
pub fn show(t: Type<'_>, bytes: &[u8], out: &mut String) {
    Shower { bytes, out, depth: 0, in_array: None }.value(t, t, None, 0);
}

struct Shower<'a> {
    bytes: &'a [u8],
    out: &'a mut String,
    depth: usize,
    /// Within an array: whether its elements are characters, and whether its end was seen.
    in_array: Option<Characters>,
}

/// What the elements of an array are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Characters {
    No,
    Text,
    Ended,
}

/// What stands in front of a value.
#[derive(Clone, Copy)]
struct Named<'a> {
    member: Option<&'a str>,
    /// The type as declared.
    declared: Type<'a>,
}

impl<'a> Shower<'a> {
    /// Shows a value that is declared as `declared` and really is a `t`, at byte `at`; says whether anything was shown.
    fn value(&mut self, declared: Type<'a>, t: Type<'a>, member: Option<Member<'a>>, at: usize) -> bool {
        let name = Named { member: member.map(|member| member.name), declared };
        let Ok(peeled) = t.peel() else { return false };
        if let Some(composite) = Composite::from_type(peeled) {
            return self.group(name, '}', |shower| shower.members(composite, at));
        }
        match peeled.kind() {
            Kind::Array => self.group(name, ']', |shower| shower.elements(Array(peeled), at)),
            Kind::Int => self.int(name, Int(peeled), at),
            Kind::Enum | Kind::Enum64 => self.enumerator(name, Enum(peeled), at),
            Kind::Ptr => {
                let value = self.word(at, 8);
                value != 0 && self.line(name, |out| write!(out, "{value:#018x}"))
            }
            _ => false,
        }
    }

    /// Shows what has parts; within another one only if a part is shown.
    fn group(&mut self, name: Named<'a>, end: char, parts: impl FnOnce(&mut Self) -> bool) -> bool {
        if self.depth == MAX_DEPTH {
            return false;
        }
        let start = self.out.len();
        self.indent();
        self.name(name);
        self.out.push('\n');
        self.depth += 1;
        let in_array = self.in_array.take();
        let is_shown = parts(self);
        self.in_array = in_array;
        self.depth -= 1;
        if !is_shown && self.depth > 0 {
            self.out.truncate(start);
            return false;
        }
        self.indent();
        self.out.push(end);
        self.end_line();
        true
    }

    fn members(&mut self, composite: Composite<'a>, at: usize) -> bool {
        let btf = composite.as_type().btf();
        let mut is_shown = false;
        for member in composite.members() {
            let Ok(t) = btf.get(member.ty) else { continue };
            let at = at + member.bit_offset as usize / 8;
            is_shown |= match member.bit_size {
                0 => self.value(t, t, Some(member), at),
                size => {
                    let (shift, size) = (member.bit_offset % 8, u32::from(size));
                    let word = u128::from(self.word(at, 8)) | u128::from(self.word(at + 8, 1)) << 64;
                    let value = (word >> shift) as u64 & (u64::MAX >> (64 - size.clamp(1, 64)));
                    let name = Named { member: Some(member.name), declared: t };
                    value != 0 && self.line(name, |out| write!(out, "{value:#x}"))
                }
            };
        }
        is_shown
    }

    fn elements(&mut self, array: Array<'a>, at: usize) -> bool {
        let btf = array.as_type().btf();
        let Ok(declared) = btf.get(array.element()) else { return false };
        let (Ok(element), Ok(size)) = (declared.peel(), declared.size()) else { return false };
        let is_text = Int::from_type(element).is_some_and(|int| int.size() == 1);
        self.in_array = Some(if is_text { Characters::Text } else { Characters::No });
        let mut is_shown = false;
        for n in 0..array.len() as usize {
            let at = at + n * size as usize;
            // A damaged type may have more elements than there are bytes.
            if at >= self.bytes.len() {
                break;
            }
            is_shown |= self.value(declared, element, None, at);
            if self.in_array == Some(Characters::Ended) {
                break;
            }
        }
        is_shown
    }

    fn int(&mut self, name: Named<'a>, int: Int<'a>, at: usize) -> bool {
        let (bits, first) = (int.bits(), int.bit_offset());
        if first != 0 || !matches!(bits, 8 | 16 | 32 | 64) {
            let low = self.word(at, 8);
            let high = if bits > 64 { self.word(at + 8, 8) } else { 0 };
            let low = low >> (first & 63) & (u64::MAX >> (64 - bits.clamp(1, 64)));
            return match (high, low) {
                (0, 0) => false,
                (0, low) => self.line(name, |out| write!(out, "{low:#x}")),
                (high, low) => self.line(name, |out| write!(out, "{high:#x}{low:016x}")),
            };
        }
        let word = self.word(at, bits as usize / 8);
        if bits == 8 && self.in_array == Some(Characters::Text) {
            match word as u8 {
                0 => {
                    self.in_array = Some(Characters::Ended);
                    return false;
                }
                c @ 0x20..=0x7e => return self.line(name, |out| write!(out, "'{}'", char::from(c))),
                _ => {}
            }
        }
        if word == 0 {
            return false;
        }
        let signed = (word as i64) << (64 - bits) >> (64 - bits);
        match int.signed() {
            true => self.line(name, |out| write!(out, "{signed}")),
            false => self.line(name, |out| write!(out, "{word}")),
        }
    }

    /// The kernel shows an enumerator even if it is 0.
    fn enumerator(&mut self, name: Named<'a>, e: Enum<'a>, at: usize) -> bool {
        let word = self.word(at, e.size() as usize);
        let unused = 64 - (e.size() * 8).clamp(1, 64);
        let signed = (word as i64) << unused >> unused;
        let value = if e.signed() { i128::from(signed) } else { word.into() };
        match e.name_of(value) {
            Some(enumerator) => self.line(name, |out| out.write_str(enumerator)),
            None => value != 0 && self.line(name, |out| write!(out, "{value}")),
        }
    }

    /// `size` bytes, as a number.
    fn word(&self, at: usize, size: usize) -> u64 {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().take(size).zip(self.bytes.get(at..).unwrap_or_default()) {
            *to = *from;
        }
        u64::from_le_bytes(word)
    }

    /// A line with a value, which says itself what it is.
    fn line(&mut self, name: Named<'a>, value: impl FnOnce(&mut String) -> std::fmt::Result) -> bool {
        self.indent();
        self.name(name);
        // Writing to a string does not fail.
        let _ = value(self.out);
        self.end_line();
        true
    }

    fn indent(&mut self) {
        // The kernel has 32 spaces.
        (0..self.depth.min(32)).for_each(|_| self.out.push(' '));
    }

    fn end_line(&mut self) {
        self.out.push_str(if self.depth > 0 { ",\n" } else { "\n" });
    }

    /// `.member = (type)`, and the bracket of what has parts.
    fn name(&mut self, name: Named<'a>) {
        let Ok(peeled) = name.declared.peel() else { return };
        if self.in_array.is_some() {
            // The type of elements is told by their array.
            match peeled.kind() {
                Kind::Struct | Kind::Union => self.out.push('{'),
                Kind::Array => self.out.push('['),
                _ => {}
            }
            return;
        }
        if let Some(member) = name.member.filter(|member| !member.is_empty()) {
            let _ = write!(self.out, ".{member} = ");
        }
        let btf = name.declared.btf();
        let (mut t, mut typedef, mut stars, mut arrays) = (name.declared, None, 0, 0);
        // The declared type itself is looked at with its qualifiers, as the kernel does it.
        for _ in 0..MAX_DEPTH {
            let next = match t.kind() {
                Kind::Typedef => {
                    typedef = typedef.or(Some(t.name()));
                    t.target()
                }
                Kind::Array => {
                    arrays += 1;
                    Some(Array(t).element())
                }
                Kind::Ptr => {
                    stars += 1;
                    t.target()
                }
                _ => None,
            };
            // `void` has no name there either.
            let Some(Ok(mut found)) = next.filter(|next| next.0 != 0).map(|next| btf.get(next)) else { break };
            while matches!(found.kind(), Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag) {
                match found.target().map(|next| btf.get(next)) {
                    Some(Ok(next)) => found = next,
                    _ => break,
                }
            }
            t = found;
        }
        let prefix = match (typedef, t.kind()) {
            (Some(_), _) => "",
            (_, Kind::Struct) => "struct",
            (_, Kind::Union) => "union",
            (_, Kind::Enum | Kind::Enum64) => "enum",
            _ => "",
        };
        let base = typedef.unwrap_or(t.name());
        let space = if prefix.is_empty() || base.is_empty() { "" } else { " " };
        let bracket = match t.kind() {
            _ if stars > 0 => "",
            _ if arrays > 0 => "[",
            Kind::Struct | Kind::Union => "{",
            _ => "",
        };
        let before = if stars > 0 { " " } else { "" };
        let (stars, arrays) = ("*".repeat(stars), "[]".repeat(arrays));
        let _ = write!(self.out, "({prefix}{space}{base}{before}{stars}{arrays}){bracket}");
    }
}
