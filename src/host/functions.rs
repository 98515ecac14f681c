//! What ftrace can trace: the lists of traceable functions.
//!
//! `available_filter_functions` names every function with an ftrace site; `available_filter_functions_addrs` (since
//! Linux 6.5) gives its address too. Kprobe-multi attaches to nothing else. Both are refused with EPERM under lockdown
//! and to the unprivileged, and missing where tracefs is not mounted: tracing then goes on without them.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::kallsyms::{hex, module_name};
use super::lines::{LineReader, NameSet, find_byte};
use crate::clean;

/// The functions of a set of names that ftrace can trace.
#[derive(Clone, Debug, Default)]
pub struct Traceable {
    found: Vec<Site>,
    /// The file that was read.
    pub path: PathBuf,
    /// True if the list has addresses, so that kallsyms is not needed for them.
    pub with_addresses: bool,
}

/// A place that can be traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Which name of the set.
    pub name: u32,
    /// Where it is; 0 if the list has no addresses. Up to 4 bytes behind the symbol where the function begins with
    /// `endbr64` or `bti`.
    pub address: u64,
    /// Its module.
    pub module: Option<Box<str>>,
}

impl Traceable {
    /// All places, ordered by name (its number in the set), then as the kernel lists them.
    pub fn all(&self) -> &[Site] {
        &self.found
    }

    /// The places of one name.
    pub fn of(&self, name: u32) -> &[Site] {
        let begin = self.found.partition_point(|f| f.name < name);
        let end = self.found.partition_point(|f| f.name <= name);
        &self.found[begin..end]
    }
}

/// Why the list of traceable functions is not known. Not fatal.
#[derive(Debug)]
pub enum ListError {
    /// Neither place has the file: tracefs is not mounted, or the kernel has no function tracer.
    NotMounted,
    /// The kernel refuses: lockdown, or a capability is missing.
    Refused(PathBuf),
    /// Anything else.
    Unreadable(PathBuf, io::Error),
    /// It is read beside the symbols, by a thread that the kernel did not start.
    NoThread(io::Error),
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListError::NotMounted => f.write_str("tracefs is not mounted"),
            ListError::Refused(path) => write!(f, "{} is refused: lockdown or missing privilege", clean::path(path)),
            ListError::Unreadable(path, e) => write!(f, "cannot read {}: {e}", clean::path(path)),
            ListError::NoThread(e) => write!(f, "no thread: {e}"),
        }
    }
}

impl std::error::Error for ListError {}

/// Where the lists can be: under `/sys/kernel/tracing`, and before Linux 6.17 also under debugfs.
const PLACES: [&str; 2] = ["kernel/tracing", "kernel/debug/tracing"];

/// Which list to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Only names. In every kernel with ftrace.
    Names,
    /// Names and addresses. Since Linux 6.5.
    Addresses,
}

impl List {
    fn file(self) -> &'static str {
        match self {
            List::Names => "available_filter_functions",
            List::Addresses => "available_filter_functions_addrs",
        }
    }
}

/// Opens a list under a `/sys`, without reading it: the kernel makes the text up while it is read, which is what costs
/// time.
pub fn open(sys: &Path, list: List) -> Result<(File, PathBuf), ListError> {
    let mut refused = None;
    for place in PLACES {
        let path = sys.join(place).join(list.file());
        match File::open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(e) => match e.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => {}
                ErrorKind::PermissionDenied => refused = refused.or(Some(ListError::Refused(path))),
                _ => return Err(ListError::Unreadable(path, e)),
            },
        }
    }
    Err(refused.unwrap_or(ListError::NotMounted))
}

/// Finds the functions of `wanted` in the best list that this kernel has.
pub fn read(sys: &Path, wanted: &NameSet) -> Result<Traceable, ListError> {
    let (file, path, list) = match open(sys, List::Addresses) {
        Ok((file, path)) => (file, path, List::Addresses),
        Err(ListError::NotMounted) => open(sys, List::Names).map(|(file, path)| (file, path, List::Names))?,
        Err(e) => return Err(e),
    };
    let found = match parse(file, list, wanted) {
        Ok(found) => found,
        // Lockdown checks at the first read on some kernels.
        Err(e) if e.kind() == ErrorKind::PermissionDenied => return Err(ListError::Refused(path)),
        Err(e) => return Err(ListError::Unreadable(path, e)),
    };
    Ok(Traceable { found, path, with_addresses: list == List::Addresses })
}

/// Finds the functions of `wanted` in the text of a list.
pub fn parse(file: impl Read, list: List, wanted: &NameSet) -> io::Result<Vec<Site>> {
    let mut found = Vec::new();
    let mut lines = LineReader::new(file);
    while let Some(line) = lines.next()? {
        if let Some((address, name, module)) = parse_line(line, list)
            && let Some(name) = wanted.find(name)
        {
            found.push(Site { name, address: hex(address).unwrap_or(0), module: module_name(module).map(Box::from) });
        }
    }
    found.sort_by_key(|site| site.name);
    Ok(found)
}

/// `[address ]name[ [module]]`.
fn parse_line(line: &[u8], list: List) -> Option<(&[u8], &[u8], &[u8])> {
    let (address, line) = match list {
        List::Names => (&[][..], line),
        List::Addresses => split(line),
    };
    let (name, module) = split(line);
    (!name.is_empty()).then_some((address, name, module))
}

/// What comes before and after the first space.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match find_byte(b' ', line) {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &[]),
    }
}

/// The functions of `wanted` that kprobes refuses, by `/sys/kernel/debug/kprobes/blacklist`. Empty if it cannot be
/// read, which is usual: it only explains a refusal.
pub fn kprobe_blacklist(sys: &Path, wanted: &NameSet) -> Vec<u32> {
    let Ok(file) = File::open(sys.join("kernel/debug/kprobes/blacklist")) else { return Vec::new() };
    let mut found = Vec::new();
    let mut lines = LineReader::new(file);
    // `0xaddress-0xaddress<TAB>name`
    while let Ok(Some(line)) = lines.next() {
        found.extend(line.rsplit(|&b| b == b'\t').next().and_then(|name| wanted.find(name)));
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_not_used_has_its_reason() {
        let path = || PathBuf::from("/sys/kernel/tracing/available_filter_functions");
        for (error, text) in [
            (ListError::NotMounted, "tracefs is not mounted"),
            (
                ListError::Refused(path()),
                "/sys/kernel/tracing/available_filter_functions is refused: lockdown or missing privilege",
            ),
            (
                ListError::Unreadable(path(), ErrorKind::OutOfMemory.into()),
                "cannot read /sys/kernel/tracing/available_filter_functions: out of memory",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
