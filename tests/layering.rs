//! Which module may know which, read from the sources. The table is that of the tree's description: what decides does
//! no I/O, what does I/O decides nothing, and nobody reaches behind the stage before.

#[path = "support/sources.rs"]
mod files;

use files::taken_apart;
use std::collections::BTreeSet;

/// What a module may use: other modules of the crate, the workspace's crates, and crates from elsewhere.
///
/// `*` is everything.
const ALLOWED: &[(&str, &str)] = &[
    ("sys", "libc nix memmap2"),
    ("clean", ""),
    ("cli", "clean clap"),
    ("btf", ""),
    ("record", ""),
    ("decode", "record"),
    ("host", "clean cli btf asm sys regex_lite flate2 xz4rust ruzstd"),
    ("expr", "btf asm"),
    ("plan", "cli host btf expr record filter_compiler"),
    ("program", "plan record btf expr asm filter_compiler"),
    ("load", "program asm sys"),
    ("attach", "plan load sys"),
    ("events", "load sys privilege crossbeam_channel"),
    ("names", "clean host sys privilege"),
    ("output", "clean plan decode names btf flate2"),
    // The frame around the stages.
    ("privilege", "cli host plan sys filter_compiler libc"),
    ("shrink", "plan program load error sys"),
    ("filter_command", "clean cli asm filter_compiler"),
    ("doctor", "*"),
    ("types_command", "clean cli btf host sys"),
    ("error", "clean cli host plan program load attach decode filter_command types_command filter_compiler libc"),
    ("late", "plan record filter_compiler"),
    ("say", "host plan load attach output shrink error"),
    ("status", "cli load sys"),
    ("progs", "host plan program load attach names say error"),
    ("arrivals", "cli host plan program load attach names output say error sys crossbeam_channel"),
    ("funcs_command", "cli host btf plan program load attach error sys"),
    ("run", "*"),
    ("main", "*"),
    ("lib", ""),
];

/// Edges that the table does not have, each with its reason. One that the code has no more must go.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("program", "sys", "blueprints name kinds of programs and maps; nothing is called"),
    ("attach", "program", "the cookie of a link is what the program takes apart"),
    ("attach", "record", "without cookies in the record a probe needs no link"),
    ("attach", "libc", "error numbers"),
    ("load", "libc", "error numbers"),
    ("events", "libc", "error numbers"),
    ("events", "plan", "the transport: ring buffer or perf buffers"),
    ("events", "program", "the numbers of the maps"),
    ("names", "decode", "a function's name is asked for by what a record says of it"),
    ("names", "nix", "netlink, which tells the names of interfaces"),
    ("output", "cli", "columns and files are what the flags say"),
    ("output", "record", "the values of expressions are printed from the record's bytes"),
    ("output", "sys", "the difference between the clocks, standard output, and the request to stop"),
    ("say", "sys", "what programs cost, as the kernel counts it"),
];

/// Modules and crates that are functions of their arguments.
const PURE: &[&str] = &[
    "src/cli",
    "src/plan",
    "src/btf",
    "src/expr",
    "src/record.rs",
    "src/program",
    "src/decode.rs",
    "src/late.rs",
    "asm/src",
    "filter-compiler/src",
];

/// What such a module must not name.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::process",
    "std::env::args",
    "std::env::args_os",
    "std::env::var",
    "std::env::var_os",
    "std::thread",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::os",
    "std::time::Instant",
    "std::time::SystemTime",
    "filter_compiler::names::System",
];

/// Files that may, with the reason.
const IMPURE_FILES: &[(&str, &str)] = &[
    ("filter-compiler/src/names/system.rs", "the look-up of names on this machine; compile() takes any `Names`"),
    ("filter-compiler/src/names/dns/mod.rs", "the part of that look-up that asks name servers"),
    ("filter-compiler/src/names/dns/tests.rs", "its tests have name servers of their own"),
    ("src/plan/make.rs", "an expression may name hosts and ports, which are looked up while it is compiled"),
];

