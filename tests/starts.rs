//! Starts and stops in a row, on this machine, by tracepoints: the kernel keeps no program of theirs.
//!
//! `WHITHER_STARTS=200 cargo test --test starts` makes it many; a few run always. The case `starts_leave_nothing` in
//! `vm-tests` looks at maps, links, probes and memory, too.

use std::fs::{self, File};
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
