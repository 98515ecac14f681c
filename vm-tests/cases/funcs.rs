//! `whither funcs` lists what a run would trace, with addresses that kallsyms has, and says why the rest is left out.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let before = vm.leftovers()?;
    let listed = vm.whither("funcs").finish()?;
    ensure!(listed.code == 0, "status {}\n{listed}", listed.code);
    let traced: Vec<Vec<&str>> = listed.stdout.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let count = traced.iter().filter(|row| row.len() == 4).count();
    ensure!(count > 1000, "{count} functions\n{listed}");
    let said = format!("{count} would be traced by kprobe");
    ensure!(listed.stderr.contains(&said), "the last line does not say `{said}`\n{}", listed.stderr);
    for (name, argument) in [("ip_rcv", "1"), ("tcp_v4_rcv", "1")] {
        let row = traced.iter().find(|row| row[0] == name).ok_or("a function is missing")?;
        let address = vm.symbol_address(name).unwrap_or(0);
        ensure!(row[1..] == [argument, "-", &format!("{address:#x}")], "{row:?} is not at {address:#x}");
    }
    let some = vm.whither("funcs 'ip_rcv|vprintk|ip_generic_getfrag'").finish()?;
    let line = |name: &str| some.stdout.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    ensure!(some.stdout.lines().count() == 4, "not three functions\n{some}");
    ensure!(line("ip_generic_getfrag").contains("parameter 6"), "why not?\n{some}");
    ensure!(line("vprintk").contains("no parameter is a `struct sk_buff *`"), "why not?\n{some}");
    vm.whither("funcs nosuch").finish()?.expect_refusal(1, &["no function's whole name matches `nosuch`"])?;
    vm.expect_nothing_left(&before, super::signals_leave_nothing::SOON)
}
