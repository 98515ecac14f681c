//! Random filter expressions over the whole grammar: valid mostly, with some mistakes.

use super::packets::Link;
use super::rng::Rng;

/// One word of an expression. Words are the unit in which a failing expression is made smaller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// What our compiler gets.
    pub text: String,
    /// What libpcap gets where its own meaning is known to be broken.
    pub oracle: Option<String>,
}

/// An expression in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expression(pub Vec<Word>);

impl Expression {
    /// An expression whose text is taken as it is, one word per blank-separated part.
    pub fn from_text(text: &str) -> Expression {
        Expression(text.split(' ').map(|word| Word { text: word.to_owned(), oracle: None }).collect())
    }

    /// The text for our compiler.
    pub fn text(&self) -> String {
        self.0.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// The text for libpcap.
    pub fn oracle_text(&self) -> String {
        let text = |word: &Word| word.oracle.clone().unwrap_or_else(|| word.text.clone());
        self.0.iter().map(text).collect::<Vec<_>>().join(" ")
    }
}

/// A random expression for `link`.
pub fn random(rng: &mut Rng, link: Link) -> Expression {
    let names = std::path::Path::new("/etc/services").exists() && std::path::Path::new("/etc/protocols").exists();
    let pools = Pools {
        ports: (0..4).map(|_| rng.pick(&PORTS).to_owned()).collect(),
        v4: (0..4).map(|_| rng.pick(&V4).to_owned()).collect(),
        v6: (0..3).map(|_| rng.pick(&V6).to_owned()).collect(),
        macs: (0..2).map(|_| rng.pick(&MACS).to_owned()).collect(),
    };
    let mut generator = Generator { rng, link, names, pools, words: Vec::new() };
    match generator.rng.below(100) {
        0..2 => generator.long_list(),
        _ => generator.expression(0),
    }
    let mut words = generator.words;
    if rng.chance(5) {
        make_mistake(rng, &mut words);
    }
    if rng.chance(30) {
        close_up(rng, &mut words);
    }
    Expression(words)
}

/// Removes, doubles, exchanges or replaces a word.
fn make_mistake(rng: &mut Rng, words: &mut Vec<Word>) {
    const STRAYS: [&str; 40] = [
        "(",
        ")",
        "not",
        "and",
        "or",
        "[",
        "]",
        ":",
        "tcp",
        "host",
        "port",
        "65536",
        "4294967296",
        "08",
        "10.0.0.256",
        "::1",
        "1:2:3:4:5:6",
        "src",
        "proto",
        "vlan",
        "=",
        "&",
        "-",
        "%",
        "deadbeefcafe",
        "gateway",
        "radio",
        "$1",
        "on",
        "1.2.3.4/33",
        "10/8",
        "type",
        "lane",
        "frobnicate",
        "5-3",
        "net",
        "0x",
        "\\",
        "10.0.0.1/8",
        "\u{e9}",
    ];
    let at = rng.below(words.len().max(1)).min(words.len().saturating_sub(1));
    match rng.below(4) {
        _ if words.is_empty() => {}
        0 => drop(words.remove(at)),
        1 => words.insert(at, words[at].clone()),
        2 => {
            let other = rng.below(words.len());
            words.swap(at, other);
        }
        _ => words[at] = word(rng.pick(&STRAYS)),
    }
}

/// Writes neighbours without a blank here and there, and other white space in its place.
fn close_up(rng: &mut Rng, words: &mut Vec<Word>) {
    let mut at = 1;
    while at < words.len() {
        let operator = |text: &str| text.chars().all(|c| "()[]:&|<>=!+*/^%".contains(c));
        if rng.chance(50) && (operator(&words[at].text) || operator(&words[at - 1].text)) {
            let next = words.remove(at);
            let oracle = |w: &Word| w.oracle.clone().unwrap_or_else(|| w.text.clone());
            let joined = oracle(&words[at - 1]) + &oracle(&next);
            words[at - 1].text += &next.text;
            words[at - 1].oracle = (joined != words[at - 1].text).then_some(joined);
        } else {
            if rng.chance(3) {
                let blank = rng.pick(&["\t", "\n", "  ", "\r"]);
                words[at].text.insert_str(0, blank);
            }
            at += 1;
        }
    }
}

fn word(text: &str) -> Word {
    Word { text: text.to_owned(), oracle: None }
}

struct Pools {
    ports: Vec<String>,
    v4: Vec<String>,
    v6: Vec<String>,
    macs: Vec<String>,
}

const PORTS: [&str; 12] = ["80", "53", "443", "6081", "22", "1024", "0x35", "0", "65535", "017", "81", "40000"];
const V4: [&str; 9] = [
    "10.0.0.1",
    "10.0.0.2",
    "198.51.100.7",
    "192.168.1.1",
    "255.255.255.255",
    "0.0.0.0",
    "224.0.0.1",
    "10.0",
    "172.16",
];
const NET4: [&str; 11] = [
    "10.0.0.0/8",
    "10.0.0.0/24",
    "10.0.0.1/32",
    "0.0.0.0/0",
    "192.168.0.0/16",
    "172.16.0.0/12",
    "10.0",
    "198.51.100",
    "10",
    "203.0.113.0 mask 255.255.255.192",
    "10.0.0.1 mask 255.0.0.255",
];
const V6: [&str; 6] = ["2001:db8::1", "2001:db8:0:1::7", "fd00::1", "::1", "::", "ff02::1"];
const NET6: [&str; 8] = [
    "2001:db8::/32",
    "2001:db8:4000::/35",
    "fd00::/8",
    "::/0",
    "2001:db8:0:1::/64",
    "::1",
    "ff00::/8",
    "2001:db8::1/128",
];
const MACS: [&str; 6] = [
    "02:00:00:00:00:01",
    "0a:1b:2c:3d:4e:5f",
    "ff:ff:ff:ff:ff:ff",
    "0a1b.2c3d.4e5f",
    "0a-1b-2c-3d-4e-5f",
    "01005e000001",
];

/// What a bare identifier would mean after the last term.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Host,
    Net,
    Port,
    Range,
    Protocol,
    Mac,
}

