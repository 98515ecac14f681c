//! `/proc/kallsyms`: the names and addresses of the kernel.
//!
//! Every line is `address type name`, then a TAB and `[module]` for what does not belong to the kernel itself. BPF
//! programs appear as functions `bpf_prog_<tag>_<name>` of a module called `bpf`. The file has 120,000 lines and more,
//! and the kernel makes it up 4 KiB at a time, so it is read once and in a stream: [`scan`] keeps nothing,
//! [`Addresses`] keeps the functions that were asked for, [`Symbols`] keeps all code for stack traces.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::lines::{LineReader, NameSet};

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The address; 0 where addresses are hidden.
    pub address: u64,
    /// The type letter as `nm` uses it: `t` and `T` are code, `w` and `W` weak symbols.
    pub letter: u8,
    /// The name.
    pub name: &'a str,
    /// The module; `bpf` for BPF programs; `None` for the kernel itself.
    pub module: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// Parses a line without its line end; `None` if it is not one.
    pub fn parse(line: &'a [u8]) -> Option<Line<'a>> {
        let digits = line.iter().position(|&b| b == b' ')?;
        let address = hex(&line[..digits])?;
        let (&[letter, b' '], name) = line.get(digits + 1..)?.split_first_chunk::<2>()? else { return None };
        let (name, module) = match name.iter().position(|&b| b == b'\t') {
            Some(tab) => (&name[..tab], Some(module_name(&name[tab + 1..])?)),
            None => (name, None),
        };
        if name.is_empty() {
            return None;
        }
        Some(Line { address, letter, name: str::from_utf8(name).ok()?, module })
    }

    /// True for what can be on a stack.
    pub fn is_code(&self) -> bool {
        matches!(self.letter, b't' | b'T' | b'w' | b'W')
    }
}

/// The name within `[name]`.
pub(super) fn module_name(text: &[u8]) -> Option<&str> {
    let inner = text.strip_prefix(b"[")?.strip_suffix(b"]")?;
    str::from_utf8(inner).ok()
}

/// At most 16 hexadecimal digits, without a prefix.
pub(super) fn hex(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0, |value, &b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'a'..=b'f' => b - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

/// Why there are no symbols.
#[derive(Debug)]
pub enum SymbolsError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// All addresses are zero. The value of `kernel.kptr_restrict`, if it could be read.
    Hidden(Option<u32>),
    /// No line looks like a symbol.
    Empty(PathBuf),
}

impl fmt::Display for SymbolsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SymbolsError::Unreadable(path, e) => write!(f, "cannot read {}: {e}", path.display()),
            SymbolsError::Hidden(Some(2..)) => {
                f.write_str("all addresses in /proc/kallsyms are zero, because kernel.kptr_restrict is 2")
            }
            SymbolsError::Hidden(_) => f.write_str("all addresses in /proc/kallsyms are zero: CAP_SYSLOG is missing"),
            SymbolsError::Empty(path) => write!(f, "{} has no symbols", path.display()),
        }
    }
}

impl SymbolsError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            SymbolsError::Hidden(Some(2..)) => Some("sysctl kernel.kptr_restrict=1"),
            _ => None,
        }
    }
}

impl std::error::Error for SymbolsError {}

/// Where the symbols of a host are.
#[derive(Clone, Debug)]
pub struct Source {
    kallsyms: PathBuf,
    kptr_restrict: PathBuf,
}

impl Source {
    /// The files under a `/proc`.
    pub fn new(proc: &Path) -> Source {
        Source { kallsyms: proc.join("kallsyms"), kptr_restrict: proc.join("sys/kernel/kptr_restrict") }
    }

    /// Calls `visit` for every line. Fails if there is none, or none with an address.
    pub fn scan(&self, mut visit: impl FnMut(Line<'_>)) -> Result<(), SymbolsError> {
        let unreadable = |e| SymbolsError::Unreadable(self.kallsyms.clone(), e);
        let file = std::fs::File::open(&self.kallsyms).map_err(unreadable)?;
        let (mut lines, mut addresses) = (0u64, 0);
        scan(file, |line| {
            lines += 1;
            addresses |= line.address;
            visit(line);
        })
        .map_err(unreadable)?;
        match (lines, addresses) {
            (0, _) => Err(SymbolsError::Empty(self.kallsyms.clone())),
            // Symbols of the per-CPU area are at 0 everywhere, but they are not alone.
            (_, 0) => {
                let value = std::fs::read_to_string(&self.kptr_restrict).ok();
                Err(SymbolsError::Hidden(value.and_then(|text| text.trim().parse().ok())))
            }
            _ => Ok(()),
        }
    }

    /// The addresses of the functions in `wanted`.
    pub fn addresses(&self, wanted: &NameSet) -> Result<Addresses, SymbolsError> {
        let mut builder = AddressesBuilder::default();
        self.scan(|line| builder.line(line, wanted))?;
        Ok(builder.finish())
    }

    /// All code, for stack traces and callers.
    pub fn symbols(&self) -> Result<Symbols, SymbolsError> {
        let mut builder = SymbolsBuilder::default();
        self.scan(|line| builder.line(line))?;
        Ok(builder.finish())
    }
}

/// Calls `visit` for every line that is a symbol.
pub fn scan(file: impl Read, mut visit: impl FnMut(Line<'_>)) -> io::Result<()> {
    let mut lines = LineReader::new(file);
    while let Some(line) = lines.next()? {
        if let Some(line) = Line::parse(line) {
            visit(line);
        }
    }
    Ok(())
}

/// A place where a wanted function was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which name of the set.
    pub name: u32,
    /// Where it begins.
    pub address: u64,
    /// Its module.
    pub module: Option<Box<str>>,
    /// The last name that the kernel lists for this address: mostly the same one. It is what pwru prints.
    pub shown: Box<str>,
}

/// Where the functions of a set of names are. A name can be in several places: static functions of different files.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    found: Vec<Found>,
}

