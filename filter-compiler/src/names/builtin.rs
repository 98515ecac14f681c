//! Names that hold everywhere: IANA's protocols, and the ports that people type.

use std::net::IpAddr;

use super::{LookupError, Names, Transport};
use crate::words;

/// Knows common services and the protocols of IANA, but no host. Answers are the same on every machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Builtin;

impl Names for Builtin {
    fn host(&self, _name: &str) -> Result<Vec<IpAddr>, LookupError> {
        Err(LookupError::NotFound)
    }

    fn port(&self, name: &str, transport: Transport) -> Option<u16> {
        let at = PORTS.binary_search_by(|(known, ..)| (*known).cmp(name)).ok()?;
        match transport {
            Transport::Tcp => PORTS[at].1,
            Transport::Udp => PORTS[at].2,
        }
    }

    fn protocol(&self, name: &str) -> Option<u32> {
        let at = PROTOCOLS.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
        Some(PROTOCOLS[at].1)
    }

    fn network(&self, name: &str) -> Option<u32> {
        (name == "loopback").then_some(127)
    }

    fn similar_port(&self, name: &str) -> Option<String> {
        words::nearest(name, PORTS.iter().map(|(known, ..)| *known)).map(str::to_string)
    }

    fn similar_protocol(&self, name: &str) -> Option<String> {
        words::nearest(name, PROTOCOLS.iter().map(|(known, _)| *known)).map(str::to_string)
    }
}

/// Name, TCP port, UDP port. Sorted.
const PORTS: [(&str, Option<u16>, Option<u16>); 102] = [
    ("amqp", Some(5672), None),
    ("amqps", Some(5671), None),
    ("bgp", Some(179), None),
    ("bgpd", Some(2605), None),
    ("bootpc", None, Some(68)),
    ("bootps", None, Some(67)),
    ("chargen", Some(19), Some(19)),
    ("daytime", Some(13), Some(13)),
    ("dhcpv6-client", None, Some(546)),
    ("dhcpv6-server", None, Some(547)),
    ("discard", Some(9), Some(9)),
    ("domain", Some(53), Some(53)),
    ("domain-s", Some(853), Some(853)),
    ("echo", Some(7), Some(7)),
    ("finger", Some(79), None),
    ("ftp", Some(21), None),
    ("ftp-data", Some(20), None),
    ("geneve", None, Some(6081)),
    ("git", Some(9418), None),
    ("gopher", Some(70), None),
    ("http", Some(80), None),
    ("http-alt", Some(8080), None),
    ("https", Some(443), Some(443)),
    ("iax", None, Some(4569)),
    ("imap", Some(143), None),
    ("imap2", Some(143), None),
    ("imaps", Some(993), None),
    ("ipp", Some(631), None),
    ("isakmp", None, Some(500)),
    ("jabber-client", Some(5222), None),
    ("jabber-server", Some(5269), None),
    ("kerberos", Some(88), Some(88)),
    ("kerberos-adm", Some(749), None),
    ("kerberos-sec", Some(88), Some(88)),
    ("kerberos5", Some(88), Some(88)),
    ("krb5", Some(88), Some(88)),
    ("l2f", None, Some(1701)),
    ("l2tp", None, Some(1701)),
    ("ldap", Some(389), Some(389)),
    ("ldaps", Some(636), Some(636)),
    ("mail", Some(25), None),
    ("mdns", None, Some(5353)),
    ("microsoft-ds", Some(445), None),
    ("ms-sql-s", Some(1433), None),
    ("mysql", Some(3306), None),
    ("netbios-dgm", None, Some(138)),
    ("netbios-ns", None, Some(137)),
    ("netbios-ssn", Some(139), None),
    ("nfs", Some(2049), Some(2049)),
    ("nicname", Some(43), None),
    ("nntp", Some(119), None),
    ("ntp", None, Some(123)),
    ("null", Some(9), Some(9)),
    ("openvpn", Some(1194), Some(1194)),
    ("ospfd", Some(2604), None),
    ("pop-3", Some(110), None),
    ("pop3", Some(110), None),
    ("pop3s", Some(995), None),
    ("portmapper", Some(111), Some(111)),
    ("postgres", Some(5432), None),
    ("postgresql", Some(5432), None),
    ("printer", Some(515), None),
    ("radacct", Some(1813), Some(1813)),
    ("radius", Some(1812), Some(1812)),
    ("radius-acct", Some(1813), Some(1813)),
    ("readnews", Some(119), None),
    ("redis", Some(6379), None),
    ("route", None, Some(520)),
    ("routed", None, Some(520)),
    ("router", None, Some(520)),
    ("rsync", Some(873), None),
    ("rtsp", Some(554), Some(554)),
    ("sink", Some(9), Some(9)),
    ("sip", Some(5060), Some(5060)),
    ("sip-tls", Some(5061), Some(5061)),
    ("smtp", Some(25), None),
    ("smtps", Some(465), None),
    ("snmp", Some(161), Some(161)),
    ("snmp-trap", Some(162), Some(162)),
    ("snmptrap", Some(162), Some(162)),
    ("source", Some(19), Some(19)),
    ("spooler", Some(515), None),
    ("ssh", Some(22), None),
    ("ssmtp", Some(465), None),
    ("submission", Some(587), None),
    ("submissions", Some(465), None),
    ("sunrpc", Some(111), Some(111)),
    ("syslog", None, Some(514)),
    ("tacacs", Some(49), Some(49)),
    ("telnet", Some(23), None),
    ("tftp", None, Some(69)),
    ("time", Some(37), Some(37)),
    ("timserver", Some(37), Some(37)),
    ("ttytst", Some(19), Some(19)),
    ("untp", Some(119), None),
    ("urd", Some(465), None),
    ("vxlan", None, Some(4789)),
    ("webcache", Some(8080), None),
    ("whois", Some(43), None),
    ("www", Some(80), None),
    ("xmpp-client", Some(5222), None),
    ("xmpp-server", Some(5269), None),
];

