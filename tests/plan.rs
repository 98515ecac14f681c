//! Plans: each file of `tests/plan/` holds a command line, a recorded host, and what is decided about them.
//!
//! `args` is the command line, `host` a directory of `tests/hosts`. `without` takes features from the host: `ring`,
//! `cast`, `read`, `cookie`, `fentry`; `only` keeps the lines of the plan that start with one of its words (`record` stands for
//! the whole layout). `BLESS=1 cargo test --test plan` rewrites the files.
#![cfg(target_arch = "x86_64")] // as the recorded hosts are

#[path = "support/golden.rs"]
mod golden;
#[path = "support/recorded.rs"]
mod recorded;

use golden::Case;
use std::collections::BTreeMap;
use std::fmt::Write;
use whither::error::Error;
use whither::plan::{Plan, make};

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
    for backend in rungs {
        let plan = match Plan::with(&args, &host, backend, packet.clone()) {
            _ if args.backend.is_none() && !recorded::backends(name).contains(&backend) => continue,
            Ok(plan) => plan,
            Err(error) => {
                let error = Error::from(error);
                if error.is_ours() || args.backend.is_some() {
                    return Err(error);
                }
                let _ = writeln!(out, "--- not {backend}\n{error}");
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
        return Ok(out);
    }
    Ok(out)
}

fn refused(error: &Error) -> String {
    let mut out = format!("--- exit {}\nerror: {error}\n", error.exit_code());
    if let Some(hint) = error.hint() {
        let _ = writeln!(out, "hint: {hint}");
    }
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
