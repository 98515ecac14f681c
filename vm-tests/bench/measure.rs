//! The measurements, in the guest.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::error::{Context, Result};
use crate::guest::Guest;
use crate::guest::attach::Empty;
use crate::guest::bpf::{self, Kind, Program};
use crate::guest::net::Net;
use crate::guest::trace::{Launch, Trace};

/// Packets of a burst; at 68 hits each about 134,000 events.
const BURST: u64 = 2000;
/// Packets before a measurement, to fill caches and neighbour tables.
const WARM_UP: u64 = 200;
const PORT: u16 = 5001;
const MATCHING: &str = "host 10.0.0.2 and udp port 5001";
const OTHER: &str = "host 10.0.0.2 and udp port 5999";
const LISTED: &str = "/sys/kernel/tracing/enabled_functions";

/// Numbers by name; units are in the names.
pub type Figures = BTreeMap<String, f64>;

/// Measures the tracer at `path` with `options` added to every command line.
pub fn run(guest: &Guest, path: &str, options: &str) -> Result<Figures> {
    let mut figures = Figures::new();
    let net = guest.two_namespaces()?;
    let sink = net.right.enter(|| Ok(UdpSocket::bind(("10.0.0.2", PORT))?))?;
    burst(&net, &sink, WARM_UP)?;
    figures.insert("packet_ns_without".into(), burst(&net, &sink, BURST)?);
    figures.insert("binary_bytes".into(), fs::metadata(path)?.len() as f64);

    let tracer = |expression: &str| Launch::of(path, &format!("{options} {expression}"));
    let before = guest.leftovers()?;
    let functions = not_matching(&tracer(OTHER), &net, &sink, &mut figures).context("not matching")?;
    // Removing kprobes goes on after the exit, and those that are still there make others at the same place dearer.
    guest.expect_nothing_left(&before, Duration::from_secs(600)).context("the tracer's probes")?;
    empty(&functions, &net, &sink, &mut figures).context("the empty program")?;
    matching(&tracer(MATCHING), &net, &sink, &mut figures).context("matching")?;
    Ok(figures)
}

/// A tracer that rejects every packet. Returns the functions that it is attached to.
fn not_matching(launch: &Launch, net: &Net, sink: &UdpSocket, figures: &mut Figures) -> Result<Vec<String>> {
    let before = bpf::ids(Kind::Program)?;
    let trace = launch.start()?;
    figures.insert("start_ns".into(), trace.ready_after.as_nanos() as f64);
    let functions: Vec<String> = fs::read_to_string(LISTED)
        .unwrap_or_default()
        .lines()
        // What is indented tells more of the function above: its trampoline.
        .filter(|line| !line.starts_with(char::is_whitespace))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    figures.insert("functions".into(), functions.len() as f64);
    let programs: Vec<u32> = bpf::ids(Kind::Program)?.into_iter().filter(|id| !before.contains(id)).collect();
    let largest = programs.iter().filter_map(|id| bpf::program(*id).ok()).map(|program| program.instructions).max();
    figures.insert("instructions".into(), largest.unwrap_or(0).into());

    burst(net, sink, WARM_UP)?;
    figures.insert("packet_ns_not_matching".into(), burst(net, sink, BURST)?);
    let (hit, hits) = per_hit(&programs, net, sink)?;
    figures.insert("hit_ns_not_matching".into(), hit);
    figures.insert("hits_per_packet".into(), hits);

    let idle = Duration::from_secs(5);
    let busy = processor_time(&trace)?;
    std::thread::sleep(idle);
    let share = (processor_time(&trace)? - busy) / idle.as_nanos() as f64;
    figures.insert("idle_percent".into(), share * 100.0);
    let ended = trace.stop()?;
    figures.insert("stop_ns".into(), ended.took.as_nanos() as f64);
    Ok(functions)
}

/// The floor: nothing but being called.
fn empty(functions: &[String], net: &Net, sink: &UdpSocket, figures: &mut Figures) -> Result<()> {
    let empty = Empty::attach(functions)?;
    burst(net, sink, WARM_UP)?;
    figures.insert("packet_ns_empty".into(), burst(net, sink, BURST)?);
    figures.insert("hit_ns_empty".into(), per_hit(&[empty.id], net, sink)?.0);
    figures.insert("empty_is_multi".into(), f64::from(u8::from(empty.multi)));
    figures.insert("functions_empty".into(), empty.functions as f64);
    Ok(())
}

