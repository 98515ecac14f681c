//! What a record's function number stands for.

use crate::decode::Function;

use super::clean::clean;

/// One thing that can be hit, as the plan names it; its place in the list is its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetName {
    /// Name of the kernel symbol: `ip_rcv`, `br_handle_frame[bridge]`, `bpf_prog_<tag>_<name>[bpf]`.
    pub name: String,
    /// What kind of thing it is.
    pub kind: TargetKind,
    /// Whether [`Event::reason`](crate::decode::Event::reason) of its hits belongs to the name.
    pub has_reason: bool,
    /// Where it starts, which can be several places; needed only where records carry addresses.
    pub addresses: Vec<u64>,
}

/// A BPF program that is traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramName {
    /// Name of its symbol, without `[bpf]`.
    pub symbol: String,
    /// What kind of program it is.
    pub kind: TargetKind,
    /// The id that `bpftool` and `tc` show.
    pub id: u32,
    /// The tag that they show.
    pub tag: [u8; 8],
    /// Its name.
    pub name: String,
}

/// What kind of thing is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A function or a tracepoint of the kernel.
    Function,
    /// A tc program.
    Tc,
    /// An XDP program.
    Xdp,
}

/// Functions by number.
#[derive(Debug, Default)]
pub struct Functions {
    text: Vec<u8>,
    entries: Vec<Entry>,
    /// What the last entries stand for.
    programs: Vec<ProgramName>,
    /// Start addresses with the index of the function, sorted.
    by_address: Vec<(u64, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    end: u32,
    has_reason: bool,
}

/// A probe lies at most this many bytes behind the start of its function: `endbr64` and the breakpoint on x86_64, two
/// instructions on aarch64.
const PROBE_OFFSET: u64 = 16;

impl Functions {
    /// A table of `targets`, in the order of their indices.
    pub fn new(targets: &[TargetName]) -> Functions {
        let mut functions = Functions::default();
        for (index, target) in targets.iter().enumerate() {
            functions.push(&target.name, target.kind, target.has_reason);
            functions.by_address.extend(target.addresses.iter().map(|&address| (address, index as u32)));
        }
        functions.by_address.sort_unstable();
        functions
    }

    fn push(&mut self, name: &str, kind: TargetKind, has_reason: bool) {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(clean(name.as_bytes()).as_bytes());
        self.text.extend_from_slice(match kind {
            TargetKind::Function => b"",
            TargetKind::Tc => b"(tc)",
            TargetKind::Xdp => b"(xdp)",
        });
        self.entries.push(Entry { start, end: self.text.len() as u32, has_reason });
    }

    /// Adds a program, which gets the next index. Its name is escaped.
    pub fn add(&mut self, mut program: ProgramName) {
        self.push(&format!("{}[bpf]", program.symbol), program.kind, false);
        program.name = clean(program.name.as_bytes()).into_owned();
        self.programs.push(program);
    }

    /// The program that `function` is, if it is one.
    pub fn program(&self, function: Function) -> Option<&ProgramName> {
        let Function::Index(index) = function else { return None };
        self.programs.get((index as usize).checked_sub(self.entries.len() - self.programs.len())?)
    }

    /// The name with its kind, and whether a drop reason belongs to it; `None` if `function` is not in the table.
    pub fn get(&self, function: Function) -> Option<(&[u8], bool)> {
        let index = match function {
            Function::Unknown => return None,
            Function::Index(index) => index,
            Function::Address(address) => {
                let after = self.by_address.partition_point(|(start, _)| *start <= address);
                let (start, index) = *self.by_address.get(after.checked_sub(1)?)?;
                if address - start > PROBE_OFFSET {
                    return None;
                }
                index
            }
        };
        let entry = self.entries.get(index as usize)?;
        Some((&self.text[entry.start as usize..entry.end as usize], entry.has_reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str, kind: TargetKind, address: u64) -> TargetName {
        TargetName { name: name.into(), kind, has_reason: name.starts_with("kfree"), addresses: vec![address] }
    }

    #[test]
    fn a_number_or_an_address_finds_the_name() {
        let functions = Functions::new(&[
            target("kfree_skb", TargetKind::Function, 0x2000),
            target("bpf_prog_1_x[bpf]", TargetKind::Xdp, 0x1000),
            target("a\x1bb", TargetKind::Tc, 0x3000),
        ]);
        let name = |function| functions.get(function).map(|(name, reason)| (str::from_utf8(name).unwrap(), reason));
        assert_eq!(name(Function::Index(0)), Some(("kfree_skb", true)));
        assert_eq!(name(Function::Index(1)), Some(("bpf_prog_1_x[bpf](xdp)", false)));
        assert_eq!(name(Function::Index(2)), Some((r"a\x1bb(tc)", false)));
        assert_eq!(name(Function::Index(3)), None);
        assert_eq!(name(Function::Address(0x2004)), Some(("kfree_skb", true)));
        assert_eq!(name(Function::Address(0x1000)), Some(("bpf_prog_1_x[bpf](xdp)", false)));
        assert_eq!(name(Function::Address(0xfff)), None);
        assert_eq!(name(Function::Address(0x2011)), None);
    }
}
