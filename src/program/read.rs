//! Reading kernel memory: the same call site for every way in which this kernel lets us.

use crate::btf::TypeId;
use crate::plan::Memory;
use crate::plan::kernel::{Bytes, Spot};
use asm::{Asm, Helper, Mem, R0, R1, R2, R3, Reg64, Size, Slot, u64};

/// Largest number of bytes that are copied together although nobody wants them: one helper call costs more.
const GAP: u32 = 96;

/// Members of one kernel structure that can be read now.
pub enum View {
    /// Loads go through a register that the verifier accepts as a pointer.
    Pointer(Reg64),
    /// The same, as a pointer to bytes: a load may begin in one member and end in another.
    Bytes(Reg64),
    /// The members were copied to the stack: ranges of the structure and where they lie.
    Copied(Vec<Chunk>),
}

/// Bytes `start..end` of a structure, copied to `slot`.
pub struct Chunk {
    start: u32,
    end: u32,
    slot: Slot,
}

impl View {
    /// Makes the members `wanted` of the structure `id` at the address in `object` readable.
    ///
    /// In: `object` (not R0 to R3 unless R1), which may be invalid: everything then reads as zero. Out: with
    /// casts, `keep` is the pointer. Clobbers: R0-R5.
    pub fn open(a: &mut Asm, memory: Memory, object: Reg64, id: TypeId, keep: Reg64, wanted: &[Spot]) -> View {
        match memory {
            Memory::Direct | Memory::Typed => {
                if keep != object {
                    a.mov(keep, object);
                }
                View::Pointer(keep)
            }
            Memory::Cast { kfunc, .. } => {
                cast(a, kfunc, object, id);
                if keep != R0 {
                    a.mov(keep, R0);
                }
                View::Pointer(keep)
            }
            Memory::Read => {
                let mut chunks = chunks(wanted);
                let single = chunks.len() == 1;
                if !single && keep != object {
                    a.mov(keep, object);
                }
                let mut copied = Vec::new();
                for (start, end) in chunks.drain(..) {
                    let slot = a.stack(end - start);
                    a.mov(R3, if single { object } else { keep });
                    if start != 0 {
                        a.add(R3, start as i32);
                    }
                    a.mov(R2, (end - start) as i32);
                    a.lea(R1, slot);
                    a.call(Helper::ProbeReadKernel);
                    copied.push(Chunk { start, end, slot });
                }
                View::Copied(copied)
            }
        }
    }

    /// The operand that loads `spot`, which must be among the members that the view was opened for.
    pub fn at(&self, spot: Spot) -> Mem {
        self.part(spot, 0, spot.size)
    }

    /// As [`View::at`], for `size` bytes from byte `from` of `spot` on.
    pub fn part(&self, spot: Spot, from: u32, size: u32) -> Mem {
        self.find(spot, from, size).expect("a view is asked only for what it was opened for")
    }

    /// As [`View::at`]; `None` if the view was not opened for `spot`.
    pub fn get(&self, spot: Spot) -> Option<Mem> {
        self.find(spot, 0, spot.size)
    }

    /// The operand that loads `size` bytes from `offset` on, whatever lies there; `None` if that cannot be done.
    pub fn across(&self, offset: u32, size: u32) -> Option<Mem> {
        match self {
            View::Bytes(base) => Some(Mem::new(Size::from_bytes(size as usize)?, *base + offset as i32)),
            View::Pointer(_) | View::Copied(_) => None,
        }
    }

    fn find(&self, spot: Spot, from: u32, size: u32) -> Option<Mem> {
        let size = Size::from_bytes(size as usize).expect("members are loaded in 1, 2, 4 or 8 bytes");
        let offset = spot.offset + from;
        match self {
            View::Pointer(base) | View::Bytes(base) => Some(Mem::new(size, *base + offset as i32)),
            View::Copied(chunks) => {
                let chunk = chunks.iter().find(|chunk| chunk.start <= offset && spot.end() <= chunk.end)?;
                Some(Mem::new(size, chunk.slot + (offset - chunk.start) as i32))
            }
        }
    }
}

/// Loads one member of the structure `id` at the address in R1 into `to`; 0 if the address is invalid.
///
/// In: R1. Clobbers: R0-R5.
pub fn member(a: &mut Asm, memory: Memory, to: Reg64, id: TypeId, spot: Spot) {
    let mark = a.stack_mark();
    let view = View::open(a, memory, R1, id, R0, &[spot]);
    a.load(to, view.at(spot));
    a.stack_release(mark);
}

