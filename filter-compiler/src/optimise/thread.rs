//! Jumps past tests whose outcome is known.
//!
//! Along every edge it is known how the tests before it went. Where ways meet, only what all of them know remains; but
//! each edge by itself may lead past the tests that follow.

use super::domain::Domain;
use crate::ast::BinaryOp;
use crate::graph::{Base, Builder, Comparison, Graph, Node, Operand, Target, Test, Value, ValueId, Values};

/// What is known on the way to a node.
pub trait Knowledge: Clone + Default {
    /// The outcome of a test, if it is known.
    fn decide(&self, values: &Values, test: &Test) -> Option<bool>;

    /// Notes how a test went. False: it cannot have.
    fn assume(&mut self, values: &Values, test: &Test, outcome: bool) -> bool;

    /// Forgets what `other` does not know.
    fn meet(&mut self, values: &Values, other: &Self);
}

/// The pass, with all that we know about numbers.
pub fn thread(graph: Graph) -> (Graph, bool) {
    thread_with::<Facts>(graph)
}

/// The pass, with a certain kind of knowledge.
pub fn thread_with<K: Knowledge>(graph: Graph) -> (Graph, bool) {
    let Graph { link, root, nodes, values, has_vlan } = graph;
    let walk = Walk { nodes: &nodes, values: &values };
    let mut known: Vec<Option<K>> = (0..nodes.len()).map(|_| None).collect();
    let mut edges: Vec<Option<(Target, Target)>> = vec![None; nodes.len()];
    let start = walk.follow(root, &K::default());
    if let Target::Node(id) = start {
        known[id.index()] = Some(K::default());
    }
    let mut redirected = start != root;
    for at in 0..nodes.len() {
        let Some(here) = known[at].take() else {
            redirected = true;
            continue;
        };
        let node = &nodes[at];
        let fixed = node.test.is_fixed(&values);
        let mut edge = |mut after: K, outcome: bool| {
            if !fixed && !after.assume(&values, &node.test, outcome) {
                return None;
            }
            let target = walk.follow(if outcome { node.yes } else { node.no }, &after);
            if let Target::Node(id) = target {
                match &mut known[id.index()] {
                    Some(known) => known.meet(&values, &after),
                    unknown => *unknown = Some(after),
                }
            }
            Some(target)
        };
        // A verdict needs no knowledge. That the edge to it is possible is known: else the ways here would lead past.
        let (yes, no) = match (node.yes.node(), node.no.node()) {
            (None, None) => (Some(node.yes), Some(node.no)),
            (None, Some(_)) => (Some(node.yes), edge(here, false)),
            (Some(_), None) => (edge(here, true), Some(node.no)),
            (Some(_), Some(_)) => (edge(here.clone(), true), edge(here, false)),
        };
        redirected |= yes != Some(node.yes) || no != Some(node.no);
        edges[at] = match (yes, no) {
            (Some(yes), Some(no)) => Some((yes, no)),
            (Some(only), None) | (None, Some(only)) => Some((only, only)),
            // Nothing leads here after all.
            (None, None) => None,
        };
    }
    if !redirected {
        return (Graph { link, root, nodes, values, has_vlan }, false);
    }
    let mut builder = Builder::new(values, nodes.len());
    let mut built = vec![Target::Reject; nodes.len()];
    for at in (0..nodes.len()).rev() {
        let Some((yes, no)) = edges[at] else { continue };
        let moved = |target: Target| target.node().map_or(target, |id| built[id.index()]);
        built[at] = builder.node(nodes[at].test, moved(yes), moved(no));
    }
    let root = start.node().map_or(start, |id| built[id.index()]);
    let graph = builder.finish(root, link, has_vlan);
    let changed = graph.nodes != nodes;
    (graph, changed)
}

struct Walk<'a> {
    nodes: &'a [Node],
    values: &'a Values,
}

impl Walk<'_> {
    /// Where an edge to `target` leads if this is known on it.
    fn follow<K: Knowledge>(&self, mut target: Target, known: &K) -> Target {
        while let Target::Node(id) = target {
            let node = &self.nodes[id.index()];
            target = match known.decide(self.values, &node.test) {
                Some(true) => node.yes,
                Some(false) => node.no,
                None => break,
            };
        }
        target
    }
}

/// What values can be, and how tests went that are not about one value and a constant.
///
/// Copied for every edge, hence no memory of its own for the first few.
#[derive(Clone, Default)]
pub struct Facts {
    first: [Fact; FIRST],
    count: usize,
    more: Vec<Fact>,
    outcomes: Vec<(Test, bool)>,
}

const FIRST: usize = 4;

/// What is learnt after this many facts more is forgotten at once: all of them are copied for every edge.
const MOST: usize = 60;

#[derive(Clone, Copy, Default)]
struct Fact {
    value: ValueId,
    domain: Domain,
}

impl Facts {
    fn fact(&self, value: ValueId) -> Option<&Domain> {
        let known = self.first[..self.count].iter().chain(&self.more).find(|fact| fact.value == value)?;
        Some(&known.domain)
    }

