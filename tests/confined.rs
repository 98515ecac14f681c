//! What whither may do once everything is attached is enough for all that it does then, whatever it was asked for.
//!
//! The real program runs under ptrace, which sees every call of every thread and child before the filter does. What tracepoints
//! cannot do is in the cases of vm-tests, which all run under the filter.

#![cfg(target_arch = "x86_64")]

#[path = "faults/traced.rs"]
#[allow(dead_code)] // its faults are for another test
mod traced;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::UdpSocket;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;
use traced::run_with;
use whither::privilege::{self, Feature, calls};

/// Sends datagrams to a port that nobody listens on, has the output file opened again if `hangup`, and ends the run.
fn traffic(main: Pid, datagrams: usize, hangup: bool) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for half in 0..2 {
        for _ in 0..datagrams / 2 {
            let _ = socket.send_to(&[0; 64], "127.0.0.1:5001");
        }
        if half == 0 && hangup {
            let _ = kill(main, Signal::SIGHUP);
        }
        sleep(Duration::from_millis(700));
    }
    let _ = kill(main, Signal::SIGINT);
}

#[test]
fn every_call_is_in_the_list() {
    let dir = std::env::temp_dir().join(format!("whither-confined-{}", std::process::id()));
    let file = dir.join("trace.log");
    let rotating = format!(
        "--output-file {} --output-file-max-size 1 --output-file-max-backups 2 --output-file-max-age 1 \
         --output-file-compress --timestamp absolute --output-caller",
        file.display()
    );
    let mut wrong = String::new();
    for options in [
        "",
        "--output-json --output-netns-names --output-tcp-flags --timestamp relative --debug",
        "--output-stack --output-caller --output-skb --output-skb-shared-info --output-tunnel",
        "--output-skb-metadata skb->mark,skb->dev->name --event-buffer perf --output-skb-cb --timestamp absolute",
        "--filter-track-skb --track-table-size 16",
        "--output-limit-lines 3",
        "--all-kmods --buffer-size 64K --output-meta=false",
        &rotating,
    ] {
        let line = format!("{} --backend tracepoint {options} udp port 5001", env!("CARGO_BIN_EXE_whither"));
        let words: Vec<&str> = line.split_whitespace().collect();
        let hangup = options.contains("--output-file");
        let ended = run_with(&words, move |main| traffic(main, 3000, hangup));
        if ended.calls_until_ready().is_none() {
            assert!(std::env::var_os("CI").is_none(), "whither must start here: {ended:?}");
            eprintln!("skipped: whither does not start here: {}", ended.stderr.trim_end());
            return;
        }
        assert_eq!(ended.code, Some(0), "{options}: {}", ended.stderr);
        assert!(ended.confined && !ended.confined_calls.is_empty(), "{options}: {}", ended.stderr);
        // Tracepoints find nothing later.
        let features = [Feature::Tracing, Feature::Processes];
        for &(number, first) in &ended.confined_calls {
            if !calls::allows(&features, number, first) {
                wrong += &format!("{options}: call {number} with {first:#x}\n");
            }
        }
    }
    let files = std::fs::read_dir(&dir).map_or(0, |files| files.count());
    let _ = std::fs::remove_dir_all(&dir);
    assert!(wrong.is_empty(), "not in the list:\n{wrong}");
    assert!(files > 1, "{files} files: nothing was rotated");
}

/// This test program runs `test` alone, with `name` in the environment, which tells the test to do its work.
fn alone(test: &str, name: &str) -> Output {
    let me = std::env::current_exe().expect("a test has a name");
    let mut command = Command::new(me);
    command.args(["--exact", test, "--nocapture"]).env(name, "1").env("RUST_BACKTRACE", "1");
    command.output().expect("it runs")
}

/// When nothing more can be found, a second filter takes what finding took.
#[test]
fn a_second_filter_takes_more() {
    const NAME: &str = "WHITHER_CONFINES_TWICE";
    if std::env::var_os(NAME).is_some() {
        privilege::confine(&[Feature::Functions]).expect("a filter");
        privilege::confine(&[]).expect("a second filter");
        privilege::confine(&[]).expect_err("nothing is left to be taken");
        return;
    }
    let ended = alone("a_second_filter_takes_more", NAME);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// A panic says what it has to say.
#[test]
fn a_panic_is_told() {
    const NAME: &str = "WHITHER_PANICS";
    if std::env::var_os(NAME).is_some() {
        privilege::keep(&[]).expect("capabilities can always be given up");
        privilege::confine(&[]).expect("a filter");
        let _ = std::thread::spawn(|| panic!("on a thread")).join();
        panic!("in the end");
    }
    let ended = alone("a_panic_is_told", NAME);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("on a thread") && said.contains("in the end"), "{said}");
    assert!(said.contains("stack backtrace") && said.contains("a_panic_is_told"), "{said}");
}