/// Name, number. Sorted.
const PROTOCOLS: [(&str, u32); 114] = [
    ("AX.25", 93),
    ("CPHB", 73),
    ("DCCP", 33),
    ("DDP", 37),
    ("EGP", 8),
    ("EIGRP", 88),
    ("ENCAP", 98),
    ("ETHERIP", 97),
    ("Ethernet", 143),
    ("FC", 133),
    ("GGP", 3),
    ("GRE", 47),
    ("HIP", 139),
    ("HMP", 20),
    ("HOPOPT", 0),
    ("ICMP", 1),
    ("IDPR-CMTP", 38),
    ("IDRP", 45),
    ("IGMP", 2),
    ("IGP", 9),
    ("IP", 0),
    ("IP-ENCAP", 4),
    ("IPCOMP", 108),
    ("IPIP", 94),
    ("IPSEC-AH", 51),
    ("IPSEC-ESP", 50),
    ("IPv6", 41),
    ("IPv6-Frag", 44),
    ("IPv6-ICMP", 58),
    ("IPv6-NoNxt", 59),
    ("IPv6-Opts", 60),
    ("IPv6-Route", 43),
    ("ISIS", 124),
    ("ISO-TP4", 29),
    ("L2TP", 115),
    ("MPLS-in-IP", 137),
    ("MPTCP", 262),
    ("Mobility-Header", 135),
    ("OSPFIGP", 89),
    ("PIM", 103),
    ("PUP", 12),
    ("RDP", 27),
    ("ROHC", 142),
    ("RSPF", 73),
    ("RSVP", 46),
    ("SCTP", 132),
    ("SKIP", 57),
    ("ST", 5),
    ("Shim6", 140),
    ("TCP", 6),
    ("UDP", 17),
    ("UDPLite", 136),
    ("VMTP", 81),
    ("VRRP", 112),
    ("WESP", 141),
    ("XNS-IDP", 22),
    ("XTP", 36),
    ("ah", 51),
    ("ax.25", 93),
    ("dccp", 33),
    ("ddp", 37),
    ("egp", 8),
    ("eigrp", 88),
    ("encap", 98),
    ("esp", 50),
    ("etherip", 97),
    ("ethernet", 143),
    ("fc", 133),
    ("ggp", 3),
    ("gre", 47),
    ("hip", 139),
    ("hmp", 20),
    ("hopopt", 0),
    ("icmp", 1),
    ("idpr-cmtp", 38),
    ("idrp", 45),
    ("igmp", 2),
    ("igp", 9),
    ("ip", 0),
    ("ipcomp", 108),
    ("ipencap", 4),
    ("ipip", 94),
    ("ipv6", 41),
    ("ipv6-frag", 44),
    ("ipv6-icmp", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("ipv6-route", 43),
    ("isis", 124),
    ("iso-tp4", 29),
    ("l2tp", 115),
    ("manet", 138),
    ("mobility-header", 135),
    ("mpls-in-ip", 137),
    ("mptcp", 262),
    ("ospf", 89),
    ("pim", 103),
    ("pup", 12),
    ("rdp", 27),
    ("rohc", 142),
    ("rspf", 73),
    ("rsvp", 46),
    ("sctp", 132),
    ("shim6", 140),
    ("skip", 57),
    ("st", 5),
    ("tcp", 6),
    ("udp", 17),
    ("udplite", 136),
    ("vmtp", 81),
    ("vrrp", 112),
    ("wesp", 141),
    ("xns-idp", 22),
    ("xtp", 36),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(PORTS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(PROTOCOLS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn known_names_are_found() {
        assert_eq!(Builtin.port("http", Transport::Tcp), Some(80));
        assert_eq!(Builtin.port("domain", Transport::Udp), Some(53));
        assert_eq!(Builtin.protocol("sctp"), Some(132));
        assert_eq!(Builtin.similar_port("htpp").as_deref(), Some("http"));
    }
}
