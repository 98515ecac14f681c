//! Tests of one value are brought together and made as few as possible.
//!
//! A cluster is a set of nodes that compare one value with constants and can only be entered at one node. It maps each
//! number to an exit; the map is made into tests anew. Clusters that follow each other and share an exit may be
//! exchanged, as long as no load moves up: a test can move to where its value has been loaded already.

use crate::graph::{Builder, Comparison, Graph, Node, Operand, Target, Test, ValueId, Values};
use crate::hash::Map as Table;

/// The pass.
pub fn group(graph: Graph) -> (Graph, bool) {
    let Graph { link, root, nodes, values, has_vlan } = graph;
    let clusters = Clusters::find(&nodes, &values, root);
    let steps = clusters.plan();
    if steps.iter().all(|(_, step)| matches!(step, Step::Keep)) {
        return (Graph { link, root, nodes, values, has_vlan }, false);
    }
    let maps: Vec<Option<Map>> =
        steps.iter().map(|(head, step)| matches!(step, Step::Remake).then(|| clusters.map(*head))).collect();
    let slots = clusters.slots;
    let mut builder = Builder::new(values, nodes.len());
    let mut built = vec![Target::Reject; nodes.len()];
    let mut list: Vec<usize> = Vec::with_capacity(nodes.len());
    for ((head, step), map) in steps.into_iter().zip(maps).rev() {
        match (step, map) {
            (Step::Chain { parts, common, end }, _) => {
                let moved = |target: Target| target.node().map_or(target, |id| built[id.index()]);
                let (common, mut target) = (moved(common), moved(end));
                for part in parts.into_iter().rev() {
                    target = part.build(&mut builder, common, target);
                }
                built[head] = target;
            }
            (_, Some(map)) => {
                let moved = |target: Target| target.node().map_or(target, |id| built[id.index()]);
                let map = joined(map.into_iter().map(|(high, target)| (high, moved(target))));
                built[head] = match compared(&nodes[head].test, &builder.values) {
                    Some(value) => decide(&mut builder, value, map),
                    None => Target::Reject,
                };
            }
            (_, None) => {
                list.clear();
                let mut at = head;
                while at != END {
                    list.push(at);
                    at = slots[at].next;
                }
                for &at in list.iter().rev() {
                    let moved = |target: Target| target.node().map_or(target, |id| built[id.index()]);
                    built[at] = builder.node(nodes[at].test, moved(nodes[at].yes), moved(nodes[at].no));
                }
            }
        }
    }
    let root = root.node().map_or(root, |id| built[id.index()]);
    let graph = builder.finish(root, link, has_vlan);
    let changed = graph.nodes != nodes;
    (graph, changed)
}

/// Numbers up to and including the first field go to the second, from where the entry before ended.
type Map = Vec<(u32, Target)>;

/// No node.
const END: usize = usize::MAX;

/// Which nodes decide about one value together. A cluster is named by the node where it is entered.
struct Clusters<'a> {
    nodes: &'a [Node],
    values: &'a Values,
    slots: Vec<Slot>,
}

/// What is known about one node.
#[derive(Clone, Copy)]
struct Slot {
    /// Its cluster.
    of: usize,
    /// The next node in its cluster, in topological order.
    next: usize,
    /// The last node of the cluster that is entered here.
    last: usize,
    /// The cluster that all edges to it come from; `END` if there are several or the graph is entered there.
    from: usize,
    /// The value that all tests before it are about, if it is only one; `None` inside if nothing is known yet.
    before: Option<Option<ValueId>>,
    /// The exits of the cluster that is entered here, if they are exactly two and it may change its place.
    exits: Option<[Target; 2]>,
}

/// Longer chains are looked at in parts.
const LONGEST_CHAIN: usize = 512;

enum Step {
    /// The nodes stay as they are.
    Keep,
    /// The tests are made anew.
    Remake,
    /// Clusters with a common exit, in their new order.
    Chain { parts: Vec<Part>, common: Target, end: Target },
}

/// One cluster, or several of the same value: what leads to the common exit.
enum Part {
    /// The ranges of numbers that do, and the largest number there is.
    Numbers(ValueId, Vec<(u32, u32)>, u32),
    /// Whether one of the bits being set does.
    Bits(ValueId, u32),
    /// Some other test, and the outcome that does.
    Single(Test, bool),
}

