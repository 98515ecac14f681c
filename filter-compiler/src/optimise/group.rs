//! Tests of one value are brought together and made as few as possible.
//!
//! A cluster is a set of nodes that compare one value with constants and can only be entered at one node. It maps each
//! number to an exit; the map is made into tests anew. Clusters that follow each other and share an exit may be
//! exchanged, as long as no load moves up: a test can move to where its value has been loaded already.

use crate::graph::{Builder, Comparison, Graph, Node, Operand, Target, Test, ValueId, Values};

/// The pass.
pub fn group(graph: Graph) -> (Graph, bool) {
    let Graph { link, root, nodes, values, has_vlan } = graph;
    let clusters = Clusters::find(&nodes, &values, root);
    let mut builder = Builder::new(values);
    let mut built = vec![Target::Reject; nodes.len()];
    for (at, step) in clusters.plan(&nodes).into_iter().rev() {
        let moved = |target: Target| target.node().map_or(target, |id| built[id.index()]);
        built[at] = match step {
            Step::Cluster(cluster) => rebuild(&mut builder, cluster, moved),
            Step::Chain { parts, common, end } => {
                let (common, mut target) = (moved(common), moved(end));
                for part in parts.into_iter().rev() {
                    target = part.build(&mut builder, common, target);
                }
                target
            }
        };
    }
    let root = root.node().map_or(root, |id| built[id.index()]);
    let graph = builder.finish(root, link, has_vlan);
    let changed = graph.nodes != nodes;
    (graph, changed)
}

/// Numbers up to and including the first field go to the second, from where the entry before ended.
type Map = Vec<(u32, Target)>;

/// Nodes that decide about one thing.
struct Cluster {
    kind: Kind,
    /// All different exits.
    exits: Vec<Target>,
}

enum Kind {
    /// A value compared with constants.
    Numbers(ValueId, Map),
    /// Any other test.
    Single(Node),
}

struct Clusters {
    /// By the node where it is entered.
    list: Vec<Option<Cluster>>,
    /// For each node that enters a cluster: the only cluster that leads to it, if there is only one.
    from: Vec<Option<usize>>,
    /// For each node: the value that all tests before it are about, if it is only one.
    before: Vec<Option<ValueId>>,
}

enum Step<'a> {
    Cluster(&'a Cluster),
    /// Clusters with a common exit, in their new order.
    Chain {
        parts: Vec<Part>,
        common: Target,
        end: Target,
    },
}

/// One cluster, or several of the same value: what leads to the common exit.
enum Part {
    /// The ranges of numbers that do.
    Numbers(ValueId, Vec<(u32, u32)>, u32),
    /// Whether one of the bits being set does.
    Bits(ValueId, u32),
    /// Some other test, and the outcome that does.
    Single(Test, bool),
}

fn compared(test: &Test, values: &Values) -> Option<ValueId> {
    match test {
        Test::Compare { left, right: Operand::Const(_), .. } if !values.divides(*left) => Some(*left),
        _ => None,
    }
}

impl Clusters {
    fn find(nodes: &[Node], values: &Values, root: Target) -> Clusters {
        // Per node: the cluster it is in, and the cluster all edges to it come from.
        let mut cluster = vec![usize::MAX; nodes.len()];
        let mut from: Vec<Option<usize>> = vec![None; nodes.len()];
        let mut several = vec![false; nodes.len()];
        if let Target::Node(root) = root {
            several[root.index()] = true;
        }
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
        for (at, node) in nodes.iter().enumerate() {
            let inside = from[at].filter(|&head| {
                !several[at]
                    && compared(&node.test, values).is_some()
                    && compared(&node.test, values) == compared(&nodes[head].test, values)
            });
            cluster[at] = inside.unwrap_or(at);
            members[cluster[at]].push(at);
            for next in [node.yes, node.no].into_iter().filter_map(Target::node) {
                let next = next.index();
                match from[next] {
                    None => from[next] = Some(cluster[at]),
                    Some(known) if known != cluster[at] => several[next] = true,
                    Some(_) => {}
                }
            }
        }
        let mut list: Vec<Option<Cluster>> = (0..nodes.len()).map(|_| None).collect();
        for (head, members) in members.iter().enumerate().filter(|(_, members)| !members.is_empty()) {
            let kind = match compared(&nodes[head].test, values) {
                Some(value) => Kind::Numbers(value, map(nodes, members, values.max(value))),
                None => Kind::Single(nodes[head]),
            };
            let mut exits: Vec<Target> = match &kind {
                Kind::Numbers(_, map) => map.iter().map(|entry| entry.1).collect(),
                // Keeps its place: chains are made of clusters with two exits.
                Kind::Single(node) if node.test.is_fixed(values) => Vec::new(),
                Kind::Single(node) => vec![node.yes, node.no],
            };
            let mut seen: Vec<Target> = Vec::new();
            exits.retain(|exit| {
                let new = seen.len() > 2 || !seen.contains(exit);
                if new {
                    seen.push(*exit);
                }
                new
            });
            list[head] = Some(Cluster { kind, exits });
        }
        let from = from.into_iter().zip(several).map(|(from, several)| from.filter(|_| !several)).collect();
        Clusters { list, from, before: values_before(nodes, root) }
    }

