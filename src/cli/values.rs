//! Values of flags, typed: what can be refused while parsing is refused here, with one sentence.

use clap::builder::{OsStringValueParser, TypedValueParser};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A value that an empty string leaves unset, as with pwru: `--filter-ifname "$DEV"` with an empty variable
/// filters nothing.
///
/// An alias, so that `clap` sees a plain value and not "this flag may be absent".
pub type Maybe<T> = Option<T>;

/// Why a value was refused: one lower-case phrase that says what is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue(String);

impl BadValue {
    fn new(text: impl Into<String>) -> BadValue {
        BadValue(text.into())
    }
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadValue {}

/// Parses `text`, or nothing if it is empty.
pub(super) fn maybe<T>(text: &str) -> Result<Maybe<T>, BadValue>
where
    T: FromStr<Err: fmt::Display>,
{
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error: T::Err| BadValue::new(error.to_string()))
}

/// Parses the name of a file, which need not be UTF-8, or nothing if it is empty.
pub(super) fn file() -> impl TypedValueParser<Value = Maybe<PathBuf>> {
    OsStringValueParser::new().map(|name| (!name.is_empty()).then(|| name.into()))
}

/// Parses what stands for a network namespace, or nothing if it is empty. A file's name need not be UTF-8.
pub(super) fn netns() -> impl TypedValueParser<Value = Maybe<NetnsSpec>> {
    OsStringValueParser::new().try_map(|name| match name.as_encoded_bytes().first() {
        Some(b'/') => Ok(Some(NetnsSpec::Path(name.into()))),
        _ => maybe::<NetnsSpec>(&name.to_string_lossy()),
    })
}

/// Parses a boolean as pwru does: 1, t, true, 0, f, false, with the capitals of Go's `strconv.ParseBool`.
pub(super) fn boolean(text: &str) -> Result<bool, BadValue> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(BadValue::new("expected true or false")),
    }
}

/// Parses an unsigned number as pwru does: decimal, `0x`, `0o`, `0b`, a leading 0 for octal, `_` between digits.
pub(super) fn unsigned<T: TryFrom<u64>>(text: &str) -> Result<T, BadValue> {
    let too_large = || BadValue::new("the number is too large");
    let (digits, radix) = match text.get(..2) {
        Some("0x" | "0X") => (&text[2..], 16),
        Some("0o" | "0O") => (&text[2..], 8),
        Some("0b" | "0B") => (&text[2..], 2),
        Some(_) if text.starts_with('0') => (&text[1..], 8),
        _ => (text, 10),
    };
    let lone_underscore = digits.ends_with('_') || digits.contains("__") || (radix == 10 && digits.starts_with('_'));
    let digits: String = digits.chars().filter(|&c| c != '_').collect();
    if lone_underscore || digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(BadValue::new("expected a number"));
    }
    let value = u64::from_str_radix(&digits, radix).map_err(|_| too_large())?;
    T::try_from(value).map_err(|_| too_large())
}

/// Parses a number of which 0 makes no sense.
pub(super) fn positive<T: TryFrom<u64>>(text: &str) -> Result<T, BadValue> {
    match unsigned::<u64>(text)? {
        0 => Err(BadValue::new("must be greater than 0")),
        value => T::try_from(value).map_err(|_| BadValue::new("the number is too large")),
    }
}

/// Parses a count of which pwru says `int`: negative numbers are accepted there and act like 0.
pub(super) fn count(text: &str) -> Result<u64, BadValue> {
    match text.strip_prefix('-') {
        Some(rest) => unsigned::<u64>(rest).map(|_| 0),
        None => unsigned(text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Parses a size in bytes: a number with an optional suffix K, M or G (powers of 1024; `KiB` and `KB` too).
pub(super) fn size(text: &str) -> Result<u64, BadValue> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let shift = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(BadValue::new("expected a number of bytes such as 65536, 512K or 16M")),
    };
    let number: u64 =
        number.parse().map_err(|_| BadValue::new("expected a number of bytes such as 65536, 512K or 16M"))?;
    match number.checked_mul(1 << shift) {
        Some(0) => Err(BadValue::new("the size must not be 0")),
        Some(bytes) => Ok(bytes),
        None => Err(BadValue::new("the number is too large")),
    }
}

/// Splits a list as pwru does: one line of CSV, with `"` around items that hold a comma, `""` for a quote.
pub(super) fn list(text: &str) -> Result<Vec<String>, BadValue> {
    let mut items = Vec::new();
    if text.is_empty() {
        return Ok(items);
    }
    let mut rest = text;
    loop {
        let mut item = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted;
            loop {
                let end = rest.find('"').ok_or_else(|| BadValue::new("a quoted item has no closing `\"`"))?;
                item.push_str(&rest[..end]);
                rest = &rest[end + 1..];
                match rest.strip_prefix('"') {
                    Some(after) => {
                        item.push('"');
                        rest = after;
                    }
                    None => break,
                }
            }
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(BadValue::new("text follows the closing `\"` of an item"));
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            item.push_str(&rest[..end]);
            rest = &rest[end..];
            if item.contains('"') {
                return Err(BadValue::new("an item with `\"` inside must be quoted as a whole"));
            }
        }
        items.push(item);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Ok(items),
        }
    }
}

