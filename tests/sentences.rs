//! Everything that the program can say is said in some test: sentences are collected from the sources, as they stand
//! between quotes, and looked for in the tests.
//!
//! A sentence has three words or more. A test has it if it has any five of its words in a row, values left out; goldens
//! have them, and so have the unit tests beside the code. What ends the program is in a test that has the exit code, too.

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

/// The tests that have exit codes.
const ENDINGS: [&str; 6] = [
    "tests/endings",
    "tests/errors",
    "tests/cli",
    "tests/plan",
    "tests/filter_command",
    "filter-compiler/tests/reject/",
];

/// What no test has: file, words of it (none: all of the file), and why.
const UNHEARD: &[(&str, &str, &str)] = &[
    ("src/privilege/mod.rs", "", "the table of README, which tests/readme.rs compares"),
    ("src/host/bpf_progs.rs", "BTF of a program", "a label that no message shows"),
    ("src/progs.rs", "its BTF does not say what its argument is", "takes a program that no loader writes"),
    ("src/events/mod.rs", "the reader thread died", "takes a panic, which is our mistake"),
    ("src/sys/process.rs", "the thread in the namespace died", "takes a panic, which is our mistake"),
    ("src/sys/mmap.rs", "bytes in the ring buffer", "takes a kernel that breaks its promise"),
    ("src/sys/privilege.rs", "has a filter of its own", "takes a thread that somebody else put under a filter"),
];

/// Errors that no test has with an exit code: the same, and what becomes of them.
const NO_ENDING: &[(&str, &str, &str)] = &[
    ("src/host/functions.rs", "is refused: lockdown or missing privilege", "a run goes on without the list"),
    (
        "src/host/survey.rs",
        "only code of x86_64 can be read",
        "said on arm64; output_bpfmap has it with the exit code there",
    ),
    ("filter-compiler/src/cbpf/insn.rs", "", "of the library alone: no command reads classic BPF"),
];

/// A sentence has so many words at least.
const SHORTEST: usize = 3;
/// So many words in a row are a quotation.
const QUOTED: usize = 5;

#[test]
fn every_sentence_is_in_a_test() {
    let (mut heard, mut ending) = (String::new(), String::new());
    for (place, extension) in TESTS {
        for (name, text) in sources::under(place, extension) {
            // This file names those that are not; recorded hosts and code say nothing.
            let is_silent = ["tests/hosts", "filter-compiler/tests/accept"];
            if name != "tests/sentences.rs" && !is_silent.iter().any(|start| name.starts_with(start)) {
                heard += &text;
            }
            if ENDINGS.iter().any(|start| name.starts_with(start)) {
                ending += &text;
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
    let (heard, ending) = (one_line(&heard).replace("\\n", " "), one_line(&ending));
    let (heard, ending) = (words(&heard), words(&ending));
    let (heard, ending) = (runs(&heard), runs(&ending));
    let (mut missing, mut excused) = (Vec::new(), BTreeSet::new());
    for (file, Sentence { text, is_error }) in &said {
        let words = words(text);
        let is_in = |runs: &HashSet<&[&str]>| words.windows(QUOTED.min(words.len())).any(|run| runs.contains(run));
        let (exceptions, what) = match is_error {
            _ if !is_in(&heard) => (UNHEARD, "in no test"),
            true if !is_in(&ending) => (NO_ENDING, "in no test with its exit code"),
            _ => continue,
        };
        match exceptions.iter().find(|(name, words, _)| name == file && text.contains(words)) {
            Some(exception) => drop(excused.insert(exception)),
            None => missing.push(format!("{file}: {text}: {what}")),
        }
    }
    for exception @ (file, words, _) in UNHEARD.iter().chain(NO_ENDING) {
        if !excused.contains(exception) {
            missing.push(format!("{file}: `{words}` is an exception that nobody needs"));
        }
    }
    let errors = said.iter().filter(|(_, sentence)| sentence.is_error).count();
    assert!(said.len() > 300 && errors > 100, "only {} sentences are found, {errors} of errors", said.len());
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// What a user may read.
#[derive(Debug, PartialEq, Eq)]
struct Sentence {
    /// The longest part without values.
    text: String,
    /// Whether an error says it.
    is_error: bool,
}

/// What a user may read: all texts in `code` but messages of panics, and what explains code to its readers.
fn sentences(code: &str) -> Vec<Sentence> {
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
        let fixed = fixed_parts(&one_line(text));
        let longest = fixed.iter().map(|part| part.trim()).max_by_key(|part| part.len()).unwrap_or_default();
        if longest.split(' ').count() >= SHORTEST && words(longest).len() >= SHORTEST {
            found.push(Sentence { text: longest.to_owned(), is_error: is_of_error(before) });
        }
    }
    found
}

/// Whether what stands behind this code is said by an error: as its `Display`, or because it is made with it.
fn is_of_error(before: &str) -> bool {
    let item = before.rsplit("\nimpl").next().unwrap_or_default();
    let shown = item.split(" {\n").next().and_then(|head| head.split("Display for ").nth(1));
    let is_shown = shown.is_some_and(|name| ["Error", "ErrorKind", "BadValue"].iter().any(|end| name.ends_with(end)));
    let made = before.rsplit_once("Error::").map_or("", |(_, made)| made);
    is_shown || made.starts_with(char::is_uppercase) && !made.contains([')', ';', '}'])
}

/// All that may be quoted of these words.
fn runs<'w>(words: &'w [&'w str]) -> HashSet<&'w [&'w str]> {
    (SHORTEST..=QUOTED).flat_map(|length| words.windows(length)).collect()
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
        "two words"
impl fmt::Display for SomeError {
    f.write_str("one that goes on \
                 behind the line")
}

impl Other {
    "this is of another item"
    f(SomeError::Variant { why: "because it is like that" })
"#;
    let sentence = |text: &str, is_error| Sentence { text: text.into(), is_error };
    let want = [
        sentence("as it should be", false),
        sentence("one that goes on behind the line", true),
        sentence("this is of another item", false),
        sentence("because it is like that", true),
    ];
    assert_eq!(sentences(code), want);
}
