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
    /// Functions are not in the index: there are more of them than of all other names, and few are looked up. One pass
    /// over all types finds one.
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

/// Types by a hash of their name; the names stay where they are.
pub(super) struct NameIndex {
    /// The first entry with a hash, plus one; 0 is none. The length is a power of two.
    heads: Vec<u32>,
    /// A type, and the next entry with the same hash, plus one.
    entries: Vec<(TypeId, u32)>,
}

/// The kinds that names are looked up for, functions excepted: as numbers, one bit each.
const INDEXED: u32 = 1 << Kind::Int as u32
    | 1 << Kind::Float as u32
    | 1 << Kind::Struct as u32
    | 1 << Kind::Union as u32
    | 1 << Kind::Enum as u32
    | 1 << Kind::Enum64 as u32
    | 1 << Kind::Fwd as u32
    | 1 << Kind::Typedef as u32
    | 1 << Kind::Var as u32;

impl NameIndex {
    fn new(btf: &Btf) -> NameIndex {
        let scan = btf.scan();
        let len = (btf.own_ids().count() / 4).next_power_of_two();
        let (mut heads, mut entries) = (vec![0; len], Vec::with_capacity(len));
        for head in scan.heads() {
            if INDEXED.checked_shr(head.kind.into()).unwrap_or(0) & 1 != 0 && head.name != 0 {
                let first = &mut heads[hash(scan.strings_from(head.name)) as usize & (len - 1)];
                entries.push((head.id, *first));
                *first = entries.len() as u32;
            }
        }
        NameIndex { heads, entries }
    }

    /// The types called `name`.
    fn find<'a>(&self, btf: &'a Btf, name: &str) -> impl Iterator<Item = Type<'a>> {
        let mut next = self.heads[hash(name.as_bytes()) as usize & (self.heads.len() - 1)];
        let entries = std::iter::from_fn(move || {
            let (id, following) = *self.entries.get(next.checked_sub(1)? as usize)?;
            next = following;
            Some(id)
        });
        entries.filter_map(|id| btf.get(id).ok()).filter(move |t| t.is_called(name))
    }

    pub(super) fn bytes(&self) -> usize {
        self.heads.len() * 4 + self.entries.len() * 8
    }
}

