//! The vocabulary: keywords and named constants of pcap-filter(7), and finding the nearest to a typing mistake.

/// A keyword, whatever its spelling.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Word {
    /// `src`
    Src,
    /// `dst`
    Dst,
    /// A protocol.
    Protocol(Protocol),
    /// `host`
    Host,
    /// `net`
    Net,
    /// `mask`
    Mask,
    /// `port`
    Port,
    /// `portrange`
    PortRange,
    /// `proto`
    Proto,
    /// `protochain`
    ProtoChain,
    /// `gateway`
    Gateway,
    /// `less`
    Less,
    /// `greater`
    Greater,
    /// `byte`
    Byte,
    /// `len`, `length`
    Len,
    /// `broadcast`
    Broadcast,
    /// `multicast`
    Multicast,
    /// `and`, `&&`
    And,
    /// `or`, `||`
    Or,
    /// `not`, `!`
    Not,
    /// `inbound`
    Inbound,
    /// `outbound`
    Outbound,
    /// `ifindex`
    IfIndex,
    /// `vlan`
    Vlan,
    /// `mpls`
    Mpls,
    /// `pppoed`
    PppoeD,
    /// `pppoes`
    PppoeS,
    /// `geneve`
    Geneve,
    /// `vxlan`, since libpcap 1.11
    Vxlan,
    /// `llc`
    Llc,
    /// A word about packets of another link type; it holds which.
    Other(&'static str),
}

/// A protocol word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the variants are the words")]
pub enum Protocol {
    /// `link`, `ether`, `ppp`, `slip`, `fddi`, `tr`, `wlan`: the link level, whatever it is.
    Link,
    Ip,
    Ip6,
    Arp,
    Rarp,
    Tcp,
    Udp,
    Sctp,
    Icmp,
    Icmp6,
    Igmp,
    Igrp,
    Pim,
    Vrrp,
    Carp,
    Ah,
    Esp,
    Radio,
    Atalk,
    Aarp,
    Decnet,
    Lat,
    Sca,
    Moprc,
    Mopdl,
    Iso,
    /// `esis`, `es-is`
    Esis,
    /// `isis`, `is-is`
    Isis,
    L1,
    L2,
    Iih,
    Lsp,
    Snp,
    Csnp,
    Psnp,
    Clnp,
    Stp,
    Ipx,
    Netbeui,
}

impl Protocol {
    /// The word; `ether` for all words of the link level.
    pub fn text(self) -> &'static str {
        if self == Protocol::Link {
            return "ether";
        }
        KEYWORDS.iter().find(|(_, word)| *word == Word::Protocol(self)).map_or("", |(text, _)| text)
    }
}

/// The keyword that `text` spells.
pub fn keyword(text: &str) -> Option<Word> {
    KEYWORDS.binary_search_by(|(spelling, _)| (*spelling).cmp(text)).ok().map(|at| KEYWORDS[at].1)
}

/// The value of the named constant `text`.
pub fn constant(text: &str) -> Option<u32> {
    CONSTANTS.binary_search_by(|(spelling, _)| (*spelling).cmp(text)).ok().map(|at| CONSTANTS[at].1)
}

/// All spellings of keywords, except those of other link types.
pub fn spellings() -> impl Iterator<Item = &'static str> {
    KEYWORDS.iter().filter(|(_, word)| !matches!(word, Word::Other(_))).map(|(text, _)| *text)
}

/// The candidate with the fewest edits (insert, remove, replace, swap neighbours) from `word`: one for words of up to
/// four letters, else two. The first of several.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if !(2..=32).contains(&length) {
        return None;
    }
    let most = if length <= 4 { 1 } else { 2 };
    let lower = word.to_ascii_lowercase();
    candidates
        .filter(|candidate| candidate.len().abs_diff(lower.len()) <= most)
        .map(|candidate| (edits(lower.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|&(edits, _)| edits <= most)
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, candidate)| candidate)
}

/// Edit distance with swaps of neighbours.
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swap = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                replace.min(swap).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[a.len()][b.len()]
}

use Protocol as P;

const WLAN: &str = "on IEEE 802.11 links with their headers";
const ATM: &str = "on ATM links";
const PF: &str = "in logs of the pf firewall";
const SS7: &str = "on MTP and SS7 links";

