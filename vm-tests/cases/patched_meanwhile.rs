//! The functions of a kernel are the same while another tracer attaches and detaches, which patches them.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use whither::btf::{Arch, Btf};
use whither::host::resolve::Reading;
use whither::host::{Finder, SkbFunction, Targets};

use crate::error::{Context, Error, Result};
use crate::guest::{Case, Feature, Guest, bpf};

pub const CASE: Case = Case { needs: &[Feature::KprobeMulti], seconds: 200, ..Case::new(run) };

const TIMES: usize = 100;
/// Looks that may be given up because they were slow: a run reads the kernel's list then.
const SLOW: usize = 10;

fn run(_: &Guest) -> Result<()> {
    let types = std::fs::read("/sys/kernel/btf/vmlinux")?;
    let types = Btf::parse(types, "vmlinux").map_err(|error| Error::new(error.to_string()))?;
    let mut all = Targets::default();
    all.find(&types, &Finder::new(&types, Arch::HOST), None, |_| true);
    let mut slow = 0;
    let mut resolved = || -> Result<Vec<SkbFunction>> {
        loop {
            let mut targets = all.clone();
            match targets.resolve(Reading::Helper, Arch::HOST) {
                Err(error) if error.kind() == ErrorKind::TimedOut && slow < SLOW => slow += 1,
                result => return result.map(|()| targets.functions).context("while they are patched"),
            }
        }
    };
    let before = resolved()?;
    let addresses: Vec<u64> = before.iter().flat_map(|function| function.addresses.clone()).collect();
    ensure!(addresses.len() > 1000, "only {} functions can be traced", addresses.len());
    let is_over = AtomicBool::new(false);
    let (times, same) = thread::scope(|scope| {
        let patch = scope.spawn(|| -> Result<usize> {
            let mut times = 0;
            while !is_over.load(Ordering::Relaxed) {
                drop(bpf::link_kprobe_multi(&addresses)?);
                times += 1;
            }
            Ok(times)
        });
        let same = (0..TIMES).try_for_each(|time| {
            let now = resolved()?;
            let lost = before.iter().filter(|function| !now.contains(function)).map(|function| &*function.name);
            let lost: Vec<&str> = lost.take(10).collect();
            ensure!(now.len() == before.len() && lost.is_empty(), "look {time} lacks {lost:?} and more");
            Ok(())
        });
        is_over.store(true, Ordering::Relaxed);
        (patch.join(), same)
    });
    same?;
    let times = times.map_err(|_| Error::new("the other tracer died"))??;
    ensure!(times > 10, "they were patched {times} times");
    Ok(())
}
