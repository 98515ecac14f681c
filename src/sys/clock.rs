//! Clocks.

use std::io;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What must be added to CLOCK_MONOTONIC to get CLOCK_REALTIME now, in nanoseconds.
pub fn realtime_offset() -> io::Result<i64> {
    let nanos = |id| clock_gettime(id).map(|time| time.tv_sec() * 1_000_000_000 + time.tv_nsec());
    let (before, real, after) =
        (nanos(ClockId::CLOCK_MONOTONIC)?, nanos(ClockId::CLOCK_REALTIME)?, nanos(ClockId::CLOCK_MONOTONIC)?);
    Ok(real - (before + (after - before) / 2))
}

/// Time that this thread has spent on a CPU: a busy machine does not make it longer.
pub fn thread_time() -> Duration {
    match clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID) {
        Ok(time) => time.into(),
        Err(_) => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_plausible() {
        assert!(realtime_offset().unwrap() > 0, "the machine was booted after 1970");
    }
}
