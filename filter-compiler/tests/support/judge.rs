//! Whether a verdict is right, by what libpcap's program says about the same packet.

use std::cell::OnceCell;

use filter_compiler::ast::{ArithKind, ArithPart, BinaryOp, Expr, Test, TestKind};
use filter_compiler::cbpf::{End, Insn, Meta, Outcome, Packet, Program, op};

use super::exprs::Expression;
use super::oracle;
use super::packets::{Link, Sample};
use super::rng::Rng;

/// libpcap's opinion of one expression.
pub struct Oracle {
    link: Link,
    text: String,
    optimised: Program,
    unoptimised: OnceCell<Program>,
    /// libpcap refused the expression because its program never accepts.
    pub rejects_all: bool,
}

/// The message with which libpcap refuses what can never match.
pub const REJECTS_ALL: &str = "expression rejects all packets";

impl Oracle {
    /// Asks libpcap; the error is its message.
    pub fn new(expression: &Expression, link: Link) -> Result<Oracle, String> {
        let text = expression.oracle_text();
        let mut oracle =
            Oracle { link, text, optimised: Program::default(), unoptimised: OnceCell::new(), rejects_all: false };
        match oracle::compile(&oracle.text, link, true) {
            Ok(program) => oracle.optimised = program,
            Err(message) if message == REJECTS_ALL => {
                oracle.rejects_all = true;
                oracle.optimised = Program(vec![Insn::new(op::RET | op::K, 0)]);
            }
            Err(message) => return Err(message),
        }
        Ok(oracle)
    }

    /// The optimised program.
    pub fn program(&self) -> &Program {
        &self.optimised
    }

    /// The program without optimisation; another run of tcpdump when first needed.
    pub fn unoptimised(&self) -> &Program {
        let compile = || oracle::compile(&self.text, self.link, false).expect("it compiled with optimisation");
        self.unoptimised.get_or_init(compile)
    }

    /// Judges the verdict `accepted` on `sample`.
    pub fn judge(&self, sample: &Sample, accepted: bool) -> Answer {
        let optimised = run(&self.optimised, sample);
        if optimised.end == End::StepLimit {
            return Answer::Endless;
        }
        if optimised.accepted() == accepted {
            return Answer::Same;
        }
        let unoptimised = run(self.unoptimised(), sample);
        if unoptimised.end == End::StepLimit {
            return Answer::Endless;
        }
        if unoptimised.accepted() == accepted {
            return Answer::Either;
        }
        if self.reads_unset_registers(sample) {
            return Answer::Undefined;
        }
        if accepted && unoptimised.end == End::NoSuchByte && self.accepts_whatever_follows(sample) {
            return Answer::LoadRemoved;
        }
        Answer::Wrong
    }

    /// After `geneve` did not match, what follows it still reads the cells in which `geneve` would have put its offsets.
    /// They hold 0, unless arithmetic used them before.
    fn reads_unset_registers(&self, sample: &Sample) -> bool {
        const ETHERNET_INSIDE: Insn = Insn::new(op::JMP | op::JEQ | op::K, 0x6558);
        let is_geneve = |insn: &Insn| insn.code == ETHERNET_INSIDE.code && insn.k == ETHERNET_INSIDE.k;
        let insns = &self.optimised.0;
        let uses_cells = self.text.contains(['=', '<', '>']) || self.text.contains("protochain");
        if !self.text.contains("geneve") || !uses_cells || !insns.iter().any(is_geneve) {
            return false;
        }
        let mut matched = false;
        let packet = Packet { data: &sample.data, wire_len: sample.wire_len, meta: META };
        self.optimised.trace(&packet, |at| matched |= is_geneve(&insns[at]));
        !matched
    }

    /// How often the program goes around its loop along a chain of headers.
    pub fn chain_steps(&self, sample: &Sample) -> u64 {
        run(&self.optimised, sample).backward
    }

    /// Whether the program accepts the packet with any bytes after its end: then the loads that do not fit decide
    /// nothing, and a compiler may remove them or do them later.
    fn accepts_whatever_follows(&self, sample: &Sample) -> bool {
        let mut rng = Rng::new(u64::from(sample.wire_len));
        (0..12).all(|round| {
            let mut longer = sample.clone();
            let mut tail = |_| [0, 0xff, rng.next() as u8][round.min(2)];
            longer.data.extend((0..70_000).map(&mut tail).take(if round < 2 { 70_000 } else { 2_000 }));
            let outcome = run(self.unoptimised(), &longer);
            outcome.accepted() || matches!(outcome.end, End::NoSuchByte | End::StepLimit)
        })
    }
}

/// Whether libpcap's message is a mistake of its own: it looks for a zero divisor or a long shift in the first
/// instruction of the right operand, which is the offset where that operand is `ip[0]` or `ip[40]`. Such an expression
/// may be compiled; a literal must be refused.
pub fn is_false_alarm(message: &str, text: &str) -> bool {
    ["by zero", "by more than 31 bits"].iter().any(|end| message.ends_with(end)) && !has_bad_literal(text)
}

/// Whether our message is about a divisor or shift that was not typed as a number but folded into one.
pub fn is_folded_mistake(message: &str, text: &str) -> bool {
    (message.ends_with("by zero") || message.contains("shift")) && !has_bad_literal(text)
}

/// Whether a divisor is typed as 0, or a shift as more than 31.
fn has_bad_literal(text: &str) -> bool {
    let wrong = |parts: &[ArithPart]| {
        let number = |at: usize| match parts[at].kind {
            ArithKind::Number(number) => Some(number),
            _ => None,
        };
        parts.iter().any(|part| match part.kind {
            ArithKind::Binary(BinaryOp::Divide | BinaryOp::Modulus, _, right) => number(right) == Some(0),
            ArithKind::Binary(BinaryOp::ShiftLeft | BinaryOp::ShiftRight, _, right) => number(right) > Some(31),
            _ => false,
        })
    };
    let mut pending: Vec<Expr> = filter_compiler::parse(text).ok().and_then(|ast| ast.root).into_iter().collect();
    while let Some(expr) = pending.pop() {
        match expr {
            Expr::Chain { first, rest } => {
                pending.push(*first);
                pending.extend(rest.into_iter().map(|(_, expr)| expr));
            }
            Expr::Not(expr) => pending.push(*expr),
            Expr::Test(Test { kind: TestKind::Relation(relation), .. }) => {
                if wrong(&relation.left.parts) || wrong(&relation.right.parts) {
                    return true;
                }
            }
            Expr::Test(_) => {}
        }
    }
    false
}

/// What became of one verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// As libpcap's optimised program.
    Same,
    /// As libpcap's unoptimised program, which disagrees with the optimised one.
    Either,
    /// Accepted; libpcap rejects because of a load beyond the captured bytes that decides nothing.
    LoadRemoved,
    /// libpcap's program does not end on this packet (`protochain`).
    Endless,
    /// libpcap's program read cells that it never wrote.
    Undefined,
    /// Rejected by code with a bounded `protochain`, which ended early.
    LongChain,
    /// None of these.
    Wrong,
}

/// Runs a classic program on a sample.
pub fn run(program: &Program, sample: &Sample) -> Outcome {
    program.run(&Packet { data: &sample.data, wire_len: sample.wire_len, meta: META })
}

/// Steps that eBPF code takes along a chain of headers (`protochain`); it rejects packets whose chain is longer.
pub const CHAIN_STEPS: u64 = 8;

/// The metadata of every sample.
pub const META: Meta = Meta { pkt_type: 4, ifindex: 7, vlan_tag: None };
