//! A user with a few capabilities can trace, and a run gives up what it needs no more: root's, too.

use std::fs;
use std::time::{Duration, Instant};

use crate::error::{Context, Result};
use crate::guest::trace::{Launch, Trace};
use crate::guest::{Case, Feature, Guest, privilege};

pub const CASE: Case = Case { seconds: 480, ..Case::new(run) };

const SYS_PTRACE: u8 = 19;
const SYS_ADMIN: u8 = 21;
const SYS_RESOURCE: u8 = 24;
const SYSLOG: u8 = 34;
const PERFMON: u8 = 38;
const BPF: u8 = 39;

/// What is in force on Debian's kernels.
const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";
const UNPRIVILEGED_BPF: &str = "/proc/sys/kernel/unprivileged_bpf_disabled";

/// A binary that gives these capabilities to whoever starts it.
const CAPABLE: &str = "/tmp/whither-capable";

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let before = vm.leftovers()?;
    let bpf = fs::read_to_string(UNPRIVILEGED_BPF)?;
    ensure!(bpf.trim() != "0", "the kernel lets everybody load programs");
    let paranoid = fs::read_to_string(PARANOID)?;
    let memory: &[u8] = if vm.version < (5, 11) { &[SYS_RESOURCE] } else { &[] };

    let ways: &[(&str, &[u8])] = &[
        ("tracepoint", &[BPF, PERFMON]),
        ("fentry", &[BPF, PERFMON]),
        ("kprobe", &[BPF, PERFMON, SYSLOG]),
        ("kprobe-multi", &[BPF, PERFMON, SYSLOG]),
    ];
    let (has_multi, has_fentry) = (vm.has(Feature::KprobeMulti)?, vm.has(Feature::Fentry)?);
    let works = |way: &str| (way != "kprobe-multi" || has_multi) && (way != "fentry" || has_fentry);
    for &(backend, capabilities) in ways.iter().filter(|(way, _)| works(way)) {
        let capabilities = [capabilities, memory].concat();
        let functions = if backend == "tracepoint" { "net_dev_queue" } else { "ip_rcv|ip_output" };
        let launch = capable(&format!("--backend {backend} --filter-func {functions} icmp"), &capabilities)?;
        // Above 2 a probe that perf opens takes CAP_SYS_ADMIN (a patch of Debian's).
        let opened = if backend == "kprobe" { "2\n" } else { &paranoid };
        fs::write(PARANOID, opened)?;
        let trace = launch.start().context(backend)?;
        fs::write(PARANOID, &paranoid)?;
        // Without CAP_SETPCAP the bounding set stays; nothing can be gained from it.
        expect_status(&trace, 1 << BPF, None).context(backend)?;
        net.ping("10.0.0.2")?;
        let ended = trace.stop()?;
        ended.expect_all("icmp", |line| line.text.contains("icmp")).context(backend)?;
    }
    fs::remove_file(CAPABLE)?;

    // Root.
    let with_programs =
        ("--filter-func ip_rcv --filter-trace-tc icmp", 1 << BPF | 1 << PERFMON | 1 << SYSLOG | 1 << SYS_ADMIN | 1 << SYS_PTRACE);
    for (options, kept) in [
        ("--filter-func ip_rcv icmp", 1 << BPF | 1 << SYS_PTRACE),
        ("--filter-func ip_rcv --output-file /tmp/privilege/log icmp", 1 << BPF | 1 << SYS_PTRACE | 3),
    ]
    .into_iter()
    .chain(has_fentry.then_some(with_programs))
    {
        let trace = vm.trace(options)?;
        expect_status(&trace, kept, Some(kept)).context(options)?;
        trace.stop()?;
    }
    fs::remove_dir_all("/tmp/privilege")?;

    // Root of a user namespace has all capabilities and may do nothing.
    let ended = vm.whither("icmp").through(&["/usr/bin/busybox", "unshare", "-U", "-r"], "/usr/bin/whither").finish()?;
    ended.expect_refusal(1, &["root"])?;
    ensure!(ended.stderr.lines().filter(|line| line.starts_with("error:")).count() == 1, "not one sentence\n{ended}");
    vm.expect_nothing_left(&before, super::signals_leave_nothing::SOON)
}

/// whither for nobody, from a file that has `capabilities`.
fn capable(arguments: &str, capabilities: &[u8]) -> Result<Launch> {
    // One that removes its probes in the background is still executed, and cannot be written to.
    fs::remove_file(CAPABLE).ok();
    fs::copy("/usr/bin/whither", CAPABLE)?;
    privilege::set_file_capabilities(CAPABLE, capabilities).context("file capabilities")?;
    Ok(Launch::of(CAPABLE, arguments).unprivileged())
}

/// As [`status_is`], soon: functions that share a name are looked for first (Linux 6.2).
fn expect_status(trace: &Trace, effective: u64, bounding: Option<u64>) -> Result<()> {
    let until = Instant::now() + super::signals_leave_nothing::SOON;
    loop {
        match status_is(trace, effective, bounding) {
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(100)),
            status => return status,
        }
    }
}

/// Expects these capabilities on the thread that writes lines, no more than them or CAP_SYS_ADMIN on any other but the one
/// for interfaces, and a filter of system calls on all.
fn status_is(trace: &Trace, effective: u64, bounding: Option<u64>) -> Result<()> {
    for task in fs::read_dir(format!("/proc/{}/task", trace.pid()))? {
        let task = task?;
        let text = fs::read_to_string(task.path().join("status"))?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim).unwrap_or_default().to_owned()
        };
        let bits = |name: &str| u64::from_str_radix(&field(name), 16).unwrap_or(u64::MAX);
        let name = field("Name:");
        let is_main = task.file_name().to_string_lossy() == trace.pid().to_string();
        let most = if name == "interfaces" { 1 << SYS_ADMIN | 1 << SYS_PTRACE } else { effective };
        ensure!(bits("CapEff:") & !most == 0 && bits("CapPrm:") & !most == 0, "{name} has more than {most:x}\n{text}");
        ensure!(!is_main || bits("CapEff:") == effective, "not {effective:x}\n{text}");
        ensure!(bounding.is_none() || bits("CapBnd:") & !most == 0, "{name} may gain something\n{text}");
        ensure!(field("NoNewPrivs:") == "1" && field("Seccomp:") == "2", "{name} is not confined\n{text}");
    }
    Ok(())
}
