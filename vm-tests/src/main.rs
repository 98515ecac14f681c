//! The command on the machine, and `/init` in the guest.

use std::process::ExitCode;

fn main() -> ExitCode {
    if vm_tests::guest::init::is_guest() { vm_tests::guest::init::main() } else { vm_tests::host::cli::main() }
}
