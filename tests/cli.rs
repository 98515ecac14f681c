//! The command line: each file of `tests/cli/` holds command lines and what they mean.
//!
//! A case is a line that starts with `$`, split as a shell would split it, and what follows it: the flags and values
//! that differ from those of an empty command line, or the text that the user sees. `BLESS=1 cargo test --test cli`
//! rewrites the files.

#[path = "support/golden.rs"]
mod golden;

use std::fmt::Write;

use whither::cli::{self, Command};
use whither::error::Error;

#[test]
fn every_command_line_means_what_its_file_says() {
    golden::check_texts("cli", "cli", run_file);
}

/// The same text with every answer replaced by the one that the code gives now.
fn run_file(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines().filter(|line| line.starts_with(['#', '$'])) {
        let _ = writeln!(out, "{line}");
        if let Some(command) = line.strip_prefix("$ ") {
            let _ = writeln!(out, "{}", answer(command));
        }
    }
    out
}

fn answer(command: &str) -> String {
    let mut out = String::new();
    match cli::parse(golden::split(command).into_iter().map(Into::into)) {
        Ok(Command::Trace(args)) => {
            let Ok(Command::Trace(plain)) = cli::parse(["whither".into()]) else { panic!("the empty command traces") };
            for (now, default) in fields(&format!("{args:?}")).iter().zip(fields(&format!("{plain:?}"))) {
                if *now != default && !now.starts_with("words") {
                    let _ = writeln!(out, "    {now}");
                }
            }
        }
        Ok(Command::Funcs(args)) => {
            let _ = writeln!(out, "    functions: {:?}", args.filter_func);
            let _ = writeln!(out, "    modules: {:?}, all: {}", args.kmods, args.all_kmods);
            let _ = writeln!(out, "    backend: {:?}, types: {:?}", args.backend, args.kernel_btf);
        }
        Ok(Command::Filter(args)) => {
            for field in fields(&format!("{args:?}")) {
                let _ = writeln!(out, "    {field}");
            }
        }
        Ok(Command::Doctor(args)) => {
            for field in fields(&format!("{args:?}")) {
                let _ = writeln!(out, "    {field}");
            }
        }
        Ok(Command::Types(args)) => {
            for field in fields(&format!("{args:?}")) {
                let _ = writeln!(out, "    {field}");
            }
        }
        Ok(Command::Help(text)) => {
            for line in text.lines() {
                let _ = writeln!(out, "    help: {line}");
            }
        }
        Ok(Command::Version(line)) => {
            // What follows in parentheses depends on the build.
            let _ = writeln!(out, "    version: {}", line.split(" (").next().unwrap_or_default());
        }
        Err(misuse) => {
            let error = Error::from(misuse);
            for line in error.last_words().lines() {
                let _ = writeln!(out, "    {line}");
            }
            let _ = writeln!(out, "    (exit {})", error.exit_code());
        }
    }
    out
}

/// The fields of a structure that `{:?}` printed, each as `name: value`.
fn fields(debug: &str) -> Vec<String> {
    let start = debug.find('{').expect("a structure") + 1;
    let mut fields = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for c in debug[start..debug.len() - 1].chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            '[' | '(' | '{' if !quoted => depth += 1,
            ']' | ')' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                fields.push(String::new());
                continue;
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        fields.last_mut().expect("never empty").push(c);
    }
    fields.iter().map(|field| field.trim().to_owned()).collect()
}

/// A file may have any name.
#[test]
fn names_of_files_need_not_be_utf8() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::path::PathBuf;
    let name = || OsString::from_vec(b"/tmp/b\xff\n".to_vec());
    let named = Some(PathBuf::from(name()));
    let parse = |flag: &str| {
        let words = flag.split(' ').map(OsString::from).chain([name()]);
        cli::parse(std::iter::once("whither".into()).chain(words)).unwrap_or_else(|error| panic!("{flag}: {error}"))
    };
    for (flag, of) in [
        ("--output-file", (|args| args.output_file) as fn(cli::Args) -> Option<PathBuf>),
        ("--kernel-btf", |args| args.kernel_btf),
        ("--ready-file", |args| args.ready_file),
        ("funcs --kernel-btf", |args| args.kernel_btf),
        ("--filter-netns", |args| match args.filter_netns {
            Some(cli::NetnsSpec::Path(path)) => Some(path),
            _ => None,
        }),
    ] {
        let (Command::Trace(args) | Command::Funcs(args)) = parse(flag) else { panic!("{flag} is of another command") };
        assert_eq!(of(*args), named, "{flag}");
    }
    let types = |flag| match parse(flag) {
        Command::Types(args) => [args.output, args.kernel_btf],
        command => panic!("{command:?}"),
    };
    assert_eq!(types("types export -o"), [named.clone(), None]);
    assert_eq!(types("types export --kernel-btf"), [None, named.clone()]);
    let Command::Filter(args) = parse("filter -r") else { panic!("this is `whither filter`") };
    assert_eq!(args.pcap, named);
}

/// Nothing but UTF-8 stands in the files.
#[test]
fn other_words_are_refused() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let word = || OsString::from_vec(b"tcp\xff".to_vec());
    for words in [vec!["whither".into(), word()], vec!["whither".into(), "--filter-func".into(), word()]] {
        let error = Error::from(cli::parse(words).unwrap_err());
        let misuse = error.last_words();
        assert!(misuse.starts_with("error: a word of the command line is not UTF-8\nusage: "), "{misuse}");
        assert_eq!(error.exit_code(), 2);
    }
}
