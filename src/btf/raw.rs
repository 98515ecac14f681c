//! The bytes of BTF: header, type records, strings.
//!
//! Nothing is copied. [`Btf::parse`] walks the type section once and keeps one `u32` per type: where its record begins.
//! A record is decoded when it is looked at. The walk proves that every record lies inside its section, so that later
//! reads cannot leave it; what a record *refers to* (type ids, names) is checked when it is followed.
//!
//! Format: `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h` in the Linux sources. Only little-endian BTF is
//! read: all kernels that we trace are little-endian.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::lookup::NameIndex;
use super::types::Type;

/// A type number within one [`Btf`]. Number 0 is `void`; a module's own types continue where those of vmlinux end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TypeId(pub u32);

impl TypeId {
    /// `void`, which has no record.
    pub const VOID: TypeId = TypeId(0);
}

impl fmt::Display for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The kind of a type record, as numbered by the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Kind {
    /// Type 0, and records of kinds that are newer than this reader.
    Void = 0,
    Int = 1,
    Ptr = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    /// A struct or union that was only declared.
    Fwd = 7,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Func = 12,
    FuncProto = 13,
    Var = 14,
    DataSec = 15,
    Float = 16,
    DeclTag = 17,
    TypeTag = 18,
    /// Since Linux 6.0.
    Enum64 = 19,
}

impl Kind {
    /// The kind with this number; `None` for 0 and for kinds that are not known (yet).
    pub fn from_number(number: u32) -> Option<Kind> {
        use Kind::*;
        const KINDS: [Kind; 20] = [
            Void, Int, Ptr, Array, Struct, Union, Enum, Fwd, Typedef, Volatile, Const, Restrict, Func, FuncProto, Var,
            DataSec, Float, DeclTag, TypeTag, Enum64,
        ];
        if number == 0 { None } else { KINDS.get(number as usize).copied() }
    }

    /// How many bytes follow the 12 bytes that all records share, for `vlen` elements.
    fn tail(self, vlen: u32) -> usize {
        let n = vlen as usize;
        match self {
            Kind::Void
            | Kind::Ptr
            | Kind::Fwd
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::Float
            | Kind::TypeTag => 0,
            Kind::Int | Kind::Var | Kind::DeclTag => 4,
            Kind::Array => 12,
            Kind::Struct | Kind::Union | Kind::DataSec | Kind::Enum64 => n * 12,
            Kind::Enum | Kind::FuncProto => n * 8,
        }
    }
}

/// Why bytes were refused as BTF. Offsets count from the first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BtfError {
    /// Shorter than the header says or needs.
    Truncated {
        /// What was cut.
        what: &'static str,
        /// Bytes needed.
        need: u64,
        /// Bytes there are.
        have: u64,
    },
    /// The first two bytes are not the magic number.
    NotBtf,
    /// BTF of a big-endian machine.
    BigEndian,
    /// A version other than 1.
    Version(u8),
    /// The type section does not begin at a multiple of four.
    Unaligned,
    /// The string section does not begin and end with a NUL byte.
    Strings,
    /// A record of a kind that this reader does not know, and no layout section that gives its length.
    UnknownKind {
        /// The type's number.
        id: TypeId,
        /// The kind's number.
        kind: u32,
    },
    /// The record of this type ends after the type section.
    RecordTooLong(TypeId),
    /// A type refers to a number that no type has.
    NoSuchType(TypeId),
    /// A type that cannot be what it is used as: a function without prototype, a size that overflows, a chain without end.
    Malformed {
        /// The type.
        id: TypeId,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl fmt::Display for BtfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BtfError::Truncated { what, need, have } => {
                write!(f, "BTF is cut short: {what} needs {need} bytes, there are {have}")
            }
            BtfError::NotBtf => f.write_str("not BTF: it does not begin with the magic number eb9f"),
            BtfError::BigEndian => f.write_str("BTF of a big-endian machine"),
            BtfError::Version(v) => write!(f, "BTF version {v}; only version 1 is known"),
            BtfError::Unaligned => f.write_str("the BTF type section is not aligned to four bytes"),
            BtfError::Strings => f.write_str("the BTF string section does not begin and end with a NUL byte"),
            BtfError::UnknownKind { id, kind } => write!(f, "BTF type {id} is of kind {kind}, which is not known"),
            BtfError::RecordTooLong(id) => write!(f, "the record of BTF type {id} ends after the type section"),
            BtfError::NoSuchType(id) => write!(f, "there is no BTF type {id}, though it is referred to"),
            BtfError::Malformed { id, what } => write!(f, "BTF type {id} is malformed: {what}"),
        }
    }
}

