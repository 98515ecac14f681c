//! Boolean combinations of tests, in the order of evaluation, and their translation into nodes.

use crate::ast::Join;
use crate::graph::{Builder, Comparison, Operand, Target, Test, ValueId};

/// What one part of the expression means.
///
/// Inside a tunnel, headers may be in several places; there is one formula per place ("state"). Most expressions have
/// one state from start to end.
#[derive(Clone, Debug)]
pub enum Formula {
    /// Always or never.
    Const(bool),
    /// One test, the same in all states.
    Test(Test),
    /// The opposite.
    Not(Box<Formula>),
    /// All of them, from left to right; one is only reached if those before it hold.
    All(Vec<Formula>),
    /// One of them, from left to right; one is only reached if those before it do not hold.
    Any(Vec<Formula>),
    /// As it was typed: from left to right, without precedence. Only this and `Not` hold tunnels.
    Chain(Box<Formula>, Vec<(Join, Formula)>),
    /// One formula per state.
    PerState(Vec<Formula>),
    /// A tunnel header: per state, the ways to be inside. The states after it are, for each state before it, "not
    /// inside", and one per way.
    Tunnel(Vec<Vec<Way>>),
}

/// One way to be inside a tunnel.
#[derive(Clone, Debug)]
pub struct Way {
    /// The tunnel header is there.
    pub outer: Formula,
    /// Which of two states holds then: the first if this is true. Without it there is only one.
    pub inner: Option<Formula>,
}

impl Formula {
    /// All of them, from left to right.
    pub fn all(list: Vec<Formula>) -> Formula {
        Formula::All(list)
    }

    /// One of them, from left to right.
    pub fn any(list: Vec<Formula>) -> Formula {
        Formula::Any(list)
    }

    /// The opposite.
    pub fn negate(self) -> Formula {
        Formula::Not(Box::new(self))
    }

    /// `value == number`
    pub fn equal(value: ValueId, number: u32) -> Formula {
        Formula::compare(Comparison::Equal, value, number)
    }

    /// A comparison with a constant.
    pub fn compare(op: Comparison, left: ValueId, number: u32) -> Formula {
        Formula::Test(Test::Compare { op, left, right: Operand::Const(number) })
    }

    /// `value & mask != 0`
    pub fn bits(value: ValueId, mask: u32) -> Formula {
        Formula::Test(Test::Bits { value, mask: Operand::Const(mask) })
    }

    /// By how much the number of states grows.
    fn growth(&self) -> usize {
        match self {
            Formula::Const(_) | Formula::Test(_) | Formula::All(_) | Formula::Any(_) | Formula::PerState(_) => 1,
            Formula::Not(inner) => inner.growth(),
            Formula::Chain(first, rest) => {
                first.growth() * rest.iter().map(|(_, item)| item.growth()).product::<usize>()
            }
            Formula::Tunnel(ways) => ways.first().map_or(1, |ways| 1 + ways.iter().map(Way::states).sum::<usize>()),
        }
    }

    /// Makes the nodes for a formula of one state.
    pub fn build(&self, builder: &mut Builder, yes: Target, no: Target) -> Target {
        match self {
            Formula::Const(true) => yes,
            Formula::Const(false) => no,
            Formula::Test(test) => builder.node(*test, yes, no),
            Formula::Not(inner) => inner.build(builder, no, yes),
            Formula::All(list) => list.iter().rev().fold(yes, |yes, item| item.build(builder, yes, no)),
            Formula::Any(list) => list.iter().rev().fold(no, |no, item| item.build(builder, yes, no)),
            Formula::Chain(first, rest) => {
                let (mut yes, mut no) = (yes, no);
                for (join, item) in rest.iter().rev() {
                    let target = item.build(builder, yes, no);
                    match join {
                        Join::And => yes = target,
                        Join::Or => no = target,
                    }
                }
                first.build(builder, yes, no)
            }
            Formula::PerState(list) => list.first().map_or(no, |only| only.build(builder, yes, no)),
            Formula::Tunnel(_) => self.build_states(builder, 1, &vec![yes; self.growth()], &vec![no; self.growth()])[0],
        }
    }

    /// Makes the nodes for `states` states: where to enter, for each. `yes` and `no` are for each state after it.
    pub fn build_states(&self, builder: &mut Builder, states: usize, yes: &[Target], no: &[Target]) -> Vec<Target> {
        match self {
            Formula::Const(_) | Formula::Test(_) | Formula::All(_) | Formula::Any(_) => {
                (0..states).map(|at| self.build(builder, yes[at], no[at])).collect()
            }
            Formula::Not(inner) => inner.build_states(builder, states, no, yes),
            Formula::PerState(list) => {
                list.iter().zip(yes.iter().zip(no)).map(|(item, (yes, no))| item.build(builder, *yes, *no)).collect()
            }
            Formula::Chain(first, rest) => {
                let mut sizes = vec![states * first.growth()];
                for (_, item) in rest {
                    sizes.push(sizes[sizes.len() - 1] * item.growth());
                }
                let (mut yes, mut no) = (yes.to_vec(), no.to_vec());
                for ((join, item), &size) in rest.iter().zip(&sizes).rev() {
                    let targets = item.build_states(builder, size, &yes, &no);
                    // Tunnels in an operand that was not reached were not entered: the first state of each group.
                    let growth = yes.len() / size;
                    let skipped = |targets: &[Target]| (0..size).map(|at| targets[at * growth]).collect();
                    (yes, no) = match join {
                        Join::And => (targets, skipped(&no)),
                        Join::Or => (skipped(&yes), targets),
                    };
                }
                first.build_states(builder, states, &yes, &no)
            }
            Formula::Tunnel(list) => {
                let growth = self.growth();
                (0..states).map(|at| enter(builder, &list[at], &yes[at * growth..], no[at * growth])).collect()
            }
        }
    }
}

impl Way {
    fn states(&self) -> usize {
        if self.inner.is_some() { 2 } else { 1 }
    }
}

/// `yes` starts with the state "not inside", then come those of each way.
fn enter(builder: &mut Builder, ways: &[Way], yes: &[Target], outside: Target) -> Target {
    let mut state = 1 + ways.iter().map(Way::states).sum::<usize>();
    let mut target = outside;
    for way in ways.iter().rev() {
        state -= way.states();
        let inside = match &way.inner {
            Some(inner) => inner.build(builder, yes[state], yes[state + 1]),
            None => yes[state],
        };
        target = way.outer.build(builder, inside, target);
    }
    target
}
