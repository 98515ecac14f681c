//! The request to stop: SIGINT, SIGTERM, or whither itself (a line limit, a closed pipe).

use nix::poll::{PollFd, PollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A second signal that comes after this long ends the process at once.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// Tells every stage that the run is to end. The first signal asks for an orderly end, one that comes
/// more than a second later ends the process at once (the kernel then removes what is attached).
#[derive(Debug)]
pub struct Stop {
    signals: SignalFd,
    wake: EventFd,
    requested: AtomicBool,
    signalled: OnceLock<Instant>,
    output: OnceLock<OwnedFd>,
    hangups: Arc<AtomicU32>,
}

impl Stop {
    /// Takes over SIGINT and SIGTERM. To be called before any thread is started: threads inherit the mask.
    pub fn on_signals() -> io::Result<Stop> {
        Stop::on(&[Signal::SIGINT, Signal::SIGTERM])
    }

    /// As [`Stop::on_signals`], but SIGHUP does not end the process: it is counted.
    pub fn on_signals_but_hangup() -> io::Result<Stop> {
        Stop::on(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])
    }

    fn on(signals: &[Signal]) -> io::Result<Stop> {
        let set: SigSet = signals.iter().copied().collect();
        let mut blocked = set;
        // A file that `ulimit -f` allows no more of is one that cannot be written to, not an end.
        blocked.add(Signal::SIGXFSZ);
        nix::sys::signal::sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), None)?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Stop {
            signals,
            wake,
            requested: AtomicBool::new(false),
            signalled: OnceLock::new(),
            output: OnceLock::new(),
            hangups: Arc::default(),
        })
    }

    /// How often SIGHUP came.
    pub fn hangups(&self) -> Arc<AtomicU32> {
        self.hangups.clone()
    }

    /// Asks for the end of the run.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
        // The only failure is a full counter, which wakes as well.
        let _ = self.wake.write(1);
    }

    /// Watches the end of a pipe that is written to: that its reader closes the other end asks for the end of the run, too.
    pub fn watch(&self, output: BorrowedFd<'_>) -> io::Result<()> {
        let _ = self.output.set(output.try_clone_to_owned()?);
        Ok(())
    }

    /// Whether the end was asked for, by a signal or by [`Stop::request`].
    pub fn is_requested(&self) -> bool {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo == Signal::SIGHUP as u32 {
                self.hangups.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            // `timeout` sends every signal twice: only a later one is impatience.
            let first = self.signalled.get_or_init(Instant::now);
            if first.elapsed() > IMPATIENCE {
                std::process::exit(130);
            }
            self.request();
        }
        self.requested.load(Ordering::SeqCst)
    }

    /// Whether a signal asked for the end.
    pub fn is_signalled(&self) -> bool {
        self.signalled.get().is_some()
    }

    /// Whether a signal asked for the end more than `long` ago.
    pub fn is_signalled_for(&self, long: Duration) -> bool {
        self.is_requested() && self.signalled.get().is_some_and(|since| since.elapsed() > long)
    }

    /// Waits until `output` takes more, a signal comes, or `limit` has passed.
    pub fn wait_for_room(&self, output: BorrowedFd<'_>, limit: Duration) {
        let mut fds = [PollFd::new(output, PollFlags::POLLOUT), PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        // Interrupted or not: the caller tries again.
        let _ = nix::poll::ppoll(&mut fds, Some(TimeSpec::from(limit)), None);
    }

    /// Waits until the end is asked for, one of `sources` is readable, or `limit` has passed (`None`: no limit).
    pub fn wait<'f>(&'f self, sources: impl IntoIterator<Item = BorrowedFd<'f>>, limit: Option<Duration>) {
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
        ];
        // Of a pipe that nobody reads any more the kernel always tells POLLERR. Once is enough.
        let output = self.output.get().filter(|_| !self.requested.load(Ordering::SeqCst));
        fds.extend(output.map(|output| PollFd::new(output.as_fd(), PollFlags::empty())));
        fds.extend(sources.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        // Interrupted or not: the caller looks again.
        let _ = nix::poll::ppoll(&mut fds, limit.map(TimeSpec::from), None);
        let closed = PollFlags::POLLERR | PollFlags::POLLNVAL;
        if output.is_some() && fds[2].revents().is_some_and(|events| events.intersects(closed)) {
            self.request();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_may_not_grow_ends_nothing() {
        let _stop = Stop::on_signals().expect("signals can be taken over");
        assert!(SigSet::thread_get_mask().expect("there is one").contains(Signal::SIGXFSZ));
    }

    #[test]
    fn a_reader_that_goes_away_asks_for_the_end() {
        let stop = Stop {
            signals: SignalFd::with_flags(&SigSet::empty(), SfdFlags::SFD_NONBLOCK).expect("a descriptor"),
            wake: EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("a descriptor"),
            requested: AtomicBool::new(false),
            signalled: OnceLock::new(),
            output: OnceLock::new(),
            hangups: Arc::default(),
        };
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        stop.watch(writer.as_fd()).unwrap();
        stop.wait([], Some(Duration::ZERO));
        assert!(!stop.is_requested());
        drop(reader);
        stop.wait([], None);
        assert!(stop.is_requested());
    }
}
