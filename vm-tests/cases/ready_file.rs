//! `--ready-file` appears when everything is attached, and not before.

use std::path::Path;

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let path = Path::new("/tmp/ready");
    std::fs::remove_file(path).ok();
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let trace = vm.whither("--ready-file /tmp/ready --filter-func ip_rcv icmp").start_when(&|| path.exists())?;
    net.ping("10.0.0.2")?;
    trace.stop()?.expect_in_order(&["ip_rcv 10.0.0.1:0->10.0.0.2:0(icmp)", "ip_rcv 10.0.0.2:0->10.0.0.1:0(icmp)"])?;
    let refused = vm.whither("--ready-file /nowhere/ready --filter-func ip_rcv icmp").finish()?;
    ensure!(refused.code == 1 && refused.stderr.contains("/nowhere/ready"), "the file cannot be made\n{refused}");
    Ok(())
}
