//! Types as C sees them: views into the records of a [`Btf`], each two words and a slice, free to copy.

use std::fmt;

use super::raw::{Btf, BtfError, Kind, Record, TypeId};

/// Chains of typedefs, qualifiers, arrays and the like that are longer than this are malformed: the kernel itself
/// follows 32 (`MAX_RESOLVE_DEPTH`, `kernel/bpf/btf.c`).
pub(super) const MAX_DEPTH: usize = 64;

/// One type of any kind.
#[derive(Clone, Copy)]
pub struct Type<'a> {
    pub(super) btf: &'a Btf,
    pub(super) id: TypeId,
    pub(super) record: Record<'a>,
}

impl<'a> Type<'a> {
    /// The type's number.
    pub fn id(self) -> TypeId {
        self.id
    }

    /// The BTF that the type was looked up in.
    pub fn btf(self) -> &'a Btf {
        self.btf
    }

    /// What kind of type it is.
    pub fn kind(self) -> Kind {
        self.record.kind()
    }

    /// The name without `struct` or the like; empty for what has no name.
    pub fn name(self) -> &'a str {
        self.btf.string(self.record.name)
    }

    /// The name as it stands in the BTF.
    pub fn name_bytes(self) -> &'a [u8] {
        self.btf.string_bytes(self.record.name)
    }

    /// True if this is the name.
    pub fn is_called(self, name: &str) -> bool {
        self.btf.string_is(self.record.name, name.as_bytes())
    }

    /// True if there is a name.
    pub fn is_named(self) -> bool {
        self.record.name != 0
    }

    /// The type that this one points to, renames, qualifies, tags, or (functions, variables) has.
    pub fn target(self) -> Option<TypeId> {
        match self.kind() {
            Kind::Ptr
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::Var
            | Kind::DeclTag
            | Kind::TypeTag => Some(TypeId(self.record.size_or_type)),
            _ => None,
        }
    }

    /// True for kinds that change the spelling, not the type: typedefs, qualifiers and type tags.
    pub fn is_alias(self) -> bool {
        matches!(self.kind(), Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag)
    }

    /// The type behind typedefs, qualifiers and type tags.
    pub fn peel(self) -> Result<Type<'a>, BtfError> {
        let mut t = self;
        for _ in 0..MAX_DEPTH {
            match t.target() {
                Some(next) if t.is_alias() => t = self.btf.get(next)?,
                _ => return Ok(t),
            }
        }
        Err(self.malformed("typedefs without end"))
    }

    /// The size in bytes; an error for what has none (functions, `void`, a struct that is only declared).
    pub fn size(self) -> Result<u32, BtfError> {
        let mut t = self;
        let mut count: u32 = 1;
        for _ in 0..MAX_DEPTH {
            let one = match t.kind() {
                Kind::Ptr => 8,
                Kind::Int | Kind::Float | Kind::Enum | Kind::Enum64 | Kind::Struct | Kind::Union | Kind::DataSec => {
                    t.record.size_or_type
                }
                Kind::Array => {
                    let array = Array(t);
                    let n = count.checked_mul(array.len());
                    count = n.ok_or_else(|| self.malformed("its size overflows"))?;
                    t = self.btf.get(array.element())?;
                    continue;
                }
                Kind::Var => {
                    t = self.btf.get(TypeId(t.record.size_or_type))?;
                    continue;
                }
                _ if t.is_alias() => {
                    t = t.peel()?;
                    continue;
                }
                _ => return Err(self.malformed("it has no size")),
            };
            return count.checked_mul(one).ok_or_else(|| self.malformed("its size overflows"));
        }
        Err(self.malformed("arrays without end"))
    }

    pub(super) fn malformed(self, what: &'static str) -> BtfError {
        BtfError::Malformed { id: self.id, what }
    }

    /// The name with its keyword, for messages: `struct sk_buff`, `__be16`, `struct (anonymous)`.
    pub fn title(self) -> String {
        let keyword = match self.kind() {
            Kind::Struct => "struct ",
            Kind::Union => "union ",
            Kind::Enum | Kind::Enum64 => "enum ",
            Kind::Fwd if self.record.kind_flag() => "union ",
            Kind::Fwd => "struct ",
            _ => "",
        };
        match (self.kind(), self.name()) {
            (Kind::Void, _) => "void".to_owned(),
            (_, "") if keyword.is_empty() => super::dump::declaration(self.btf, self.id, ""),
            (_, "") => format!("{keyword}(anonymous)"),
            (_, name) => format!("{keyword}{name}"),
        }
    }
}

impl fmt::Debug for Type<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} #{}", self.kind(), self.name(), self.id)
    }
}

/// A view that fits types of one or a few kinds: what [`Btf::find`] can be asked for.
pub trait View<'a>: Copy {
    /// The kind in words, for messages.
    const WHAT: &'static str;
    /// The same type, if it is of the kind.
    fn from_type(t: Type<'a>) -> Option<Self>;
    /// The type as one of any kind.
    fn as_type(self) -> Type<'a>;
}

