//! Lines: what is printed for an event, against files.
//!
//! `tests/lines/samples/` holds output of pwru on real kernels: each line is taken apart and printed again, and must
//! be the same bytes. `tests/lines/*.txt` describe records of ours and the lines that they give, in text and in JSON.
//! `BLESS=1 cargo test --test lines` rewrites the latter; the former are facts.

#[path = "lines/golden.rs"]
mod golden;
#[path = "lines/random.rs"]
mod random;
#[path = "lines/samples.rs"]
mod samples;
#[path = "lines/schema.rs"]
mod schema;

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use whither::cli::{self, Args, Command};

/// The flags of `command`, a command line without quotes that matter.
fn args(command: &str) -> Args {
    let words = command.split_whitespace().map(|word| word.trim_matches('\'').into());
    match cli::parse(words) {
        Ok(Command::Trace(args)) => *args,
        other => panic!("{command}: {other:?}"),
    }
}

/// A writer that is read afterwards.
#[derive(Clone, Default)]
struct Buffer(Rc<RefCell<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).expect("lines are UTF-8")
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
