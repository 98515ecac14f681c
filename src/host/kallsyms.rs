//! `/proc/kallsyms`: the names and addresses of the kernel.
//!
//! Every line is `address type name`, then a TAB and `[module]` for what does not belong to the kernel itself. BPF
//! programs appear as functions `bpf_prog_<tag>_<name>` of a module called `bpf`. The file has 120,000 lines and more,
//! and the kernel makes it up 4 KiB at a time, so it is read once and in a stream: [`scan`] keeps nothing,
//! [`Addresses`] keeps the functions that were asked for, [`Symbols`] keeps all code for stack traces.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::lines::{LineReader, NameSet, find_byte};
use crate::clean;

/// One line, still text: most lines are passed over, and nothing is computed for those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    digits: &'a [u8],
    /// The type letter as `nm` uses it: `t` and `T` are code, `w` and `W` weak symbols.
    pub letter: u8,
    /// The name.
    pub name: &'a [u8],
    /// The module, in brackets; empty for the kernel itself.
    module: &'a [u8],
}

impl<'a> Line<'a> {
    /// Parses a line without its line end; `None` if it is not one.
    #[inline]
    pub fn parse(line: &'a [u8]) -> Option<Line<'a>> {
        // Addresses have 16 digits, except in texts of other origin.
        let (digits, rest) = match line.split_at_checked(16) {
            Some((digits, rest)) if rest.first() == Some(&b' ') => (digits, rest),
            _ => line.split_at(find_byte(b' ', line)?),
        };
        let (&[_, letter, b' '], name) = rest.split_first_chunk::<3>()? else { return None };
        let (name, module) = match find_byte(b'\t', name) {
            Some(tab) => (&name[..tab], &name[tab + 1..]),
            None => (name, &[][..]),
        };
        (!name.is_empty()).then_some(Line { digits, letter, name, module })
    }

    /// The address; 0 where addresses are hidden, or if there is none in the text.
    pub fn address(&self) -> u64 {
        hex(self.digits).unwrap_or(0)
    }

    /// The module; `bpf` for BPF programs; `None` for the kernel itself.
    pub fn module(&self) -> Option<&'a str> {
        module_name(self.module)
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

/// At most 16 hexadecimal digits, lower case, without a prefix.
pub(super) fn hex(digits: &[u8]) -> Option<u64> {
    if let Some((high, low)) = digits.as_chunks::<8>().0.split_first()
        && let ([low], []) = (low, digits.as_chunks::<8>().1)
    {
        return Some(hex8(*high)? << 32 | hex8(*low)?);
    }
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let mut padded = [b'0'; 16];
    padded[16 - digits.len()..].copy_from_slice(digits);
    hex(&padded)
}

/// Eight hexadecimal digits at once.
fn hex8(digits: [u8; 8]) -> Option<u64> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let text = u64::from_be_bytes(digits);
    // Bytes are below 128 if all is well, so that these sums do not run into each other.
    if text & ONES << 7 != 0 {
        return None;
    }
    let at_least = |bound: u8| (text + ONES * u64::from(128 - bound)) & ONES << 7;
    let is_digit = at_least(b'0') & !at_least(b'9' + 1);
    let is_letter = at_least(b'a') & !at_least(b'f' + 1);
    if is_digit | is_letter != ONES << 7 {
        return None;
    }
    // 0x30-0x39 are 0-9 in their low half, 0x61-0x66 are 1-6.
    let halves = (text & (ONES * 15)) + (is_letter >> 7) * 9;
    let bytes = (halves | halves >> 4) & 0x00ff_00ff_00ff_00ff;
    let words = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    Some((words | words >> 16) & 0xffff_ffff)
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
            SymbolsError::Unreadable(path, e) => write!(f, "cannot read {}: {e}", clean::path(path)),
            SymbolsError::Hidden(Some(2..)) => {
                f.write_str("all addresses in /proc/kallsyms are zero, because kernel.kptr_restrict is 2")
            }
            SymbolsError::Hidden(_) => f.write_str("all addresses in /proc/kallsyms are zero: CAP_SYSLOG is missing"),
            SymbolsError::Empty(path) => write!(f, "{} has no symbols", clean::path(path)),
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
        let (mut lines, mut visible) = (0u64, false);
        scan(file, |line| {
            lines += 1;
            // Symbols of the per-CPU area are at 0 everywhere, but they are not alone.
            visible = visible || line.address() != 0;
            visit(line);
        })
        .map_err(unreadable)?;
        match (lines, visible) {
            (0, _) => Err(SymbolsError::Empty(self.kallsyms.clone())),
            (_, false) => {
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
    /// The address of the last line, as text.
    digits: [u8; 16],
    /// The last name of that address, and how many entries of `found` have it.
    last: Vec<u8>,
    here: usize,
}

impl AddressesBuilder {
    fn line(&mut self, line: Line<'_>, wanted: &NameSet) {
        if self.here > 0 && line.digits != self.digits {
            self.end_of_address();
        }
        if let Some(name) = wanted.find(line.name)
            && line.is_code()
        {
            let module = line.module().map(Box::from);
            self.found.push(Found { name, address: line.address(), module, shown: Box::default() });
            self.here += 1;
            if let Ok(digits) = line.digits.try_into() {
                self.digits = digits;
            }
        }
        if self.here > 0 {
            self.last.clear();
            self.last.extend(line.name);
        }
    }

    fn end_of_address(&mut self) {
        let begin = self.found.len() - self.here;
        for found in &mut self.found[begin..] {
            found.shown = String::from_utf8_lossy(&self.last).into();
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
    text: Vec<u8>,
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
        let rest = self.text.get(self.names[n] as usize..).unwrap_or_default();
        str::from_utf8(&rest[..find_byte(b'\n', rest).unwrap_or(rest.len())]).unwrap_or_default()
    }
}

#[derive(Default)]
struct SymbolsBuilder {
    /// Address and position in the text, in the order of the file.
    entries: Vec<(u64, u32)>,
    text: Vec<u8>,
}

impl SymbolsBuilder {
    fn line(&mut self, line: Line<'_>) {
        if !line.is_code() {
            return;
        }
        // Code at 0 is not code; a text of 4 GiB is not kallsyms.
        let (address @ 1.., Ok(at)) = (line.address(), u32::try_from(self.text.len())) else { return };
        self.entries.push((address, at));
        self.text.extend(line.name);
        self.text.extend(line.module);
        self.text.push(b'\n');
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81a00000 t tcp_rcv
ffffffff81a00000 T tcp_receive
ffffffff81a00040 T ip_rcv
ffffffff81a00080 t dup
ffffffff81a000c0 t dup
ffffffff82000000 D ip_rcv_data
ffffffffc0a01000 t veth_xmit\t[veth]
ffffffffc0b00000 t bpf_prog_6deef7357e7b4530_drop\t[bpf]
not a line
ffffffff81a00100 t
";

    #[test]
    fn lines() {
        let line = Line::parse(b"ffffffffc0a01000 t veth_xmit\t[veth]").unwrap();
        assert_eq!(
            (line.address(), line.name, line.module()),
            (0xffff_ffff_c0a0_1000, &b"veth_xmit"[..], Some("veth"))
        );
        assert!(line.is_code());
        let short = Line::parse(b"c0de T x").unwrap();
        assert_eq!((short.address(), short.module()), (0xc0de, None));
        for text in ["", " ", "x", "ffffffff81000000", "ffffffff81000000 ", "ffffffff81000000 T", "ffffffff81000000 T "]
        {
            assert_eq!(Line::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn hexadecimal() {
        for value in [0, 1, 9, 0xa, 0xf, 0x10, 0xdead_beef, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(hex(format!("{value:x}").as_bytes()), Some(value));
            assert_eq!(hex(format!("{value:016x}").as_bytes()), Some(value));
        }
        for b in 0..=255u8 {
            let digit = (b as char).to_digit(16).filter(|_| !b.is_ascii_uppercase()).map(u64::from);
            assert_eq!(hex(&[b]), digit, "{b}");
            let mut digits = *b"0000000000000000";
            digits[11] = b;
            assert_eq!(hex(&digits), digit.map(|d| d << 16), "{b}");
        }
        assert_eq!(hex(b""), None);
        assert_eq!(hex(b"00000000000000000"), None);
    }

    #[test]
    fn wanted_functions_with_duplicates_and_aliases() {
        let names = NameSet::new(["ip_rcv", "dup", "tcp_rcv", "veth_xmit", "absent", "ip_rcv_data"]);
        let mut builder = AddressesBuilder::default();
        scan(TEXT.as_bytes(), |line| builder.line(line, &names)).unwrap();
        let found = builder.finish();
        let at = |name: &str| -> Vec<(u64, &str, Option<&str>)> {
            let places = found.of(names.find(name.as_bytes()).unwrap()).iter();
            places.map(|f| (f.address & 0xffff_ffff, &*f.shown, f.module.as_deref())).collect()
        };
        assert_eq!(at("ip_rcv"), [(0x81a0_0040, "ip_rcv", None)]);
        assert_eq!(at("dup"), [(0x81a0_0080, "dup", None), (0x81a0_00c0, "dup", None)]);
        assert_eq!(at("tcp_rcv"), [(0x81a0_0000, "tcp_receive", None)]);
        assert_eq!(at("veth_xmit"), [(0xc0a0_1000, "veth_xmit", Some("veth"))]);
        assert_eq!(at("absent"), []);
        assert_eq!(at("ip_rcv_data"), [], "data is not a function");
        assert_eq!(found.all().len(), 5);
    }

    #[test]
    fn symbols_of_addresses() {
        let symbols = Symbols::read(TEXT.as_bytes()).unwrap();
        let near = |address: u64| symbols.nearest(0xffff_ffff_0000_0000 | address).map(|s| (s.name, s.offset));
        assert_eq!(symbols.nearest(0x1000), None);
        assert_eq!(near(0x8100_0010), Some(("_text", 0x10)));
        assert_eq!(near(0x81a0_003f), Some(("tcp_receive", 0x3f)));
        assert_eq!(near(0x81a0_0040), Some(("ip_rcv", 0)));
        assert_eq!(near(0xc0a0_1004), Some(("veth_xmit[veth]", 4)));
        assert_eq!(near(0xc0b0_0000), Some(("bpf_prog_6deef7357e7b4530_drop[bpf]", 0)));
        assert_eq!(symbols.exact(0xffff_ffff_81a0_00c0), Some("dup"));
        assert_eq!(symbols.exact(0xffff_ffff_81a0_00c1), None);
        assert_eq!(symbols.len(), 7);
    }

    #[test]
    fn hidden_addresses_are_an_error_with_the_sysctl() {
        let directory = std::env::temp_dir().join(format!("whither-kallsyms-{}", std::process::id()));
        let source = Source::new(&directory);
        let path = directory.join("kallsyms").display().to_string();
        let said = || source.symbols().err().unwrap().to_string();
        assert_eq!(said(), format!("cannot read {path}: No such file or directory (os error 2)"));
        std::fs::create_dir_all(directory.join("sys/kernel")).unwrap();
        std::fs::write(directory.join("kallsyms"), "0000000000000000 T _text\n0000000000000000 T ip_rcv\n").unwrap();
        let hidden = source.addresses(&NameSet::new(["ip_rcv"])).unwrap_err();
        assert_eq!(hidden.to_string(), "all addresses in /proc/kallsyms are zero: CAP_SYSLOG is missing");
        assert_eq!(hidden.hint(), None);
        std::fs::write(directory.join("sys/kernel/kptr_restrict"), "2\n").unwrap();
        let hidden = source.symbols().err().unwrap();
        assert_eq!(hidden.to_string(), "all addresses in /proc/kallsyms are zero, because kernel.kptr_restrict is 2");
        assert_eq!(hidden.hint(), Some("sysctl kernel.kptr_restrict=1"));
        std::fs::write(directory.join("kallsyms"), "").unwrap();
        assert_eq!(said(), format!("{path} has no symbols"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
