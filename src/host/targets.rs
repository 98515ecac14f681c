//! The functions that carry an skb: which argument, and which of them can be traced here.
//!
//! [`Targets::find`] reads BTF; [`Targets::keep_traceable`] and [`Targets::place`] then compare with what the host
//! lists. What is left out stays on record with its reason.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use crate::btf::{Arch, Btf, BtfError, FentryLimit, Func, PointerSet, TypeId};

use super::functions::Traceable;
use super::kallsyms::Addresses;
use super::lines::NameSet;

/// A function with an skb among its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkbFunction {
    /// The name in BTF.
    pub name: Box<str>,
    /// The module that it belongs to; `None` for the kernel itself.
    pub module: Option<Arc<str>>,
    /// The places that it was found at: none before [`Targets::place`] or a list with addresses, several if static
    /// functions of one name exist.
    pub addresses: Vec<u64>,
    /// The name to print, if it is not [`SkbFunction::name`]: the last alias in kallsyms.
    pub alias: Option<Box<str>>,
    /// Which parameter is the skb, counted from 1: the first that is a `struct sk_buff *`, `const` or not. 0 if none is:
    /// [`Targets::add`].
    pub skb_arg: u8,
    /// The register that holds it, counted from 0. One less than `skb_arg`, except after a struct that is passed by
    /// value.
    pub skb_register: u8,
    /// Which parameter is an `enum skb_drop_reason`, counted from 1.
    pub reason_arg: Option<u8>,
    /// The function's number in the BTF of its module or of the kernel: what a fentry program is loaded with.
    pub btf_id: TypeId,
    /// How many parameters it has.
    pub params: u8,
    /// What keeps a fentry program from it.
    pub fentry: Result<(), FentryLimit>,
}

impl SkbFunction {
    /// True if a program for one of two functions is right for the other.
    fn same_arguments(&self, other: &SkbFunction) -> bool {
        (self.skb_arg, self.skb_register, self.reason_arg) == (other.skb_arg, other.skb_register, other.reason_arg)
    }

    /// A fentry program goes to one address, and the kernel's choice of several need not be that of BTF.
    fn limit_by_addresses(&mut self) {
        if self.addresses.len() > 1 && self.fentry.is_ok() {
            self.fentry = Err(FentryLimit::Ambiguous);
        }
    }

    /// The name as it is printed: `name`, or `name[module]`.
    pub fn title(&self) -> String {
        let name = self.alias.as_deref().unwrap_or(&self.name);
        match &self.module {
            Some(module) => format!("{name}[{module}]"),
            None => name.to_owned(),
        }
    }
}

/// Why a function with an skb is not traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// The skb is a later parameter than the fifth: this one.
    Position(u8),
    /// The skb is passed on the stack.
    OnStack,
    /// Several functions have this name, with the skb in different places.
    Ambiguous,
    /// Not in ftrace's list: inlined everywhere, removed after boot, or marked `notrace`.
    NotTraceable,
    /// Not in kallsyms: inlined everywhere.
    NoSymbol,
    /// Damaged type information.
    Btf(BtfError),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeftOut::Position(n) => write!(f, "the skb is parameter {n}; only the first five are looked at"),
            LeftOut::OnStack => f.write_str("the skb is passed on the stack"),
            LeftOut::Ambiguous => f.write_str("several functions have this name, with the skb in different places"),
            LeftOut::NotTraceable => f.write_str("not in the list of traceable functions: inlined or marked notrace"),
            LeftOut::NoSymbol => f.write_str("not in kallsyms: inlined everywhere"),
            LeftOut::Btf(e) => e.fmt(f),
        }
    }
}

/// A function that is not traced, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The name in BTF.
    pub name: Box<str>,
    /// Its module.
    pub module: Option<Arc<str>>,
    /// The reason.
    pub why: LeftOut,
}

/// The functions with an skb, of the kernel and of modules.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Those that can be traced as far as is known, in the order of BTF.
    pub functions: Vec<SkbFunction>,
    /// Those that cannot.
    pub rejected: Vec<Rejected>,
}

/// The last parameter that is looked at. pwru has five programs, one per position; x86-64 would allow a sixth.
const LAST_POSITION: u32 = 5;

