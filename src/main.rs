//! The command: exit codes, and errors as a reader sees them.

use std::process::ExitCode;
use std::sync::Arc;
use whither::cli::{self, Command};
use whither::sys::stop::Stop;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Command::Trace(args)) => {
            let stop = Arc::new(Stop::on_signals().expect("signals"));
            match whither::run::run(&args, &stop) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("error: {error}");
                    if let Some(hint) = error.hint() {
                        eprintln!("hint: {hint}");
                    }
                    ExitCode::FAILURE
                }
            }
        }
        Ok(Command::Help(text)) => {
            eprint!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Command::Version(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::FAILURE,
        Err(misuse) => {
            eprint!("{misuse}");
            ExitCode::from(2)
        }
    }
}
