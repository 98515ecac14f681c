//! Starts and stops in a row, on this machine, by tracepoints: the kernel keeps no program of theirs. And a longer run:
//! what it keeps does not grow.
//!
//! `WHITHER_STARTS=200 cargo test --test starts` makes it many; a few run always. The case `starts_leave_nothing` in
//! `vm-tests` looks at maps, links, probes and memory, too. `WHITHER_SECONDS=60` makes the run a minute.

use std::fs::{self, File};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use whither::sys::progs;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn what_was_loaded_goes() {
    let rounds = std::env::var("WHITHER_STARTS").map_or(3, |text| text.parse().expect("a number"));
    let said = std::env::temp_dir().join(format!("whither-starts-{}", std::process::id()));
    for round in 0..rounds {
        let mut child = Command::new(env!("CARGO_BIN_EXE_whither"))
            .args(["--backend", "tracepoint", "--filter-func", "kfree_skb|consume_skb", "icmp"])
            .stdout(Stdio::null())
            .stderr(File::create(&said).expect("a file"))
            .spawn()
            .expect("it runs");
        if !is_ready(&mut child, &said) {
            // Without privilege, or without BPF, there is nothing to leave behind.
            assert!(std::env::var_os("CI").is_none(), "whither must start here: {}", text(&said));
            eprintln!("skipped: whither does not start here: {}", text(&said).trim_end());
            return;
        }
        let loaded = programs(child.id());
        assert!(!loaded.is_empty(), "round {round}: no program is loaded");
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it is there");
        let status = child.wait().expect("it ends");
        assert!(status.success(), "round {round}: {status}: {}", text(&said));
        let end = Instant::now() + PATIENCE;
        // A child of its own closes the last descriptors, and the kernel takes its time.
        while let Some(id) = loaded.iter().find(|&&id| progs::open(id).is_ok()) {
            assert!(Instant::now() < end, "round {round}: program {id} is still there");
            thread::sleep(Duration::from_millis(5));
        }
    }
    fs::remove_file(&said).expect("it is ours");
}

/// Packets at other addresses from other processes fill caches; they have bounds.
#[test]
fn memory_does_not_grow_with_events() {
    let seconds = std::env::var("WHITHER_SECONDS").map_or(3, |text| text.parse().expect("a number"));
    let said = std::env::temp_dir().join(format!("whither-grows-{}", std::process::id()));
    let mut child = Command::new(env!("CARGO_BIN_EXE_whither"))
        .args(["--backend", "tracepoint"])
        .stdout(Stdio::null())
        .stderr(File::create(&said).expect("a file"))
        .spawn()
        .expect("it runs");
    if !is_ready(&mut child, &said) {
        assert!(std::env::var_os("CI").is_none(), "whither must start here: {}", text(&said));
        eprintln!("skipped: whither does not start here: {}", text(&said).trim_end());
        return;
    }
    let this = std::env::current_exe().expect("it has a path");
    let begin = Instant::now();
    let mut warm = None;
    while begin.elapsed() < Duration::from_secs(seconds) {
        let sender = Command::new(&this).args(["--exact", "datagrams_are_sent"]).stdout(Stdio::null()).status();
        assert!(sender.expect("it runs").success());
        // As many as are shown: what is kept of a flood has bounds of its own.
        thread::sleep(Duration::from_millis(30));
        if begin.elapsed() * 3 > Duration::from_secs(seconds) {
            warm.get_or_insert_with(|| resident(child.id()));
        }
    }
    let (warm, end) = (warm.expect("it took a while"), resident(child.id()));
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it is there");
    assert!(child.wait().expect("it ends").success(), "{}", text(&said));
    println!("{warm} KB after a third of {seconds} s, {end} KB at the end; {}", text(&said).trim_end());
    assert!(end < warm + 512, "{warm} KB after a third of {seconds} s, {end} KB at the end");
    fs::remove_file(&said).expect("it is ours");
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

fn text(path: &std::path::Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn is_ready(child: &mut Child, said: &std::path::Path) -> bool {
    let end = Instant::now() + PATIENCE;
    while !text(said).contains("Listening for events") {
        if child.try_wait().expect("it is ours").is_some() {
            return false;
        }
        assert!(Instant::now() < end, "it does not get ready: {}", text(said));
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// The numbers of the programs that a process has open.
fn programs(pid: u32) -> Vec<u32> {
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("it is there").flatten();
    let id = |text: String| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
    files.filter_map(|file| id(text(&file.path()))).collect()
}
