//! The tree to the graph: what an expression means for packets of one link type.
//!
//! The text is read from left to right, because `vlan`, `mpls`, `pppoes` and tunnels move the headers for everything
//! right of them, whatever the booleans between. The nodes are then made from right to left.

mod address;
mod arithmetic;
mod encapsulation;
mod formula;
mod link;
mod state;
mod transport;

use formula::Formula;
use state::{Link, State, ethertype};

use crate::LinkType;
use crate::ast::*;
use crate::error::{Error, ErrorKind, Limit, NameKind, Span};
use crate::graph::{Base, Builder, Comparison, Graph, Size, Target, Value, ValueId, Values};
use crate::names::Names;

/// What an expression means, and what that says about its compilation.
pub struct Lowered {
    /// Nothing is optimised yet.
    pub graph: Graph,
    /// Whether libpcap does not optimise this expression, and thus does not find out that no packet can match.
    pub never_rejected: bool,
    /// Values that are an error if they can be reached.
    pub doubtful: Vec<(ValueId, Error)>,
}

/// Finds the meaning of `ast` for packets of `link`.
pub fn lower(ast: &Ast, link: LinkType, names: &dyn Names) -> Result<Lowered, Error> {
    let mut lower = Lower {
        text: &ast.text,
        names,
        values: Values::with_room(16),
        states: vec![State::new(link)],
        tunnels: 0,
        has_vlan: false,
        has_chain: false,
        span: Span::default(),
        doubtful: Vec::new(),
    };
    let formula = match &ast.root {
        Some(root) => lower.expr(root)?,
        None => Formula::Const(true),
    };
    let states = lower.states.len();
    let mut builder = Builder::new(lower.values, 16);
    let root = if states == 1 {
        formula.build(&mut builder, Target::Accept, Target::Reject)
    } else {
        formula.build_states(&mut builder, 1, &vec![Target::Accept; states], &vec![Target::Reject; states])[0]
    };
    if builder.overflow {
        return Err(Error::new(&ast.text, Span { start: 0, end: ast.text.len() }, ErrorKind::TooLarge(Limit::Tests)));
    }
    let graph = builder.finish(root, link, lower.has_vlan);
    let never_rejected = lower.has_chain || lower.tunnels > 0;
    Ok(Lowered { graph, never_rejected, doubtful: lower.doubtful })
}

struct Lower<'a> {
    text: &'a str,
    names: &'a dyn Names,
    values: Values,
    /// Where headers may be at this point of the text.
    states: Vec<State>,
    tunnels: usize,
    has_vlan: bool,
    has_chain: bool,
    /// The test at hand.
    span: Span,
    doubtful: Vec<(ValueId, Error)>,
}

