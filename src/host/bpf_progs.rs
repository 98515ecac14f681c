//! The tc and XDP programs that are loaded, whoever loaded them.

use crate::btf::{Btf, Kind, TypeId};
use crate::host::Symbols;
use crate::host::callees;
use crate::sys::progs;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// What a program works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgKind {
    /// An skb: `BPF_PROG_TYPE_SCHED_CLS`, in tc, tcx and netkit.
    Tc,
    /// A frame that is no skb yet: `BPF_PROG_TYPE_XDP`.
    Xdp,
}

impl ProgKind {
    /// By the kernel's number (`enum bpf_prog_type`).
    fn from_number(number: u32) -> Option<ProgKind> {
        match number {
            3 => Some(ProgKind::Tc),
            6 => Some(ProgKind::Xdp),
            _ => None,
        }
    }
}

impl fmt::Display for ProgKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProgKind::Tc => "tc",
            ProgKind::Xdp => "XDP",
        })
    }
}

/// What `bpftool prog` shows of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgLabel {
    /// What it works on.
    pub kind: ProgKind,
    /// Its id.
    pub id: u32,
    /// Its tag.
    pub tag: [u8; 8],
    /// Its name: that of its main function if its type information has it, else the one that it was loaded with.
    pub name: String,
}

impl fmt::Display for ProgLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProgLabel { kind, id, tag, name } = self;
        write!(f, "{kind} program `{}` (id {id}, tag {})", name.escape_debug(), Hex(tag))
    }
}

/// Bytes in hexadecimal.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A program that can be traced as far as is known.
#[derive(Debug)]
pub struct BpfProg {
    /// The program. While this is open the kernel keeps it.
    pub fd: OwnedFd,
    /// How it is named.
    pub label: ProgLabel,
    /// Name of its symbol in kallsyms, without `[bpf]`.
    pub symbol: String,
    /// Its main function in its own type information.
    pub main: u32,
    /// Whether that says that there is one argument: else the kernel does not know where the result is.
    pub has_one_argument: bool,
}

/// A program that cannot be traced.
#[derive(Debug)]
pub struct Skipped {
    /// How it is named; without it only the id is known.
    pub label: Result<ProgLabel, u32>,
    /// The reason.
    pub why: Why,
}

/// Why a program cannot be traced.
#[derive(Debug)]
pub enum Why {
    /// It was unloaded while it was looked at.
    Gone,
    /// It was loaded without type information.
    NoBtf,
    /// Its type information is damaged.
    BadBtf,
    /// The kernel says no.
    Refused(io::Error),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Gone => f.write_str("it is gone"),
            Why::NoBtf => f.write_str("it has no BTF"),
            Why::BadBtf => f.write_str("its BTF has no function for it"),
            Why::Refused(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.label {
            Ok(label) => write!(f, "{label} is not traced: {}", self.why),
            Err(id) => write!(f, "BPF program {id} is not traced: {}", self.why),
        }
    }
}

/// Finds programs, each once, those that are loaded later included.
#[derive(Debug)]
pub struct BpfProgs {
    /// Ids grow: the kernel starts again at 1 only after two billion programs.
    last: u32,
    tc: bool,
    xdp: bool,
}

impl BpfProgs {
    /// Looks for tc programs, XDP programs, or both.
    pub fn new(tc: bool, xdp: bool) -> BpfProgs {
        BpfProgs { last: 0, tc, xdp }
    }

    /// The next program that was not seen before; `None` if there is no other for the time being.
    ///
    /// Costs one system call if there is none. Fails if programs cannot be listed.
    pub fn find_new(&mut self) -> io::Result<Option<Result<BpfProg, Skipped>>> {
        while let Some(id) = progs::next_id(self.last)? {
            self.last = id;
            match self.look(id) {
                Ok(None) => {}
                Ok(Some(prog)) => return Ok(Some(Ok(prog))),
                Err(skipped) => return Ok(Some(Err(skipped))),
            }
        }
        Ok(None)
    }

