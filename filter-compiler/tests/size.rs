//! Programs are not longer than libpcap's, and compiling is bounded.
//! ```text
//! WHITHER_SIZES=100000 cargo test --release -p filter-compiler --test size -- --nocapture
//! ```

mod support;

use filter_compiler::names::System;
use filter_compiler::{Limit, LinkType, compile, to_cbpf};
use support::exprs;
use support::libpcap::Libpcap;
use support::packets::Link;
use support::rng::Rng;
use support::subject::link_type;

struct Sizes {
    libpcap: Libpcap,
    names: System,
    logs: f64,
    /// Our size over theirs, and which.
    ratios: Vec<(f64, String)>,
}

impl Sizes {
    /// `None` if the tests were asked to do without libpcap.
    fn new() -> Option<Sizes> {
        Some(Sizes { libpcap: Libpcap::for_tests()?, names: System::new(), logs: 0.0, ratios: Vec::new() })
    }

    fn compare(&mut self, text: &str, link: Link) {
        let (Ok(theirs), Ok(graph)) = (self.libpcap.compile(text, link), compile(text, link_type(link), &self.names))
        else {
            return;
        };
        let (ours, theirs) = (to_cbpf(&graph).expect("a graph has code").0.len(), theirs.0.len());
        let ratio = ours as f64 / theirs as f64;
        self.logs += ratio.ln();
        self.ratios.push((ratio, format!("{ours} to {theirs}: {link:?} {text}")));
    }

    /// The geometric mean may be `mean`, the worst ratio `worst`.
    fn check(mut self, what: &str, mean_limit: f64, worst: f64) {
        self.ratios.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mean = (self.logs / self.ratios.len() as f64).exp();
        println!("{what}: {} programs, geometric mean {mean:.3}, longest:", self.ratios.len());
        for (ratio, what) in self.ratios.iter().take(12) {
            println!("  {ratio:.3} {what}");
        }
        assert!(self.ratios.len() > 100, "only {} programs", self.ratios.len());
        assert!(mean <= mean_limit, "geometric mean {mean:.3}");
        assert!(self.ratios[0].0 <= worst, "{}", self.ratios[0].1);
    }
}

#[test]
fn corpus() {
    let Some(mut sizes) = Sizes::new() else { return };
    for (links, text) in support::corpus() {
        for &link in links {
            sizes.compare(text, link);
        }
    }
    sizes.check("corpus", 1.0, 1.25);
}

#[test]
fn typed_by_people() {
    let Some(mut sizes) = Sizes::new() else { return };
    for text in include_str!("size.txt").lines().filter(|line| !line.starts_with('#')) {
        for link in [Link::Ethernet, Link::Raw] {
            sizes.compare(text, link);
        }
    }
    sizes.check("typed by people", 1.0, 1.25);
}

/// What nobody types. Here libpcap's order of tests is better now and then, and it drops divisions by what may be zero
/// where their result does not matter: single programs may be longer, all together must not.
#[test]
fn random_expressions() {
    let Some(mut sizes) = Sizes::new() else { return };
    let count = std::env::var("WHITHER_SIZES").map_or(1500, |text| text.parse().expect("WHITHER_SIZES is a number"));
    for index in 0..count {
        let mut rng = Rng::fork(5, index);
        let link = if rng.chance(65) { Link::Ethernet } else { Link::Raw };
        sizes.compare(&exprs::random(&mut rng, link).text(), link);
    }
    sizes.check("random", 1.0, f64::INFINITY);
}

