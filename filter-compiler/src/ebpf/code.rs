//! Graph to instructions: order of the tests, checks of bounds, values in registers.
//!
//! Values are computed in R1; R0 and R2 help, and stack slots hold what must survive an access.

use asm::{Asm, Label, R0, R1, R2, Size, Slot, W1, W2, u64};

use super::guards::{self, Guards};
use super::{Error, Metadata, PacketAccess, Span};
use crate::ast::BinaryOp;
use crate::graph::{Base, Chain, Comparison, Graph, IpVersion, Node, NodeId, Operand, Target, Test, Value, ValueId};

/// Intermediate results that may be on the stack at a time; classic BPF has 16 cells.
const SPILLS: usize = 16;
/// Instructions of one filter: jumps out of it reach 32,767, and the caller has some of its own.
const LONGEST: usize = 32_000;
/// Headers of a chain that are followed.
const CHAIN_STEPS: usize = 8;

pub fn emit(graph: &Graph, a: &mut Asm, access: &mut dyn PacketAccess, reject: Label) -> Result<(), Error> {
    let nodes = graph.nodes();
    let labels = nodes.iter().map(|_| a.label()).collect();
    let accept = a.label();
    let mut code = Code {
        graph,
        guards: Guards::new(graph),
        access,
        labels,
        accept,
        reject,
        entry: vec![None; nodes.len()],
        spills: Vec::new(),
        chain: None,
        error: None,
    };
    match graph.root() {
        Target::Accept => {}
        // What follows must look reachable.
        Target::Reject => {
            a.mov(R0, 0);
            a.jeq(R0, 0, reject);
        }
        Target::Node(root) => {
            code.entry[root.index()] = Some(State::default());
            let order = order(graph, root);
            let start = a.count();
            for (at, &id) in order.iter().enumerate() {
                let next = order.get(at + 1).map_or(Target::Accept, |&id| Target::Node(id));
                code.node(a, id, next);
                if a.count() - start > LONGEST {
                    return Err(Error::TooLong(LONGEST));
                }
            }
        }
    }
    a.bind(accept);
    match code.error {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// All nodes, each after those that lead to it, and where possible with a successor right behind it.
fn order(graph: &Graph, root: NodeId) -> Vec<NodeId> {
    let nodes = graph.nodes();
    let mut waiting = vec![0u32; nodes.len()]; // predecessors that are not placed yet
    let successors = |node: &Node| [node.yes.node(), node.no.node()].into_iter().flatten();
    for id in nodes.iter().flat_map(successors) {
        waiting[id.index()] += 1;
    }
    let mut order = Vec::with_capacity(nodes.len());
    let mut ready = vec![root];
    while let Some(mut id) = ready.pop() {
        loop {
            order.push(id);
            let node = &nodes[id.index()];
            let mut free = successors(node).filter(|next| {
                waiting[next.index()] -= 1;
                waiting[next.index()] == 0
            });
            // A test of bits can only jump when it holds.
            let (first, second) = match (free.next(), free.next()) {
                (Some(yes), Some(no)) if matches!(node.test, Test::Bits { .. }) => (Some(no), Some(yes)),
                both => both,
            };
            ready.extend(second);
            match first {
                Some(next) => id = next,
                None => break,
            }
        }
    }
    order
}

/// What is known where a node starts, whichever way led there.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct State {
    /// So many bytes are captured.
    fixed: u32,
    /// The index is the length of the header at the first offset; so many bytes behind it are captured.
    indexed: Option<(u32, u32)>,
    /// What R1 holds.
    r1: Option<(ValueId, Form)>,
    /// The words of the access that were fetched, a bit each.
    words: u32,
}

impl State {
    fn merge(self, other: State) -> State {
        State {
            fixed: self.fixed.min(other.fixed),
            indexed: match (self.indexed, other.indexed) {
                (Some((at, a)), Some((header, b))) if at == header => Some((at, a.min(b))),
                _ => None,
            },
            r1: self.r1.filter(|_| self.r1 == other.r1),
            words: self.words & other.words,
        }
    }
}

/// How the bytes of a number lie in a register.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As a number.
    Host,
    /// As they lie in the packet: the first byte is the lowest.
    Memory,
}

/// A conditional jump, for W1.
enum Jump {
    Equal(u32),
    AtLeast(u32),
    Above(u32),
    Bits(u32),
    /// The same with W2.
    EqualW2,
    AtLeastW2,
    AboveW2,
    BitsW2,
}