struct Generator<'a> {
    rng: &'a mut Rng,
    link: Link,
    names: bool,
    pools: Pools,
    words: Vec<Word>,
}

impl Generator<'_> {
    fn put(&mut self, text: &str) {
        self.words.extend(text.split(' ').filter(|part| !part.is_empty()).map(word));
    }

    fn pick(&mut self, texts: &[&str]) {
        let text = self.rng.pick(texts);
        self.put(text);
    }

    fn operator(&mut self) {
        self.pick(&["and", "or", "and", "or", "and", "or", "&&", "||"]);
    }

    fn expression(&mut self, depth: u32) {
        let terms = match (depth, self.rng.below(10)) {
            (0, 0..3) | (1.., 0..4) => 1,
            (_, 0..8) => 2,
            (_, 8) => 3,
            _ => self.rng.range(1, 5),
        };
        let mut kind = self.term(depth);
        for _ in 1..terms {
            self.operator();
            kind = if kind != Kind::Nothing && self.rng.chance(30) { self.id(kind, 0) } else { self.term(depth) };
        }
    }

    fn not(&mut self) {
        if self.rng.chance(15) {
            self.pick(&["not", "!", "not not"]);
        }
    }

    fn term(&mut self, depth: u32) -> Kind {
        self.not();
        let link_level = self.link == Link::Ethernet || self.rng.chance(10);
        match self.rng.below(116) {
            0..12 if depth < 4 => {
                self.put("(");
                self.expression(depth + 1);
                self.put(")");
                Kind::Nothing
            }
            0..26 => self.protocol(link_level),
            26..40 => self.head(&["", "", "", "ip", "arp", "rarp", "ip6"], &["host", "host", ""], Kind::Host),
            40..48 => self.head(&["", "", "", "ip", "arp", "rarp", "ip6"], &["net"], Kind::Net),
            48..62 => self.head(&["", "", "tcp", "udp", "sctp"], &["port"], Kind::Port),
            62..67 => self.head(&["", "", "tcp", "udp", "sctp"], &["portrange"], Kind::Range),
            67..73 => {
                self.pick(&["ip proto", "ip6 proto", "proto"]);
                self.id(Kind::Protocol, 0)
            }
            73 => {
                self.pick(&["ip protochain", "ip6 protochain", "protochain"]);
                self.pick(&["6", "17", "58", "51", "44", "\\tcp"]);
                Kind::Nothing
            }
            74..77 if link_level => {
                self.pick(&["ether", "link", "ether"]);
                let direction = self.direction();
                if direction.is_empty() {
                    self.put("host");
                } else {
                    self.put(direction);
                    self.pick(&["", "host"]);
                }
                self.id(Kind::Mac, 0)
            }
            77..82 if link_level => self.link_level(),
            74..82 => self.relation(),
            82..90 => self.encapsulation(link_level),
            90..94 => {
                let length = self.rng.pick(&["60", "64", "128", "0", "1500", "4294967295"]);
                self.pick(&["less", "greater"]);
                self.put(length);
                Kind::Nothing
            }
            94 => {
                self.byte();
                Kind::Nothing
            }
            95 => {
                self.pick(&["inbound", "outbound", "ifindex 7", "ifindex 0"]);
                Kind::Nothing
            }
            96 => {
                self.pick(&["ip", "ip6", "ip", ""]);
                self.put("multicast");
                Kind::Nothing
            }
            97 => self.refused(),
            _ => self.relation(),
        }
    }

    fn protocol(&mut self, link_level: bool) -> Kind {
        if link_level && self.rng.chance(25) {
            self.pick(&[
                "arp", "arp", "rarp", "arp", "atalk", "aarp", "decnet", "sca", "lat", "mopdl", "moprc", "stp", "ipx",
                "netbeui", "iso", "clnp", "esis", "isis", "es-is", "is-is", "l1", "l2", "iih", "lsp", "snp", "csnp",
                "psnp",
            ]);
        } else {
            self.pick(&[
                "ip", "ip", "ip6", "tcp", "tcp", "tcp", "udp", "udp", "icmp", "icmp6", "sctp", "igmp", "igrp", "pim",
                "vrrp", "carp", "ah", "esp",
            ]);
        }
        Kind::Nothing
    }

    fn direction(&mut self) -> &'static str {
        self.rng.pick(&["", "", "src", "dst", "src", "dst", "src or dst", "src and dst", "dst or src", "dst and src"])
    }

    fn head(&mut self, protocols: &[&'static str], types: &[&'static str], kind: Kind) -> Kind {
        let protocol = self.rng.pick(protocols);
        self.put(protocol);
        let direction = self.direction();
        self.put(direction);
        // Without a direction the type word is needed.
        let word = self.rng.pick(types);
        self.put(if direction.is_empty() && word.is_empty() { "host" } else { word });
        let family = match protocol {
            "ip6" if self.rng.chance(90) => 6,
            "ip" | "arp" | "rarp" if self.rng.chance(95) => 4,
            _ => 0,
        };
        self.id(kind, family)
    }

    /// An identifier, or a list of them in parentheses; `family` 4 or 6 restricts addresses.
    fn id(&mut self, kind: Kind, family: u32) -> Kind {
        if self.rng.chance(6) {
            self.pick(&["not", "!"]);
        }
        if self.rng.chance(8) {
            self.put("(");
            self.bare_id(kind, family);
            for _ in 0..self.rng.range(1, 3) {
                self.operator();
                self.id(kind, family);
            }
            self.put(")");
        } else {
            self.bare_id(kind, family);
        }
        kind
    }

    fn bare_id(&mut self, kind: Kind, family: u32) {
        let six = family == 6 || family == 0 && self.rng.chance(20);
        match kind {
            Kind::Nothing => {}
            Kind::Host if six => {
                let at = self.rng.below(self.pools.v6.len());
                self.put(&self.pools.v6[at].clone());
            }
            Kind::Host if self.rng.chance(4) => self.put("3325256711"),
            Kind::Host => {
                let at = self.rng.below(self.pools.v4.len());
                self.put(&self.pools.v4[at].clone());
            }
            Kind::Net if six => self.pick(&NET6),
            Kind::Net => self.pick(&NET4),
            Kind::Port if self.names && self.rng.chance(10) => {
                self.pick(&["http", "smtp", "domain", "ssh", "ntp", "snmp", "https", "tftp", "syslog", "nosuchport"]);
            }
            Kind::Port => {
                let at = self.rng.below(self.pools.ports.len());
                self.put(&self.pools.ports[at].clone());
            }
            Kind::Range => {
                let low = self.rng.pick(&["1", "80", "1024", "30000", "53", "0"]);
                let high = self.rng.pick(&["90", "2048", "65535", "80", "1025", "53", "2000", "60000", "70000"]);
                match self.rng.below(12) {
                    0 => self.put(low),
                    1 if self.names => self.pick(&["ssh-http", "domain-443", "22-domain", "1-2-3", "http-ssh"]),
                    _ => self.put(&format!("{low}-{high}")),
                }
            }
            Kind::Protocol if self.names && self.rng.chance(20) => {
                self.pick(&["\\tcp", "\\udp", "\\icmp", "ospf", "gre", "\\sctp", "\\esp", "nosuchproto"]);
            }
            Kind::Protocol => self.pick(&["6", "17", "1", "58", "132", "89", "0", "44", "255", "300", "0x11"]),
            Kind::Mac => {
                let at = self.rng.below(self.pools.macs.len());
                self.put(&self.pools.macs[at].clone());
            }
        }
    }

    fn link_level(&mut self) -> Kind {
        match self.rng.below(9) {
            0 => self.pick(&["broadcast", "ether broadcast", "multicast", "ether multicast"]),
            1 | 2 => {
                self.put("ether proto");
                self.pick(&[
                    "0x800", "0x806", "0x86dd", "0x8100", "0x8809", "0xfe", "0xe0", "0xf0", "0x42", "0x809b", "0x80f3",
                    "6", "1500", "1501", "\\ip", "\\arp", "\\ip6", "\\stp", "\\ipx", "\\iso", "\\aarp", "loopback",
                    "0x10800",
                ]);
                return Kind::Nothing;
            }
            3 => {
                self.put("iso proto");
                self.pick(&["0x81", "0x82", "\\clnp", "\\isis", "131", "\\esis"]);
            }
            4 => {
                self.put("isis proto");
                self.pick(&["15", "16", "18", "27"]);
            }
            5 | 6 => {
                self.put("llc");
                self.pick(&[
                    "", "i", "s", "u", "rr", "rnr", "rej", "ui", "ua", "disc", "dm", "sabme", "test", "xid", "frmr",
                    "UI", "zz",
                ]);
            }
            7 => {
                self.put("decnet");
                self.pick(&["host", "src", "dst", "src host", "dst host", "src or dst", "src and dst"]);
                self.pick(&["12.34", "1.1", "63.1023"]);
            }
            _ => self.pick(&["pppoed", "arp", "ether[12:2] = 0x88cc", "ether[0] & 1 = 1"]),
        }
        Kind::Nothing
    }

    fn encapsulation(&mut self, link_level: bool) -> Kind {
        match self.rng.below(20) {
            0..10 if link_level => {
                self.put("vlan");
                self.pick(&["", "", "42", "1", "0", "4095", "( 42 )", "4096"]);
            }
            10..15 if link_level => {
                self.put("mpls");
                self.pick(&["", "", "100", "200", "0", "1048575", "1048576"]);
            }
            15..18 if link_level => {
                self.put("pppoes");
                self.pick(&["", "", "3", "65535", "65536"]);
            }
            0..18 => return self.head(&["tcp", "udp", ""], &["port"], Kind::Port),
            _ => {
                self.put("geneve");
                self.pick(&["", "", "9", "100", "16777215", "16777216"]);
            }
        }
        if self.rng.chance(70) {
            self.put("and");
            return self.term(3);
        }
        Kind::Nothing
    }

    /// `byte I op V`; libpcap 1.10 compiles the forms with `&` and `|` without the load.
    fn byte(&mut self) {
        let at = self.rng.pick(&["0", "12", "13", "23", "9"]);
        let value = self.rng.pick(&["0", "6", "17", "8", "255", "0x45"]);
        let operator = self.rng.pick(&["=", "<", ">", "&", "|"]);
        let text = format!("byte {at} {operator} {value}");
        let oracle = matches!(operator, "&" | "|").then(|| format!("ether[{at}] {operator} {value} != 0"));
        self.words.push(Word { text, oracle });
    }

    /// Valid words that must be refused for these link types.
    fn refused(&mut self) -> Kind {
        match self.rng.below(12) {
            // tcpdump compiles with netmask 0 and accepts this one.
            0 => self.words.push(Word { text: "ip broadcast".to_owned(), oracle: Some("on eth1".to_owned()) }),
            _ => self.pick(&[
                "gateway foo",
                "type data",
                "lane",
                "vpi 3",
                "on eth0",
                "rnr 1",
                "fisu",
                "sio 4",
                "radio",
                "dir in",
                "addr1 10.0.0.1",
                "ra 02:00:00:00:00:01",
                "host 02:00:00:00:00:01",
                "host 10.0.0.0/8",
                "reason match",
                "net 10.0.0.1/8",
                "port 10.0.0.1",
                "ip6 host 10.0.0.1",
                "ip host ::1",
                "tcp host 10.0.0.1",
                "icmp port 80",
                "port 99999",
                "ip[0:3] = 1",
                "tcp proto 6",
                "arp proto 1",
                "esp[0] = 1",
                "radio[0] = 1",
                "action pass",
            ]),
        }
        Kind::Nothing
    }

    fn long_list(&mut self) {
        let many = self.rng.pick(&[10, 20, 40, 120]);
        let kind = self.rng.below(4);
        let head = ["port", "host", "tcp dst port", "src net"][kind];
        self.put(head);
        for at in 0..many {
            if at > 0 {
                self.put("or");
            }
            let n = self.rng.below(60_000);
            match kind {
                1 => self.put(&format!("10.{}.{}.{}", n >> 12, n >> 6 & 63, n & 63)),
                3 => self.put(&format!("10.{}.0.0/16", n & 255)),
                _ => self.put(&n.to_string()),
            }
        }
        if self.rng.chance(50) {
            self.operator();
            self.term(3);
        }
    }

    fn number(&mut self) {
        match self.rng.below(4) {
            0 => self.pick(&[
                "tcp-syn",
                "tcp-ack",
                "tcp-fin",
                "tcp-rst",
                "icmp-echo",
                "icmp6-routeradvert",
                "tcpflags",
                "icmp-unreach",
            ]),
            1 => {
                let value = self.rng.next() as u32 >> self.rng.below(32);
                self.put(&format!("{value:#x}"));
            }
            _ => {
                self.pick(&["0", "1", "2", "4", "5", "6", "8", "15", "16", "17", "20", "0x45", "0x1fff", "255", "010"])
            }
        }
    }

    /// `P[index]` or `P[index:size]`.
    fn load(&mut self, depth: u32) {
        let mut protocols = vec![
            "ip", "ip", "ip", "ip6", "tcp", "tcp", "tcp", "udp", "icmp", "icmp6", "sctp", "igmp", "pim", "vrrp",
            "ether", "ether", "igrp", "carp",
        ];
        if self.link == Link::Ethernet {
            protocols.extend(["arp", "link", "rarp", "decnet", "atalk"]);
        }
        self.pick(&protocols);
        self.put("[");
        match self.rng.below(20) {
            0..13 => {
                let at = self.rng.below(24);
                self.put(&at.to_string());
            }
            13..16 => self.pick(&["tcpflags", "icmptype", "icmpcode", "40", "60", "100", "500"]),
            _ if depth < 3 => self.arithmetic(depth + 1),
            _ => self.put("0"),
        }
        match self.rng.below(30) {
            0..16 => {}
            29 if self.rng.chance(30) => self.put(": 3"),
            n => {
                self.put(":");
                self.put(["1", "2", "4"][n % 3]);
            }
        }
        self.put("]");
    }

    fn relation(&mut self) -> Kind {
        let relations = ["=", "==", "!=", ">", "<", ">=", "<=", "=", "!="];
        if self.rng.chance(60) {
            self.load(1);
            if self.rng.chance(50) {
                self.pick(&["&", "&", "&", "|", "+", "-", ">>", "<<"]);
                self.number();
            }
            self.pick(&relations);
            self.number();
        } else {
            self.arithmetic(0);
            self.pick(&relations);
            self.arithmetic(1);
        }
        Kind::Nothing
    }

    fn arithmetic(&mut self, depth: u32) {
        match self.rng.below(if depth < 3 { 20 } else { 9 }) {
            0..3 => self.number(),
            3..5 => self.pick(&["len", "length"]),
            5..9 => self.load(depth + 1),
            9 => {
                self.put("-");
                self.arithmetic(depth + 1);
            }
            10..12 => {
                self.put("(");
                self.arithmetic(depth + 1);
                self.put(")");
            }
            _ => {
                self.arithmetic(depth + 1);
                self.pick(&["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "+", "-", "&"]);
                self.arithmetic(depth + 1);
            }
        }
    }
}
