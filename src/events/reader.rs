//! Emptying the kernel's buffer.

use super::Batch;
use super::source::Source;
use crate::sys::stop::Stop;
use crossbeam_channel::{SendTimeoutError, Sender};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of records in one batch.
const BATCH: usize = 64 << 10;
/// Pause when the buffer is empty but was not for long.
const PAUSE: Duration = Duration::from_micros(200);
/// How often a reader that cannot hand over looks for the end.
const BLOCKED: Duration = Duration::from_millis(100);
/// How long nobody may take a batch after the end was asked for: then output is blocked.
const GRACE: Duration = Duration::from_secs(2);
/// How long the buffer must be empty before the reader asks to be woken.
const PATIENCE: Duration = Duration::from_millis(50);

/// Reads the buffer and sends batches on.
pub struct Reader {
    /// The buffer.
    pub source: Source,
    /// Size of a record in bytes, with room for what may come behind it; zeros fill what is missing.
    pub size: usize,
    /// Size of a record alone.
    pub least: usize,
    /// Where batches go.
    pub send: Sender<Batch>,
    /// Set when no more records will come.
    pub ending: Arc<AtomicBool>,
}

impl Reader {
    /// Runs until the end and hands over what is in the buffer by then. When `stop` is asked for, an empty batch tells
    /// the other side, which then silences the programs. Returns how many records came by the spare buffer.
    pub fn run(mut self, stop: &Stop) -> io::Result<u64> {
        let mut last = Instant::now();
        let mut told = false;
        let mut taken = Taken { waiting: 0, since: last };
        loop {
            // Asked before draining: programs are silent then, and nothing comes after what is found.
            let ending = self.ending.load(Ordering::Acquire);
            let mut bytes = Vec::new();
            let read = self.drain(&mut bytes)?;
            // Asked again when it was told, too: a second signal ends a process that hangs.
            let tell = stop.is_requested() && !told;
            told |= tell;
            if (tell || read > 0) && !self.hand_over(Batch { bytes, size: self.size }, stop) {
                return Ok(self.source.spared());
            }
            if read > 0 {
                last = Instant::now();
            } else if ending && (self.source.backlog() == 0 || last.elapsed() > PATIENCE) {
                return Ok(self.source.spared());
            } else if told {
                taken.expect(self.send.len());
                std::thread::sleep(PAUSE);
            } else if last.elapsed() < PATIENCE {
                stop.wait([], Some(PAUSE));
            } else {
                self.source.sleep(stop)?;
                last = Instant::now();
            }
        }
    }

    /// Sends a batch; false if nobody wants it. Output that is blocked for good must not keep the process from ending.
    fn hand_over(&self, mut batch: Batch, stop: &Stop) -> bool {
        let mut taken = None;
        loop {
            match self.send.send_timeout(batch, BLOCKED) {
                Ok(()) => return true,
                Err(SendTimeoutError::Disconnected(_)) => return false,
                Err(SendTimeoutError::Timeout(back)) => batch = back,
            }
            if stop.is_requested() {
                let waiting = self.send.len();
                taken.get_or_insert_with(|| Taken { waiting, since: Instant::now() }).expect(waiting);
            }
        }
    }

    /// Copies records into `bytes`, about a batch.
    fn drain(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let (size, least) = (self.size, self.least);
        let limit = (BATCH / size).max(1);
        if self.source.backlog() > 0 {
            bytes.reserve(limit * size);
        }
        self.source.drain(limit, &mut |record| {
            if record.len() >= least {
                bytes.extend_from_slice(&record[..record.len().min(size)]);
                bytes.resize(bytes.len().next_multiple_of(size), 0);
            }
        })
    }
}

/// Whether somebody takes batches.
struct Taken {
    /// How many waited when one was taken or sent last.
    waiting: usize,
    since: Instant,
}

impl Taken {
    /// Ends the process where batches wait and none was taken for long: whoever writes lines hangs in a system call.
    fn expect(&mut self, waiting: usize) {
        if waiting == 0 || waiting != self.waiting {
            *self = Taken { waiting, since: Instant::now() };
        } else if self.since.elapsed() > GRACE {
            let _ = writeln!(io::stderr(), "error: the output takes no more lines; what was not written yet is lost");
            std::process::exit(1);
        }
    }
}
