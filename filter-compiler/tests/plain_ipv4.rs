//! [`Graph::for_plain_ipv4`] gives the verdict of the whole filter: random expressions, and random packets that are IPv4
//! without options and have the bytes that it asks for.
//!
//! `WHITHER_DIFF_EXPRESSIONS` and `WHITHER_DIFF_SEED` mean what they mean in `differential.rs`.

mod support;

use filter_compiler::cbpf::Program;
use filter_compiler::{Graph, compile, names, to_cbpf};
use support::packets::{self, Link, Sample};
use support::rng::Rng;
use support::{exprs, judge, subject};

const PACKETS: usize = 40;

#[test]
fn the_short_filter_decides_as_the_whole_one() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
    };
    let (expressions, seed) = (number("WHITHER_DIFF_EXPRESSIONS", 600), number("WHITHER_DIFF_SEED", 1));
    let (mut short, mut matched, mut pairs) = (0u64, 0u64, 0u64);
    for index in 0..expressions {
        let mut rng = Rng::fork(seed, index);
        let text = exprs::random(&mut rng, Link::Ethernet).text();
        let Ok(graph) = compile(&text, subject::link_type(Link::Ethernet), &names::Builtin) else { continue };
        let Some((plain, end)) = graph.for_plain_ipv4() else { continue };
        let (whole, part) = (program(&graph), program(&plain));
        // What is loaded at a place that no packet has may be anything.
        let end = end as usize;
        // A place that no packet has.
        if end > 2000 {
            continue;
        }
        short += 1;
        let pool = packets::constants(&whole);
        for _ in 0..PACKETS {
            let base = packets::random(&mut rng, Link::Ethernet, &pool);
            for sample in [packets::guided(&mut rng, &whole, &base), base] {
                let sample = made_plain(sample, end);
                let verdict = judge::run(&whole, &sample).accepted();
                assert_eq!(judge::run(&part, &sample).accepted(), verdict, "{text}\n{graph}\n{plain}\n{sample:x?}");
                pairs += 1;
                matched += u64::from(verdict);
            }
        }
    }
    println!("{short} of {expressions} expressions, {pairs} packets, {matched} of which match, seed {seed}");
    assert!(short * 4 > expressions && matched * 50 > pairs, "too little to say anything");
}

fn program(graph: &Graph) -> Program {
    to_cbpf(graph).expect("a random expression is small")
}

/// The packet with the bytes that such packets have, and at least `end` of them.
fn made_plain(mut sample: Sample, end: usize) -> Sample {
    let length = sample.data.len().max(end).max(34);
    sample.data.resize(length, 0);
    sample.data[12..15].copy_from_slice(&[8, 0, 0x45]);
    sample.wire_len = sample.wire_len.max(length as u32);
    sample
}
