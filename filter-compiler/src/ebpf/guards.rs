//! What each test loads, and how far ahead one bounds check may look.
//!
//! A load beyond the captured bytes rejects the packet, at the place of the load. A check may be made earlier, for several
//! loads at once, where that changes no verdict: on every path from here that could still accept, some load reaches at
//! least as far.

use asm::Size;

use super::{Metadata, Needs, Span};
use crate::graph::{self, Base, Chain, Graph, IpVersion, NodeId, Operand, Target, Test, Value, ValueId};

/// What one test loads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loads {
    /// The largest end of loads at fixed offsets; 0 if there are none.
    pub fixed: u32,
    /// The header that the test's indexed loads are relative to, and their largest end. If there were several headers, the
    /// loads of the others are computed ones.
    pub indexed: Option<(u32, u32)>,
}

/// For every node: its own loads, and what is loaded at least on every path from it to accept.
pub struct Guards {
    own: Vec<Loads>,
    least: Vec<Least>,
}

#[derive(Clone, Copy)]
struct Least {
    /// `None`: no path accepts.
    fixed: Option<u32>,
    /// For the header of the node's own indexed loads, or of those that follow on all paths.
    indexed: Option<(u32, u32)>,
}

impl Guards {
    pub fn new(graph: &Graph) -> Guards {
        let own: Vec<Loads> = graph.nodes().iter().map(|node| loads(graph, node.test)).collect();
        let mut least = vec![Least { fixed: None, indexed: None }; own.len()];
        for (at, node) in graph.nodes().iter().enumerate().rev() {
            let (yes, no) = (after(&least, node.yes), after(&least, node.no));
            least[at] = own[at].before(either(yes, no));
        }
        Guards { own, least }
    }

    /// The node's own loads.
    pub fn own(&self, node: NodeId) -> Loads {
        self.own[node.index()]
    }

    /// The first so many bytes can be required at the node.
    pub fn fixed(&self, node: NodeId) -> u32 {
        self.least[node.index()].fixed.unwrap_or(0).max(self.own(node).fixed)
    }

    /// So many bytes behind the header at `header` can be required at the node.
    pub fn indexed(&self, node: NodeId, header: u32) -> u32 {
        let end = |loads: Option<(u32, u32)>| loads.filter(|&(at, _)| at == header).map_or(0, |(_, end)| end);
        end(self.least[node.index()].indexed).max(end(self.own(node).indexed))
    }
}

impl Loads {
    /// These loads, followed by others.
    fn before(self, rest: Least) -> Least {
        let indexed = match (self.indexed, rest.indexed) {
            (Some((at, own)), Some((other, end))) if at == other => Some((at, own.max(end))),
            (Some(own), _) => Some(own),
            (None, rest) => rest,
        };
        Least { fixed: rest.fixed.map(|end| end.max(self.fixed)), indexed }
    }
}

fn after(least: &[Least], target: Target) -> Least {
    match target {
        Target::Accept => Least { fixed: Some(0), indexed: None },
        Target::Reject => Least { fixed: None, indexed: None },
        Target::Node(id) => least[id.index()],
    }
}

/// What holds whichever way is taken. A way that only rejects may be cut short.
fn either(a: Least, b: Least) -> Least {
    let fixed = match (a.fixed, b.fixed) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    };
    let indexed = match (a.fixed.is_some(), b.fixed.is_some()) {
        (true, false) => a.indexed,
        (false, true) => b.indexed,
        _ => match (a.indexed, b.indexed) {
            (Some((at, a)), Some((other, b))) if at == other => Some((at, a.min(b))),
            _ => None,
        },
    };
    Least { fixed, indexed }
}

/// The largest end that a check can name; no packet is as long.
fn clamp(end: u64) -> u32 {
    u32::try_from(end).unwrap_or(u32::MAX)
}

fn loads(graph: &Graph, test: Test) -> Loads {
    let mut loads = Loads::default();
    visit(graph, test, &mut |read| match read {
        Read::Fixed(span) => loads.fixed = loads.fixed.max(clamp(span.end())),
        Read::Indexed(header, span) => match &mut loads.indexed {
            Some((at, end)) if *at == header => *end = (*end).max(clamp(span.end())),
            Some(_) => {}
            none => *none = Some((header, clamp(span.end()))),
        },
        Read::Computed | Read::Metadata(_) => {}
    });
    loads
}

/// One thing that a test reads.
enum Read {
    Fixed(Span),
    /// Behind the header at the first offset.
    Indexed(u32, Span),
    Computed,
    Metadata(Metadata),
}

/// Size in the assembler's terms.
pub fn size(size: graph::Size) -> Size {
    match size {
        graph::Size::Byte => Size::B1,
        graph::Size::Half => Size::B2,
        graph::Size::Word => Size::B4,
    }
}

/// The fixed loads of a chain: next header, and for IPv4 the header's length.
pub fn chain_start(chain: Chain) -> [Option<Span>; 2] {
    let byte = |at: u32| Some(Span { offset: chain.header.saturating_add(at), size: Size::B1 });
    match chain.version {
        IpVersion::V4 => [byte(9), byte(0)],
        IpVersion::V6 => [byte(6), None],
    }
}

fn visit(graph: &Graph, test: Test, read: &mut dyn FnMut(Read)) {
    let operand = |operand| match operand {
        Operand::Const(_) => None,
        Operand::Value(id) => Some(id),
    };
    let roots = match test {
        Test::Compare { left, right, .. } => [Some(left), operand(right)],
        Test::Bits { value, mask } => [Some(value), operand(mask)],
        Test::Chain(chain) => {
            chain_start(chain).into_iter().flatten().for_each(|span| read(Read::Fixed(span)));
            read(Read::Computed);
            [None, None]
        }
    };
    let mut pending: Vec<ValueId> = roots.into_iter().flatten().collect();
    while let Some(id) = pending.pop() {
        match graph.values().get(id) {
            Value::Const(_) => {}
            Value::Length => read(Read::Metadata(Metadata::Length)),
            Value::PacketType => read(Read::Metadata(Metadata::PacketType)),
            Value::InterfaceIndex => read(Read::Metadata(Metadata::Interface)),
            Value::HeaderLength(at) => read(Read::Fixed(Span { offset: at, size: Size::B1 })),
            Value::Load { base, offset, size: bytes } => {
                let span = Span { offset, size: size(bytes) };
                match base {
                    Base::Packet => read(Read::Fixed(span)),
                    Base::Header(at) => {
                        read(Read::Fixed(Span { offset: at, size: Size::B1 }));
                        read(Read::Indexed(at, span));
                    }
                    Base::Index(index) => {
                        read(Read::Computed);
                        pending.push(index);
                    }
                }
            }
            Value::Negate(operand) => pending.push(operand),
            Value::Binary { left, right, .. } => pending.extend([left, right]),
        }
    }
}

pub fn needs(graph: &Graph) -> Needs {
    let mut needs = Needs::default();
    for node in graph.nodes() {
        visit(graph, node.test, &mut |read| match read {
            Read::Fixed(span) => needs.fixed.push(span),
            Read::Indexed(_, span) => needs.indexed.push(span),
            Read::Computed => needs.computed = true,
            Read::Metadata(which) if needs.metadata.contains(&which) => {}
            Read::Metadata(which) => needs.metadata.push(which),
        });
    }
    for spans in [&mut needs.fixed, &mut needs.indexed] {
        spans.sort_unstable();
        spans.dedup();
    }
    needs.metadata.sort_unstable();
    needs
}
