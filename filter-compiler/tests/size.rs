//! Programs are not longer than libpcap's. Needs `tcpdump`; without it there is nothing to compare with.

use std::process::Command;

use filter_compiler::names::System;
use filter_compiler::{LinkType, compile, to_cbpf};

/// The number of instructions that libpcap needs.
fn libpcap(text: &str, link: LinkType) -> Option<usize> {
    let link = if link == LinkType::Raw { "RAW" } else { "EN10MB" };
    let output = Command::new("tcpdump").args(["-ddd", "-y", link, text]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().next()?.parse().ok()
}

#[test]
fn programs_are_not_longer_than_those_of_libpcap() {
    if Command::new("tcpdump").arg("--version").output().is_err() {
        eprintln!("tcpdump is not installed: nothing to compare with");
        return;
    }
    let names = System::new();
    let corpus = include_str!("corpus.txt").lines().filter_map(|line| line.split('\t').nth(2));
    let typed = include_str!("size.txt").lines();
    for (what, list) in [("corpus", corpus.collect::<Vec<&str>>()), ("typed", typed.collect())] {
        compare(what, &list, &names);
    }
}

fn compare(what: &str, expressions: &[&str], names: &System) {
    let (mut logs, mut ratios) = (0.0, Vec::new());
    for text in expressions.iter().filter(|text| !text.starts_with('#')) {
        for link in [LinkType::En10Mb, LinkType::Raw] {
            let (Some(theirs), Ok(graph)) = (libpcap(text, link), compile(text, link, names)) else { continue };
            let ours = to_cbpf(&graph).expect("a graph has code").0.len();
            let ratio = ours as f64 / theirs as f64;
            logs += ratio.ln();
            ratios.push((ratio, format!("{ours} to {theirs}: {link:?} {text}")));
        }
    }
    ratios.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mean = (logs / ratios.len() as f64).exp();
    println!("{what}: {} programs, geometric mean {mean:.3}, longest:", ratios.len());
    for (ratio, what) in ratios.iter().take(25) {
        println!("  {ratio:.3} {what}");
    }
    assert!(ratios.len() > 100, "only {} programs", ratios.len());
    assert!(mean <= 1.0, "geometric mean {mean:.3}");
    assert!(ratios[0].0 <= 1.25, "{}", ratios[0].1);
}