    fn learn(&mut self, value: ValueId, domain: Domain) {
        let is_full = self.more.len() >= MOST;
        let known = self.first[..self.count].iter_mut().chain(&mut self.more).find(|fact| fact.value == value);
        match known {
            Some(known) => known.domain = domain,
            None if self.count < FIRST => {
                self.first[self.count] = Fact { value, domain };
                self.count += 1;
            }
            None if is_full => {}
            None => self.more.push(Fact { value, domain }),
        }
    }

    /// Whether one of some bits of `mask`, or of all of them, is known to be set.
    fn any_of_fewer(&self, value: ValueId, mask: u32) -> bool {
        self.outcomes.iter().any(|(known, outcome)| match known {
            Test::Bits { value: same, mask: Operand::Const(fewer) } => *outcome && *same == value && fewer & !mask == 0,
            _ => false,
        })
    }

    /// What a value can be: what was learnt about it and about what it is computed from.
    fn domain(&self, values: &Values, value: ValueId) -> Domain {
        match self.fact(value) {
            Some(fact) if !is_derived(values, value) => *fact,
            Some(fact) => {
                let mut domain = self.computed(values, value);
                domain.intersect(fact);
                domain
            }
            None => self.computed(values, value),
        }
    }

    /// Calls `look` with what a value can be.
    fn with_domain<T>(&self, values: &Values, value: ValueId, look: impl FnOnce(&Domain) -> T) -> T {
        match self.fact(value) {
            Some(fact) if !is_derived(values, value) => look(fact),
            _ => look(&self.domain(values, value)),
        }
    }

    fn computed(&self, values: &Values, value: ValueId) -> Domain {
        let all = Domain::range(0, values.max(value));
        match values.get(value) {
            Value::Const(number) => Domain::range(number, number),
            Value::HeaderLength(_) => all.with_bits(0, 3),
            Value::Binary { op, left, right } => {
                let Some(number) = values.as_const(right) else { return all };
                let operand = self.domain(values, left);
                let result = |left| crate::graph::fold(op, left, number).unwrap_or(0);
                let domain = operand.map((0, values.max(value)), result);
                match op {
                    BinaryOp::And => {
                        let (ones, zeros) = operand.known_bits();
                        domain.with_bits(ones & number, zeros | !number)
                    }
                    _ => domain,
                }
            }
            _ => all,
        }
    }
}

/// The outcome of a comparison with a number, if it is the same for all numbers from `low` to `high`.
fn by_bounds(op: Comparison, (low, high): (u32, u32), number: u32) -> Option<bool> {
    match op {
        Comparison::Equal if number < low || number > high => Some(false),
        Comparison::Equal => (low == high).then_some(true),
        Comparison::Greater if low > number => Some(true),
        Comparison::Greater => (high <= number).then_some(false),
        Comparison::GreaterOrEqual if low >= number => Some(true),
        Comparison::GreaterOrEqual => (high < number).then_some(false),
    }
}

/// Whether more can be known about a value by itself than what it cannot exceed.
fn is_computed(values: &Values, value: ValueId) -> bool {
    matches!(values.get(value), Value::Const(_) | Value::HeaderLength(_)) || is_derived(values, value)
}

/// Whether facts about another value say something about this one.
fn is_derived(values: &Values, value: ValueId) -> bool {
    matches!(values.get(value), Value::Binary { right, .. } if values.as_const(right).is_some())
}

impl Knowledge for Facts {
    fn decide(&self, values: &Values, test: &Test) -> Option<bool> {
        if test.is_fixed(values) {
            return None;
        }
        match *test {
            // Most values are met for the first time.
            Test::Compare { op, left, right: Operand::Const(number) }
                if !is_computed(values, left) && self.fact(left).is_none() =>
            {
                by_bounds(op, (0, values.max(left)), number)
            }
            Test::Compare { op, left, right: Operand::Const(number) } => self.with_domain(values, left, |domain| {
                if op == Comparison::Equal && !domain.contains(number) {
                    return Some(false);
                }
                by_bounds(op, domain.bounds(), number)
            }),
            Test::Bits { value, mask: Operand::Const(mask) } => {
                let known = self.with_domain(values, value, |domain| domain.bits(mask));
                known.or_else(|| self.any_of_fewer(value, mask).then_some(true))
            }
            Test::Compare { op, left, right: Operand::Value(right) } if left == right => {
                Some(op != Comparison::Greater)
            }
            _ => self.outcomes.iter().find(|(known, _)| known == test).map(|(_, outcome)| *outcome),
        }
    }

