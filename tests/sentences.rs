//! Everything that the program can say is said in some test: sentences are collected from the sources, as they stand
//! between quotes, and looked for in the tests.
//!
//! A sentence has three words or more. A test has it if it has any five of its words in a row, values left out; goldens
//! have them, and so have the unit tests beside the code.

#[path = "support/sources.rs"]
mod sources;

use sources::taken_apart;
use std::collections::{BTreeSet, HashSet};

/// Where the tests are, and what their files end with.
const TESTS: [(&str, &str); 7] = [
    ("tests", "rs"),
    ("tests", "txt"),
    ("filter-compiler/tests", "rs"),
    ("filter-compiler/tests", "txt"),
    ("vm-tests/cases", "rs"),
    ("vm-tests/cases", "txt"),
    ("packaging/man", "8"),
];

/// What no test has: file, words of it (none: all of the file), and why.
const UNHEARD: &[(&str, &str, &str)] = &[
    ("src/privilege/mod.rs", "", "the table of README, which tests/readme.rs compares"),
    ("src/attach/kprobe.rs", "copying a descriptor", "the limit of open files is raised before, and never so low"),
    ("src/host/survey.rs", "only code of x86_64 can be read", "said on arm64, where no test runs"),
    ("src/host/bpf_progs.rs", "BTF of a program", "a label that no message shows"),
    ("src/doctor/mod.rs", "no socket on the loopback device", "takes a process that may make no sockets"),
    ("src/progs.rs", "its BTF does not say what its argument is", "takes a program that no loader writes"),
    ("src/events/reader.rs", "the output takes no more lines", "takes an output that blocks for good and is no pipe"),
    ("src/events/mod.rs", "the reader thread died", "takes a panic, which is our mistake"),
    ("src/sys/process.rs", "the thread in the namespace died", "takes a panic, which is our mistake"),
    ("src/sys/mmap.rs", "bytes in the ring buffer", "takes a kernel that breaks its promise"),
    ("src/sys/privilege.rs", "has a filter of its own", "takes a thread that somebody else put under a filter"),
];

/// A sentence has so many words at least.
const SHORTEST: usize = 3;
/// So many words in a row are a quotation.
const QUOTED: usize = 5;

#[test]
fn every_sentence_is_in_a_test() {
    let mut heard = String::new();
    for (place, extension) in TESTS {
        for (name, text) in sources::under(place, extension) {
            // This file names those that are not; recorded hosts and code say nothing.
            let is_silent = ["tests/hosts", "filter-compiler/tests/accept"];
            if name != "tests/sentences.rs" && !is_silent.iter().any(|start| name.starts_with(start)) {
                heard += &text;
            }
        }
    }
    let mut said = Vec::new();
    for (name, text) in ["src", "filter-compiler/src"].into_iter().flat_map(|place| sources::under(place, "rs")) {
        let (code, tests) = text.split_once("#[cfg(test)]\nmod tests {").unwrap_or((&text, ""));
        match name.ends_with("/tests.rs") {
            true => heard += &text,
            false => {
                heard += tests;
                said.extend(sentences(code).into_iter().map(|sentence| (name.clone(), sentence)));
            }
        }
    }
    let heard = one_line(&heard).replace("\\n", " ");
    let heard = words(&heard);
    let runs: HashSet<&[&str]> = (SHORTEST..=QUOTED).flat_map(|length| heard.windows(length)).collect();
    let (mut missing, mut excused) = (Vec::new(), BTreeSet::new());
    for (file, sentence) in &said {
        let words = words(sentence);
        if words.windows(QUOTED.min(words.len())).any(|run| runs.contains(run)) {
            continue;
        }
        match UNHEARD.iter().position(|(name, words, _)| name == file && sentence.contains(words)) {
            Some(index) => drop(excused.insert(index)),
            None => missing.push(format!("{file}: {sentence}")),
        }
    }
    for (index, (file, words, _)) in UNHEARD.iter().enumerate() {
        if !excused.contains(&index) {
            missing.push(format!("{file}: `{words}` is an exception that nobody needs"));
        }
    }
    assert!(said.len() > 300, "only {} sentences are found", said.len());
    assert!(missing.is_empty(), "no test has these sentences:\n{}", missing.join("\n"));
}

/// What a user may read: of every text in `code` the longest part without values. Left out are messages of panics, and
/// what explains code to its readers.
fn sentences(code: &str) -> Vec<String> {
    let parts = taken_apart(code);
    let mut found = Vec::new();
    for (at, text) in &parts.texts {
        let before = parts.code[..*at].trim_end();
        let statement = before.rsplit([';', '{', '}']).next().unwrap_or_default();
        let is_ours =
            ["expect(", "unreachable!(", "panic!(", ".note(", "reason ="].iter().any(|end| before.ends_with(end));
        if is_ours || statement.contains("assert") {
            continue;
        }
        let parts = fixed_parts(&one_line(text));
        let longest = parts.iter().map(|part| part.trim()).max_by_key(|part| part.len()).unwrap_or_default();
        if longest.split(' ').count() >= SHORTEST && words(longest).len() >= SHORTEST {
            found.push(longest.to_owned());
        }
    }
    found
}

/// What is left of a text for `format!` without its values, and cut at line ends.
fn fixed_parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut is_value = false;
    for c in text.replace("\\n", "\n").replace("\\\"", "\"").chars() {
        match c {
            '{' | '\n' => {
                is_value = c == '{';
                parts.push(String::new());
            }
            '}' => is_value = false,
            _ if is_value => {}
            c => parts.last_mut().expect("there is one").push(c),
        }
    }
    parts
}

/// The words without what stands between them.
fn words(text: &str) -> Vec<&str> {
    let is_between = |c: char| !c.is_alphanumeric() && !"_'-".contains(c);
    text.split(is_between).map(|word| word.trim_matches(['-', '\''])).filter(|word| !word.is_empty()).collect()
}

/// The text without line ends, and without those that Rust takes out.
fn one_line(text: &str) -> String {
    text.replace("\\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn sentences_are_found() {
    let code = r#"
        // "not this comment"
        write!(f, "{a} is not {b} as it should be")?;
        let x = it.expect("a reason for us alone");
        assert!(x, "nor is this one");
        f.write_str("one that goes on \
                     behind the line")
        "two words"
    "#;
    assert_eq!(sentences(code), ["as it should be", "one that goes on behind the line"]);
}
