//! What stands in packaging/: generated files are as the command line is, scripts do what they say.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clap_complete::Shell;
use whither::cli;

fn packaging(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path)
}

/// Compares a file with what it is to hold; `BLESS=1` writes it.
fn same(path: &str, now: &[u8]) {
    let path = packaging(path);
    if std::env::var_os("BLESS").is_some() {
        return fs::write(&path, now).expect("generated files can be written");
    }
    let is = fs::read(&path).unwrap_or_default();
    assert!(is == now, "{} is out of date: BLESS=1 cargo test --test packaging writes it", path.display());
}

#[test]
fn the_manual_page_has_every_flag() {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(cli::definition()).section("8").manual("System administration").date("");
    man.render_title(&mut page).expect("memory takes everything");
    man.render_name_section(&mut page).expect("memory takes everything");
    page.extend(b".SH SYNOPSIS\n\\fBwhither\\fR [\\fIoptions\\fR] [\\fIpcap\\-filter\\fR]\n");
    page.extend(include_bytes!("../packaging/man/description.roff"));
    man.render_options_section(&mut page).expect("memory takes everything");
    page.extend(include_bytes!("../packaging/man/end.roff"));
    let text = String::from_utf8(page).expect("roff is text");
    let text: String = text.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    for arg in cli::definition().get_arguments().filter(|arg| !arg.is_hide_set()) {
        if let Some(long) = arg.get_long() {
            assert!(text.contains(&format!("\\-\\-{}", long.replace('-', "\\-"))), "--{long} is missing");
        }
    }
    same("man/whither.8", text.as_bytes());
}

#[test]
fn completions_are_those_of_the_command_line() {
    for (shell, path) in [(Shell::Bash, "whither.bash"), (Shell::Zsh, "_whither"), (Shell::Fish, "whither.fish")] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut cli::definition(), "whither", &mut script);
        same(&format!("completions/{path}"), &script);
    }
}

/// A `kubectl` that writes down what it is asked for, and a run of the script with it.
struct Cluster {
    directory: PathBuf,
}

impl Cluster {
    /// `phase` is what pods are said to be in, `code` what the container ended with.
    fn new(name: &str, phase: &str, code: &str) -> Cluster {
        let directory = std::env::temp_dir().join(format!("whither-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let kubectl = directory.join("kubectl");
        let script = format!(
            "#!/bin/sh\ncd '{}'\necho \"$*\" >> calls\ncase \"$*\" in\n\
             *apply*) cat >> manifest ;;\n*phase*) printf '{phase}' ;;\n*exitCode*) printf '{code}' ;;\n*logs*) echo a line ;;\nesac\n",
            directory.display()
        );
        fs::write(&kubectl, script).expect("a script");
        fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).expect("it may run");
        Cluster { directory }
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new("sh")
            .arg(packaging("kubernetes/whither-node.sh"))
            .args(words)
            .env("KUBECTL", self.directory.join("kubectl"))
            .env("WHITHER_TIMEOUT", "0")
            .env("WHITHER_NAMESPACE", "net")
            .output()
            .expect("sh runs")
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.join(file)).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn the_script_traces_on_a_node_and_cleans_up() {
    let cluster = Cluster::new("traces", "Running", "3");
    let ended = cluster.run(&["worker-1", "--filter-func", r#"ip_.*|a"b\c&"#, "tcp port 80"]);
    assert_eq!(ended.status.code(), Some(3), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "a line\n");
    let manifest = cluster.read("manifest");
    assert!(manifest.contains("nodeName: \"worker-1\"\n"), "{manifest}");
    assert!(manifest.contains(r#"args: ["--filter-func", "ip_.*|a\"b\\c&", "tcp port 80"]"#), "{manifest}");
    assert!(manifest.contains("image: \"whither:latest\"\n") && !manifest.contains('@'), "{manifest}");
    let calls = cluster.read("calls");
    let verbs: Vec<&str> = calls.lines().filter_map(|call| call.split(' ').nth(1)).collect();
    assert_eq!(verbs, ["apply", "get", "logs", "get", "delete"], "{calls}");
    assert!(calls.lines().all(|call| call.starts_with("--namespace=net ")), "{calls}");
}

#[test]
fn a_pod_that_does_not_start_is_told_and_removed() {
    let cluster = Cluster::new("pending", "Pending", "");
    let ended = cluster.run(&["worker-1"]);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "error: the pod does not run on worker-1: Pending\n");
    let calls = cluster.read("calls");
    assert!(calls.lines().last().is_some_and(|call| call.contains("delete pod whither-")), "{calls}");
}

#[test]
fn a_node_must_be_named() {
    let cluster = Cluster::new("misuse", "", "");
    for words in [&[][..], &["--output-json"]] {
        let ended = cluster.run(words);
        assert_eq!(ended.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&ended.stderr).starts_with("usage: whither-node.sh NODE"));
        assert_eq!(cluster.read("calls"), "");
    }
}
