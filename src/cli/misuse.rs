//! A command line that was refused, in one sentence and at most one hint.

use std::error::Error;
use std::fmt;

use crate::clean;
use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Why the command line was refused. Its text goes to standard error; the exit status is 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misuse {
    /// One sentence, lower case.
    pub error: String,
    /// What to type instead, if there is a good guess.
    pub hint: Option<String>,
    program: String,
}

impl Misuse {
    /// Puts into our words what `error` says about a command line of `command`.
    pub(super) fn new(error: &clap::Error, command: &Command, program: &str) -> Misuse {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.as_str(),
            Some(ContextValue::Strings(texts)) => texts.first().map_or("", String::as_str),
            _ => "",
        };
        // clap writes `--name <VALUE>`; the name is enough.
        let given = &*clean::clean(text(ContextKind::InvalidArg).as_bytes());
        let flag = given.split([' ', '[', '=']).next().unwrap_or(given);
        let value = &*clean::clean(text(ContextKind::InvalidValue).as_bytes());
        let sentence = match error.kind() {
            ErrorKind::UnknownArgument if !given.starts_with('-') => format!("`{given}` is a word too many"),
            ErrorKind::UnknownArgument => format!("no flag is named `{given}`"),
            ErrorKind::ValueValidation => match error.source() {
                Some(reason) => format!("`{value}` is no value for {flag}: {reason}"),
                None => format!("`{value}` is no value for {flag}"),
            },
            ErrorKind::InvalidValue if value.is_empty() => format!("{flag} needs a value"),
            ErrorKind::InvalidValue => format!("`{value}` is no value for {flag}"),
            ErrorKind::InvalidUtf8 => "a word of the command line is not UTF-8".into(),
            other => format!("{other} {given}"),
        };
        let unknown = given.strip_prefix("--").filter(|_| error.kind() == ErrorKind::UnknownArgument);
        let flags = command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(|arg| arg.get_long());
        let hint = unknown.and_then(|typed| nearest(typed, flags)).map(|flag| format!("did you mean `--{flag}`?"));
        Misuse { error: sentence, hint, program: program.into() }
    }

    /// A subcommand that is followed by none of its tasks.
    pub(super) fn unknown_task(program: &str) -> Misuse {
        Misuse { error: "types can be exported, nothing else".into(), hint: None, program: program.into() }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.error)?;
        if let Some(hint) = &self.hint {
            writeln!(f, "hint: {hint}")?;
        }
        let words = match self.program.rsplit(' ').next() {
            Some("doctor") => "",
            Some("funcs") => " [REGEX]",
            Some("export") => " [NAME...]",
            _ => " [pcap-filter]",
        };
        writeln!(f, "usage: {0} [options]{words}; {0} --help lists the options", self.program)
    }
}

impl Error for Misuse {}

/// The candidate that `typed` most probably stands for; none if all need more than one edit per four letters.
fn nearest<'c>(typed: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let edits = candidates.map(|candidate| (edits(typed, candidate), candidate));
    edits.min_by_key(|(edits, _)| *edits).filter(|(edits, _)| *edits <= typed.len().div_ceil(4)).map(|(_, name)| name)
}

/// How many letters must be put in, taken out or replaced to make `b` of `a`.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, want) in [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(edits(a, b), want, "{a} {b}");
            assert_eq!(edits(b, a), want, "{b} {a}");
        }
    }

    #[test]
    fn far_names_are_no_hint() {
        let names = ["output-json", "output-tuple"];
        assert_eq!(nearest("output-jsom", names.into_iter()), Some("output-json"));
        assert_eq!(nearest("verbose", names.into_iter()), None);
    }
}
