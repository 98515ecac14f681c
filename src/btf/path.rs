//! Member chains: what clang and libbpf do with CO-RE relocations, by hand.
//!
//! `skb->dev->ifindex` becomes "load the pointer at 16, then four bytes at 224": a [`Path`]. Whoever emits code follows
//! the hops with any way of reading kernel memory, then loads the [`Leaf`]. Members of anonymous structs and unions are
//! found as C finds them.

use std::fmt;
use std::ops::Range;

use super::lookup::{FindError, closest};
use super::raw::{Btf, BtfError, Kind, TypeId};
use super::types::{Array, Composite, Int, Member, Type, View};

/// A chain of members, resolved: pointers to follow from the address of a root object, and what is found at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The type of the object that the chain begins at.
    pub root: TypeId,
    /// The pointers to follow, in order: `base = *(u64 *)(base + offset)`. Any of them can be NULL at run time.
    pub hops: Vec<Hop>,
    /// What lies at the end.
    pub leaf: Leaf,
}

/// A pointer to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Bytes from the current base to the pointer, which has eight.
    pub offset: u32,
    /// The type pointed to, without typedefs and qualifiers: the type that `bpf_rdonly_cast` is given.
    pub pointee: TypeId,
}

/// A value in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Bytes from the last base to the first byte to load.
    pub offset: u32,
    /// Bytes to load. For a bit field this is the smallest aligned 1, 2, 4 or 8 bytes that hold all of it.
    pub size: u32,
    /// Which of the loaded bits make the value; `None` if all do.
    pub bits: Option<Bits>,
    /// How to understand the bits.
    pub value: Value,
    /// True for `__be16`, `__be32` and `__be64`: the bytes are in network order.
    pub big_endian: bool,
    /// The type as declared, with typedefs.
    pub ty: TypeId,
}

/// Part of a loaded word: `word >> shift & ((1 << width) - 1)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// The lowest bit, counted from the least significant one.
    pub shift: u8,
    /// How many bits: 1 to 64.
    pub width: u8,
}

/// What a leaf is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// An unsigned integer.
    Unsigned,
    /// A signed integer, two's complement.
    Signed,
    /// A `bool`.
    Bool,
    /// An enum, by type, signed or not.
    Enum(TypeId, bool),
    /// A pointer, to this type (without typedefs and qualifiers; `void` is 0).
    Pointer(TypeId),
    /// A struct, a union or an array: `size` bytes.
    Aggregate,
    /// A floating-point number.
    Float,
}

impl Value {
    /// True if the value is to be sign-extended.
    pub fn is_signed(self) -> bool {
        matches!(self, Value::Signed | Value::Enum(_, true))
    }
}

impl fmt::Display for Path {
    /// `+16 -> +224 u32`: the offset of each pointer, then offset and shape of the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hops.iter().try_for_each(|hop| write!(f, "+{} -> ", hop.offset))?;
        self.leaf.fmt(f)
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{} ", self.offset)?;
        let width = u64::from(self.size) * 8;
        match self.value {
            Value::Unsigned if self.big_endian => write!(f, "be{width}")?,
            Value::Unsigned => write!(f, "u{width}")?,
            Value::Signed => write!(f, "s{width}")?,
            Value::Bool => write!(f, "bool{width}")?,
            Value::Enum(_, signed) => write!(f, "{}enum{width}", if signed { "s" } else { "" })?,
            Value::Pointer(_) => f.write_str("ptr")?,
            Value::Aggregate => write!(f, "{} bytes", self.size)?,
            Value::Float => write!(f, "f{width}")?,
        }
        match self.bits {
            Some(Bits { shift, width }) => write!(f, " bits {shift}..{}", u32::from(shift) + u32::from(width)),
            None => Ok(()),
        }
    }
}

/// A type as an error message names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// Such as `struct sk_buff`.
    pub name: String,
    /// Where the type comes from: the label of its BTF.
    pub source: String,
}

impl TypeName {
    fn of(t: Type<'_>) -> TypeName {
        TypeName { name: t.title(), source: t.btf().label().to_owned() }
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.name, self.source)
    }
}

