//! Emptying the kernel's buffer.

use super::Batch;
use super::source::Source;
use crate::sys::stop::Stop;
use crossbeam_channel::Sender;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of records in one batch.
const BATCH: usize = 64 << 10;
/// Pause when the buffer is empty but was not for long.
const PAUSE: Duration = Duration::from_micros(200);
/// How long the buffer must be empty before the reader asks to be woken.
const PATIENCE: Duration = Duration::from_millis(50);

/// Reads the buffer and sends batches on.
pub struct Reader {
    /// The buffer.
    pub source: Source,
    /// Size of a record in bytes.
    pub size: usize,
    /// Where batches go.
    pub send: Sender<Batch>,
    /// Set when no more records will come.
    pub ending: Arc<AtomicBool>,
}

impl Reader {
    /// Runs until the end, then hands over what is in the buffer by then and no more: where programs cannot be silenced
    /// at once, it need never be empty. When `stop` is asked for, an empty batch tells the other side.
    pub fn run(mut self, stop: &Stop) -> io::Result<()> {
        let mut last = Instant::now();
        let mut told = false;
        // From the end on: at most so many records are left.
        let mut left = None;
        loop {
            if left.is_none() && self.ending.load(Ordering::Acquire) {
                left = Some(self.source.backlog() / self.size as u64);
                last = Instant::now();
            }
            let mut bytes = Vec::new();
            let read = self.drain(&mut bytes)?;
            let tell = !told && stop.is_requested();
            told |= tell;
            if (tell || read > 0) && self.send.send(Batch { bytes, size: self.size }).is_err() {
                return Ok(());
            }
            if let Some(left) = &mut left {
                *left = left.saturating_sub(read as u64);
                if *left == 0 || self.source.backlog() == 0 || (read == 0 && last.elapsed() > PATIENCE) {
                    return Ok(());
                }
                if read == 0 {
                    // A program is still filling the next record.
                    std::thread::sleep(PAUSE);
                }
            } else if read > 0 {
                last = Instant::now();
            } else if told {
                std::thread::sleep(PAUSE);
            } else if last.elapsed() < PATIENCE {
                stop.wait([], Some(PAUSE));
            } else {
                self.source.sleep(stop)?;
                last = Instant::now();
            }
        }
    }

    /// Copies records into `bytes`, about a batch.
    fn drain(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let size = self.size;
        let limit = (BATCH / size).max(1);
        if self.source.backlog() > 0 {
            bytes.reserve(limit * size);
        }
        self.source.drain(limit, |record| {
            if let Some(record) = record.get(..size) {
                bytes.extend_from_slice(record);
            }
        })
    }
}
