//! Whatever ends the tracer, the kernel is left as it was.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::{Context, Result};
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { seconds: 150, ..Case::new(run) };

/// The kernel frees programs and probes after the process is gone.
pub const SOON: Duration = Duration::from_secs(90);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let before = vm.leftovers()?;
    // On aarch64 a kprobe is a breakpoint, and none of ftrace's.
    let probe = if vm.has(Feature::Fentry)? { "ftrace" } else { "kprobe" };
    for (signal, code) in [(Signal::SIGINT, 0), (Signal::SIGTERM, 0), (Signal::SIGKILL, 137)] {
        let trace = vm.trace("--filter-func 'ip_rcv.*|ip_output|ip_local.*' icmp")?;
        let attached = vm.leftovers()?;
        for what in ["program", probe] {
            ensure!(attached.count(what) > before.count(what), "no {what} is attached: {attached:?}");
        }
        net.ping("10.0.0.2")?;
        trace.wait_for_lines(1)?;
        if signal == Signal::SIGKILL {
            // What is not written by then is lost with it.
            trace.wait_for_output("ip_rcv", |text| text.contains("ip_rcv"))?;
        }
        let ended = trace.signal(signal)?;
        ensure!(ended.code == code, "status {} after {signal}\n{ended}", ended.code);
        ended.expect_in_order(&["ip_rcv"])?;
        vm.expect_nothing_left(&before, SOON).context(signal)?;
    }
    Ok(())
}