/// A chain that cannot be resolved, and which part of its text is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// What is wrong.
    pub kind: PathErrorKind,
    /// Bytes of the text that was given.
    pub span: Range<usize>,
}

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathErrorKind {
    /// The type that the chain begins at.
    Root(FindError),
    /// `owner` has no such field; `near` is the closest one it has.
    NoField {
        /// The struct or union.
        owner: TypeName,
        /// The name that was asked for.
        field: String,
        /// A name that exists.
        near: Option<String>,
    },
    /// A field was asked for of something that has none.
    NoFields {
        /// What it is instead.
        owner: TypeName,
        /// The name that was asked for.
        field: String,
    },
    /// A struct that is only declared: its fields are not in this BTF.
    Incomplete(TypeName),
    /// An index into something that is neither array nor pointer.
    NotAnArray(TypeName),
    /// An index beyond the end.
    OutOfArray {
        /// The index.
        index: u64,
        /// The number of elements.
        len: u32,
    },
    /// The address of a bit field, or one that no aligned word of eight bytes holds.
    BitField,
    /// The text is not a chain.
    Expected(&'static str),
    /// The type information itself is damaged.
    Btf(BtfError),
}

impl PathErrorKind {
    /// A word to try instead.
    pub fn hint(&self) -> Option<&str> {
        match self {
            PathErrorKind::NoField { near, .. } => near.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for PathErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathErrorKind::Root(e) => e.fmt(f),
            PathErrorKind::NoField { owner, field, .. } => write!(f, "no field `{field}` in {owner}"),
            PathErrorKind::NoFields { owner, field } => write!(f, "no field `{field}`: {owner} has no fields"),
            PathErrorKind::Incomplete(t) => write!(f, "the fields of {t} are not known: it is only declared"),
            PathErrorKind::NotAnArray(t) => write!(f, "{t} is neither an array nor a pointer"),
            PathErrorKind::OutOfArray { index, len } => write!(f, "index {} of an array of {len}", *index as i64),
            PathErrorKind::BitField => f.write_str("a bit field cannot be read like this"),
            PathErrorKind::Expected(what) => write!(f, "expected {what}"),
            PathErrorKind::Btf(e) => e.fmt(f),
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for PathError {}
impl std::error::Error for PathErrorKind {}

impl From<BtfError> for PathErrorKind {
    fn from(e: BtfError) -> PathErrorKind {
        PathErrorKind::Btf(e)
    }
}

/// A chain while it is being built: an object of some type in memory.
#[derive(Clone)]
pub struct Cursor<'a> {
    root: TypeId,
    hops: Vec<Hop>,
    offset: u32,
    bits: Option<BitPlace>,
    ty: Type<'a>,
}

/// A bit field, in bits from the current base.
#[derive(Clone, Copy)]
struct BitPlace {
    offset: u64,
    width: u8,
}

impl<'a> Cursor<'a> {
    /// Begins at an object of type `root`, whose address is known.
    pub fn new(root: Type<'a>) -> Cursor<'a> {
        Cursor { root: root.id(), hops: Vec::new(), offset: 0, bits: None, ty: root }
    }

    /// The type of the object that was reached.
    pub fn ty(&self) -> Type<'a> {
        self.ty
    }

    /// Goes to a member; where the object is a pointer, to a member of what it points to.
    pub fn member(&mut self, field: &str) -> Result<(), PathErrorKind> {
        self.follow()?;
        let owner = self.ty.peel()?;
        let Some(composite) = Composite::from_type(owner) else {
            return Err(match owner.kind() {
                Kind::Fwd => PathErrorKind::Incomplete(TypeName::of(owner)),
                _ => PathErrorKind::NoFields { owner: TypeName::of(owner), field: field.to_owned() },
            });
        };
        let mut found = None;
        walk(composite, &mut |offset, member| {
            (member.name == field).then(|| found = Some((offset, member))).is_some()
        })?;
        let Some((bit_offset, member)) = found else {
            let mut names = Vec::new();
            walk(composite, &mut |_, member| {
                names.push(member.name);
                false
            })?;
            let near = closest(field, names.into_iter()).map(str::to_owned);
            return Err(PathErrorKind::NoField { owner: TypeName::of(owner), field: field.to_owned(), near });
        };
        let ty = owner.btf().get(member.ty)?;
        let mut place = BitPlace { offset: bit_offset + u64::from(self.offset) * 8, width: member.bit_size };
        if let Some(int) = Int::from_type(ty.peel()?)
            && u64::from(int.bits()) < u64::from(int.size()) * 8
            && member.bit_size == 0
        {
            // Kernels before 4.20 and some other writers describe a bit field by an integer type with fewer bits.
            place = BitPlace { offset: place.offset + u64::from(int.bit_offset()), width: int.bits() as u8 };
        }
        if place.width == 0 && !place.offset.is_multiple_of(8) {
            return Err(owner.malformed("a member between two bytes").into());
        }
        self.bits = (place.width != 0).then_some(place);
        let offset = u32::try_from(place.offset / 8).map_err(|_| owner.malformed("an offset that overflows"))?;
        self.offset = offset;
        self.ty = ty;
        Ok(())
    }

    /// Goes to element `n` of an array, or of what a pointer points to.
    pub fn index(&mut self, n: u64) -> Result<(), PathErrorKind> {
        let t = self.ty.peel()?;
        let element = match t.kind() {
            Kind::Array => {
                let array = Array(t);
                if n >= u64::from(array.len()) && array.len() != 0 {
                    return Err(PathErrorKind::OutOfArray { index: n, len: array.len() });
                }
                t.btf().get(array.element())?
            }
            Kind::Ptr => {
                self.follow()?;
                self.ty
            }
            _ => return Err(PathErrorKind::NotAnArray(TypeName::of(self.ty))),
        };
        let size = match element.peel()?.kind() {
            Kind::Fwd => return Err(PathErrorKind::Incomplete(TypeName::of(element))),
            _ => element.size()?,
        };
        let offset = n.checked_mul(u64::from(size)).and_then(|bytes| bytes.checked_add(u64::from(self.offset)));
        self.offset = offset
            .and_then(|offset| u32::try_from(offset).ok())
            .ok_or_else(|| element.malformed("an offset that overflows"))?;
        self.bits = None;
        self.ty = element;
        Ok(())
    }

    /// Goes to what the object points to, if it is a pointer; else stays.
    pub fn follow(&mut self) -> Result<bool, PathErrorKind> {
        let t = self.ty.peel()?;
        let (Kind::Ptr, Some(target)) = (t.kind(), t.target()) else { return Ok(false) };
        if self.bits.is_some() {
            return Err(PathErrorKind::BitField);
        }
        let pointee = t.btf().get(target)?;
        self.hops.push(Hop { offset: self.offset, pointee: pointee.peel()?.id() });
        self.offset = 0;
        self.ty = pointee;
        Ok(true)
    }

    /// Ends the chain at the object that was reached.
    pub fn finish(self) -> Result<Path, PathErrorKind> {
        let t = self.ty.peel()?;
        let value = match t.kind() {
            Kind::Int => match Int(t) {
                int if int.is_bool() => Value::Bool,
                int if int.signed() => Value::Signed,
                _ => Value::Unsigned,
            },
            Kind::Enum | Kind::Enum64 => Value::Enum(t.id(), t.record.kind_flag()),
            Kind::Ptr => {
                let pointee = t.btf().get(t.target().unwrap_or(TypeId::VOID))?;
                Value::Pointer(pointee.peel()?.id())
            }
            Kind::Float => Value::Float,
            Kind::Fwd => return Err(PathErrorKind::Incomplete(TypeName::of(t))),
            _ => Value::Aggregate,
        };
        let (offset, size, bits) = match self.bits {
            Some(place) => place.load().ok_or(PathErrorKind::BitField)?,
            None => (self.offset, self.ty.size()?, None),
        };
        let leaf = Leaf { offset, size, bits, value, big_endian: is_big_endian(self.ty)?, ty: self.ty.id() };
        Ok(Path { root: self.root, hops: self.hops, leaf })
    }
}

impl BitPlace {
    /// Offset and size of the smallest aligned load that holds the field, and the field within it.
    fn load(self) -> Option<(u32, u32, Option<Bits>)> {
        [1u64, 2, 4, 8].into_iter().find_map(|size| {
            let begin = self.offset / 8 / size * size;
            let shift = self.offset - begin * 8;
            let end = shift + u64::from(self.width);
            let bits = Bits { shift: shift as u8, width: self.width };
            (end <= size * 8).then_some((begin as u32, size as u32, Some(bits)))
        })
    }
}

/// True if one of the typedefs on the way to the type says that the bytes are in network order.
fn is_big_endian(t: Type<'_>) -> Result<bool, BtfError> {
    let mut t = t;
    for _ in 0..super::types::MAX_DEPTH {
        if t.kind() == Kind::Typedef && matches!(t.name(), "__be16" | "__be32" | "__be64") {
            return Ok(true);
        }
        match t.target() {
            Some(next) if t.is_alias() => t = t.btf().get(next)?,
            _ => return Ok(false),
        }
    }
    Ok(false)
}

/// No real struct has as many members, those of anonymous parts included.
const MAX_MEMBERS: u32 = 1 << 20;

/// Calls `visit` with the offset in bits and the member for every named member of `composite`, also those of anonymous
/// structs and unions in it, until it says true.
fn walk<'a>(composite: Composite<'a>, visit: &mut dyn FnMut(u64, Member<'a>) -> bool) -> Result<bool, BtfError> {
    fn part<'a>(
        composite: Composite<'a>,
        offset: u64,
        depth: usize,
        fuel: &mut u32,
        visit: &mut dyn FnMut(u64, Member<'a>) -> bool,
    ) -> Result<bool, BtfError> {
        let owner = composite.as_type();
        if depth == super::types::MAX_DEPTH {
            return Err(owner.malformed("anonymous structs without end"));
        }
        for member in composite.members() {
            *fuel = fuel.checked_sub(1).ok_or_else(|| owner.malformed("too many members"))?;
            let offset = offset + u64::from(member.bit_offset);
            if !member.name.is_empty() {
                if visit(offset, member) {
                    return Ok(true);
                }
            } else if let Some(inner) = Composite::from_type(owner.btf().get(member.ty)?.peel()?)
                && part(inner, offset, depth + 1, fuel, visit)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
    part(composite, 0, 0, &mut { MAX_MEMBERS }, visit)
}

impl Btf {
    /// Resolves a chain of members such as `dev->nd_net.net`, `cb[8]`, beginning at an object of the struct, union or
    /// typedef called `root`. `.` and `->` mean the same: the type decides whether a pointer is followed.
    pub fn path(&self, root: &str, chain: &str) -> Result<Path, PathError> {
        let whole = |kind| PathError { kind, span: 0..chain.len() };
        let root = match self.find::<Composite>(root) {
            Ok(found) => found.as_type(),
            Err(e @ FindError::Ambiguous { .. }) => return Err(whole(PathErrorKind::Root(e))),
            Err(e) => match self.find::<super::types::Typedef>(root) {
                Ok(found) => found.as_type(),
                Err(_) => return Err(whole(PathErrorKind::Root(e))),
            },
        };
        self.path_from(root, chain)
    }

    /// As [`Btf::path`], beginning at an object of type `root`.
    pub fn path_from(&self, root: Type<'_>, chain: &str) -> Result<Path, PathError> {
        let mut cursor = Cursor::new(root);
        let mut at = 0;
        while at < chain.len() {
            let rest = &chain[at..];
            let error = |kind, len: usize| PathError { kind, span: at..at + len };
            if let Some(inner) = rest.strip_prefix('[') {
                let Some((digits, _)) = inner.split_once(']') else {
                    return Err(error(PathErrorKind::Expected("`]`"), rest.len()));
                };
                let len = digits.len() + 2;
                let n = digits.trim().parse().map_err(|_| error(PathErrorKind::Expected("a number"), len))?;
                cursor.index(n).map_err(|kind| error(kind, len))?;
                at += len;
                continue;
            }
            let separator = match rest {
                _ if at == 0 => 0,
                _ if rest.starts_with("->") => 2,
                _ if rest.starts_with('.') => 1,
                _ => return Err(error(PathErrorKind::Expected("`.`, `->` or `[`"), 1)),
            };
            at += separator;
            let rest = &chain[at..];
            let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let error = |kind| PathError { kind, span: at..at + len };
            if len == 0 {
                return Err(error(PathErrorKind::Expected("the name of a field")));
            }
            cursor.member(&rest[..len]).map_err(error)?;
            at += len;
        }
        cursor.finish().map_err(|kind| PathError { kind, span: 0..chain.len() })
    }
}
