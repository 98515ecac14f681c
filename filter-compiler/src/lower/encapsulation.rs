//! Headers that move all headers behind them: VLAN tags, MPLS labels, PPPoE sessions, tunnels over UDP.

use super::formula::{Formula, Way};
use super::state::{Link, Place, State, ethertype, masked};
use super::{Lower, is_ethernet};
use crate::ast::BinaryOp;
use crate::error::{Error, ErrorKind, Limit};
use crate::graph::{Size, ValueId};

/// UDP ports, from the registry of IANA.
const GENEVE_PORT: u32 = 6081;
const VXLAN_PORT: u32 = 4789;

/// The protocol number of UDP.
const UDP: u32 = 17;

/// Bytes of a UDP header, and of what follows it in both tunnels without options.
const UDP_HEADER: u32 = 8;
const TUNNEL_HEADER: u32 = 8;

impl Lower<'_> {
    /// One formula per state.
    fn per_state(
        &mut self,
        mut make: impl FnMut(&mut Self, &State) -> Result<Formula, Error>,
    ) -> Result<Formula, Error> {
        let states = std::mem::take(&mut self.states);
        let formulas: Result<Vec<Formula>, Error> = states.iter().map(|state| make(self, state)).collect();
        self.states = states;
        Ok(Formula::PerState(formulas?))
    }

    fn check(&self, what: &'static str, number: Option<u32>, max: u32) -> Result<(), Error> {
        match number {
            Some(value) if value > max => Err(self.error(ErrorKind::TooLargeFor { what, value, max })),
            _ => Ok(()),
        }
    }

    pub fn vlan(&mut self, tag: Option<u32>) -> Result<Formula, Error> {
        let state = self.states[0];
        if state.labels > 0 {
            return Err(self.error(ErrorKind::AfterMpls("vlan".to_string())));
        }
        if !is_ethernet(&state) {
            return Err(self.no_link_header(&state, "vlan"));
        }
        self.check("a VLAN number", tag, 0xfff)?;
        let formula = self.per_state(|lower, state| {
            let kinds = [ethertype::VLAN, ethertype::VLAN_SERVICE, ethertype::VLAN_QINQ];
            let kinds = kinds.map(|kind| state.link_type(&mut lower.values, kind));
            let mut parts = vec![Formula::any(kinds.into())];
            if let Some(tag) = tag {
                parts.push(masked(&mut lower.values, state.network(), Size::Half, 0xfff, tag));
            }
            Ok(Formula::all(parts))
        })?;
        self.has_vlan = true;
        for state in &mut self.states {
            state.link_type = state.link_type.plus(4);
            state.payload = state.payload.plus(4);
        }
        Ok(formula)
    }

    pub fn mpls(&mut self, label: Option<u32>) -> Result<Formula, Error> {
        let state = self.states[0];
        if state.link == Link::Raw {
            return Err(self.no_link_header(&state, "mpls"));
        }
        self.check("an MPLS label", label, 0xf_ffff)?;
        let formula = self.per_state(|lower, state| {
            let first = if state.labels > 0 {
                // The previous label is not the last one.
                let third = state.network().plus(0u32.wrapping_sub(2)).load(&mut lower.values, Size::Byte);
                Formula::bits(third, 1).negate()
            } else if state.link == Link::Ppp {
                Formula::equal(state.link_type.load(&mut lower.values, Size::Half), 0x281)
            } else {
                state.link_type(&mut lower.values, ethertype::MPLS)
            };
            let mut parts = vec![first];
            if let Some(label) = label {
                parts.push(masked(&mut lower.values, state.network(), Size::Word, 0xffff_f000, label << 12));
            }
            Ok(Formula::all(parts))
        })?;
        for state in &mut self.states {
            state.network += 4;
            state.llc_payload += 4;
            state.labels += 1;
        }
        Ok(formula)
    }

    pub fn pppoe_session(&mut self, session: Option<u32>) -> Result<Formula, Error> {
        self.check("a PPPoE session", session, 0xffff)?;
        let formula = self.per_state(|lower, state| {
            let mut parts = vec![lower.link_type(state, ethertype::PPPOES)?];
            if let Some(session) = session {
                parts.push(masked(&mut lower.values, state.network(), Size::Word, 0xffff, session));
            }
            Ok(Formula::all(parts))
        })?;
        for state in &mut self.states {
            let header = state.network().plus(6);
            *state = State {
                link: Link::Ppp,
                header,
                link_type: header,
                payload: header.plus(2),
                network: 0,
                llc_payload: 0,
                ..*state
            };
        }
        Ok(formula)
    }

    pub fn geneve(&mut self, network: Option<u32>) -> Result<Formula, Error> {
        self.check("a Geneve network", network, 0xff_ffff)?;
        self.tunnel(GENEVE_PORT, |lower, state, udp| {
            let header = udp.plus(UDP_HEADER);
            let mut parts = vec![masked(&mut lower.values, header, Size::Byte, 0xc0, 0)];
            if let Some(network) = network {
                parts.push(masked(&mut lower.values, header.plus(4), Size::Word, 0xffff_ff00, network << 8));
            }
            // The length of the options, in words, is in the first byte.
            let first = header.load(&mut lower.values, Size::Byte);
            let mask = lower.values.constant(0x3f);
            let words = lower.binary(BinaryOp::And, first, mask);
            let two = lower.values.constant(2);
            let options = lower.binary(BinaryOp::ShiftLeft, words, two);
            let index = match udp.index {
                Some(index) => lower.binary(BinaryOp::Add, index, options),
                None => options,
            };
            let inner = Place { index: Some(index), constant: header.constant.wrapping_add(TUNNEL_HEADER) };
            let network = inner.anchored(&mut lower.values);
            let payload = match network.index {
                Some(anchor) => Place { index: Some(lower.values.behind_anchor(anchor, 14)), constant: 0 },
                None => network.plus(14),
            };
            let kind = header.plus(2);
            let bridged = Formula::equal(kind.load(&mut lower.values, Size::Half), ethertype::TRANSPARENT_BRIDGING);
            let ethernet = inside(state, network, network.plus(12), payload, Some(true));
            let other = inside(state, network, kind, network, Some(false));
            (parts, Some(bridged), vec![ethernet, other])
        })
    }

    pub fn vxlan(&mut self, network: Option<u32>) -> Result<Formula, Error> {
        self.check("a VXLAN network", network, 0xff_ffff)?;
        self.tunnel(VXLAN_PORT, |lower, state, udp| {
            let header = udp.plus(UDP_HEADER);
            let first = header.load(&mut lower.values, Size::Byte);
            let mut parts = vec![Formula::bits(first, 8)];
            if let Some(network) = network {
                parts.push(masked(&mut lower.values, header.plus(4), Size::Word, 0xffff_ff00, network << 8));
            }
            let inner = header.plus(TUNNEL_HEADER);
            (parts, None, vec![inside(state, inner, inner.plus(12), inner.plus(14), Some(true))])
        })
    }

    /// A tunnel over UDP, in IPv4 or IPv6. `header` says, for a UDP header, what else has to hold, which of two states
    /// holds then, and the states.
    fn tunnel(
        &mut self,
        port: u32,
        mut header: impl FnMut(&mut Self, &State, Place) -> (Vec<Formula>, Option<Formula>, Vec<State>),
    ) -> Result<Formula, Error> {
        self.tunnels += 1;
        if self.tunnels > Limit::Tunnels.max() {
            return Err(self.error(ErrorKind::TooLarge(Limit::Tunnels)));
        }
        let before = std::mem::take(&mut self.states);
        let mut after = Vec::new();
        let mut ways = Vec::new();
        for state in &before {
            // Not inside: everything is read from the start of the packet. libpcap reads undefined registers there.
            after.push(inside(state, Place::START, Place::START, Place::START, Some(false)));
            let [v4, v6] = self.udp_to(state, port)?;
            let mut list = Vec::new();
            for (first, udp) in [v4, v6] {
                let (mut parts, inner, states) = header(self, state, udp);
                parts.insert(0, first);
                list.push(Way { outer: Formula::all(parts), inner });
                after.extend(states);
            }
            ways.push(list);
        }
        self.states = after;
        Ok(Formula::Tunnel(ways))
    }

    /// UDP to `port` over IPv4 and IPv6: the test, and where the UDP header is.
    fn udp_to(&mut self, state: &State, port: u32) -> Result<[(Formula, Place); 2], Error> {
        let network = state.network();
        let ip = self.link_type(state, ethertype::IP)?;
        let protocol = network.plus(9).load(&mut self.values, Size::Byte);
        let first = self.first_fragment(state);
        let header = self.header_length(state);
        let index = self.sum(network.index, header);
        let v4 = Place { index: Some(index), constant: network.constant };
        let to = Formula::equal(v4.plus(2).load(&mut self.values, Size::Half), port);
        let over4 = Formula::all(vec![ip, Formula::equal(protocol, UDP), first, to]);
        let ip6 = self.link_type(state, ethertype::IP6)?;
        let protocol = network.plus(6).load(&mut self.values, Size::Byte);
        let v6 = network.plus(super::transport::IP6_HEADER);
        let to = Formula::equal(v6.plus(2).load(&mut self.values, Size::Half), port);
        let over6 = Formula::all(vec![ip6, Formula::equal(protocol, UDP), to]);
        Ok([(over4, v4), (over6, v6)])
    }

    fn sum(&mut self, index: Option<ValueId>, more: ValueId) -> ValueId {
        match index {
            Some(index) => self.binary(BinaryOp::Add, more, index),
            None => more,
        }
    }
}

/// The state behind a tunnel header. As in libpcap, MPLS labels before the tunnel still count behind it.
fn inside(outer: &State, header: Place, link_type: Place, payload: Place, inner_ethernet: Option<bool>) -> State {
    State { link: Link::Ethernet, header, link_type, payload, network: 0, inner_ethernet, ..*outer }
}
