//! A finished program: instructions, their origin, the boundaries of its subprograms.

use crate::encode::{decode, encode};
use crate::error::{DecodeError, EncodeError};
use crate::insn::{Imm64, Insn, Op, write_line};
use crate::map::MapRef;
use std::fmt;
use std::panic::Location;

/// A program, from [`Asm::finish`](crate::Asm::finish) or [`Program::disassemble`].
///
/// Its text is the listing: one line per instruction as in the verifier's log, with slot number, then the notes. With
/// `{:#}` the source lines follow. A name before a colon marks the start of a subprogram, or a named label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub(crate) name: Box<str>,
    pub(crate) insns: Vec<Insn>,
    /// Start slot of each instruction, and the end.
    pub(crate) starts: Vec<usize>,
    pub(crate) subprograms: Vec<Subprogram>,
    /// Named labels: slot and name.
    pub(crate) labels: Vec<(usize, Box<str>)>,
}

/// A function of the program; the first one is where the kernel enters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subprogram {
    /// Its name: that of the program, or of the label.
    pub name: Box<str>,
    /// Its first slot.
    pub start: usize,
    /// The slot after its last.
    pub end: usize,
    /// Bytes of its own frame.
    pub stack_size: u32,
}

impl Program {
    /// Reads a program back from its slots. Subprograms are found by the calls to them and named `subprog_1` and on.
    ///
    /// Nothing is checked but that each instruction is one; [`Program::check`](Program::check) does the rest.
    pub fn disassemble(name: &str, slots: &[u64]) -> Result<Program, DecodeError> {
        let insns = decode(slots)?;
        let starts = starts(&insns);
        let mut entries: Vec<usize> = insns
            .iter()
            .zip(&starts)
            .filter_map(|(insn, &at)| {
                let (Op::CallLocal { offset } | Op::LoadImm64 { value: Imm64::Func { offset }, .. }) = insn.op else {
                    return None;
                };
                usize::try_from(at as i64 + 1 + i64::from(offset)).ok()
            })
            .filter(|slot| *slot != 0 && starts.binary_search(slot).is_ok_and(|index| index < insns.len()))
            .collect();
        entries.push(0);
        entries.sort_unstable();
        entries.dedup();
        let ends = entries.iter().skip(1).copied().chain([slots.len()]);
        let subprograms = entries
            .iter()
            .zip(ends)
            .enumerate()
            .map(|(n, (&start, end))| Subprogram {
                name: if n == 0 { name.into() } else { format!("subprog_{n}").into() },
                start,
                end,
                stack_size: 0,
            })
            .collect();
        Ok(Program { name: name.into(), insns, starts, subprograms, labels: Vec::new() })
    }

    /// The name that it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The instructions in order.
    pub fn insns(&self) -> &[Insn] {
        &self.insns
    }

    /// How many slots it fills: what the kernel calls its instruction count.
    pub fn slots(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The functions, the entry first; together they cover all slots.
    pub fn subprograms(&self) -> &[Subprogram] {
        &self.subprograms
    }

    /// Bytes of stack that the entry function's own frame has.
    pub fn stack_size(&self) -> u32 {
        self.subprograms.first().map_or(0, |main| main.stack_size)
    }

    /// The maps that it refers to, in ascending order, each once.
    pub fn maps(&self) -> Vec<MapRef> {
        let mut maps: Vec<MapRef> = self
            .insns
            .iter()
            .filter_map(|insn| match insn.op {
                Op::LoadImm64 { value: Imm64::Map(map) | Imm64::MapValue(map, _), .. } => Some(map),
                _ => None,
            })
            .collect();
        maps.sort_unstable();
        maps.dedup();
        maps
    }

    /// The instruction that this slot belongs to, as the verifier's log counts slots.
    pub fn insn_at(&self, slot: usize) -> Option<&Insn> {
        let index = self.starts.partition_point(|&start| start <= slot);
        self.insns.get(index.checked_sub(1)?)
    }

    /// The line that emitted the instruction at this slot.
    pub fn source_of(&self, slot: usize) -> Option<&'static Location<'static>> {
        self.insn_at(slot)?.source()
    }

    /// The slots as the kernel takes them, on a little-endian machine; `descriptor` gives the file descriptor of a map.
    pub fn encode(&self, descriptor: impl Fn(MapRef) -> i32) -> Result<Vec<u64>, EncodeError> {
        self.encode_with(|map| u32::try_from(descriptor(map)).map(MapRef).map_err(|_| EncodeError::NoDescriptor(map)))
    }

    /// The slots with the numbers of the [`MapRef`]s in place of descriptors.
    pub fn encode_unresolved(&self) -> Vec<u64> {
        match self.encode_with(Ok::<_, std::convert::Infallible>) {
            Ok(slots) => slots,
            Err(never) => match never {},
        }
    }

    fn encode_with<E>(&self, resolve: impl Fn(MapRef) -> Result<MapRef, E>) -> Result<Vec<u64>, E> {
        let mut slots = Vec::with_capacity(self.slots());
        for insn in &self.insns {
            let mut op = insn.op;
            if let Op::LoadImm64 { value: Imm64::Map(map) | Imm64::MapValue(map, _), .. } = &mut op {
                *map = resolve(*map)?;
            }
            let (first, second) = encode(&op);
            slots.push(first);
            slots.extend(second);
        }
        Ok(slots)
    }
}

/// The slot of each instruction, and the end.
pub(crate) fn starts(insns: &[Insn]) -> Vec<usize> {
    let mut at = 0;
    let mut starts = Vec::with_capacity(insns.len() + 1);
    starts.push(0);
    starts.extend(insns.iter().map(|insn| {
        at += insn.op.slots();
        at
    }));
    starts
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut subprograms = self.subprograms.iter().peekable();
        let mut labels = self.labels.iter().peekable();
        for (insn, &slot) in self.insns.iter().zip(&self.starts) {
            if let Some(subprogram) = subprograms.next_if(|subprogram| subprogram.start == slot) {
                write!(f, "{}:", subprogram.name)?;
                match subprogram.stack_size {
                    0 => writeln!(f)?,
                    bytes => writeln!(f, " {bytes} bytes of stack")?,
                }
            }
            while let Some((_, name)) = labels.next_if(|(at, _)| *at == slot) {
                writeln!(f, "{name}:")?;
            }
            write_line(f, &format!("{slot}: {}", insn.op), insn)?;
            writeln!(f)?;
        }
        Ok(())
    }
}