#[test]
fn modules_know_only_what_they_may() {
    let mut wrong = Vec::new();
    let mut used: BTreeSet<&(&str, &str, &str)> = BTreeSet::new();
    for file in sources("src") {
        let module = file.module();
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: the table has no row for `{module}`", file.name));
            continue;
        };
        for target in file.targets() {
            let exception = EXCEPTIONS.iter().find(|(from, to, _)| *from == module && *to == target);
            used.extend(exception);
            let is_allowed = *allowed == "*" || allowed.split(' ').any(|word| word == target);
            if target != module && !is_allowed && exception.is_none() {
                wrong.push(format!("{}: `{module}` must not use `{target}`", file.name));
            }
        }
    }
    for exception in EXCEPTIONS {
        if !used.contains(exception) {
            wrong.push(format!("{} -> {} is an exception that nobody needs", exception.0, exception.1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_back_end_of_the_filter_compiler_knows_the_assembler() {
    for file in sources("filter-compiler/src") {
        let knows = file.paths().iter().any(|path| path == "asm" || path.starts_with("asm::"));
        assert!(!knows || file.name.contains("/ebpf"), "{} uses asm", file.name);
    }
    for file in sources("asm/src") {
        let foreign = file.paths().into_iter().find(|path| path.starts_with("filter_compiler"));
        assert_eq!(foreign, None, "{}", file.name);
    }
}

#[test]
fn unsafe_code_is_in_sys() {
    for file in ["src", "asm/src", "filter-compiler/src"].into_iter().flat_map(sources) {
        let is_unsafe = words(&file.code).any(|word| word == "unsafe");
        assert!(!is_unsafe || file.name.starts_with("src/sys/"), "{} has unsafe code", file.name);
    }
}

/// `std::thread::spawn` and a scope's `spawn` panic where the host gives no more threads; a `Builder` says so.
#[test]
fn threads_are_asked_for() {
    for file in sources("src") {
        let demands = ["thread::spawn(", "scope.spawn("].into_iter().find(|call| file.code.contains(call));
        assert_eq!(demands, None, "{}", file.name);
    }
}

/// `eprintln!` and its like panic where nothing can be written; `writeln!` says so.
#[test]
fn printing_does_not_panic() {
    for file in ["src", "filter-compiler/src", "asm/src"].into_iter().flat_map(sources) {
        let found = words(&file.code).find(|word| ["print", "println", "eprint", "eprintln"].contains(word));
        let found = found.filter(|word| file.code.contains(&format!("{word}!")));
        assert_eq!(found, None, "{}", file.name);
    }
}

#[test]
fn what_decides_does_no_io() {
    let mut excused = BTreeSet::new();
    for file in PURE.iter().copied().flat_map(sources) {
        let found = file.paths().into_iter().find(|path| {
            // A macro that prints, or a path that starts with one of the list.
            IMPURE.iter().any(|bad| path.strip_prefix(bad).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')))
        });
        let prints = ["print!", "println!", "eprint!", "eprintln!"].into_iter().find(|name| {
            let called = |at: usize| !file.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            file.code.match_indices(name).any(|(at, _)| called(at))
        });
        let Some(found) = found.or(prints.map(str::to_owned)) else { continue };
        match IMPURE_FILES.iter().find(|(name, _)| *name == file.name) {
            Some((name, _)) => excused.insert(*name),
            None => panic!("{} uses {found}", file.name),
        };
    }
    assert_eq!(excused.len(), IMPURE_FILES.len(), "an exception that nobody needs");
}

#[test]
fn paths_are_found() {
    let file = Source {
        name: "src/plan/make.rs".into(),
        code: strip(
            "use crate::{a, b::{self, C}, d::*};\n// crate::comment\npub use super::super::e;\nuse super::f;\n\
             fn g() -> std::fs::File { crate::h::i(\"crate::text\", 'x', '\\'', b'\"') } /* crate::j */\n\
             #[cfg(test)]\nmod tests { use crate::k; }",
        ),
    };
    let paths = file.paths();
    for path in
        ["crate::a", "crate::b", "crate::b::C", "crate::d::*", "super::super::e", "std::fs::File", "crate::h::i"]
    {
        assert!(paths.contains(path), "{path} of {paths:?}");
    }
    assert_eq!(file.targets().into_iter().collect::<Vec<_>>(), ["a", "b", "d", "e", "h"]);
}

/// A source file without comments, texts and unit tests.
struct Source {
    /// Its path in the workspace.
    name: String,
    code: String,
}

/// The sources under a directory, or the one file.
fn sources(under: &str) -> Vec<Source> {
    let strip = |(name, text): (String, String)| Source { name, code: strip(&text) };
    files::under(under, "rs").into_iter().map(strip).collect()
}

/// The code without comments and texts, up to its unit tests.
fn strip(text: &str) -> String {
    taken_apart(text.split("#[cfg(test)]\nmod ").next().unwrap_or_default()).code
}

impl Source {
    /// The path of modules from the crate's root: `["plan", "make"]` for `src/plan/make.rs`.
    fn place(&self) -> Vec<&str> {
        let path = self.name.split_once("src/").map_or(self.name.as_str(), |(_, path)| path);
        let mut place: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
        if place.len() > 1 && place.last() == Some(&"mod") {
            place.pop();
        }
        place
    }

    /// The module of the crate's root that the file belongs to.
    fn module(&self) -> &str {
        self.place()[0]
    }

    /// All paths in the code, those of `use` groups spelled out.
    fn paths(&self) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        let mut rest = self.code.as_str();
        while let Some(at) = rest.find(|c: char| c.is_alphabetic() || c == '_') {
            rest = &rest[at..];
            rest = path("", rest, &mut paths);
        }
        paths
    }

    /// The modules and crates that the paths lead to.
    fn targets(&self) -> BTreeSet<String> {
        let place = self.place();
        let crates =
            ["asm", "filter_compiler", "libc", "nix", "clap", "memmap2", "crossbeam_channel", "regex_lite", "flate2"];
        let target = |path: String| {
            let mut parts = path.split("::").peekable();
            let mut depth = place.len();
            while parts.next_if_eq(&"super").is_some() {
                depth = depth.saturating_sub(1);
            }
            match parts.next()? {
                "crate" | "whither" => parts.next().map(str::to_owned),
                first if path.starts_with("super") && depth == 0 => Some(first.to_owned()),
                first if crates.contains(&first) && path.contains("::") => Some(first.to_owned()),
                _ => None,
            }
        };
        // `crate::Thing` would be something that lib.rs exports: it is no module.
        self.paths().into_iter().filter_map(target).filter(|name| name.starts_with(char::is_lowercase)).collect()
    }
}

/// Reads the path at the start of `text`, adds it and what its group holds to `paths`, returns what follows.
fn path<'t>(prefix: &str, text: &'t str, paths: &mut BTreeSet<String>) -> &'t str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, mut rest) = text.split_at(end);
    let whole = match (prefix, word) {
        ("", word) => word.to_owned(),
        (prefix, "self") => prefix.to_owned(),
        (prefix, word) => format!("{prefix}::{word}"),
    };
    let Some(after) = rest.strip_prefix("::") else {
        paths.insert(whole);
        return rest;
    };
    rest = after;
    if let Some(group) = rest.strip_prefix('{') {
        rest = group.trim_start();
        while !rest.is_empty() && !rest.starts_with('}') {
            rest = match rest.strip_prefix('*') {
                Some(after) => {
                    paths.insert(format!("{whole}::*"));
                    after
                }
                None => path(&whole, rest, paths),
            };
            rest = rest.trim_start_matches([' ', '\n', ',']);
        }
        return rest.strip_prefix('}').unwrap_or(rest);
    }
    match rest.strip_prefix('*') {
        Some(after) => {
            paths.insert(format!("{whole}::*"));
            after
        }
        None if rest.starts_with(|c: char| c.is_alphabetic() || c == '_') => path(&whole, rest, paths),
        None => {
            paths.insert(whole);
            rest
        }
    }
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}