/// Copies `size` bytes from the address in R3 to `to` of the object at `base`; `to` is a multiple of 8.
///
/// In: R3, `base` (R6 to R9). An invalid address gives zeros. Clobbers: R0-R5.
pub fn copy(a: &mut Asm, memory: Memory, bytes: Option<Bytes>, base: Reg64, to: u32, size: u32) {
    match (memory, bytes) {
        (Memory::Cast { kfunc, helper: false }, Some(bytes)) => {
            let mark = a.stack_mark();
            let step = bytes.array.size & !7;
            let from = a.stack_named(8, "from");
            if size > step {
                a.store(u64(from), R3);
            }
            for start in (0..size).step_by(step.max(8) as usize) {
                if start > 0 {
                    a.load(R3, u64(from));
                }
                a.mov(R1, R3);
                a.add(R1, (start as i32).wrapping_sub(bytes.array.offset as i32));
                cast(a, kfunc, R1, bytes.id);
                let mut at = start;
                while at < size.min(start + step) {
                    let part = [8, 4, 2, 1].into_iter().find(|part| *part <= size - at).unwrap_or(1);
                    let part_size = Size::from_bytes(part as usize).expect("it is a power of two");
                    a.load(R1, Mem::new(part_size, R0 + (bytes.array.offset + at - start) as i32));
                    a.store(Mem::new(part_size, base + (to + at) as i32), R1);
                    at += part;
                }
            }
            a.stack_release(mark);
        }
        (Memory::Direct, _) => {
            let mut at = 0;
            while at < size {
                let part = [8, 4, 2, 1].into_iter().find(|part| *part <= size - at).unwrap_or(1);
                let part_size = Size::from_bytes(part as usize).expect("it is a power of two");
                a.load(R1, Mem::new(part_size, R3 + at as i32));
                a.store(Mem::new(part_size, base + (to + at) as i32), R1);
                at += part;
            }
        }
        _ => {
            a.mov(R1, base);
            a.add(R1, to as i32);
            a.mov(R2, size as i32);
            a.call(Helper::ProbeReadKernel);
        }
    }
}

/// Copies a string, up to its NUL, and at most `size` bytes of it, from the address in R3 to `to` of the object at `base`.
///
/// In, clobbers: as [`copy`].
pub fn text(a: &mut Asm, memory: Memory, bytes: Option<Bytes>, base: Reg64, to: u32, size: u32) {
    if let (Memory::Cast { helper: false, .. }, Some(_)) = (memory, bytes) {
        return copy(a, memory, bytes, base, to, size);
    }
    a.mov(R1, base);
    a.add(R1, to as i32);
    a.mov(R2, size as i32);
    a.call(Helper::ProbeReadKernelStr);
}

/// Copies `size` bytes, at most 8, from the address in R3 to `to`. Clobbers: R0-R5.
pub fn fetch(a: &mut Asm, to: Slot, size: u32) {
    a.mov(R2, size as i32);
    a.lea(R1, to);
    a.call(Helper::ProbeReadKernel);
}

/// R0 = the address in `object` as a pointer to the structure `id`. Clobbers: R1-R5.
pub fn cast(a: &mut Asm, kfunc: u32, object: Reg64, id: TypeId) {
    if object != R1 {
        a.mov(R1, object);
    }
    a.mov(R2, id.0 as i32);
    a.call_kfunc(kfunc, 0);
}

/// The ranges to copy so that every member of `wanted` is inside one: few, and without long gaps. Starts are
/// multiples of 8, so members keep their alignment on the stack.
fn chunks(wanted: &[Spot]) -> Vec<(u32, u32)> {
    let mut spots = wanted.to_vec();
    spots.sort_unstable_by_key(|spot| spot.offset);
    let mut out: Vec<(u32, u32)> = Vec::new();
    for spot in spots {
        match out.last_mut() {
            Some((_, end)) if spot.offset <= *end + GAP => *end = (*end).max(spot.end()),
            _ => out.push((spot.offset & !7, spot.end())),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_members_are_copied_together() {
        let spot = |offset, size| Spot { offset, size };
        assert_eq!(chunks(&[spot(180, 2), spot(112, 4), spot(182, 2), spot(192, 8)]), [(112, 200)]);
        assert_eq!(chunks(&[spot(20, 4), spot(1000, 8)]), [(16, 24), (1000, 1008)]);
    }
}
