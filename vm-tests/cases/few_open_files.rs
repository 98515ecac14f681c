//! However few files may be open, a run by kprobes ends with one sentence: one descriptor more each time, until it traces.

use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 150, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    // In the words of the C library that both programs of the guest have.
    let too_many = std::io::Error::from(Errno::EMFILE).to_string();
    // The skb is another argument of each: that makes two programs.
    let run = vm.whither("--backend kprobe --filter-func 'ip_rcv|ip_output' icmp");
    for limit in 10..40 {
        let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        match run.clone().through(&["sh", "-c", &script], "whither").start() {
            Ok(trace) => return trace.stop().map(drop),
            Err(error) => {
                let said = error.to_string();
                let errors: Vec<_> = said.lines().filter(|line| line.trim_start().starts_with("error: ")).collect();
                let is_one = errors.len() == 1 && errors[0].contains(&too_many);
                ensure!(said.contains("\nstatus 1 ") && is_one, "{limit} open files: {said}");
            }
        }
    }
    Err(Error::new("it never starts"))
}