/// The value, if the test compares it with a constant and may be moved.
fn compared(test: &Test, values: &Values) -> Option<ValueId> {
    match test {
        Test::Compare { left, right: Operand::Const(_), .. } if !values.divides(*left) => Some(*left),
        _ => None,
    }
}

impl<'a> Clusters<'a> {
    fn find(nodes: &'a [Node], values: &'a Values, root: Target) -> Clusters<'a> {
        const UNKNOWN: usize = END - 1;
        let slot = |at| Slot { of: END, next: END, last: at, from: UNKNOWN, before: None, exits: None };
        let mut slots: Vec<Slot> = (0..nodes.len()).map(slot).collect();
        if let Target::Node(root) = root {
            slots[root.index()].from = END;
            slots[root.index()].before = Some(None);
        }
        for (at, node) in nodes.iter().enumerate() {
            let head = slots[at].from;
            let value = compared(&node.test, values);
            let inside = head < UNKNOWN && value.is_some() && value == compared(&nodes[head].test, values);
            let of = if inside { head } else { at };
            slots[at].of = of;
            if inside {
                let last = slots[head].last;
                slots[last].next = at;
                slots[head].last = at;
            }
            let value = tested(&node.test);
            for to in [node.yes, node.no].into_iter().filter_map(Target::node) {
                let slot = &mut slots[to.index()];
                slot.from = if slot.from == UNKNOWN || slot.from == of { of } else { END };
                slot.before = Some(value.filter(|_| slot.before.is_none_or(|before| before == value)));
            }
        }
        let mut clusters = Clusters { nodes, values, slots };
        for head in 0..nodes.len() {
            if clusters.slots[head].of == head {
                clusters.slots[head].exits = clusters.two_exits(head);
            }
        }
        clusters
    }

    fn members(&self, head: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(head), |&at| Some(self.slots[at].next).filter(|&next| next != END))
    }

    /// Whether an edge from a node of cluster `head` leads out of it.
    fn leaves(&self, head: usize, target: Target) -> bool {
        target.node().is_none_or(|id| self.slots[id.index()].of != head)
    }

    /// The exits of a cluster, if they are exactly two and it may change its place.
    fn two_exits(&self, head: usize) -> Option<[Target; 2]> {
        if self.nodes[head].test.is_fixed(self.values) {
            return None;
        }
        let mut exits: [Option<Target>; 2] = [None, None];
        for at in self.members(head) {
            for target in [self.nodes[at].yes, self.nodes[at].no] {
                if self.leaves(head, target) && !exits.contains(&Some(target)) {
                    *exits.iter_mut().find(|exit| exit.is_none())? = Some(target);
                }
            }
        }
        Some([exits[0]?, exits[1]?])
    }

    /// What to do with each cluster, in topological order; those that become part of a chain before them are left out.
    fn plan(&self) -> Vec<(usize, Step)> {
        let mut taken = vec![false; self.nodes.len()];
        let mut steps = Vec::with_capacity(self.nodes.len());
        for head in 0..self.nodes.len() {
            if self.slots[head].of != head || taken[head] {
                continue;
            }
            let chosen = self.slots[head].exits.and_then(|exits| {
                let mut chains = exits.map(|common| (self.chain(head, common), common));
                if chains[1].0.len() > chains[0].0.len() {
                    chains.swap(0, 1);
                }
                chains.into_iter().find_map(|(chain, common)| {
                    let parts = self.regroup(head, &chain, common)?;
                    Some((parts, chain, common))
                })
            });
            let step = match chosen {
                Some((parts, chain, common)) => {
                    for &(link, _) in &chain {
                        taken[link] = true;
                    }
                    let end = chain.last().map_or(Target::Reject, |&(_, end)| end);
                    Step::Chain { parts, common, end }
                }
                None if self.is_neat(head) => Step::Keep,
                None => Step::Remake,
            };
            steps.push((head, step));
        }
        steps
    }

    /// Whether making the tests of a cluster anew would give the same: one test, or a short list of single numbers in
    /// order, far from each other.
    fn is_neat(&self, head: usize) -> bool {
        let mut before: Option<(bool, u32)> = None;
        let mut at = head;
        let mut count = 0;
        let otherwise = self.members(head).last().map(|last| self.nodes[last].no);
        loop {
            let node = &self.nodes[at];
            let next = self.slots[at].next;
            if count == 0 && next == END {
                return true;
            }
            let Test::Compare { op: Comparison::Equal, right: Operand::Const(number), .. } = node.test else {
                return false;
            };
            let key = (node.yes.node().is_none(), number);
            let in_order = before.is_none_or(|before| before < key && before.1.abs_diff(number) > 1);
            if !in_order || !self.leaves(head, node.yes) || Some(node.yes) == otherwise || number == 0 {
                return false;
            }
            (before, count) = (Some(key), count + 1);
            if next == END {
                // A number at the upper end is as good as a range.
                return count <= LINEAR && self.leaves(head, node.no);
            }
            if self.leaves(head, node.no) {
                return false;
            }
            at = next;
        }
    }

    /// Clusters from `head` on with the exit `common` and only one other, which leads to the next and is the only way
    /// to it; each with its other exit. Nothing if that is only one.
    fn chain(&self, head: usize, common: Target) -> Vec<(usize, Target)> {
        let other = |at: usize| match self.slots[at].exits? {
            [one, other] if one == common => Some(other),
            [other, one] if one == common => Some(other),
            _ => None,
        };
        let next = |&(at, other): &(usize, Target)| {
            let next = other.node()?.index();
            if self.slots[next].from == at { Some(next) } else { None }
        };
        let link = |at: usize| other(at).map(|other| (at, other));
        let Some(first) = link(head) else { return Vec::new() };
        let Some(second) = next(&first).and_then(link) else { return Vec::new() };
        let mut chain = Vec::with_capacity(8);
        chain.push(first);
        chain.extend(std::iter::successors(Some(second), |last| next(last).and_then(link)).take(LONGEST_CHAIN - 1));
        chain
    }

    /// The parts of a chain with those of one value together, and those of the value at hand first; `None` if that
    /// changes nothing.
    fn regroup(&self, head: usize, chain: &[(usize, Target)], common: Target) -> Option<Vec<Part>> {
        if chain.len() < 2 {
            return None;
        }
        let about = |at: usize| tested(&self.nodes[at].test);
        let repeats = || {
            let mut seen: Vec<ValueId> = Vec::with_capacity(chain.len());
            seen.extend(chain.iter().filter_map(|&(at, _)| about(at)));
            seen.sort_unstable();
            seen.windows(2).any(|pair| pair[0] == pair[1])
        };
        let at_hand = self.slots[head].before.flatten();
        let comes_late = at_hand.is_some() && chain.iter().skip(1).any(|&(at, _)| about(at) == at_hand);
        if !comes_late && !repeats() {
            return None;
        }
        let mut parts: Vec<Part> = Vec::with_capacity(chain.len());
        // Where the part is that takes more of the same kind.
        let mut places: Table<(bool, ValueId), usize> = Table::default();
        for &(at, _) in chain {
            let node = &self.nodes[at];
            let part = match (compared(&node.test, self.values), node.test) {
                (Some(value), _) => {
                    let map = self.map(at);
                    Part::Numbers(value, ranges(&map, common), map.last()?.0)
                }
                (None, Test::Bits { value, mask: Operand::Const(mask) }) if node.yes == common => {
                    Part::Bits(value, mask)
                }
                (None, test) => Part::Single(test, node.yes == common),
            };
            let key = match &part {
                Part::Numbers(value, ..) => Some((false, *value)),
                Part::Bits(value, _) => Some((true, *value)),
                Part::Single(..) => None,
            };
            match (key.and_then(|key| places.get(&key)).map(|&place| &mut parts[place]), part) {
                (Some(Part::Numbers(_, ranges, _)), Part::Numbers(_, more, _)) => ranges.extend(more),
                (Some(Part::Bits(_, mask)), Part::Bits(_, more)) => *mask |= more,
                (_, part) => {
                    if let Some(key) = key {
                        places.insert(key, parts.len());
                    }
                    parts.push(part);
                }
            }
        }
        let is_at_hand = |part: &Part| part.value().is_some() && part.value() == at_hand;
        let moves = parts.iter().skip(1).any(is_at_hand) && !is_at_hand(&parts[0]);
        if moves {
            let (mut front, others): (Vec<Part>, _) = parts.into_iter().partition(is_at_hand);
            front.extend(others);
            parts = front;
        }
        (moves || parts.len() < chain.len()).then_some(parts)
    }

    /// Where each number leads to from the entry of a cluster.
    fn map(&self, head: usize) -> Map {
        let max = compared(&self.nodes[head].test, self.values).map_or(u32::MAX, |value| self.values.max(value));
        if self.slots[head].next == END
            && let Some(map) = map_of_one(&self.nodes[head], max)
        {
            return map;
        }
        let members: Vec<usize> = self.members(head).collect();
        map(self.nodes, &members, max)
    }
}

