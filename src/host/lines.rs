//! Reading long kernel lists line by line, and sets of names to look for in them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
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
fn find_byte(byte: u8, bytes: &[u8]) -> Option<usize> {
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

/// Names, numbered in the order in which they were given, and found again quickly.
#[derive(Clone, Debug, Default)]
pub struct NameSet {
    numbers: HashMap<Box<str>, u32, BuildHasherDefault<NameHasher>>,
}

impl NameSet {
    /// Numbers `names` from 0; a name that comes again keeps its first number, but counts.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> NameSet {
        let mut numbers = HashMap::default();
        for (n, name) in (0..).zip(names) {
            numbers.entry(Box::from(name)).or_insert(n);
        }
        NameSet { numbers }
    }

    /// The number of `name`.
    pub fn find(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// How many different names there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

/// The standard hash resists attackers; names of the kernel's functions need none of that, and there are many.
#[derive(Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        for word in words.iter().chain([&last]) {
            self.0 = (self.0 ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
    }

    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}
