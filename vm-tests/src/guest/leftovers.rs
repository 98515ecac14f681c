//! What a tracer may leave behind in the kernel.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use super::Guest;
use super::bpf::{self, Kind};
use crate::error::{Error, Result};

/// Everything attached or loaded at one moment, one readable line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftovers(BTreeSet<String>);

impl Guest {
    /// BPF programs, maps and links, kprobe events, kprobes, and functions that something is attached to.
    pub fn leftovers(&self) -> Result<Leftovers> {
        let mut found = objects()?;
        found.extend(attached());
        Ok(Leftovers(found))
    }

    /// Waits until nothing is there that was not there `before`; the kernel frees some things a little later.
    pub fn expect_nothing_left(&self, before: &Leftovers, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            let is_late = Instant::now() > end;
            let mut now = objects()?;
            // A program is there as long as it is attached, and to list a thousand kprobes takes the kernel a second, in
            // which it removes none.
            if is_late || now.is_subset(&before.0) {
                now.extend(attached());
            }
            let new: Vec<_> = now.difference(&before.0).map(String::as_str).collect();
            if new.is_empty() {
                return Ok(());
            }
            if is_late {
                let shown = new[..new.len().min(20)].join("\n  ");
                return Err(Error::new(format!("{} things were left behind:\n  {shown}", new.len())));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn objects() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for id in bpf::ids(Kind::Program)? {
        let name = bpf::program(id).map(|program| program.name).unwrap_or_default();
        found.insert(format!("program {id} {name}"));
    }
    for id in bpf::ids(Kind::Map)? {
        found.insert(format!("map {id} {}", bpf::map_name(id).unwrap_or_default()));
    }
    for id in bpf::ids(Kind::Link)? {
        found.insert(format!("link {id}"));
    }
    Ok(found)
}

fn attached() -> BTreeSet<String> {
    let lists = [
        ("kprobe event", "/sys/kernel/tracing/kprobe_events"),
        ("kprobe", "/sys/kernel/debug/kprobes/list"),
        ("ftrace", "/sys/kernel/tracing/enabled_functions"),
    ];
    // Under lockdown these are not readable, and nothing that shows in them is allowed.
    let lines = |(what, path): (&str, &str)| -> Vec<String> {
        fs::read_to_string(path).unwrap_or_default().lines().map(|line| format!("{what} {line}")).collect()
    };
    lists.into_iter().flat_map(lines).collect()
}

impl Leftovers {
    /// How many lines start with `what`: `program`, `map`, `link`, `kprobe event`, `kprobe`, `ftrace`.
    pub fn count(&self, what: &str) -> usize {
        let prefix = format!("{what} ");
        self.0.iter().filter(|line| line.starts_with(&prefix)).count()
    }
}