/// Checks that `text` is a list; splitting it is left to the end of parsing, because repeats append.
pub(super) fn checked_list(text: &str) -> Result<String, BadValue> {
    list(text).map(|_| text.to_owned())
}

/// `--filter-mark`: lets a packet through if `skb->mark & mask == value & mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Wanted bits; those outside `mask` are 0.
    pub value: u32,
    /// Bits that are compared; never 0.
    pub mask: u32,
}

/// Parses `mark[/mask]`; a mask of 0 compares nothing and so is no filter.
pub(super) fn mark(text: &str) -> Result<Maybe<Mark>, BadValue> {
    let bad = || BadValue::new("expected mark[/mask], each a 32-bit number such as 256 or 0x100");
    let number = |part: &str| match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some(hex) if hex.chars().all(|c| c.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16).map_err(|_| bad()),
        None if part.chars().all(|c| c.is_ascii_digit()) => part.parse().map_err(|_| bad()),
        _ => Err(bad()),
    };
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (number(value)?, number(mask)?),
        None => (number(text)?, u32::MAX),
    };
    Ok((mask != 0).then_some(Mark { value: value & mask, mask }))
}

/// `--filter-netns`: which network namespace a packet must be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetnsSpec {
    /// The namespace that this file stands for, such as `/proc/1/ns/net` or `/run/netns/blue`.
    Path(PathBuf),
    /// The namespace with this inode number.
    Inode(u32),
}

impl FromStr for NetnsSpec {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadValue::new("expected a path such as /proc/1/ns/net, or inode:NUMBER");
        if text.starts_with('/') {
            return Ok(NetnsSpec::Path(text.into()));
        }
        let digits = text.strip_prefix("inode:").ok_or_else(bad)?;
        if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
            return Err(bad());
        }
        digits.parse().map(NetnsSpec::Inode).map_err(|_| BadValue::new("the number is too large"))
    }
}

/// Defines an enum whose variants are words on the command line.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every word, in the order of the variants.
            pub const WORDS: &[&str] = &[$($word),*];

            /// The word on the command line.
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }

        impl FromStr for $name {
            type Err = BadValue;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok($name::$variant),)*
                    _ => Err(BadValue::new(format!("expected {}", one_of($name::WORDS)))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// `--backend`: how the programs are attached.
    Backend {
        /// One perf event per function; every kernel, slow to attach.
        Kprobe = "kprobe",
        /// One link for all functions of an argument position. Linux 5.18 with CONFIG_FPROBE.
        KprobeMulti = "kprobe-multi",
        /// One trampoline per function. Linux 5.5.
        Fentry = "fentry",
        /// The kernel's own tracepoints that carry an skb.
        Tracepoint = "tracepoint",
    }
}

words! {
    /// `--event-buffer`: how records reach user space.
    EventBuffer {
        /// One ring buffer for all CPUs. Linux 5.8.
        Ring = "ring",
        /// One perf buffer per CPU.
        Perf = "perf",
    }
}

words! {
    /// `--timestamp`: which time columns a line has.
    Timestamp {
        /// None.
        None = "none",
        /// Nanoseconds of CLOCK_MONOTONIC.
        Current = "current",
        /// Nanoseconds since the line before with the same skb.
        Relative = "relative",
        /// Local wall time with milliseconds, and the nanoseconds of CLOCK_MONOTONIC.
        Absolute = "absolute",
    }
}

