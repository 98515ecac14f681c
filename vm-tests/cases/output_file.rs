//! `--output-file`: lines and header in a file, which SIGHUP opens again; a full disk is said, with what was lost.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let trace = vm.trace("--filter-func ip_rcv --output-file /tmp/out/dir/trace.log udp dst port 5001")?;
    net.udp("10.0.0.2:5001", 10, 3)?;
    wait_for(|| lines("/tmp/out/dir/trace.log") == 4);
    vm.sh("mv /tmp/out/dir/trace.log /tmp/out/dir/old && busybox killall -HUP whither")?;
    let status = format!("/proc/{}/status", trace.pid());
    wait_for(|| !is_pending(&std::fs::read_to_string(&status).unwrap_or_default(), 1));
    net.udp("10.0.0.2:5001", 10, 2)?;
    let ended = trace.stop()?;
    ensure!(ended.code == 0 && ended.stdout.is_empty(), "{ended}");
    let (old, new) = (lines("/tmp/out/dir/old"), lines("/tmp/out/dir/trace.log"));
    ensure!((old, new) == (4, 2), "{old} lines in the old file, {new} in the new one\n{ended}");

    vm.sh("mkdir /tmp/full && mount -t tmpfs -o size=16k none /tmp/full")?;
    let trace = vm.trace("--filter-func ip_rcv --output-file /tmp/full/trace.log udp dst port 5001")?;
    for _ in 0..3 {
        net.udp("10.0.0.2:5001", 10, 100)?;
    }
    let ended = trace.stop()?;
    let said = ended.stderr.contains("lines cannot be written") && ended.stderr.contains("lines could not be written");
    ensure!(ended.code == 0 && said, "{ended}");
    vm.sh("umount /tmp/full")?;
    Ok(())
}

fn lines(path: &str) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// Whether a signal waits to be read, according to `/proc/PID/status`.
fn is_pending(status: &str, signal: u32) -> bool {
    let words = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    words.and_then(|word| u64::from_str_radix(word.trim(), 16).ok()).is_some_and(|bits| bits >> (signal - 1) & 1 == 1)
}

fn wait_for(ready: impl Fn() -> bool) {
    for _ in 0..1200 {
        if ready() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
