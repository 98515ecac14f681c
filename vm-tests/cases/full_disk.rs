//! A disk that fills up: what could not be written is counted and said, what was written is whole lines.

use nix::sys::signal::Signal;

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    vm.sh("mkdir -p /tmp/small && mount -t tmpfs -o size=64k none /tmp/small")?;
    let trace = vm.trace("--output-file /tmp/small/trace --filter-func 'ip_.*|udp_.*' --strict udp dst port 5001")?;
    // At most 10 lines of 150 bytes for each: far more than there is room for.
    net.udp("10.0.0.2:5001", 32, 3000)?;
    let ended = trace.signal(Signal::SIGINT)?;
    ensure!(ended.code == 3, "status {}, not 3 for missing lines\n{ended}", ended.code);
    ensure!(ended.stderr.contains("No space left on device"), "the disk's answer is not told\n{ended}");
    let text = std::fs::read_to_string("/tmp/small/trace")?;
    let whole = text.lines().filter(|line| line.starts_with("0x")).count();
    ensure!(whole > 100, "{whole} lines\n{ended}");
    vm.sh("umount /tmp/small")?;
    Ok(())
}
