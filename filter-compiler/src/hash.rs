//! A fast hash for small keys made of numbers, and a table of positions. Not resistant to chosen keys: the tables it
//! serves are bounded.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A map with [`Mixer`].
pub type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mixer>>;

/// Rotates, adds and multiplies.
#[derive(Default)]
pub struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn finish(&self) -> u64 {
        // The low bits of a product depend on few bits; tables index with them.
        self.0 ^ (self.0 >> 32)
    }
}

/// Finds the position of an item in a list that is kept elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    /// Positions plus one, at or after the slot that the hash of the item says; 0 is free. A power of two of slots.
    slots: Vec<u32>,
    used: usize,
}

impl Positions {
    /// With room for `count` items.
    pub fn with_room(count: usize) -> Positions {
        Positions { slots: vec![0; (2 * count).next_power_of_two().max(16)], used: 0 }
    }

    /// The position of `item` in `list`; if it is not there, the position after the last one, where the caller puts it.
    pub fn find_or_add<T: Hash + Eq>(&mut self, list: &[T], item: &T) -> usize {
        if 2 * (self.used + 1) > self.slots.len() {
            *self = Positions::with_room(2 * list.len().max(16));
            for (at, known) in list.iter().enumerate() {
                let slot = self.free_slot(known);
                self.slots[slot] = at as u32 + 1;
            }
            self.used = list.len();
        }
        let mut slot = self.start(item);
        while self.slots[slot] != 0 {
            let at = self.slots[slot] as usize - 1;
            if list[at] == *item {
                return at;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = list.len() as u32 + 1;
        self.used += 1;
        list.len()
    }

    fn free_slot<T: Hash>(&self, item: &T) -> usize {
        let mut slot = self.start(item);
        while self.slots[slot] != 0 {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        slot
    }

    fn start<T: Hash>(&self, item: &T) -> usize {
        let mut mixer = Mixer::default();
        item.hash(&mut mixer);
        mixer.finish() as usize & (self.slots.len() - 1)
    }
}
