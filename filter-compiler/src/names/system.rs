//! The names of the machine that we run on. The only code of this crate that touches the world.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use super::{Files, Names, Texts, Transport};

/// Reads /etc when the first name is asked for, and asks the C library's resolver for hosts.
#[derive(Debug, Default)]
pub struct System {
    files: OnceLock<Files>,
}

/// How long a host may take to be found.
const PATIENCE: Duration = Duration::from_secs(5);

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

/// Whether DNS could hold the name at all.
fn is_host_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(|label| label.len() <= 63)
}

impl Names for System {
    fn host(&self, name: &str) -> Vec<IpAddr> {
        let known = self.files().host(name);
        if !known.is_empty() || !is_host_name(name) {
            return known;
        }
        // The resolver cannot be interrupted; a thread that is still waiting ends with the process.
        let (sender, receiver) = mpsc::channel();
        let asked = (name.to_string(), 0);
        std::thread::spawn(move || {
            let mut found: Vec<IpAddr> = Vec::new();
            for address in asked.to_socket_addrs().into_iter().flatten().map(|address| address.ip()) {
                if !found.contains(&address) {
                    found.push(address);
                }
            }
            // Nobody listens after the time limit.
            let _ = sender.send(found);
        });
        receiver.recv_timeout(PATIENCE).unwrap_or_default()
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
