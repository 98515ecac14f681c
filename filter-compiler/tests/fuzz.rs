//! Any text: the compiler answers in time, without a panic, and what it accepts runs.
//!
//! `cargo test` spends three seconds. Longer, with other inputs:
//! ```text
//! WHITHER_FUZZ_SECONDS=600 WHITHER_FUZZ_SEED=2 cargo test --release -p filter-compiler --test fuzz -- --nocapture
//! ```
//! `fuzz/` holds targets for cargo-fuzz, which needs a nightly compiler.

mod support;

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use filter_compiler::cbpf::Runner;
use filter_compiler::{compile, lexer, names, parse, to_cbpf};
use support::judge;
use support::machine::{self, Interpreted};
use support::packets::{self, Link};
use support::rng::Rng;
use support::subject::link_type;
use support::texts::{self, LONGEST};

/// One compilation may take so long, in a test build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn any_text() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
    };
    let time = Duration::from_secs(number("WHITHER_FUZZ_SECONDS", 3));
    let seed = number("WHITHER_FUZZ_SEED", 1);
    let started = Instant::now();
    let (mut texts, mut compiled, mut slowest) = (0u64, 0u64, Duration::ZERO);
    while started.elapsed() < time {
        let mut rng = Rng::fork(seed, texts);
        let text = texts::random(&mut rng);
        let begin = Instant::now();
        let outcome = catch_unwind(|| examine(&text, rng));
        slowest = slowest.max(begin.elapsed());
        match outcome {
            Ok(accepted) => compiled += u64::from(accepted),
            Err(_) => panic!("seed {seed}, number {texts}, the text was {text:?}"),
        }
        texts += 1;
    }
    println!("{texts} texts, {compiled} compiled, slowest {slowest:?}, seed {seed}");
    assert!(compiled * 20 > texts, "too few texts compile to say anything about the later stages");
}

/// Shapes that hurt compilers: depth, length, sharing.
#[test]
fn extreme_shapes() {
    let list = |word: &str, between: &str, count: usize| vec![word; count].join(between);
    let numbers = |count: u32| (0..count).map(|n| (n * 7 % 65536).to_string()).collect::<Vec<_>>().join(" or ");
    let texts = [
        "(".repeat(100_000),
        format!("{}tcp{}", "(".repeat(5000), ")".repeat(5000)),
        "not ".repeat(100_000) + "tcp",
        "!".repeat(100_001) + "tcp",
        format!("{}1{} = 1", "(".repeat(3000), ")".repeat(3000)),
        format!("{}0 = 0", "- ".repeat(50_000)),
        format!("{} = 1", list("ip[0]", " + ", 2000)),
        format!("{}0{} = 1", "ip[".repeat(1000), "]".repeat(1000)),
        format!("{} = 1", list("len", " ^ ", 3000)),
        format!("port {}", numbers(3000)),
        format!("not port {}", numbers(500)),
        format!("port ({})", numbers(3000)),
        format!("port {}80{}", "(".repeat(5000), ")".repeat(5000)),
        list("tcp or udp", " and ", 2000),
        list("(tcp or port 80)", " and ", 1000),
        list("(ip[0] > 3 or port 80)", " and not ", 300),
        list("vlan", " and ", 500),
        list("vlan", " or ", 500),
        list("mpls", " and ", 500),
        list("geneve", " or ", 40),
        list("geneve", " and ", 4),
        list("geneve", " and ", 4) + " and port 80",
        list("geneve and vlan", " or ", 60),
        list("pppoes", " or ", 100),
        list("ip6 protochain 6", " or ", 50),
        "a".repeat(1_000_000),
        "1".repeat(1_000_000),
        ":".repeat(100_000),
        "1:".repeat(100_000),
        "\\".repeat(100_000),
        "host ".repeat(20_000),
        format!("host {}", list("10.0.0.1", " or ", 3000)),
    ];
    for text in texts {
        let begin = Instant::now();
        let outcome = catch_unwind(|| examine(&text, Rng::new(1)));
        let shown: String = text.chars().take(60).collect();
        assert!(outcome.is_ok(), "{shown}...");
        assert!(begin.elapsed() < PATIENCE * 3, "{shown}... took {:?}", begin.elapsed());
    }
}

/// Takes the text as far as it goes; whether it compiled for some link type.
fn examine(text: &str, mut rng: Rng) -> bool {
    let begin = Instant::now();
    let _ = format!("{:?}", lexer::lex(text));
    if let Ok(ast) = parse(text) {
        let _ = ast.to_string();
    }
    let mut compiled = false;
    for link in [Link::Ethernet, Link::Raw] {
        match compile(text, link_type(link), &names::Builtin) {
            Err(error) => {
                let rendered = error.render().to_string();
                let line = error.to_string();
                assert!(!line.contains('\n') && !line.chars().any(char::is_control), "{line:?}");
                assert!(line.chars().count() < 200 && rendered.len() < 4 * LONGEST, "{rendered}");
            }
            Ok(graph) => {
                compiled = true;
                assert!(begin.elapsed() < PATIENCE, "it took {:?}", begin.elapsed());
                let _ = graph.to_string();
                run(&graph, link, &mut rng);
            }
        }
    }
    compiled
}

/// The programs for the graph say the same about some packets.
fn run(graph: &filter_compiler::Graph, link: Link, rng: &mut Rng) {
    let Ok(cbpf) = to_cbpf(graph) else { return };
    cbpf.check(Runner::Userland).unwrap_or_else(|error| panic!("{error}\n{cbpf}"));
    assert_eq!(cbpf.decimal().to_string().parse().as_ref(), Ok(&cbpf));
    let _ = cbpf.to_string();
    let programs: Vec<_> = machine::ALL
        .iter()
        .filter_map(|&access| match Interpreted::new(graph, access) {
            Err(error) if error.contains("instructions of eBPF") => None,
            program => Some(program.unwrap_or_else(|error| panic!("{access:?}: {error}"))),
        })
        .collect();
    let pool = packets::constants(&cbpf);
    for _ in 0..6 {
        let base = packets::random(rng, link, &pool);
        let sample = packets::guided(rng, &cbpf, &base);
        let expected = judge::run(&cbpf, &sample);
        for program in &programs {
            let (accepted, _) = program.run(&sample, &[0x5a; 256]).expect("it runs");
            let bounded = expected.backward > judge::CHAIN_STEPS;
            assert!(bounded || accepted == expected.accepted(), "{sample:02x?}\n{graph}\n{cbpf}");
        }
    }
}
