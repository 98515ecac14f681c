//! The user's expressions about an object: a test, and values in the record.
//!
//! The object is what R7 holds: an skb, or an XDP buffer. All that differs between them is in [`Fields`].

use crate::btf::TypeId;
use crate::expr::tree::Load;
use crate::expr::{Source, Value, emit};
use crate::plan::fields::Fields;
use crate::plan::kernel::{Bytes, Spot};
use crate::plan::{Memory, Plan};
use crate::program::on_behalf_of;
use crate::program::read::{self, View};
use crate::record::{Object, Place};
use asm::{Asm, Label, Mem, R0, R1, R3, R7, R9, Reg64, Size, u8};

/// The members of the object that the test needs, to be among those that its view is opened for.
pub fn wanted_by_test(fields: &Fields) -> Vec<Spot> {
    let mut spots = Vec::new();
    if let Some(filter) = &fields.filter {
        filter.loads(&mut |load| spots.extend(spot(fields.id, load)));
    }
    spots
}

/// The members of the object that the values need, to be among those that its view is opened for.
pub fn wanted_by_values(fields: &Fields) -> Vec<Spot> {
    let mut spots = Vec::new();
    for shown in &fields.shown {
        let (Source::Number(value) | Source::Text(value) | Source::Bytes { base: value, .. }) = &shown.output.source;
        value.loads(&mut |load| spots.extend(spot(fields.id, load)));
    }
    spots
}

/// The member of the object that `load` loads, if a view can hold it.
fn spot(object: TypeId, load: &Load) -> Option<Spot> {
    let is_member = *load.base == Value::Root && load.object == object;
    let is_aligned = load.offset.is_multiple_of(load.size.into());
    (is_member && is_aligned).then_some(Spot { offset: load.offset, size: load.size.into() })
}

/// Emits the test of `fields`; falls through if the object passes.
///
/// In: R7 = object, `view` open for [`wanted_by_test`]. Clobbers: R0-R5.
pub fn test(a: &mut Asm, plan: &Plan, fields: &Fields, view: &View, drop: Label) {
    if let Some(filter) = &fields.filter {
        a.note("expression");
        let mut access = KernelMemory { memory: plan.memory, plan, view, object: fields.id };
        let flag = if fields.id == plan.skb.id { "--filter-skb-expr" } else { "--filter-xdp-expr" };
        on_behalf_of(a, flag, |a| emit::condition(a, filter, &mut access, drop));
    }
}

/// Emits the storing of the values that `fields` shows.
///
/// In: R7 = object, `view` open for [`wanted_by_values`], R9 = record. Clobbers: R0-R5.
pub fn store(a: &mut Asm, plan: &Plan, fields: &Fields, object: Object, view: &View) {
    let mut access = KernelMemory { memory: plan.memory, plan, view, object: fields.id };
    let flag = if object == Object::Skb { "--output-skb-metadata" } else { "--output-xdp-metadata" };
    for (shown, &Place { offset, size, known }) in fields.shown.iter().zip(plan.layout.values(object)) {
        let none = a.label();
        let before = a.on_behalf_of(Some(format!("{flag} {}", shown.key).into()));
        a.note("value");
        a.store(u8(R9 + known as i32), 0);
        match &shown.output.source {
            Source::Number(value) => {
                emit::value(a, value, &mut access, none);
                let size = Size::from_bytes(size as usize).expect("numbers have 1, 2, 4 or 8 bytes");
                a.store(Mem::new(size, R9 + offset as i32), R0);
            }
            Source::Bytes { base, offset: within } => {
                emit::value(a, base, &mut access, none);
                if *base != Value::Root {
                    a.jeq(R0, 0, none);
                }
                a.mov(R3, R0);
                if *within != 0 {
                    a.add(R3, *within as i32);
                }
                read::copy(a, plan.memory, plan.kernel.bytes, R9, offset, size);
            }
            Source::Text(value) => {
                emit::value(a, value, &mut access, none);
                a.jeq(R0, 0, none);
                a.mov(R3, R0);
                read::text(a, plan.memory, plan.kernel.bytes, R9, offset, size);
            }
        }
        a.store(u8(R9 + known as i32), 1);
        a.bind(none);
        a.on_behalf_of(before);
    }
}

/// How expressions read.
struct KernelMemory<'a> {
    memory: Memory,
    plan: &'a Plan,
    view: &'a View,
    object: TypeId,
}

impl emit::Access for KernelMemory<'_> {
    fn root(&self) -> Reg64 {
        R7
    }

    fn load_root(&mut self, a: &mut Asm, load: &Load) {
        // The verifier gives a pointer that is loaded by its type that type, and lets nobody compute with it.
        let is_plain = load.size < 8 || matches!(self.view, View::Copied(_)) || self.memory == Memory::Direct;
        match spot(self.object, load).filter(|_| is_plain).and_then(|spot| self.view.get(spot)) {
            Some(member) => a.load(R0, member),
            None => {
                a.mov(R1, R7);
                self.load(a, load);
            }
        }
    }

    fn load(&mut self, a: &mut Asm, load: &Load) {
        let size = Size::from_bytes(load.size.into()).expect("loads have 1, 2, 4 or 8 bytes");
        match (self.memory, self.plan.kernel.bytes) {
            (Memory::Cast { kfunc, .. }, Some(Bytes { id, array })) => {
                if load.offset != array.offset {
                    a.add(R1, (load.offset as i32).wrapping_sub(array.offset as i32));
                }
                read::cast(a, kfunc, R1, id);
                a.load(R0, Mem::new(size, R0 + array.offset as i32));
            }
            (Memory::Cast { kfunc, .. }, None) => {
                read::cast(a, kfunc, R1, load.object);
                a.load(R0, Mem::new(size, R0 + load.offset as i32));
            }
            (Memory::Direct, _) => a.load(R0, Mem::new(size, R1 + load.offset as i32)),
            (Memory::Read | Memory::Typed, _) => {
                let mark = a.stack_mark();
                let slot = a.stack(8);
                a.mov(R3, R1);
                if load.offset != 0 {
                    a.add(R3, load.offset as i32);
                }
                read::fetch(a, slot, load.size.into());
                a.load(R0, Mem::new(size, slot + 0));
                a.stack_release(mark);
            }
        }
    }
}
