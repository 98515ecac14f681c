//! Local time: the zone that TZ or /etc/localtime names, see tzset(3), tzfile(5) and RFC 8536.
//!
//! Not the C library's: linked statically, its localtime brings scanf, standard streams and locales with it, 0.1 MB.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use super::clock::date;

/// Seconds by which local time is ahead of UTC at `unix` seconds after 1970; 0 if the system cannot tell. The zone is
/// read once.
pub(super) fn local_offset(unix: i64) -> i64 {
    static ZONE: OnceLock<Zone> = OnceLock::new();
    ZONE.get_or_init(Zone::of_host).offset(unix)
}

/// When which offset holds.
#[derive(Debug, Default, PartialEq)]
struct Zone {
    /// Before the first transition.
    first: i64,
    /// From these times on, sorted.
    transitions: Vec<(i64, i64)>,
    /// After the last transition.
    rule: Option<Rule>,
}

/// What holds every year: `CET-1CEST,M3.5.0,M10.5.0/3`.
#[derive(Debug, PartialEq)]
struct Rule {
    standard: i64,
    /// The offset of summer time, and when it starts and ends.
    summer: Option<(i64, [Change; 2])>,
}

/// A day of a year, and seconds after its midnight.
#[derive(Debug, PartialEq)]
struct Change {
    day: Day,
    time: i64,
}

#[derive(Debug, PartialEq)]
enum Day {
    /// `Jn`: 1 to 365, never the 29th of February.
    Julian(i64),
    /// `n`: 0 to 365.
    Zero(i64),
    /// `Mm.w.d`: month, week (5: the last), day of the week (0: Sunday).
    Month(i64, i64, i64),
}

impl Zone {
    fn of_host() -> Zone {
        let file = |path: &Path| Zone::parse(&fs::read(path).ok()?);
        let name = std::env::var("TZ").ok();
        match name.as_deref().map(|name| name.strip_prefix(':').unwrap_or(name)) {
            None => file(Path::new("/etc/localtime")),
            Some("") => None,
            Some(name) => file(&Path::new("/usr/share/zoneinfo").join(name))
                .or_else(|| Some(Zone { rule: Some(Rule::parse(name)?), ..Zone::default() })),
        }
        .unwrap_or_default()
    }

    /// A file of the zone information database; `None` if it is damaged.
    fn parse(file: &[u8]) -> Option<Zone> {
        let version = *file.strip_prefix(b"TZif")?.first()?;
        let first = Counts::at(file, 0)?;
        if version == 0 {
            return Zone::of_block(file, HEADER, first, 4);
        }
        // What comes first is for readers that know 32 bits only.
        let start = HEADER + first.length(4);
        let counts = Counts::at(file, start)?;
        let mut zone = Zone::of_block(file, start + HEADER, counts, 8)?;
        let footer = file.get(start + HEADER + counts.length(8)..)?.strip_prefix(b"\n")?;
        let rule = str::from_utf8(footer.strip_suffix(b"\n")?).ok()?;
        zone.rule = Rule::parse(rule);
        Some(zone)
    }

    fn of_block(file: &[u8], start: usize, counts: Counts, width: usize) -> Option<Zone> {
        let times = file.get(start..start + counts.times * width)?.chunks_exact(width);
        let kinds = start + counts.times * width;
        let kind_of = file.get(kinds..kinds + counts.times)?;
        let kinds = file.get(kinds + counts.times..)?.get(..counts.kinds * 6)?;
        let offset = |kind: usize| Some(i64::from(i32::from_be_bytes(*kinds.get(kind * 6..)?.first_chunk()?)));
        let time = |bytes: &[u8]| match bytes.first_chunk() {
            Some(bytes) => Some(i64::from_be_bytes(*bytes)),
            None => Some(i32::from_be_bytes(*bytes.first_chunk()?).into()),
        };
        let transitions: Option<Vec<(i64, i64)>> =
            times.zip(kind_of).map(|(at, &kind)| Some((time(at)?, offset(kind.into())?))).collect();
        Some(Zone { first: offset(0)?, transitions: transitions?, rule: None })
    }

    fn offset(&self, unix: i64) -> i64 {
        let after = self.transitions.partition_point(|(from, _)| *from <= unix);
        match (&self.rule, after.checked_sub(1)) {
            (Some(rule), _) if after == self.transitions.len() => rule.offset(unix),
            (_, Some(last)) => self.transitions[last].1,
            (_, None) => self.first,
        }
    }
}