impl Addresses {
    /// All places, ordered by name (its number in the set), then as the kernel lists them.
    pub fn all(&self) -> &[Found] {
        &self.found
    }

    /// The places of one name.
    pub fn of(&self, name: u32) -> &[Found] {
        let begin = self.found.partition_point(|f| f.name < name);
        let end = self.found.partition_point(|f| f.name <= name);
        &self.found[begin..end]
    }
}

/// Collects [`Addresses`]; aliases stand next to each other because the kernel's own symbols are sorted by address.
#[derive(Default)]
struct AddressesBuilder {
    found: Vec<Found>,
    /// The address of the last line, its name, and how many entries of `found` have this address.
    address: u64,
    last: String,
    here: usize,
}

impl AddressesBuilder {
    fn line(&mut self, line: Line<'_>, wanted: &NameSet) {
        if line.address != self.address {
            self.end_of_address();
            self.address = line.address;
        }
        if let Some(name) = wanted.find(line.name)
            && line.is_code()
        {
            let module = line.module.map(Box::from);
            self.found.push(Found { name, address: line.address, module, shown: Box::default() });
            self.here += 1;
        }
        if self.here > 0 {
            self.last.clear();
            self.last.push_str(line.name);
        }
    }

    fn end_of_address(&mut self) {
        let begin = self.found.len() - self.here;
        for found in &mut self.found[begin..] {
            found.shown = Box::from(self.last.as_str());
        }
        self.here = 0;
    }

    fn finish(mut self) -> Addresses {
        self.end_of_address();
        self.found.sort_by_key(|f| f.name);
        Addresses { found: self.found }
    }
}

/// All code of the kernel, its modules and BPF programs, sorted by address.
pub struct Symbols {
    /// Sorted; one entry per address.
    addresses: Vec<u64>,
    /// Where the name of the symbol begins in `text`.
    names: Vec<u32>,
    /// `name`, then `[module]` if there is one, each entry ended by a line end.
    text: String,
}

/// A symbol and how far an address is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// The name; `name[module]` for modules, as pwru prints them.
    pub name: &'a str,
    /// Bytes from the beginning of the symbol.
    pub offset: u64,
}

impl Symbols {
    /// The symbols of a `/proc/kallsyms` text.
    pub fn read(file: impl Read) -> io::Result<Symbols> {
        let mut builder = SymbolsBuilder::default();
        scan(file, |line| builder.line(line))?;
        Ok(builder.finish())
    }

    /// The largest symbol that is not above `address`; of several at one address, the last one listed.
    pub fn nearest(&self, address: u64) -> Option<Symbol<'_>> {
        let n = self.addresses.partition_point(|&a| a <= address).checked_sub(1)?;
        Some(Symbol { name: self.name(n), offset: address - self.addresses[n] })
    }

    /// The symbol that begins at `address`; of several, the last one listed.
    pub fn exact(&self, address: u64) -> Option<&str> {
        self.addresses.binary_search(&address).ok().map(|n| self.name(n))
    }

    /// The number of different addresses.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// True if there is no symbol.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    fn name(&self, n: usize) -> &str {
        let rest = &self.text[self.names[n] as usize..];
        rest.split('\n').next().unwrap_or_default()
    }
}

#[derive(Default)]
struct SymbolsBuilder {
    /// Address and position in the text, in the order of the file.
    entries: Vec<(u64, u32)>,
    text: String,
}

impl SymbolsBuilder {
    fn line(&mut self, line: Line<'_>) {
        // Code at 0 is not code; a text of 4 GiB is not kallsyms.
        let (true, Ok(at)) = (line.is_code() && line.address != 0, u32::try_from(self.text.len())) else { return };
        self.entries.push((line.address, at));
        self.text.push_str(line.name);
        if let Some(module) = line.module {
            self.text.extend(["[", module, "]"]);
        }
        self.text.push('\n');
    }

    fn finish(mut self) -> Symbols {
        // Positions grow with the file: the last alias comes last, and stays.
        self.entries.sort_unstable();
        let (mut addresses, mut names) = (Vec::with_capacity(self.entries.len()), Vec::new());
        names.reserve_exact(self.entries.len());
        for (address, name) in self.entries {
            if addresses.last() == Some(&address) {
                names.pop();
            } else {
                addresses.push(address);
            }
            names.push(name);
        }
        self.text.shrink_to_fit();
        Symbols { addresses, names, text: self.text }
    }
}
