//! What cannot be meant is refused with status 2, what cannot be had with status 1, each with a sentence that names it.

use crate::error::{Context, Result};
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let misuse: &[(&str, &[&str])] = &[
        ("--no-such-flag", &["--no-such-flag"]),
        ("--filter-mark 1/2/3", &["1/2/3"]),
        ("--filter-mark 0x1ffffffff", &["0x1ffffffff"]),
        ("--timestamp sometimes", &["sometimes"]),
        ("--backend uprobe", &["uprobe"]),
        ("--output-limit-lines many", &["many"]),
        ("host 10.0.0.2 and tcp port htpp", &["htpp"]),
        ("tcp port 80 and", &[]),
        ("--filter-netns somewhere", &["somewhere"]),
        ("--filter-func '('", &["--filter-func"]),
    ];
    for (arguments, words) in misuse {
        vm.whither(arguments).finish()?.expect_refusal(2, words).context(arguments)?;
    }
    let unavailable: &[(&str, &[&str])] = &[
        ("--filter-func no_such_function", &["function"]),
        ("--filter-ifname nosuch0", &["nosuch0"]),
        ("--kmods no_such_module", &["no_such_module"]),
        ("--kernel-btf /nonexistent", &["/nonexistent"]),
        ("--kernel-btf /etc/hosts", &["/etc/hosts"]),
    ];
    for (arguments, words) in unavailable {
        vm.whither(arguments).finish()?.expect_refusal(1, words).context(arguments)?;
    }
    Ok(())
}