/// Expressions that are as hard as their length allows end soon, with a program or with the name of a limit.
#[test]
fn hard_expressions_end() {
    let list = |count: usize, item: &dyn Fn(usize) -> String, joint: &str| {
        // Unoptimised code is slower than any limit is meant for.
        let count = if cfg!(debug_assertions) && count > 1000 { count / 8 } else { count };
        (0..count).map(item).collect::<Vec<String>>().join(joint)
    };
    let address = |n: usize| format!("{}.{}.{}.{}", 10 + n % 7, n >> 16 & 255, n >> 8 & 255, n & 255);
    let hard = [
        "(".repeat(60_000),
        "(".repeat(Limit::Nesting.max() - 1) + "ip" + &")".repeat(Limit::Nesting.max() - 1),
        "not ".repeat(16_000) + "ip",
        "-".repeat(60_000) + "1 = 1",
        format!("len = {}", "(".repeat(60_000)),
        format!("{}len{} = 1", "ip[".repeat(300), "]".repeat(300)),
        format!("len = {}", list(400, &|n| format!("ip[{n}]"), " + ")),
        format!("len = {}", list(5000, &|n| n.to_string(), " + ")),
        format!("len = {}", list(12, &|n| format!("(ip[{n}] * tcp[{n}]"), " / ") + &")".repeat(12)),
        format!("host {}", list(4000, &address, " or ")),
        format!("src host {}", list(4000, &address, " or not ")),
        format!("not host {}", list(2000, &address, " and not ")),
        format!("port {}", list(6000, &|n| (n * 7 % 65536).to_string(), " or ")),
        format!("port {}", list(3000, &|n| (n * 7 % 65536).to_string(), " and not ")),
        format!("portrange {}", list(4000, &|n| format!("{}-{}", n * 9, n * 9 + 5), " or ")),
        list(3000, &|n| format!("ether[{n}] = {}", n & 255), " or "),
        list(3000, &|n| format!("ether[{n}] = {}", n & 255), " and "),
        list(1500, &|n| format!("(ether[{n}] = 1 and ether[{}] = 2)", n / 2), " or "),
        list(1200, &|n| format!("(src port {n} or dst port {})", n + 1), " and "),
        list(2000, &|n| format!("ip[{n}] & {} != 0 and not tcp[{n}] = 3", n + 1), " or "),
        list(4, &|_| "geneve".to_string(), " and ") + " and host 10.0.0.1 and port 80",
        list(4, &|_| "geneve".to_string(), " or ") + " or " + &list(100, &|n| format!("port {n}"), " or "),
        list(3000, &|_| "vlan".to_string(), " and ") + " and ip",
        list(3000, &|_| "mpls".to_string(), " and ") + " and ip",
        format!("{} > 1", list(200, &|n| format!("(ip[{n}] & 15)"), " * ")),
        list(100, &|n| format!("ip[{n}] / ip[{}] = {n}", n + 1), " or "),
        "x".repeat(70_000),
    ];
    for text in hard {
        for link in [LinkType::En10Mb, LinkType::Raw] {
            let started = std::time::Instant::now();
            let outcome = compile(&text, link, &filter_compiler::names::Builtin).map(|graph| {
                let program = to_cbpf(&graph).expect("a graph has code");
                let shown = graph.to_string();
                assert!(!shown.is_empty());
                program.0.len()
            });
            let shown: String = text.chars().take(60).collect();
            let outcome = outcome.map_err(|error| error.render().lines().next().unwrap_or_default().to_string());
            println!("{:6.0} ms {outcome:?} {shown}", started.elapsed().as_secs_f64() * 1e3);
            assert!(started.elapsed().as_secs() < 20, "{shown}");
        }
    }
}

/// What is refused for its size alone.
#[test]
fn limits_are_told() {
    let check = |text: String, sentence: &str| {
        let error = compile(&text, LinkType::En10Mb, &filter_compiler::names::Builtin).unwrap_err();
        assert_eq!(error.to_string(), sentence);
    };
    check(format!("{}ip{}", "(".repeat(201), ")".repeat(201)), "parentheses are nested more than 200 deep");
    check(format!("len = {}1", "1 + ".repeat(501)), "one arithmetic expression has more than 500 operators");
    check("ip ".repeat(30_000), "the filter is longer than 65536 bytes");
    check("geneve and ".repeat(5) + "ip", "more than 4 tunnels inside one another");
    let ports: Vec<String> = (1..7000).map(|n| format!("{n}")).collect();
    check(format!("geneve and port ({})", ports.join(" or ")), "the filter needs more than 65536 tests");
}
