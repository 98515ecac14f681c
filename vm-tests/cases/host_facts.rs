//! The guest is the host that the other cases take it for.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    ensure!(vm.release.starts_with(&vm.kernel), "{} is not {}", vm.release, vm.kernel);
    for path in ["/sys/kernel/btf/vmlinux", "/sys/kernel/tracing/available_filter_functions", "/proc/kallsyms"] {
        let text = std::fs::File::open(path);
        ensure!(text.is_ok(), "{path}: {text:?}");
    }
    for option in ["CONFIG_KPROBES", "CONFIG_BPF_EVENTS", "CONFIG_DEBUG_INFO_BTF"] {
        ensure!(vm.has_option(option), "{option} is off");
    }
    ensure!(vm.has_symbol("ip_rcv") && !vm.has_symbol("ip_rcv_not"), "kallsyms is not readable");
    let clean = vm.leftovers()?;
    for what in ["program", "link", "kprobe", "kprobe event", "ftrace"] {
        ensure!(clean.count(what) == 0, "something is attached before anything was: {clean:?}");
    }
    Ok(())
}