impl std::error::Error for BtfError {}

/// Bytes that a [`Btf`] can hold: a `Vec<u8>`, a `&'static [u8]`, or a mapping.
pub type Bytes = Box<dyn AsRef<[u8]> + Send + Sync>;

/// Type information of a kernel, or of one module on top of its kernel.
pub struct Btf {
    data: Bytes,
    /// First byte of the type section.
    types: usize,
    /// First byte of the string section, and its length.
    strings: usize,
    strings_len: u32,
    /// Where the records begin, counted from `types`; element 0 is type `first_id`.
    offsets: Vec<u32>,
    base: Option<Arc<Btf>>,
    first_id: u32,
    first_string: u32,
    label: String,
    pub(super) names: OnceLock<NameIndex>,
}

impl fmt::Debug for Btf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Btf({}: types {}..{})", self.label, self.first_id, self.end())
    }
}

/// One record, still in the bytes of its section.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub name: u32,
    pub info: u32,
    /// A size or a type number, by kind.
    pub size_or_type: u32,
    /// What follows the common part, and all records after this one: many records are looked at for their kind only,
    /// and their end need not be found for that.
    rest: &'a [u8],
}

/// What all records have.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub id: TypeId,
    /// The number of a [`Kind`].
    pub kind: u8,
    pub name: u32,
    pub size_or_type: u32,
}

impl Record<'_> {
    /// `void`.
    const NONE: Record<'static> = Record { name: 0, info: 0, size_or_type: 0, rest: &[] };

    /// How many words follow the common part.
    pub fn words(&self) -> usize {
        self.kind().tail(self.vlen()) / 4
    }

    /// The kind; `Void` for kinds that are newer than this reader.
    pub fn kind(&self) -> Kind {
        Kind::from_number(kind_number(self.info)).unwrap_or(Kind::Void)
    }

    /// The number of elements, or the linkage of a function.
    pub fn vlen(&self) -> u32 {
        self.info & 0xff_ffff
    }

    pub fn kind_flag(&self) -> bool {
        self.info >> 31 != 0
    }

    /// The `n`th word after the common part.
    #[inline]
    pub fn word(&self, n: usize) -> u32 {
        read_u32(self.rest, n * 4)
    }
}

/// The sections of a [`Btf`], looked up once.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a> {
    btf: &'a Btf,
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Scan<'a> {
    /// Number, kind, name and size or type of all types in this BTF itself.
    #[inline]
    pub fn heads(self) -> impl Iterator<Item = Head> {
        self.btf.offsets.iter().zip(self.btf.first_id..).map(move |(&at, id)| {
            let head = self.types.get(at as usize..).and_then(|bytes| bytes.first_chunk::<12>()).unwrap_or(&[0; 12]);
            let word = |n: usize| u32::from_le_bytes([head[n], head[n + 1], head[n + 2], head[n + 3]]);
            Head { id: TypeId(id), kind: head[7] & 0x7f, name: word(0), size_or_type: word(8) }
        })
    }

    /// The string section from `offset` on; empty if that is outside.
    #[inline]
    pub fn strings_from(self, offset: u32) -> &'a [u8] {
        match offset.checked_sub(self.btf.first_string) {
            Some(own) => self.strings.get(own as usize..).unwrap_or_default(),
            None => self.btf.strings_from(offset),
        }
    }

    /// True if the string at `offset` is `name`.
    #[inline]
    pub fn string_is(self, offset: u32, name: &[u8]) -> bool {
        let bytes = self.strings_from(offset);
        // Most names differ in the first byte.
        bytes.first() == name.first()
            && bytes.get(name.len()) == Some(&0)
            && bytes.get(..name.len()) == Some(name)
            && !name.is_empty()
    }

    /// Name and type of each parameter of a prototype, `...` included; nothing if `id` is something else.
    #[inline]
    pub fn params(self, id: TypeId) -> &'a [[u8; 8]] {
        let record = match id.0.checked_sub(self.btf.first_id).and_then(|n| self.btf.offsets.get(n as usize)) {
            Some(&at) => record(self.types, at),
            None => self.btf.record(id).unwrap_or(Record::NONE),
        };
        if kind_number(record.info) != Kind::FuncProto as u32 {
            return &[];
        }
        record.rest.as_chunks::<8>().0.get(..record.vlen() as usize).unwrap_or_default()
    }
}

