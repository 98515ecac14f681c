//! The BPF ring buffer and files as memory.
//!
//! The kernel writes the ring buffer while we read it: it is reached through raw pointers and atomics only, and
//! bytes are handed out as a slice just for the records that the kernel has committed and will not touch until
//! they are released.

use memmap2::{Mmap, MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
const HEADER: u64 = 8;
/// How many records are consumed before the kernel is told.
const RELEASE_EVERY: u32 = 256;
/// How much of the data is mapped at a time. Mapping all of it would count twice its size as our resident memory,
/// because the kernel maps every page at once (`remap_vmalloc_range`).
const WINDOW: u64 = 256 << 10;

/// The reading side of a `BPF_MAP_TYPE_RINGBUF` (kernel/bpf/ringbuf.c). Since Linux 5.8.
#[derive(Debug)]
pub struct RingReader {
    map: OwnedFd,
    consumer: MmapRaw,
    producer: MmapRaw,
    /// Part of the data pages, and the offset in the data at which it starts.
    window: MmapRaw,
    window_at: u64,
    page: u64,
    size: u64,
    /// Our position; the kernel's copy may lag behind it.
    position: u64,
    unreleased: u32,
}

impl RingReader {
    /// Maps the ring buffer `map` of `size` bytes (the `max_entries` of its creation).
    pub fn new(map: BorrowedFd<'_>, size: u32) -> io::Result<RingReader> {
        let page = page_size() as u64;
        let map = map.try_clone_to_owned()?;
        let consumer = MmapOptions::new().len(page as usize).map_raw(map.as_raw_fd())?;
        let producer = MmapOptions::new().offset(page).len(page as usize).map_raw_read_only(map.as_raw_fd())?;
        let size = u64::from(size);
        let window = map_window(&map, page, size, 0)?;
        let mut reader =
            RingReader { map, consumer, producer, window, window_at: 0, page, size, position: 0, unreleased: 0 };
        reader.position = reader.consumer_word().load(Ordering::Relaxed);
        Ok(reader)
    }

    fn consumer_word(&self) -> &AtomicU64 {
        // SAFETY: the consumer page starts with the consumer position, 8-byte aligned, and lives as long as `self`.
        unsafe { AtomicU64::from_ptr(self.consumer.as_mut_ptr().cast()) }
    }

    fn producer_position(&self) -> u64 {
        // SAFETY: the producer page starts with the producer position; it is only loaded, never stored to, and the
        // mapping lives as long as `self`.
        unsafe { AtomicU64::from_ptr(self.producer.as_ptr().cast_mut().cast()) }.load(Ordering::Acquire)
    }

    /// Makes `length` bytes of data from our position on addressable and returns where they start.
    fn reach(&mut self, length: u64) -> io::Result<*const u8> {
        let at = self.position & (self.size - 1);
        let mapped = self.window_at..self.window_at + self.window.len() as u64;
        if !(mapped.contains(&at) && at + length <= mapped.end) {
            self.window_at = at & !(self.page - 1);
            self.window = map_window(&self.map, self.page, self.size, self.window_at)?;
            if at + length > self.window_at + self.window.len() as u64 {
                return Err(io::Error::other(format!("a record of {length} bytes in the ring buffer")));
            }
        }
        // SAFETY: `at` lies inside the window, as was just established.
        Ok(unsafe { self.window.as_ptr().add((at - self.window_at) as usize) })
    }

    /// How many bytes the kernel has ever written, and how many of them are consumed.
    pub fn positions(&self) -> (u64, u64) {
        (self.producer_position(), self.position)
    }

    /// Calls `each` with every record in front of the position `end` that is ready, at most `limit`, and says how many
    /// there were.
    pub fn drain(&mut self, limit: usize, end: u64, each: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        let mut count = 0;
        while count < limit && self.position < end {
            let at = self.reach(HEADER)?;
            // SAFETY: `at` is 8-byte aligned and mapped; the header is an u32 that the kernel stores atomically
            // (smp_store_release in bpf_ringbuf_commit).
            let header = unsafe { AtomicU32::from_ptr(at.cast_mut().cast()) }.load(Ordering::Acquire);
            if header & BUSY != 0 {
                break;
            }
            let length = u64::from(header & !DISCARD);
            let step = (HEADER + length).next_multiple_of(8);
            if header & DISCARD == 0 {
                let record = self.reach(step)?;
                // SAFETY: the record is committed: the kernel will not write these bytes before the consumer
                // position passes them, which happens after `each` returned; `reach` mapped all of them.
                each(unsafe { std::slice::from_raw_parts(record.add(HEADER as usize), length as usize) });
                count += 1;
            }
            self.position += step;
            self.unreleased += 1;
            if self.unreleased >= RELEASE_EVERY {
                self.release();
            }
        }
        self.release();
        Ok(count)
    }

    /// Bytes that the kernel has produced and we have not consumed.
    pub fn backlog(&self) -> u64 {
        self.producer_position().wrapping_sub(self.position)
    }

    fn release(&mut self) {
        if self.unreleased > 0 {
            self.consumer_word().store(self.position, Ordering::Release);
            self.unreleased = 0;
        }
    }
}

impl AsFd for RingReader {
    /// The map, readable for poll when the kernel was asked to wake us.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

#[cfg(test)]
impl RingReader {
    /// Reads `records` from a file that looks like a ring buffer of one page.
    pub fn of_records(records: &[Vec<u8>]) -> RingReader {
        use std::os::unix::fs::FileExt;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (page, number) = (page_size(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("whither-ring-{}-{number}", std::process::id()));
        let options = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
        let file = options.expect("a file");
        std::fs::remove_file(&path).expect("it is ours");
        let data: Vec<u8> = records
            .iter()
            .flat_map(|record| {
                assert!(record.len().is_multiple_of(8));
                [&(record.len() as u64).to_le_bytes(), &record[..]].concat()
            })
            .collect();
        assert!(data.len() <= page);
        file.set_len(4 * page as u64).expect("room");
        file.write_all_at(&(data.len() as u64).to_ne_bytes(), page as u64).expect("room");
        file.write_all_at(&data, 2 * page as u64).expect("room");
        RingReader::new(OwnedFd::from(file).as_fd(), page as u32).expect("it can be mapped")
    }
}

/// Maps the data from `at` on. The kernel keeps the data pages twice in a row, so that a record at the end of the
/// ring never wraps, and a window may reach beyond `size`.
fn map_window(map: &OwnedFd, page: u64, size: u64, at: u64) -> io::Result<MmapRaw> {
    MmapOptions::new().offset(2 * page + at).len(WINDOW.min(size) as usize).map_raw_read_only(map.as_raw_fd())
}

/// The reading side of one CPU's perf buffer (`struct perf_event_mmap_page` in include/uapi/linux/perf_event.h).
#[derive(Debug)]
pub struct PerfReader {
    event: OwnedFd,
    pages: MmapRaw,
    page: u64,
    size: u64,
    /// A record that wraps is put together here.
    joined: Vec<u8>,
}

/// Offsets of `data_head` and `data_tail`.
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;
const PERF_RECORD_SAMPLE: u32 = 9;
/// `struct perf_event_header` and, of a raw sample, the length of its data.
const PERF_HEADER: usize = 8;

impl PerfReader {
    /// Maps the buffer of `event`: `size` bytes, a power of two of pages.
    pub fn new(event: OwnedFd, size: u32) -> io::Result<PerfReader> {
        let page = page_size() as u64;
        let size = u64::from(size);
        let pages = MmapOptions::new().len((page + size) as usize).map_raw(event.as_raw_fd())?;
        Ok(PerfReader { event, pages, page, size, joined: Vec::new() })
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: both words are 8-byte aligned in the first page, which lives as long as `self`.
        unsafe { AtomicU64::from_ptr(self.pages.as_mut_ptr().add(offset).cast()) }
    }

    /// Bytes that the kernel has produced and we have not consumed.
    pub fn backlog(&self) -> u64 {
        self.word(DATA_HEAD).load(Ordering::Acquire).wrapping_sub(self.word(DATA_TAIL).load(Ordering::Relaxed))
    }

    /// Copies `length` bytes at `position` to `joined`.
    fn copy(&mut self, position: u64, length: usize) {
        let at = (position & (self.size - 1)) as usize;
        let first = length.min(self.size as usize - at);
        self.joined.clear();
        for (from, count) in [(at, first), (0, length - first)] {
            // SAFETY: the range lies inside the data pages; the kernel does not write to bytes between tail and head.
            let part = unsafe { std::slice::from_raw_parts(self.pages.as_ptr().add(self.page as usize + from), count) };
            self.joined.extend_from_slice(part);
        }
    }

    /// Calls `each` with the data of every sample that is ready, at most `limit`, and says how many there were.
    pub fn drain(&mut self, limit: usize, each: &mut dyn FnMut(&[u8])) -> usize {
        let head = self.word(DATA_HEAD).load(Ordering::Acquire);
        let mut tail = self.word(DATA_TAIL).load(Ordering::Relaxed);
        let mut count = 0;
        while tail != head && count < limit {
            self.copy(tail, PERF_HEADER);
            let kind = u32::from_ne_bytes(self.joined[..4].try_into().unwrap_or_default());
            let length = usize::from(u16::from_ne_bytes(self.joined[6..8].try_into().unwrap_or_default()));
            if length < PERF_HEADER {
                // Not a record: nothing behind it can be understood either.
                tail = head;
                break;
            }
            if kind == PERF_RECORD_SAMPLE && length >= PERF_HEADER + 4 {
                self.copy(tail, length);
                each(&self.joined[PERF_HEADER + 4..]);
                count += 1;
            }
            tail += length as u64;
        }
        self.word(DATA_TAIL).store(tail, Ordering::Release);
        count
    }
}

impl AsFd for PerfReader {
    /// The event, readable for poll when there is something to read.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// A file of sysfs as memory, which takes none of ours; `None` if this is no such file, or one that cannot be mapped. The
/// kernel's types can since Linux 6.16 (kernel/bpf/sysfs_btf.c), and then they do not change.
pub fn sysfs_file(path: &Path) -> Option<Mmap> {
    const SYSFS: libc::c_long = 0x6265_6572;
    let file = File::open(path).ok()?;
    // SAFETY: all bytes zero is a valid `struct statfs`.
    let mut about: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and `about` is writable and as large as the call expects.
    if unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut about) } != 0 || about.f_type as libc::c_long != SYSFS {
        return None;
    }
    // SAFETY: nobody can write to or cut a file of sysfs that the kernel lets map.
    unsafe { MmapOptions::new().map_copy_read_only(&file) }.ok()
}

/// Size of a memory page in bytes.
pub fn page_size() -> usize {
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
