//! What a user can get wrong: each file of `tests/errors/` holds command lines, what the command says on standard error
//! and how it ends. None of them gets as far as to need privilege, so none says more or less as root.
//!
//! A line that starts with `$` is a command line. Those before it that start with `<` make files for it, in the
//! directory in which it runs: a name and what is in it, `\xNN` for a byte, or `= PATH` for a copy of a file of `tests/`.
//! `BLESS=1 cargo test --test errors` rewrites the files.

#[path = "support/golden.rs"]
mod golden;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn every_mistake_gets_its_sentence() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    golden::check_texts("errors", "errors", |text| answers(&tests, text));
}

/// The same text with every answer replaced by the one that the command gives now.
fn answers(tests: &Path, text: &str) -> String {
    let mut out = String::new();
    let mut room = Room::new();
    for line in text.lines().filter(|line| line.starts_with(['#', '<', '$'])) {
        let _ = writeln!(out, "{line}");
        if let Some(file) = line.strip_prefix("< ") {
            let (name, text) = file.split_once(' ').unwrap_or((file, ""));
            let bytes = match text.strip_prefix("= ") {
                Some(path) => fs::read(tests.join(path)).expect("the file to copy is there"),
                None => golden::unescape(text),
            };
            fs::write(room.0.join(name), bytes).expect("a file");
        } else if let Some(command) = line.strip_prefix("$ whither") {
            out += &room.run(&golden::split(command));
            room = Room::new();
        }
    }
    out
}

/// The directory of one command.
struct Room(PathBuf);

impl Room {
    fn new() -> Room {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("whither-errors-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a directory");
        Room(path)
    }

    fn run(&self, args: &[String]) -> String {
        // One that is no mistake would trace.
        let mut command = Command::new("timeout");
        let command = command
            .args(["20", env!("CARGO_BIN_EXE_whither")])
            .args(args)
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let output = command.stderr(Stdio::piped()).spawn().and_then(|child| child.wait_with_output());
        let output = output.expect("the command is built");
        let mut out = String::new();
        if let Some(first) = String::from_utf8_lossy(&output.stdout).lines().next() {
            let _ = writeln!(out, "    (prints) {first}");
        }
        for line in String::from_utf8(output.stderr).expect("messages are UTF-8").lines() {
            let _ = writeln!(out, "    {line}");
        }
        let _ = writeln!(out, "    (exit {})\n", output.status.code().expect("it ends by itself"));
        out
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
