//! What README says of flags is true.

#[path = "support/sources.rs"]
mod sources;

#[path = "support/golden.rs"]
mod golden;

use std::collections::BTreeSet;
use std::path::Path;

use filter_compiler::names::Files;
use filter_compiler::{LinkType, compile};
use whither::cli::{self, Command};
use whither::plan::targets;
use whither::program::spare;
use whither::record::{APPENDED_BYTES, HEADER_BYTES, STACK_BYTES, map};
use whither::{arrivals, progs};

/// The flags of pwru, at v1.0.12 and its next release.
const PWRU: &[&str] = &[
    "all-kmods",
    "backend",
    "debug",
    "filter-func",
    "filter-ifname",
    "filter-kprobe-batch",
    "filter-mark",
    "filter-netns",
    "filter-non-skb-funcs",
    "filter-skb-expr",
    "filter-trace-tc",
    "filter-trace-xdp",
    "filter-track-bpf-helpers",
    "filter-track-skb",
    "filter-track-skb-by-stackid",
    "filter-tunnel-pcap-l2",
    "filter-tunnel-pcap-l3",
    "filter-xdp-expr",
    "help",
    "kernel-btf",
    "kmods",
    "netns-names-max-length",
    "output-bpfmap",
    "output-caller",
    "output-file",
    "output-file-compress",
    "output-file-max-age",
    "output-file-max-backups",
    "output-file-max-size",
    "output-json",
    "output-limit-lines",
    "output-meta",
    "output-netns-names",
    "output-skb",
    "output-skb-cb",
    "output-skb-metadata",
    "output-skb-shared-info",
    "output-stack",
    "output-tcp-flags",
    "output-tunnel",
    "output-tuple",
    "output-xdp-metadata",
    "ready-file",
    "set-percpu-buf",
    "timestamp",
    "version",
];

#[test]
fn the_table_has_every_flag_of_pwru_and_every_case_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("README.md is text");
    let section = readme.split("\n## ").find(|section| section.starts_with("pwru's flags")).expect("the section");
    let cases = std::fs::read_to_string(root.join("vm-tests/cases/mod.rs")).expect("the cases are listed");
    let mut told = BTreeSet::new();
    for row in section.lines().filter(|line| line.starts_with("| `--")) {
        let mut cells = row.split('|').skip(1);
        let flags = cells.next().expect("flags");
        told.extend(flags.split('`').filter_map(|word| word.strip_prefix("--")).map(str::to_owned));
        let proof = cells.next().expect("cases").split(';').next().unwrap_or_default();
        for case in proof.split(',').map(str::trim).filter(|case| *case != "not there yet") {
            assert!(cases.contains(&format!("    {case},\n")), "no case is named {case}: {row}");
        }
    }
    assert_eq!(PWRU.len(), 46);
    let wanted: BTreeSet<String> = PWRU.iter().map(|&flag| flag.to_owned()).collect();
    assert_eq!(told, wanted);
    let flags: BTreeSet<String> =
        cli::definition().get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect();
    assert!(wanted.is_subset(&flags), "{:?} cannot be typed", wanted.difference(&flags).collect::<Vec<_>>());
}

/// The table of pwru's mistakes names cases and tests, each of which is there.
#[test]
fn what_shows_a_mistake_of_pwru_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("README.md is text");
    let section =
        readme.split("\n## ").find(|section| section.starts_with("What pwru gets wrong")).expect("the section");
    let cases = std::fs::read_to_string(root.join("vm-tests/cases/mod.rs")).expect("the cases are listed");
    let sources: Vec<(String, String)> =
        ["src", "tests"].iter().flat_map(|place| sources::under(place, "rs")).collect();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 10, "the table is not found");
    for row in rows {
        let proof = row.trim_end_matches(" |").rsplit(" | ").next().expect("a row has cells");
        for name in proof.split(", ") {
            let test = format!("#[test]\nfn {name}(");
            let is_test =
                |(_, text): &(String, String)| text.contains(&test) || text.contains(&test.replace('\n', "\n    "));
            let is_there = cases.contains(&format!("    {name},\n")) || sources.iter().any(is_test);
            assert!(is_there, "no case and no test is named {name}: {row}");
        }
    }
}