macro_rules! views {
    ($($(#[$doc:meta])* $view:ident = $what:literal, $($kind:ident)|+;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $view<'a>(pub(super) Type<'a>);

        impl<'a> View<'a> for $view<'a> {
            const WHAT: &'static str = $what;
            fn from_type(t: Type<'a>) -> Option<Self> {
                matches!(t.kind(), $(Kind::$kind)|+).then_some($view(t))
            }
            fn as_type(self) -> Type<'a> {
                self.0
            }
        }

        impl<'a> $view<'a> {
            /// The type's number.
            pub fn id(self) -> TypeId {
                self.0.id
            }
            /// The name; empty for what has none.
            pub fn name(self) -> &'a str {
                self.0.name()
            }
        }
    )*};
}

views! {
    /// An integer, character or `bool`.
    Int = "integer type", Int;
    /// A floating-point type.
    Float = "floating-point type", Float;
    /// An array.
    Array = "array", Array;
    /// A struct with its members.
    Struct = "struct", Struct;
    /// A union with its members.
    Union = "union", Union;
    /// A struct or a union with its members.
    Composite = "struct or union", Struct | Union;
    /// An enum of 32 or of 64 bits.
    Enum = "enum", Enum | Enum64;
    /// A typedef.
    Typedef = "typedef", Typedef;
    /// A function.
    Func = "function", Func;
    /// A function's prototype.
    FuncProto = "function prototype", FuncProto;
    /// A variable.
    Var = "variable", Var;
    /// A section with its variables.
    DataSec = "section", DataSec;
    /// A tag on a declaration (`btf_decl_tag`).
    DeclTag = "declaration tag", DeclTag;
}

impl Int<'_> {
    /// The size in bytes.
    pub fn size(self) -> u32 {
        self.0.record.size_or_type
    }

    /// Signed, as declared.
    pub fn signed(self) -> bool {
        self.0.record.word(0) >> 24 & 1 != 0
    }

    /// Declared as a character. Kernels leave this unset: a `char` is the integer type of that name.
    pub fn is_char(self) -> bool {
        self.0.record.word(0) >> 24 & 2 != 0
    }

    /// Declared as `bool`.
    pub fn is_bool(self) -> bool {
        self.0.record.word(0) >> 24 & 4 != 0
    }

    /// The number of bits in use: eight times the size except in bit fields of an old encoding.
    pub fn bits(self) -> u32 {
        self.0.record.word(0) & 0xff
    }

    /// The first bit in use (bit fields of an old encoding).
    pub fn bit_offset(self) -> u32 {
        self.0.record.word(0) >> 16 & 0xff
    }
}

impl Array<'_> {
    /// The type of one element.
    pub fn element(self) -> TypeId {
        TypeId(self.0.record.word(0))
    }

    /// The type of the index; it says nothing of use.
    pub fn index(self) -> TypeId {
        TypeId(self.0.record.word(1))
    }

    /// The number of elements; 0 for a flexible array.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> u32 {
        self.0.record.word(2)
    }
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// The name; empty for an anonymous struct or union.
    pub name: &'a str,
    /// The type.
    pub ty: TypeId,
    /// Bits from the beginning of the struct to the member.
    pub bit_offset: u32,
    /// The width in bits if it is a bit field, else 0.
    pub bit_size: u8,
}

impl<'a> Composite<'a> {
    /// The size in bytes.
    pub fn size(self) -> u32 {
        self.0.record.size_or_type
    }

    /// True for a union.
    pub fn is_union(self) -> bool {
        self.0.kind() == Kind::Union
    }

    /// The number of members.
    pub fn member_count(self) -> u32 {
        self.0.record.vlen()
    }

    /// The members in order.
    pub fn members(self) -> impl Iterator<Item = Member<'a>> {
        let Type { btf, record, .. } = self.0;
        (0..record.vlen() as usize).map(move |n| {
            let (name, ty, offset) = (record.word(n * 3), record.word(n * 3 + 1), record.word(n * 3 + 2));
            let (bit_offset, bit_size) =
                if record.kind_flag() { (offset & 0xff_ffff, (offset >> 24) as u8) } else { (offset, 0) };
            Member { name: btf.string(name), ty: TypeId(ty), bit_offset, bit_size }
        })
    }
}

impl<'a> Struct<'a> {
    /// The size in bytes.
    pub fn size(self) -> u32 {
        self.0.record.size_or_type
    }

    /// The members in order.
    pub fn members(self) -> impl Iterator<Item = Member<'a>> {
        Composite(self.0).members()
    }
}

impl<'a> Union<'a> {
    /// The size in bytes.
    pub fn size(self) -> u32 {
        self.0.record.size_or_type
    }

    /// The members in order.
    pub fn members(self) -> impl Iterator<Item = Member<'a>> {
        Composite(self.0).members()
    }
}

/// A value of an enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enumerator<'a> {
    /// The name.
    pub name: &'a str,
    /// The value; wide enough for all 64-bit ones, signed and unsigned.
    pub value: i128,
}

