//! What a record's function number stands for.

use crate::decode::Function;

use crate::clean::clean;

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
    /// Whether it is traced by a breakpoint, not by fentry: stacks begin in it.
    pub by_breakpoint: bool,
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
    /// The entries that are BPF programs.
    programs: Vec<ProgramName>,
    /// Start addresses with the index of the function, sorted.
    by_address: Vec<(u64, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    end: u32,
    has_reason: bool,
    /// One more than the index of the program that it is, 0 if it is none.
    program: u32,
}

/// A probe lies at most this many bytes behind the start of its function: `endbr64` and the breakpoint on x86_64, two
/// instructions on aarch64.
const PROBE_OFFSET: u64 = 16;

impl Functions {
    /// A table of `targets`, in the order of their indices.
    pub fn new(targets: &[TargetName]) -> Functions {
        let mut functions = Functions::default();
        targets.iter().for_each(|target| functions.push(target));
        functions.by_address.sort_unstable();
        functions
    }

    /// How many indices are taken.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing can be hit.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn push(&mut self, target: &TargetName) {
        let index = self.entries.len() as u32;
        self.push_name(&target.name, target.kind, target.has_reason, 0);
        self.by_address.extend(target.addresses.iter().map(|&address| (address, index)));
    }

    /// Adds a function, which gets the next index.
    pub fn add_function(&mut self, target: &TargetName) {
        self.push(target);
        self.by_address.sort_unstable();
    }

    /// Adds places of functions: indices and addresses. Of two functions of one place it is the later one's.
    pub fn add_places(&mut self, places: &[(u32, u64)]) {
        self.by_address.extend(places.iter().map(|&(index, address)| (address, index)));
        self.by_address.sort_unstable();
    }

    fn push_name(&mut self, name: &str, kind: TargetKind, has_reason: bool, program: u32) {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(clean(name.as_bytes()).as_bytes());
        self.text.extend_from_slice(match kind {
            TargetKind::Function => b"",
            TargetKind::Tc => b"(tc)",
            TargetKind::Xdp => b"(xdp)",
        });
        self.entries.push(Entry { start, end: self.text.len() as u32, has_reason, program });
    }

    /// Adds a program, which gets the next index. Its name is escaped.
    pub fn add(&mut self, mut program: ProgramName) {
        let number = self.programs.len() as u32 + 1;
        self.push_name(&format!("{}[bpf]", program.symbol), program.kind, false, number);
        program.name = clean(program.name.as_bytes()).into_owned();
        self.programs.push(program);
    }

    /// The program that `function` is, if it is one.
    pub fn program(&self, function: Function) -> Option<&ProgramName> {
        let Function::Index(index) = function else { return None };
        let number = self.entries.get(index as usize)?.program;
        self.programs.get(number.checked_sub(1)? as usize)
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

    #[test]
    fn what_comes_later_gets_the_next_index() {
        let mut functions = Functions::new(&[target("ip_rcv", TargetKind::Function, 0x1000)]);
        let tag = [0; 8];
        let symbol = "bpf_prog_0_lab".to_owned();
        let name = "lab".to_owned();
        functions.add(ProgramName { symbol, kind: TargetKind::Tc, id: 7, tag, name, by_breakpoint: false });
        functions.add_function(&target("dummy_xmit[dummy]", TargetKind::Function, 0x5000));
        functions.add_places(&[(0, 0x6000), (2, 0x1000)]);
        let name = |function| functions.get(function).map(|(name, _)| str::from_utf8(name).unwrap());
        assert_eq!(functions.len(), 3);
        assert_eq!(name(Function::Index(1)), Some("bpf_prog_0_lab[bpf](tc)"));
        assert_eq!(name(Function::Address(0x5000)), Some("dummy_xmit[dummy]"));
        assert_eq!(name(Function::Address(0x6000)), Some("ip_rcv"));
        assert_eq!(name(Function::Address(0x1000)), Some("dummy_xmit[dummy]"), "the later one is there now");
        let is_program = |index| functions.program(Function::Index(index)).is_some();
        assert_eq!([0, 1, 2, 3].map(is_program), [false, true, false, false]);
    }
}
