//! Finding types by name, and sets of types by meaning.

use std::fmt;

use super::raw::{Btf, Kind, TypeId};
use super::types::{Composite, Enum, Float, Func, FuncProto, Int, MAX_DEPTH, Struct, Type, Typedef, Union, Var, View};

/// A name that was looked for and not found, or found more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindError {
    /// Nothing of this kind has the name.
    None {
        /// The kind of type that was asked for.
        what: &'static str,
        /// The name that was asked for.
        name: String,
        /// The label of the BTF that was searched.
        source: String,
    },
    /// Several types of this kind have the name, and differ.
    Ambiguous {
        /// The kind of type that was asked for.
        what: &'static str,
        /// The name that was asked for.
        name: String,
        /// The label of the BTF that was searched.
        source: String,
        /// All the types.
        ids: Vec<TypeId>,
    },
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FindError::None { what, name, source } => write!(f, "no {what} is named `{name}` ({source})"),
            FindError::Ambiguous { what, name, source, ids } => {
                write!(f, "{} times {what} `{name}` ({source}): types", ids.len())?;
                ids.iter().enumerate().try_for_each(|(n, id)| write!(f, "{} {id}", if n == 0 { "" } else { "," }))
            }
        }
    }
}

impl std::error::Error for FindError {}

/// A kind of type that can be found by its name.
pub trait Named<'a>: View<'a> {
    /// Functions have an index of their own: there are more of them than of all other names, and few runs need it.
    const FUNCTION: bool = false;
}

impl<'a> Named<'a> for Int<'a> {}
impl<'a> Named<'a> for Float<'a> {}
impl<'a> Named<'a> for Struct<'a> {}
impl<'a> Named<'a> for Union<'a> {}
impl<'a> Named<'a> for Composite<'a> {}
impl<'a> Named<'a> for Enum<'a> {}
impl<'a> Named<'a> for Typedef<'a> {}
impl<'a> Named<'a> for Var<'a> {}
impl<'a> Named<'a> for Func<'a> {
    const FUNCTION: bool = true;
}

/// Type numbers ordered by a hash of their name; the names stay where they are.
pub(super) struct NameIndex {
    /// Hash in the high half, number in the low half: sorted by both. A table with open addressing would be no
    /// smaller, and slow to build where one name occurs very often.
    entries: Vec<u64>,
}

impl NameIndex {
    fn new(btf: &Btf, wanted: impl Fn(Kind) -> bool) -> NameIndex {
        let named = btf.own_types().filter(|t| t.is_named() && wanted(t.kind()));
        let mut entries: Vec<u64> =
            named.map(|t| u64::from(hash(t.name_bytes())) << 32 | u64::from(t.id().0)).collect();
        entries.sort_unstable();
        entries.shrink_to_fit();
        NameIndex { entries }
    }

    /// The types called `name`, in the order of their numbers.
    fn find<'a>(&self, btf: &'a Btf, name: &str) -> impl Iterator<Item = Type<'a>> {
        let hash = hash(name.as_bytes());
        let begin = self.entries.partition_point(|&e| ((e >> 32) as u32) < hash);
        self.entries[begin..]
            .iter()
            .take_while(move |&&e| (e >> 32) as u32 == hash)
            .filter_map(|&e| btf.get(TypeId(e as u32)).ok())
            .filter(move |t| t.name_bytes() == name.as_bytes())
    }

    pub(super) fn bytes(&self) -> usize {
        self.entries.len() * 8
    }
}

