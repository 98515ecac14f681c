//! `whither filter`: the filter compiler as a command.

pub mod capture;
mod emit;

use crate::clean;
use crate::cli::{Emit, FilterArgs, LinkType};
use capture::{CaptureError, Reader};
pub use emit::EmitError;
use filter_compiler::cbpf::{Meta, Packet, Program};
use filter_compiler::ebpf::{Metadata, Needs};
use filter_compiler::names::System;
use filter_compiler::{ErrorKind, Graph, Limit, compile, to_cbpf};
use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufWriter, Read, Write};
use std::path::Path;

/// Does what the command line says and prints the result; what was found before a failure, too.
pub fn run(args: &FilterArgs) -> Result<(), Error> {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = act(args, &mut out);
    match done.and(out.flush().map_err(Error::Write)) {
        Err(Error::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn act(args: &FilterArgs, out: &mut dyn Write) -> Result<(), Error> {
    match &args.pcap {
        Some(_) if args.batch || args.emit.is_some() => Err(Error::Tasks),
        Some(path) if path.as_os_str() == "-" => matches(&mut io::stdin().lock(), path, &args.expression, out),
        Some(path) => match File::open(path) {
            Ok(mut file) => matches(&mut file, path, &args.expression, out),
            Err(error) => Err(Error::Open { path: clean::path(path).into_owned(), error }),
        },
        None if args.batch && !args.expression.is_empty() => Err(Error::Expressions),
        None if args.batch => batch(args, &mut io::stdin().lock(), out),
        None => {
            let form = args.emit.unwrap_or(Emit::Listing);
            let text = text(args.link_type, form, &args.expression, &System::new())?;
            Ok(out.write_all(text.as_bytes())?)
        }
    }
}

/// One expression per line in; out `ok N` and N lines of the form that was asked for, or `error MESSAGE` on one line.
fn batch(args: &FilterArgs, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<(), Error> {
    let (names, form) = (System::new(), args.emit.unwrap_or(Emit::Cbpf));
    let mut line = Vec::new();
    while read_line(input, &mut line).map_err(Error::Read)? {
        let answer = match str::from_utf8(&line) {
            Ok(expression) => text(args.link_type, form, expression, &names).map_err(|error| error.sentence()),
            // It was cut within a character.
            Err(_) if line.len() > Limit::Text.max() => Err(ErrorKind::TooLarge(Limit::Text).to_string()),
            Err(_) => Err("the expression is not UTF-8".to_owned()),
        };
        match answer {
            Ok(text) => write!(out, "ok {}\n{text}", text.lines().count())?,
            // What was typed is quoted, line ends of other systems included.
            Err(message) => writeln!(out, "error {}", message.replace(['\n', '\r'], " "))?,
        }
        // Who asks line by line wants the answer before the next question.
        out.flush()?;
    }
    Ok(())
}

/// Reads a line without its end; false behind the last one. Of one that is longer than any filter may be, only so much
/// is kept as shows that.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let most = Limit::Text.max() + 1;
    let mut ended = false;
    let mut any = false;
    while !ended {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            break;
        }
        any = true;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let (kept, taken) = (end.unwrap_or(buffer.len()), end.map_or(buffer.len(), |end| end + 1));
        line.extend_from_slice(&buffer[..kept.min(most - line.len())]);
        ended = end.is_some();
        input.consume(taken);
    }
    Ok(any)
}

/// The expression in the form that was asked for.
fn text(link: LinkType, form: Emit, expression: &str, names: &System) -> Result<String, Error> {
    let graph = graph(link, expression, names)?;
    Ok(match form {
        Emit::Cbpf => to_cbpf(&graph)?.decimal().to_string(),
        Emit::Listing => to_cbpf(&graph)?.to_string(),
        Emit::Ebpf => emit::program(&graph)?.to_string(),
        Emit::Graph => graph.to_string(),
    })
}

fn graph(link: LinkType, expression: &str, names: &System) -> Result<Graph, Error> {
    let link = match link {
        LinkType::En10mb => filter_compiler::LinkType::En10Mb,
        LinkType::Raw => filter_compiler::LinkType::Raw,
    };
    Ok(compile(expression, link, names)?)
}

/// Prints the numbers, from 1, of the packets that match.
fn matches(input: &mut dyn Read, path: &Path, expression: &str, out: &mut dyn Write) -> Result<(), Error> {
    let (mut seen, mut matched) = (0u64, 0u64);
    let names = System::new();
    let failed = |seen, matched, error| Error::Capture { path: clean::path(path).into_owned(), seen, matched, error };
    filter_compiler::parse(expression)?;
    let mut reader = Reader::new(input).map_err(|error| failed(0, 0, error))?;
    let compiled = |number, seen, matched| match capture::link_type(number) {
        Some(link) => for_files(link, expression, &names),
        None => Err(failed(seen, matched, CaptureError::Link(number))),
    };
    // Interfaces of one file may differ in what their packets start with.
    let mut programs: BTreeMap<u32, Program> = BTreeMap::new();
    if let Some(number) = reader.link() {
        programs.insert(number, compiled(number, 0, 0)?);
    }
    loop {
        let packet = match reader.next() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(()),
            Err(error) => return Err(failed(seen, matched, error)),
        };
        let program = match programs.entry(packet.link) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(compiled(packet.link, seen, matched)?),
        };
        seen += 1;
        let packet = Packet { data: packet.data, wire_len: packet.wire_len, meta: Meta::default() };
        if program.run(&packet).accepted() {
            matched += 1;
            writeln!(out, "{seen}")?;
        }
    }
}

