//! `whither filter`: each file of `tests/filter_command/` holds a command line and what the command prints; below it,
//! capture files in every format, with tcpdump as oracle.
//!
//! `args` is the command line behind `filter`, each `stdin` a line of its input (`\xNN` stands for a byte).
//! `BLESS=1 cargo test --test filter_command` rewrites the files.

#[path = "filter_command/captures.rs"]
mod captures;
#[path = "support/golden.rs"]
mod golden;

use std::io::Write;
use std::process::{Command, Output, Stdio};

#[test]
fn every_command_prints_what_its_file_says() {
    golden::check("filter_command", "filter_command", |case| {
        let mut input = Vec::new();
        for line in case.all("stdin") {
            input.extend(golden::unescape(line));
            input.push(b'\n');
        }
        let output = run(&golden::split(case.get("args")), &input);
        let mut answer = format!("--- exit {}\n", output.status.code().expect("it ends by itself"));
        for (title, text) in [("stdout", output.stdout), ("stderr", output.stderr)] {
            if !text.is_empty() {
                answer += &format!("--- {title}\n{}", String::from_utf8(text).expect("output is UTF-8"));
            }
        }
        answer
    });
}

/// Runs `whither filter`.
fn run(args: &[String], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_whither"))
        .arg("filter")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command is built");
    // It may end without reading all.
    let _ = child.stdin.take().expect("it is a pipe").write_all(input);
    child.wait_with_output().expect("it ends")
}

/// Who asks one expression at a time gets each answer before the next question.
#[test]
fn batch_answers_at_once() {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(env!("CARGO_BIN_EXE_whither"))
        .args(["filter", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command is built");
    let (mut input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let mut answers = BufReader::new(output).lines().map(|line| line.expect("UTF-8"));
    for n in 0..50 {
        let (expression, is_right) = if n % 3 == 2 { ("tcp prot 80", false) } else { ("tcp port 80", true) };
        writeln!(input, "{expression}").expect("it reads");
        let first = answers.next().expect("an answer");
        assert_eq!(first.starts_with("ok "), is_right, "{first}");
        if is_right {
            let lines: usize = first["ok ".len()..].parse().expect("a number");
            assert_eq!(answers.by_ref().take(lines).count(), lines);
        }
    }
    drop(input);
    assert_eq!(answers.next(), None);
    assert!(child.wait().expect("it ends").success());
}

/// A line may be longer than any filter, and than any character is wide where it is cut; the next one counts again.
#[test]
fn batch_survives_long_lines() {
    let long = "x".repeat(3_000_000);
    let wide = "\u{20ac}".repeat(30_000);
    let list = vec!["port 80"; 2_000].join(" or ");
    let edge = format!("icmp{}", " ".repeat(65_536 - "icmp".len()));
    let input = format!("{long}\nicmp\n{wide}\n{edge}\n{edge} \n{list}\nhost \u{20ac}\n\nip");
    let output = run(&["--batch".into()], input.as_bytes());
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let answers = String::from_utf8(output.stdout).expect("output is UTF-8");
    let answers: Vec<&str> =
        answers.lines().filter(|line| line.starts_with("ok") || line.starts_with("error")).collect();
    let too_long = "error the filter is longer than 65536 bytes";
    let character = r"error a filter cannot hold the character `\u{20ac}`";
    assert_eq!(answers[0..5], [too_long, "ok 7", too_long, "ok 7", too_long]);
    assert!(answers[5].starts_with("ok "), "{}", answers[5]);
    assert_eq!(answers[6..], [character, "ok 2", "ok 5"]);
}

/// Who has read enough goes away, which is no error.
#[test]
fn a_closed_pipe_is_the_end() {
    let lines = "port 80 or port 443\n".repeat(20_000);
    for args in [&["--batch"][..], &["--emit", "ebpf", "port 80"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_whither"))
            .arg("filter")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command is built");
        drop(child.stdout.take());
        let _ = child.stdin.take().expect("it is a pipe").write_all(lines.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{args:?}");
    }
}

/// A disk that is full is one.
#[test]
fn a_full_disk_is_told() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = Command::new(env!("CARGO_BIN_EXE_whither"))
        .args(["filter", "icmp"])
        .stdout(full)
        .output()
        .expect("the command is built");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("error: cannot write: "), "{message}");
}

/// Memory that runs out is one sentence, wherever it does.
#[test]
fn memory_that_runs_out_is_told() {
    let long: Vec<String> = (1..4500).map(|port| format!("port {port}")).collect();
    let long = long.join(" or ");
    let mut told = 0;
    for kilobytes in (8_000..60_000).step_by(1_000) {
        let output = Command::new("sh")
            .args(["-c", "ulimit -v $1; exec \"$0\" filter \"$2\"", env!("CARGO_BIN_EXE_whither")])
            .args([&kilobytes.to_string(), &long])
            .output()
            .expect("sh runs");
        let message = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(1) => {
                let hint = "hint: `ulimit -v` and the memory limit of the cgroup bound it\n";
                assert_eq!(message, format!("error: there is not enough memory\n{hint}"));
                told += 1;
            }
            // As without a limit: this one has too many tests.
            Some(2) => assert!(message.starts_with("error: the filter needs more than 65536 tests\n"), "{message}"),
            // It did not get as far as to run: execve(2) kills it, or the dynamic loader gives up.
            None | Some(127) => assert_eq!(told, 0, "{kilobytes}: {message}"),
            Some(code) => panic!("{kilobytes}: {code}: {message}"),
        }
    }
    assert!(told >= 3, "memory ran out {told} times only");
}

/// A soft limit of the stack is raised: what an expression may be does not depend on the shell.
#[test]
fn a_small_stack_is_enough() {
    let deep = |depth: usize| format!("{}icmp{}", "(".repeat(depth), ")".repeat(depth));
    let run = |limit: &str, expression: &str| {
        let script = "ulimit -S -s $1 && exec \"$0\" filter \"$2\"";
        Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_whither"), limit, expression])
            .output()
            .expect("sh runs")
    };
    for (expression, code) in [(deep(200), 0), (deep(2000), 2)] {
        let usual = run("8192", &expression);
        assert_eq!(usual.status.code(), Some(code));
        assert_eq!(run("64", &expression), usual);
    }
}

/// A directory cannot be read.
#[test]
fn unreadable_input_is_told() {
    for args in [&["--batch"][..], &["-r", "-", "ip"]] {
        let directory = std::fs::File::open("/").expect("it is there");
        let output = Command::new(env!("CARGO_BIN_EXE_whither"))
            .arg("filter")
            .args(args)
            .stdin(directory)
            .output()
            .expect("the command is built");
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        let whole = message == "error: cannot read standard input: Is a directory (os error 21)\n";
        assert!(whole || message == "error: -: Is a directory (os error 21)\n", "{message}");
    }
}

#[test]
fn listings_are_those_of_tcpdump() {
    if !captures::has_tcpdump() {
        return;
    }
    // Filters so plain that libpcap's code cannot be beaten.
    for expression in ["", "ip", "arp", "icmp", "ip6", "host 10.0.0.1", "greater 100", "ether[0] & 1 != 0", "vlan 5"] {
        for (form, flag) in [("listing", "-d"), ("cbpf", "-ddd")] {
            let ours = run(&["--emit".into(), form.into(), expression.into()], &[]);
            let theirs =
                Command::new("tcpdump").args(["-y", "EN10MB", flag, expression]).output().expect("it is there");
            assert_eq!(
                String::from_utf8_lossy(&ours.stdout),
                String::from_utf8_lossy(&theirs.stdout),
                "`{expression}`"
            );
        }
    }
}
