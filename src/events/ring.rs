//! Emptying the ring buffer.

use super::Batch;
use crate::sys::bpf;
use crate::sys::mmap::RingReader;
use crate::sys::stop::Stop;
use crossbeam_channel::Sender;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of records in one batch.
const BATCH: usize = 64 << 10;
/// Pause when the ring is empty but was not for long.
const PAUSE: Duration = Duration::from_micros(200);
/// How long the ring must be empty before the reader asks to be woken.
const PATIENCE: Duration = Duration::from_millis(50);

/// Reads the ring and sends batches on.
pub struct Reader {
    /// The ring.
    pub ring: RingReader,
    /// The map through which programs learn that the reader waits.
    pub shared: OwnedFd,
    /// Size of a record in bytes.
    pub size: usize,
    /// Where batches go.
    pub send: Sender<Batch>,
    /// Set when no more records will come.
    pub ending: Arc<AtomicBool>,
}

impl Reader {
    /// Runs until nothing more will come and the ring is empty. When `stop` is asked for, an empty batch tells the
    /// other side, which then silences the programs.
    pub fn run(mut self, stop: &Stop) -> io::Result<()> {
        let mut last = Instant::now();
        let mut told = false;
        loop {
            // Asked before draining: what is in the ring by then will be sent.
            let ending = self.ending.load(Ordering::Acquire);
            let mut bytes = Vec::new();
            let read = self.drain(&mut bytes)?;
            let tell = !told && stop.is_requested();
            told |= tell;
            if (tell || read > 0) && self.send.send(Batch { bytes, size: self.size }).is_err() {
                return Ok(());
            }
            if read > 0 {
                last = Instant::now();
            } else if ending {
                return Ok(());
            } else if told {
                std::thread::sleep(PAUSE);
            } else if last.elapsed() < PATIENCE {
                stop.wait(None, Some(PAUSE));
            } else {
                self.sleep(stop)?;
                last = Instant::now();
            }
        }
    }

    /// Copies records into `bytes`, at most a batch.
    fn drain(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let size = self.size;
        let limit = (BATCH / size).max(1);
        if self.ring.backlog() > 0 {
            bytes.reserve(limit * size);
        }
        self.ring.drain(limit, |record| {
            if let Some(record) = record.get(..size) {
                bytes.extend_from_slice(record);
            }
        })
    }

    /// Waits until a program wakes us. The order matters: say that we wait, look once more, then wait.
    fn sleep(&mut self, stop: &Stop) -> io::Result<()> {
        bpf::map_update(self.shared.as_fd(), 0, &1u64.to_ne_bytes())?;
        if self.ring.backlog() == 0 {
            stop.wait(Some(self.ring.as_fd()), None);
        }
        bpf::map_update(self.shared.as_fd(), 0, &0u64.to_ne_bytes())
    }
}
