//! What only some runs show of a record, made into an [`Extra`].

use std::sync::Arc;

use crate::btf::{Btf, Look, Struct, TypeId, show};
use crate::clean;
use crate::decode::{self, Event, Function};
use crate::names::{Names, TargetKind};
use crate::plan::fields::Fields;
use crate::plan::maps::Maps;
use crate::plan::{Backend, Plan};
use crate::record::{Dump, Field, Layout, Object, Place, map};

use super::extra::{Extra, Label, MapEntry, Metadata};
use super::stack::{self, Entry};
use super::value::Values;

/// Makes an [`Extra`] of each record, in memory that is used again. What it needs from types is worked out before.
pub struct Details {
    layout: Layout,
    objects: [Shown; 2],
    /// The kernel's types, if whole structures are shown.
    btf: Option<Arc<Btf>>,
    /// Which of them are shown.
    types: [Option<TypeId>; 2],
    /// How the programs of this run are entered, those for BPF programs excepted.
    entry: Entry,
    maps: Option<Maps>,
    values: Values,
    frames: Vec<u64>,
    dumps: [String; 2],
}

/// Whole structures and the names of their types.
const DUMPS: [(Dump, &str); 2] = [(Dump::Skb, "sk_buff"), (Dump::SharedInfo, "skb_shared_info")];

/// The values of one kind of object.
struct Shown {
    fields: Vec<Value>,
    labels: Vec<Label>,
}

/// A value that is shown.
struct Value {
    place: Place,
    look: Look,
    limit: usize,
}

impl Details {
    /// For the records of a run on a kernel with these types.
    pub fn new(plan: &Plan, btf: &Arc<Btf>) -> Details {
        let objects = [(Object::Skb, &plan.skb), (Object::Xdp, &plan.xdp)];
        let types = DUMPS.map(|(dump, name)| {
            plan.layout.dump(dump)?;
            btf.find::<Struct>(name).ok().map(|found| found.id())
        });
        Details {
            layout: plan.layout.clone(),
            objects: objects.map(|(object, fields)| Shown::new(plan.layout.values(object), fields)),
            btf: types.iter().any(Option::is_some).then(|| btf.clone()),
            types,
            entry: match plan.backend {
                Backend::Fentry => Entry::Trampoline,
                Backend::Tracepoint => Entry::Tracepoint,
                Backend::Kprobe | Backend::KprobeMulti => Entry::Registers,
            },
            maps: plan.maps.clone(),
            values: Values::default(),
            frames: Vec::new(),
            dumps: Default::default(),
        }
    }

    /// The details of a record; completes `event`, which was read from it.
    pub fn of<'e>(&'e mut self, record: &'e [u8], event: &mut Event, names: &Names) -> Extra<'e> {
        let layout = &self.layout;
        let program = names.functions.program(event.function);
        let is_xdp = program.is_some_and(|program| program.kind == TargetKind::Xdp);
        let object = if is_xdp { Object::Xdp } else { Object::Skb };
        let mut extra = Extra::default();
        self.frames.clear();
        let frames = layout.bytes(record, Field::Frames).or_else(|| {
            let length = layout.number(record, Field::StackLen)? as usize;
            layout.bytes(record, Field::Stack)?.get(..length)
        });
        if let Some(frames) = frames {
            let words = frames.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word));
            self.frames.extend(words.take_while(|&address| address != 0));
            let entry = match program {
                Some(program) if program.by_breakpoint => Entry::Registers,
                Some(_) => Entry::Trampoline,
                None => self.entry,
            };
            let function = names.functions.get(event.function).map_or(&[][..], |(name, _)| name);
            let traced = stack::traced(&self.frames, entry, function, &*names.symbols);
            // Of a function it is the frame behind it; a tracepoint is in the function that is looked for.
            let caller = match entry {
                _ if !layout.has(Field::Caller) => None,
                Entry::Registers => None,
                Entry::Trampoline => Some(1),
                Entry::Tracepoint => Some(0),
            };
            if let Some(n) = caller {
                event.caller = traced.get(n).copied().unwrap_or(0);
            }
            if layout.has(Field::Stack) {
                extra.stack = traced;
            }
        }
        if let Some(headers) = layout.bytes(record, Field::InnerHeaders).filter(|_| object == Object::Skb) {
            let length = layout.number(record, Field::InnerLen).unwrap_or(0) as usize;
            // Whatever the outer packet is, the first four bits tell IPv4 and IPv6 apart.
            extra.tunnel = decode::tuple(&headers[..headers.len().min(length)], 0);
        }
        if let Some(btf) = self.btf.as_ref().filter(|_| object == Object::Skb) {
            for ((text, id), (dump, _)) in self.dumps.iter_mut().zip(self.types).zip(DUMPS) {
                text.clear();
                if let (Some(bytes), Some(Ok(t))) = (layout.dump_bytes(record, dump), id.map(|id| btf.get(id))) {
                    show::show(t, bytes, text);
                }
            }
            (extra.skb, extra.shared_info) = (self.dumps[0].as_bytes(), self.dumps[1].as_bytes());
        }
        if let (Some(maps), Some(part), Function::Index(target)) = (&self.maps, layout.map_part(record), event.function)
        {
            extra.map = map_entry(maps, part, target);
        }
        let Shown { fields, labels } = &self.objects[object as usize];
        if !fields.is_empty() {
            self.values.clear();
            for Value { place, look, limit } in fields {
                self.values.add(layout.value(record, *place), look, *limit);
            }
            extra.metadata = Some(Metadata { labels, values: &self.values });
        }
        extra
    }
}

/// What a record says about a map, whose call is the target with this index.
fn map_entry<'r>(maps: &Maps, part: &'r [u8], target: u32) -> Option<MapEntry<'r>> {
    let bytes = |(from, size): (u32, u32)| part.get(from as usize..(from + size) as usize);
    let number = |part| bytes(part).and_then(|bytes| bytes.first_chunk()).map(|bytes| u32::from_ne_bytes(*bytes));
    let first = |part, size: u32| bytes(part).map(|bytes| &bytes[..bytes.len().min(size as usize)]);
    let (key_size, value_size) = (number(map::KEY_SIZE)?, number(map::VALUE_SIZE)?);
    let call = maps.calls.iter().find(|call| call.target == target)?;
    let has_value = number(map::STATE)? == 2 && call.value.is_true_for(number(map::KIND)?);
    Some(MapEntry {
        id: number(map::ID)?,
        name: bytes(map::NAME)?,
        key_size,
        value_size,
        key: first(map::KEY, key_size)?,
        value: if has_value { first(map::VALUE, value_size) } else { None },
    })
}

impl Shown {
    fn new(places: &[Place], fields: &Fields) -> Shown {
        let clean = |name: &str| clean::clean(name.as_bytes()).into_owned();
        let mut labels: Vec<Label> = Vec::new();
        for shown in &fields.shown {
            // The same expression twice is one key.
            let key = Some(clean(&shown.key)).filter(|key| labels.iter().all(|label| label.key.as_ref() != Some(key)));
            labels.push(Label { text: clean(&shown.output.name), key });
        }
        let value = |(place, shown): (&Place, &crate::plan::fields::Shown)| Value {
            place: *place,
            look: shown.output.look.clone(),
            limit: shown.limit(),
        };
        Shown { fields: places.iter().zip(&fields.shown).map(value).collect(), labels }
    }
}
