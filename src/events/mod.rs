//! Records from the kernel, in batches, and how many were lost.

mod reader;
mod source;
mod spare;

use crate::load::Loaded;
use crate::plan::Plan;
use crate::privilege::{self, Feature};
use crate::program::{COUNTERS, SILENT, counter};
use crate::sys::stop::Stop;
use crate::sys::{bpf, process};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use source::Source;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Records of one size, one after another.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    size: usize,
}

impl Batch {
    /// The records in the order in which the kernel made room for them.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.size)
    }
}

/// What the reader has for its user.
pub enum Next {
    /// Records.
    Batch(Batch),
    /// None came for a while.
    Idle,
    /// None will come: the end was asked for and everything was read.
    End,
}

/// The thread that empties the kernel's buffer.
pub struct Events {
    batches: Receiver<Batch>,
    read: Receiver<io::Result<u64>>,
    spared: u64,
    /// Nothing is sent: its end tells the thread that this is gone.
    _user: Sender<()>,
    ending: Arc<AtomicBool>,
    silent: OwnedFd,
    counters: OwnedFd,
    cpus: usize,
}

/// How many batches may wait for the formatter: this much is kept in memory when output is slow.
const WAITING: usize = 32;

/// How often signals are looked for while the last lines are written.
const LAST_LINES: Duration = Duration::from_millis(100);

/// Starts reading. When `stop` is asked for, an empty batch comes; reading goes on until [`Events::end`].
pub fn follow(loaded: &Loaded, plan: &Plan, stop: &Arc<Stop>) -> io::Result<Events> {
    let source = Source::open(loaded, plan)?;
    let (send, batches) = crossbeam_channel::bounded(WAITING);
    let (size, least) = (plan.layout.room() as usize, plan.layout.size() as usize);
    let ending = Arc::new(AtomicBool::new(false));
    let (done, read) = crossbeam_channel::bounded(1);
    let (_user, gone) = crossbeam_channel::bounded(0);
    std::thread::Builder::new().name("reader".into()).spawn({
        let (stop, ending) = (stop.clone(), ending.clone());
        move || {
            privilege::keep_for_thread(Feature::Tracing);
            let spared = reader::Reader { source, size, least, send, ending }.run(&stop);
            let _ = done.send(spared);
            // What is left to be written may block for good: a second signal ends that, too.
            while gone.recv_timeout(LAST_LINES) == Err(RecvTimeoutError::Timeout) {
                stop.is_requested();
            }
        }
    })?;
    Ok(Events {
        batches,
        read,
        spared: 0,
        _user,
        ending,
        silent: loaded.map(SILENT).try_clone_to_owned()?,
        counters: loaded.map(COUNTERS).try_clone_to_owned()?,
        cpus: bpf::possible_cpus()?,
    })
}

impl Events {
    /// The next records; `Idle` after `patience`, if there is a limit to it.
    pub fn next(&mut self, patience: Option<Duration>) -> io::Result<Next> {
        let received = match patience {
            Some(patience) => self.batches.recv_timeout(patience),
            None => self.batches.recv().map_err(RecvTimeoutError::from),
        };
        match received {
            Ok(batch) => Ok(Next::Batch(batch)),
            Err(RecvTimeoutError::Timeout) => Ok(Next::Idle),
            Err(RecvTimeoutError::Disconnected) => {
                self.spared = self.read.recv().unwrap_or_else(|_| Err(io::Error::other("the reader thread died")))?;
                Ok(Next::End)
            }
        }
    }

    /// Lets programs send nothing more; [`Next::End`] follows when all that they sent is read.
    pub fn end(&self) -> io::Result<()> {
        bpf::map_update(self.silent.as_fd(), 0, &1u64.to_ne_bytes())?;
        process::wait_for_other_cpus();
        self.ending.store(true, Ordering::Release);
        Ok(())
    }

    /// Records that are here already.
    pub fn ready(&mut self) -> Option<Batch> {
        self.batches.try_recv().ok()
    }

    /// Records that found no room in the buffer, on all CPUs.
    pub fn lost(&self) -> io::Result<u64> {
        self.counted(counter::LOST)
    }

    /// Records of packets' ends that found room only in the buffer that is kept for them. Known at [`Next::End`].
    pub fn spared(&self) -> u64 {
        self.spared
    }

    /// Packets that could not be followed because the table was full, on all CPUs.
    pub fn untracked(&self) -> io::Result<u64> {
        self.counted(counter::UNTRACKED)
    }

    /// Packets that were not judged because bytes of them lie in fragments, on all CPUs.
    pub fn unread(&self) -> io::Result<u64> {
        self.counted(counter::UNREAD)
    }

    fn counted(&self, which: u32) -> io::Result<u64> {
        let mut values = vec![0; counter::SIZE as usize * self.cpus];
        bpf::map_lookup(self.counters.as_fd(), 0, &mut values)?;
        let one = |of_cpu: &[u8]| of_cpu[which as usize..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        Ok(values.chunks_exact(counter::SIZE as usize).map(one).sum())
    }
}
