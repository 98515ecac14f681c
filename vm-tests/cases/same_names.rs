//! Of several functions of one name all are traced.

use crate::error::Result;
use crate::guest::{Case, Guest};
use std::time::{Duration, Instant};

pub const CASE: Case = Case { seconds: 120, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    if vm.version >= (6, 2) {
        vm.sh("mount --bind /dev/null /proc/kallsyms")?;
        let trace = vm.trace("--filter-func ip_rcv icmp")?;
        let shared = "functions that share their name with others are not traced";
        trace.wait_until_said(shared, "/proc/kallsyms has no symbols")?;
        trace.stop()?;
        let list = vm.whither("funcs ip_rcv").finish()?;
        let missing = "other functions of the same names are missing here: /proc/kallsyms has no symbols";
        ensure!(list.stderr.contains(missing) && list.stdout.contains("ip_rcv"), "{list}");
        vm.sh("umount /proc/kallsyms")?;
    }
    let list = vm.whither("funcs").finish()?;
    let several = |line: &&str| line.split_whitespace().nth(3).is_some_and(|addresses| addresses.contains(','));
    let line = list.stdout.lines().find(several);
    let Some(line) = line else {
        // The types of 7.2 have no function with an skb whose name stands for several: there is nothing to show.
        ensure!(vm.version >= (7, 2), "no function is in several places\n{list}");
        return Ok(());
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, places) = (words[0], words[3].split(',').count());
    let trace = vm.trace(&format!("--filter-func {name} icmp"))?;
    // On x86_64 a kprobe at a function's entry is one of the patched functions, on other processors it is a breakpoint.
    let hooked = match cfg!(target_arch = "x86_64") {
        true => format!("grep -c '^{name} ' /sys/kernel/tracing/enabled_functions || true"),
        false => format!("grep -c ' {name}+0x0 ' /sys/kernel/debug/kprobes/list || true"),
    };
    let begin = Instant::now();
    while vm.sh(&hooked)?.trim() != places.to_string() {
        let now = vm.sh(&hooked)?;
        ensure!(begin.elapsed() < super::signals_leave_nothing::SOON, "{name} is hooked in {} of {places} places", now.trim());
        std::thread::sleep(Duration::from_millis(200));
    }
    // Where the others were found later, what finding them took is taken from the run when they are.
    while vm.version >= (6, 2) && filters(trace.pid())? < 2 {
        ensure!(begin.elapsed() < super::signals_leave_nothing::SOON, "finding functions does not end");
        std::thread::sleep(Duration::from_millis(200));
    }
    trace.stop()?;
    Ok(())
}

/// How many seccomp filters a process has (Linux 5.9).
fn filters(pid: u32) -> Result<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let count = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:")).ok_or("no Seccomp_filters")?;
    Ok(count.trim().parse()?)
}
