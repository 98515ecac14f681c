//! What the command line says of itself, flags that change how a run works and not what it shows, and pwru's name.

use crate::error::Result;
use crate::guest::trace::Launch;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let version = vm.whither("--version").finish()?;
    ensure!(version.code == 0 && version.stdout.starts_with("whither 0."), "{version}");
    let help = vm.whither("--help").finish()?;
    ensure!(help.code == 0 && help.stdout.is_empty(), "{help}");
    for flag in ["--filter-func", "--output-bpfmap", "--netns-names-max-length"] {
        ensure!(help.stderr.contains(flag), "--help has no {flag}\n{help}");
    }

    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let trace = vm.trace("--debug --filter-kprobe-batch 5 --set-percpu-buf 8192 --filter-func ip_rcv icmp")?;
    net.ping("10.0.0.2")?;
    trace.wait_for_lines(2)?;
    let ended = trace.stop()?;
    ensure!(ended.stderr.contains("debug: ") && ended.stdout.contains("ip_rcv"), "{ended}");

    vm.sh("ln -sf /usr/bin/whither /tmp/pwru")?;
    let pwru = |arguments| Launch::of("/tmp/pwru", arguments);
    let version = pwru("--version").finish()?;
    ensure!(version.stdout.starts_with("pwru 0."), "{version}");
    let trace = pwru("--filter-func ip_rcv --output-tuple 'host 10.0.0.2'").start()?;
    net.ping("10.0.0.2")?;
    trace.wait_for_lines(2)?;
    let ended = trace.stop()?;
    ended.expect_all("the host", |line| line.tuple.contains("10.0.0.2") && line.name() == "ip_rcv")?;
    let nothing = pwru("--filter-func no_such_function_at_all").finish()?;
    ensure!(nothing.stderr.to_lowercase().contains("cannot find a matching kernel function"), "{nothing}");
    Ok(())
}
