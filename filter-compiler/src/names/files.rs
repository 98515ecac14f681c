//! The tables of /etc, parsed from their text.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{Builtin, LookupError, Names, Transport};
use crate::words;

/// The text of each file, `None` if it could not be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Texts<'a> {
    /// /etc/services
    pub services: Option<&'a str>,
    /// /etc/protocols
    pub protocols: Option<&'a str>,
    /// /etc/networks
    pub networks: Option<&'a str>,
    /// /etc/ethers
    pub ethers: Option<&'a str>,
    /// /etc/hosts
    pub hosts: Option<&'a str>,
}

/// Names from files. What [`Builtin`] knows stands in for a missing file of services or protocols.
#[derive(Clone, Debug, Default)]
pub struct Files {
    services: Option<HashMap<String, [Option<u16>; 2]>>,
    protocols: Option<HashMap<String, u32>>,
    networks: HashMap<String, u32>,
    ethers: HashMap<String, [u8; 6]>,
    hosts: HashMap<String, Vec<IpAddr>>,
}

impl Files {
    /// Parses the files. Lines that make no sense are skipped, and the first of several entries for a name counts, as
    /// in the C library.
    pub fn parse(texts: &Texts<'_>) -> Files {
        Files {
            services: texts.services.map(services),
            protocols: texts.protocols.map(protocols),
            networks: texts.networks.map(networks).unwrap_or_default(),
            ethers: texts.ethers.map(ethers).unwrap_or_default(),
            hosts: texts.hosts.map(hosts).unwrap_or_default(),
        }
    }
}

/// The words of each line, up to a comment.
fn rows(text: &str) -> impl Iterator<Item = std::str::SplitAsciiWhitespace<'_>> {
    text.lines().map(|line| line.split('#').next().unwrap_or("").split_ascii_whitespace())
}

/// `http 80/tcp www`
fn services(text: &str) -> HashMap<String, [Option<u16>; 2]> {
    let mut table: HashMap<String, [Option<u16>; 2]> = HashMap::new();
    for mut row in rows(text) {
        let (Some(name), Some(port)) = (row.next(), row.next()) else { continue };
        let Some((port, transport)) = port.split_once('/') else { continue };
        let Ok(port) = port.parse::<u16>() else { continue };
        let slot = match transport {
            "tcp" => 0,
            "udp" => 1,
            _ => continue,
        };
        for name in std::iter::once(name).chain(row) {
            table.entry(name.to_string()).or_default()[slot].get_or_insert(port);
        }
    }
    table
}

/// `icmp 1 ICMP`
fn protocols(text: &str) -> HashMap<String, u32> {
    let mut table = HashMap::new();
    for mut row in rows(text) {
        let (Some(name), Some(Ok(number))) = (row.next(), row.next().map(str::parse)) else { continue };
        for name in std::iter::once(name).chain(row) {
            table.entry(name.to_string()).or_insert(number);
        }
    }
    table
}

/// `loopback 127.0.0.0`: trailing zero bytes do not count.
fn networks(text: &str) -> HashMap<String, u32> {
    let mut table = HashMap::new();
    for mut row in rows(text) {
        let (Some(name), Some(address)) = (row.next(), row.next()) else { continue };
        let parts: Option<Vec<u8>> = address.split('.').map(|part| part.parse().ok()).collect();
        let Some(parts) = parts.filter(|parts| parts.len() <= 4) else { continue };
        let significant = parts.iter().rposition(|&part| part != 0).map_or(0, |last| last + 1);
        let number = parts[..significant].iter().fold(0, |number, &part| number << 8 | u32::from(part));
        for name in std::iter::once(name).chain(row) {
            table.entry(name.to_string()).or_insert(number);
        }
    }
    table
}

/// `0:1:2:a:b:c router`
fn ethers(text: &str) -> HashMap<String, [u8; 6]> {
    let mut table = HashMap::new();
    for mut row in rows(text) {
        let (Some(mac), Some(name)) = (row.next(), row.next()) else { continue };
        let bytes: Option<Vec<u8>> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        let Some(Ok(mac)) = bytes.map(<[u8; 6]>::try_from) else { continue };
        table.entry(name.to_string()).or_insert(mac);
    }
    table
}