    /// `None` if the program is of another kind.
    fn look(&self, id: u32) -> Result<Option<BpfProg>, Skipped> {
        let failed = |error: io::Error| {
            let gone = error.kind() == io::ErrorKind::NotFound;
            Skipped { label: Err(id), why: if gone { Why::Gone } else { Why::Refused(error) } }
        };
        let fd = progs::open(id).map_err(failed)?;
        let info = progs::info(fd.as_fd()).map_err(failed)?;
        let kind = match ProgKind::from_number(info.kind) {
            Some(kind) if (kind == ProgKind::Tc && self.tc) || (kind == ProgKind::Xdp && self.xdp) => kind,
            _ => return Ok(None),
        };
        let name = String::from_utf8_lossy(&info.name).into_owned();
        let mut label = ProgLabel { kind, id, tag: info.tag, name };
        let main = match info.main {
            Some(main) if info.btf_id != 0 => main,
            _ => return Err(Skipped { label: Ok(label), why: Why::NoBtf }),
        };
        let bytes = match progs::btf(info.btf_id) {
            Ok(bytes) => bytes,
            Err(error) => return Err(Skipped { label: Ok(label), why: Why::Refused(error) }),
        };
        let has_one_argument = match function(bytes, main) {
            Some((name, has_one_argument)) => {
                label.name = name;
                has_one_argument
            }
            None => return Err(Skipped { label: Ok(label), why: Why::BadBtf }),
        };
        // As the kernel names it (`bpf_prog_ksym_set_name`, kernel/bpf/core.c).
        let symbol = format!("bpf_prog_{}_{}", Hex(&info.main_tag), label.name);
        Ok(Some(BpfProg { fd, label, symbol, main, has_one_argument }))
    }
}

/// The name of a function in the type information of a program, and whether its one argument is a context.
fn function(btf: Vec<u8>, id: u32) -> Option<(String, bool)> {
    let btf = Btf::parse(btf, "BTF of a program").ok()?;
    let function = btf.get(TypeId(id)).ok()?;
    if function.kind() != Kind::Func || !function.is_named() {
        return None;
    }
    // Anything else makes the kernel pass five numbers (`unreliable` in kernel/bpf/verifier.c).
    let is_context = |id: TypeId| {
        let pointee = btf.get(id).and_then(|ptr| ptr.peel()).ok()?.target()?;
        let pointee = btf.get(pointee).and_then(|pointee| pointee.peel()).ok()?;
        (pointee.kind() == Kind::Struct).then(|| matches!(pointee.name(), "xdp_md" | "__sk_buff"))
    };
    let mut params = btf.functions().find(|func| func.id() == TypeId(id))?.proto().ok()?.param_types();
    let has_one_argument = params.next().and_then(is_context) == Some(true) && params.next().is_none();
    Some((function.name().to_owned(), has_one_argument))
}

/// What the loaded BPF programs call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callees {
    /// Names of kernel functions, sorted, each once.
    pub names: Vec<String>,
    /// How many programs were looked at.
    pub programs: usize,
    /// How many of them could not be read to their end.
    pub unread: usize,
}

/// Finds the kernel functions that loaded programs call directly, whoever loaded them: helpers and others, in the code
/// that the kernel compiled them to. Programs that go meanwhile are left out.
pub fn callees(symbols: &Symbols) -> io::Result<Callees> {
    let mut found = Callees::default();
    let mut last = 0;
    while let Some(id) = progs::next_id(last)? {
        last = id;
        let image = match progs::open(id).and_then(|program| progs::image(program.as_fd())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // Without code it counts as one that could not be read.
            image => image.unwrap_or_default(),
        };
        found.programs += 1;
        let mut rest = &image.code[..];
        let mut is_read = !image.code.is_empty();
        for (address, length) in image.functions {
            let (code, behind) = rest.split_at(rest.len().min(length as usize));
            rest = behind;
            let (targets, unknown) = callees::calls(code, address);
            is_read &= unknown.is_none() && address != 0;
            let name = |&target: &u64| symbols.exact(target).filter(|name| !name.ends_with("[bpf]"));
            found.names.extend(targets.iter().filter_map(name).map(str::to_owned));
        }
        found.unread += usize::from(!is_read);
    }
    found.names.sort_unstable();
    found.names.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_are_not_traced_have_their_reason() {
        let label = || ProgLabel { kind: ProgKind::Xdp, id: 7, tag: [0xab; 8], name: "drop\n".into() };
        let check = |label, why, text: &str| assert_eq!(Skipped { label, why }.to_string(), text);
        check(Err(7), Why::Gone, "BPF program 7 is not traced: it is gone");
        let name = "XDP program `drop\\n` (id 7, tag abababababababab)";
        check(Ok(label()), Why::NoBtf, &format!("{name} is not traced: it has no BTF"));
        check(Ok(label()), Why::BadBtf, &format!("{name} is not traced: its BTF has no function for it"));
        let denied = io::Error::from_raw_os_error(libc::EPERM);
        let text = format!("{name} is not traced: Operation not permitted (os error 1)");
        check(Ok(label()), Why::Refused(denied), &text);
        assert_eq!(function(b"no types".to_vec(), 1), None);
    }
}
