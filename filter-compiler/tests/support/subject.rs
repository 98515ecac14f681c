//! Our compiler's programs for one expression, in every way that they can be run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use filter_compiler::cbpf::op::*;
use filter_compiler::cbpf::{Program, Runner};
use filter_compiler::{Graph, LinkType, names};

use super::kernel::{self, SocketFilter};
use super::machine::{self, Access, Interpreted, Loaded};
use super::packets::{Link, Sample};
use super::rng::Rng;
use super::{judge, oracle};

/// Name of the runner that executes classic BPF here.
pub const INTERPRETER: &str = "classic BPF in our interpreter";
const SOCKET: &str = "classic BPF in the kernel";

fn name(access: Access, in_kernel: bool) -> &'static str {
    match (access, in_kernel) {
        (Access::Stack, false) => "eBPF in rbpf, one window",
        (Access::SecondRead, false) => "eBPF in rbpf, two windows",
        (Access::Pointer, false) => "eBPF in rbpf, pointer",
        (Access::Stack, true) => "eBPF in the kernel, one window",
        (Access::SecondRead, true) => "eBPF in the kernel, two windows",
        (Access::Pointer, true) => "eBPF in the kernel, pointer",
    }
}

/// One expression, compiled.
pub struct Subject {
    /// The classic program.
    pub cbpf: Program,
    /// What it was made from.
    pub graph: Graph,
    rejects_all: bool,
    socket: Option<SocketFilter>,
    interpreted: Vec<(Access, Interpreted)>,
    loaded: Vec<(Access, Loaded)>,
    refused: Option<String>,
}

/// Verdicts given, by runner.
#[derive(Default)]
pub struct Verdicts(BTreeMap<&'static str, u64>);

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, count)| write!(f, "\n  {count:>9} {name}"))
    }
}

/// The link type in the compiler's terms.
pub fn link_type(link: Link) -> LinkType {
    match link {
        Link::Ethernet => LinkType::En10Mb,
        Link::Raw => LinkType::Raw,
    }
}

/// Whether eBPF programs can be loaded here; tests that need it are quiet where they cannot.
pub fn kernel_runs_ebpf() -> bool {
    static MAY: OnceLock<bool> = OnceLock::new();
    *MAY.get_or_init(kernel::may_load)
}

impl Subject {
    /// Compiles; the error is our message.
    pub fn new(text: &str, link: Link) -> Result<Subject, String> {
        let names = names::System::new();
        match filter_compiler::compile(text, link_type(link), &names) {
            Ok(graph) => Ok(Subject::of(graph, false)),
            Err(error) if error.rejects_all() => {
                // It must be wrong about no packet: so it is run like the others.
                let graph = filter_compiler::compile_unoptimised(text, link_type(link), &names);
                let mut subject = Subject::of(graph.map_err(|error| error.to_string())?, true);
                subject.cbpf = Program(vec![filter_compiler::cbpf::Insn::new(RET | K, 0)]);
                Ok(subject)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn of(graph: Graph, rejects_all: bool) -> Subject {
        let mut subject = Subject {
            cbpf: Program::default(),
            graph,
            rejects_all,
            socket: None,
            interpreted: Vec::new(),
            loaded: Vec::new(),
            refused: None,
        };
        subject.refused = subject.prepare().err();
        subject
    }

    /// Makes the programs; the error is a mistake of ours.
    fn prepare(&mut self) -> Result<(), String> {
        self.cbpf = filter_compiler::to_cbpf(&self.graph).map_err(|error| format!("classic BPF: {error}"))?;
        self.cbpf.check(Runner::Userland).map_err(|error| format!("our own checker: {error}\n{}", self.cbpf))?;
        if kernel_takes(&self.cbpf) {
            self.socket = match SocketFilter::new(&self.cbpf) {
                Ok(filter) => Some(filter),
                // Longer than what net.core.optmem_max leaves for a socket.
                Err(error) if error.kind() == std::io::ErrorKind::OutOfMemory => None,
                Err(error) => return Err(format!("SO_ATTACH_FILTER: {error}\n{}", self.cbpf)),
            };
        }
        for access in machine::ALL {
            self.interpreted.push((access, Interpreted::new(&self.graph, access)?));
        }
        Ok(())
    }

    /// Loads the eBPF programs into the kernel, where that can be done.
    pub fn load(&mut self) {
        if !kernel_runs_ebpf() || self.refused.is_some() {
            return;
        }
        for &access in machine::in_kernel() {
            match Loaded::new(&self.graph, access) {
                Ok(loaded) => self.loaded.push((access, loaded)),
                Err(message) => self.refused = Some(message),
            }
        }
    }

    /// Whether we found that no packet can match.
    pub fn rejects_all(&self) -> bool {
        self.rejects_all
    }

    /// Why a kernel or checker refused one of our programs.
    pub fn refused(&self) -> Option<String> {
        self.refused.clone()
    }

    /// Every runner's verdict on the sample.
    pub fn verdicts(&self, sample: &Sample, rng: &mut Rng) -> Vec<(&'static str, bool)> {
        let mut verdicts = vec![(INTERPRETER, judge::run(&self.cbpf, sample).accepted())];
        // A datagram cannot be longer than what is captured of it.
        let whole =
            sample.wire_len as usize == sample.data.len() || !self.cbpf.0.iter().any(|i| i.code == LD | W | LEN);
        if let Some(filter) = self.socket.as_ref().filter(|_| whole) {
            verdicts.push((SOCKET, filter.accepts(&sample.data)));
        }
        let behind: Vec<u8> = (0..256).map(|_| rng.next() as u8).collect();
        for (access, program) in &self.interpreted {
            let (accepted, _) = program.run(sample, &behind).unwrap_or_else(|error| {
                panic!(
                    "rbpf: {error}\n{:?} {}\n{access:?}\n{}",
                    self.graph.link(),
                    oracle::hex(&sample.data),
                    self.graph
                )
            });
            verdicts.push((name(*access, false), accepted));
        }
        for (access, program) in &self.loaded {
            if let Some(accepted) = program.run(sample) {
                verdicts.push((name(*access, true), accepted));
            }
        }
        verdicts
    }
}

impl Verdicts {
    /// Counts one verdict.
    pub fn count(&mut self, runner: &'static str) {
        *self.0.entry(runner).or_default() += 1;
    }
}

/// Whether the kernel's socket filters run the program, and mean the same by it: they know no backward jumps, they
/// read metadata of their own packet, or headers from offsets that are negative as signed numbers (`SKF_NET_OFF` in
/// `linux/filter.h`), and they take the count of a shift by X modulo 32.
fn kernel_takes(program: &Program) -> bool {
    const FIRST_SPECIAL: u32 = 0x8000_0000;
    let special = |code: u16, k: u32| code & CLASS == LD && matches!(code & 0xe0, ABS | IND) && k >= FIRST_SPECIAL;
    let shift = |code: u16| code == ALU | LSH | X || code == ALU | RSH | X;
    program.check(Runner::Linux).is_ok() && !program.0.iter().any(|i| special(i.code, i.k) || shift(i.code))
}
