//! Builds the two static programs of a guest with a nested cargo: this crate as `/init`, and `whither`.
//!
//! Everything is linked statically, so that a guest needs no library of the machine. `--target` is named although it is
//! mostly the machine's own, because without it `crt-static` would also apply to procedural macros, which are shared objects.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::arch;
use super::cache::{target, workspace};
use crate::error::{Context, Result};

/// Paths of the guest's own programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// This crate, for `/init`.
    pub agent: PathBuf,
    /// The tool, unless it was not wanted.
    pub whither: Option<PathBuf>,
}

/// Builds what is not up to date, both at once: the end of the tool's build keeps one processor busy for long. `whither`
/// says whether the tool is wanted; `WHITHER_VM_WHITHER` names one that is already built and static.
pub fn build(whither: bool) -> Result<Binaries> {
    std::thread::scope(|scope| {
        let tool = scope.spawn(|| if whither { tool().map(Some) } else { Ok(None) });
        let agent = agent()?;
        Ok(Binaries { agent, whither: tool.join().map_err(|_| "the thread of a build panicked")?? })
    })
}

fn agent() -> Result<PathBuf> {
    let directory = target().join("vm-agent");
    // It is built often and run for seconds; optimisation of the whole program would only cost time.
    let arch = arch::chosen()?;
    let quick = ["lto=false", "codegen-units=16", "opt-level=1", "package.'*'.opt-level=1"];
    let mut command = Command::new(program());
    command.args(["build", "--quiet", "--release", "--target", arch.target]);
    command.args(["--package", "vm-tests", "--bin", "vm-tests", "--target-dir"]).arg(&directory);
    command.args(quick.iter().flat_map(|setting| ["--config".to_owned(), format!("profile.release.{setting}")]));
    // The linker of a target that is not this machine's is in .cargo/config.toml.
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    run(command, "vm-tests")?;
    Ok(directory.join(arch.target).join("release/vm-tests"))
}

fn tool() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("WHITHER_VM_WHITHER") {
        return Ok(given.into());
    }
    let directory = target().join("vm-build");
    let arch = arch::chosen()?;
    // As users build it: .cargo/config.toml has what is particular.
    let mut command = Command::new(program());
    command.args(arch.build).args(["--quiet", "--target-dir"]).arg(&directory).env_remove("RUSTFLAGS");
    run(command, "whither")?;
    Ok(directory.join(arch.target).join("release/whither"))
}

fn program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn run(mut command: Command, package: &str) -> Result<()> {
    command.current_dir(workspace()).env_remove("CARGO_ENCODED_RUSTFLAGS").stdin(Stdio::null());
    let status = command.status().context("cargo")?;
    ensure!(status.success(), "cargo could not build the static `{package}` for the guest");
    Ok(())
}
