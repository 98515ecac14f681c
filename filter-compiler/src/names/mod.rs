//! Names of hosts, ports, protocols and networks: who knows them, and what is known without asking anybody.

mod builtin;
mod files;
mod system;

use std::net::IpAddr;

pub use builtin::Builtin;
pub use files::{Files, Texts};
pub use system::System;

/// A transport protocol with ports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// 6
    Tcp,
    /// 17
    Udp,
}

/// Answers questions about names. The compiler asks nothing else of the world.
pub trait Names {
    /// All addresses of a host, in the order in which they are to be tested. None if it is unknown.
    fn host(&self, name: &str) -> Vec<IpAddr>;

    /// The port of a service.
    fn port(&self, name: &str, transport: Transport) -> Option<u16>;

    /// The number of a protocol that IP carries.
    fn protocol(&self, name: &str) -> Option<u32>;

    /// The number of a network, `0x7f` for 127.0.0.0/8.
    fn network(&self, _name: &str) -> Option<u32> {
        None
    }

    /// The MAC address of a station.
    fn ether(&self, _name: &str) -> Option<[u8; 6]> {
        None
    }

    /// A known name that is close to the mistyped name of a port.
    fn similar_port(&self, name: &str) -> Option<String> {
        Builtin.similar_port(name)
    }

    /// A known name that is close to the mistyped name of a protocol.
    fn similar_protocol(&self, name: &str) -> Option<String> {
        Builtin.similar_protocol(name)
    }
}