/// Multiplies and rotates over words of eight bytes.
fn hash(name: &[u8]) -> u32 {
    let step = |h: u64, word: u64| (h ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (words, rest) = name.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let h = words.iter().fold(name.len() as u64, |h, w| step(h, u64::from_le_bytes(*w)));
    let h = step(h, u64::from_le_bytes(last));
    (h ^ h >> 32) as u32
}

impl Btf {
    /// The one type of this kind called `name`, here or in the base.
    ///
    /// Several of that name are an error: which one is meant cannot be known. Types that were compiled differently
    /// in several places are such.
    pub fn find<'a, T: Named<'a>>(&'a self, name: &str) -> Result<T, FindError> {
        let found = self.find_all::<T>(name);
        let error = || (T::WHAT, name.to_owned(), self.label().to_owned());
        match found[..] {
            [one] => Ok(one),
            [] => {
                let (what, name, source) = error();
                Err(FindError::None { what, name, source })
            }
            _ => {
                let (what, name, source) = error();
                Err(FindError::Ambiguous { what, name, source, ids: found.iter().map(|t| t.as_type().id()).collect() })
            }
        }
    }

    /// All types of this kind called `name`: those of the base first, then in the order of their numbers.
    pub fn find_all<'a, T: Named<'a>>(&'a self, name: &str) -> Vec<T> {
        let mut found = self.base().map_or_else(Vec::new, |base| base.find_all::<T>(name));
        if !name.is_empty() {
            found.extend(self.names(T::FUNCTION).find(self, name).filter_map(T::from_type));
        }
        found
    }

    fn names(&self, functions: bool) -> &NameIndex {
        if functions {
            self.func_names.get_or_init(|| NameIndex::new(self, |kind| kind == Kind::Func))
        } else {
            self.type_names.get_or_init(|| {
                NameIndex::new(self, |kind| {
                    matches!(
                        kind,
                        Kind::Int
                            | Kind::Float
                            | Kind::Struct
                            | Kind::Union
                            | Kind::Enum
                            | Kind::Enum64
                            | Kind::Fwd
                            | Kind::Typedef
                            | Kind::Var
                    )
                })
            })
        }
    }

    /// The functions in this BTF itself, without those of its base.
    pub fn functions(&self) -> impl Iterator<Item = Func<'_>> {
        self.own_types().filter_map(Func::from_type)
    }

    /// The tracepoints in this BTF itself, without those of its base.
    pub fn tracepoints(&self) -> impl Iterator<Item = Tracepoint<'_>> {
        self.own_types().filter_map(Tracepoint::from_type)
    }

    /// The tracepoint called `name` (without `btf_trace_`).
    pub fn tracepoint(&self, name: &str) -> Result<Tracepoint<'_>, FindError> {
        let none = || FindError::None { what: "tracepoint", name: name.to_owned(), source: self.label().to_owned() };
        let typedef = match self.find::<Typedef>(&format!("{}{name}", Tracepoint::PREFIX)) {
            Err(FindError::Ambiguous { ids, source, .. }) => {
                return Err(FindError::Ambiguous { what: "tracepoint", name: name.to_owned(), source, ids });
            }
            found => found.map_err(|_| none())?,
        };
        Tracepoint::from_type(typedef.as_type()).ok_or_else(none)
    }

    /// The value of the enumerator `name` of `enum enum_name`; `None` if there is no such enum or enumerator, as in
    /// kernels that are older (or newer) than it.
    pub fn enum_value(&self, enum_name: &str, name: &str) -> Option<i128> {
        self.find_all::<Enum>(enum_name).into_iter().find_map(|e| e.value(name))
    }
}

/// A raw tracepoint, as the typedef `btf_trace_<name>` describes it.
#[derive(Clone, Copy, Debug)]
pub struct Tracepoint<'a> {
    typedef: Type<'a>,
    proto: FuncProto<'a>,
}

impl<'a> Tracepoint<'a> {
    const PREFIX: &'static str = "btf_trace_";

    fn from_type(t: Type<'a>) -> Option<Tracepoint<'a>> {
        if t.kind() != Kind::Typedef || !t.name_bytes().starts_with(Self::PREFIX.as_bytes()) {
            return None;
        }
        let pointer = t.btf().get(t.target()?).ok()?;
        if pointer.kind() != Kind::Ptr {
            return None;
        }
        let proto = FuncProto::from_type(t.btf().get(pointer.target()?).ok()?)?;
        Some(Tracepoint { typedef: t, proto })
    }

    /// The name, without `btf_trace_`.
    pub fn name(self) -> &'a str {
        self.typedef.name().strip_prefix(Self::PREFIX).unwrap_or_default()
    }

    /// The typedef's number: what a `tp_btf` program is loaded with (`attach_btf_id`).
    pub fn id(self) -> TypeId {
        self.typedef.id()
    }

