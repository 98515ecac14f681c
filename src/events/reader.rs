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
    /// Runs until nothing more will come and the buffer is empty. When `stop` is asked for, an empty batch tells the
    /// other side, which then silences the programs.
    pub fn run(mut self, stop: &Stop) -> io::Result<()> {
        let mut last = Instant::now();
        let mut told = false;
        loop {
            // Asked before draining: what is in the buffer by then will be sent.
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
        if !self.source.is_empty() {
            bytes.reserve(limit * size);
        }
        self.source.drain(limit, |record| {
            if let Some(record) = record.get(..size) {
                bytes.extend_from_slice(record);
            }
        })
    }
}
