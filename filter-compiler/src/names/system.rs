//! The names of the machine that we run on. With `dns`, the only code of this crate that touches the world.

use std::net::IpAddr;
use std::path::Path;
use std::sync::OnceLock;

use super::{Files, LookupError, Names, Texts, Transport, dns};

/// Reads /etc when the first name is asked for, and asks the name servers for hosts that are not there.
#[derive(Debug, Default)]
pub struct System {
    files: OnceLock<Files>,
}

impl System {
    /// Nothing is read yet.
    pub fn new() -> System {
        System::default()
    }

    fn files(&self) -> &Files {
        self.files.get_or_init(|| {
            let read = |name: &str| std::fs::read_to_string(Path::new("/etc").join(name)).ok();
            let (services, protocols) = (read("services"), read("protocols"));
            let (networks, ethers, hosts) = (read("networks"), read("ethers"), read("hosts"));
            Files::parse(&Texts {
                services: services.as_deref(),
                protocols: protocols.as_deref(),
                networks: networks.as_deref(),
                ethers: ethers.as_deref(),
                hosts: hosts.as_deref(),
            })
        })
    }
}

impl Names for System {
    fn host(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        self.files().host(name).or_else(|_| dns::lookup(name))
    }

    fn port(&self, name: &str, transport: Transport) -> Option<u16> {
        self.files().port(name, transport)
    }

    fn protocol(&self, name: &str) -> Option<u32> {
        self.files().protocol(name)
    }

    fn network(&self, name: &str) -> Option<u32> {
        self.files().network(name)
    }

    fn ether(&self, name: &str) -> Option<[u8; 6]> {
        self.files().ether(name)
    }

    fn similar_port(&self, name: &str) -> Option<String> {
        self.files().similar_port(name)
    }

    fn similar_protocol(&self, name: &str) -> Option<String> {
        self.files().similar_protocol(name)
    }
}
