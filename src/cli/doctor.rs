//! `whither doctor`: its flags.

use clap::Parser;

/// The command line of `whither doctor [options]`.
#[derive(Clone, Debug, Parser)]
#[command(name = "whither doctor", disable_help_flag = true, disable_version_flag = true, args_override_self = true)]
pub struct DoctorArgs {
    /// print one JSON object instead of a table
    #[arg(long, help_heading = "Options")]
    pub json: bool,

    /// print this and end
    #[arg(short, long, help_heading = "Options")]
    pub(super) help: bool,
}