/// `127.0.0.1 localhost`
fn hosts(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut table: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for mut row in rows(text) {
        let Some(Ok(address)) = row.next().map(str::parse::<IpAddr>) else { continue };
        for name in row {
            let addresses = table.entry(name.to_ascii_lowercase()).or_default();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    table
}

impl Names for Files {
    fn host(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        self.hosts.get(&name.to_ascii_lowercase()).cloned().ok_or(LookupError::NotFound)
    }

    fn port(&self, name: &str, transport: Transport) -> Option<u16> {
        let Some(services) = &self.services else { return Builtin.port(name, transport) };
        services.get(name)?[if transport == Transport::Tcp { 0 } else { 1 }]
    }

    fn protocol(&self, name: &str) -> Option<u32> {
        match &self.protocols {
            Some(protocols) => protocols.get(name).copied(),
            None => Builtin.protocol(name),
        }
    }

    fn network(&self, name: &str) -> Option<u32> {
        self.networks.get(name).copied()
    }

    fn ether(&self, name: &str) -> Option<[u8; 6]> {
        self.ethers.get(name).copied()
    }

    fn similar_port(&self, name: &str) -> Option<String> {
        let Some(services) = &self.services else { return Builtin.similar_port(name) };
        // Well-known names first, then in alphabetical order: the answer must not depend on the table's.
        let known = Builtin.similar_port(name).filter(|near| services.contains_key(near));
        known.or_else(|| similar(name, services.keys()))
    }

    fn similar_protocol(&self, name: &str) -> Option<String> {
        let Some(protocols) = &self.protocols else { return Builtin.similar_protocol(name) };
        let known = Builtin.similar_protocol(name).filter(|near| protocols.contains_key(near));
        known.or_else(|| similar(name, protocols.keys()))
    }
}

fn similar<'a>(name: &str, candidates: impl Iterator<Item = &'a String>) -> Option<String> {
    let mut candidates: Vec<&str> = candidates.map(String::as_str).collect();
    candidates.sort_unstable();
    words::nearest(name, candidates.into_iter()).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: Texts<'_> = Texts {
        services: Some("# ports\nhttp 80/tcp www # web\ndomain 53/udp\ndomain 53/tcp\nx 1/dccp\nbad\nhttp 81/tcp\n"),
        protocols: Some("icmp 1 ICMP\nnonsense\ntcp\t6\tTCP\n"),
        networks: Some("default 0.0.0.0\nloopback 127.0.0.0\nlab 10.1.0.0 bench\n"),
        ethers: Some("0:1:2:a:b:C router\n0:1:2 short\n"),
        hosts: Some("127.0.0.1 localhost\n::1 localhost ip6-localhost\n"),
    };

    #[test]
    fn files_are_parsed() {
        let names = Files::parse(&TEXTS);
        assert_eq!(names.port("www", Transport::Tcp), Some(80));
        assert_eq!(names.port("http", Transport::Tcp), Some(80));
        assert_eq!(names.port("http", Transport::Udp), None);
        assert_eq!(names.port("domain", Transport::Udp), Some(53));
        assert_eq!(names.port("x", Transport::Tcp), None);
        assert_eq!(names.protocol("ICMP"), Some(1));
        assert_eq!(names.protocol("nonsense"), None);
        assert_eq!(names.network("default"), Some(0));
        assert_eq!(names.network("loopback"), Some(127));
        assert_eq!(names.network("bench"), Some(0x0a01));
        assert_eq!(names.ether("router"), Some([0, 1, 2, 10, 11, 12]));
        assert_eq!(names.ether("short"), None);
        assert_eq!(names.host("LocalHost").unwrap_or_default().len(), 2);
        assert_eq!(names.similar_port("htpp").as_deref(), Some("http"));
        assert_eq!(names.similar_protocol("icpm").as_deref(), Some("icmp"));
    }

    #[test]
    fn missing_files_are_replaced_by_what_is_built_in() {
        let names = Files::parse(&Texts::default());
        assert_eq!(names.port("ssh", Transport::Tcp), Some(22));
        assert_eq!(names.protocol("ospf"), Some(89));
        assert_eq!(names.host("localhost"), Err(LookupError::NotFound));
    }
}
