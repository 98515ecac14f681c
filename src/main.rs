//! The command: exit codes, and errors as a reader sees them.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use whither::cli::{self, Args, Command};
use whither::error::Error;
use whither::sys::alloc::OrExit;
use whither::sys::stop::Stop;

#[global_allocator]
static ALLOCATOR: OrExit = OrExit;

/// Something is missing from the output, and `--strict` was asked for.
const INCOMPLETE: u8 = 3;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Command::Trace(args)) => match trace(&args) {
            Ok(code) => code,
            Err(error) => fail(&error),
        },
        Ok(Command::Doctor(args)) => whither::doctor::run(&args),
        Ok(Command::Types(args)) => whither::types_command::run(&args),
        Ok(Command::Funcs(args)) => match funcs(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Ok(Command::Filter(args)) => whither::filter_command::run(&args),
        Ok(Command::Help(text)) => {
            let _ = write!(std::io::stderr(), "{text}");
            ExitCode::SUCCESS
        }
        Ok(Command::Version(text)) => {
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(misuse) => {
            let _ = write!(std::io::stderr(), "{misuse}");
            ExitCode::from(2)
        }
    }
}

fn trace(args: &Args) -> Result<ExitCode, Error> {
    let stop = if args.output_file.is_some() { Stop::on_signals_but_hangup() } else { Stop::on_signals() };
    let stop = Arc::new(stop?);
    let summary = whither::run::run(args, &stop)?;
    Ok(if args.strict && summary.missing > 0 { ExitCode::from(INCOMPLETE) } else { ExitCode::SUCCESS })
}

fn funcs(args: &Args) -> Result<(), Error> {
    whither::funcs_command::run(args, &Stop::on_signals()?)
}

fn fail(error: &Error) -> ExitCode {
    let mut stderr = std::io::stderr();
    let _ = writeln!(stderr, "error: {error}");
    if let Some(hint) = error.hint() {
        let _ = writeln!(stderr, "hint: {hint}");
    }
    ExitCode::from(error.exit_code())
}
