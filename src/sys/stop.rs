//! The request to stop: SIGINT, SIGTERM, or whither itself (a line limit, a closed pipe).

use nix::poll::{PollFd, PollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Tells every stage that the run is to end. The first signal asks for an orderly end, the second ends the
/// process at once (the kernel then removes what is attached).
#[derive(Debug)]
pub struct Stop {
    signals: SignalFd,
    wake: EventFd,
    requested: AtomicBool,
    signalled: AtomicBool,
}

impl Stop {
    /// Takes over SIGINT and SIGTERM. To be called before any thread is started: threads inherit the mask.
    pub fn on_signals() -> io::Result<Stop> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.add(Signal::SIGTERM);
        nix::sys::signal::sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Stop { signals, wake, requested: AtomicBool::new(false), signalled: AtomicBool::new(false) })
    }

    /// Asks for the end of the run.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
        // The only failure is a full counter, which wakes as well.
        let _ = self.wake.write(1);
    }

    /// Whether the end was asked for, by a signal or by [`Stop::request`].
    pub fn is_requested(&self) -> bool {
        while let Ok(Some(_)) = self.signals.read_signal() {
            if self.signalled.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            self.request();
        }
        self.requested.load(Ordering::SeqCst)
    }

    /// Whether a signal asked for the end.
    pub fn is_signalled(&self) -> bool {
        self.signalled.load(Ordering::SeqCst)
    }

    /// Waits until the end is asked for, one of `sources` is readable, or `limit` has passed (`None`: no limit).
    pub fn wait<'f>(&'f self, sources: impl IntoIterator<Item = BorrowedFd<'f>>, limit: Option<Duration>) {
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(sources.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        // Interrupted or not: the caller looks again.
        let _ = nix::poll::ppoll(&mut fds, limit.map(TimeSpec::from), None);
    }
}
