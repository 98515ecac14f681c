//! Wall time of an event, and the time since the event before.

use crate::sys::clock;

use super::number::decimal;
use super::zone::local_offset;

/// Bytes of `YYYY-MM-DDTHH:MM:SS.mmm`.
pub(super) const WIDTH: usize = 23;

/// The local time zone is asked again after this many seconds: zones change at quarters of an hour.
const ZONE_SECONDS: i64 = 900;

/// Makes local wall time of the kernel's monotonic clock.
#[derive(Debug)]
pub(super) struct WallClock {
    /// CLOCK_REALTIME less CLOCK_MONOTONIC, in nanoseconds.
    offset: i64,
    zone: fn(i64) -> i64,
    /// Quarter of an hour of UTC for which `zone_offset` holds.
    zone_quarter: Option<i64>,
    zone_offset: i64,
    /// The second that `text` shows.
    second: Option<i64>,
    text: [u8; WIDTH],
}

impl WallClock {
    /// The clock of this machine.
    pub fn of_host() -> WallClock {
        let mut clock = WallClock::new(0, local_offset);
        clock.tick();
        clock
    }

    /// A clock that is `offset` nanoseconds ahead of the monotonic one, where `zone` gives the seconds by which local
    /// time is ahead of UTC.
    pub fn new(offset: i64, zone: fn(i64) -> i64) -> WallClock {
        WallClock { offset, zone, zone_quarter: None, zone_offset: 0, second: None, text: [0; WIDTH] }
    }

    /// Follows the clock of this machine, which may have been set.
    pub fn tick(&mut self) {
        if let Ok(offset) = clock::realtime_offset() {
            self.offset = offset;
        }
    }

    /// The local time of the event that happened at `time`, in nanoseconds of CLOCK_MONOTONIC.
    pub fn text(&mut self, time: u64) -> &[u8; WIDTH] {
        let nanos = (time as i64).wrapping_add(self.offset);
        let second = nanos.div_euclid(1_000_000_000);
        if self.second != Some(second) {
            self.second = Some(second);
            let quarter = second.div_euclid(ZONE_SECONDS);
            if self.zone_quarter != Some(quarter) {
                self.zone_quarter = Some(quarter);
                self.zone_offset = (self.zone)(second);
            }
            self.text = date_and_time(second + self.zone_offset, b":");
        }
        let millis = (nanos.rem_euclid(1_000_000_000) / 1_000_000) as u16;
        self.text[20..].copy_from_slice(&three_digits(millis));
        &self.text
    }
}

/// `YYYY-MM-DDTHH-MM-SS.mmm` of `unix_millis` after 1970 in local time, for names of files.
pub(super) fn for_file_name(unix_millis: i64) -> String {
    let second = unix_millis.div_euclid(1000);
    let mut text = date_and_time(second + local_offset(second), b"-");
    text[20..].copy_from_slice(&three_digits(unix_millis.rem_euclid(1000) as u16));
    String::from_utf8_lossy(&text).into_owned()
}

/// `YYYY-MM-DDTHH:MM:SS.000` of `second` after 1970, in no time zone; `colon` is put between hours, minutes, seconds.
fn date_and_time(second: i64, colon: &[u8; 1]) -> [u8; WIDTH] {
    let (days, rest) = (second.div_euclid(86400), second.rem_euclid(86400) as u64);
    let (year, month, day) = date(days);
    let mut out = Vec::with_capacity(WIDTH);
    let mut put = |value: u64, width: u32, after: &[u8]| {
        for place in (0..width).rev() {
            out.push(b'0' + (value / 10u64.pow(place) % 10) as u8);
        }
        out.extend_from_slice(after);
    };
    put(year.clamp(0, 9999) as u64, 4, b"-");
    put(month, 2, b"-");
    put(day, 2, b"T");
    put(rest / 3600, 2, colon);
    put(rest / 60 % 60, 2, colon);
    put(rest % 60, 2, b".000");
    let mut text = [b'0'; WIDTH];
    text.copy_from_slice(&out);
    text
}

