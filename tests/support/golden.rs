//! Files that are tests: what stands above the first line that starts with `---` is the question, the rest the answer.
#![allow(dead_code)] // no test needs all of it

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Compares every file `tests/DIRECTORY/*.txt` with what `answer` makes of its question; `BLESS=1` rewrites them.
pub fn check(directory: &str, test: &str, answer: impl Fn(&Case) -> String) {
    check_texts(directory, test, |text| {
        let case = Case::parse(text);
        format!("{}{}", case.question, answer(&case))
    });
}

/// The same where a file holds several questions, each above its answer: `answers` gives the whole text again.
pub fn check_texts(directory: &str, test: &str, answers: impl Fn(&str) -> String) {
    let mut wrong = String::new();
    let files = files(directory);
    assert!(!files.is_empty(), "tests/{directory} is empty");
    for path in files {
        let text = fs::read_to_string(&path).expect("a golden is text");
        let now = answers(&text);
        if now == text {
            continue;
        }
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &now).expect("goldens can be written");
        } else {
            let _ = writeln!(wrong, "{}:\n{}", path.display(), difference(&text, &now));
        }
    }
    assert!(wrong.is_empty(), "{wrong}\nBLESS=1 cargo test --test {test} rewrites the files");
}

fn files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(directory);
    let mut files: Vec<PathBuf> =
        fs::read_dir(&directory).expect("the goldens are there").map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    files
}

/// One file.
pub struct Case {
    /// What stands above the answer, comments included.
    pub question: String,
    lines: Vec<(String, String)>,
}

impl Case {
    fn parse(text: &str) -> Case {
        let question: String =
            text.lines().take_while(|line| !line.starts_with("---")).map(|line| format!("{line}\n")).collect();
        let lines = question
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (key, value) = line.split_once(' ').unwrap_or((line, ""));
                (!key.is_empty()).then(|| (key.to_owned(), value.trim().to_owned()))
            })
            .collect();
        Case { question, lines }
    }

    /// The values of all lines that start with `key`.
    pub fn all<'c>(&'c self, key: &'c str) -> impl Iterator<Item = &'c str> {
        self.lines.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The value of the first line that starts with `key`, empty if there is none.
    pub fn get<'c>(&'c self, key: &'c str) -> &'c str {
        self.all(key).next().unwrap_or_default()
    }

    /// The values of `key`, word by word.
    pub fn words<'c>(&'c self, key: &'c str) -> impl Iterator<Item = &'c str> {
        self.all(key).flat_map(str::split_whitespace)
    }
}

/// The lines around the first that differ.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let first = old.iter().zip(&new).position(|(old, new)| old != new).unwrap_or(old.len().min(new.len()));
    let mut out = String::new();
    for line in &old[first.saturating_sub(3)..first] {
        let _ = writeln!(out, "  {line}");
    }
    for (mark, lines) in [('-', &old), ('+', &new)] {
        for line in lines.iter().skip(first).take(6) {
            let _ = writeln!(out, "{mark} {line}");
        }
    }
    out
}

/// Splits a command as a shell does: spaces, single and double quotes.
pub fn split(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (None, ' ') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), _) if c == open => quote = None,
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// `text` with `\xNN` for a byte.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        out.extend(before.bytes());
        out.push(u8::from_str_radix(&after[..2], 16).expect("two hexadecimal digits"));
        rest = &after[2..];
    }
    out.extend(rest.bytes());
    out
}