impl Lower<'_> {
    /// Recursion is bounded by the parser's limit on nesting.
    fn expr(&mut self, expr: &Expr) -> Result<Formula, Error> {
        match expr {
            Expr::Test(test) => {
                self.span = test.span;
                self.test(test)
            }
            Expr::Not(inner) => Ok(self.expr(inner)?.negate()),
            Expr::Chain { first, rest } => {
                let first = self.expr(first)?;
                let rest = rest.iter().map(|(join, item)| Ok((*join, self.expr(item)?)));
                let rest: Result<Vec<(Join, Formula)>, Error> = rest.collect();
                Ok(Formula::Chain(Box::new(first), rest?))
            }
        }
    }

    fn test(&mut self, test: &Test) -> Result<Formula, Error> {
        match &test.kind {
            TestKind::Vlan(tag) => self.vlan(*tag),
            TestKind::Mpls(label) => self.mpls(*label),
            TestKind::PppoeS(session) => self.pppoe_session(*session),
            TestKind::Geneve(network) => self.geneve(*network),
            TestKind::Vxlan(network) => self.vxlan(*network),
            kind => {
                // The common case has one state; errors are the same in all of them.
                let states = std::mem::take(&mut self.states);
                let formulas: Result<Vec<Formula>, Error> = states.iter().map(|state| self.leaf(state, kind)).collect();
                self.states = states;
                Ok(match formulas? {
                    one if one.len() == 1 => one.into_iter().next().unwrap_or(Formula::Const(false)),
                    many => Formula::PerState(many),
                })
            }
        }
    }

    /// A test that moves no headers.
    fn leaf(&mut self, state: &State, kind: &TestKind) -> Result<Formula, Error> {
        match kind {
            TestKind::Id { qualifier, id, .. } => self.id(state, qualifier, id),
            TestKind::Protocol(protocol) => self.protocol(state, *protocol),
            TestKind::Relation(relation) => self.relation(state, relation),
            TestKind::Broadcast(protocol) => self.broadcast(state, *protocol),
            TestKind::Multicast(protocol) => self.multicast(state, *protocol),
            TestKind::Less(bytes) => {
                let length = self.values.leaf(Value::Length);
                Ok(Formula::compare(Comparison::Greater, length, *bytes).negate())
            }
            TestKind::Greater(bytes) => {
                let length = self.values.leaf(Value::Length);
                Ok(Formula::compare(Comparison::GreaterOrEqual, length, *bytes))
            }
            TestKind::Byte { index, op, value } => Ok(self.byte(state, *index, *op, *value)),
            TestKind::Inbound => Ok(self.outgoing().negate()),
            TestKind::Outbound => Ok(self.outgoing()),
            TestKind::IfIndex(index) => {
                let interface = self.values.leaf(Value::InterfaceIndex);
                Ok(Formula::equal(interface, *index))
            }
            TestKind::PppoeD => self.link_type(state, ethertype::PPPOED),
            TestKind::Llc(kind) => self.llc(state, kind.as_deref()),
            TestKind::Vlan(_) | TestKind::Mpls(_) | TestKind::PppoeS(_) | TestKind::Geneve(_) | TestKind::Vxlan(_) => {
                Ok(Formula::Const(false))
            }
        }
    }

    /// `PACKET_OUTGOING` of `linux/if_packet.h`.
    fn outgoing(&mut self) -> Formula {
        let packet_type = self.values.leaf(Value::PacketType);
        Formula::equal(packet_type, 4)
    }

    fn byte(&mut self, state: &State, index: u32, op: ByteOp, number: u32) -> Formula {
        let byte = state.header.plus(index).load(&mut self.values, Size::Byte);
        match op {
            ByteOp::Equal => Formula::equal(byte, number),
            ByteOp::Greater => Formula::compare(Comparison::Greater, byte, number),
            ByteOp::Less => Formula::compare(Comparison::GreaterOrEqual, byte, number).negate(),
            ByteOp::And => Formula::bits(byte, number),
            ByteOp::Or => {
                let number = self.values.constant(number);
                Formula::equal(self.values.binary(BinaryOp::Or, byte, number), 0).negate()
            }
        }
    }

    /// A protocol word alone.
    fn protocol(&mut self, state: &State, protocol: Protocol) -> Result<Formula, Error> {
        if let Some(number) = link_protocol(protocol) {
            return self.link_type(state, number);
        }
        if let Some(number) = ip_protocol(protocol) {
            return match protocol {
                Protocol::Icmp | Protocol::Igmp | Protocol::Igrp | Protocol::Vrrp | Protocol::Carp => {
                    self.ip_protocol(state, number)
                }
                Protocol::Icmp6 => self.ip6_protocol(state, number),
                _ => self.any_ip_protocol(state, number),
            };
        }
        match protocol {
            Protocol::Clnp => self.iso_protocol(state, 0x81),
            Protocol::Esis => self.iso_protocol(state, 0x82),
            Protocol::Isis => self.iso_protocol(state, 0x83),
            Protocol::L1 => self.isis_types(state, &[26, 24, 18, 15, 17]),
            Protocol::L2 => self.isis_types(state, &[27, 25, 20, 16, 17]),
            Protocol::Iih => self.isis_types(state, &[15, 16, 17]),
            Protocol::Lsp => self.isis_types(state, &[18, 20]),
            Protocol::Snp => self.isis_types(state, &[24, 25, 26, 27]),
            Protocol::Csnp => self.isis_types(state, &[24, 25]),
            Protocol::Psnp => self.isis_types(state, &[26, 27]),
            Protocol::Radio => Err(self.other_link("radio")),
            _ => Err(self.misapplied(protocol.text(), "nothing after it")),
        }
    }

    /// Whether the payload is `protocol`; behind MPLS labels, only IP can be told from the rest.
    fn link_type(&mut self, state: &State, protocol: u32) -> Result<Formula, Error> {
        if state.labels == 0 {
            return Ok(state.link_type(&mut self.values, protocol));
        }
        let version = match protocol {
            ethertype::IP => 0x40,
            ethertype::IP6 => 0x60,
            // The test at hand may be an address, of which the protocol is the wrong part.
            ethertype::ARP => return Err(self.error(ErrorKind::AfterMpls("arp".to_string()))),
            ethertype::RARP => return Err(self.error(ErrorKind::AfterMpls("rarp".to_string()))),
            ethertype::DECNET => return Err(self.error(ErrorKind::AfterMpls("decnet".to_string()))),
            _ => return Err(self.error(ErrorKind::AfterMpls(self.word().to_string()))),
        };
        // The bottom of the stack is marked in the third byte of the last label.
        let third = state.network().plus(0u32.wrapping_sub(2)).load(&mut self.values, Size::Byte);
        let bottom = Formula::bits(third, 1);
        Ok(Formula::all(vec![bottom, state.version(&mut self.values, version)]))
    }

    /// A name, number or address with its qualifiers.
    fn id(&mut self, state: &State, qualifier: &Qualifier, id: &Id) -> Result<Formula, Error> {
        match qualifier.kind {
            None | Some(Kind::Host) => self.host(state, qualifier, id),
            Some(Kind::Net) => self.net(state, qualifier, id),
            Some(Kind::Port) => self.port(state, qualifier, id),
            Some(Kind::PortRange) => self.port_range(state, qualifier, id),
            Some(Kind::Proto) => self.proto(state, qualifier, id),
            Some(Kind::ProtoChain) => self.proto_chain(state, qualifier, id),
            Some(Kind::Gateway) => Err(self.error_at(qualifier.span, ErrorKind::Gateway)),
        }
    }

    fn load(&mut self, base: Base, offset: u32, size: Size) -> ValueId {
        self.values.load(base, offset, size)
    }

    fn binary(&mut self, op: BinaryOp, left: ValueId, right: ValueId) -> ValueId {
        self.values.binary(op, left, right)
    }

    /// The text of the test at hand.
    fn word(&self) -> &str {
        &self.text[self.span.start..self.span.end]
    }

    /// An error about the test at hand.
    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(self.text, self.span, kind)
    }

    fn error_at(&self, span: Span, kind: ErrorKind) -> Error {
        Error::new(self.text, span, kind)
    }

    fn misapplied(&self, word: &str, to: &'static str) -> Error {
        self.error(ErrorKind::Misapplied { word: word.to_string(), to })
    }

    fn other_link(&self, word: &str) -> Error {
        let needs = "on IEEE 802.11 links with their headers";
        self.error(ErrorKind::OtherLink { word: word.to_string(), needs })
    }

    fn no_link_header(&self, state: &State, word: &str) -> Error {
        self.error(ErrorKind::NoLinkHeader { word: word.to_string(), link: state.link.text() })
    }

    fn unknown(&self, what: NameKind, name: &str, near: Option<String>) -> Error {
        self.error(ErrorKind::Unknown { what, name: name.to_string(), near })
    }
}

