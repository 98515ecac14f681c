//! `--output-limit-lines` ends the run by itself, after exactly so many events.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    let trace = vm.trace("--output-limit-lines 5 --filter-func 'ip_send_skb|ip_output|ip_rcv' udp port 5001")?;
    net.udp("10.0.0.2:5001", 18, 100)?;
    trace.wait_for_lines(5)?;
    let ended = trace.wait()?;
    let lines = ended.lines()?.len();
    ensure!(ended.code == 0 && lines == 5, "status {} and {lines} lines\n{ended}", ended.code);
    Ok(())
}
