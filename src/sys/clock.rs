//! Clocks, and the local time zone.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What must be added to CLOCK_MONOTONIC to get CLOCK_REALTIME now, in nanoseconds.
pub fn realtime_offset() -> io::Result<i64> {
    let nanos = |id| clock_gettime(id).map(|time| time.tv_sec() * 1_000_000_000 + time.tv_nsec());
    let (before, real, after) =
        (nanos(ClockId::CLOCK_MONOTONIC)?, nanos(ClockId::CLOCK_REALTIME)?, nanos(ClockId::CLOCK_MONOTONIC)?);
    Ok(real - (before + (after - before) / 2))
}

/// Seconds by which local time is ahead of UTC at `unix` seconds after 1970; 0 if the system cannot tell.
pub fn local_offset(unix: i64) -> i64 {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call. localtime_r reads the environment, which whither never changes.
    let done = unsafe { libc::localtime_r(&unix, parts.as_mut_ptr()) };
    if done.is_null() {
        return 0;
    }
    // SAFETY: localtime_r succeeded and has filled the structure, which is valid when zeroed in any case.
    unsafe { parts.assume_init() }.tm_gmtoff
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
        assert!(local_offset(1_800_000_000).abs() <= 15 * 3600);
        assert_eq!(local_offset(i64::MAX), 0);
    }
}