/// The EtherType, or below 1500 the LLC access point, of a protocol right above the link level.
fn link_protocol(protocol: Protocol) -> Option<u32> {
    use state::sap;
    Some(match protocol {
        Protocol::Ip => ethertype::IP,
        Protocol::Ip6 => ethertype::IP6,
        Protocol::Arp => ethertype::ARP,
        Protocol::Rarp => ethertype::RARP,
        Protocol::Atalk => ethertype::ATALK,
        Protocol::Aarp => ethertype::AARP,
        Protocol::Decnet => ethertype::DECNET,
        Protocol::Sca => ethertype::SCA,
        Protocol::Lat => ethertype::LAT,
        Protocol::Mopdl => ethertype::MOPDL,
        Protocol::Moprc => ethertype::MOPRC,
        Protocol::Stp => sap::STP,
        Protocol::Ipx => sap::IPX,
        Protocol::Netbeui => sap::NETBEUI,
        Protocol::Iso => sap::ISO,
        _ => return None,
    })
}

/// The number of a protocol that IP carries.
fn ip_protocol(protocol: Protocol) -> Option<u32> {
    Some(match protocol {
        Protocol::Icmp => 1,
        Protocol::Igmp => 2,
        Protocol::Tcp => 6,
        Protocol::Igrp => 9,
        Protocol::Udp => 17,
        Protocol::Esp => 50,
        Protocol::Ah => 51,
        Protocol::Icmp6 => 58,
        Protocol::Pim => 103,
        Protocol::Vrrp | Protocol::Carp => 112,
        Protocol::Sctp => 132,
        _ => return None,
    })
}

/// Whether tests of link-level addresses make sense.
fn is_ethernet(state: &State) -> bool {
    state.link == Link::Ethernet
}
