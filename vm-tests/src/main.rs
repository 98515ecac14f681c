//! The command on the machine, and `/init` in the guest.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() == 1 { vm_tests::guest::init::main() } else { vm_tests::host::cli::main() }
}