/// Sorted.
const KEYWORDS: [(&str, Word); 129] = [
    ("aarp", Word::Protocol(P::Aarp)),
    ("action", Word::Other(PF)),
    ("addr1", Word::Other(WLAN)),
    ("addr2", Word::Other(WLAN)),
    ("addr3", Word::Other(WLAN)),
    ("addr4", Word::Other(WLAN)),
    ("address1", Word::Other(WLAN)),
    ("address2", Word::Other(WLAN)),
    ("address3", Word::Other(WLAN)),
    ("address4", Word::Other(WLAN)),
    ("ah", Word::Protocol(P::Ah)),
    ("and", Word::And),
    ("arp", Word::Protocol(P::Arp)),
    ("atalk", Word::Protocol(P::Atalk)),
    ("bcc", Word::Other(ATM)),
    ("broadcast", Word::Broadcast),
    ("byte", Word::Byte),
    ("carp", Word::Protocol(P::Carp)),
    ("clnp", Word::Protocol(P::Clnp)),
    ("connectmsg", Word::Other(ATM)),
    ("csnp", Word::Protocol(P::Csnp)),
    ("decnet", Word::Protocol(P::Decnet)),
    ("dir", Word::Other(WLAN)),
    ("direction", Word::Other(WLAN)),
    ("dpc", Word::Other(SS7)),
    ("dst", Word::Dst),
    ("es-is", Word::Protocol(P::Esis)),
    ("esis", Word::Protocol(P::Esis)),
    ("esp", Word::Protocol(P::Esp)),
    ("ether", Word::Protocol(P::Link)),
    ("fddi", Word::Protocol(P::Link)),
    ("fisu", Word::Other(SS7)),
    ("gateway", Word::Gateway),
    ("geneve", Word::Geneve),
    ("greater", Word::Greater),
    ("hdpc", Word::Other(SS7)),
    ("hfisu", Word::Other(SS7)),
    ("hlssu", Word::Other(SS7)),
    ("hmsu", Word::Other(SS7)),
    ("hopc", Word::Other(SS7)),
    ("host", Word::Host),
    ("hsio", Word::Other(SS7)),
    ("hsls", Word::Other(SS7)),
    ("icmp", Word::Protocol(P::Icmp)),
    ("icmp6", Word::Protocol(P::Icmp6)),
    ("ifindex", Word::IfIndex),
    ("ifname", Word::Other(PF)),
    ("igmp", Word::Protocol(P::Igmp)),
    ("igrp", Word::Protocol(P::Igrp)),
    ("iih", Word::Protocol(P::Iih)),
    ("ilmic", Word::Other(ATM)),
    ("inbound", Word::Inbound),
    ("ip", Word::Protocol(P::Ip)),
    ("ip6", Word::Protocol(P::Ip6)),
    ("ipx", Word::Protocol(P::Ipx)),
    ("is-is", Word::Protocol(P::Isis)),
    ("isis", Word::Protocol(P::Isis)),
    ("iso", Word::Protocol(P::Iso)),
    ("l1", Word::Protocol(P::L1)),
    ("l2", Word::Protocol(P::L2)),
    ("lane", Word::Other(ATM)),
    ("lat", Word::Protocol(P::Lat)),
    ("len", Word::Len),
    ("length", Word::Len),
    ("less", Word::Less),
    ("link", Word::Protocol(P::Link)),
    ("llc", Word::Llc),
    ("lsp", Word::Protocol(P::Lsp)),
    ("lssu", Word::Other(SS7)),
    ("lsu", Word::Other(SS7)),
    ("mask", Word::Mask),
    ("metac", Word::Other(ATM)),
    ("metaconnect", Word::Other(ATM)),
    ("mopdl", Word::Protocol(P::Mopdl)),
    ("moprc", Word::Protocol(P::Moprc)),
    ("mpls", Word::Mpls),
    ("msu", Word::Other(SS7)),
    ("multicast", Word::Multicast),
    ("net", Word::Net),
    ("netbeui", Word::Protocol(P::Netbeui)),
    ("not", Word::Not),
    ("oam", Word::Other(ATM)),
    ("oamf4", Word::Other(ATM)),
    ("oamf4ec", Word::Other(ATM)),
    ("oamf4sc", Word::Other(ATM)),
    ("on", Word::Other(PF)),
    ("opc", Word::Other(SS7)),
    ("or", Word::Or),
    ("outbound", Word::Outbound),
    ("pim", Word::Protocol(P::Pim)),
    ("port", Word::Port),
    ("portrange", Word::PortRange),
    ("ppp", Word::Protocol(P::Link)),
    ("pppoed", Word::PppoeD),
    ("pppoes", Word::PppoeS),
    ("proto", Word::Proto),
    ("protochain", Word::ProtoChain),
    ("psnp", Word::Protocol(P::Psnp)),
    ("ra", Word::Other(WLAN)),
    ("radio", Word::Protocol(P::Radio)),
    ("rarp", Word::Protocol(P::Rarp)),
    ("reason", Word::Other(PF)),
    ("rnr", Word::Other(PF)),
    ("rset", Word::Other(PF)),
    ("rulenum", Word::Other(PF)),
    ("ruleset", Word::Other(PF)),
    ("sc", Word::Other(ATM)),
    ("sca", Word::Protocol(P::Sca)),
    ("sctp", Word::Protocol(P::Sctp)),
    ("sio", Word::Other(SS7)),
    ("slip", Word::Protocol(P::Link)),
    ("sls", Word::Other(SS7)),
    ("snp", Word::Protocol(P::Snp)),
    ("src", Word::Src),
    ("srnr", Word::Other(PF)),
    ("stp", Word::Protocol(P::Stp)),
    ("subrulenum", Word::Other(PF)),
    ("subtype", Word::Other(WLAN)),
    ("ta", Word::Other(WLAN)),
    ("tcp", Word::Protocol(P::Tcp)),
    ("tr", Word::Protocol(P::Link)),
    ("type", Word::Other(WLAN)),
    ("udp", Word::Protocol(P::Udp)),
    ("vci", Word::Other(ATM)),
    ("vlan", Word::Vlan),
    ("vpi", Word::Other(ATM)),
    ("vrrp", Word::Protocol(P::Vrrp)),
    ("vxlan", Word::Vxlan),
    ("wlan", Word::Protocol(P::Link)),
];

