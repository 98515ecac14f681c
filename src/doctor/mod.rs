//! `whither doctor`: what this host can do, found by doing it, and what stands in the way of the rest.

mod facts;
mod prove;
mod reason;
mod report;

use crate::cli::{Backend, DoctorArgs};
use crate::error::Error;
use crate::host::features::{Features, Lockdown};
use crate::host::survey::{Host, Wanted};
use crate::host::{ListError, Roots, SymbolsError, modules};
use crate::sys::process;
use facts::Facts;
use prove::{Datagram, Proof, prove};
use reason::{Cause, Reason};
use report::{Answer, Check, Report, Verdict};
use std::io;

/// The functions that the ways in are tried on: those that a datagram on the loopback device visits.
const FUNCTIONS: &str =
    "ip_rcv|ip_local_out|ip_output|ip_send_skb|dev_hard_start_xmit|udp_rcv|__udp_enqueue_schedule_skb";

/// Tries everything and prints what came of it. Returns whether a run would trace.
pub fn run(args: &DoctorArgs) -> Result<bool, Error> {
    let report = examine();
    let text = if args.json { report.json() } else { report.to_string() };
    process::print(text.as_bytes()).map_err(Error::output)?;
    Ok(report.verdict.works)
}

fn examine() -> Report {
    let roots = Roots::default();
    let facts = Facts::read(&roots);
    let mut report = Report::new(&facts);
    process::raise_nofile();
    process::raise_memlock();
    let datagram = match Datagram::new() {
        Ok(datagram) => datagram,
        Err(error) => {
            report.verdict = Verdict::no(format!("no socket on the loopback device: {error}"));
            return report;
        }
    };
    let args = datagram.args("");
    let host = match Host::read(&args, &roots, None) {
        Ok(host) => host,
        Err(error) => {
            let error = Error::from(error);
            report.verdict = Verdict::no(error.last_words());
            let reason = Reason::of_backend(Backend::Tracepoint, &error, &facts);
            report.checks.push(Check::new("kernel", "types of the kernel", Answer::No(reason)));
            return report;
        }
    };
    kernel(&mut report, &host, &facts, &roots);
    programs(&mut report, &host.features, &facts);
    report.verdict = match prove(&datagram, &args, &host) {
        Ok(proof) => verdict(&proof),
        Err(error) => Verdict::no(error.last_words()),
    };
    ways(&mut report, host, &datagram, &facts);
    report
}

/// What the kernel tells about itself.
fn kernel(report: &mut Report, host: &Host, facts: &Facts, roots: &Roots) {
    let mut add = |name, answer| report.checks.push(Check::new("kernel", name, answer));
    add("types of the kernel", Answer::yes("/sys/kernel/btf/vmlinux"));
    add("addresses of functions", addresses(host.functions.functions.len(), host.no_symbols.as_ref(), facts));
    add("list of traceable functions", list(host.no_list.as_ref(), facts));
    add("types of modules", types_of_modules(modules::list(&roots.sys).map_or(0, |names| names.len()), facts));
    add("drop reasons", drop_reasons(host.drop_reasons().reasons.len(), facts));
    add("native code", native_code(facts));
    add("other network namespaces", other_namespaces(facts));
}

fn addresses(functions: usize, error: Option<&SymbolsError>, facts: &Facts) -> Answer {
    match error {
        None => Answer::yes(format!("{functions} functions take an skb")),
        Some(error) => Answer::No(Reason::of_addresses(error.to_string(), error.hint(), facts)),
    }
}

fn list(error: Option<&ListError>, facts: &Facts) -> Answer {
    match (error, facts.lockdown) {
        (None, _) => Answer::yes(""),
        // Nothing is lost: what cannot be traced is refused when it is attached.
        (Some(error), Some(Lockdown::Confidentiality)) if facts.may_trace() => {
            Answer::Without(format!("{error}; functions are tried one by one"))
        }
        (Some(error), _) => Answer::Without(error.to_string()),
    }
}

fn types_of_modules(count: usize, facts: &Facts) -> Answer {
    match count {
        0 if facts.option("CONFIG_MODULES") == Some(false) => Answer::Without("this kernel has no modules".into()),
        0 => Answer::No(Reason::of_none((5, 11), facts)),
        count => Answer::yes(format!("{count} modules: --kmods, --all-kmods")),
    }
}

fn drop_reasons(count: usize, facts: &Facts) -> Answer {
    match count {
        0 => Answer::No(Reason::of_none((5, 17), facts)),
        count => Answer::yes(format!("{count} names")),
    }
}

fn native_code(facts: &Facts) -> Answer {
    match facts.jit {
        Some(false) => Answer::No(Reason {
            cause: Cause::Jit,
            text: "programs are interpreted: slow, and no fentry".into(),
            unlock: Some("sysctl net.core.bpf_jit_enable=1".into()),
        }),
        Some(true) => Answer::yes("net.core.bpf_jit_enable"),
        None => Answer::Without("net.core.bpf_jit_enable cannot be read".into()),
    }
}

fn other_namespaces(facts: &Facts) -> Answer {
    match (facts.may_enter(), facts.may_look_at_processes()) {
        (true, true) => Answer::yes("names of interfaces there, --filter-netns with --filter-ifname"),
        (true, false) => Answer::yes("names of interfaces there; CAP_SYS_PTRACE is missing for those of other users"),
        (false, _) => Answer::No(Reason {
            cause: Cause::Capability,
            text: "interfaces there have numbers instead of names".into(),
            unlock: Some("CAP_SYS_ADMIN and CAP_SYS_PTRACE".into()),
        }),
    }
}