/// Compiles for packets of which there are only the bytes.
fn for_files(link: LinkType, expression: &str, names: &System) -> Result<Program, Error> {
    let graph = graph(link, expression, names)?;
    match Needs::of(&graph).metadata.into_iter().find(|&which| which != Metadata::Length) {
        Some(which) => Err(Error::Untold(which)),
        None => Ok(to_cbpf(&graph)?),
    }
}

/// Why nothing more is printed.
#[derive(Debug)]
pub enum Error {
    /// The expression is wrong.
    Expression(filter_compiler::Error),
    /// The expression cannot be emitted.
    Emit(EmitError),
    /// The expression asks for what capture files do not tell.
    Untold(Metadata),
    /// Two things at a time.
    Tasks,
    /// Expressions on the command line and on standard input.
    Expressions,
    /// The capture file cannot be opened.
    Open {
        /// Its name.
        path: String,
        /// The kernel's answer.
        error: io::Error,
    },
    /// The capture file ends too early, or is none.
    Capture {
        /// Its name.
        path: String,
        /// Packets that were read before.
        seen: u64,
        /// Those of them that match.
        matched: u64,
        /// What is wrong.
        error: CaptureError,
    },
    /// Standard input cannot be read.
    Read(io::Error),
    /// Standard output cannot be written.
    Write(io::Error),
}

impl Error {
    /// One line, without the expression.
    fn sentence(&self) -> String {
        match self {
            Error::Expression(error) => error.to_string(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Expression(error) => f.write_str(error.render().trim_start_matches("error: ").trim_end()),
            Error::Emit(error) => error.fmt(f),
            Error::Untold(Metadata::PacketType) => f.write_str("capture files do not tell the direction of packets"),
            Error::Untold(_) => f.write_str("capture files do not tell the interface of packets"),
            Error::Expressions => {
                f.write_str("--batch reads expressions from standard input; there is one on the command line, too")
            }
            Error::Tasks => f.write_str("--pcap goes with neither --emit nor --batch"),
            Error::Open { path, error } => write!(f, "cannot open {path}: {error}"),
            Error::Capture { path, seen: 0, error, .. } => write!(f, "{path}: {error}"),
            Error::Capture { path, seen, matched, error } => {
                write!(f, "{path}: {error}, after {seen} packets of which {matched} match")
            }
            Error::Read(error) => write!(f, "cannot read standard input: {error}"),
            Error::Write(error) => write!(f, "cannot write: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<filter_compiler::Error> for Error {
    fn from(error: filter_compiler::Error) -> Error {
        Error::Expression(error)
    }
}

impl From<EmitError> for Error {
    fn from(error: EmitError) -> Error {
        Error::Emit(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Write(error)
    }
}
