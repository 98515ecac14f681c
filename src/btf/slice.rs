//! Cutting the types that matter out of a kernel's BTF.
//!
//! The result is BTF again, a few percent of the size: with it, what was recorded on one machine can be resolved and
//! tested on another. Structs that are kept whole have all their members; others stand for themselves only as far as
//! sizes need it: a struct that is a member by value has its size and no members, one behind a pointer is declared
//! (`FWD`). Nothing that is left changes its size or offset.

use std::collections::HashMap;

use super::raw::{Btf, BtfError, Kind, TypeId};
use super::types::{Composite, Enum, FuncProto, Struct, Type, Typedef, Union, View};

/// How much of a type is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Nothing,
    /// The name.
    Declared,
    /// Name and size.
    Opaque,
    /// Everything.
    Whole,
}

/// Which types of a kernel and of its modules to keep.
pub struct Slicer<'a> {
    /// The kernel first, then modules; with how much to keep of each of their types.
    sources: Vec<(&'a Btf, Vec<Part>)>,
    /// Marked, but what they refer to is not: source and type.
    pending: Vec<(usize, TypeId, Part)>,
}

/// The first source.
const KERNEL: usize = 0;

impl<'a> Slicer<'a> {
    /// Begins with nothing of `kernel`.
    pub fn new(kernel: &'a Btf) -> Slicer<'a> {
        let nothing = vec![Part::Nothing; kernel.end() as usize];
        Slicer { sources: vec![(kernel, nothing)], pending: Vec::new() }
    }

    /// Adds a module, nothing of which is kept yet; its number is the argument of [`Slicer::keep`].
    pub fn add_module(&mut self, module: &'a Btf) -> usize {
        let own = (module.end() - self.first_own()) as usize;
        self.sources.push((module, vec![Part::Nothing; own]));
        self.sources.len() - 1
    }

    /// Keeps a type whole, with what it refers to: of the kernel (0) or of a module. To have a struct whole although it
    /// is reached through a pointer or as a member, keep it too.
    pub fn keep(&mut self, source: usize, id: TypeId) -> Result<(), BtfError> {
        self.pending.push((source, id, Part::Whole));
        while let Some((source, id, part)) = self.pending.pop() {
            self.mark(source, id, part)?;
        }
        Ok(())
    }

    /// Keeps all structs, unions, enums and typedefs called `name`, in any source. How many there are.
    pub fn keep_named(&mut self, name: &str) -> Result<usize, BtfError> {
        let mut count = 0;
        for source in 0..self.sources.len() {
            let btf = self.sources[source].0;
            let own = |id: TypeId| source == KERNEL || id.0 >= self.first_own();
            let mut ids: Vec<TypeId> = Vec::new();
            ids.extend(btf.find_all::<Struct>(name).iter().map(|t| t.id()));
            ids.extend(btf.find_all::<Union>(name).iter().map(|t| t.id()));
            ids.extend(btf.find_all::<Enum>(name).iter().map(|t| t.id()));
            ids.extend(btf.find_all::<Typedef>(name).iter().map(|t| t.id()));
            ids.retain(|&id| own(id));
            count += ids.len();
            for id in ids {
                self.keep(source, id)?;
            }
        }
        Ok(count)
    }

    /// The first number of a module's own types.
    fn first_own(&self) -> u32 {
        self.sources[KERNEL].0.end()
    }

    /// The source that a number seen in `source` belongs to, and its place there.
    fn place(&self, source: usize, id: TypeId) -> (usize, usize) {
        match id.0.checked_sub(self.first_own()) {
            Some(own) if source != KERNEL => (source, own as usize),
            _ => (KERNEL, id.0 as usize),
        }
    }

    fn mark(&mut self, source: usize, id: TypeId, part: Part) -> Result<(), BtfError> {
        let t = self.sources[source].0.get(id)?;
        let (source, place) = self.place(source, id);
        let marked = self.sources[source].1.get_mut(place).ok_or(BtfError::NoSuchType(id))?;
        // `void`, and kinds that are newer than this program, cannot be copied.
        if part <= *marked || t.kind() == Kind::Void {
            return Ok(());
        }
        *marked = part;
        if part != Part::Whole && Composite::from_type(t).is_some() {
            return Ok(());
        }
        for id in references(t) {
            self.pending.push((source, id, part_needed(t, id)?));
        }
        Ok(())
    }

    /// The BTF of the kernel, then of the modules in the order in which they were added.
    pub fn finish(self) -> Result<Vec<Vec<u8>>, BtfError> {
        let mut base = Writer::default();
        let mut outputs = Vec::new();
        let mut kernel_ids = HashMap::new();
        for (source, (btf, parts)) in self.sources.iter().enumerate() {
            let mut ids = kernel_ids.clone();
            let first = if source == KERNEL { 0 } else { self.first_own() };
            let kept = (first..).zip(parts).filter(|(_, part)| **part != Part::Nothing);
            let kept: Vec<(TypeId, Part)> = kept.map(|(id, &part)| (TypeId(id), part)).collect();
            for (&(id, _), new) in kept.iter().zip(kernel_ids.len() as u32 + 1..) {
                ids.insert(id, new);
            }
            let mut writer = Writer { types: Vec::new(), own_strings: Vec::new(), ..base.clone() };
            writer.first_string = base.own_strings.len() as u32;
            if source == KERNEL {
                writer.string("");
            }
            for (id, part) in kept {
                writer.write(btf.get(id)?, part, &ids);
            }
            if source == KERNEL {
                kernel_ids = ids;
                base = writer.clone();
            }
            outputs.push(writer.finish());
        }
        Ok(outputs)
    }
}

/// The types that a record names.
fn references(t: Type<'_>) -> Vec<TypeId> {
    let mut ids: Vec<TypeId> = t.target().into_iter().collect();
    if let Some(c) = Composite::from_type(t) {
        ids.extend(c.members().map(|m| m.ty));
    } else if let Some(proto) = FuncProto::from_type(t) {
        ids.push(proto.result());
        ids.extend(proto.param_types());
    } else if let Some(array) = super::types::Array::from_type(t) {
        ids.extend([array.element(), array.index()]);
    }
    ids
}

/// How much of a type is needed where `t` names it.
fn part_needed(t: Type<'_>, id: TypeId) -> Result<Part, BtfError> {
    let target = t.btf().get(id)?;
    Ok(match target.kind() {
        Kind::Struct | Kind::Union if t.kind() == Kind::Ptr && target.is_named() => Part::Declared,
        // Members of unnamed parts are members of the whole.
        Kind::Struct | Kind::Union if target.is_named() || t.kind() == Kind::Ptr => Part::Opaque,
        Kind::Enum | Kind::Enum64 => Part::Opaque,
        _ => Part::Whole,
    })
}

/// Writes BTF, record by record.
#[derive(Clone, Default)]
struct Writer {
    types: Vec<u8>,
    strings: HashMap<String, u32>,
    own_strings: Vec<u8>,
    first_string: u32,
}

impl Writer {
    fn string(&mut self, text: &str) -> u32 {
        if let Some(&at) = self.strings.get(text) {
            return at;
        }
        let at = self.first_string + self.own_strings.len() as u32;
        self.own_strings.extend(text.as_bytes());
        self.own_strings.push(0);
        self.strings.insert(text.to_owned(), at);
        at
    }