/// The numbers that lead to `exit`.
fn ranges(map: &Map, exit: Target) -> Vec<(u32, u32)> {
    let mut low = 0;
    let mut ranges = Vec::new();
    for &(high, target) in map {
        if target == exit {
            ranges.push((low, high));
        }
        low = high.saturating_add(1);
    }
    ranges
}

/// The first and the last number for which a comparison holds; no number if the first is larger.
fn holds(op: Comparison, number: u32) -> (u32, u32) {
    match op {
        Comparison::Equal => (number, number),
        Comparison::GreaterOrEqual => (number, u32::MAX),
        Comparison::Greater if number == u32::MAX => (1, 0),
        Comparison::Greater => (number + 1, u32::MAX),
    }
}

/// Where each number up to `max` leads to from one test.
fn map_of_one(node: &Node, max: u32) -> Option<Map> {
    let Test::Compare { op, right: Operand::Const(number), .. } = node.test else { return None };
    let (low, high) = holds(op, number);
    if low > high || low > max || node.yes == node.no {
        return Some(vec![(max, node.no)]);
    }
    let mut map = Vec::with_capacity(4);
    if low > 0 {
        map.push((low - 1, node.no));
    }
    map.push((high.min(max), node.yes));
    if high < max {
        map.push((max, node.no));
    }
    Some(map)
}

