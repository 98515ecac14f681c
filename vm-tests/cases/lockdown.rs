//! What every locked-down host must show.

use crate::error::Result;
use crate::guest::Guest;

/// Traces an echo with whatever works.
pub fn follows_an_echo(vm: &Guest, arguments: &str) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let before = vm.leftovers()?;
    let trace = vm.trace(arguments)?;
    net.ping("10.0.0.2")?;
    let ended = trace.stop()?;
    for tuple in ["10.0.0.1:0->10.0.0.2:0(icmp)", "10.0.0.2:0->10.0.0.1:0(icmp)"] {
        ensure!(ended.lines()?.iter().any(|line| line.tuple == tuple), "{tuple} was not seen\n{ended}");
    }
    let named = ["kprobe-multi", "kprobe", "fentry", "tracepoint"].iter().any(|backend| ended.stderr.contains(backend));
    ensure!(named, "the way in is not named\n{ended}");
    vm.expect_nothing_left(&before, super::signals_leave_nothing::SOON)
}