/// README and the manual page tell the same exit codes, and no command ends with another one.
#[test]
fn every_exit_code_is_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("it is text");
    let readme = read("README.md");
    let (_, table) = readme.split_once("| exit status |").expect("README has the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let told: BTreeSet<u8> = rows.map(|row| row.split('|').nth(1).unwrap().trim().parse().expect("a code")).collect();
    let page = read("packaging/man/end.roff");
    let section = page.split(".SH ").find(|section| section.starts_with("EXIT STATUS")).expect("the section");
    let in_page: BTreeSet<u8> = section.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(told, in_page, "README and the manual page");
    let mut seen = BTreeSet::new();
    for (_, text) in ["tests", "vm-tests/cases"].iter().flat_map(|place| sources::under(place, "txt")) {
        let codes = text.lines().filter_map(|line| line.trim_matches(['-', ' ', '(', ')']).strip_prefix("exit "));
        seen.extend(codes.map(|code| code.parse::<u8>().expect("a code")));
    }
    assert!(seen.contains(&1) && seen.is_subset(&told), "{seen:?} are seen, {told:?} are told");
}

/// Every command line of README can be typed, and what it says of packets can be compiled.
#[test]
fn every_command_can_be_typed() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("text");
    let (mut seen, mut words) = (0, BTreeSet::new());
    for line in readme.lines() {
        let command = line.strip_prefix("$ ").unwrap_or(line);
        let command = command.strip_prefix("cargo run --release -- ").or_else(|| command.strip_prefix("whither "));
        // What follows is a remark, or what the shell does.
        let Some(command) = command.and_then(|text| text.split(" #").next()?.split(" < e").next()) else { continue };
        let typed = golden::split(command.trim());
        let typed = std::iter::once("whither".to_owned()).chain(typed);
        let parsed = cli::parse(typed.map(Into::into)).unwrap_or_else(|misuse| panic!("{line}: {misuse}"));
        let expression = match &parsed {
            Command::Trace(args) => &args.expression,
            Command::Filter(args) => &args.expression,
            _ => "",
        };
        if let Err(error) = compile(expression, LinkType::En10Mb, &Files::default()) {
            panic!("{line}: {}", error.render());
        }
        seen += 1;
        words.insert(command.split(' ').next().unwrap_or_default().to_owned());
    }
    assert!(seen > 25, "{seen} commands are found");
    assert!(["filter", "funcs", "doctor", "types"].iter().all(|&word| words.contains(word)), "{words:?}");
}

/// Numbers that README tells and the code has.
#[test]
fn numbers_are_those_of_the_code() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("text");
    let Ok(Command::Trace(args)) = cli::parse(["whither".into()]) else { panic!("the empty command traces") };
    let table = args.track_table_size;
    // IPv6 without extension headers; ports; a TCP header as far as its flags.
    let behind = |bytes: u32| HEADER_BYTES - 40 - bytes;
    for text in [
        format!("the first {HEADER_BYTES} bytes of a packet from its IP header on"),
        format!("all headers in the first {HEADER_BYTES} bytes of the packet are walked"),
        format!("behind more than {} bytes of IPv6 extension headers", behind(4)),
        format!("more than {} the TCP flags are missing", behind(14)),
        format!("user space then applies to the first {APPENDED_BYTES} bytes of each packet"),
        format!("all frames that the kernel unwinds ({})", STACK_BYTES / 8),
        format!("have a reserve of {} KiB of their own", spare::BYTES >> 10),
        format!("key and value, as far as {} bytes each", map::MOST),
        format!("`--track-table-size` packets ({},{:03})", table / 1000, table % 1000),
        format!("else {} main ones", targets::MAIN.len()),
    ] {
        // Lines are broken anywhere.
        assert!(readme.replace("\n  ", " ").replace('\n', " ").contains(&text), "README does not say: {text}");
    }
    assert_eq!(progs::INTERVAL.as_millis(), 1000 / 20, "twenty times a second");
    // Half a second until they are looked at, and as much to attach.
    assert!(arrivals::INTERVAL.as_millis() <= 500, "within a second of coming");
}

/// `BLESS=1 cargo test --test readme` writes the table.
#[test]
fn the_table_of_privileges_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).expect("README.md is text");
    let table = whither::privilege::table();
    let first = table.lines().next().expect("a table has a head");
    let start = readme.find(first).expect("README has the table");
    let length = readme[start..].find("\n\n").expect("something comes behind it") + 1;
    if std::env::var_os("BLESS").is_some() {
        let text = format!("{}{table}{}", &readme[..start], &readme[start + length..]);
        std::fs::write(&path, text).expect("README.md can be written");
    } else {
        assert_eq!(readme[start..start + length], table, "BLESS=1 cargo test --test readme writes it");
    }
}
