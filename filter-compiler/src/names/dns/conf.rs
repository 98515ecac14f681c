//! /etc/resolv.conf: whom to ask and how, see resolv.conf(5).

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// What the file says, with the C library's defaults and bounds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Conf {
    /// At most three.
    pub servers: Vec<SocketAddr>,
    /// Domains that a name may be in.
    pub search: Vec<String>,
    /// A name with so many dots is asked for as it is before it is searched for in the domains.
    pub ndots: usize,
    /// How long to wait for one server.
    pub timeout: Duration,
    /// How often all servers are asked.
    pub attempts: u32,
}

impl Default for Conf {
    fn default() -> Conf {
        Conf { servers: Vec::new(), search: Vec::new(), ndots: 1, timeout: Duration::from_secs(5), attempts: 2 }
    }
}

impl Conf {
    /// Parses the file; lines that make no sense are skipped. `index` knows the numbers of interfaces.
    pub fn parse(text: &str, index: impl Fn(&str) -> Option<u32>) -> Conf {
        let mut conf = Conf::default();
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if conf.servers.len() < 3 => {
                    conf.servers.extend(words.next().and_then(|word| server(word, &index)));
                }
                Some("search") => conf.search = words.map(str::to_string).collect(),
                Some("domain") => conf.search = words.take(1).map(str::to_string).collect(),
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        conf
    }

    fn option(&mut self, word: &str) {
        let Some((name, Ok(value))) = word.split_once(':').map(|(name, value)| (name, value.parse::<u32>())) else {
            return;
        };
        match name {
            "ndots" => self.ndots = value.min(15) as usize,
            "timeout" => self.timeout = Duration::from_secs(value.clamp(1, 30).into()),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }
}

/// An address, that of a link with its interface: `fe80::1%eth0`.
fn server(word: &str, index: &impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    const PORT: u16 = 53;
    match word.split_once('%') {
        None => Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, PORT)),
        Some((address, interface)) => {
            let scope = interface.parse().ok().or_else(|| index(interface))?;
            Some(SocketAddrV6::new(address.parse::<Ipv6Addr>().ok()?, PORT, 0, scope).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_parsed() {
        let text = "# nameserver 1.1.1.1\n; x\nnameserver 10.0.0.1\nnameserver nonsense\nnameserver fe80::1%eth0 x\n\
            nameserver fe80::1%none\nnameserver\nnameserver ::1\nnameserver 10.0.0.4\ndomain a b\nsearch b c\n\
            options ndots:99 timeout:2 edns0 attempts:0 rotate\nsortlist 1.2.3.4";
        let conf = Conf::parse(text, |name| (name == "eth0").then_some(7));
        let servers: Vec<String> = conf.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1:53", "[fe80::1%7]:53", "[::1]:53"]);
        assert_eq!(conf.search, ["b", "c"]);
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (15, Duration::from_secs(2), 1));
        assert_eq!(Conf::parse("search b c\ndomain a b", |_| None).search, ["a"], "the last one counts");
        assert_eq!(Conf::parse("\u{e4} \n\0", |_| None), Conf::default());
    }
}
