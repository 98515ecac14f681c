//! Building graphs from the verdicts upwards; equal nodes become one.

use super::{Comparison, Graph, Node, NodeId, Operand, Target, Test, Value, ValueId, Values};
use crate::LinkType;
use crate::ast::BinaryOp;
use crate::error::Limit;
use crate::hash::Positions;

/// Collects nodes; successors are made before predecessors.
pub struct Builder {
    pub values: Values,
    nodes: Vec<Node>,
    places: Positions,
    /// Whether there were more nodes than [`Limit::Tests`] allows; the graph is then wrong.
    pub overflow: bool,
}

/// A test as simple as it can be.
pub enum Simple {
    /// It always has this outcome.
    Known(bool),
    /// The test, to be negated if the flag is set.
    Test(Test, bool),
}

impl Builder {
    /// With room for about `count` nodes.
    pub fn new(values: Values, count: usize) -> Builder {
        Builder { values, nodes: Vec::with_capacity(count), places: Positions::with_room(count), overflow: false }
    }

    /// A node, or where it would lead to if the test does not matter.
    pub fn node(&mut self, test: Test, yes: Target, no: Target) -> Target {
        // What may reject the packet by itself does not matter where the packet is rejected anyway.
        if yes == no && (no == Target::Reject || !test.is_fixed(&self.values)) {
            return yes;
        }
        match self.simplify(test) {
            Simple::Known(true) => yes,
            Simple::Known(false) => no,
            Simple::Test(test, false) => self.intern(Node { test, yes, no }),
            Simple::Test(test, true) => self.intern(Node { test, yes: no, no: yes }),
        }
    }

    fn intern(&mut self, node: Node) -> Target {
        if self.nodes.len() >= Limit::Tests.max() {
            self.overflow = true;
            return Target::Reject;
        }
        let at = self.places.find_or_add(&self.nodes, &node);
        if at == self.nodes.len() {
            self.nodes.push(node);
        }
        Target::Node(NodeId(at as u32))
    }

    /// Brings a test into the one form that equal tests share. Knows nothing about what packets can hold: that is
    /// `optimise`'s.
    pub fn simplify(&mut self, test: Test) -> Simple {
        match test {
            Test::Chain(_) => Simple::Test(test, false),
            Test::Bits { value, mask: Operand::Value(mask) } => {
                match (self.values.as_const(value), self.values.as_const(mask)) {
                    (_, Some(mask)) => self.bits(value, mask),
                    (Some(number), None) => self.bits(mask, number),
                    (None, None) => Simple::Test(test, false),
                }
            }
            Test::Bits { value, mask: Operand::Const(mask) } => self.bits(value, mask),
            Test::Compare { op, left, right: Operand::Const(number) } => self.compare(op, left, number),
            Test::Compare { op, left, right: Operand::Value(right) } => {
                match (self.values.as_const(left), self.values.as_const(right)) {
                    (_, Some(number)) => self.compare(op, left, number),
                    (Some(number), None) => match op {
                        Comparison::Equal => self.compare(op, right, number),
                        // number > right, number >= right
                        Comparison::Greater => negated(self.compare(Comparison::GreaterOrEqual, right, number)),
                        Comparison::GreaterOrEqual => negated(self.compare(Comparison::Greater, right, number)),
                    },
                    (None, None) => Simple::Test(test, false),
                }
            }
        }
    }

    fn bits(&mut self, value: ValueId, mask: u32) -> Simple {
        if let Some(number) = self.values.as_const(value) {
            return Simple::Known(number & mask != 0);
        }
        if mask == 0 {
            return Simple::Known(false);
        }
        if mask == u32::MAX {
            return negated(self.compare(Comparison::Equal, value, 0));
        }
        if let Value::Binary { op: BinaryOp::And, left, right } = self.values.get(value)
            && let Some(inner) = self.values.as_const(right)
        {
            return self.bits(left, inner & mask);
        }
        Simple::Test(Test::Bits { value, mask: Operand::Const(mask) }, false)
    }

