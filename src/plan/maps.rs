//! `--output-bpfmap`: which functions work on a BPF map, and where what is shown of the map lies.

use super::kernel::{Spot, number};
use super::{PlanError, Target};
use crate::btf::{Arch, Btf, Func, Kind, Param, PathError, PathErrorKind, PointerSet, Struct, TypeId};
use std::fmt;

/// What is shown of maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maps {
    /// `struct bpf_map`.
    pub id: TypeId,
    /// `char name[BPF_OBJ_NAME_LEN]` in it.
    pub name: Spot,
    /// Numbers in it, in the order in which [`crate::record::map`] has them: `id`, `map_type`, `key_size`, `value_size`.
    pub numbers: [Spot; 4],
    /// The functions.
    pub calls: Vec<Call>,
}

/// A function whose arguments are a map and a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Index into the plan's targets.
    pub target: u32,
    /// Where the value is.
    pub value: Value,
}

/// Where a function has the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nowhere: it deletes.
    None,
    /// It is given as the third argument.
    Given,
    /// It is found: the result points to it.
    Found {
        /// How many parameters the function has.
        params: u8,
        /// Where the result points to an element of a hash table: where the key starts in it, in bytes. The value is
        /// behind the key, at the next multiple of 8.
        key: Option<u32>,
    },
}

/// `__htab_map_lookup_elem` returns the element, not the value in it.
const ELEMENTS: &str = "__htab_map_lookup_elem";

impl Maps {
    /// Finds the functions among `targets` that work on maps.
    pub fn find(btf: &Btf, targets: &[Target]) -> Result<Maps, PlanError> {
        let missing = |error| PlanError::Kernel(PathError { kind: PathErrorKind::Root(error), span: 0..7 });
        let spot = |member| number(btf, "bpf_map", member).map_err(PlanError::Kernel);
        let name = btf.path("bpf_map", "name").map_err(PlanError::Kernel)?.leaf;
        let maps = PointerSet::to_struct(btf, "bpf_map");
        let without_skb = (0u32..).zip(targets).filter(|(_, target)| target.skb_arg == 0 && target.module.is_none());
        let call = |(index, target): (u32, &Target)| Some(Call { target: index, value: value(btf, &maps, target)? });
        Ok(Maps {
            id: btf.find::<Struct>("bpf_map").map_err(missing)?.id(),
            name: Spot { offset: name.offset, size: name.size },
            numbers: [spot("id")?, spot("map_type")?, spot("key_size")?, spot("value_size")?],
            calls: without_skb.filter_map(call).collect(),
        })
    }

    /// Whether the target with this index is a function that works on a map.
    pub fn has(&self, target: u32) -> bool {
        self.calls.iter().any(|call| call.target == target)
    }
}

/// Where a function has the value; `None` if it does not work on a map, or not so that it can be hooked.
fn value(btf: &Btf, maps: &PointerSet, target: &Target) -> Option<Value> {
    let func = btf.find_all::<Func>(&target.name).into_iter().find(|func| func.id().0 == target.btf_id)?;
    let proto = func.proto().ok()?;
    let is_pointer = |id: TypeId| btf.get(id).and_then(|t| t.peel()).is_ok_and(|t| t.kind() == Kind::Ptr);
    let params: Vec<Param<'_>> = proto.params().collect();
    // The wrappers of helpers take five numbers (`BPF_CALL_2` in include/linux/filter.h).
    let is_helper = params.len() == 5 && params.iter().all(|param| !is_pointer(param.ty));
    let is_memory = |n: usize, name: &str| {
        params.get(n).is_some_and(|param| param.name.ends_with(name) && (is_helper || is_pointer(param.ty)))
    };
    let has_map = params.first().is_some_and(|param| maps.has_pointer(param.ty) || (is_helper && param.name == "map"));
    if !has_map || !is_memory(1, "key") || !matches!(proto.fentry(Arch::HOST), Ok(Ok(()))) {
        return None;
    }
    if target.name.ends_with("_delete_elem") {
        return Some(Value::None);
    }
    if target.name.ends_with("_update_elem") && is_memory(2, "value") {
        return Some(Value::Given);
    }
    if !target.name.ends_with("_lookup_elem") || !(is_helper || is_pointer(proto.result())) {
        return None;
    }
    let key = match target.name == ELEMENTS {
        true => Some(btf.path("htab_elem", "key").ok()?.leaf.offset),
        false => None,
    };
    Some(Value::Found { params: u8::try_from(params.len()).ok()?, key })
}

/// What the kernel calls the kinds of maps in which a lookup finds the value itself (`enum bpf_map_type`): hash, array,
/// their per-CPU and LRU kinds, and longest prefix. In others it finds a socket, a device or another map.
const PLAIN: [u32; 7] = [1, 2, 5, 6, 9, 10, 11];
/// Hash tables of which every CPU has a value of its own, behind a pointer.
const PER_CPU_HASH: [u32; 2] = [5, 10];

impl Value {
    /// Whether what was read there is the value of a map of this kind.
    pub fn is_true_for(self, kind: u32) -> bool {
        match self {
            Value::None => false,
            Value::Given => true,
            Value::Found { key, .. } => PLAIN.contains(&kind) && !(key.is_some() && PER_CPU_HASH.contains(&kind)),
        }
    }
}

impl fmt::Display for Maps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Call { target, value } in &self.calls {
            let value = match value {
                Value::None => "no value",
                Value::Given => "value is argument 3",
                Value::Found { key: None, .. } => "value is the result",
                Value::Found { .. } => "value is in the result",
            };
            writeln!(f, "map      target {target}, {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The recorded hosts have no map functions.
    #[test]
    fn a_plan_tells_where_values_are() {
        let spot = Spot { offset: 0, size: 4 };
        let found = |key| Value::Found { params: 2, key };
        let calls = (1..).zip([Value::None, Value::Given, found(None), found(Some(48))]);
        let calls = calls.map(|(target, value)| Call { target, value }).collect();
        let maps = Maps { id: TypeId(1), name: spot, numbers: [spot; 4], calls };
        let text = "\
map      target 1, no value
map      target 2, value is argument 3
map      target 3, value is the result
map      target 4, value is in the result
";
        assert_eq!(maps.to_string(), text);
    }
}
