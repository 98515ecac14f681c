//! The ring buffer for the last records of packets, read together with the large one.

use crate::sys::mmap::RingReader;
use std::io;

/// So much is taken out of it ahead of its turn, in bytes: while the large buffer is full of older records there is to be
/// room for more ends.
const AHEAD: usize = 4 << 20;

/// The small ring buffer, and what was taken out of it.
pub struct Spare {
    ring: RingReader,
    /// Records that wait for their turn, each of `step` bytes with its position at the end.
    held: Vec<u8>,
    /// Where the first of them starts.
    next: usize,
    step: usize,
    /// How many records had their turn.
    count: u64,
}

impl Spare {
    /// Reads `ring`, whose records are of `size` bytes and a position.
    pub fn new(ring: RingReader, size: usize) -> Spare {
        Spare { ring, held: Vec::new(), next: 0, step: size + 8, count: 0 }
    }

    /// Bytes that are ready.
    pub fn backlog(&self) -> u64 {
        self.ring.backlog() + (self.held.len() - self.next) as u64
    }

    /// How many records came this way.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The ring buffer.
    pub fn ring(&self) -> &RingReader {
        &self.ring
    }

    /// Calls `each` with the records of `main` and of this, at most `limit`, each of this where it belongs. Says how many
    /// there were.
    pub fn drain(&mut self, main: &mut RingReader, limit: usize, each: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        // The order matters: whatever a CPU writes here before a record of `main` that is read now is seen now.
        let (end, _) = main.positions();
        self.take()?;
        let mut count = 0;
        while let Some((record, at)) = self.first() {
            if at > end {
                break;
            }
            count += main.drain(limit - count, at, each)?;
            if main.positions().1 < at || count == limit {
                return Ok(count);
            }
            each(record);
            count += 1;
            self.count += 1;
            self.next += self.step;
        }
        Ok(count + main.drain(limit - count, end, each)?)
    }

    /// Takes what is ready out of the ring buffer.
    fn take(&mut self) -> io::Result<()> {
        if self.next >= self.held.len() / 2 {
            self.held.drain(..self.next);
            self.next = 0;
        }
        let (end, _) = self.ring.positions();
        let Spare { ring, held, step, .. } = self;
        while held.len() < AHEAD && ring.positions().1 < end {
            let mut keep = |record: &[u8]| {
                if record.len() == *step {
                    held.extend_from_slice(record);
                }
            };
            if ring.drain(64, end, &mut keep)? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// The record whose turn is next, and its place among the others.
    fn first(&self) -> Option<(&[u8], u64)> {
        let (record, at) = self.held.get(self.next..self.next + self.step)?.split_last_chunk()?;
        Some((record, u64::from_ne_bytes(*at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records of 8 bytes, each 16 with what surrounds it.
    fn main_ring(names: &[&[u8; 8]]) -> RingReader {
        RingReader::of_records(&names.iter().map(|name| name.to_vec()).collect::<Vec<_>>())
    }

    fn spare(records: &[(&[u8; 8], u64)]) -> Spare {
        let records: Vec<_> = records.iter().map(|(name, at)| [&name[..], &at.to_ne_bytes()].concat()).collect();
        Spare::new(RingReader::of_records(&records), 8)
    }

    fn read(spare: &mut Spare, main: &mut RingReader, limit: usize) -> Vec<String> {
        let mut names = Vec::new();
        let mut keep = |record: &[u8]| names.push(String::from_utf8_lossy(record).trim_end().to_owned());
        let count = spare.drain(main, limit, &mut keep).expect("records");
        assert_eq!(count, names.len());
        names
    }

    #[test]
    fn records_stand_where_the_large_buffer_was_full() {
        let mut main = main_ring(&[b"a       ", b"b       ", b"c       ", b"d       "]);
        let mut spare = spare(&[(b"first   ", 0), (b"third   ", 32), (b"fourth  ", 32), (b"last    ", 64)]);
        assert_eq!(read(&mut spare, &mut main, 100), ["first", "a", "b", "third", "fourth", "c", "d", "last"]);
        assert_eq!((spare.count(), spare.backlog(), main.backlog()), (4, 0, 0));
        assert!(read(&mut spare, &mut main, 100).is_empty());
    }

    #[test]
    fn few_at_a_time_come_in_the_same_order() {
        for limit in 1..6 {
            let mut main = main_ring(&[b"a       ", b"b       ", b"c       "]);
            let mut spare = spare(&[(b"x       ", 16), (b"y       ", 48)]);
            let mut names = Vec::new();
            while main.backlog() + spare.backlog() > 0 {
                names.extend(read(&mut spare, &mut main, limit));
            }
            assert_eq!(names, ["a", "x", "b", "c", "y"], "{limit} at a time");
        }
    }

    #[test]
    fn what_belongs_behind_what_is_not_there_yet_waits() {
        let mut main = main_ring(&[b"a       "]);
        let mut spare = spare(&[(b"later   ", 32)]);
        assert_eq!(read(&mut spare, &mut main, 100), ["a"]);
        assert!(read(&mut spare, &mut main, 100).is_empty());
        assert_eq!((spare.backlog(), spare.count()), (16, 0));
    }
}