    fn compare(&mut self, op: Comparison, left: ValueId, number: u32) -> Simple {
        if let Some(left) = self.values.as_const(left) {
            return Simple::Known(op.holds(left, number));
        }
        match op {
            Comparison::Equal => self.equal(left, number),
            Comparison::Greater if number == 0 => negated(self.equal(left, 0)),
            Comparison::GreaterOrEqual if number == 1 => negated(self.equal(left, 0)),
            // One form for "more than n" and "at least n+1".
            Comparison::Greater if number != u32::MAX => simple(Comparison::GreaterOrEqual, left, number + 1),
            _ => simple(op, left, number),
        }
    }

    /// Moves operations with a constant from the left side to the right.
    fn equal(&mut self, left: ValueId, number: u32) -> Simple {
        match self.values.get(left) {
            Value::Negate(operand) => self.equal(operand, number.wrapping_neg()),
            Value::Binary { op, left: x, right } => match (op, self.values.as_const(right)) {
                (BinaryOp::Add, Some(k)) => self.equal(x, number.wrapping_sub(k)),
                (BinaryOp::Xor, Some(k)) => self.equal(x, number ^ k),
                (BinaryOp::And, Some(mask)) if number == 0 => negated(self.bits(x, mask)),
                (BinaryOp::And, Some(mask)) if mask == number && mask.is_power_of_two() => self.bits(x, mask),
                (BinaryOp::ShiftRight, Some(count)) if number == 0 && count < 32 => {
                    negated(self.compare(Comparison::GreaterOrEqual, x, 1 << count))
                }
                (BinaryOp::Subtract | BinaryOp::Xor, None) if number == 0 => {
                    Simple::Test(Test::Compare { op: Comparison::Equal, left: x, right: Operand::Value(right) }, false)
                }
                (BinaryOp::And, None) if number == 0 => {
                    Simple::Test(Test::Bits { value: x, mask: Operand::Value(right) }, true)
                }
                _ => simple(Comparison::Equal, left, number),
            },
            _ => simple(Comparison::Equal, left, number),
        }
    }

    /// The graph of all that can be reached from `root`.
    pub fn finish(self, root: Target, link: LinkType, has_vlan: bool) -> Graph {
        // Per node: not seen, being visited, or its place.
        const NOT_SEEN: u32 = u32::MAX;
        let mut place = vec![NOT_SEEN; self.nodes.len()];
        let mut order: Vec<NodeId> = Vec::with_capacity(self.nodes.len());
        // Depth first; the node after a test is where it goes if it holds.
        let mut stack: Vec<(NodeId, u8)> = Vec::with_capacity(16);
        stack.extend(root.node().map(|id| (id, 0)));
        while let Some((id, state)) = stack.pop() {
            let node = &self.nodes[id.index()];
            let next = match state {
                0 if place[id.index()] != NOT_SEEN => continue,
                0 => node.no,
                1 => node.yes,
                _ => {
                    order.push(id);
                    continue;
                }
            };
            place[id.index()] = 0;
            stack.push((id, state + 1));
            if let Target::Node(next) = next
                && place[next.index()] == NOT_SEEN
            {
                stack.push((next, 0));
            }
        }
        order.reverse();
        for (at, id) in order.iter().enumerate() {
            place[id.index()] = at as u32;
        }
        let moved = |target: Target| match target {
            Target::Node(id) => Target::Node(NodeId(place[id.index()])),
            verdict => verdict,
        };
        let nodes = order
            .iter()
            .map(|id| {
                let node = self.nodes[id.index()];
                Node { test: node.test, yes: moved(node.yes), no: moved(node.no) }
            })
            .collect();
        Graph { link, root: moved(root), nodes, values: self.values, has_vlan }
    }
}

fn simple(op: Comparison, left: ValueId, number: u32) -> Simple {
    Simple::Test(Test::Compare { op, left, right: Operand::Const(number) }, false)
}

fn negated(simple: Simple) -> Simple {
    match simple {
        Simple::Known(outcome) => Simple::Known(!outcome),
        Simple::Test(test, negate) => Simple::Test(test, !negate),
    }
}
