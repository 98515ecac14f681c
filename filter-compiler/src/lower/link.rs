//! The link level: MAC addresses, broadcast and multicast, LLC.

use super::formula::Formula;
use super::state::{Link, MAX_LENGTH, State, ethertype, masked};
use super::transport::misapplied;
use super::{Lower, is_ethernet};
use crate::ast::*;
use crate::error::{Error, ErrorKind, NameKind};
use crate::graph::{Comparison, Size};

impl Lower<'_> {
    /// The MAC address at `offset` of the link-level header; its last four bytes first, as in libpcap.
    pub fn mac(&mut self, state: &State, offset: u32, mac: [u8; 6]) -> Formula {
        let [a, b, c, d, e, f] = mac;
        let last = state.header.plus(offset + 2).load(&mut self.values, Size::Word);
        let first = state.header.plus(offset).load(&mut self.values, Size::Half);
        let last = Formula::equal(last, u32::from_be_bytes([c, d, e, f]));
        Formula::all(vec![last, Formula::equal(first, u32::from_be_bytes([0, 0, a, b]))])
    }

    /// Inside a Geneve tunnel there may be no Ethernet header.
    pub fn if_ethernet_inside(&self, state: &State, test: Formula) -> Formula {
        if state.inner_ethernet == Some(false) { Formula::Const(false) } else { test }
    }

    pub fn broadcast(&mut self, state: &State, protocol: Option<Protocol>) -> Result<Formula, Error> {
        match protocol {
            None | Some(Protocol::Link) if !is_ethernet(state) => Err(self.no_link_header(state, "broadcast")),
            None | Some(Protocol::Link) => {
                let test = self.mac(state, 0, [0xff; 6]);
                Ok(self.if_ethernet_inside(state, test))
            }
            Some(Protocol::Ip) => Err(self.error(ErrorKind::NetmaskUnknown)),
            Some(other) => Err(self.error(misapplied(other, "`broadcast`"))),
        }
    }

    pub fn multicast(&mut self, state: &State, protocol: Option<Protocol>) -> Result<Formula, Error> {
        match protocol {
            None | Some(Protocol::Link) if !is_ethernet(state) => Err(self.no_link_header(state, "multicast")),
            None | Some(Protocol::Link) => {
                let first = state.header.load(&mut self.values, Size::Byte);
                Ok(self.if_ethernet_inside(state, Formula::bits(first, 1)))
            }
            Some(Protocol::Ip) => {
                let ip = self.link_type(state, ethertype::IP)?;
                let first = state.network().plus(16).load(&mut self.values, Size::Byte);
                Ok(Formula::all(vec![ip, Formula::compare(Comparison::GreaterOrEqual, first, 224)]))
            }
            Some(Protocol::Ip6) => {
                let ip6 = self.link_type(state, ethertype::IP6)?;
                let first = state.network().plus(24).load(&mut self.values, Size::Byte);
                Ok(Formula::all(vec![ip6, Formula::equal(first, 0xff)]))
            }
            Some(other) => Err(self.error(misapplied(other, "`multicast`"))),
        }
    }

    pub fn llc(&mut self, state: &State, kind: Option<&str>) -> Result<Formula, Error> {
        if state.link != Link::Ethernet {
            return Err(self.no_link_header(state, "llc"));
        }
        let field = state.link_type.load(&mut self.values, Size::Half);
        let saps = state.payload.load(&mut self.values, Size::Half);
        let mut parts = vec![
            Formula::compare(Comparison::Greater, field, MAX_LENGTH).negate(),
            // Novell's raw 802.3.
            Formula::equal(saps, 0xffff).negate(),
        ];
        if let Some(kind) = kind {
            let control = state.payload.plus(2);
            let lower = kind.to_ascii_lowercase();
            let (mask, number) = match lower.as_str() {
                "i" => {
                    let control = control.load(&mut self.values, Size::Byte);
                    parts.push(Formula::bits(control, 1).negate());
                    return Ok(Formula::all(parts));
                }
                "s" => (0x03, 0x01),
                "u" => (0x03, 0x03),
                "rr" => (0x0f, 0x01),
                "rnr" => (0x0f, 0x05),
                "rej" => (0x0f, 0x09),
                "ui" => (0xef, 0x03),
                "ua" => (0xef, 0x63),
                "disc" => (0xef, 0x43),
                "dm" => (0xef, 0x0f),
                "sabme" => (0xef, 0x6f),
                "test" => (0xef, 0xe3),
                "xid" => (0xef, 0xaf),
                "frmr" => (0xef, 0x87),
                _ => return Err(self.unknown(NameKind::LlcType, kind, None)),
            };
            parts.push(masked(&mut self.values, control, Size::Byte, mask, number));
        }
        Ok(Formula::all(parts))
    }
}
