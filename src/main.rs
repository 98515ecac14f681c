//! The command: what is printed in the end, and exit codes.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use whither::cli::{self, Args, Command};
use whither::error::Error;
use whither::sys::alloc::OrExit;
use whither::sys::process;
use whither::sys::stop::Stop;
use whither::{doctor, filter_command, funcs_command, types_command};

#[global_allocator]
static ALLOCATOR: OrExit = OrExit;

/// Something is missing from the output, and `--strict` was asked for.
const INCOMPLETE: u8 = 3;
/// What cannot be done where [`Stop`] cannot be had.
const SIGNALS: &str = "wait for signals";

fn main() -> ExitCode {
    command().unwrap_or_else(|error| {
        let _ = write!(std::io::stderr(), "{}", error.last_words());
        ExitCode::from(error.exit_code())
    })
}

fn command() -> Result<ExitCode, Error> {
    process::raise_stack();
    match cli::parse(std::env::args_os())? {
        Command::Trace(args) => return trace(&args),
        Command::Doctor(args) if !doctor::run(&args)? => return Ok(ExitCode::FAILURE),
        Command::Doctor(_) => {}
        Command::Types(args) => types_command::run(&args)?,
        Command::Funcs(args) => funcs_command::run(&args, &Stop::on_signals().map_err(Error::cannot(SIGNALS))?)?,
        Command::Filter(args) => filter_command::run(&args)?,
        Command::Help(text) => {
            let _ = write!(std::io::stderr(), "{text}");
        }
        Command::Version(text) => process::print(format!("{text}\n").as_bytes()).map_err(Error::output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn trace(args: &Args) -> Result<ExitCode, Error> {
    let stop = if args.output_file.is_some() { Stop::on_signals_but_hangup() } else { Stop::on_signals() };
    let stop = Arc::new(stop.map_err(Error::cannot(SIGNALS))?);
    let summary = whither::run::run(args, &stop)?;
    Ok(if args.strict && summary.missing > 0 { ExitCode::from(INCOMPLETE) } else { ExitCode::SUCCESS })
}