const HEADER: usize = 44;

/// How many entries the tables of a block have.
#[derive(Clone, Copy)]
struct Counts {
    times: usize,
    kinds: usize,
    /// Bytes of the names, of the indicators, and the number of leap seconds.
    letters: usize,
    indicators: usize,
    leaps: usize,
}

impl Counts {
    fn at(file: &[u8], header: usize) -> Option<Counts> {
        let header = file.get(header..)?.get(..HEADER)?.strip_prefix(b"TZif")?;
        let count = |at: usize| {
            let bytes = header[16 + 4 * at..].first_chunk().copied().unwrap_or_default();
            // No file has a megabyte, and sums of such counts do not overflow.
            Some(u32::from_be_bytes(bytes) as usize).filter(|&count| count < 1 << 20)
        };
        let indicators = count(0)? + count(1)?;
        Some(Counts { indicators, leaps: count(2)?, times: count(3)?, kinds: count(4)?, letters: count(5)? })
    }

    /// Bytes of the block after its header, with times of `width` bytes.
    fn length(self, width: usize) -> usize {
        self.times * (width + 1) + self.kinds * 6 + self.letters + self.leaps * (width + 4) + self.indicators
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Rule> {
        let mut text = Text(text);
        text.name()?;
        let standard = -text.time()?;
        if text.0.is_empty() {
            return Some(Rule { standard, summer: None });
        }
        text.name()?;
        let offset = if text.0.is_empty() || text.0.starts_with(',') { standard + 3600 } else { -text.time()? };
        if text.0.is_empty() {
            text.0 = ",M3.2.0,M11.1.0"; // as in the C library
        }
        let changes = [text.change()?, text.change()?];
        text.0.is_empty().then_some(Rule { standard, summer: Some((offset, changes)) })
    }

    fn offset(&self, unix: i64) -> i64 {
        let Some((summer, changes)) = &self.summer else { return self.standard };
        let unix = unix.clamp(-FAR, FAR);
        let (year, ..) = date((unix + self.standard).div_euclid(DAY));
        let [start, end] = [(&changes[0], self.standard), (&changes[1], *summer)]
            .map(|(change, offset)| change.day.of(year) * DAY + change.time - offset);
        let is_summer = if start < end { (start..end).contains(&unix) } else { !(end..start).contains(&unix) };
        if is_summer { *summer } else { self.standard }
    }
}

const DAY: i64 = 86400;

/// Times further away are as good as this one, and no sum overflows.
const FAR: i64 = 1 << 55;

impl Day {
    /// Days from 1970 to this day of `year`.
    fn of(&self, year: i64) -> i64 {
        let first = |month: i64| {
            // Months before `month`, in a year that starts in March.
            let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
            let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
            year * 365 + leap_days + (153 * month + 2) / 5 - 719_468
        };
        match *self {
            Day::Zero(day) => first(1) + day,
            Day::Julian(day) if day >= 60 => first(3) + day - 60,
            Day::Julian(day) => first(1) + day - 1,
            Day::Month(month, week, weekday) => {
                let start = first(month);
                let next = if month == 12 { start + 31 } else { first(month + 1) };
                // The first of January 1970 was a Thursday.
                let day = start + (weekday - (start + 4)).rem_euclid(7) + 7 * (week - 1);
                if day < next { day } else { day - 7 }
            }
        }
    }
}

/// What is left of a rule's text.
struct Text<'t>(&'t str);