words! {
    /// `--dump`: prints one intermediate form and ends.
    Dump {
        /// What will be traced, and why so.
        Plan = "plan",
        /// The decision graph of the packet expression.
        Graph = "graph",
        /// The packet expression as classic BPF.
        Cbpf = "cbpf",
        /// The programs, as listings.
        Programs = "programs",
        /// The verifier's whole log.
        Verifier = "verifier",
    }
}

words! {
    /// `whither filter --link-type`: what a packet starts with.
    LinkType {
        /// An Ethernet header.
        En10mb = "EN10MB",
        /// An IPv4 or IPv6 header.
        Raw = "RAW",
    }
}

words! {
    /// `whither filter --emit`: which form of the filter is printed.
    Emit {
        /// Classic BPF as `tcpdump -ddd` prints it.
        Cbpf = "cbpf",
        /// Classic BPF as `tcpdump -d` prints it.
        Listing = "listing",
        /// eBPF.
        Ebpf = "ebpf",
        /// The decision graph.
        Graph = "graph",
    }
}

/// "a, b or c".
fn one_of(words: &[&str]) -> String {
    match words {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        _ => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_pflag_reads_them() {
        for (text, want) in
            [("0", 0), ("12", 12), ("0x1F", 31), ("0b11", 3), ("0o17", 15), ("017", 15), ("1_000", 1000)]
        {
            assert_eq!(unsigned::<u64>(text), Ok(want), "{text}");
        }
        for text in ["", "x", "-1", "1.5", "0x", "08", "1__0", "_1", "1_", "18446744073709551616"] {
            assert!(unsigned::<u64>(text).is_err(), "{text}");
        }
        assert_eq!(unsigned::<u8>("255"), Ok(255));
        assert!(unsigned::<u8>("256").is_err());
        assert_eq!(count("-3"), Ok(0));
        assert_eq!(count("7"), Ok(7));
        assert!(count("-").is_err());
    }

    #[test]
    fn sizes_have_suffixes() {
        for (text, want) in
            [("4096", 4096), ("512K", 512 << 10), ("16M", 16 << 20), ("1GiB", 1 << 30), ("2mb", 2 << 20)]
        {
            assert_eq!(size(text), Ok(want), "{text}");
        }
        for text in ["", "0", "M", "16X", "1.5M", "-1", "99999999999G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_are_csv() {
        let split = |text| list(text).map(|items| items.join("|"));
        assert_eq!(split(""), Ok("".into()));
        assert_eq!(split("a,b"), Ok("a|b".into()));
        assert_eq!(split("\"a,b\",c"), Ok("a,b|c".into()));
        assert_eq!(split("\"say \"\"hi\"\"\""), Ok("say \"hi\"".into()));
        assert_eq!(split("a,,b"), Ok("a||b".into()));
        for text in ["\"a", "a\"b", "\"a\"b", "a,\""] {
            assert!(list(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mark_has_a_mask() {
        let full = |value| Ok(Some(Mark { value, mask: u32::MAX }));
        assert_eq!(mark("0"), full(0));
        assert_eq!(mark("256"), full(256));
        assert_eq!(mark("0xa00"), full(0xa00));
        assert_eq!(mark("0xaff/0xf00"), Ok(Some(Mark { value: 0xa00, mask: 0xf00 })));
        assert_eq!(mark("0/0"), Ok(None));
        for text in ["", "zzz", "1/", "/1", "1/2/3", "-1", "+1", "0x", "4294967296", "1 "] {
            assert!(mark(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_netns_is_a_path_or_an_inode() {
        assert_eq!("/proc/1/ns/net".parse(), Ok(NetnsSpec::Path("/proc/1/ns/net".into())));
        assert_eq!("inode:4026531840".parse(), Ok(NetnsSpec::Inode(4026531840)));
        for text in ["blue", "inode:", "inode:-1", "inode:+1", "inode:0x1", "4026531840"] {
            assert!(text.parse::<NetnsSpec>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_wrong_word_names_the_right_ones() {
        let error = "tracing".parse::<Backend>().unwrap_err().to_string();
        assert_eq!(error, "expected kprobe, kprobe-multi, fentry or tracepoint");
        assert_eq!(maybe::<Backend>(""), Ok(None));
        assert_eq!(maybe::<Backend>("fentry"), Ok(Some(Backend::Fentry)));
    }
}
