//! Blocks to instructions: order, jump distances, and jumps that are too far for their eight bits.

use super::ACCEPT;
use crate::cbpf::op::*;
use crate::cbpf::{Insn, Program};
use crate::graph::{Chain, IpVersion};

/// Where a block goes on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Exit {
    /// `ret` with a positive number.
    Accept,
    /// `ret #0`
    Reject,
    /// Another block.
    Block(usize),
}

/// Statements and a test.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Block {
    /// Loads, stores, arithmetic.
    pub body: Vec<Insn>,
    /// The test.
    pub test: Jump,
    /// If it holds.
    pub yes: Exit,
    /// If not.
    pub no: Exit,
}

/// The test at the end of a block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Jump {
    /// A conditional jump: its code and constant.
    Test(u16, u32),
    /// The loop of `protochain`, with a scratch cell.
    Chain(Chain, u32),
}

/// Lays blocks out so that all jumps but those of `protochain` go forward.
pub fn layout(blocks: &[Block], entry: Exit) -> Program {
    let order = order(blocks, entry);
    let mut layout = Layout { blocks, order, start: vec![0; blocks.len()], far: vec![(false, false); blocks.len()] };
    let Exit::Block(_) = entry else {
        return Program(vec![ret(entry)]);
    };
    let end = layout.place();
    let used = |verdict: Exit| layout.order.iter().any(|&at| blocks[at].yes == verdict || blocks[at].no == verdict);
    let (accepts, rejects) = (used(Exit::Accept), used(Exit::Reject));
    let mut code = Vec::with_capacity(end + 2);
    let position = |exit: Exit| match exit {
        Exit::Accept => end,
        Exit::Reject => end + usize::from(accepts),
        Exit::Block(at) => layout.start[at],
    };
    for &at in &layout.order {
        let block = &blocks[at];
        code.extend_from_slice(&block.body);
        let (yes, no) = (position(block.yes), position(block.no));
        match block.test {
            Jump::Test(test, k) => emit_test(&mut code, test, k, (yes, no), layout.far[at]),
            Jump::Chain(chain, cell) => emit_chain(&mut code, chain, cell, yes, no),
        }
    }
    if accepts {
        code.push(ret(Exit::Accept));
    }
    if rejects {
        code.push(ret(Exit::Reject));
    }
    Program(code)
}

fn ret(verdict: Exit) -> Insn {
    Insn::new(RET | K, if verdict == Exit::Accept { ACCEPT } else { 0 })
}

/// Reverse postorder: every block before those that it jumps to, and the one for "yes" next to it if possible.
fn order(blocks: &[Block], entry: Exit) -> Vec<usize> {
    let mut order = Vec::new();
    let mut seen = vec![false; blocks.len()];
    let mut stack = vec![(entry, 0)];
    while let Some((exit, state)) = stack.pop() {
        let Exit::Block(at) = exit else { continue };
        if state == 0 && std::mem::replace(&mut seen[at], true) {
            continue;
        }
        let next = match state {
            0 => blocks[at].no,
            1 => blocks[at].yes,
            _ => {
                order.push(at);
                continue;
            }
        };
        stack.push((exit, state + 1));
        stack.push((next, 0));
    }
    order.reverse();
    order
}

struct Layout<'a> {
    blocks: &'a [Block],
    order: Vec<usize>,
    /// Per block, the position of its first instruction.
    start: Vec<usize>,
    /// Per block, whether the jumps for yes and no need an unconditional jump to get there.
    far: Vec<(bool, bool)>,
}