    fn word(&mut self, word: u32) {
        self.types.extend(word.to_le_bytes());
    }

    fn write(&mut self, t: Type<'_>, part: Part, ids: &HashMap<TypeId, u32>) {
        let id = |id: TypeId| ids.get(&id).copied().unwrap_or(0);
        let name = self.string(t.name());
        let (kind, info) = (t.kind(), t.record.info);
        let is_enum = Enum::from_type(t).is_some();
        self.word(name);
        if let (Some(composite), Part::Declared | Part::Opaque) = (Composite::from_type(t), part) {
            let (info, size) = match part {
                Part::Declared => ((Kind::Fwd as u32) << 24 | u32::from(composite.is_union()) << 31, 0),
                _ => (info & !0xff_ffff, composite.size()),
            };
            self.word(info);
            return self.word(size);
        }
        let info = if is_enum && part == Part::Opaque { info & !0xff_ffff } else { info };
        self.word(info);
        self.word(match t.target() {
            Some(target) => id(target),
            None if kind == Kind::FuncProto => id(TypeId(t.record.size_or_type)),
            None => t.record.size_or_type,
        });
        if is_enum && part == Part::Opaque {
            return;
        }
        let words = t.record.words();
        // Which words of an element are a name and a type.
        let (len, name_at, type_at) = match kind {
            Kind::Struct | Kind::Union => (3, Some(0), Some(1)),
            Kind::FuncProto => (2, Some(0), Some(1)),
            Kind::Enum => (2, Some(0), None),
            Kind::Enum64 => (3, Some(0), None),
            Kind::DataSec => (3, None, Some(0)),
            _ => (1, None, None),
        };
        for n in 0..words {
            let word = t.record.word(n);
            let word = match n % len {
                _ if kind == Kind::Array && n < 2 => id(TypeId(word)),
                at if Some(at) == name_at => self.string(t.btf().string(word)),
                at if Some(at) == type_at => id(TypeId(word)),
                _ => word,
            };
            self.word(word);
        }
    }

    fn finish(self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.own_strings.len() as u32);
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, types, types, strings] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(self.types);
        bytes.extend(self.own_strings);
        bytes
    }
}