    /// What to build for each node that enters something.
    fn plan(&self, nodes: &[Node]) -> Vec<(usize, Step<'_>)> {
        let mut taken = vec![false; nodes.len()];
        let mut steps = Vec::new();
        for (head, cluster) in self.list.iter().enumerate() {
            let Some(cluster) = cluster else { continue };
            if taken[head] {
                continue;
            }
            let chains = match cluster.exits[..] {
                [one, other] => [self.chain(head, one), self.chain(head, other)],
                _ => [Vec::new(), Vec::new()],
            };
            let longest = usize::from(chains[1].len() > chains[0].len());
            let chosen = [longest, 1 - longest].into_iter().find_map(|which| {
                let common = cluster.exits.get(which)?;
                Some((self.regroup(head, &chains[which], *common)?, which))
            });
            match chosen {
                Some((parts, which)) => {
                    let chain = &chains[which];
                    for &(link, _) in chain {
                        taken[link] = true;
                    }
                    let end = chain.last().map_or(Target::Reject, |&(_, end)| end);
                    steps.push((head, Step::Chain { parts, common: cluster.exits[which], end }));
                }
                None => steps.push((head, Step::Cluster(cluster))),
            }
        }
        steps
    }

    /// Clusters from `head` on with the exit `common` and only one other, which leads to the next and is the only way
    /// to it; each with its other exit.
    fn chain(&self, head: usize, common: Target) -> Vec<(usize, Target)> {
        let mut chain = Vec::new();
        let mut at = head;
        while let Some(cluster) = &self.list[at] {
            let other = match cluster.exits[..] {
                [one, other] if one == common => other,
                [other, one] if one == common => other,
                _ => break,
            };
            chain.push((at, other));
            match other {
                Target::Node(next) if self.from[next.index()] == Some(at) => at = next.index(),
                _ => break,
            }
        }
        chain
    }

    /// The parts of a chain with those of one value together, and those of the value at hand first; `None` if that
    /// changes nothing.
    fn regroup(&self, head: usize, chain: &[(usize, Target)], common: Target) -> Option<Vec<Part>> {
        let mut parts: Vec<Part> = Vec::with_capacity(chain.len());
        for &(at, _) in chain {
            let part = match &self.list[at].as_ref()?.kind {
                Kind::Numbers(value, map) => Part::Numbers(*value, ranges(map, common), map.last()?.0),
                Kind::Single(node) => match node.test {
                    Test::Bits { value, mask: Operand::Const(mask) } if node.yes == common => Part::Bits(value, mask),
                    test => Part::Single(test, node.yes == common),
                },
            };
            let same = parts.iter_mut().find_map(|known| match (known, &part) {
                (Part::Numbers(a, ranges, _), Part::Numbers(b, more, _)) if a == b => {
                    ranges.extend(more);
                    Some(())
                }
                (Part::Bits(a, mask), Part::Bits(b, more)) if a == b => {
                    *mask |= more;
                    Some(())
                }
                _ => None,
            });
            if same.is_none() {
                parts.push(part);
            }
        }
        let at_hand = |part: &Part| part.value().is_some() && part.value() == self.before[head];
        let moves = parts.iter().skip(1).any(at_hand) && !at_hand(&parts[0]);
        if moves {
            parts.sort_by_key(|part| !at_hand(part));
        }
        (moves || parts.len() < chain.len()).then_some(parts)
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
        // The numbers for which the test holds.
        let (low, high) = match op {
            Comparison::Equal => (number, number),
            Comparison::GreaterOrEqual => (number, u32::MAX),
            Comparison::Greater if number == u32::MAX => (1, 0),
            Comparison::Greater => (number + 1, u32::MAX),
        };
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

fn rebuild(builder: &mut Builder, cluster: &Cluster, moved: impl Fn(Target) -> Target) -> Target {
    match &cluster.kind {
        Kind::Single(node) => builder.node(node.test, moved(node.yes), moved(node.no)),
        Kind::Numbers(value, map) => {
            let map = joined(map.iter().map(|&(high, target)| (high, moved(target))));
            decide(builder, *value, map)
        }
    }
}

/// Per node, the value that all tests that lead to it are about.
fn values_before(nodes: &[Node], root: Target) -> Vec<Option<ValueId>> {
    // Nothing seen yet, one value, or several.
    let mut before: Vec<Option<Option<ValueId>>> = vec![None; nodes.len()];
    if let Target::Node(root) = root {
        before[root.index()] = Some(None);
    }
    for node in nodes {
        let value = tested(&node.test);
        for next in [node.yes, node.no].into_iter().filter_map(Target::node) {
            let slot = &mut before[next.index()];
            *slot = match *slot {
                None => Some(value),
                Some(known) if known == value => Some(known),
                Some(_) => Some(None),
            };
        }
    }
    before.into_iter().map(Option::flatten).collect()
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