    fn assume(&mut self, values: &Values, test: &Test, outcome: bool) -> bool {
        let value = match *test {
            Test::Compare { left, right: Operand::Const(_), .. } => left,
            Test::Bits { value, mask: Operand::Const(_) } => value,
            _ => {
                match self.decide(values, test) {
                    Some(known) => return known == outcome,
                    None if self.outcomes.len() < MOST => self.outcomes.push((*test, outcome)),
                    None => {}
                }
                return true;
            }
        };
        let mut domain = self.domain(values, value);
        match *test {
            Test::Compare { op, right: Operand::Const(number), .. } => match (op, outcome) {
                (Comparison::Equal, true) if !domain.contains(number) => return false,
                (Comparison::Equal, true) => domain.keep(number, number),
                (Comparison::Equal, false) => domain.remove(number),
                (Comparison::Greater, true) if number == u32::MAX => return false,
                (Comparison::Greater, true) => domain.keep(number + 1, u32::MAX),
                (Comparison::Greater, false) => domain.keep(0, number),
                (Comparison::GreaterOrEqual, true) => domain.keep(number, u32::MAX),
                (Comparison::GreaterOrEqual, false) if number == 0 => return false,
                (Comparison::GreaterOrEqual, false) => domain.keep(0, number - 1),
            },
            Test::Bits { mask: Operand::Const(mask), .. } => {
                domain.keep_bits(mask, outcome);
                // One of several bits is set: a domain cannot say that.
                if outcome
                    && domain.bits(mask).is_none()
                    && self.outcomes.len() < MOST
                    && !self.any_of_fewer(value, mask)
                {
                    self.outcomes.push((*test, true));
                }
            }
            _ => {}
        }
        let possible = !domain.is_empty();
        self.learn(value, domain);
        possible
    }

    fn meet(&mut self, values: &Values, other: &Facts) {
        let before = std::mem::take(&mut self.more);
        let first = self.first;
        for Fact { value, mut domain } in first.into_iter().take(std::mem::take(&mut self.count)).chain(before) {
            if let Some(theirs) = other.fact(value) {
                domain.unite(theirs);
                if domain.says_more_than(values.max(value)) {
                    self.learn(value, domain);
                }
            }
        }
        self.outcomes.retain(|outcome| other.outcomes.contains(outcome));
    }
}

/// As much as libpcap's optimiser knows: how the same test went, and that what equals one number equals no other.
///
/// It is used only to tell whether libpcap would say that an expression rejects all packets.
#[derive(Clone, Default)]
pub struct Outcomes(Vec<(Test, bool)>);

impl Knowledge for Outcomes {
    fn decide(&self, _values: &Values, test: &Test) -> Option<bool> {
        for (known, outcome) in &self.0 {
            if known == test {
                return Some(*outcome);
            }
            if let (
                Test::Compare { op: Comparison::Equal, left: a, right: Operand::Const(_) },
                Test::Compare { op: Comparison::Equal, left: b, right: Operand::Const(_) },
                true,
            ) = (known, test, outcome)
                && a == b
            {
                return Some(false);
            }
        }
        None
    }

    fn assume(&mut self, values: &Values, test: &Test, outcome: bool) -> bool {
        match self.decide(values, test) {
            Some(known) => known == outcome,
            None => {
                self.0.push((*test, outcome));
                true
            }
        }
    }

    fn meet(&mut self, _values: &Values, other: &Outcomes) {
        self.0.retain(|outcome| other.0.contains(outcome));
    }
}

/// Tests that load what no packet has become "reject".
pub fn impossible_loads(graph: Graph) -> (Graph, bool) {
    let Graph { link, root, nodes, values, has_vlan } = graph;
    let never = |value: ValueId| loads_beyond(&values, value);
    let is_doomed = |node: &Node| match node.test {
        Test::Compare { left, right, .. } | Test::Bits { value: left, mask: right } => {
            never(left) || matches!(right, Operand::Value(right) if never(right))
        }
        Test::Chain(_) => false,
    };
    if !nodes.iter().any(is_doomed) {
        return (Graph { link, root, nodes, values, has_vlan }, false);
    }
    let doomed: Vec<bool> = nodes.iter().map(is_doomed).collect();
    let mut builder = Builder::new(values, nodes.len());
    let mut built = vec![Target::Reject; nodes.len()];
    for at in (0..nodes.len()).rev().filter(|&at| !doomed[at]) {
        let moved = |target: Target| target.node().map_or(target, |id| built[id.index()]);
        built[at] = builder.node(nodes[at].test, moved(nodes[at].yes), moved(nodes[at].no));
    }
    let root = root.node().map_or(root, |id| built[id.index()]);
    (builder.finish(root, link, has_vlan), true)
}

/// Offsets from 2^31 on are in no packet.
fn loads_beyond(values: &Values, value: ValueId) -> bool {
    match values.get(value) {
        Value::Load { base: Base::Packet, offset, .. } => offset >= 1 << 31,
        Value::Load { base: Base::Index(index), .. } => loads_beyond(values, index),
        Value::HeaderLength(at) | Value::Load { base: Base::Header(at), .. } => at >= 1 << 31,
        Value::Negate(operand) => loads_beyond(values, operand),
        Value::Binary { left, right, .. } => loads_beyond(values, left) || loads_beyond(values, right),
        _ => false,
    }
}
