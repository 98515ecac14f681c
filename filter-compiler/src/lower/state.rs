//! Where headers are. `vlan`, `mpls`, `pppoes` and tunnels move them for all that stands right of them in the text.

use super::formula::Formula;
use crate::LinkType;
use crate::graph::{Base, Size, ValueId, Values};

/// The kind of the innermost link-level header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// None: the packet starts with the IP header.
    Raw,
    /// PPP, behind PPPoE.
    Ppp,
}

impl Link {
    /// For messages.
    pub fn text(self) -> &'static str {
        match self {
            Link::Ethernet => "Ethernet",
            Link::Raw => "a bare IP packet",
            Link::Ppp => "PPP",
        }
    }
}

/// A place in the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// A computed number of bytes, behind a tunnel header.
    pub index: Option<ValueId>,
    /// Bytes more.
    pub constant: u32,
}

impl Place {
    pub const START: Place = Place { index: None, constant: 0 };

    /// The place `bytes` later.
    pub fn plus(self, bytes: u32) -> Place {
        Place { index: self.index, constant: self.constant.wrapping_add(bytes) }
    }

    /// The same place, with all that is known beforehand in the computed number.
    pub fn anchored(self, values: &mut Values) -> Place {
        match self.index {
            None => self,
            Some(index) => {
                let constant = values.constant(self.constant);
                Place { index: Some(values.binary(crate::ast::BinaryOp::Add, index, constant)), constant: 0 }
            }
        }
    }

    /// The bytes here.
    pub fn load(self, values: &mut Values, size: Size) -> ValueId {
        match self.index {
            None => values.load(Base::Packet, self.constant, size),
            Some(anchor) => values.load_anchored(anchor, self.constant, size),
        }
    }
}

/// Where headers are and of which kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    pub link: Link,
    /// The link-level header.
    pub header: Place,
    /// The type field.
    pub link_type: Place,
    /// What the link-level header carries.
    pub payload: Place,
    /// From the payload to the network header.
    pub network: u32,
    /// From the payload to what LLC carries.
    pub llc_payload: u32,
    /// MPLS labels so far.
    pub labels: u32,
    /// Inside a Geneve tunnel: whether there is a link-level header.
    pub inner_ethernet: Option<bool>,
}

/// EtherTypes, from <https://www.iana.org/assignments/ieee-802-numbers>.
pub mod ethertype {
    pub const IP: u32 = 0x0800;
    pub const ARP: u32 = 0x0806;
    pub const TRANSPARENT_BRIDGING: u32 = 0x6558;
    pub const MOPDL: u32 = 0x6001;
    pub const MOPRC: u32 = 0x6002;
    pub const DECNET: u32 = 0x6003;
    pub const LAT: u32 = 0x6004;
    pub const SCA: u32 = 0x6007;
    pub const RARP: u32 = 0x8035;
    pub const ATALK: u32 = 0x809b;
    pub const AARP: u32 = 0x80f3;
    pub const VLAN: u32 = 0x8100;
    pub const IPX: u32 = 0x8137;
    pub const IP6: u32 = 0x86dd;
    pub const MPLS: u32 = 0x8847;
    pub const PPPOED: u32 = 0x8863;
    pub const PPPOES: u32 = 0x8864;
    pub const VLAN_SERVICE: u32 = 0x88a8;
    pub const LOOPBACK: u32 = 0x9000;
    pub const VLAN_QINQ: u32 = 0x9100;
}

/// LLC service access points, below all EtherTypes.
pub mod sap {
    pub const IP: u32 = 0x06;
    pub const STP: u32 = 0x42;
    pub const IPX: u32 = 0xe0;
    pub const NETBEUI: u32 = 0xf0;
    pub const ISO: u32 = 0xfe;
}

/// The largest number in the type field that is a length.
pub const MAX_LENGTH: u32 = 1500;

impl State {
    /// At the start of the packet.
    pub fn new(link: LinkType) -> State {
        let (link, link_type, payload) = match link {
            LinkType::En10Mb => (Link::Ethernet, 12, 14),
            LinkType::Raw => (Link::Raw, 0, 0),
        };
        State {
            link,
            header: Place::START,
            link_type: Place::START.plus(link_type),
            payload: Place::START.plus(payload),
            network: 0,
            llc_payload: 3,
            labels: 0,
            inner_ethernet: None,
        }
    }

