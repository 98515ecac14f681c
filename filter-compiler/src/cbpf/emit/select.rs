//! Nodes to blocks: which instructions compute a value, given what the registers hold.

use super::layout::{Block, Exit, Jump};
use crate::ast::BinaryOp;
use crate::cbpf::Insn;
use crate::cbpf::op::*;
use crate::graph::{Base, Comparison, Graph, Node, Operand, Size, Target, Test, Value, ValueId, Values};
use crate::hash::Positions;

/// Makes the blocks of a graph and says where to start.
pub fn select(graph: &Graph) -> (Vec<Block>, Exit) {
    let wanted = candidates(graph);
    if wanted.is_empty() {
        return merge(graph, bodies(graph, &wanted, &mut Vec::new()));
    }
    // Keep all of them to see which are used again after X was needed for something else; then keep only those.
    let mut used = Vec::new();
    bodies(graph, &wanted, &mut used);
    let used: Vec<ValueId> = wanted.into_iter().filter(|value| used.contains(value)).collect();
    merge(graph, bodies(graph, &used, &mut Vec::new()))
}

/// Computed offsets that several tests use and that are worth a scratch cell, as many as there are cells.
fn candidates(graph: &Graph) -> Vec<ValueId> {
    let values = graph.values();
    let mut uses = vec![0; values.list().len()];
    let mut most_cells = 0;
    for node in graph.nodes() {
        let (left, right) = match node.test {
            Test::Compare { left, right, .. } | Test::Bits { value: left, mask: right } => (left, right),
            Test::Chain(_) => continue,
        };
        let right = match right {
            Operand::Value(right) => Some(right),
            Operand::Const(_) => None,
        };
        for value in [Some(left), right].into_iter().flatten() {
            most_cells = most_cells.max(values.cells(value) + 1);
            count_uses(values, value, &mut uses);
        }
    }
    // One cell is for `protochain`.
    let room = (MEMWORDS as usize - 1).saturating_sub(most_cells);
    let wanted = uses.iter().enumerate().filter(|(_, uses)| **uses > 1).map(|(at, _)| ValueId(at as u32));
    wanted.take(room).collect()
}

/// Counts the loads that use a computed offset.
fn count_uses(values: &Values, value: ValueId, uses: &mut [u32]) {
    match values.get(value) {
        Value::Load { base: Base::Index(index), .. } => {
            uses[index.index()] += 1;
            count_uses(values, index, uses);
        }
        Value::Negate(operand) => count_uses(values, operand, uses),
        Value::Binary { left, right, .. } => {
            count_uses(values, left, uses);
            count_uses(values, right, uses);
        }
        _ => {}
    }
}

/// The statements and test of each node. `kept` values go to cells when they are computed; those that are taken from
/// there are noted in `used`.
fn bodies(graph: &Graph, kept: &[ValueId], used: &mut Vec<ValueId>) -> Vec<(Vec<Insn>, Option<Jump>)> {
    let values = graph.values();
    let count = graph.nodes().len();
    let mut entry: Vec<Option<Registers>> = vec![None; count];
    if let Target::Node(root) = graph.root() {
        entry[root.index()] = Some(Registers { cells: vec![false; kept.len()], ..Registers::default() });
    }
    let mut bodies = Vec::with_capacity(count);
    for (at, node) in graph.nodes().iter().enumerate() {
        let registers = entry[at].take().unwrap_or_default();
        let mut code = Code { values, registers, body: Vec::with_capacity(4), temporaries: 0, kept, used };
        let test = code.test(&node.test);
        for target in [node.yes, node.no] {
            if let Target::Node(next) = target {
                let slot = &mut entry[next.index()];
                match slot {
                    None => *slot = Some(code.registers.clone()),
                    Some(known) => known.meet(&code.registers),
                }
            }
        }
        bodies.push((code.body, test));
    }
    bodies
}

/// Joins blocks that read the same; a block whose value is in A already does not care which value that is.
fn merge(graph: &Graph, bodies: Vec<(Vec<Insn>, Option<Jump>)>) -> (Vec<Block>, Exit) {
    let mut blocks: Vec<Block> = Vec::with_capacity(bodies.len());
    let mut places = Positions::with_room(bodies.len());
    let mut exits = vec![Exit::Reject; bodies.len()];
    let exit = |exits: &[Exit], target: Target| match target {
        Target::Accept => Exit::Accept,
        Target::Reject => Exit::Reject,
        Target::Node(id) => exits[id.index()],
    };
    for (at, (body, test)) in bodies.into_iter().enumerate().rev() {
        let Node { yes, no, .. } = graph.nodes()[at];
        let (yes, no) = (exit(&exits, yes), exit(&exits, no));
        exits[at] = match test {
            // A load that cannot succeed.
            None => Exit::Reject,
            Some(_) if yes == no && (no == Exit::Reject || !test_is_fixed(graph, at)) => yes,
            Some(test) => {
                let block = Block { body, test, yes, no };
                let id = places.find_or_add(&blocks, &block);
                if id == blocks.len() {
                    blocks.push(block);
                }
                Exit::Block(id)
            }
        };
    }
    let entry = exit(&exits, graph.root());
    (blocks, entry)
}

