//! Protocols above IP, and ports.

use super::formula::Formula;
use super::state::{State, ethertype, sap};
use super::{Lower, link_protocol};
use crate::ast::*;
use crate::error::{Error, ErrorKind, NameKind};
use crate::graph::{Base, Chain, Comparison, IpVersion, Size, Test, Value, ValueId};
use crate::names::Transport;

const SCTP: u32 = 132;
const TCP: u32 = 6;
const UDP: u32 = 17;

/// IPv6's fragment header.
const FRAGMENT: u32 = 44;

/// Bytes of an IPv6 header.
pub const IP6_HEADER: u32 = 40;

/// What ports are compared with.
#[derive(Clone, Copy)]
enum Ports {
    One(u32),
    Range(u32, u32),
}

impl Lower<'_> {
    /// IPv4 carries protocol `number`.
    pub fn ip_protocol(&mut self, state: &State, number: u32) -> Result<Formula, Error> {
        let ip = self.link_type(state, ethertype::IP)?;
        let protocol = state.network().plus(9).load(&mut self.values, Size::Byte);
        Ok(Formula::all(vec![ip, Formula::equal(protocol, number)]))
    }

    /// IPv6 carries protocol `number`, at once or behind a fragment header.
    pub fn ip6_protocol(&mut self, state: &State, number: u32) -> Result<Formula, Error> {
        let ip6 = self.link_type(state, ethertype::IP6)?;
        let next = state.network().plus(6).load(&mut self.values, Size::Byte);
        let behind = state.network().plus(IP6_HEADER).load(&mut self.values, Size::Byte);
        let fragment = Formula::all(vec![Formula::equal(next, FRAGMENT), Formula::equal(behind, number)]);
        Ok(Formula::all(vec![ip6, Formula::any(vec![Formula::equal(next, number), fragment])]))
    }

    /// IPv4 or IPv6 carries protocol `number`.
    pub fn any_ip_protocol(&mut self, state: &State, number: u32) -> Result<Formula, Error> {
        Ok(Formula::any(vec![self.ip_protocol(state, number)?, self.ip6_protocol(state, number)?]))
    }

    /// ISO carries protocol `number`.
    pub fn iso_protocol(&mut self, state: &State, number: u32) -> Result<Formula, Error> {
        let iso = self.link_type(state, sap::ISO)?;
        let protocol = state.payload.plus(state.llc_payload).load(&mut self.values, Size::Byte);
        Ok(Formula::all(vec![iso, Formula::equal(protocol, number)]))
    }

    /// IS-IS packets of one of the types.
    pub fn isis_types(&mut self, state: &State, types: &[u32]) -> Result<Formula, Error> {
        let isis = self.iso_protocol(state, 0x83)?;
        let kind = state.payload.plus(state.llc_payload + 4).load(&mut self.values, Size::Byte);
        let types = types.iter().map(|&number| Formula::equal(kind, number)).collect();
        Ok(Formula::all(vec![isis, Formula::any(types)]))
    }

    pub fn proto(&mut self, state: &State, qualifier: &Qualifier, id: &Id) -> Result<Formula, Error> {
        let protocol = qualifier.protocol;
        let number = match id {
            Id::Number(number) => *number,
            Id::Name(name) => self.protocol_name(protocol, name)?,
            id => return Err(self.wrong_id("a protocol name or number", id)),
        };
        match protocol {
            None => self.any_ip_protocol(state, number),
            Some(Protocol::Ip) => self.ip_protocol(state, number),
            Some(Protocol::Ip6) => self.ip6_protocol(state, number),
            Some(Protocol::Link) => self.link_type(state, number),
            Some(Protocol::Iso) => self.iso_protocol(state, number),
            Some(Protocol::Isis) => self.isis_types(state, &[number]),
            Some(other) => {
                Err(self.error_at(qualifier.span, misapplied(other, "`proto`: it does not say what it carries")))
            }
        }
    }

    fn protocol_name(&self, protocol: Option<Protocol>, name: &str) -> Result<u32, Error> {
        match protocol {
            Some(Protocol::Link) => ether_protocol(name)
                .ok_or_else(|| self.unknown(NameKind::EtherProtocol, name, self.names.similar_protocol(name))),
            Some(Protocol::Iso) => match name {
                "clnp" => Ok(0x81),
                "esis" | "es-is" => Ok(0x82),
                "isis" | "is-is" => Ok(0x83),
                _ => Err(self.unknown(NameKind::IsoProtocol, name, None)),
            },
            _ => self.names.protocol(name).ok_or_else(|| {
                // Keywords have to be escaped in front of an id.
                let near = self.names.similar_protocol(name);
                let near = near.map(|near| escaped(&near));
                self.unknown(NameKind::IpProtocol, name, near)
            }),
        }
    }

    pub fn proto_chain(&mut self, state: &State, qualifier: &Qualifier, id: &Id) -> Result<Formula, Error> {
        let protocol = qualifier.protocol;
        if !matches!(protocol, None | Some(Protocol::Ip | Protocol::Ip6)) {
            let word = protocol.unwrap_or(Protocol::Link);
            return Err(self.error_at(qualifier.span, misapplied(word, "`protochain`")));
        }
        let number = match id {
            Id::Number(number) => *number,
            Id::Name(name) => self.protocol_name(protocol, name)?,
            id => return Err(self.wrong_id("a protocol name or number", id)),
        };
        if state.payload.index.is_some() {
            return Err(self.error_at(qualifier.span, ErrorKind::AfterTunnel("protochain".to_string())));
        }
        self.has_chain = true;
        let chain = |lower: &mut Self, version, kind| -> Result<Formula, Error> {
            let ip = lower.link_type(state, kind)?;
            let header = state.network().constant;
            Ok(Formula::all(vec![ip, Formula::Test(Test::Chain(Chain { version, header, protocol: number }))]))
        };
        match protocol {
            Some(Protocol::Ip) => chain(self, IpVersion::V4, ethertype::IP),
            Some(Protocol::Ip6) => chain(self, IpVersion::V6, ethertype::IP6),
            _ => {
                let v4 = chain(self, IpVersion::V4, ethertype::IP)?;
                let v6 = chain(self, IpVersion::V6, ethertype::IP6)?;
                Ok(Formula::any(vec![v4, v6]))
            }
        }
    }

    pub fn port(&mut self, state: &State, qualifier: &Qualifier, id: &Id) -> Result<Formula, Error> {
        let protocol = self.port_protocol(qualifier, "`port`")?;
        let (port, protocol) = match id {
            Id::Number(number) => (*number, protocol),
            Id::Name(name) => {
                let (port, owner) = self.port_name(name, protocol)?;
                (port, owner.or(protocol))
            }
            id => return Err(self.wrong_id("a port name or number", id)),
        };
        self.check_port(port)?;
        self.ports(state, qualifier.direction, protocol, Ports::One(port))
    }

    pub fn port_range(&mut self, state: &State, qualifier: &Qualifier, id: &Id) -> Result<Formula, Error> {
        let protocol = self.port_protocol(qualifier, "`portrange`")?;
        let (first, last, protocol) = match id {
            Id::Number(number) => (*number, *number, protocol),
            Id::Name(name) => self.range_name(name, protocol)?,
            id => return Err(self.wrong_id("a range of ports", id)),
        };
        self.check_port(first)?;
        self.check_port(last)?;
        self.ports(state, qualifier.direction, protocol, Ports::Range(first.min(last), first.max(last)))
    }

    fn check_port(&self, port: u32) -> Result<(), Error> {
        if port > 0xffff { Err(self.error(ErrorKind::PortTooLarge(port))) } else { Ok(()) }
    }

    fn port_protocol(&self, qualifier: &Qualifier, to: &'static str) -> Result<Option<u32>, Error> {
        match qualifier.protocol {
            None => Ok(None),
            Some(Protocol::Tcp) => Ok(Some(TCP)),
            Some(Protocol::Udp) => Ok(Some(UDP)),
            Some(Protocol::Sctp) => Ok(Some(SCTP)),
            Some(other) => Err(self.error_at(qualifier.span, misapplied(other, to))),
        }
    }

    /// The port, and the protocol if the name belongs to one only.
    fn port_name(&self, name: &str, wanted: Option<u32>) -> Result<(u32, Option<u32>), Error> {
        if let Ok(port) = name.parse::<u32>() {
            return Ok((port, None));
        }
        let tcp = self.names.port(name, Transport::Tcp).map(u32::from);
        let udp = self.names.port(name, Transport::Udp).map(u32::from);
        let (port, owner) = match (tcp, udp) {
            (Some(tcp), Some(udp)) if tcp == udp => (tcp, None),
            (Some(tcp), _) => (tcp, Some(TCP)),
            (None, Some(udp)) => (udp, Some(UDP)),
            (None, None) => {
                let near = self.names.similar_port(name);
                return Err(self.unknown(NameKind::Port, name, near));
            }
        };
        if let (Some(owner), Some(wanted)) = (owner, wanted)
            && owner != wanted
        {
            let owner = if owner == TCP { "TCP" } else { "UDP" };
            return Err(self.error(ErrorKind::PortOfOtherProtocol { name: name.to_string(), owner }));
        }
        Ok((port, owner))
    }

    /// `a-b`, each a name or a number. As in libpcap, what follows two numbers does not count: `1-2-3` is `1-2`.
    fn range_name(&self, text: &str, wanted: Option<u32>) -> Result<(u32, u32, Option<u32>), Error> {
        let Some((first, last)) = text.split_once('-') else {
            let (port, owner) = self.port_name(text, wanted)?;
            return Ok((port, port, owner.or(wanted)));
        };
        let digits = last.find(|c: char| !c.is_ascii_digit()).map_or(last, |end| &last[..end]);
        let number = |text: &str| match text.parse::<u32>() {
            Ok(number) => Some(number),
            Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => Some(u32::MAX),
            Err(_) => None,
        };
        if let (Some(first), Some(last)) = (number(first), number(digits)) {
            return Ok((first, last, wanted));
        }
        let ((first, one), (last, other)) = (self.range_end(first)?, self.range_end(last)?);
        // Different owners: both protocols are meant.
        let owner = if one == other { one } else { None };
        if let (Some(owner), Some(wanted)) = (owner, wanted)
            && owner != wanted
        {
            let owner = if owner == TCP { "TCP" } else { "UDP" };
            return Err(self.error(ErrorKind::PortOfOtherProtocol { name: text.to_string(), owner }));
        }
        Ok((first, last, owner.or(wanted)))
    }

    /// One end of a range; without a hint, because the mark is under the whole range.
    fn range_end(&self, name: &str) -> Result<(u32, Option<u32>), Error> {
        self.port_name(name, None).map_err(|error| match error.kind() {
            ErrorKind::Unknown { .. } => self.unknown(NameKind::Port, name, None),
            _ => error,
        })
    }

    /// Both IP versions, IPv6 first; each protocol that has ports unless one is given.
    fn ports(
        &mut self,
        state: &State,
        direction: Option<Direction>,
        protocol: Option<u32>,
        ports: Ports,
    ) -> Result<Formula, Error> {
        let all = [SCTP, TCP, UDP];
        let protocols = match &protocol {
            Some(one) => std::slice::from_ref(one),
            None => &all[..],
        };
        let ip6 = self.link_type(state, ethertype::IP6)?;
        let network = state.network();
        let next = network.plus(6).load(&mut self.values, Size::Byte);
        let source = network.plus(IP6_HEADER).load(&mut self.values, Size::Half);
        let destination = network.plus(IP6_HEADER + 2).load(&mut self.values, Size::Half);
        let v6 = protocols
            .iter()
            .map(|&number| {
                let ports = direct(direction, (source, destination), |value| port_test(value, ports));
                Formula::all(vec![Formula::equal(next, number), ports])
            })
            .collect();
        let ip = self.link_type(state, ethertype::IP)?;
        let carried = network.plus(9).load(&mut self.values, Size::Byte);
        let source = self.behind_ip(state, 0, Size::Half);
        let destination = self.behind_ip(state, 2, Size::Half);
        let first = self.first_fragment(state);
        let v4 = protocols
            .iter()
            .map(|&number| {
                let ports = direct(direction, (source, destination), |value| port_test(value, ports));
                Formula::all(vec![Formula::equal(carried, number), first.clone(), ports])
            })
            .collect();
        let v6 = Formula::all(vec![ip6, Formula::any(v6)]);
        Ok(Formula::any(vec![v6, Formula::all(vec![ip, Formula::any(v4)])]))
    }

    /// An IPv4 packet that is not fragmented, or the first fragment: later ones have no transport header.
    pub fn first_fragment(&mut self, state: &State) -> Formula {
        let field = state.network().plus(6).load(&mut self.values, Size::Half);
        Formula::bits(field, 0x1fff).negate()
    }

    /// Bytes behind the IPv4 header, whatever its length.
    pub fn behind_ip(&mut self, state: &State, offset: u32, size: Size) -> ValueId {
        let (base, start) = self.ip_end(state);
        self.load(base, start.wrapping_add(offset), size)
    }

    /// What the offset of a load behind the IPv4 header counts from, and the offset of its first byte.
    pub fn ip_end(&mut self, state: &State) -> (Base, u32) {
        let network = state.network();
        match network.index {
            None => (Base::Header(network.constant), network.constant),
            Some(index) => {
                let header = self.header_length(state);
                (Base::Index(self.binary(BinaryOp::Add, header, index)), network.constant)
            }
        }
    }

    /// `4 * (first byte & 15)`
    pub fn header_length(&mut self, state: &State) -> ValueId {
        let network = state.network();
        if network.index.is_none() {
            return self.values.leaf(Value::HeaderLength(network.constant));
        }
        let first = network.load(&mut self.values, Size::Byte);
        let mask = self.values.constant(15);
        let words = self.binary(BinaryOp::And, first, mask);
        let two = self.values.constant(2);
        self.binary(BinaryOp::ShiftLeft, words, two)
    }

    /// An id of a kind that does not fit its qualifiers.
    pub fn wrong_id(&self, needs: &'static str, id: &Id) -> Error {
        self.error(ErrorKind::WrongAddress { needs, found: id.to_string() })
    }
}

