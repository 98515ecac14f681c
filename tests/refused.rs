//! A verifier that refuses programs: a run gives up as little as possible and says what, or it ends with the reason.
//!
//! The real program runs under ptrace, which answers the loading of programs in the kernel's place where they have an
//! instruction that it is told not to like.

#![cfg(target_arch = "x86_64")]

#[path = "faults/traced.rs"]
#[allow(dead_code)] // its faults are for another test
mod traced;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::thread::sleep;
use std::time::Duration;
use traced::{Ended, run_refusing};

/// Nobody listens on either.
const PORT: u16 = 5003;
const OTHER: u16 = 5004;

/// Sends to both ports, and ends the run.
fn traffic(main: Pid) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for port in [PORT, OTHER].repeat(10) {
        let _ = socket.send_to(b"hello", ("127.0.0.1", port));
    }
    sleep(Duration::from_millis(300));
    let _ = kill(main, Signal::SIGINT);
}

/// A call of `bpf_get_stack`.
fn unwinds(slot: u64) -> bool {
    slot & 0xff == 0x85 && slot >> 32 == 67
}

/// A comparison with the port.
fn knows_the_port(slot: u64) -> bool {
    let constant = (slot >> 32) as u32;
    matches!(slot & 0x07, 5 | 6) && [PORT.into(), u32::from(PORT.to_be())].contains(&constant)
}

fn anything(_: u64) -> bool {
    true
}

/// Runs with these options; the lines, and what became of it. `None` where whither cannot trace.
fn run(options: &str, refuses: fn(u64) -> bool) -> Option<(Vec<String>, Ended)> {
    let file = std::env::temp_dir().join(format!("whither-refused-{}-{}", std::process::id(), options.len()));
    let line = format!(
        "{} --backend tracepoint --filter-func net_dev_queue|kfree_skb --output-file {} {options} udp dst port {PORT}",
        env!("CARGO_BIN_EXE_whither"),
        file.display()
    );
    let words: Vec<&str> = line.split_whitespace().collect();
    let ended = run_refusing(&words, refuses, traffic);
    let lines = fs::read_to_string(&file).unwrap_or_default();
    let _ = fs::remove_file(&file);
    // Whoever has no privileges never gets as far as the verifier.
    if fs::metadata("/proc/self").is_ok_and(|me| me.uid() != 0) {
        assert!(std::env::var_os("CI").is_none(), "whither must start here: {ended:?}");
        eprintln!("skipped: whither does not start here: {}", ended.stderr.trim_end());
        return None;
    }
    Some((lines.lines().filter(|line| line.starts_with("0x")).map(str::to_owned).collect(), ended))
}

/// The one line about what was given up.
fn given_up(ended: &Ended) -> &str {
    let mut lines = ended.stderr.lines().filter(|line| line.contains("given up"));
    let line = lines.next().unwrap_or_else(|| panic!("nothing is given up: {}", ended.stderr));
    assert_eq!(lines.next(), None, "once is enough: {}", ended.stderr);
    line
}

#[test]
fn the_refused_part_goes_and_no_other() {
    let Some((lines, ended)) = run("--output-stack --output-tunnel --output-skb-metadata skb->len", unwinds) else {
        return;
    };
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let line = given_up(&ended);
    assert!(line.starts_with("warning: given up: kernel stacks; the kernel refused program `"), "{line}");
    assert!(
        line.contains("this verifier wants none of that, at ") && line.contains("as it is, emitted by src/"),
        "{line}"
    );
    assert!(line.ends_with(" for --output-stack"), "{line}");
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains(" len=")), "{lines:#?}");
}

#[test]
fn packets_are_matched_in_user_space_where_the_expression_is_refused() {
    let Some((lines, ended)) = run("--output-tunnel", knows_the_port) else { return };
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let line = given_up(&ended);
    assert!(
        line.starts_with("warning: given up: filtering in the kernel (packets are matched in user space"),
        "{line}"
    );
    assert!(line.ends_with(" for the packet expression"), "{line}");
    assert!(lines.len() >= 10, "too few: {lines:#?}");
    let port = format!(":{PORT}(udp)");
    assert!(lines.iter().all(|line| line.contains(&port)), "a stranger: {lines:#?}");
}

#[test]
fn a_run_ends_where_nothing_can_be_spared() {
    for (options, refuses) in [
        ("--strict", knows_the_port as fn(u64) -> bool),
        ("--output-stack --strict", unwinds),
        ("--filter-track-skb", knows_the_port),
        ("", anything),
    ] {
        let Some((lines, ended)) = run(options, refuses) else { return };
        assert_eq!((ended.code, lines.len()), (Some(1), 0), "{options}: {}", ended.stderr);
        let errors = ended.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "{options}: {}", ended.stderr);
    }
}