impl Layout<'_> {
    /// Finds the positions of all blocks and the jumps that are too far; returns the position after the last block.
    fn place(&mut self) -> usize {
        loop {
            let mut at = 0;
            for &id in &self.order {
                self.start[id] = at;
                at += self.size(id);
            }
            let end = at;
            let mut grew = false;
            for &id in &self.order {
                let block = &self.blocks[id];
                if let Jump::Chain(..) = block.test {
                    continue;
                }
                let jump = self.start[id] + block.body.len();
                // One too many where nothing is accepted: no harm.
                let distance = |exit: Exit| match exit {
                    Exit::Block(to) => self.start[to] - jump - 1,
                    Exit::Accept => end - jump - 1,
                    Exit::Reject => end + 1 - jump - 1,
                };
                let (yes, no) = self.far[id];
                let far = (yes || distance(block.yes) > 255, no || distance(block.no) > 255);
                grew |= far != (yes, no);
                self.far[id] = far;
            }
            if !grew {
                return end;
            }
        }
    }

    fn size(&self, id: usize) -> usize {
        let test = match self.blocks[id].test {
            Jump::Test(..) => 1 + usize::from(self.far[id].0) + usize::from(self.far[id].1),
            Jump::Chain(chain, cell) => {
                let mut code = Vec::new();
                emit_chain(&mut code, chain, cell, usize::MAX, usize::MAX);
                code.len()
            }
        };
        self.blocks[id].body.len() + test
    }
}

fn emit_test(code: &mut Vec<Insn>, test: u16, k: u32, (yes, no): (usize, usize), far: (bool, bool)) {
    let at = code.len();
    let near = |to: usize| (to - at - 1) as u8;
    let jt = if far.0 { 0 } else { near(yes) };
    let jf = if far.1 { u8::from(far.0) } else { near(no) };
    code.push(Insn::jump(test, k, jt, jf));
    for (far, to) in [(far.0, yes), (far.1, no)] {
        if far {
            code.push(Insn::new(JMP | JA, (to - code.len() - 1) as u32));
        }
    }
}

/// Protocol numbers that a chain of headers is followed through.
const AH: u32 = 51;
const NO_NEXT: u32 = 59;
const EXTENSIONS: [u32; 4] = [0, 60, 43, 44];

/// The loop that [`Chain`] describes.
fn emit_chain(code: &mut Vec<Insn>, chain: Chain, cell: u32, yes: usize, no: usize) {
    let at = chain.header;
    let v6 = chain.version == IpVersion::V6;
    if v6 {
        code.push(Insn::new(LD | B | ABS, at.wrapping_add(6)));
        code.push(Insn::new(LDX | IMM, 40));
    } else {
        code.push(Insn::new(LD | B | ABS, at.wrapping_add(9)));
        code.push(Insn::new(LDX | B | MSH, at));
    }
    let again = code.len();
    // Distances inside: the tests, then both exits, then the loads for extension headers and for AH.
    let extensions: &[u32] = if v6 { &EXTENSIONS } else { &[] };
    let tests = 3 + extensions.len();
    let to_yes = again + tests;
    let to_no = to_yes + 1;
    let to_extension = to_no + 1;
    let to_ah = to_extension + if v6 { 9 } else { 0 };
    let jump = |code: &mut Vec<Insn>, k: u32, yes: Option<usize>, no: Option<usize>| {
        let here = code.len();
        let distance = |to: Option<usize>| to.map_or(0, |to| to - here - 1) as u8;
        code.push(Insn::jump(JEQ | K, k, distance(yes), distance(no)));
    };
    jump(code, chain.protocol, Some(to_yes), None);
    jump(code, NO_NEXT, Some(to_no), None);
    for &extension in extensions {
        jump(code, extension, Some(to_extension), None);
    }
    jump(code, AH, Some(to_ah), Some(to_no));
    for exit in [yes, no] {
        code.push(Insn::new(JMP | JA, exit.wrapping_sub(code.len() + 1) as u32));
    }
    let step = |code: &mut Vec<Insn>, more: u32, unit: u32, adds: bool| {
        code.push(Insn::new(LD | B | IND, at));
        code.push(Insn::new(ST, cell));
        code.push(Insn::new(LD | B | IND, at.wrapping_add(1)));
        code.push(Insn::new(ALU | ADD | K, more));
        code.push(Insn::new(ALU | MUL | K, unit));
        if adds {
            code.push(Insn::new(ALU | ADD | X, 0));
        }
        code.push(Insn::new(MISC | TAX, 0));
        code.push(Insn::new(LD | MEM, cell));
        code.push(Insn::new(JMP | JA, again.wrapping_sub(code.len() + 1) as u32));
    };
    if v6 {
        step(code, 1, 8, true);
    }
    step(code, 2, 4, false);
}