/// What programs may do.
fn programs(report: &mut Report, features: &Features, facts: &Facts) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// The lines of the table below the name of a check, without the name.
    fn shown(answer: Answer) -> String {
        let mut report = Report::new(&Facts::default());
        report.checks.push(Check::new("group", "name", answer));
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().skip(3).take_while(|line| !line.is_empty()).map(str::trim).collect();
        lines.join("\n").trim_start_matches("name").trim_start().to_owned()
    }

    fn on(release: &str) -> Facts {
        Facts { release: release.into(), ..Facts::default() }
    }

    #[test]
    fn what_the_kernel_tells_is_shown() {
        let check = |answer, text: &str| assert_eq!(shown(answer), text);
        check(addresses(1500, None, &on("6.1")), "yes  1500 functions take an skb");
        check(
            addresses(0, Some(&SymbolsError::Hidden(Some(2))), &on("6.1")),
            "no   sysctl: all addresses in /proc/kallsyms are zero, because kernel.kptr_restrict is 2\n\
             to unlock: sysctl kernel.kptr_restrict=1",
        );
        check(list(None, &on("6.1")), "yes");
        let locked = Facts { lockdown: Some(Lockdown::Confidentiality), ..on("6.1") };
        let refused = ListError::Refused("/list".into());
        check(
            list(Some(&refused), &locked),
            "-    /list is refused: lockdown or missing privilege; functions are tried one by one",
        );
        check(list(Some(&ListError::NotMounted), &on("6.1")), "-    tracefs is not mounted");
        check(types_of_modules(12, &on("6.1")), "yes  12 modules: --kmods, --all-kmods");
        check(
            types_of_modules(0, &on("5.10.1")),
            "no   version: there since Linux 5.11\nto unlock: Linux 5.11 or later",
        );
        check(types_of_modules(0, &on("6.1")), "no   unknown: there are none");
        let alone = Facts { config: Some("# CONFIG_MODULES is not set\n".into()), ..on("6.1") };
        check(types_of_modules(0, &alone), "-    this kernel has no modules");
        check(drop_reasons(80, &on("6.1")), "yes  80 names");
        check(drop_reasons(0, &on("5.10")), "no   version: there since Linux 5.17\nto unlock: Linux 5.17 or later");
        check(native_code(&Facts { jit: Some(true), ..on("6.1") }), "yes  net.core.bpf_jit_enable");
        check(
            native_code(&Facts { jit: Some(false), ..on("6.1") }),
            "no   jit: programs are interpreted: slow, and no fentry\nto unlock: sysctl net.core.bpf_jit_enable=1",
        );
        check(native_code(&on("6.1")), "-    net.core.bpf_jit_enable cannot be read");
        check(other_namespaces(&on("6.1")), "yes  names of interfaces there, --filter-netns with --filter-ifname");
        check(
            other_namespaces(&Facts { capabilities: Some(0), ..on("6.1") }),
            "no   capability: interfaces there have numbers instead of names\n\
             to unlock: CAP_SYS_ADMIN and CAP_SYS_PTRACE",
        );
        check(
            other_namespaces(&Facts { capabilities: Some(1 << 21), ..on("6.1") }),
            "yes  names of interfaces there; CAP_SYS_PTRACE is missing for those of other users",
        );
    }

    #[test]
    fn what_programs_may_is_shown() {
        let denied = || io::Error::from_raw_os_error(libc::EPERM);
        let features = Features {
            ring_buffer: Ok(()),
            cast: Ok(7),
            read_kernel: Err(denied()),
            cookie: Err(io::Error::from_raw_os_error(libc::EINVAL)),
            task: Ok(()),
            fentry: None,
        };
        let facts = Facts { lockdown: Some(Lockdown::Confidentiality), ..on("5.10.1") };
        let mut report = Report::new(&facts);
        programs(&mut report, &features, &facts);
        let text = report.to_string();
        let group = text.split("\n\n").nth(1).unwrap_or_default();
        let want = "\
programs
  ring buffer                  yes
  bpf_rdonly_cast              yes  memory is read by plain loads
  bpf_probe_read_kernel        no   lockdown: lockdown=confidentiality forbids it
                                    to unlock: boot without lockdown=confidentiality
  attach cookies               no   version: there since Linux 5.15
                                    to unlock: Linux 5.15 or later";
        assert_eq!(group, want);
    }

    #[test]
    fn what_a_datagram_shows_is_shown() {
        let proof =
            |seen| Proof { backend: Backend::Kprobe, says: String::new(), seen, took: Duration::from_millis(12) };
        let check = |seen_places, text: &str| assert_eq!(shown(seen(&proof(seen_places))), text);
        check(Ok(3), "yes  saw our own datagram in 3 places, the first after 12 ms");
        check(Ok(0), "no   unknown: attached, but a datagram on the loopback device was not seen");
        check(
            Err(io::Error::from_raw_os_error(libc::ENETUNREACH)),
            "no   network: attached, but no datagram could be sent on the loopback device: Network is unreachable \
             (os error 101)\nto unlock: ip link set lo up",
        );
    }
}
