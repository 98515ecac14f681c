//! Where the arguments of a function are when it is entered, and whether a BPF trampoline can be put there.

use std::fmt;

use super::raw::{BtfError, Kind, TypeId};
use super::types::{FuncProto, Type, View};

/// The calling conventions that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// System V: six registers, `rdi rsi rdx rcx r8 r9`.
    X86_64,
    /// AAPCS64: eight registers, `x0` to `x7`.
    Aarch64,
}

impl Arch {
    /// The one that this program was compiled for.
    pub const HOST: Arch = if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 };

    fn registers(self) -> u32 {
        match self {
            Arch::X86_64 => 6,
            Arch::Aarch64 => 8,
        }
    }
}

/// What keeps a BPF trampoline (fentry, fexit) from a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FentryLimit {
    /// The list of parameters ends with `...`: EINVAL.
    Variadic,
    /// More than twelve parameters (`MAX_BPF_FUNC_ARGS`): EINVAL.
    TooMany(u32),
    /// Some arguments are passed on the stack. On x86-64 refused before Linux 6.6 (error 524), on arm64 before 6.16.
    OnStack,
    /// A struct of at most 16 bytes is passed by value. Refused before Linux 6.1: EINVAL.
    SmallStruct,
    /// A union, a larger struct or a floating-point number is passed by value: EINVAL.
    ByValue,
    /// A struct, a union or a floating-point number is returned by value: EINVAL.
    Result,
    /// Several functions have the name; the kernel would take the first in kallsyms, whichever that is.
    Ambiguous,
}

impl FentryLimit {
    /// The first kernel that accepts such a function on x86-64; `None` if none does.
    pub fn since(self) -> Option<(u32, u32)> {
        match self {
            FentryLimit::OnStack => Some((6, 6)),
            FentryLimit::SmallStruct => Some((6, 1)),
            FentryLimit::Variadic
            | FentryLimit::TooMany(_)
            | FentryLimit::ByValue
            | FentryLimit::Result
            | FentryLimit::Ambiguous => None,
        }
    }
}

impl fmt::Display for FentryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FentryLimit::Variadic => f.write_str("it takes a variable number of arguments"),
            FentryLimit::TooMany(n) => write!(f, "it has {n} parameters, more than twelve"),
            FentryLimit::OnStack => f.write_str("it takes arguments on the stack"),
            FentryLimit::SmallStruct => f.write_str("it takes a struct by value"),
            FentryLimit::ByValue => f.write_str("it takes a union, a large struct or a floating-point number by value"),
            FentryLimit::Result => f.write_str("it returns a struct or a union by value"),
            FentryLimit::Ambiguous => f.write_str("several functions have its name"),
        }
    }
}

/// The most parameters that a trampoline takes (`MAX_BPF_FUNC_ARGS`, `include/linux/bpf.h`).
const MAX_FENTRY_ARGS: u32 = 12;

/// How a value travels.
#[derive(Clone, Copy)]
struct Passed {
    size: u32,
    /// A struct or a union.
    aggregate: bool,
    /// A union or a floating-point number.
    odd: bool,
}

impl Passed {
    fn of(t: Type<'_>) -> Result<Passed, BtfError> {
        let t = t.peel()?;
        let kind = t.kind();
        Ok(Passed {
            size: match kind {
                Kind::Void | Kind::Ptr => 8,
                _ => t.size()?,
            },
            aggregate: matches!(kind, Kind::Struct | Kind::Union),
            odd: !matches!(kind, Kind::Void | Kind::Ptr | Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Struct),
        })
    }
}

impl FuncProto<'_> {
    fn passed(self, id: TypeId) -> Result<Passed, BtfError> {
        Passed::of(self.as_type().btf().get(id)?)
    }

    /// The register that holds parameter `index` (both count from 0) on entry; `None` if it is on the stack.
    ///
    /// This is the index itself unless a struct is passed by value before it.
    pub fn register(self, index: u32, arch: Arch) -> Result<Option<u8>, BtfError> {
        let mut next = 0;
        for (n, ty) in (0..).zip(self.param_types()) {
            let passed = self.passed(ty)?;
            let words = match arch {
                _ if passed.size <= 8 => passed.size.min(1),
                // Two registers or none.
                _ if passed.size <= 16 => 2,
                // Copied to the stack by the caller.
                Arch::X86_64 => 0,
                // The address of a copy.
                Arch::Aarch64 => 1,
            };
            let on_stack = passed.size > 16 && arch == Arch::X86_64;
            let fits = next + words <= arch.registers() && !on_stack;
            if n == index {
                return Ok((fits && words > 0).then_some(next as u8));
            }
            match arch {
                _ if fits => next += words,
                Arch::X86_64 => {}
                // What follows an argument on the stack goes to the stack too.
                Arch::Aarch64 => next = arch.registers(),
            }
        }
        Ok(None)
    }

    /// The word of a fentry program's context that holds parameter `index` (both count from 0).
    pub fn fentry_word(self, index: u32) -> Result<u32, BtfError> {
        let mut word = 0;
        for ty in self.param_types().take(index as usize) {
            word = self.passed(ty)?.size.div_ceil(8).saturating_add(word);
        }
        Ok(word)
    }

    /// What keeps a trampoline from functions with this prototype, if anything does: what no kernel accepts first
    /// (`btf_distill_func_proto`, `kernel/bpf/btf.c`).
    pub fn fentry(self, arch: Arch) -> Result<Result<(), FentryLimit>, BtfError> {
        let result = self.passed(self.result())?;
        if result.aggregate || result.odd {
            return Ok(Err(FentryLimit::Result));
        }
        let count = self.param_count();
        if self.is_variadic() {
            return Ok(Err(FentryLimit::Variadic));
        }
        if count > MAX_FENTRY_ARGS {
            return Ok(Err(FentryLimit::TooMany(count)));
        }
        let (mut words, mut structs) = (0, false);
        for ty in self.param_types() {
            let passed = self.passed(ty)?;
            if passed.odd || passed.size > 16 {
                return Ok(Err(FentryLimit::ByValue));
            }
            structs |= passed.aggregate;
            words += passed.size.div_ceil(8);
        }
        if words > arch.registers() {
            return Ok(Err(FentryLimit::OnStack));
        }
        Ok(if structs { Err(FentryLimit::SmallStruct) } else { Ok(()) })
    }
}
