//! `whither doctor`: what this host can do, found by doing it, and what stands in the way of the rest.

mod facts;
mod prove;
mod reason;
mod report;

use crate::cli::{Backend, DoctorArgs};
use crate::error::Error;
use crate::host::features::Lockdown;
use crate::host::survey::{Host, Wanted};
use crate::host::{Roots, modules};
use crate::sys::process;
use facts::Facts;
use prove::{Datagram, Proof, prove};
use reason::{Cause, Reason};
use report::{Answer, Check, Report, Verdict};
use std::io::{self, Write};
use std::process::ExitCode;

/// The functions that the ways in are tried on: those that a datagram on the loopback device visits.
const FUNCTIONS: &str =
    "ip_rcv|ip_local_out|ip_output|ip_send_skb|dev_hard_start_xmit|udp_rcv|__udp_enqueue_schedule_skb";

/// Tries everything and prints what came of it. Status 0 if a run would trace, 1 if not.
pub fn run(args: &DoctorArgs) -> ExitCode {
    let report = examine();
    let text = if args.json { report.json() } else { report.to_string() };
    let written = io::stdout().write_all(text.as_bytes());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ if report.verdict.works => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn examine() -> Report {
    let roots = Roots::default();
    let facts = Facts::read(&roots);
    let mut report = Report::new(&facts);
    let _ = process::raise_nofile();
    process::raise_memlock();
    let datagram = match Datagram::new() {
        Ok(datagram) => datagram,
        Err(error) => {
            report.verdict = Verdict::no(format!("no socket on the loopback device: {error}"));
            return report;
        }
    };
    let args = datagram.args("");
    let host = match Host::read(&args, &roots) {
        Ok(host) => host,
        Err(error) => {
            let error = Error::from(error);
            report.verdict = Verdict::no(error.to_string());
            let reason = Reason::of_backend(Backend::Tracepoint, &error, &facts);
            report.checks.push(Check::new("kernel", "types of the kernel", Answer::No(reason)));
            return report;
        }
    };
    kernel(&mut report, &host, &facts, &roots);
    programs(&mut report, &host, &facts);
    report.verdict = match prove(&datagram, &args, &host) {
        Ok(proof) => verdict(&proof),
        Err(error) => Verdict::no(format!("error: {error}")),
    };
    ways(&mut report, host, &datagram, &facts);
    report
}

/// What the kernel tells about itself.
fn kernel(report: &mut Report, host: &Host, facts: &Facts, roots: &Roots) {
    let mut add = |name, answer| report.checks.push(Check::new("kernel", name, answer));
    add("types of the kernel", Answer::yes("/sys/kernel/btf/vmlinux"));
    let addresses = match &host.no_symbols {
        None => Answer::yes(format!("{} functions take an skb", host.functions.functions.len())),
        Some(error) => Answer::No(Reason::of_addresses(error.to_string(), error.hint(), facts)),
    };
    add("addresses of functions", addresses);
    let list = match (&host.no_list, facts.lockdown) {
        (None, _) => Answer::yes(""),
        // Nothing is lost: what cannot be traced is refused when it is attached.
        (Some(error), Some(Lockdown::Confidentiality)) if facts.may_trace() => {
            Answer::Without(format!("{error}; functions are tried one by one"))
        }
        (Some(error), _) => Answer::Without(error.to_string()),
    };
    add("list of traceable functions", list);
    let modules = modules::list(&roots.sys);
    let since = |major, minor| Reason::of_feature(&io::Error::other("there are none"), (major, minor), facts);
    add(
        "types of modules",
        match modules.len() {
            0 if facts.option("CONFIG_MODULES") == Some(false) => Answer::Without("this kernel has no modules".into()),
            0 => Answer::No(since(5, 11)),
            count => Answer::yes(format!("{count} modules: --kmods, --all-kmods")),
        },
    );
    add(
        "drop reasons",
        match host.drop_reasons().reasons.len() {
            0 => Answer::No(since(5, 17)),
            count => Answer::yes(format!("{count} names")),
        },
    );
    add(
        "native code",
        match facts.jit {
            Some(false) => Answer::No(Reason {
                cause: Cause::Jit,
                text: "programs are interpreted: slow, and no fentry".into(),
                unlock: Some("sysctl net.core.bpf_jit_enable=1".into()),
            }),
            Some(true) => Answer::yes("net.core.bpf_jit_enable"),
            None => Answer::Without("net.core.bpf_jit_enable cannot be read".into()),
        },
    );
    add(
        "other network namespaces",
        match facts.may_enter() {
            true => Answer::yes("names of interfaces there, --filter-netns with --filter-ifname"),
            false => Answer::No(Reason {
                cause: Cause::Capability,
                text: "interfaces there have numbers instead of names".into(),
                unlock: Some("CAP_SYS_ADMIN and CAP_NET_ADMIN".into()),
            }),
        },
    );
}

/// What programs may do.
fn programs(report: &mut Report, host: &Host, facts: &Facts) {
    let features = &host.features;
    let of = |answer: &io::Result<()>, since| match answer {
        Ok(()) => Answer::yes(""),
        Err(error) => Answer::No(Reason::of_feature(error, since, facts)),
    };
    let mut add = |name, answer| report.checks.push(Check::new("programs", name, answer));
    add("ring buffer", of(&features.ring_buffer, (5, 8)));
    add(
        "bpf_rdonly_cast",
        match &features.cast {
            Ok(_) => Answer::yes("memory is read by plain loads"),
            Err(error) => Answer::No(Reason::of_feature(error, (6, 2), facts)),
        },
    );
    add(
        "bpf_probe_read_kernel",
        match &features.read_kernel {
            Ok(()) => Answer::yes(""),
            Err(error) => Answer::No(Reason::of_reading(error, facts)),
        },
    );
    add("attach cookies", of(&features.cookie, (5, 15)));
}

/// The ways in, each with a datagram that it must see.
fn ways(report: &mut Report, mut host: Host, datagram: &Datagram, facts: &Facts) {
    let all = Wanted::default();
    let few = Wanted::new(Some(FUNCTIONS)).unwrap_or_default();
    host.functions.functions.retain(|function| few.has(&function.name));
    for backend in [Backend::KprobeMulti, Backend::Kprobe, Backend::Fentry, Backend::Tracepoint] {
        host.wanted = if backend == Backend::Tracepoint { all.clone() } else { few.clone() };
        let args = datagram.args(&format!("--backend {backend}"));
        let answer = match prove(datagram, &args, &host) {
            Ok(proof) => seen(&proof),
            Err(error) => Answer::No(Reason::of_backend(backend, &error, facts)),
        };
        report.checks.push(Check::new("ways in", backend.word(), answer));
    }
}

fn seen(proof: &Proof) -> Answer {
    let took = proof.took.as_secs_f64() * 1e3;
    match &proof.seen {
        Ok(0) => Answer::No(Reason {
            cause: Cause::Unknown,
            text: "attached, but a datagram on the loopback device was not seen".into(),
            unlock: None,
        }),
        Ok(places) => Answer::yes(format!("saw our own datagram in {places} places, the first after {took:.0} ms")),
        Err(error) => Answer::No(Reason {
            cause: Cause::Network,
            text: format!("attached, but no datagram could be sent on the loopback device: {error}"),
            unlock: Some("ip link set lo up".into()),
        }),
    }
}

fn verdict(proof: &Proof) -> Verdict {
    Verdict { works: !matches!(proof.seen, Ok(0)), backend: Some(proof.backend), says: proof.says.clone() }
}
