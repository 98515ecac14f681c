//! A reader that goes away ends the tracer without a complaint.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let before = vm.leftovers()?;
    let script = "(whither --filter-func 'ip_rcv|ip_output' icmp 2>/tmp/pipe.err; echo $? >/tmp/pipe.code) | head -n 2 >/tmp/pipe.out";
    std::thread::scope(|scope| {
        let pipe = scope.spawn(|| vm.sh(script));
        while !std::path::Path::new("/tmp/pipe.code").exists() {
            net.ping("10.0.0.2")?;
        }
        pipe.join().map_err(|_| "the pipe's thread panicked")?
    })?;
    let (code, said) = (std::fs::read_to_string("/tmp/pipe.code")?, std::fs::read_to_string("/tmp/pipe.err")?);
    ensure!(code.trim() == "0" && !said.to_lowercase().contains("pipe"), "status {code}: {said}");
    vm.expect_nothing_left(&before, super::signals_leave_nothing::SOON)
}