/// Bits 24-30. Older kernels demand that bits 16-23 and 29-30 are zero; later ones use them to widen both fields.
fn kind_number(info: u32) -> u32 {
    info >> 24 & 0x7f
}

/// The little-endian word at `at`; 0 outside.
fn read_u32(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..).and_then(|b| b.first_chunk::<4>()) {
        Some(b) => u32::from_le_bytes(*b),
        None => 0,
    }
}

const HEADER: usize = 24;

impl Btf {
    /// Reads the BTF of a kernel. `label` names the source in messages, such as `/sys/kernel/btf/vmlinux, 6.12.8`.
    pub fn parse(data: impl AsRef<[u8]> + Send + Sync + 'static, label: &str) -> Result<Btf, BtfError> {
        Btf::read(Box::new(data), label, None)
    }

    /// Reads the BTF of a module, whose types and strings continue those of `base`.
    pub fn parse_split(
        data: impl AsRef<[u8]> + Send + Sync + 'static,
        label: &str,
        base: Arc<Btf>,
    ) -> Result<Btf, BtfError> {
        Btf::read(Box::new(data), label, Some(base))
    }

    fn read(data: Bytes, label: &str, base: Option<Arc<Btf>>) -> Result<Btf, BtfError> {
        let bytes = (*data).as_ref();
        let have = bytes.len() as u64;
        if bytes.len() < HEADER {
            return Err(BtfError::Truncated { what: "the header", need: HEADER as u64, have });
        }
        match [bytes[0], bytes[1]] {
            [0x9f, 0xeb] => {}
            [0xeb, 0x9f] => return Err(BtfError::BigEndian),
            _ => return Err(BtfError::NotBtf),
        }
        if bytes[2] != 1 {
            return Err(BtfError::Version(bytes[2]));
        }
        // A longer header is that of a later format. Linux 7.1 adds a section that gives the length of records by kind.
        let header = u64::from(read_u32(bytes, 4)).max(HEADER as u64);
        let section = |what, at: usize| -> Result<(usize, u32), BtfError> {
            let (offset, len) = (read_u32(bytes, at), read_u32(bytes, at + 4));
            let begin = header + u64::from(offset);
            let need = begin + u64::from(len);
            if need > have {
                return Err(BtfError::Truncated { what, need, have });
            }
            Ok((begin as usize, len))
        };
        let (types, types_len) = section("the type section", 8)?;
        let (strings, strings_len) = section("the string section", 16)?;
        if types % 4 != 0 {
            return Err(BtfError::Unaligned);
        }
        let text = &bytes[strings..strings + strings_len as usize];
        let begins = base.is_some() || text.first() == Some(&0);
        if !begins || text.last().is_some_and(|&b| b != 0) {
            return Err(BtfError::Strings);
        }
        let first_id = base.as_ref().map_or(1, |b| b.end());
        let first_string = base.as_ref().map_or(0, |b| b.first_string.saturating_add(b.strings_len));
        let (layout, layout_len) = if header >= 32 { section("the layout section", 24)? } else { (0, 0) };
        let layout = &bytes[layout..layout + layout_len as usize];
        let offsets = index(&bytes[types..types + types_len as usize], layout, first_id)?;
        Ok(Btf {
            types,
            strings,
            strings_len,
            offsets,
            base,
            first_id,
            first_string,
            label: label.to_owned(),
            names: OnceLock::new(),
            data,
        })
    }

    /// Where the types come from, for messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The kernel's BTF, when this is a module's.
    pub fn base(&self) -> Option<&Arc<Btf>> {
        self.base.as_ref()
    }

    /// The number after the last type's.
    pub fn end(&self) -> u32 {
        self.first_id + self.offsets.len() as u32
    }

    /// The numbers of the types in this BTF itself, without those of its base; `void` is not among them.
    pub fn own_ids(&self) -> impl Iterator<Item = TypeId> + use<> {
        (self.first_id..self.end()).map(TypeId)
    }

