//! Random skbs against random expressions: what a program lets through is what classic BPF lets through, run on the
//! packet that the skb stands for.

use filter_compiler::cbpf::{Meta, Packet, Program};
use filter_compiler::names::Builtin;
use filter_compiler::{LinkType, compile, to_cbpf};
use whither::record::{HEADER_BYTES, PLAIN_BYTES};

use super::objects::{Device, Skb, UNSET};
use super::rig::Rig;
use super::rng::Rng;
use super::samples::{self, Link, Sample};

/// Expressions that the corpus lacks, or that programs compile in a way of their own.
const MORE: &[&str] = &[
    "vlan",
    "vlan 5",
    "vlan 5 and icmp",
    "vlan and vlan and udp port 53",
    "not vlan",
    "icmp or vlan",
    "vlan and tcp[tcpflags] & tcp-syn != 0",
    "vlan and ether[14:2] = 5",
    "host 10.0.0.2 and udp port 5001",
    "greater 100",
    "inbound",
    "outbound and tcp",
    "len = 60 and not arp",
    "ip[ip[3]] = 0",
    "vlan and ip[ip[3]] = 0",
];

/// Reads the link header by offset: what that is without one is a matter of taste.
const BY_OFFSET: [&str; 3] = ["ether[", "link[", "byte "];

/// Everything that is tried.
pub fn expressions() -> impl Iterator<Item = &'static str> {
    let corpus = include_str!("../../filter-compiler/tests/corpus.txt").lines().filter_map(|line| {
        let mut columns = line.splitn(3, '\t');
        let (link, verdict) = (columns.next()?, columns.next()?);
        (link != "RAW" && verdict == "ok").then(|| columns.next()).flatten()
    });
    corpus.chain(MORE.iter().copied())
}