fn test_is_fixed(graph: &Graph, at: usize) -> bool {
    graph.nodes()[at].test.is_fixed(graph.values())
}

/// What a register or cell holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    Value(ValueId),
    /// The length of the IPv4 header at this offset.
    Header(u32),
}

/// What is known about registers and cells.
#[derive(Clone, Default, Debug)]
struct Registers {
    a: Option<Held>,
    x: Option<Held>,
    /// Which of the kept values are in their cells.
    cells: Vec<bool>,
}

impl Registers {
    fn meet(&mut self, other: &Registers) {
        if self.a != other.a {
            self.a = None;
        }
        if self.x != other.x {
            self.x = None;
        }
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            *mine &= theirs;
        }
    }
}

struct Code<'a> {
    values: &'a Values,
    registers: Registers,
    body: Vec<Insn>,
    /// Cells in use for intermediate results, from the first one on.
    temporaries: u32,
    /// Values that get a cell of their own, from the last but one downwards.
    kept: &'a [ValueId],
    /// Those of them that were needed again.
    used: &'a mut Vec<ValueId>,
}

/// Offsets from here on are not in any packet, and Linux has other meanings for some of them.
const NEVER: u32 = 1 << 31;

impl Code<'_> {
    /// The code for a test, `None` if it loads what no packet has.
    fn test(&mut self, test: &Test) -> Option<Jump> {
        let (code, left, right) = match *test {
            Test::Compare { op, left, right } => {
                let code = match op {
                    Comparison::Equal => JEQ,
                    Comparison::Greater => JGT,
                    Comparison::GreaterOrEqual => JGE,
                };
                (code, left, right)
            }
            Test::Bits { value, mask } => (JSET, value, mask),
            Test::Chain(chain) => {
                (self.registers.a, self.registers.x) = (None, None);
                return Some(Jump::Chain(chain, MEMWORDS - 1));
            }
        };
        match right {
            Operand::Const(number) => {
                self.load_a(left)?;
                Some(Jump::Test(code | K, number))
            }
            Operand::Value(right) => {
                self.load_both(left, right)?;
                Some(Jump::Test(code | X, 0))
            }
        }
    }

    fn emit(&mut self, code: u16, k: u32) {
        self.body.push(Insn::new(code, k));
    }

    /// The cell of a kept value, and whether the value is in it.
    fn cell(&self, value: ValueId) -> Option<(u32, bool)> {
        let at = self.kept.iter().position(|kept| *kept == value)?;
        Some((MEMWORDS - 2 - at as u32, self.registers.cells[at]))
    }

    fn held(&self, value: ValueId) -> Held {
        match self.values.get(value) {
            Value::HeaderLength(at) => Held::Header(at),
            _ => Held::Value(value),
        }
    }

    /// Brings a value into A. Recursion is bounded by the limit on operators.
    fn load_a(&mut self, value: ValueId) -> Option<()> {
        let held = self.held(value);
        if self.registers.a == Some(held) {
            return Some(());
        }
        if self.registers.x == Some(held) {
            self.emit(MISC | TXA, 0);
            self.registers.a = Some(held);
            return Some(());
        }
        let cell = self.cell(value);
        if let Some((cell, true)) = cell {
            self.used.push(value);
            self.emit(LD | MEM, cell);
            self.registers.a = Some(held);
            return Some(());
        }
        match self.values.get(value) {
            Value::Const(number) => self.emit(LD | IMM, number),
            Value::Length => self.emit(LD | W | LEN, 0),
            Value::PacketType => self.emit(LD | H | ABS, AD_PKTTYPE),
            Value::InterfaceIndex => self.emit(LD | W | ABS, AD_IFINDEX),
            Value::HeaderLength(at) => {
                self.load_header_x(at)?;
                self.emit(MISC | TXA, 0);
            }
            Value::Load { base, offset, size } => {
                let mode = match base {
                    Base::Packet if offset >= NEVER => return None,
                    Base::Packet => ABS,
                    Base::Header(at) => {
                        self.load_header_x(at)?;
                        IND
                    }
                    Base::Index(index) => {
                        self.load_x(index)?;
                        IND
                    }
                };
                let width = match size {
                    Size::Byte => B,
                    Size::Half => H,
                    Size::Word => W,
                };
                self.emit(LD | width | mode, offset);
            }
            Value::Negate(operand) => {
                self.load_a(operand)?;
                self.emit(ALU | NEG, 0);
            }
            Value::Binary { op, left, right } => match self.values.as_const(right) {
                Some(0) if matches!(op, BinaryOp::Divide | BinaryOp::Modulus) => return None,
                Some(number) => {
                    self.load_a(left)?;
                    self.constant_operation(op, number);
                }
                None => {
                    let swaps =
                        matches!(op, BinaryOp::Add | BinaryOp::Multiply | BinaryOp::And | BinaryOp::Or | BinaryOp::Xor);
                    let fits = |a, x| self.leaves_x(a, Some(self.held(x)));
                    if swaps && !self.is_easy(right) && !fits(left, right) && (self.is_easy(left) || fits(right, left))
                    {
                        self.load_both(right, left)?;
                    } else {
                        self.load_both(left, right)?;
                    }
                    self.emit(ALU | alu(op) | X, 0);
                }
            },
        }
        self.registers.a = Some(held);
        if let Some((cell, _)) = cell {
            self.emit(ST, cell);
            self.registers.cells[(MEMWORDS - 2 - cell) as usize] = true;
        }
        Some(())
    }

    fn constant_operation(&mut self, op: BinaryOp, number: u32) {
        let small = |number: u32| number.wrapping_neg() <= 0xffff;
        match op {
            BinaryOp::Add if small(number) => self.emit(ALU | SUB | K, number.wrapping_neg()),
            _ => self.emit(ALU | alu(op) | K, number),
        }
    }

    fn load_header_x(&mut self, at: u32) -> Option<()> {
        if at >= NEVER {
            return None;
        }
        if self.registers.x != Some(Held::Header(at)) {
            self.emit(LDX | B | MSH, at);
            self.registers.x = Some(Held::Header(at));
        }
        Some(())
    }

    /// Brings a value into X, by way of A if need be.
    fn load_x(&mut self, value: ValueId) -> Option<()> {
        let held = self.held(value);
        if self.registers.x == Some(held) {
            return Some(());
        }
        if self.is_easy(value) {
            return self.load_easy_x(value);
        }
        self.load_a(value)?;
        self.emit(MISC | TAX, 0);
        self.registers.x = Some(held);
        Some(())
    }

    /// Whether the value gets into X without passing A.
    fn is_easy(&self, value: ValueId) -> bool {
        matches!(self.values.get(value), Value::Const(_) | Value::HeaderLength(_))
            || matches!(self.cell(value), Some((_, true)))
    }

    fn load_easy_x(&mut self, value: ValueId) -> Option<()> {
        let held = self.held(value);
        if self.registers.x == Some(held) {
            return Some(());
        }
        match self.values.get(value) {
            Value::Const(number) => self.emit(LDX | IMM, number),
            Value::HeaderLength(at) => return self.load_header_x(at),
            _ => {
                let (cell, _) = self.cell(value)?;
                self.used.push(value);
                self.emit(LDX | MEM, cell);
            }
        }
        self.registers.x = Some(held);
        Some(())
    }

    /// Whether the value can be computed while X holds `x`, without X changing.
    fn leaves_x(&self, value: ValueId, x: Option<Held>) -> bool {
        let held = self.held(value);
        if x == Some(held) || matches!(self.cell(value), Some((_, true))) {
            return true;
        }
        match self.values.get(value) {
            Value::HeaderLength(_) => false,
            Value::Load { base: Base::Packet, .. } => true,
            Value::Load { base: Base::Header(at), .. } => x == Some(Held::Header(at)),
            Value::Load { base: Base::Index(index), .. } => x == Some(self.held(index)),
            Value::Negate(operand) => self.leaves_x(operand, x),
            Value::Binary { left, right, .. } => {
                let free = self.values.as_const(right).is_some() || x == Some(self.held(right));
                free && self.leaves_x(left, x)
            }
            _ => true,
        }
    }

    /// Brings one value into A and another into X.
    fn load_both(&mut self, left: ValueId, right: ValueId) -> Option<()> {
        if left == right {
            self.load_a(left)?;
            self.emit(MISC | TAX, 0);
            self.registers.x = self.registers.a;
            return Some(());
        }
        let kept = self.registers.x == Some(self.held(right)) && self.leaves_x(left, self.registers.x);
        if self.is_easy(right) && !kept {
            self.load_a(left)?;
            return self.load_easy_x(right);
        }
        if self.leaves_x(left, Some(self.held(right))) {
            self.load_x(right)?;
            return self.load_a(left);
        }
        let cell = self.temporaries;
        if self.values.cells(left) > self.values.cells(right) {
            self.load_a(left)?;
            self.emit(ST, cell);
            self.temporaries += 1;
            self.load_x(right)?;
            self.temporaries -= 1;
            self.emit(LD | MEM, cell);
            self.registers.a = Some(self.held(left));
        } else {
            self.load_a(right)?;
            self.emit(ST, cell);
            self.temporaries += 1;
            self.load_a(left)?;
            self.temporaries -= 1;
            self.emit(LDX | MEM, cell);
            self.registers.x = Some(self.held(right));
        }
        Some(())
    }
}

fn alu(op: BinaryOp) -> u16 {
    match op {
        BinaryOp::Add => ADD,
        BinaryOp::Subtract => SUB,
        BinaryOp::Multiply => MUL,
        BinaryOp::Divide => DIV,
        BinaryOp::Modulus => MOD,
        BinaryOp::And => AND,
        BinaryOp::Or => OR,
        BinaryOp::Xor => XOR,
        BinaryOp::ShiftLeft => LSH,
        BinaryOp::ShiftRight => RSH,
    }
}