impl Text<'_> {
    fn skip(&mut self, prefix: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(prefix)?;
        Some(())
    }

    /// `CET` or `<+01>`.
    fn name(&mut self) -> Option<()> {
        let end = match self.0.strip_prefix('<') {
            Some(rest) => rest.find('>')? + 2,
            None => self.0.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.0.len()),
        };
        self.0 = &self.0[end..];
        (end >= 3).then_some(())
    }

    /// A number up to `most`.
    fn number(&mut self, most: i64) -> Option<i64> {
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let number = self.0[..end].parse().ok().filter(|number| *number <= most)?;
        self.0 = &self.0[end..];
        Some(number)
    }

    /// `[+-]hh[:mm[:ss]]` in seconds.
    fn time(&mut self) -> Option<i64> {
        let is_negative = self.skip("-").is_some();
        if !is_negative {
            self.skip("+");
        }
        let mut seconds = self.number(167)? * 3600;
        for unit in [60, 1] {
            if self.skip(":").is_none() {
                break;
            }
            seconds += self.number(59)? * unit;
        }
        Some(if is_negative { -seconds } else { seconds })
    }

    /// `,day[/time]`
    fn change(&mut self) -> Option<Change> {
        self.skip(",")?;
        let day = if self.skip("J").is_some() {
            Day::Julian(self.number(365)?)
        } else if self.skip("M").is_some() {
            let month = self.number(12)?;
            self.skip(".")?;
            let week = self.number(5)?;
            self.skip(".")?;
            Day::Month(month, week, self.number(6)?)
        } else {
            Day::Zero(self.number(365)?)
        };
        let time = if self.skip("/").is_some() { self.time()? } else { 7200 };
        Some(Change { day, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn rule(text: &str) -> Zone {
        Zone { rule: Some(Rule::parse(text).unwrap_or_else(|| panic!("{text}"))), ..Zone::default() }
    }

    #[test]
    fn rules_hold_every_year() {
        const WINTER: i64 = 1_795_290_974; // 2026-11-21
        const SUMMER: i64 = 1_782_000_000; // 2026-06-21
        for (text, winter, summer) in [
            ("UTC0", 0, 0),
            ("<+0530>-5:30", 19800, 19800),
            ("CET-1CEST,M3.5.0,M10.5.0/3", 3600, 7200),
            ("EST5EDT", -18000, -14400),
            ("NZST-12NZDT,M9.5.0,M4.1.0/3", 46800, 43200),
            ("IST-1GMT0,M10.5.0,M3.5.0/1", 0, 3600),
            ("XXX3YYY,J60/0,300", -10800, -7200),
        ] {
            assert_eq!([WINTER, SUMMER].map(|at| rule(text).offset(at)), [winter, summer], "{text}");
        }
        let berlin = rule("CET-1CEST,M3.5.0,M10.5.0/3");
        // 2026-03-29 01:00 UTC, 2026-10-25 01:00 UTC
        for (change, before, after) in [(1_774_746_000, 3600, 7200), (1_792_890_000, 7200, 3600)] {
            assert_eq!((berlin.offset(change - 1), berlin.offset(change)), (before, after));
        }
        for extreme in [i64::MIN, i64::MAX] {
            berlin.offset(extreme);
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in
            ["", "C", "CET", "CET-", "CET1x", "<+01-1", "CET-1CEST,", "CET-1CEST,M3.5.0", "CET-1CEST,M13.5.0,J1"]
        {
            assert_eq!(Rule::parse(text), None, "{text}");
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        let mut file = b"TZif2".to_vec();
        file.resize(HEADER, 0);
        let mut block = file.clone();
        (block[35], block[39]) = (1, 1);
        block.extend([0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 14, 16, 0, 0]);
        file.extend(&block);
        file.extend(b"\nCET-1\n");
        let zone = Zone::parse(&file).expect("a zone");
        assert_eq!((zone.offset(0), zone.offset(100)), (3600, 3600));
        for length in 0..file.len() {
            assert_eq!(Zone::parse(&file[..length]), None, "{length}");
            let mut damaged = file.clone();
            for byte in [0, 1, 0x7f, 0xff] {
                damaged[length] = byte;
                if let Some(zone) = Zone::parse(&damaged) {
                    zone.offset(0);
                }
            }
        }
    }

    /// The zones of this machine against date(1); without them there is nothing to compare.
    #[test]
    fn zones_are_read_as_by_others() {
        for name in ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca"] {
            let Ok(file) = fs::read(Path::new("/usr/share/zoneinfo").join(name)) else { continue };
            let zone = Zone::parse(&file).unwrap_or_else(|| panic!("{name}"));
            for unix in [-3_000_000_000i64, 0, 500_000_000, 1_400_000_000, 1_782_000_000, 1_795_290_974, 4_000_000_000]
            {
                let mut command = Command::new("date");
                let output = command.env("TZ", name).args(["-d", &format!("@{unix}"), "+%::z"]).output();
                let Some(text) = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()) else { return };
                let parts: Vec<i64> = text.trim()[1..].split(':').map(|part| part.parse().expect("a number")).collect();
                let seconds = parts[0] * 3600 + parts[1] * 60 + parts[2];
                let want = if text.starts_with('-') { -seconds } else { seconds };
                assert_eq!(zone.offset(unix), want, "{name} {unix}");
            }
        }
    }
}