#[test]
fn programs_and_classic_bpf_agree() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let (mut matched, mut all) = (0, 0);
    let mut wrong = Vec::new();
    for (n, text) in expressions().enumerate() {
        let oracle = Oracle::new(text);
        let args = |flags: &str| format!("--filter-func 'ip_rcv|net_dev_queue' {flags} -- {text}");
        let rigs = [
            ("ip_rcv", Rig::new("5.10-x86_64", &args(""), &[])),
            ("ip_rcv", Rig::new("6.12-x86_64", &args(""), &[])),
            ("net_dev_queue", Rig::new("7.2-x86_64", &args("--backend tracepoint"), &[])),
        ];
        let mut rng = Rng::fork(0x5eed, n as u64);
        for _ in 0..rounds {
            let skb = oracle.random(&mut rng);
            let Some(expected) = oracle.verdict(&skb) else { continue };
            all += 1;
            matched += usize::from(expected);
            for (target, rig) in &rigs {
                let hit = rig.hit(target, &skb);
                if hit.event.is_some() != expected {
                    wrong.push(format!("`{text}`, memory by {}: {expected} is right for {skb}", rig.plan.memory));
                    continue;
                }
                if expected {
                    let start = network(&skb).expect("it matched");
                    let captured = &skb.buffer[start..skb.tail.max(start)];
                    let least = captured.len().min(PLAIN_BYTES as usize);
                    let is_plain = captured.first() == Some(&0x45) && hit.headers.len() == least;
                    let whole = hit.headers.len() == captured.len().min(HEADER_BYTES as usize);
                    let is_right = captured.starts_with(&hit.headers) && (whole || is_plain);
                    assert!(is_right, "`{text}`: {:x?} of {skb}", hit.headers);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    assert!(all > 500 && matched * 5 > all, "{matched} of {all} match: too few to say anything");
}

/// Where the network header is, from `head`.
fn network(skb: &Skb) -> Option<usize> {
    match (skb.network_header, skb.mac_header) {
        (0, UNSET) => None,
        (0, mac) => Some(usize::from(mac) + 14),
        (network, _) => Some(network.into()),
    }
}

/// The expression as classic BPF.
pub struct Oracle {
    text: String,
    ethernet: Program,
    raw: Option<Program>,
    pool: Vec<u32>,
}

impl Oracle {
    /// Compiles the expression for both kinds of packets.
    pub fn new(text: &str) -> Oracle {
        let compiled = |link| compile(text, link, &Builtin).and_then(|graph| to_cbpf(&graph));
        let ethernet = compiled(LinkType::En10Mb).unwrap_or_else(|error| panic!("{text}: {error}"));
        let pool = samples::constants(&ethernet);
        Oracle { text: text.into(), ethernet, raw: compiled(LinkType::Raw).ok(), pool }
    }

    /// An skb of a kind that kernels have, more often than not one that matches.
    pub fn random(&self, rng: &mut Rng) -> Skb {
        let headroom = rng.range(32, 300);
        let kind = rng.below(10);
        let link = if kind < 6 { Link::Ethernet } else { Link::Raw };
        let base = samples::random(rng, link, &self.pool);
        let program = match (link, &self.raw) {
            (Link::Raw, Some(raw)) => raw,
            _ => &self.ethernet,
        };
        let mut sample = if rng.chance(85) { samples::guided(rng, program, &base) } else { base };
        sample.data.truncate(1600);
        let Sample { data, wire_len } = sample;
        let mut skb = Skb::bare(&[]);
        skb.buffer = vec![0x5c; 2048];
        skb.buffer[headroom..][..data.len()].copy_from_slice(&data);
        skb.tail = headroom + data.len();
        match kind {
            0..5 => {
                skb.mac_header = headroom as u16;
                let tags = rng.pick(&[0, 0, 0, 4, 8]);
                skb.network_header = (headroom + 14 + tags) as u16;
            }
            5 => skb.mac_header = headroom as u16,
            6 | 7 => skb.network_header = headroom as u16,
            8 => {
                skb.network_header = headroom as u16;
                let stale = rng.pick(&[headroom - 30, headroom - 13, headroom, headroom + 14, 0]);
                skb.mac_header = stale as u16;
            }
            _ if rng.chance(80) => skb.network_header = headroom as u16,
            _ => {}
        }
        skb.data = headroom + rng.pick(&[0, 0, 14, 34, 54]);
        skb.len = wire_len.wrapping_sub((skb.data - headroom) as u32);
        skb.pkt_type = rng.pick(&[0, 0, 1, 2, 3, 4]);
        skb.protocol = 0x0800;
        if rng.chance(30) {
            let tci = if rng.chance(50) && !self.pool.is_empty() { rng.pick(&self.pool) as u16 } else { 5 };
            skb.tag = Some((rng.pick(&[0x8100, 0x8100, 0x88a8]), tci));
        }
        if rng.chance(80) {
            skb.dev = Some(Device { ifindex: rng.pick(&[1, 2, 7]), mtu: 1500, netns: 1 });
        }
        skb
    }

    /// Whether the packet of an skb matches; `None` where that is not said.
    pub fn verdict(&self, skb: &Skb) -> Option<bool> {
        let distance = i32::from(skb.network_header) - i32::from(skb.mac_header);
        let has_link = skb.mac_header != UNSET && (skb.network_header == 0 || [14, 18, 22].contains(&distance));
        let start = match has_link {
            true => usize::from(skb.mac_header),
            false if skb.network_header == 0 => return Some(false),
            false => usize::from(skb.network_header),
        };
        let data = skb.buffer.get(start..skb.tail).unwrap_or_default();
        let wire_len = skb.len.wrapping_add((skb.data as u32).wrapping_sub(start as u32));
        let meta = Meta { pkt_type: skb.pkt_type, ifindex: skb.dev.map_or(0, |dev| dev.ifindex), vlan_tag: None };
        let tag = skb.tag.filter(|_| self.text.contains("vlan"));
        if !has_link {
            let version = data.first().map_or(0, |byte| byte >> 4);
            let kind = match version {
                4 => [0x08, 0x00],
                6 => [0x86, 0xdd],
                _ => return Some(false),
            };
            if BY_OFFSET.iter().any(|word| self.text.contains(word)) {
                return None;
            }
            if !self.text.contains("vlan") {
                let Some(raw) = &self.raw else { return Some(false) };
                return Some(raw.run(&Packet { data, wire_len, meta }).accepted());
            }
            // libpcap knows no VLANs without a link header; here there is at least a type, perhaps behind a tag.
            let frame = [&[0; 12], &kind[..], data].concat();
            return self.on_frame(&frame, wire_len, meta, tag);
        }
        if data.len() < 14 {
            return None;
        }
        self.on_frame(data, wire_len, meta, tag)
    }

    fn on_frame(&self, frame: &[u8], wire_len: u32, meta: Meta, tag: Option<(u16, u16)>) -> Option<bool> {
        let Some((proto, tci)) = tag else {
            return Some(self.ethernet.run(&Packet { data: frame, wire_len, meta }).accepted());
        };
        let tag = [proto.to_be_bytes(), tci.to_be_bytes()].concat();
        let data = [&frame[..12], &tag, &frame[12..]].concat();
        Some(self.ethernet.run(&Packet { data: &data, wire_len: wire_len.wrapping_add(4), meta }).accepted())
    }
}
