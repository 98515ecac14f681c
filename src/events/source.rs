//! The two kinds of buffer that the kernel fills.

use crate::load::Loaded;
use crate::plan::Transport;
use crate::program::{EVENTS, SHARED};
use crate::sys::mmap::{PerfReader, RingReader};
use crate::sys::stop::Stop;
use crate::sys::{bpf, perf_event};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A buffer, or one for each CPU.
pub enum Source {
    /// A ring buffer, and the map through which programs learn that the reader waits.
    Ring {
        /// The buffer.
        ring: RingReader,
        /// The map.
        shared: OwnedFd,
    },
    /// Perf buffers.
    Perf(Vec<PerfReader>),
}

impl Source {
    /// Opens the buffers of `transport`.
    pub fn open(loaded: &Loaded, transport: Transport) -> io::Result<Source> {
        match transport {
            Transport::Ring { bytes } => Ok(Source::Ring {
                ring: RingReader::new(loaded.map(EVENTS), bytes)?,
                shared: loaded.map(SHARED).try_clone_to_owned()?,
            }),
            Transport::Perf { bytes, cpus } => {
                let mut readers = Vec::new();
                for cpu in 0..cpus {
                    let event = match perf_event::open_bpf_output(cpu, 1) {
                        Ok(event) => event,
                        // A CPU that is not there, or off.
                        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => continue,
                        Err(error) => return Err(error),
                    };
                    let reader = PerfReader::new(event, bytes)?;
                    perf_event::enable(reader.as_fd())?;
                    let fd = reader.as_fd().as_raw_fd() as u32;
                    bpf::map_update(loaded.map(EVENTS), cpu, &fd.to_ne_bytes())?;
                    readers.push(reader);
                }
                Ok(Source::Perf(readers))
            }
        }
    }

    /// Calls `each` with records, about `limit`, and says how many there were.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> io::Result<usize> {
        match self {
            Source::Ring { ring, .. } => ring.drain(limit, each),
            Source::Perf(readers) => Ok(readers.iter_mut().map(|reader| reader.drain(limit, &mut each)).sum()),
        }
    }

    /// Bytes that are ready, what surrounds records included.
    pub fn backlog(&self) -> u64 {
        match self {
            Source::Ring { ring, .. } => ring.backlog(),
            Source::Perf(readers) => readers.iter().map(PerfReader::backlog).sum(),
        }
    }

    /// Waits until there is something to read, or `stop`.
    pub fn sleep(&mut self, stop: &Stop) -> io::Result<()> {
        match self {
            Source::Ring { ring, shared } => {
                // The order matters: say that we wait, look once more, then wait.
                bpf::map_update(shared.as_fd(), 0, &1u64.to_ne_bytes())?;
                if ring.backlog() == 0 {
                    stop.wait([ring.as_fd()], None);
                }
                bpf::map_update(shared.as_fd(), 0, &0u64.to_ne_bytes())
            }
            Source::Perf(readers) => {
                stop.wait(readers.iter().map(|reader| reader.as_fd()), None);
                Ok(())
            }
        }
    }
}
