//! Hosts and networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::formula::Formula;
use super::state::{State, ethertype, masked};
use super::transport::{direct, misapplied};
use super::{Lower, link_protocol};
use crate::ast::*;
use crate::error::{Error, ErrorKind, NameKind};
use crate::graph::Size;
use crate::names::LookupError;

impl Lower<'_> {
    pub fn host(&mut self, state: &State, qualifier: &Qualifier, id: &Id) -> Result<Formula, Error> {
        match id {
            Id::Name(name) => self.host_name(state, qualifier, name),
            Id::Number(number) => self.host4(state, qualifier, *number, u32::MAX, "`host`"),
            Id::Ipv4(address, bits) => {
                self.host4(state, qualifier, u32::from(*address), prefix_mask(u32::from(*bits)), "`host`")
            }
            Id::Ipv6(address) => self.host6(state, qualifier, *address, u128::MAX, "`host`"),
            Id::Ipv4Prefix(address, length) => {
                self.check_prefix4(*address, *length)?;
                Err(self.error(ErrorKind::MaskWithoutNet))
            }
            Id::Ipv4Mask(address, mask) => {
                self.check_mask4(*address, *mask)?;
                Err(self.error(ErrorKind::MaskWithoutNet))
            }
            Id::Ipv6Prefix(address, length) => {
                self.check_prefix6(*address, *length)?;
                match length {
                    128 => self.host6(state, qualifier, *address, u128::MAX, "`host`"),
                    _ => Err(self.error(ErrorKind::MaskWithoutNet)),
                }
            }
            Id::Mac(mac) => self.ether_host(state, qualifier, *mac),
            Id::Decnet { area, node } => {
                let address = (area << 10 & 0xfc00) | (node & 0x3ff);
                self.host4(state, qualifier, address, u32::MAX, "`host`")
            }
        }
    }

    pub fn net(&mut self, state: &State, qualifier: &Qualifier, id: &Id) -> Result<Formula, Error> {
        match id {
            Id::Name(name) => match self.names.network(name) {
                None | Some(0) => Err(self.unknown(NameKind::Network, name, None)),
                Some(number) => {
                    let (address, mask) = left_justified(number);
                    self.host4(state, qualifier, address, mask, "`net`")
                }
            },
            Id::Number(number) => {
                let (address, mask) = left_justified(*number);
                self.host4(state, qualifier, address, mask, "`net`")
            }
            Id::Ipv4(address, bits) => {
                self.host4(state, qualifier, u32::from(*address), prefix_mask(u32::from(*bits)), "`net`")
            }
            Id::Ipv4Prefix(address, length) => {
                self.check_prefix4(*address, *length)?;
                self.host4(state, qualifier, u32::from(*address), prefix_mask(*length), "`net`")
            }
            Id::Ipv4Mask(address, mask) => {
                self.check_mask4(*address, *mask)?;
                self.host4(state, qualifier, u32::from(*address), u32::from(*mask), "`net`")
            }
            Id::Ipv6(address) => self.host6(state, qualifier, *address, u128::MAX, "`net`"),
            Id::Ipv6Prefix(address, length) => {
                self.check_prefix6(*address, *length)?;
                self.host6(state, qualifier, *address, prefix_mask6(*length), "`net`")
            }
            Id::Decnet { area, node } => {
                let address = (area << 10 & 0xfc00) | (node & 0x3ff);
                self.host4(state, qualifier, address, u32::MAX, "`net`")
            }
            Id::Mac(_) => Err(self.wrong_id("a network", id)),
        }
    }

    /// All addresses of a host, as far as the qualifiers allow their family.
    fn host_name(&mut self, state: &State, qualifier: &Qualifier, name: &str) -> Result<Formula, Error> {
        if qualifier.protocol == Some(Protocol::Link) {
            if !super::is_ethernet(state) {
                return Err(self.no_link_header(state, "ether host"));
            }
            let mac = self.names.ether(name).ok_or_else(|| self.unknown(NameKind::EtherHost, name, None))?;
            return self.ether_host(state, qualifier, mac);
        }
        if qualifier.protocol == Some(Protocol::Decnet) {
            return Err(self.wrong_id("a DECnet address such as 1.13", &Id::Name(name.to_string())));
        }
        let addresses = self.names.host(name).map_err(|error| match error {
            LookupError::NotFound => self.unknown(NameKind::Host, name, None),
            why => self.error(ErrorKind::Lookup { name: name.to_string(), why }),
        })?;
        let mut tests = Vec::new();
        for address in addresses {
            match address {
                IpAddr::V4(address) if qualifier.protocol != Some(Protocol::Ip6) => {
                    tests.push(self.host4(state, qualifier, address.into(), u32::MAX, "`host`")?);
                }
                IpAddr::V6(address) if qualifier.protocol != Some(Protocol::Ip) => {
                    tests.push(self.host6(state, qualifier, address, u128::MAX, "`host`")?);
                }
                _ => {}
            }
        }
        if tests.is_empty() {
            return Err(self.unknown(NameKind::HostOfFamily, name, None));
        }
        Ok(Formula::any(tests))
    }

    /// An IPv4 address or network; ARP and RARP have them too.
    fn host4(
        &mut self,
        state: &State,
        qualifier: &Qualifier,
        address: u32,
        mask: u32,
        to: &'static str,
    ) -> Result<Formula, Error> {
        let direction = qualifier.direction;
        match qualifier.protocol {
            None => {
                let mut parts = vec![self.address4(state, direction, ethertype::IP, (12, 16), address, mask)?];
                if state.labels == 0 {
                    parts.push(self.address4(state, direction, ethertype::ARP, (14, 24), address, mask)?);
                    parts.push(self.address4(state, direction, ethertype::RARP, (14, 24), address, mask)?);
                }
                Ok(Formula::any(parts))
            }
            Some(Protocol::Ip) => self.address4(state, direction, ethertype::IP, (12, 16), address, mask),
            Some(Protocol::Arp) => self.address4(state, direction, ethertype::ARP, (14, 24), address, mask),
            Some(Protocol::Rarp) => self.address4(state, direction, ethertype::RARP, (14, 24), address, mask),
            Some(Protocol::Decnet) => self.decnet_host(state, direction, address as u16),
            Some(Protocol::Ip6) => Err(self.error_at(qualifier.span, misapplied(Protocol::Ip6, "an IPv4 address"))),
            Some(Protocol::Link) => {
                let found = self.word().to_string();
                Err(self.error(ErrorKind::WrongAddress { needs: "a MAC address", found }))
            }
            Some(other) => Err(self.error_at(qualifier.span, misapplied(other, to))),
        }
    }

    fn address4(
        &mut self,
        state: &State,
        direction: Option<Direction>,
        link_type: u32,
        (source, destination): (u32, u32),
        address: u32,
        mask: u32,
    ) -> Result<Formula, Error> {
        let kind = self.link_type(state, link_type)?;
        let source = state.network().plus(source);
        let destination = state.network().plus(destination);
        let tests = [source, destination].map(|place| masked(&mut self.values, place, Size::Word, mask, address));
        let [source, destination] = &tests;
        Ok(Formula::all(vec![kind, direct(direction, (source, destination), Formula::clone)]))
    }

    /// An IPv6 address or network.
    fn host6(
        &mut self,
        state: &State,
        qualifier: &Qualifier,
        address: Ipv6Addr,
        mask: u128,
        to: &'static str,
    ) -> Result<Formula, Error> {
        match qualifier.protocol {
            None | Some(Protocol::Ip6) => {}
            Some(Protocol::Ip) => {
                return Err(self.error_at(qualifier.span, misapplied(Protocol::Ip, "an IPv6 address")));
            }
            Some(other) => return Err(self.error_at(qualifier.span, misapplied(other, to))),
        }
        let kind = self.link_type(state, ethertype::IP6)?;
        let tests = [8, 24].map(|offset| {
            let words = (0..4).map(|word| {
                let shift = 96 - 32 * word;
                let (address, mask) = ((u128::from(address) >> shift) as u32, (mask >> shift) as u32);
                let place = state.network().plus(offset + 4 * word);
                masked(&mut self.values, place, Size::Word, mask, address)
            });
            Formula::all(words.collect())
        });
        let [source, destination] = &tests;
        Ok(Formula::all(vec![kind, direct(qualifier.direction, (source, destination), Formula::clone)]))
    }

    fn ether_host(&mut self, state: &State, qualifier: &Qualifier, mac: [u8; 6]) -> Result<Formula, Error> {
        if qualifier.protocol != Some(Protocol::Link) {
            let needs = "an IP address, or `ether` before the MAC address,";
            return Err(self.error(ErrorKind::WrongAddress { needs, found: Id::Mac(mac).to_string() }));
        }
        if !super::is_ethernet(state) {
            return Err(self.no_link_header(state, "ether host"));
        }
        let source = self.mac(state, 6, mac);
        let destination = self.mac(state, 0, mac);
        let test = direct(qualifier.direction, (&source, &destination), Formula::clone);
        Ok(self.if_ethernet_inside(state, test))
    }

    fn check_prefix4(&self, address: Ipv4Addr, length: u32) -> Result<(), Error> {
        if length > 32 {
            return Err(self.error(ErrorKind::PrefixTooLong { length, max: 32 }));
        }
        let network = Ipv4Addr::from(u32::from(address) & prefix_mask(length));
        if network != address {
            return Err(self.host_bits(format!("{address}/{length}"), format!("{network}/{length}")));
        }
        Ok(())
    }

    fn check_mask4(&self, address: Ipv4Addr, mask: Ipv4Addr) -> Result<(), Error> {
        let network = Ipv4Addr::from(u32::from(address) & u32::from(mask));
        if network != address {
            return Err(self.host_bits(format!("{address} mask {mask}"), format!("{network} mask {mask}")));
        }
        Ok(())
    }

    fn check_prefix6(&self, address: Ipv6Addr, length: u32) -> Result<(), Error> {
        if length > 128 {
            return Err(self.error(ErrorKind::PrefixTooLong { length, max: 128 }));
        }
        let network = Ipv6Addr::from(u128::from(address) & prefix_mask6(length));
        if network != address {
            return Err(self.host_bits(format!("{address}/{length}"), format!("{network}/{length}")));
        }
        Ok(())
    }

    /// The mark is under the address, so the hint replaces the whole of it.
    fn host_bits(&self, network: String, near: String) -> Error {
        self.error(ErrorKind::HostBits { network, near: Some(near) })
    }

    /// A DECnet address; the packet has it in little-endian order.
    fn decnet_host(&mut self, state: &State, direction: Option<Direction>, address: u16) -> Result<Formula, Error> {
        let decnet = self.link_type(state, link_protocol(Protocol::Decnet).unwrap_or_default())?;
        let address = u32::from(address.swap_bytes());
        let network = state.network();
        // The routing header is short or long, and a padding byte may come before it.
        let forms = [
            (Size::Byte, 0x07, 0x02, 5, 3),
            (Size::Half, 0xff07, 0x8102, 6, 4),
            (Size::Byte, 0x07, 0x06, 17, 9),
            (Size::Half, 0xff07, 0x8106, 18, 10),
        ];
        let tests = forms.map(|(size, mask, flags, source, destination)| {
            let form = masked(&mut self.values, network.plus(2), size, mask, flags);
            let ends = [source, destination]
                .map(|offset| Formula::equal(network.plus(offset).load(&mut self.values, Size::Half), address));
            let [source, destination] = &ends;
            Formula::all(vec![form, direct(direction, (source, destination), Formula::clone)])
        });
        Ok(Formula::all(vec![decnet, Formula::any(tests.into())]))
    }
}

/// The mask of a prefix of up to 32 bits.
fn prefix_mask(length: u32) -> u32 {
    u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0)
}

/// The mask of a prefix of up to 128 bits.
fn prefix_mask6(length: u32) -> u128 {
    u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0)
}

/// `10` is 10.0.0.0/8: shifted left by whole bytes until the first is not zero.
fn left_justified(number: u32) -> (u32, u32) {
    let shift = if number == 0 { 0 } else { number.leading_zeros() / 8 * 8 };
    (number << shift, u32::MAX << shift)
}
