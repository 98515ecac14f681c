//! The side that has a disk and a network: fetches kernels, packs initramfs images, runs QEMU.

pub mod apt;
pub mod arch;
pub mod binaries;
pub mod cache;
pub mod cli;
pub mod cpio;
pub mod elf;
pub mod initramfs;
pub mod kernels;
pub mod qemu;
pub mod suite;
pub mod tools;

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use crate::error::{Context, Error, Result};

/// A command whose absence is explained by the Debian package that has it.
fn program(name: &str, package: &str) -> Result<Command> {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(name).is_file()));
    if found {
        Ok(Command::new(name))
    } else {
        Err(Error::new(format!("`{name}` is not installed")).hint(format!("apt-get install {package}")))
    }
}

/// Runs `command` and returns what it printed; a failure shows the end of its error stream.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.stdin(Stdio::null()).output().context(&name)?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let lines: Vec<_> = said.trim_end().lines().collect();
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    let tail = lines[lines.len().saturating_sub(8)..].join("\n");
    Err(Error::new(format!("`{name} {}` failed ({}):\n{tail}", arguments.join(" "), done.status)))
}
