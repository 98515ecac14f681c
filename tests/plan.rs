//! Plans: each file of `tests/plan/` holds a command line, a recorded host, and what is decided about them.
//!
//! `args` is the command line, `host` a directory of `tests/hosts`. `without` takes features from the host: `ring`,
//! `cast`, `read`, `cookie`, `fentry`; `only` keeps the lines of the plan that start with one of its words (`record` stands for
//! the whole layout, and `says` adds what a run says of it before it attaches). `BLESS=1 cargo test --test plan` rewrites the files.
#![cfg(target_arch = "x86_64")] // as the recorded hosts are

#[path = "support/golden.rs"]
mod golden;
#[path = "support/recorded.rs"]
mod recorded;

use golden::Case;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::rc::Rc;
use whither::error::Error;
use whither::host::bpf_progs::Callees;
use whither::host::features::Lockdown;
use whither::host::survey::Host;
use whither::host::{ListError, LoadError};
use whither::plan::track::By;
use whither::plan::{Backend, Plan, make};
use whither::say::Say;

/// Targets that are listed one by one; of more only the first are, then counts.
const LISTED: usize = 20;

#[test]
fn every_plan_is_as_its_file_says() {
    golden::check("plan", "plan", |case| plan(case).unwrap_or_else(|error| refused(&error)));
}

fn plan(case: &Case) -> Result<String, Error> {
    let name = case.get("host");
    let args = recorded::args(case.get("args"));
    let packet = make::expression(&args)?;
    let host = recorded::host(name, &args, &case.words("without").collect::<Vec<_>>())?;
    let rungs = make::ladder(&args, &host);
    let words: Vec<&str> = rungs.iter().map(|backend| backend.word()).collect();
    let mut out = format!("--- ladder\n{}\n", words.join(" "));
    let mut failed = Vec::new();
    for backend in rungs {
        let plan = match Plan::with(&args, &host, backend, packet.clone()) {
            _ if args.backend.is_none() && !recorded::backends(name).contains(&backend) => continue,
            Ok(plan) => plan,
            Err(error) => {
                let error = Error::from(error);
                if error.is_final() || args.backend.is_some() {
                    return Err(error);
                }
                let _ = writeln!(out, "--- not {backend}\n{error}");
                failed.push((backend, error));
                continue;
            }
        };
        let only: Vec<&str> = case.words("only").collect();
        let kept = |line: &&str| {
            let word = if line.starts_with(' ') { "record" } else { line.split(' ').next().unwrap_or_default() };
            only.is_empty() || only.contains(&word)
        };
        out += "--- plan\n";
        for line in shortened(&plan).lines().filter(kept) {
            let _ = writeln!(out, "{line}");
        }
        if only.contains(&"says") {
            out += "--- says\n";
            out += &said(&plan, &host, &failed);
        }
        return Ok(out);
    }
    Ok(out)
}

/// What a run says of its host and its plan.
fn said(plan: &Plan, host: &Host, failed: &[(Backend, Error)]) -> String {
    #[derive(Clone, Default)]
    struct Said(Rc<RefCell<Vec<u8>>>);
    impl io::Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let out = Said::default();
    let say = Say::to(Box::new(out.clone()), false);
    say.host(host);
    say.backend(plan, host, failed);
    String::from_utf8(out.0.take()).expect("UTF-8")
}

/// What no recorded host lacks.
#[test]
fn what_a_host_keeps_from_us_is_said() {
    let args = recorded::args("--filter-func ip_rcv");
    let mut host = recorded::host("6.12-x86_64", &args, &[]).expect("it is recorded");
    host.no_list = Some(ListError::NotMounted);
    let names = ["bpf_skb_load_bytes", "ip_rcv"].map(str::to_owned).to_vec();
    host.callees = Some(Callees { names, programs: 3, unread: 1 });
    host.not_traceable = vec!["vprintk".into(), "printk".into()];
    host.awaited = vec![LoadError::NotLoaded { name: "wireguard".into(), near: None }];
    let said = |backend| {
        let plan = Plan::with(&args, &host, backend, None).expect("it can be planned");
        said(&plan, &host, &[])
    };
    let begin = "note: the list of traceable functions is not used: tracefs is not mounted
3 BPF programs call 2 kernel functions, 1 of which can be traced; the code of 1 cannot be read to its end
warning: vprintk, printk cannot be traced here
";
    let late = "note: no module `wireguard` is loaded\n  its functions are traced";
    let want = "Tracing by kprobe, fentry for 1 of the functions, memory read by bpf_rdonly_cast";
    assert_eq!(said(Backend::Kprobe), format!("{begin}{want}\n{late} as soon as it is loaded\n"));
    let want = "Tracing by fentry, memory read by bpf_rdonly_cast";
    let fentry = said(Backend::Fentry);
    assert!(fentry.contains(want), "{fentry}");
    assert!(fentry.ends_with(&format!("{late} only if it is loaded before the start\n")), "{fentry}");
}

/// The recorded hosts do not have every tracepoint that it takes.
#[test]
fn following_by_tracepoints_is_said() {
    let args = recorded::args("--filter-track-skb --filter-func ip_rcv icmp");
    let host = recorded::host("6.12-x86_64", &args, &[]).expect("it is recorded");
    let packet = make::expression(&args).expect("it is right");
    let mut plan = Plan::with(&args, &host, Backend::KprobeMulti, packet).expect("it can be planned");
    plan.tracking.as_mut().expect("packets are followed").by = By::Tracepoints;
    let want = "Following packets by tracepoints: not into clones, copies, segments and fragments, and not past GRO and \
                TCP's receiver\n";
    assert!(said(&plan, &host, &[]).ends_with(want));
}

#[test]
fn what_lockdown_forbids_is_said() {
    let args = recorded::args("--backend kprobe icmp");
    let mut host = recorded::host("6.1-x86_64", &args, &["read"]).expect("it is recorded");
    host.lockdown = Some(Lockdown::Confidentiality);
    let error = Plan::with(&args, &host, Backend::Kprobe, None).expect_err("nothing can be read");
    let text = "--- exit 1
error: programs may not read kernel memory: lockdown=confidentiality forbids it, and invalid input parameter
";
    assert_eq!(refused(&error.into()), text);
}

fn refused(error: &Error) -> String {
    let out = format!("--- exit {}\n{}", error.exit_code(), error.last_words());
    // Paths of recorded hosts begin where the tree lies.
    out.replace(&format!("{}/", env!("CARGO_MANIFEST_DIR")), "")
}

/// The text of a plan, with long lists of targets cut.
fn shortened(plan: &Plan) -> String {
    let text = plan.to_string();
    if plan.targets.len() <= LISTED {
        return text;
    }
    let (targets, head): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("target "));
    let mut out: String =
        head.into_iter().chain(targets.into_iter().take(LISTED)).map(|line| format!("{line}\n")).collect();
    let mut counts: BTreeMap<(u8, Option<u8>), usize> = BTreeMap::new();
    for target in &plan.targets[LISTED..] {
        *counts.entry((target.skb_arg, target.reason_arg)).or_default() += 1;
    }
    for ((skb, reason), count) in counts {
        let reason = reason.map_or(String::new(), |position| format!(", drop reason is argument {position}"));
        let _ = writeln!(out, "and      {count:<30} skb is argument {skb}{reason}");
    }
    let _ = writeln!(out, "places   {}", plan.places());
    out
}