fn port_test(value: ValueId, ports: Ports) -> Formula {
    match ports {
        Ports::One(port) => Formula::equal(value, port),
        Ports::Range(first, last) => Formula::all(vec![
            Formula::compare(Comparison::GreaterOrEqual, value, first),
            Formula::compare(Comparison::Greater, value, last).negate(),
        ]),
    }
}

/// Tests the source, the destination, either or both.
pub fn direct<T: Copy>(
    direction: Option<Direction>,
    (source, destination): (T, T),
    test: impl Fn(T) -> Formula,
) -> Formula {
    match direction {
        Some(Direction::Source) => test(source),
        Some(Direction::Destination) => test(destination),
        Some(Direction::Both) => Formula::all(vec![test(source), test(destination)]),
        Some(Direction::Either) | None => Formula::any(vec![test(source), test(destination)]),
    }
}

pub fn misapplied(protocol: Protocol, to: &'static str) -> ErrorKind {
    ErrorKind::Misapplied { word: protocol.text().to_string(), to }
}

/// With a backslash if the name is a keyword.
fn escaped(name: &str) -> String {
    if crate::words::keyword(name).is_some() { format!("\\{name}") } else { name.to_string() }
}

/// Names after `ether proto`: EtherTypes and LLC access points.
fn ether_protocol(name: &str) -> Option<u32> {
    let word = match name {
        "loopback" => return Some(ethertype::LOOPBACK),
        "aarp" => Protocol::Aarp,
        "arp" => Protocol::Arp,
        "atalk" => Protocol::Atalk,
        "decnet" => Protocol::Decnet,
        "ip" => Protocol::Ip,
        "ip6" => Protocol::Ip6,
        "lat" => Protocol::Lat,
        "mopdl" => Protocol::Mopdl,
        "moprc" => Protocol::Moprc,
        "rarp" => Protocol::Rarp,
        "sca" => Protocol::Sca,
        "iso" => Protocol::Iso,
        "stp" => Protocol::Stp,
        "ipx" => Protocol::Ipx,
        "netbeui" => Protocol::Netbeui,
        _ => return None,
    };
    link_protocol(word)
}
