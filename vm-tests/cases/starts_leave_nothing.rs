//! Starts and stops in a row leave no program, map, link, probe, descriptor or memory behind.

use std::fs;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 600, ..Case::new(run) };

/// The first ones fill caches of the kernel.
const WARM: u32 = 5;
const SOON: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(5);
/// A quarter of one buffer, in KiB.
const LITTLE: u64 = 4 << 10;
/// What the kernel itself takes and gives back is more than [`LITTLE`] at times. A leak loses as much in every series.
const SERIES: u32 = 3;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let before = vm.leftovers()?;
    // Every fentry and every kprobe takes old kernels a tenth of a second to remove.
    let rounds = if vm.version < (6, 0) { 8 } else { 16 };
    let start_and_stop = |rounds: u32| -> Result<()> {
        for round in 0..rounds {
            let flags = ["", "--filter-track-skb", "--output-stack --event-buffer perf", "--backend tracepoint"][round as usize % 4];
            let functions = if flags.contains("tracepoint") { "kfree_skb|net_dev_queue" } else { "ip_rcv|ip_output|consume_skb" };
            let trace = vm.trace(&format!("{flags} --filter-func '{functions}' icmp"))?;
            net.ping("10.0.0.2")?;
            trace.stop()?;
        }
        vm.expect_nothing_left(&before, SOON)
    };
    start_and_stop(WARM)?;
    let mut lost = Vec::new();
    for _ in 0..SERIES {
        let (free, open) = (settled(u64::MAX, SHORT)?, open_files()?);
        start_and_stop(rounds)?;
        // What is left of a round is 40 KiB, files of this test among them.
        let (now, still) = (settled(free - LITTLE, SOON)?, open_files()?);
        if now >= free - LITTLE && still < open + 64 {
            return Ok(());
        }
        lost.push(format!("{free} KiB were free and {open} files open before {rounds} rounds, {now} and {still} after"));
    }
    Err(lost.join("\n").into())
}

/// Free memory in KiB when the kernel has freed what it frees late: as soon as it is `enough`, else the most within
/// `limit`.
fn settled(enough: u64, limit: Duration) -> Result<u64> {
    let until = Instant::now() + limit;
    let mut most = free_memory()?;
    while most < enough && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(500));
        most = most.max(free_memory()?);
    }
    Ok(most)
}

/// Free memory in KiB, with nothing in caches that need not be there, and with the free pages that every CPU keeps for
/// itself: they are tens of megabytes at times, and `MemFree` is without them.
fn free_memory() -> Result<u64> {
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    let number = |line: &str| -> Result<u64> { Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?) };
    let text = fs::read_to_string("/proc/meminfo")?;
    let free = number(text.lines().find(|line| line.starts_with("MemFree:")).ok_or("no MemFree")?)?;
    let zones = fs::read_to_string("/proc/zoneinfo")?;
    let pages = zones.lines().map(str::trim_start).filter(|line| line.starts_with("count:")).map(number);
    Ok(free + 4 * pages.sum::<Result<u64>>()?)
}

/// Files that are open on the whole system.
fn open_files() -> Result<u64> {
    let text = fs::read_to_string("/proc/sys/fs/file-nr")?;
    Ok(text.split_whitespace().next().ok_or("no number")?.parse()?)
}
