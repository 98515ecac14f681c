//! Names that processes and interfaces give themselves never reach a terminal as they are.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    net.left.sh(
        "name=$(printf 'x\\033[2Jy\\007'); ip link set left0 down; ip link set left0 name \"$name\"; \
         ip link set \"$name\" up; ip address replace 10.0.0.1/24 dev \"$name\" nodad",
    )?;
    // A program is called what its file is called.
    vm.sh("cp /usr/bin/busybox \"$(printf '/tmp/p\\033[31m\\nq')\"")?;
    for flags in ["", "--output-json"] {
        let trace = vm.trace(&format!("--filter-func 'ip_output|__dev_queue_xmit|dev_hard_start_xmit' {flags} icmp"))?;
        net.left.sh("bash -c 'exec -a ping \"$0\" -c 1 -W 20 10.0.0.2' \"$(printf '/tmp/p\\033[31m\\nq')\"")?;
        trace.wait_for_output("dev_hard_start_xmit", |text| text.contains("dev_hard_start_xmit"))?;
        let ended = trace.stop()?;
        let raw = ended.stdout.chars().find(|&c| c.is_control() && c != '\n');
        ensure!(raw.is_none(), "{raw:?} is in the output\n{:?}", ended.stdout);
        let names = ["x\\x1b[2Jy\\x07", "x\\u001b[2Jy\\u0007", "x\\\\x1b[2Jy\\\\x07"];
        ensure!(names.iter().any(|name| ended.stdout.contains(name)), "the interface has no name\n{ended}");
        let whole = ended.stdout.lines().all(|line| ["0x", "{", "SKB"].iter().any(|start| line.starts_with(start)));
        ensure!(whole, "a name breaks a line\n{:?}", ended.stdout);
    }
    Ok(())
}
