//! Reading long kernel lists line by line, and sets of names to look for in them.

use std::io::{self, Read};

/// The lines of a file, from one buffer that is reused: the lists are megabytes, and nearly all of it is passed over.
pub struct LineReader<R> {
    file: R,
    buffer: Vec<u8>,
    /// The part of the buffer that has been read and not yet been returned.
    begin: usize,
    end: usize,
    /// The part that was searched for a line end.
    searched: usize,
    done: bool,
}

/// Proc files give one page at a time, whatever is asked for; tracefs and regular files fill this.
const BUFFER: usize = 64 << 10;

impl<R: Read> LineReader<R> {
    /// Begins at the file's position.
    pub fn new(file: R) -> LineReader<R> {
        LineReader { file, buffer: vec![0; BUFFER], begin: 0, end: 0, searched: 0, done: false }
    }

    /// The next line, without its line end. Lines of more than 64 KiB are returned in pieces.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            let unread = &self.buffer[self.searched..self.end];
            if let Some(n) = find_byte(b'\n', unread) {
                let line = self.begin..self.searched + n;
                self.begin = line.end + 1;
                self.searched = self.begin;
                return Ok(Some(&self.buffer[line]));
            }
            self.searched = self.end;
            if self.done || (self.begin == 0 && self.end == self.buffer.len()) {
                let rest = self.begin..self.end;
                self.begin = 0;
                self.end = 0;
                self.searched = 0;
                return Ok((!rest.is_empty()).then(|| &self.buffer[rest]));
            }
            if self.buffer.len() - self.end < 4096 {
                self.buffer.copy_within(self.begin..self.end, 0);
                self.end -= self.begin;
                self.searched -= self.begin;
                self.begin = 0;
            }
            match self.file.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.done = true,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// The position of the first `byte`, eight bytes at a time.
pub(super) fn find_byte(byte: u8, bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let pattern = LOW * u64::from(byte);
    let (words, _) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let different = u64::from_le_bytes(*word) ^ pattern;
        let zero = different.wrapping_sub(LOW) & !different & LOW << 7;
        if zero != 0 {
            return Some(n * 8 + zero.trailing_zeros() as usize / 8);
        }
    }
    let begin = words.len() * 8;
    bytes[begin..].iter().position(|&b| b == byte).map(|n| begin + n)
}

/// Names, numbered in the order in which they were given, and found again quickly: a list has many lines, few of them
/// with a name that is wanted.
#[derive(Clone, Debug, Default)]
pub struct NameSet {
    names: Vec<Box<[u8]>>,
    /// Numbers of names, plus one, at their hash or the next free place; 0 is free. The length is a power of two, at
    /// least four times the number of names.
    slots: Vec<u32>,
}

impl NameSet {
    /// Numbers `names` from 0; a name that comes again keeps its first number, but counts.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> NameSet {
        let names: Vec<Box<[u8]>> = names.into_iter().map(|name| name.as_bytes().into()).collect();
        let mut set = NameSet { slots: vec![0; (names.len() * 4).next_power_of_two()], names: Vec::new() };
        for name in names {
            let slot = set.slot(&name);
            set.names.push(name);
            if set.slots[slot] == 0 {
                set.slots[slot] = set.names.len() as u32;
            }
        }
        set
    }

    /// The number of `name`.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<u32> {
        if self.names.is_empty() {
            return None;
        }
        self.slots[self.slot(name)].checked_sub(1)
    }

    /// True if there are no names.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Where `name` is, or the free place where it belongs.
    #[inline]
    fn slot(&self, name: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash(name) as usize & mask;
        loop {
            match self.slots[at].checked_sub(1) {
                Some(n) if &*self.names[n as usize] != name => at = (at + 1) & mask,
                _ => return at,
            }
        }
    }
}

/// Of the length, the first eight and the last eight bytes: that tells functions apart well enough.
#[inline]
fn hash(name: &[u8]) -> u64 {
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let (first, last) = match name.len() {
        8.. => (word(name.first_chunk()), word(name.last_chunk())),
        _ => {
            let mut short = [0; 8];
            short[..name.len()].copy_from_slice(name);
            (u64::from_le_bytes(short), 0)
        }
    };
    let h = (first ^ last.rotate_left(23) ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its text in pieces of changing sizes, as proc files do.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1 % 7 + 1;
            let n = (self.1 * 997).min(self.0.len()).min(buffer.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn lines_are_those_of_the_text() {
        for text in ["", "a", "a\n", "\n\nab\n", &"0123456789abcdefghijk\nx\n".repeat(20_000)] {
            let mut reader = LineReader::new(Pieces(text.as_bytes(), 0));
            let mut lines = Vec::new();
            while let Some(line) = reader.next().unwrap() {
                lines.push(String::from_utf8(line.to_vec()).unwrap());
            }
            assert_eq!(lines, text.lines().collect::<Vec<_>>());
        }
        // Longer than the buffer: in pieces, all of it.
        let long = "z".repeat(BUFFER * 3 + 5);
        let mut reader = LineReader::new(long.as_bytes());
        let mut seen = 0;
        while let Some(piece) = reader.next().unwrap() {
            seen += piece.len();
        }
        assert_eq!(seen, long.len());
    }

    #[test]
    fn bytes_are_found() {
        for len in 0..40 {
            let mut text = vec![b'a'; len];
            assert_eq!(find_byte(b' ', &text), None);
            for at in (0..len).rev() {
                text[at] = b' ';
                assert_eq!(find_byte(b' ', &text), Some(at), "{len}");
            }
        }
        assert_eq!(find_byte(1, &[0, 2, 3, 0x81, 1, 1, 0, 0, 0]), Some(4));
    }

    #[test]
    fn names_keep_their_first_number() {
        let set = NameSet::new(["ip_rcv", "a", "tcp_v4_rcv", "ip_rcv", ""]);
        assert_eq!(set.find(b"ip_rcv"), Some(0));
        assert_eq!(set.find(b"tcp_v4_rcv"), Some(2));
        assert_eq!(set.find(b"a"), Some(1));
        assert_eq!(set.find(b""), Some(4));
        assert_eq!(set.find(b"tcp_v6_rcv"), None);
        assert_eq!(NameSet::new([]).find(b"a"), None);
        // Many names that differ only in the middle have one hash.
        let names: Vec<String> = (100..500).map(|n| format!("sameness_{n}_sameness")).collect();
        let set = NameSet::new(names.iter().map(String::as_str));
        names.iter().zip(0..).for_each(|(name, n)| assert_eq!(set.find(name.as_bytes()), Some(n)));
    }
}
