//! One file per subject: accept/ holds filters with their graph, code and verdicts, reject/ holds mistakes with their
//! messages. `BLESS=1 cargo test -p filter-compiler --test golden` rewrites what follows from the filters.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use filter_compiler::cbpf::Packet;
use filter_compiler::names::{Files, Texts};
use filter_compiler::{LinkType, compile, to_cbpf};

/// The same names on every machine.
fn names() -> Files {
    Files::parse(&Texts {
        networks: Some("loopback 127.0.0.0\nlab 10.1.0.0\n"),
        ethers: Some("00:11:22:33:44:55 router\n"),
        hosts: Some("10.0.0.1 gate\n10.0.0.2 both\n2001:db8::2 both\n2001:db8::6 six\n"),
        ..Texts::default()
    })
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry of a folder").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

/// Compares a file with what it should be, or rewrites it; says whether they agree.
fn check(path: &Path, text: &str, wanted: &str) -> bool {
    if text == wanted {
        return true;
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, wanted).expect("a golden file can be written");
        return true;
    }
    println!("{} differs; BLESS=1 cargo test -p filter-compiler --test golden rewrites it", path.display());
    let (mut old, mut new) = (text.lines(), wanted.lines());
    loop {
        match (old.next(), new.next()) {
            (None, None) => return false,
            (old, new) if old == new => {}
            (old, new) => println!("- {}\n+ {}", old.unwrap_or_default(), new.unwrap_or_default()),
        }
    }
}

/// The link type that a file starts with, after its comments.
fn link(lines: &[&str], path: &Path) -> LinkType {
    match lines.iter().find_map(|line| line.strip_prefix("link ")).map(str::trim) {
        Some("ethernet") => LinkType::En10Mb,
        Some("raw") => LinkType::Raw,
        other => panic!("{}: link type {other:?}", path.display()),
    }
}

fn packets() -> BTreeMap<&'static str, Vec<u8>> {
    let lines = include_str!("packets.txt").lines().filter(|line| !line.starts_with('#'));
    let packets = lines.map(|line| {
        let (name, hex) = line.split_once(' ').unwrap_or_else(|| panic!("no bytes in {line:?}"));
        let hex = hex.trim();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap_or_else(|_| panic!("{name}: {hex}"));
        (name, (0..hex.len()).step_by(2).map(byte).collect())
    });
    packets.collect()
}

#[test]
fn accepted() {
    let (names, packets) = (names(), packets());
    let mut wrong = 0;
    for path in files("accept") {
        let text = std::fs::read_to_string(&path).expect("a golden file can be read");
        let lines: Vec<&str> = text.lines().collect();
        let link = link(&lines, &path);
        let filters: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("filter")).map(str::trim).collect();
        let head = text.split("--- graph").next().unwrap_or_default();
        let graphs = filters.iter().map(|filter| match compile(filter, link, &names) {
            Ok(graph) => graph,
            Err(error) => panic!("{}: {filter}: {error}", path.display()),
        });
        let mut graphs: Vec<_> = graphs.collect();
        let graph = graphs.remove(0);
        let program = to_cbpf(&graph).expect("a graph has code");
        for (other, filter) in graphs.iter().zip(&filters[1..]) {
            assert_eq!(other.to_string(), graph.to_string(), "{}: {filter}", path.display());
            assert_eq!(to_cbpf(other).expect("a graph has code"), program, "{}: {filter}", path.display());
        }
        let mut wanted = format!("{}\n--- graph\n{graph}--- cbpf\n{program}", head.trim_end());
        if !wanted.ends_with('\n') {
            wanted.push('\n');
        }
        wanted += "--- packets\n";
        for line in text.split("--- packets\n").nth(1).unwrap_or_default().lines() {
            let name = line.split_whitespace().next().unwrap_or_default();
            let bytes = packets.get(name).unwrap_or_else(|| panic!("{}: no packet {name}", path.display()));
            let bytes = if link == LinkType::Raw { &bytes[14..] } else { &bytes[..] };
            let verdict = if program.run(&Packet::whole(bytes)).accepted() { "accept" } else { "reject" };
            writeln!(wanted, "{name:18} {verdict}").expect("a string can be written");
        }
        wrong += usize::from(!check(&path, &text, &wanted));
    }
    assert_eq!(wrong, 0, "files differ");
}

#[test]
fn rejected() {
    let names = names();
    let mut wrong = 0;
    for path in files("reject") {
        let text = std::fs::read_to_string(&path).expect("a golden file can be read");
        let lines: Vec<&str> = text.lines().collect();
        let link = link(&lines, &path);
        let head: Vec<&str> = lines.iter().copied().take_while(|line| !line.starts_with("filter")).collect();
        let mut wanted = head.join("\n") + "\n";
        for filter in lines.iter().filter_map(|line| line.strip_prefix("filter ")) {
            // Escapes for what a line of a file cannot hold.
            let typed = filter.trim_start().replace("{tab}", "\t").replace("{nul}", "\0").replace("{nbsp}", "\u{a0}");
            let error = match compile(&typed, link, &names) {
                Ok(graph) => panic!("{}: {filter} was accepted:\n{graph}", path.display()),
                Err(error) => error,
            };
            let rendered = error.render();
            assert!(!error.to_string().contains('\n') && error.to_string().len() < 400, "{error}");
            assert!(!rendered.ends_with('\n'), "{rendered}");
            writeln!(wanted, "filter   {}\n{rendered}", filter.trim_start()).expect("a string can be written");
        }
        wrong += usize::from(!check(&path, &text, &wanted));
    }
    assert_eq!(wrong, 0, "files differ");
}