/// No function has more parameters; damaged type information has millions.
const MAX_PARAMS: usize = 255;

/// Prepared once for the kernel, used for it and for its modules.
pub struct Finder {
    skb: PointerSet,
    reason: PointerSet,
    arch: Arch,
}

impl Finder {
    /// Looks up the types that make a function interesting in the kernel's own BTF.
    pub fn new(kernel: &Btf, arch: Arch) -> Finder {
        let (skb, reason) = PointerSet::to_struct_and_enum(kernel, "sk_buff", "skb_drop_reason");
        Finder { skb, reason, arch }
    }

    /// The pointers to `struct sk_buff`.
    pub fn skb(&self) -> &PointerSet {
        &self.skb
    }

    /// For a module whose BTF continues the kernel's.
    pub fn for_module(&self, module: &Btf) -> Finder {
        Finder { skb: self.skb.extended(module), reason: self.reason.extended(module), arch: self.arch }
    }
}

impl Targets {
    /// Adds the functions with an skb in `btf` itself (not in its base) whose name passes `filter`.
    pub fn find(&mut self, btf: &Btf, finder: &Finder, module: Option<Arc<str>>, filter: impl Fn(&str) -> bool) {
        // Static functions of different files can share a name; where kallsyms has it several times, nobody knows which
        // prototype belongs to which.
        let mut seen: HashMap<&str, Option<usize>> = HashMap::new();
        for (func, index) in btf.functions_taking(&finder.skb) {
            let Ok(proto) = func.proto() else { continue };
            let params = || (0..).zip(proto.param_types()).take(MAX_PARAMS);
            let name = func.name();
            if name.is_empty() || !filter(name) {
                continue;
            }
            let position = |n: u32| u8::try_from(n + 1).unwrap_or(u8::MAX);
            let place = match proto.register(index, finder.arch) {
                _ if index >= LAST_POSITION => Err(LeftOut::Position(position(index))),
                Ok(Some(register)) if u32::from(register) < LAST_POSITION => Ok(register),
                Ok(Some(_) | None) => Err(LeftOut::OnStack),
                Err(e) => Err(LeftOut::Btf(e)),
            };
            let place = place.and_then(|r| Ok((r, proto.fentry(finder.arch).map_err(LeftOut::Btf)?)));
            let (skb_register, fentry) = match place {
                Ok(place) => place,
                Err(why) => {
                    self.rejected.push(Rejected { name: name.into(), module: module.clone(), why });
                    continue;
                }
            };
            let reason = params().find(|&(_, t)| finder.reason.has_value(t));
            let function = SkbFunction {
                name: name.into(),
                module: module.clone(),
                addresses: Vec::new(),
                alias: None,
                skb_arg: position(index),
                skb_register,
                reason_arg: reason.map(|(n, _)| position(n)),
                btf_id: func.id(),
                params: proto.param_count().try_into().unwrap_or(u8::MAX),
                fentry,
            };
            match seen.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(Some(self.functions.len()));
                    self.functions.push(function);
                }
                Entry::Occupied(mut entry) => match *entry.get() {
                    Some(first) if self.functions[first].same_arguments(&function) => {
                        self.functions[first].fentry = Err(FentryLimit::Ambiguous);
                    }
                    _ => {
                        entry.insert(None);
                    }
                },
            }
        }
        self.functions.retain(|f| {
            let kept = f.module != module || seen.get(&*f.name) != Some(&None);
            if !kept {
                let (name, module) = (f.name.clone(), f.module.clone());
                self.rejected.push(Rejected { name, module, why: LeftOut::Ambiguous });
            }
            kept
        });
    }

    /// Adds the function `name` of `btf` itself, which need not have an skb; false if there is none.
    pub fn add(&mut self, btf: &Btf, arch: Arch, module: Option<Arc<str>>, name: &str) -> bool {
        if self.functions.iter().any(|f| &*f.name == name) {
            return true;
        }
        let Some(func) = btf.find_all::<Func>(name).into_iter().next() else { return false };
        let Ok(proto) = func.proto() else { return false };
        self.functions.push(SkbFunction {
            name: name.into(),
            module,
            addresses: Vec::new(),
            alias: None,
            skb_arg: 0,
            skb_register: 0,
            reason_arg: None,
            btf_id: func.id(),
            params: proto.param_count().try_into().unwrap_or(u8::MAX),
            fentry: proto.fentry(arch).unwrap_or(Err(FentryLimit::ByValue)),
        });
        true
    }

    /// The names of all functions, numbered as [`Targets::functions`] is (equal names share the first number): what to
    /// look for in the host's lists.
    pub fn names(&self) -> NameSet {
        NameSet::new(self.functions.iter().map(|f| &*f.name))
    }

    /// Leaves out what is not in ftrace's list, and takes the addresses from it if it has them.
    pub fn keep_traceable(&mut self, names: &NameSet, list: &Traceable) {
        self.retain(|f| {
            let sites = names.find(f.name.as_bytes()).map_or(&[][..], |n| list.of(n));
            let mut own = sites.iter().filter(|site| site.module.as_deref() == f.module.as_deref()).peekable();
            if own.peek().is_none() {
                return Err(LeftOut::NotTraceable);
            }
            f.addresses.extend(own.filter(|_| list.with_addresses).map(|site| site.address));
            f.limit_by_addresses();
            Ok(())
        });
    }

    /// Sets addresses and aliases from kallsyms, and leaves out what it does not have.
    pub fn place(&mut self, names: &NameSet, symbols: &Addresses) {
        self.retain(|f| {
            let found = names.find(f.name.as_bytes()).map_or(&[][..], |n| symbols.of(n));
            f.addresses.clear();
            for place in found.iter().filter(|found| found.module.as_deref() == f.module.as_deref()) {
                f.addresses.push(place.address);
                f.alias = (place.shown != f.name).then(|| place.shown.clone());
            }
            f.limit_by_addresses();
            if f.addresses.is_empty() { Err(LeftOut::NoSymbol) } else { Ok(()) }
        });
    }

    /// Keeps the functions that `keep` accepts; calls it once for each, in order.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut SkbFunction) -> Result<(), LeftOut>) {
        let rejected = &mut self.rejected;
        self.functions.retain_mut(|f| match keep(f) {
            Ok(()) => true,
            Err(why) => {
                rejected.push(Rejected { name: f.name.clone(), module: f.module.clone(), why });
                false
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `f(int, struct sk_buff *, int, struct sk_buff *)`.
    #[test]
    fn of_two_skbs_the_first_is_followed() {
        let params = [[0, 1], [0, 3], [0, 1], [0, 3]].concat();
        let types = [
            &[0, 1 << 24, 4, 1 << 24 | 32][..],
            &[1, 4 << 24, 8],
            &[0, 2 << 24, 2],
            &[&[0, 13 << 24 | 4, 0][..], &params].concat(),
            &[9, 12 << 24, 4],
        ]
        .concat();
        let length = 4 * types.len() as u32;
        let words = [0x0001_eb9f, 24, 0, length, length, 11].into_iter().chain(types);
        let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).chain(*b"\0sk_buff\0f\0").collect();
        let btf = Btf::parse(bytes, "").expect("it has the form of BTF");
        let mut targets = Targets::default();
        targets.find(&btf, &Finder::new(&btf, Arch::X86_64), None, |_| true);
        let found = targets.functions.first().expect("it has an skb");
        assert_eq!((&*found.name, found.skb_arg, found.skb_register), ("f", 2, 1));
    }

    #[test]
    fn what_is_left_out_has_its_reason() {
        for (why, text) in [
            (LeftOut::Position(6), "the skb is parameter 6; only the first five are looked at"),
            (LeftOut::OnStack, "the skb is passed on the stack"),
            (LeftOut::Ambiguous, "several functions have this name, with the skb in different places"),
            (LeftOut::NotTraceable, "not in the list of traceable functions: inlined or marked notrace"),
            (LeftOut::NoSymbol, "not in kallsyms: inlined everywhere"),
            (LeftOut::Btf(BtfError::NoSuchType(TypeId(9))), "there is no BTF type 9, though it is referred to"),
        ] {
            assert_eq!(why.to_string(), text);
        }
    }
}