/// Year, month and day of the `days`th day after 1970-01-01 in the Gregorian calendar.
///
/// Counted in years that start in March, so that the day that is sometimes there is the last of a year, and in cycles
/// of 400 years, which all have the same length.
pub(super) fn date(days: i64) -> (i64, u64, u64) {
    const CYCLE: i64 = 146_097;
    let since = days + 719_468; // 0000-03-01
    let (cycle, day) = (since.div_euclid(CYCLE), since.rem_euclid(CYCLE));
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // 0: March
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    (cycle * 400 + year, month as u64, day as u64)
}

fn three_digits(value: u16) -> [u8; 3] {
    [value / 100 % 10, value / 10 % 10, value % 10].map(|digit| b'0' + digit as u8)
}

/// When each skb was last printed; of a fixed size, the oldest of four neighbours makes room.
#[derive(Debug)]
pub(super) struct LastSeen {
    /// Address and time; address 0 is free.
    sets: Vec<[(u64, u64); 4]>,
}

const SETS: usize = 1 << 13;

impl LastSeen {
    pub fn new() -> LastSeen {
        LastSeen { sets: vec![[(0, 0); 4]; SETS] }
    }

    /// Nanoseconds since `skb` was last printed, 0 if it was not (or was forgotten); remembers `time`. Negative where
    /// CPUs delivered their records in another order.
    pub fn delta(&mut self, skb: u64, time: u64) -> i64 {
        let hash = skb.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let set = &mut self.sets[hash as usize & (SETS - 1)];
        if let Some((_, last)) = set.iter_mut().find(|(address, _)| *address == skb && skb != 0) {
            let delta = time.wrapping_sub(*last) as i64;
            *last = time;
            return delta;
        }
        if let Some(oldest) = set.iter_mut().min_by_key(|(_, last)| *last) {
            *oldest = (skb, time);
        }
        0
    }
}

/// Appends nanoseconds as JSON has them.
pub(super) fn nanos(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    decimal(out, value.unsigned_abs());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(clock: &mut WallClock, time: u64) -> String {
        String::from_utf8(clock.text(time).to_vec()).unwrap()
    }

    #[test]
    fn seconds_become_dates() {
        for (second, want) in [
            (0, "1970-01-01T00:00:00.000"),
            (951_782_400, "2000-02-29T00:00:00.000"),
            (1_709_251_199, "2024-02-29T23:59:59.000"),
            (1_709_251_200, "2024-03-01T00:00:00.000"),
            (1_795_290_974, "2026-11-21T19:56:14.000"),
            (4_107_542_399, "2100-02-28T23:59:59.000"),
            (4_107_542_400, "2100-03-01T00:00:00.000"),
            (-1, "1969-12-31T23:59:59.000"),
        ] {
            assert_eq!(str::from_utf8(&date_and_time(second, b":")).unwrap(), want);
        }
    }

    #[test]
    fn wall_time_is_local_and_follows_the_zone() {
        let zone = |second| if second < 1_795_291_200 { 3600 } else { 7200 };
        let mut clock = WallClock::new(1_795_290_000_000_000_000, zone);
        assert_eq!(text(&mut clock, 974_198_999_999), "2026-11-21T20:56:14.198");
        assert_eq!(text(&mut clock, 974_206_000_000), "2026-11-21T20:56:14.206");
        assert_eq!(text(&mut clock, 973_000_000_000), "2026-11-21T20:56:13.000");
        assert_eq!(text(&mut clock, 1_200_000_000_000), "2026-11-21T22:00:00.000");
    }

    #[test]
    fn a_delta_is_from_the_line_before_of_that_skb() {
        let mut seen = LastSeen::new();
        assert_eq!(seen.delta(0x1000, 100), 0);
        assert_eq!(seen.delta(0x2000, 150), 0);
        assert_eq!(seen.delta(0x1000, 250), 150);
        assert_eq!(seen.delta(0x1000, 240), -10);
        assert_eq!(seen.delta(0, 240), 0);
        assert_eq!(seen.delta(0, 250), 0);
        for address in 1..1_000_000 {
            seen.delta(address << 8, address);
        }
        assert_eq!(seen.delta(999_999 << 8, 1_000_001), 2);
    }
}
