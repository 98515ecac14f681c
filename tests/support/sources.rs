//! The sources as text, for tests that read them.
#![allow(dead_code)] // no test needs all of it

use std::fs;
use std::path::{Path, PathBuf};

/// Path in the workspace and text of every file under a directory (or of the one file) with this extension.
pub fn under(place: &str, extension: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut left: Vec<PathBuf> = vec![root.join(place)];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).expect("a directory of the tree").map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|found| found == extension) {
            let name = path.strip_prefix(root).expect("it is below").to_str().expect("UTF-8").to_owned();
            files.push((name, fs::read_to_string(&path).expect("a source is text")));
        }
    }
    files.sort();
    files
}

/// Code without its comments and texts, and the texts.
pub struct Parts {
    /// Every text is `""` here.
    pub code: String,
    /// The texts as they were typed, each with where it stood in `code`.
    pub texts: Vec<(usize, String)>,
}

/// Takes Rust apart.
pub fn taken_apart(text: &str) -> Parts {
    let mut code = String::new();
    let mut texts = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = if rest.starts_with("//") {
            &rest[rest.find('\n').unwrap_or(rest.len())..]
        } else if rest.starts_with("/*") {
            rest.split_once("*/").map_or("", |(_, rest)| rest)
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            let (inside, behind) = raw.split_once("\"#").unwrap_or((raw, ""));
            texts.push((code.len(), inside.to_owned()));
            behind
        } else if c == '"' {
            let behind = behind(&rest[1..], '"');
            let inside = &rest[1..rest.len() - behind.len()];
            texts.push((code.len(), inside.strip_suffix('"').unwrap_or(inside).to_owned()));
            code.push_str("\"\"");
            behind
        } else if c == '\'' && is_char(rest) {
            code.push('0');
            behind(&rest[1..], '\'')
        } else {
            code.push(c);
            &rest[c.len_utf8()..]
        };
    }
    Parts { code, texts }
}

/// What follows the closing quote.
fn behind(text: &str, quote: char) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == quote && !escaped {
            return &text[at + 1..];
        }
        escaped = c == '\\' && !escaped;
    }
    ""
}

/// Whether the apostrophe starts a character, not a lifetime.
fn is_char(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}