/// Where each number up to `max` leads to from the first of `members`, which are in topological order.
fn map(nodes: &[Node], members: &[usize], max: u32) -> Map {
    let head = members[0];
    let mut reach: Vec<(usize, Vec<(u32, u32)>)> = vec![(head, vec![(0, max)])];
    let mut exits: Vec<(u32, u32, Target)> = Vec::new();
    for &at in members {
        let Some(place) = reach.iter().position(|entry| entry.0 == at) else { continue };
        let (_, ranges) = reach.swap_remove(place);
        let node = &nodes[at];
        let Test::Compare { op, right: Operand::Const(number), .. } = node.test else { continue };
        let (mut yes, mut no) = (Vec::new(), Vec::new());
        let (low, high) = holds(op, number);
        for (from, to) in ranges {
            if low > high || to < low || from > high {
                no.push((from, to));
                continue;
            }
            if from < low {
                no.push((from, low - 1));
            }
            yes.push((from.max(low), to.min(high)));
            if to > high {
                no.push((high + 1, to));
            }
        }
        for (target, ranges) in [(node.yes, yes), (node.no, no)] {
            let inside = target.node().map(|id| id.index()).filter(|next| members.binary_search(next).is_ok());
            match inside {
                Some(next) => match reach.iter_mut().find(|entry| entry.0 == next) {
                    Some((_, known)) => known.extend(ranges),
                    None => reach.push((next, ranges)),
                },
                None => exits.extend(ranges.into_iter().map(|(low, high)| (low, high, target))),
            }
        }
    }
    exits.sort_unstable_by_key(|entry| entry.0);
    joined(exits.into_iter().map(|(_, high, target)| (high, target)))
}

/// Joins neighbours with the same target.
fn joined(entries: impl Iterator<Item = (u32, Target)>) -> Map {
    let mut map: Map = Vec::new();
    for (high, target) in entries {
        match map.last_mut() {
            Some(last) if last.1 == target => last.0 = high,
            _ => map.push((high, target)),
        }
    }
    map
}

/// The value that is at hand after a test.
fn tested(test: &Test) -> Option<ValueId> {
    match test {
        Test::Compare { left, .. } => Some(*left),
        Test::Bits { value, .. } => Some(*value),
        Test::Chain(_) => None,
    }
}

impl Part {
    /// The value that it is about, if its tests need nothing else.
    fn value(&self) -> Option<ValueId> {
        match self {
            Part::Numbers(value, ..) | Part::Bits(value, _) => Some(*value),
            Part::Single(Test::Bits { value, mask: Operand::Const(_) }, _) => Some(*value),
            Part::Single(..) => None,
        }
    }

