//! Build script: the commit that is built, for `--version`. It reads what git has in `.git`, so it needs no git.
//!
//! `WHITHER_COMMIT` in the environment goes before; a tree that is no clone has no commit.

use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=packaging/commit.rs");
    println!("cargo::rerun-if-env-changed=WHITHER_COMMIT");
    let told = std::env::var("WHITHER_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = told.or_else(|| Some(head()?.get(..12)?.to_owned()));
    if let Some(commit) = commit {
        println!("cargo::rustc-env=WHITHER_COMMIT={commit}");
    }
}

/// What HEAD is: the name of a commit, in hexadecimal (gitrepository-layout(5)).
fn head() -> Option<String> {
    let mut directory = PathBuf::from(".git");
    // In a worktree it is a file that says where the directory is.
    if let Some(elsewhere) = read(&directory).as_deref().and_then(|text| text.strip_prefix("gitdir: ")) {
        directory = elsewhere.into();
    }
    // Every commit adds a line to it, also where the branch has no file of its own yet.
    read(&directory.join("logs/HEAD"));
    let head = read(&directory.join("HEAD"))?;
    let Some(branch) = head.strip_prefix("ref: ") else { return Some(head) };
    let common = read(&directory.join("commondir")).map_or(directory.clone(), |common| directory.join(common));
    read(&common.join(branch)).or_else(|| {
        let packed = read(&common.join("packed-refs"))?;
        packed.lines().find_map(|line| Some(line.strip_suffix(branch)?.trim_end().to_owned()))
    })
}

/// The text of a file that, when it changes, is to be read again.
fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text.trim_end().to_owned())
}
