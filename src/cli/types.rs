//! `whither types export`: its flags.

use std::path::PathBuf;

use clap::Parser;

use super::values::{Maybe, file};

/// The command line of `whither types export [options] [NAME...]`.
#[derive(Clone, Debug, Parser)]
#[command(name = "whither types", disable_help_flag = true, disable_version_flag = true, args_override_self = true)]
pub struct TypesArgs {
    /// Structures that are kept besides those that every run uses.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,

    /// write to this file instead of standard output
    #[arg(short, long, value_name = "FILE", value_parser = file(), default_value = "", help_heading = "Options")]
    pub output: Maybe<PathBuf>,

    /// take the types from this file instead of the running kernel
    #[arg(long, value_name = "FILE", value_parser = file(), default_value = "", help_heading = "Options")]
    pub kernel_btf: Maybe<PathBuf>,

    /// print this and end
    #[arg(short, long, help_heading = "Options")]
    pub(super) help: bool,
}