/// A hash of the bytes up to the first NUL, or to the end: multiplies and rotates words of eight.
fn hash(text: &[u8]) -> u32 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = text.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut h: u64 = 0;
    for word in words.iter().chain([&last]) {
        let word = u64::from_le_bytes(*word);
        // The lowest byte of this that is not 0 stands where the first NUL is.
        let nul = word.wrapping_sub(LOW) & !word & LOW << 7;
        let kept = if nul == 0 { word } else { word & ((nul & nul.wrapping_neg()) - 1) >> 7 };
        h = (h ^ kept).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        if nul != 0 {
            break;
        }
    }
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
        if name.is_empty() {
            return found;
        }
        if T::FUNCTION {
            let scan = self.scan();
            let functions = scan.heads().filter(|head| head.kind == Kind::Func as u8);
            let named = functions.filter(|head| scan.string_is(head.name, name.as_bytes()));
            found.extend(named.filter_map(|head| self.get(head.id).ok().and_then(T::from_type)));
        } else {
            let first = found.len();
            let index = self.names.get_or_init(|| NameIndex::new(self));
            found.extend(index.find(self, name).filter_map(T::from_type));
            found[first..].sort_unstable_by_key(|t| t.as_type().id());
        }
        found
    }

    /// The functions in this BTF itself, without those of its base.
    pub fn functions(&self) -> impl Iterator<Item = Func<'_>> {
        self.own_types().filter_map(Func::from_type)
    }

    /// The functions in this BTF itself with a pointer in `set` among their first 255 parameters, and the index of the
    /// first such parameter, from 0.
    pub fn functions_taking(&self, set: &PointerSet) -> impl Iterator<Item = (Func<'_>, u32)> {
        let scan = self.scan();
        let functions = scan.heads().filter(|head| head.kind == Kind::Func as u8);
        functions.filter_map(move |head| {
            let params = scan.params(TypeId(head.size_or_type));
            let is_wanted = |param: &[u8; 8]| {
                let [_, _, _, _, ty @ ..] = *param;
                set.has_pointer(TypeId(u32::from_le_bytes(ty)))
            };
            let index = params.iter().take(255).position(is_wanted)?;
            Some((Func::from_type(self.get(head.id).ok()?)?, index as u32))
        })
    }

    /// The tracepoints in this BTF itself, without those of its base.
    pub fn tracepoints(&self) -> impl Iterator<Item = Tracepoint<'_>> {
        let scan = self.scan();
        let typedefs = scan.heads().filter(|head| head.kind == Kind::Typedef as u8);
        let named =
            typedefs.filter(move |head| scan.strings_from(head.name).starts_with(Tracepoint::PREFIX.as_bytes()));
        named.filter_map(|head| Tracepoint::from_type(self.get(head.id).ok()?))
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
        if t.kind() != Kind::Typedef || !t.name().starts_with(Self::PREFIX) {
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

    /// Both of the above, in half the time.
    pub fn to_struct_and_enum(btf: &Btf, struct_name: &str, enum_name: &str) -> (PointerSet, PointerSet) {
        let mut sets = (PointerSet::empty(struct_name, false), PointerSet::empty(enum_name, true));
        for btf in btf.base().map(|base| &**base).into_iter().chain([btf]) {
            PointerSet::add_all(btf, &mut [&mut sets.0, &mut sets.1]);
        }
        sets
    }

    fn empty(name: &str, is_enum: bool) -> PointerSet {
        PointerSet { name: name.to_owned(), is_enum, values: Bitmap::default(), pointers: Bitmap::default() }
    }

    fn new(btf: &Btf, name: &str, is_enum: bool) -> PointerSet {
        let mut set = match btf.base() {
            Some(base) => PointerSet::new(base, name, is_enum),
            None => PointerSet::empty(name, is_enum),
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
        Self::add_all(btf, &mut [self]);
    }

    /// Adds the types of `btf` itself to several sets in one pass.
    fn add_all(btf: &Btf, sets: &mut [&mut PointerSet]) {
        const STRUCT: u8 = Kind::Struct as u8;
        const FWD: u8 = Kind::Fwd as u8;
        const ENUM: u8 = Kind::Enum as u8;
        const ENUM64: u8 = Kind::Enum64 as u8;
        const PTR: u8 = Kind::Ptr as u8;
        const ALIASES: u32 = 1 << Kind::Typedef as u32
            | 1 << Kind::Volatile as u32
            | 1 << Kind::Const as u32
            | 1 << Kind::Restrict as u32
            | 1 << Kind::TypeTag as u32;
        for set in &mut *sets {
            set.values.grow(btf.end());
            set.pointers.grow(btf.end());
        }
        let (mut aliases, mut pointers) = (Vec::new(), Vec::new());
        let scan = btf.scan();
        for head in scan.heads() {
            match head.kind {
                PTR => pointers.push((head.id, TypeId(head.size_or_type))),
                STRUCT | FWD | ENUM | ENUM64 => {
                    for set in &mut *sets {
                        let is_enum = matches!(head.kind, ENUM | ENUM64);
                        if is_enum == set.is_enum && scan.string_is(head.name, set.name.as_bytes()) {
                            set.values.set(head.id);
                        }
                    }
                }
                kind if ALIASES >> (kind & 31) & 1 != 0 && kind < 32 => {
                    aliases.push((head.id, TypeId(head.size_or_type)));
                }
                _ => {}
            }
        }
        for set in sets {
            set.values.close(&aliases);
            for &(id, target) in &pointers {
                if set.values.has(target) {
                    set.pointers.set(id);
                }
            }
            set.pointers.close(&aliases);
        }
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
