//! `whither filter`: the filter compiler as a command.

use crate::cli::{Emit, FilterArgs, LinkType};
use filter_compiler::names::System;
use filter_compiler::{Error, Graph, compile, to_cbpf};
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

/// Compiles what the command line says and prints it. A wrong expression is status 2, a failure to write 1.
pub fn run(args: &FilterArgs) -> ExitCode {
    let mut out = io::stdout().lock();
    let result = if args.batch {
        batch(args, &mut io::stdin().lock(), &mut out)
    } else {
        match text(args, &args.expression) {
            Ok(text) => out.write_all(text.as_bytes()),
            Err(error) => {
                let _ = write!(io::stderr(), "{}", error.render());
                return ExitCode::from(2);
            }
        }
    };
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// One expression per line in; out `ok N` and N lines, or `error MESSAGE` on one line.
fn batch(args: &FilterArgs, input: &mut dyn BufRead, out: &mut dyn Write) -> io::Result<()> {
    for line in input.lines() {
        match graph(args, &line?).and_then(|graph| to_cbpf(&graph)) {
            Ok(program) => {
                writeln!(out, "ok {}", program.0.len() + 1)?;
                out.write_all(program.decimal().to_string().as_bytes())?;
            }
            Err(error) => writeln!(out, "error {error}")?,
        }
    }
    out.flush()
}

fn graph(args: &FilterArgs, expression: &str) -> Result<Graph, Error> {
    let link = match args.link_type {
        LinkType::En10mb => filter_compiler::LinkType::En10Mb,
        LinkType::Raw => filter_compiler::LinkType::Raw,
    };
    compile(expression, link, &System::new())
}

fn text(args: &FilterArgs, expression: &str) -> Result<String, Error> {
    let graph = graph(args, expression)?;
    Ok(match args.emit.unwrap_or(Emit::Listing) {
        Emit::Cbpf => to_cbpf(&graph)?.decimal().to_string(),
        Emit::Listing => to_cbpf(&graph)?.to_string(),
        Emit::Ebpf | Emit::Graph => graph.to_string(),
    })
}