    /// The types in this BTF itself, without those of its base, in the order of their numbers.
    pub fn own_types(&self) -> impl Iterator<Item = Type<'_>> {
        let types = self.type_section();
        self.offsets.iter().zip(self.first_id..).map(move |(&at, id)| Type {
            btf: self,
            id: TypeId(id),
            record: record(types, at),
        })
    }

    /// For passes over all types, where every instruction counts.
    pub(super) fn scan(&self) -> Scan<'_> {
        let strings = (*self.data).as_ref().get(self.strings..self.strings + self.strings_len as usize);
        Scan { btf: self, types: self.type_section(), strings: strings.unwrap_or_default() }
    }

    /// The type with this number, of this BTF or of its base.
    pub fn get(&self, id: TypeId) -> Result<Type<'_>, BtfError> {
        match (self.record(id), id) {
            (Some(record), _) => Ok(Type { btf: self, id, record }),
            (None, TypeId::VOID) => Ok(Type { btf: self, id, record: Record::NONE }),
            (None, _) => Err(BtfError::NoSuchType(id)),
        }
    }

    fn record(&self, id: TypeId) -> Option<Record<'_>> {
        match (id.0.checked_sub(self.first_id), &self.base) {
            (Some(n), _) => self.offsets.get(n as usize).map(|&at| record(self.type_section(), at)),
            (None, Some(base)) => base.record(id),
            (None, None) => None,
        }
    }

    fn type_section(&self) -> &[u8] {
        (*self.data).as_ref().get(self.types..).unwrap_or_default()
    }

    /// The string at `offset`, without its NUL; empty where there is no text.
    pub(super) fn string(&self, offset: u32) -> &str {
        str::from_utf8(self.string_bytes(offset)).unwrap_or_default()
    }

    /// As [`Btf::string`], without the check for UTF-8.
    pub(super) fn string_bytes(&self, offset: u32) -> &[u8] {
        let bytes = self.strings_from(offset);
        std::ffi::CStr::from_bytes_until_nul(bytes).map(|text| text.to_bytes()).unwrap_or_default()
    }

    /// The string at `offset` is this one.
    pub(super) fn string_is(&self, offset: u32, name: &[u8]) -> bool {
        self.strings_from(offset).strip_prefix(name).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// The string section from `offset` on; empty if that is outside.
    pub(super) fn strings_from(&self, offset: u32) -> &[u8] {
        let own = match (offset.checked_sub(self.first_string), &self.base) {
            (Some(own), _) => own,
            (None, Some(base)) => return base.strings_from(offset),
            (None, None) => return &[],
        };
        let section = (*self.data).as_ref().get(self.strings..self.strings + self.strings_len as usize);
        section.and_then(|section| section.get(own as usize..)).unwrap_or_default()
    }

    /// The bytes of memory that the indexes take by now, without the BTF itself.
    pub fn index_bytes(&self) -> usize {
        self.offsets.len() * 4 + self.names.get().map_or(0, NameIndex::bytes)
    }
}

/// The record that begins at `at` of the type section.
#[inline]
fn record(types: &[u8], at: u32) -> Record<'_> {
    let Some((head, rest)) = types.get(at as usize..).and_then(|bytes| bytes.split_first_chunk::<12>()) else {
        return Record::NONE;
    };
    let word = |n: usize| u32::from_le_bytes([head[n], head[n + 1], head[n + 2], head[n + 3]]);
    Record { name: word(0), info: word(4), size_or_type: word(8), rest }
}

/// Where every record begins. Fails on the first one that does not fit.
///
/// `layout` has four bytes for each kind: what its records have after the common part, what each element has, and 16
/// bits of flags. It tells how to pass over records of kinds that are newer than this reader.
fn index(types: &[u8], layout: &[u8], first_id: u32) -> Result<Vec<u32>, BtfError> {
    // The average record of a kernel has more than 20 bytes; room that is never written costs no memory.
    let mut offsets = Vec::with_capacity(types.len() / 20);
    let mut at = 0;
    while at < types.len() {
        // Each record takes twelve bytes of a section whose length is a `u32`: numbers do not run out.
        let id = TypeId(first_id.saturating_add(offsets.len() as u32));
        let Some(head) = types.get(at..at + 12) else { return Err(BtfError::RecordTooLong(id)) };
        let info = read_u32(head, 4);
        let number = kind_number(info);
        let vlen = info & 0xff_ffff;
        let tail = match (Kind::from_number(number), layout.get(number as usize * 4..)) {
            (Some(kind), _) => kind.tail(vlen),
            (None, Some(&[once, each, _, _, ..])) => usize::from(once) + usize::from(each) * vlen as usize,
            (None, _) => return Err(BtfError::UnknownKind { id, kind: number }),
        };
        offsets.push(at as u32);
        at += 12 + tail;
        if at > types.len() {
            return Err(BtfError::RecordTooLong(id));
        }
    }
    Ok(offsets)
}
