//! However few files may be open, a run by kprobes starts or ends with one sentence: one descriptor more each time, until it
//! fails where a program's is copied.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 150, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    // The skb is another argument of each: that makes two programs.
    let run = vm.whither("--backend kprobe --filter-func 'ip_rcv|ip_output' icmp");
    for limit in 10..40 {
        let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        let ended = run.clone().through(&["sh", "-c", &script], "whither").finish()?;
        let errors = ended.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        ensure!(ended.code == 1 && errors == 1, "{limit} open files: status {}\n{ended}", ended.code);
        ensure!(ended.stderr.contains("Too many open files"), "{limit} open files: another reason\n{ended}");
        if ended.stderr.contains("error: kprobe does not work here: copying a descriptor: Too many open files") {
            return Ok(());
        }
    }
    Err(crate::error::Error::new("a descriptor can always be copied"))
}
