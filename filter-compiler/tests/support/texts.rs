//! Random texts for the lexer and the parser: most are almost expressions.

use super::exprs;
use super::packets::Link;
use super::rng::Rng;

/// Texts are cut to this many bytes.
pub const LONGEST: usize = 8192;

/// A random text: noise, words, or an expression with mistakes in it.
pub fn random(rng: &mut Rng) -> String {
    let mut text = match rng.below(10) {
        0 => {
            let bytes: Vec<u8> = (0..rng.below(60)).map(|_| rng.next() as u8).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        1 => (0..rng.below(40)).map(|_| rng.pick(WORDS)).collect(),
        2 => (0..rng.below(40)).map(|_| rng.pick(WORDS).to_owned() + " ").collect(),
        _ => {
            let link = if rng.chance(65) { Link::Ethernet } else { Link::Raw };
            exprs::random(rng, link).text()
        }
    };
    for _ in 0..rng.pick(&[0, 0, 0, 1, 1, 2, 5]) {
        mutate(rng, &mut text);
    }
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// Removes, doubles, moves or replaces a part.
fn mutate(rng: &mut Rng, text: &mut String) {
    let mut chars: Vec<char> = text.chars().collect();
    let from = rng.below(chars.len() + 1);
    let to = (from + rng.below(12)).min(chars.len());
    let part = chars[from..to].to_vec();
    match rng.below(6) {
        0 => drop(chars.drain(from..to)),
        1 => drop(chars.splice(from..from, part)),
        2 => {
            let at = rng.below(chars.len() + 1);
            chars.splice(at..at, part);
        }
        3 => drop(chars.splice(from..to, rng.pick(WORDS).chars())),
        4 => chars.insert(from, rng.pick(&['(', ')', ' ', '\\', '\0', '\u{80}', '\u{1f600}', '-', ':', '.', '/', '&'])),
        _ => {
            let digits =
                rng.pick(&["0", "4294967295", "4294967296", "0x", "08", "65536", "-1", "32", "1e9", "255.255"]);
            chars.splice(from..to, digits.chars());
        }
    }
    *text = chars.into_iter().collect();
}

const WORDS: &[&str] = &[
    "ip",
    "ip6",
    "tcp",
    "udp",
    "icmp",
    "arp",
    "vlan",
    "mpls",
    "pppoes",
    "geneve",
    "host",
    "net",
    "port",
    "portrange",
    "proto",
    "protochain",
    "src",
    "dst",
    "and",
    "or",
    "not",
    "(",
    ")",
    "[",
    "]",
    ":",
    "=",
    "!=",
    "<",
    ">",
    "<<",
    ">>",
    "&",
    "|",
    "^",
    "%",
    "/",
    "*",
    "+",
    "-",
    "len",
    "less",
    "greater",
    "byte",
    "ether",
    "broadcast",
    "multicast",
    "80",
    "0x1f",
    "10.0.0.1",
    "10.0.0.0/8",
    "::1",
    "fd00::/8",
    "1:2:3:4:5:6",
    "mask",
    "gateway",
    "llc",
    "decnet",
    "inbound",
    "ifindex",
    "tcpflags",
    "tcp-syn",
    "\\tcp",
    "80-90",
    "!",
    "&&",
    "||",
    "4",
    "2",
    "1",
    "0",
    "255.255.255.0",
    "iso",
    "isis",
    "1.2",
];
