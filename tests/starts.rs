//! Starts and stops in a row, on this machine, by tracepoints: the kernel keeps no program of theirs. And a longer run:
//! what it keeps does not grow.
//!
//! `WHITHER_STARTS=200 cargo test --test starts` makes it many; a few run always. The case `starts_leave_nothing` in
//! `vm-tests` looks at maps, links, probes and memory, too. `WHITHER_SECONDS=60` makes the run a minute.

#[path = "support/started.rs"]
mod started;

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use started::{PATIENCE, Started};
use whither::sys::progs;

#[test]
fn what_was_loaded_goes() {
    let rounds = std::env::var("WHITHER_STARTS").map_or(3, |text| text.parse().expect("a number"));
    for round in 0..rounds {
        let args = ["--backend", "tracepoint", "--filter-func", "kfree_skb|consume_skb", "icmp"];
        let Some(mut run) = Started::new(&args, Stdio::null()) else { return };
        let loaded = programs(run.child.id());
        assert!(!loaded.is_empty(), "round {round}: no program is loaded");
        run.signal(Signal::SIGINT);
        let status = run.wait();
        assert!(status.success(), "round {round}: {status}: {}", run.said());
        let end = Instant::now() + PATIENCE;
        // A child of its own closes the last descriptors, and the kernel takes its time.
        while let Some(id) = loaded.iter().find(|&&id| progs::open(id).is_ok()) {
            assert!(Instant::now() < end, "round {round}: program {id} is still there");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Packets at other addresses from other processes fill caches; they have bounds.
#[test]
fn memory_does_not_grow_with_events() {
    let seconds = std::env::var("WHITHER_SECONDS").map_or(3, |text| text.parse().expect("a number"));
    let Some(mut run) = Started::new(&["--backend", "tracepoint"], Stdio::null()) else { return };
    let this = std::env::current_exe().expect("it has a path");
    let begin = Instant::now();
    let mut warm = None;
    while begin.elapsed() < Duration::from_secs(seconds) {
        let sender = Command::new(&this).args(["--exact", "datagrams_are_sent"]).stdout(Stdio::null()).status();
        assert!(sender.expect("it runs").success());
        // As many as are shown: what is kept of a flood has bounds of its own.
        thread::sleep(Duration::from_millis(30));
        if begin.elapsed() * 3 > Duration::from_secs(seconds) {
            warm.get_or_insert_with(|| resident(run.child.id()));
        }
    }
    let (warm, end) = (warm.expect("it took a while"), resident(run.child.id()));
    run.signal(Signal::SIGINT);
    assert!(run.wait().success(), "{}", run.said());
    println!("{warm} KB after a third of {seconds} s, {end} KB at the end; {}", run.said().trim_end());
    assert!(end < warm + 512, "{warm} KB after a third of {seconds} s, {end} KB at the end");
}

/// What the processes of the other test do.
#[test]
fn datagrams_are_sent() {
    for _ in 0..20 {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are ports");
        let own = socket.local_addr().expect("it is bound");
        for _ in 0..4 {
            socket.send_to(&[0x55; 200], own).expect("the way to ourselves is open");
        }
    }
}

/// VmRSS in KB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every process has it");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

/// The numbers of the programs that a process has open.
fn programs(pid: u32) -> Vec<u32> {
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("it is there").flatten();
    let id = |text: String| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
    files.filter_map(|file| id(fs::read_to_string(file.path()).unwrap_or_default())).collect()
}
