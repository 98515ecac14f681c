//! Starts and stops in a row leave no program, map, link, probe, process, open file or memory behind.

use std::fs;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::{WaitPidFlag, waitpid};

use crate::error::Result;
use crate::guest::net::Net;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 600, ..Case::new(run) };

/// The first ones fill caches of the kernel.
const WARM: u32 = 8;
const ROUNDS: u32 = 16;
/// How long the kernel may take to free what it frees late.
const SOON: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(5);
/// The kernel's own memory comes and goes by a hundred KiB.
const LITTLE: u64 = 384;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    // What a tracer leaves running becomes a child of this process.
    set_child_subreaper(true)?;
    start_and_stop(vm, &net, WARM)?;
    let before = settled(SHORT, |_| false)?;
    start_and_stop(vm, &net, ROUNDS)?;
    let enough = |now: &Held| now.free + LITTLE >= before.free && now.files <= before.files;
    let after = settled(SOON, enough)?;
    ensure!(enough(&after), "{before:?} before {ROUNDS} rounds, {after:?} after");
    Ok(())
}

/// Nothing is left of any round when the next one begins.
fn start_and_stop(vm: &Guest, net: &Net, rounds: u32) -> Result<()> {
    let before = vm.leftovers()?;
    for round in 0..rounds {
        let flags = ["", "--filter-track-skb", "--output-stack --event-buffer perf", "--backend tracepoint"][round as usize % 4];
        let functions = if flags.contains("tracepoint") { "kfree_skb|net_dev_queue" } else { "ip_rcv|ip_output|consume_skb" };
        let trace = vm.trace(&format!("{flags} --filter-func '{functions}' icmp"))?;
        net.ping("10.0.0.2")?;
        trace.stop()?;
        no_process_is_left()?;
        vm.expect_nothing_left(&before, SOON)?;
    }
    Ok(())
}

/// Those that close probes in the background end, too.
fn no_process_is_left() -> Result<()> {
    let end = Instant::now() + SOON;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
            Ok(_) => ensure!(Instant::now() < end, "a process goes on after the end of the tracer"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the whole system holds.
#[derive(Debug)]
struct Held {
    /// Free memory in KiB.
    free: u64,
    /// Open files.
    files: u64,
}

/// What is held when the kernel has freed what it frees late: as soon as that is `enough`, else after `limit`.
fn settled(limit: Duration, enough: impl Fn(&Held) -> bool) -> Result<Held> {
    let end = Instant::now() + limit;
    loop {
        let now = held()?;
        if enough(&now) || Instant::now() > end {
            return Ok(now);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Memory is counted with nothing in caches that need not be there, and with the free pages that every CPU keeps for
/// itself: they are tens of megabytes at times, and `MemFree` is without them.
fn held() -> Result<Held> {
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    // Every CPU gives back its unused objects: then the count of those in use is exact.
    for cache in fs::read_dir("/sys/kernel/slab")? {
        fs::write(cache?.path().join("shrink"), "1")?;
    }
    let number = |line: &str| -> Result<u64> { Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?) };
    let find = |path: &str, name: &str| -> Result<u64> {
        let text = fs::read_to_string(path)?;
        number(text.lines().find(|line| line.starts_with(name)).ok_or_else(|| format!("{path} has no {name}"))?)
    };
    let zones = fs::read_to_string("/proc/zoneinfo")?;
    let pages = zones.lines().map(str::trim_start).filter(|line| line.starts_with("count:")).map(number);
    let free = find("/proc/meminfo", "MemFree:")? + 4 * pages.sum::<Result<u64>>()?;
    Ok(Held { free, files: find("/proc/slabinfo", "filp ")? })
}
