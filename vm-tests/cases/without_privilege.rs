//! A user who may not trace is told so.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let ended = vm.whither("icmp").unprivileged().finish()?;
    ended.expect_refusal(1, &[])?;
    let said = ended.stderr.to_lowercase();
    let clear = ["root", "privilege", "cap_", "permi"].iter().any(|word| said.contains(word));
    ensure!(clear && said.lines().count() <= 4, "the refusal does not say what is missing\n{ended}");
    let funcs = vm.whither("funcs ip_rcv").unprivileged().finish()?;
    let said = "; but no way in works here: functions have no addresses here: all addresses in /proc/kallsyms are zero";
    ensure!(funcs.stderr.contains(said), "`funcs` does not say that nothing is traced\n{funcs}");
    let version = vm.whither("--version").unprivileged().finish()?;
    ensure!(version.code == 0 && version.stdout.starts_with("whither "), "--version needs no privilege\n{version}");
    Ok(())
}
