//! Names of hosts, ports, protocols and networks: who knows them, and what is known without asking anybody.

mod builtin;
mod dns;
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

/// Why a host has no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LookupError {
    /// There is no such host.
    NotFound,
    /// No name server is configured, and none answers on this machine.
    NoServer,
    /// No name server answered in time.
    NoAnswer,
    /// The name servers answered that they cannot tell.
    Failure,
}

/// Answers questions about names. The compiler asks nothing else of the world.
pub trait Names {
    /// All addresses of a host, at least one, in the order in which they are to be tested.
    fn host(&self, name: &str) -> Result<Vec<IpAddr>, LookupError>;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LinkType, compile};

    /// Finds no host, for this reason.
    struct Failing(LookupError);

    impl Names for Failing {
        fn host(&self, _name: &str) -> Result<Vec<IpAddr>, LookupError> {
            Err(self.0)
        }

        fn port(&self, _name: &str, _transport: Transport) -> Option<u16> {
            None
        }

        fn protocol(&self, _name: &str) -> Option<u32> {
            None
        }
    }

    #[test]
    fn why_a_host_is_not_found_is_said() {
        for (why, want) in [
            (LookupError::NotFound, "no host is named `db`"),
            (LookupError::NoServer, "host `db` is not in /etc/hosts, and /etc/resolv.conf names no name server"),
            (LookupError::NoAnswer, "no name server answered about host `db`"),
            (LookupError::Failure, "the name servers failed to look up host `db`"),
        ] {
            let error = compile("tcp and host db", LinkType::En10Mb, &Failing(why)).expect_err("nobody knows it");
            assert_eq!(error.render(), format!("error: {want}\n    tcp and host db\n                 ^^"));
        }
    }
}
