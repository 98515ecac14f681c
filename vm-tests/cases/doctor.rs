//! `whither doctor` says exactly what a run then does.

use nix::errno::Errno;

use crate::error::{Context, Result};
use crate::guest::{Boot, Case, Guest};

/// A case on hosts that are booted like this.
pub const fn case(boot: Boot) -> Case {
    Case { boot, seconds: 180, ..Case::new(run) }
}

fn run(vm: &Guest) -> Result<()> {
    let before = vm.leftovers()?;
    // On a busy machine kprobes take more than the half minute that `finish` waits.
    let doctor = vm.whither("doctor --json").start_when(&|| true)?.wait()?;
    ensure!(doctor.code == 0 && doctor.stderr.is_empty(), "the doctor fails\n{doctor}");
    let found: serde_json::Value = serde_json::from_str(&doctor.stdout).context("the doctor's JSON")?;
    let run = &found["run"];
    ensure!(run["works"] == true, "the doctor says that nothing works\n{doctor}");
    let ended = vm.whither("icmp").start_when_said("Tracing by")?.stop()?;
    let said = ended.stderr.lines().find(|line| line.starts_with("Tracing by")).unwrap_or_default();
    ensure!(run["says"] == said, "the doctor says: {}\nthe run says: {said}", run["says"]);
    let works = |way: &str| {
        let mut checks = found["checks"].as_array().into_iter().flatten();
        checks.find(|check| check["name"] == way).is_some_and(|check| check["works"] == true)
    };
    let backend = run["backend"].as_str().unwrap_or_default();
    ensure!(works(backend), "`{backend}` is taken although it does not work\n{doctor}");
    for way in ["kprobe-multi", "kprobe", "fentry"].into_iter().take_while(|way| *way != backend) {
        ensure!(!works(way), "`{way}` works and is not taken\n{doctor}");
    }
    for check in ["types of the kernel", "addresses of functions", "other network namespaces", "tracepoint"] {
        ensure!(works(check), "every host has this: {check}\n{doctor}");
    }
    let table = vm.whither("doctor").start_when(&|| true)?.wait()?;
    ensure!(table.stdout.contains(said), "the table does not say the same\n{table}");
    let alone = vm.whither("doctor").unprivileged().finish()?;
    ensure!(alone.code == 1, "without privileges nothing can be traced\n{alone}");
    for words in ["CAP_BPF", "root may have it", "run as root"] {
        ensure!(alone.stdout.contains(words), "the doctor does not say what root would show: {words}\n{alone}");
    }
    // Where the loopback device is down nothing can be shown, and a run works all the same.
    vm.sh("ip netns add dark")?;
    let dark = vm.whither("doctor").through(&["ip", "netns", "exec", "dark"], "/usr/bin/whither");
    let dark = dark.start_when(&|| true)?.wait()?;
    // In the words of the C library that both programs of the guest have.
    let why = std::io::Error::from(Errno::ENETUNREACH);
    let said = format!("attached, but no datagram could be sent on the loopback device: {why}");
    let is_said = dark.stdout.contains(&said) && dark.stdout.contains("to unlock: ip link set lo up");
    ensure!(dark.code == 0 && is_said, "the doctor does not say what is missing\n{dark}");
    vm.sh("ip netns del dark")?;
    vm.expect_nothing_left(&before, super::signals_leave_nothing::SOON)
}
