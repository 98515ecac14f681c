//! `whither funcs`: the flags of the list of functions.

use std::path::PathBuf;

use clap::Parser;

use super::values::{Backend, Maybe, checked_list, file, maybe};

/// The command line of `whither funcs [options] [REGEX]`.
#[derive(Clone, Debug, Parser)]
#[command(name = "whither funcs", disable_help_flag = true, disable_version_flag = true, args_override_self = true)]
pub struct FuncsArgs {
    /// Functions whose whole name this regular expression matches, as `--filter-func` has it.
    #[arg(value_name = "REGEX")]
    pub pattern: Option<String>,

    /// functions of these kernel modules too (Linux 5.11)
    #[arg(long, value_name = "NAMES", value_parser = checked_list, help_heading = "Options")]
    pub kmods: Vec<String>,

    /// functions of all loaded kernel modules too (Linux 5.11)
    #[arg(long, help_heading = "Options")]
    pub all_kmods: bool,

    /// what would be traced so: kprobe, kprobe-multi, fentry, tracepoint; else by the best that works
    #[arg(long, value_name = "NAME", value_parser = maybe::<Backend>, default_value = "", help_heading = "Options")]
    pub backend: Maybe<Backend>,

    /// kernel types from this file: BTF or ELF, also packed by gzip, xz or zstd
    #[arg(long, value_name = "FILE", value_parser = file(), default_value = "", help_heading = "Options")]
    pub kernel_btf: Maybe<PathBuf>,

    /// print this and end
    #[arg(short, long, help_heading = "Options")]
    pub(super) help: bool,
}