struct Code<'a> {
    graph: &'a Graph,
    guards: Guards,
    access: &'a mut dyn PacketAccess,
    labels: Vec<Label>,
    accept: Label,
    reject: Label,
    entry: Vec<Option<State>>,
    spills: Vec<Slot>,
    /// Slots of `protochain`: protocol and offset.
    chain: Option<(Slot, Slot)>,
    error: Option<Error>,
}

impl Code<'_> {
    fn label(&self, target: Target) -> Label {
        match target {
            Target::Accept => self.accept,
            Target::Reject => self.reject,
            Target::Node(id) => self.labels[id.index()],
        }
    }

    fn value(&self, id: ValueId) -> Value {
        self.graph.values().get(id)
    }

    fn node(&mut self, a: &mut Asm, id: NodeId, next: Target) {
        let node = self.graph.nodes()[id.index()];
        let mut state = self.entry[id.index()].unwrap_or_default();
        a.bind(self.labels[id.index()]);
        self.guard(a, id, &mut state);
        match node.test {
            Test::Chain(chain) => {
                self.chain(a, chain, node.yes, node.no, &mut state);
                state.r1 = None;
                if node.no != next {
                    // The chain's code ends with a jump or falls through to `no`.
                    a.jump(self.label(node.no));
                }
            }
            test => {
                let jump = self.test(a, test, &mut state);
                self.branch(a, jump, node, next);
            }
        }
        for target in [node.yes, node.no] {
            if let Target::Node(to) = target {
                let entry = &mut self.entry[to.index()];
                *entry = Some(entry.map_or(state, |known| known.merge(state)));
            }
        }
    }

    /// Makes sure that the loads of the node can be done, and of those after it that will be done in any case.
    fn guard(&mut self, a: &mut Asm, id: NodeId, state: &mut State) {
        let own = self.guards.own(id);
        if own.fixed > state.fixed {
            state.fixed = self.guards.fixed(id);
            state.r1 = None;
            self.access.require(a, state.fixed, self.reject);
        }
        let Some((header, end)) = own.indexed else { return };
        let all = self.guards.indexed(id, header);
        match state.indexed {
            Some((at, known)) if at == header && end <= known => return,
            Some((at, _)) if at == header => self.access.require_indexed(a, all, self.reject),
            _ => {
                self.header_length(a, header, state);
                self.access.index(a, R1, all, self.reject);
            }
        }
        state.indexed = Some((header, all));
        state.r1 = None;
    }

    /// R1 = length of the IPv4 header at `at`; the verifier knows that it is at most 60.
    fn header_length(&mut self, a: &mut Asm, at: u32, state: &mut State) {
        let span = Span { offset: at, size: Size::B1 };
        self.fetch(a, span, state);
        self.access.load(a, W1, span, self.reject);
        a.and(R1, 15);
        a.lsh(R1, 2);
    }

    /// Jumps to where the node leads to, or falls through to `next`.
    fn branch(&mut self, a: &mut Asm, jump: Jump, node: Node, next: Target) {
        let (yes, no) = (self.label(node.yes), self.label(node.no));
        if node.yes == next {
            match jump {
                Jump::Equal(k) => a.jne(W1, k, no),
                Jump::AtLeast(k) => a.jlt(W1, k, no),
                Jump::Above(k) => a.jle(W1, k, no),
                Jump::EqualW2 => a.jne(W1, W2, no),
                Jump::AtLeastW2 => a.jlt(W1, W2, no),
                Jump::AboveW2 => a.jle(W1, W2, no),
                Jump::Bits(_) | Jump::BitsW2 => {
                    self.jump_if(a, jump, yes);
                    a.jump(no);
                }
            }
        } else {
            self.jump_if(a, jump, yes);
            if node.no != next {
                a.jump(no);
            }
        }
    }

    fn jump_if(&self, a: &mut Asm, jump: Jump, to: Label) {
        match jump {
            Jump::Equal(k) => a.jeq(W1, k, to),
            Jump::AtLeast(k) => a.jge(W1, k, to),
            Jump::Above(k) => a.jgt(W1, k, to),
            Jump::Bits(k) => a.jset(W1, k, to),
            Jump::EqualW2 => a.jeq(W1, W2, to),
            Jump::AtLeastW2 => a.jge(W1, W2, to),
            Jump::AboveW2 => a.jgt(W1, W2, to),
            Jump::BitsW2 => a.jset(W1, W2, to),
        }
    }

    /// Prepares the registers for the test.
    fn test(&mut self, a: &mut Asm, test: Test, state: &mut State) -> Jump {
        match test {
            Test::Compare { op: Comparison::Equal, left, right: Operand::Const(k) } => {
                match self.in_memory_order(a, left, k, state) {
                    Some(swapped) => Jump::Equal(swapped),
                    None => {
                        self.number(a, left, state);
                        Jump::Equal(k)
                    }
                }
            }
            Test::Compare { op, left, right: Operand::Const(k) } => {
                // x >= 2^n: one of the bits from n on is set. No need to swap for that.
                let least = if op == Comparison::Greater { k.wrapping_add(1) } else { k };
                if least.is_power_of_two() && matches!(self.value(left), Value::Load { .. }) {
                    return self.bits(a, left, !(least - 1), state);
                }
                self.number(a, left, state);
                if op == Comparison::Greater { Jump::Above(k) } else { Jump::AtLeast(k) }
            }
            Test::Compare { op, left, right: Operand::Value(right) } => {
                self.pair(a, left, right, state);
                match op {
                    Comparison::Equal => Jump::EqualW2,
                    Comparison::Greater => Jump::AboveW2,
                    Comparison::GreaterOrEqual => Jump::AtLeastW2,
                }
            }
            Test::Bits { value, mask: Operand::Const(mask) } => self.bits(a, value, mask, state),
            Test::Bits { value, mask: Operand::Value(mask) } => {
                self.pair(a, value, mask, state);
                Jump::BitsW2
            }
            Test::Chain(_) => unreachable!("the caller emits chains"),
        }
    }

    fn bits(&mut self, a: &mut Asm, value: ValueId, mask: u32, state: &mut State) -> Jump {
        // Bits that the value cannot have would not fit its bytes.
        let mask = mask & u32::MAX.checked_shr(self.graph.values().max(value).leading_zeros()).unwrap_or(0);
        match self.in_memory_order(a, value, mask, state) {
            Some(swapped) => Jump::Bits(swapped),
            None => {
                self.number(a, value, state);
                Jump::Bits(mask)
            }
        }
    }

    /// W1 = the value as it lies in the packet, if it is a load or a masked load; gives `k` as it lies in memory.
    fn in_memory_order(&mut self, a: &mut Asm, value: ValueId, k: u32, state: &mut State) -> Option<u32> {
        let (load, mask) = match self.value(value) {
            Value::Binary { op: BinaryOp::And, left, right } => (left, Some(self.graph.values().as_const(right)?)),
            _ => (value, None),
        };
        let Value::Load { size, .. } = self.value(load) else { return None };
        let size = guards::size(size);
        let swapped = swap(k, size)?;
        let mask = match mask {
            Some(mask) => Some(swap(mask, size)?),
            None => None,
        };
        match state.r1.filter(|&(known, _)| known == value || known == load) {
            // Already a number: the constant need not be swapped.
            Some((_, Form::Host)) if size != Size::B1 => return None,
            Some((known, _)) if known == value => return Some(swapped),
            Some(_) => {}
            None => self.load(a, load, state, 0),
        }
        if let Some(mask) = mask {
            a.and(W1, mask);
        }
        state.r1 = Some((value, Form::Memory));
        Some(swapped)
    }

    /// W1 = the value as a number.
    fn number(&mut self, a: &mut Asm, value: ValueId, state: &mut State) {
        match (state.r1.filter(|&(known, _)| known == value), self.value(value)) {
            (Some((_, Form::Host)), _) => {}
            (Some((_, Form::Memory)), Value::Load { .. }) => self.to_host(a, value),
            _ => self.compute(a, value, state, 0),
        }
        state.r1 = Some((value, Form::Host));
    }

    /// W1 = left, W2 = right.
    fn pair(&mut self, a: &mut Asm, left: ValueId, right: ValueId, state: &mut State) {
        self.operands(a, left, right, state, 0);
        state.r1 = None;
    }

    /// W1 = the value as a number; slots from `depth` on are free.
    fn compute(&mut self, a: &mut Asm, value: ValueId, state: &mut State, depth: usize) {
        match self.value(value) {
            Value::Const(k) => a.mov(W1, k),
            Value::Length => self.access.metadata(a, W1, Metadata::Length),
            Value::PacketType => self.access.metadata(a, W1, Metadata::PacketType),
            Value::InterfaceIndex => self.access.metadata(a, W1, Metadata::Interface),
            Value::HeaderLength(at) => self.header_length(a, at, state),
            Value::Load { .. } => {
                self.load(a, value, state, depth);
                self.to_host(a, value);
            }
            Value::Negate(operand) => {
                self.compute(a, operand, state, depth);
                a.neg(W1);
            }
            Value::Binary { op, left, right } => match self.graph.values().as_const(right) {
                Some(k) => {
                    self.compute(a, left, state, depth);
                    self.with_constant(a, op, k);
                }
                None => {
                    self.operands(a, left, right, state, depth);
                    self.with_w2(a, op);
                }
            },
        }
    }

    /// W1 = left, W2 = right. Left is computed first, as in the text.
    fn operands(&mut self, a: &mut Asm, left: ValueId, right: ValueId, state: &mut State, depth: usize) {
        if let Some(k) = self.graph.values().as_const(left) {
            self.compute(a, right, state, depth);
            a.mov(W2, W1);
            return a.mov(W1, k);
        }
        self.compute(a, left, state, depth);
        if let Some(k) = self.graph.values().as_const(right) {
            return a.mov(W2, k);
        }
        let Some(slot) = self.spill(a, depth) else { return };
        a.store(u64(slot), R1);
        self.compute(a, right, state, depth + 1);
        a.mov(W2, W1);
        a.load(R1, u64(slot));
    }

    fn spill(&mut self, a: &mut Asm, depth: usize) -> Option<Slot> {
        if depth >= SPILLS {
            self.error = Some(Error::TooDeep(SPILLS));
            return None;
        }
        if depth == self.spills.len() {
            self.spills.push(a.stack_named(8, "result"));
        }
        Some(self.spills[depth])
    }

    /// W1 = the loaded bytes in memory order.
    fn load(&mut self, a: &mut Asm, value: ValueId, state: &mut State, depth: usize) {
        let Value::Load { base, offset, size } = self.value(value) else { return };
        let span = Span { offset, size: guards::size(size) };
        match base {
            Base::Packet => {
                self.fetch(a, span, state);
                self.access.load(a, W1, span, self.reject);
            }
            Base::Header(at) if state.indexed.is_some_and(|(header, _)| header == at) => {
                self.access.load_indexed(a, W1, span, self.reject);
            }
            Base::Header(at) => {
                self.header_length(a, at, state);
                self.access.load_computed(a, W1, R1, span, self.reject);
            }
            Base::Index(index) => {
                self.compute(a, index, state, depth);
                self.access.load_computed(a, W1, R1, span, self.reject);
            }
        }
    }

    /// Fetches the word that holds `span` unless that was done.
    fn fetch(&mut self, a: &mut Asm, span: Span, state: &mut State) {
        if let Some(word) = self.access.word(span)
            && state.words & 1 << word == 0
        {
            self.access.fetch(a, word, self.reject);
            state.words |= 1 << word;
        }
    }

    /// From memory order to a number, for a load in R1.
    fn to_host(&self, a: &mut Asm, load: ValueId) {
        let Value::Load { size, .. } = self.value(load) else { return };
        match guards::size(size) {
            Size::B2 => a.be16(R1),
            Size::B4 => a.be32(R1),
            Size::B1 | Size::B8 => {}
        }
    }

    /// `W1 op= k`
    fn with_constant(&mut self, a: &mut Asm, op: BinaryOp, k: u32) {
        match op {
            BinaryOp::Add => a.add(W1, k),
            BinaryOp::Subtract => a.sub(W1, k),
            BinaryOp::Multiply => a.mul(W1, k),
            BinaryOp::And => a.and(W1, k),
            BinaryOp::Or => a.or(W1, k),
            BinaryOp::Xor => a.xor(W1, k),
            BinaryOp::Divide if k != 0 => a.div(W1, k),
            BinaryOp::Modulus if k != 0 => a.rem(W1, k),
            BinaryOp::Divide | BinaryOp::Modulus => {
                // A jump on a condition that always holds: what follows must look reachable.
                a.mov(W2, 0);
                a.jeq(W2, 0, self.reject);
            }
            BinaryOp::ShiftLeft if k < 32 => a.lsh(W1, k),
            BinaryOp::ShiftRight if k < 32 => a.rsh(W1, k),
            BinaryOp::ShiftLeft | BinaryOp::ShiftRight => a.mov(W1, 0),
        }
    }

    /// `W1 op= W2`
    fn with_w2(&mut self, a: &mut Asm, op: BinaryOp) {
        match op {
            BinaryOp::Add => a.add(W1, W2),
            BinaryOp::Subtract => a.sub(W1, W2),
            BinaryOp::Multiply => a.mul(W1, W2),
            BinaryOp::And => a.and(W1, W2),
            BinaryOp::Or => a.or(W1, W2),
            BinaryOp::Xor => a.xor(W1, W2),
            BinaryOp::Divide => {
                a.jeq(W2, 0, self.reject);
                a.div(W1, W2);
            }
            BinaryOp::Modulus => {
                a.jeq(W2, 0, self.reject);
                a.rem(W1, W2);
            }
            BinaryOp::ShiftLeft | BinaryOp::ShiftRight => {
                // The machine takes the count modulo 32; more than 31 must give 0.
                let short = a.label();
                a.jle(W2, 31, short);
                a.mov(W1, 0);
                a.bind(short);
                if op == BinaryOp::ShiftLeft { a.lsh(W1, W2) } else { a.rsh(W1, W2) }
            }
        }
    }

    /// Follows a chain of headers; falls through for `no`. See [`Chain`] for the loop that is unrolled here.
    fn chain(&mut self, a: &mut Asm, chain: Chain, yes: Target, no: Target, state: &mut State) {
        let (protocol, offset) = *self
            .chain
            .get_or_insert_with(|| (a.stack_named(8, "protocol"), a.stack_named(8, "offset of the next header")));
        let (yes, no, reject) = (self.label(yes), self.label(no), self.reject);
        let end = a.label();
        let first = guards::chain_start(chain);
        first.into_iter().flatten().for_each(|span| self.fetch(a, span, state));
        match first {
            [Some(next), Some(length)] => {
                self.header_length(a, length.offset, state);
                a.store(u64(offset), R1);
                self.access.load(a, W1, next, reject);
            }
            [next, _] => {
                a.store(u64(offset), 40);
                next.into_iter().for_each(|next| self.access.load(a, W1, next, reject));
            }
        }
        let extensions: &[u32] = if chain.version == IpVersion::V6 { &[0, 60, 43, 44] } else { &[] };
        for step in 0..=CHAIN_STEPS {
            a.jeq(W1, chain.protocol, yes);
            a.jeq(W1, 59, no);
            if step == CHAIN_STEPS {
                extensions.iter().chain(&[51]).for_each(|&kind| a.jeq(W1, kind, reject));
                break;
            }
            let (extension, next) = (a.label(), a.label());
            extensions.iter().for_each(|&kind| a.jeq(W1, kind, extension));
            a.jne(W1, 51, end);
            self.next_header(a, chain, protocol, offset);
            a.add(R1, 2);
            a.lsh(R1, 2);
            if !extensions.is_empty() {
                a.jump(next);
                a.bind(extension);
                self.next_header(a, chain, protocol, offset);
                a.add(R1, 1);
                a.lsh(R1, 3);
                a.load(R2, u64(offset));
                a.add(R1, R2);
                a.bind(next);
            }
            a.store(u64(offset), R1);
            a.load(R1, u64(protocol));
        }
        a.bind(end);
    }

    /// `protocol` = the first byte of the header at `offset`, R1 = its second byte.
    fn next_header(&mut self, a: &mut Asm, chain: Chain, protocol: Slot, offset: Slot) {
        a.load(R1, u64(offset));
        // libpcap loads one after the other, and rejects where either is missing.
        self.access.load_computed(a, W1, R1, Span { offset: chain.header, size: Size::B2 }, self.reject);
        a.mov(W2, W1);
        a.and(W2, 255);
        a.store(u64(protocol), R2);
        a.rsh(W1, 8);
    }
}

/// The number as it lies in a load of this size, unless the load cannot hold it.
fn swap(k: u32, size: Size) -> Option<u32> {
    match size {
        Size::B1 => u8::try_from(k).ok().map(u32::from),
        Size::B2 => u16::try_from(k).ok().map(|k| k.swap_bytes().into()),
        _ => Some(k.swap_bytes()),
    }
}