    /// The network header.
    pub fn network(&self) -> Place {
        self.payload.plus(self.network)
    }

    /// Whether the payload is of `protocol`: an EtherType, or below 1500 an LLC access point. Not behind MPLS labels.
    pub fn link_type(&self, values: &mut Values, protocol: u32) -> Formula {
        match self.link {
            Link::Ethernet => self.ethernet_type(values, protocol),
            Link::Raw => match protocol {
                ethertype::IP => self.version(values, 0x40),
                ethertype::IP6 => self.version(values, 0x60),
                _ => Formula::Const(false),
            },
            Link::Ppp => Formula::equal(self.link_type.load(values, Size::Half), ppp_type(protocol)),
        }
    }

    /// Whether the high half of the network header's first byte is `version`.
    pub fn version(&self, values: &mut Values, version: u32) -> Formula {
        masked(values, self.network(), Size::Byte, 0xf0, version)
    }

    fn ethernet_type(&self, values: &mut Values, protocol: u32) -> Formula {
        let field = self.link_type.load(values, Size::Half);
        // The field is a length, and an LLC header follows.
        let is_length = Formula::compare(crate::graph::Comparison::Greater, field, MAX_LENGTH).negate();
        let payload = self.payload;
        match protocol {
            sap::ISO | sap::IP | sap::NETBEUI => {
                let saps = payload.load(values, Size::Half);
                Formula::all(vec![is_length, Formula::equal(saps, protocol << 8 | protocol)])
            }
            sap::IPX => {
                let snap = snap(values, payload, 0, ethertype::IPX);
                let sap = Formula::equal(payload.load(values, Size::Byte), sap::IPX);
                // Novell's raw 802.3: the checksum of the IPX header, which nobody computes.
                let raw = Formula::equal(payload.load(values, Size::Half), 0xffff);
                let framed = Formula::all(vec![is_length, Formula::any(vec![snap, sap, raw])]);
                Formula::any(vec![Formula::equal(field, ethertype::IPX), framed])
            }
            ethertype::ATALK => {
                let framed = Formula::all(vec![is_length, snap(values, payload, 0x08_0007, protocol)]);
                Formula::any(vec![Formula::equal(field, protocol), framed])
            }
            ethertype::AARP => {
                let framed = Formula::all(vec![is_length, snap(values, payload, 0, protocol)]);
                Formula::any(vec![Formula::equal(field, protocol), framed])
            }
            sap if sap <= MAX_LENGTH => {
                let dsap = self.link_type.plus(2).load(values, Size::Byte);
                Formula::all(vec![is_length, Formula::equal(dsap, sap)])
            }
            _ => Formula::equal(field, protocol),
        }
    }
}

/// `[place] & mask == number`
pub fn masked(values: &mut Values, place: Place, size: Size, mask: u32, number: u32) -> Formula {
    let value = place.load(values, size);
    let mask = values.constant(mask);
    Formula::equal(values.binary(crate::ast::BinaryOp::And, value, mask), number)
}

/// An 802.2 SNAP header: AA AA 03, the organisation, the type.
fn snap(values: &mut Values, payload: Place, organisation: u32, protocol: u32) -> Formula {
    let low = Formula::equal(payload.plus(4).load(values, Size::Word), (organisation & 0xffff) << 16 | protocol);
    let high = Formula::equal(payload.load(values, Size::Word), 0xaaaa_0300 | organisation >> 16);
    Formula::all(vec![low, high])
}

/// The number that PPP has for an EtherType or LLC access point.
fn ppp_type(protocol: u32) -> u32 {
    match protocol {
        ethertype::IP => 0x21,
        ethertype::IP6 => 0x57,
        ethertype::DECNET => 0x27,
        ethertype::ATALK => 0x29,
        0x0600 => 0x25,
        sap::ISO => 0x23,
        sap::STP => 0x31,
        sap::IPX => 0x2b,
        other => other,
    }
}