impl<'a> Enum<'a> {
    /// The size in bytes.
    pub fn size(self) -> u32 {
        self.0.record.size_or_type
    }

    /// True if the values are signed. BTF written before Linux 6.0 does not say so: there all count as unsigned.
    pub fn signed(self) -> bool {
        self.0.record.kind_flag()
    }

    /// The values in the order of declaration.
    pub fn values(self) -> impl Iterator<Item = Enumerator<'a>> {
        let Type { btf, record, .. } = self.0;
        let wide = self.0.kind() == Kind::Enum64;
        (0..record.vlen() as usize).map(move |n| {
            let (name, value) = if wide {
                let (low, high) = (record.word(n * 3 + 1), record.word(n * 3 + 2));
                let value = u64::from(high) << 32 | u64::from(low);
                (record.word(n * 3), if record.kind_flag() { i128::from(value as i64) } else { i128::from(value) })
            } else {
                let value = record.word(n * 2 + 1);
                (record.word(n * 2), if record.kind_flag() { i128::from(value as i32) } else { i128::from(value) })
            };
            Enumerator { name: btf.string(name), value }
        })
    }

    /// The value of the enumerator called `name`.
    pub fn value(self, name: &str) -> Option<i128> {
        self.values().find(|e| e.name == name).map(|e| e.value)
    }

    /// The first enumerator with this value.
    pub fn name_of(self, value: i128) -> Option<&'a str> {
        self.values().find(|e| e.value == value).map(|e| e.name)
    }
}

/// A parameter of a function.
#[derive(Clone, Copy, Debug)]
pub struct Param<'a> {
    /// The name; empty if there is none.
    pub name: &'a str,
    /// The type.
    pub ty: TypeId,
}

/// How a function is visible to the linker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// One file's own.
    Static,
    /// Visible to all.
    Global,
    /// Defined elsewhere.
    Extern,
}

impl<'a> Func<'a> {
    /// The prototype.
    pub fn proto(self) -> Result<FuncProto<'a>, BtfError> {
        let t = self.0.btf.get(TypeId(self.0.record.size_or_type))?;
        FuncProto::from_type(t).ok_or_else(|| self.0.malformed("a function whose type is not a prototype"))
    }

    /// How the linker sees it. The kernel's own BTF says `Static` for all.
    pub fn linkage(self) -> Linkage {
        match self.0.record.vlen() {
            0 => Linkage::Static,
            1 => Linkage::Global,
            _ => Linkage::Extern,
        }
    }
}

impl<'a> FuncProto<'a> {
    /// The type of the result; `void` is 0.
    pub fn result(self) -> TypeId {
        TypeId(self.0.record.size_or_type)
    }

    /// True if the list of parameters ends with `...`.
    pub fn is_variadic(self) -> bool {
        let record = self.0.record;
        match (record.vlen() as usize).checked_sub(1) {
            Some(last) => record.word(last * 2) == 0 && record.word(last * 2 + 1) == 0,
            None => false,
        }
    }

    /// The number of parameters, without `...`.
    pub fn param_count(self) -> u32 {
        self.0.record.vlen() - u32::from(self.is_variadic())
    }

    /// The parameters, without `...`.
    pub fn params(self) -> impl Iterator<Item = Param<'a>> {
        let Type { btf, record, .. } = self.0;
        self.param_types().enumerate().map(move |(n, ty)| Param { name: btf.string(record.word(n * 2)), ty })
    }

    /// The types of the parameters, without `...`.
    pub fn param_types(self) -> impl Iterator<Item = TypeId> + use<'a> {
        let record = self.0.record;
        (0..self.param_count() as usize).map(move |n| TypeId(record.word(n * 2 + 1)))
    }
}

impl Typedef<'_> {
    /// The type that it names.
    pub fn target(self) -> TypeId {
        TypeId(self.0.record.size_or_type)
    }
}

impl Var<'_> {
    /// The variable's type.
    pub fn target(self) -> TypeId {
        TypeId(self.0.record.size_or_type)
    }

    /// 0 static, 1 global, 2 extern.
    pub fn linkage(self) -> u32 {
        self.0.record.word(0)
    }
}

/// A variable's place in its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionVar {
    /// The variable.
    pub ty: TypeId,
    /// Bytes from the beginning of the section.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
}

impl<'a> DataSec<'a> {
    /// The variables in the section.
    pub fn vars(self) -> impl Iterator<Item = SectionVar> + use<'a> {
        let record = self.0.record;
        (0..record.vlen() as usize).map(move |n| SectionVar {
            ty: TypeId(record.word(n * 3)),
            offset: record.word(n * 3 + 1),
            size: record.word(n * 3 + 2),
        })
    }
}

impl DeclTag<'_> {
    /// What is tagged.
    pub fn target(self) -> TypeId {
        TypeId(self.0.record.size_or_type)
    }

    /// The member or parameter that is tagged; `None` if the whole declaration is.
    pub fn component(self) -> Option<u32> {
        let index = self.0.record.word(0);
        (index != u32::MAX).then_some(index)
    }
}