/// A tracer that shows every packet. Traffic flows while it starts, so that the first event is timed, too.
fn matching(launch: &Launch, net: &Net, sink: &UdpSocket, figures: &mut Figures) -> Result<()> {
    let before = bpf::ids(Kind::Program)?;
    let started = Instant::now();
    let mut first = None;
    let mut last = Instant::now();
    let shows = |output: &str| output.contains("\n0x") || output.starts_with("0x");
    let trace = launch.start_while(&mut |output: &str| {
        if first.is_none() {
            if shows(output) {
                first = Some(started.elapsed());
            } else if last.elapsed() > Duration::from_millis(20) {
                last = Instant::now();
                burst(net, sink, 1).ok();
            }
        }
    })?;
    let programs: Vec<u32> = bpf::ids(Kind::Program)?.into_iter().filter(|id| !before.contains(id)).collect();
    while first.is_none() {
        burst(net, sink, 1)?;
        std::thread::sleep(Duration::from_millis(2));
        first = shows(&trace.so_far()).then(|| started.elapsed());
    }
    settle(&trace)?;
    figures.insert("first_event_ns".into(), first.unwrap_or_default().as_nanos() as f64);

    burst(net, sink, WARM_UP)?;
    settle(&trace)?;
    let (lines, busy) = (lines_of(&trace), processor_time(&trace)?);
    figures.insert("packet_ns_matching".into(), burst(net, sink, BURST)?);
    settle(&trace)?;
    let printed = lines_of(&trace) - lines;
    figures.insert("user_ns_per_event".into(), (processor_time(&trace)? - busy) / printed.max(1.0));

    figures.insert("hit_ns_matching".into(), per_hit(&programs, net, sink)?.0);
    settle(&trace)?;
    figures.insert("printed".into(), lines_of(&trace));
    figures.insert("rss_bytes".into(), peak_memory(&trace)?);
    let ended = trace.stop()?;
    figures.insert("reported_lost".into(), ended.lost() as f64);
    Ok(())
}

/// Sends `count` datagrams from the left; returns nanoseconds of the sending thread for each. The kernel's work for a
/// packet, to its end in the sink's queue, is done in that thread.
fn burst(net: &Net, sink: &UdpSocket, count: u64) -> Result<f64> {
    // What is not read fills the sink's queue, and packets that find it full die earlier than others.
    sink.set_nonblocking(true)?;
    net.left.enter(|| {
        let socket = UdpSocket::bind("10.0.0.1:0")?;
        socket.connect(("10.0.0.2", PORT))?;
        let (payload, mut buffer) = ([0x55; 64], [0; 64]);
        let mut spent = 0;
        for _ in 0..count {
            let before = own_time()?;
            socket.send(&payload)?;
            spent += own_time()? - before;
            while sink.recv(&mut buffer).is_ok() {}
        }
        Ok(spent as f64 / count as f64)
    })
}

/// Nanoseconds per run of `programs`, and runs per packet, of a burst.
fn per_hit(programs: &[u32], net: &Net, sink: &UdpSocket) -> Result<(f64, f64)> {
    let sum = |of: fn(&Program) -> u64| -> u64 {
        programs.iter().filter_map(|id| bpf::program(*id).ok()).map(|program| of(&program)).sum()
    };
    fs::write("/proc/sys/kernel/bpf_stats_enabled", "1")?;
    let (time, runs) = (sum(|program| program.run_time_ns), sum(|program| program.run_count));
    burst(net, sink, BURST)?;
    let (time, runs) = (sum(|program| program.run_time_ns) - time, sum(|program| program.run_count) - runs);
    fs::write("/proc/sys/kernel/bpf_stats_enabled", "0")?;
    Ok((time as f64 / runs.max(1) as f64, runs as f64 / BURST as f64))
}

/// Nanoseconds on a processor, of this thread.
fn own_time() -> Result<u64> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// Nanoseconds on a processor, of all threads of the tracer.
fn processor_time(trace: &Trace) -> Result<f64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{}/task", trace.pid()))? {
        let times = fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += times.split_whitespace().next().unwrap_or("0").parse::<u64>()?;
    }
    Ok(sum as f64)
}

fn peak_memory(trace: &Trace) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", trace.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.split_whitespace().next().unwrap_or("0").parse::<u64>()? as f64 * 1024.0)
}

fn lines_of(trace: &Trace) -> f64 {
    trace.so_far().lines().filter(|line| line.starts_with("0x")).count() as f64
}

/// Waits until the tracer prints nothing more.
fn settle(trace: &Trace) -> Result<()> {
    let mut length = trace.printed()?;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = trace.printed()?;
        if now == length {
            return Ok(());
        }
        length = now;
    }
}