    /// The types of the arguments as a program sees them: the leading `void *__data` of the prototype is not one.
    /// Argument `n` is word `n` of the program's context.
    pub fn args(self) -> impl Iterator<Item = TypeId> + use<'a> {
        self.proto.param_types().skip(1)
    }
}

/// The types that are, through typedefs, qualifiers and type tags, one of some given types or a pointer to one.
#[derive(Clone, Debug)]
pub struct PointerSet {
    name: String,
    is_enum: bool,
    values: Bitmap,
    pointers: Bitmap,
}

impl PointerSet {
    /// All that is `struct name`, or a pointer to it, in `btf` and its base. Declarations without a definition count.
    pub fn to_struct(btf: &Btf, name: &str) -> PointerSet {
        PointerSet::new(btf, name, false)
    }

    /// All that is `enum name`, or a pointer to it, in `btf` and its base.
    pub fn to_enum(btf: &Btf, name: &str) -> PointerSet {
        PointerSet::new(btf, name, true)
    }

    fn new(btf: &Btf, name: &str, is_enum: bool) -> PointerSet {
        let mut set = match btf.base() {
            Some(base) => PointerSet::new(base, name, is_enum),
            None => {
                let (values, pointers) = (Bitmap::default(), Bitmap::default());
                PointerSet { name: name.to_owned(), is_enum, values, pointers }
            }
        };
        set.add(btf);
        set
    }

    /// The set for a module: `self`, which was made from the module's base, and the module's own types.
    pub fn extended(&self, module: &Btf) -> PointerSet {
        let mut set = self.clone();
        set.add(module);
        set
    }

    fn add(&mut self, btf: &Btf) {
        self.values.grow(btf.end());
        self.pointers.grow(btf.end());
        let mut aliases = Vec::new();
        let mut pointers = Vec::new();
        for t in btf.own_types() {
            match (t.kind(), t.target()) {
                (Kind::Ptr, Some(target)) => pointers.push((t.id(), target)),
                (_, Some(target)) if t.is_alias() => aliases.push((t.id(), target)),
                (Kind::Struct | Kind::Fwd, _) if !self.is_enum && t.name_bytes() == self.name.as_bytes() => {
                    self.values.set(t.id());
                }
                (Kind::Enum | Kind::Enum64, _) if self.is_enum && t.name_bytes() == self.name.as_bytes() => {
                    self.values.set(t.id());
                }
                _ => {}
            }
        }
        self.values.close(&aliases);
        for &(id, target) in &pointers {
            if self.values.has(target) {
                self.pointers.set(id);
            }
        }
        self.pointers.close(&aliases);
    }

    /// True if the type is one of the given ones.
    pub fn has_value(&self, id: TypeId) -> bool {
        self.values.has(id)
    }

    /// True if the type is a pointer to one of the given ones.
    pub fn has_pointer(&self, id: TypeId) -> bool {
        self.pointers.has(id)
    }
}

/// One bit per type number.
#[derive(Clone, Debug, Default)]
struct Bitmap(Vec<u64>);

impl Bitmap {
    fn grow(&mut self, end: u32) {
        self.0.resize(end as usize / 64 + 1, 0);
    }

    fn set(&mut self, id: TypeId) {
        if let Some(word) = self.0.get_mut(id.0 as usize / 64) {
            *word |= 1 << (id.0 % 64);
        }
    }

    fn has(&self, id: TypeId) -> bool {
        self.0.get(id.0 as usize / 64).is_some_and(|word| word >> (id.0 % 64) & 1 != 0)
    }

    /// Adds what leads to a member of the set, until nothing is added or the chains are longer than any sane one.
    fn close(&mut self, links: &[(TypeId, TypeId)]) {
        for _ in 0..MAX_DEPTH {
            let mut changed = false;
            for &(id, target) in links {
                if self.has(target) && !self.has(id) {
                    self.set(id);
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }
}

/// The candidate that is closest to `word`, if one is close enough to be what was meant.
pub fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .filter(|c| c.len().abs_diff(word.len()) <= limit && *c != word && !c.is_empty())
        .map(|c| (distance(word, c), c))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// How many letters must be inserted, removed, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}
