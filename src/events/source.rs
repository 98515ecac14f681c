//! The two kinds of buffer that the kernel fills.

use super::spare::Spare;
use crate::load::Loaded;
use crate::plan::{Plan, Transport};
use crate::program::spare::{self, SPARE};
use crate::program::{EVENTS, MapSpec, SHARED};
use crate::sys::mmap::{PerfReader, RingReader};
use crate::sys::stop::Stop;
use crate::sys::{bpf, perf_event};
use std::io;
use std::iter;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A buffer, or one for each CPU.
pub enum Source {
    /// A ring buffer, and the map through which programs learn that the reader waits.
    Ring {
        /// The buffer.
        ring: RingReader,
        /// The map.
        shared: OwnedFd,
        /// The buffer for the last records of packets, if there is one.
        spare: Option<Box<Spare>>,
    },
    /// Perf buffers.
    Perf(Vec<PerfReader>),
}

impl Source {
    /// Opens the buffers of `plan`.
    pub fn open(loaded: &Loaded, plan: &Plan) -> io::Result<Source> {
        match plan.transport {
            Transport::Ring { bytes } => {
                let open = |spec: MapSpec| {
                    let ring = RingReader::new(loaded.map(SPARE), spec.entries)?;
                    io::Result::Ok(Box::new(Spare::new(ring, plan.sent() as usize)))
                };
                Ok(Source::Ring {
                    ring: RingReader::new(loaded.map(EVENTS), bytes)?,
                    shared: loaded.map(SHARED).try_clone_to_owned()?,
                    spare: spare::map(plan).map(open).transpose()?,
                })
            }
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
    pub fn drain(&mut self, limit: usize, each: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        match self {
            Source::Ring { ring, spare, .. } => {
                let mut count = 0;
                loop {
                    let more = match spare {
                        Some(spare) => spare.drain(ring, limit - count, each)?,
                        None => ring.drain(limit - count, ring.positions().0, each)?,
                    };
                    count += more;
                    if more == 0 || count >= limit {
                        return Ok(count);
                    }
                }
            }
            Source::Perf(readers) => Ok(readers.iter_mut().map(|reader| reader.drain(limit, each)).sum()),
        }
    }

    /// Bytes that are ready, what surrounds records included.
    pub fn backlog(&self) -> u64 {
        match self {
            Source::Ring { ring, spare, .. } => ring.backlog() + spare.as_ref().map_or(0, |spare| spare.backlog()),
            Source::Perf(readers) => readers.iter().map(PerfReader::backlog).sum(),
        }
    }

    /// Records that came by the buffer for the last ones of packets.
    pub fn spared(&self) -> u64 {
        match self {
            Source::Ring { spare: Some(spare), .. } => spare.count(),
            _ => 0,
        }
    }

    /// Waits until there is something to read, or `stop`.
    pub fn sleep(&mut self, stop: &Stop) -> io::Result<()> {
        match self {
            Source::Ring { ring, shared, spare } => {
                // The order matters: say that we wait, look once more, then wait.
                bpf::map_update(shared.as_fd(), 0, &1u64.to_ne_bytes())?;
                let spare = spare.as_ref();
                if ring.backlog() == 0 && spare.is_none_or(|spare| spare.backlog() == 0) {
                    stop.wait(iter::once(ring.as_fd()).chain(spare.map(|spare| spare.ring().as_fd())), None);
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