/// Sorted.
const CONSTANTS: [(&str, u32); 57] = [
    ("icmp-echo", 8),
    ("icmp-echoreply", 0),
    ("icmp-ireq", 15),
    ("icmp-ireqreply", 16),
    ("icmp-maskreply", 18),
    ("icmp-maskreq", 17),
    ("icmp-paramprob", 12),
    ("icmp-redirect", 5),
    ("icmp-routeradvert", 9),
    ("icmp-routersolicit", 10),
    ("icmp-sourcequench", 4),
    ("icmp-timxceed", 11),
    ("icmp-tstamp", 13),
    ("icmp-tstampreply", 14),
    ("icmp-unreach", 3),
    ("icmp6-certpathadvert", 149),
    ("icmp6-certpathsolicit", 148),
    ("icmp6-destinationunreach", 1),
    ("icmp6-echo", 128),
    ("icmp6-echoreply", 129),
    ("icmp6-homeagentdiscoveryreply", 145),
    ("icmp6-homeagentdiscoveryrequest", 144),
    ("icmp6-ineighbordiscoveryadvert", 142),
    ("icmp6-ineighbordiscoverysolicit", 141),
    ("icmp6-mobileprefixadvert", 147),
    ("icmp6-mobileprefixsolicit", 146),
    ("icmp6-multicastlistenerdone", 132),
    ("icmp6-multicastlistenerquery", 130),
    ("icmp6-multicastlistenerreportv1", 131),
    ("icmp6-multicastlistenerreportv2", 143),
    ("icmp6-multicastrouteradvert", 151),
    ("icmp6-multicastroutersolicit", 152),
    ("icmp6-multicastrouterterm", 153),
    ("icmp6-neighboradvert", 136),
    ("icmp6-neighborsolicit", 135),
    ("icmp6-nodeinformationquery", 139),
    ("icmp6-nodeinformationresponse", 140),
    ("icmp6-packettoobig", 2),
    ("icmp6-parameterproblem", 4),
    ("icmp6-redirect", 137),
    ("icmp6-routeradvert", 134),
    ("icmp6-routerrenum", 138),
    ("icmp6-routersolicit", 133),
    ("icmp6-timeexceeded", 3),
    ("icmp6code", 1),
    ("icmp6type", 0),
    ("icmpcode", 1),
    ("icmptype", 0),
    ("tcp-ack", 16),
    ("tcp-cwr", 128),
    ("tcp-ece", 64),
    ("tcp-fin", 1),
    ("tcp-push", 8),
    ("tcp-rst", 4),
    ("tcp-syn", 2),
    ("tcp-urg", 32),
    ("tcpflags", 13),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(KEYWORDS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(CONSTANTS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn nearest_finds_one_or_two_edits() {
        assert_eq!(nearest("htpp", ["ftp", "http", "https"].into_iter()), Some("http"));
        assert_eq!(nearest("Tcp", spellings()), Some("tcp"));
        assert_eq!(nearest("frobnicate", spellings()), None);
        assert_eq!(nearest("x", spellings()), None);
    }
}