    fn build(self, builder: &mut Builder, common: Target, other: Target) -> Target {
        match self {
            Part::Single(test, true) => builder.node(test, common, other),
            Part::Single(test, false) => builder.node(test, other, common),
            Part::Bits(value, mask) => builder.node(Test::Bits { value, mask: Operand::Const(mask) }, common, other),
            Part::Numbers(value, mut ranges, max) => {
                ranges.sort_unstable();
                let mut map: Map = Vec::new();
                let mut next = 0;
                for (low, high) in ranges {
                    if low > next {
                        map.push((low - 1, other));
                    }
                    map.push((high.max(map.last().map_or(0, |last| last.0)), common));
                    next = map[map.len() - 1].0.saturating_add(1);
                }
                if map.last().is_none_or(|last| last.0 < max) {
                    map.push((max, other));
                }
                decide(builder, value, joined(map.into_iter()))
            }
        }
    }
}

/// Longer lists of single numbers are searched by halves: a comparison more for each half, but fewer on the way.
const LINEAR: usize = 16;

/// Tests that send each number to its target.
fn decide(builder: &mut Builder, value: ValueId, map: Map) -> Target {
    let mut single: Vec<(u32, Target)> = Vec::new();
    let mut map = map;
    // Single numbers between two ranges with the same target: one comparison each, instead of one more than that.
    while let Some((first, after)) = run_of_singles(&map) {
        single.extend_from_slice(&map[first..after]);
        map.drain(first..after);
        map = joined(map.into_iter());
    }
    // Verdicts last: equal ends of lists, perhaps of other values, become one.
    single.sort_unstable_by_key(|entry| (entry.1.node().is_none(), entry.0));
    split(builder, value, &single, &map)
}

/// The shortest run of single numbers with the same target on both sides; the first of several.
fn run_of_singles(map: &Map) -> Option<(usize, usize)> {
    let is_single = |at: usize| map[at].0 == map[at - 1].0.saturating_add(1);
    let mut best: Option<(usize, usize)> = None;
    let mut first = 1;
    while first < map.len() {
        // The run from here to the next entry with the target that stands before it.
        let mut after = first;
        while after < map.len() && is_single(after) && map[after].1 != map[first - 1].1 {
            after += 1;
        }
        let found = after > first && after < map.len() && map[after].1 == map[first - 1].1;
        if found && best.is_none_or(|(from, to)| after - first < to - from) {
            best = Some((first, after));
            if after - first == 1 {
                break;
            }
        }
        first += 1;
    }
    best
}

/// `single` numbers first, then ranges.
fn split(builder: &mut Builder, value: ValueId, single: &[(u32, Target)], map: &[(u32, Target)]) -> Target {
    if single.len() > LINEAR {
        let mut sorted = single.to_vec();
        sorted.sort_unstable_by_key(|entry| entry.0);
        let (low, high) = sorted.split_at(single.len() / 2);
        let middle = high[0].0;
        let at = map.partition_point(|entry| entry.0 < middle);
        let below = split(builder, value, low, &map[..(at + 1).min(map.len())]);
        let above = split(builder, value, high, &map[at.min(map.len() - 1)..]);
        return compare(builder, Comparison::GreaterOrEqual, value, middle, above, below);
    }
    let mut target = by_ranges(builder, value, 0, map);
    for &(number, exit) in single.iter().rev() {
        target = compare(builder, Comparison::Equal, value, number, exit, target);
    }
    target
}

/// Ranges by halves. `low` is the smallest number that can come here.
fn by_ranges(builder: &mut Builder, value: ValueId, low: u32, map: &[(u32, Target)]) -> Target {
    match map {
        [] => Target::Reject,
        [(_, only)] => *only,
        // A single number at an end reads better as equality, and costs the same.
        [(first, one), (_, other)] if *first == low => compare(builder, Comparison::Equal, value, low, *one, *other),
        _ => {
            let (below, above) = map.split_at(map.len() / 2);
            let middle = below[below.len() - 1].0.saturating_add(1);
            let no = by_ranges(builder, value, low, below);
            let yes = by_ranges(builder, value, middle, above);
            compare(builder, Comparison::GreaterOrEqual, value, middle, yes, no)
        }
    }
}

fn compare(builder: &mut Builder, op: Comparison, left: ValueId, number: u32, yes: Target, no: Target) -> Target {
    builder.node(Test::Compare { op, left, right: Operand::Const(number) }, yes, no)
}
