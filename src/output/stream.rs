//! A pipe, socket or terminal, whose reader may be slow, and may not read at all.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::sys::process;
use crate::sys::stop::Stop;

/// How long after a signal a reader is waited for that does not read.
const GRACE: Duration = Duration::from_millis(500);

/// How often it is tried to open a named pipe that nobody reads yet.
const PAUSE: Duration = Duration::from_millis(50);

/// Standard output, be it a pipe, a socket or a terminal, or a named pipe. While its reader does not read, writing waits; when
/// a signal has asked for the end it fails instead.
pub struct Stream {
    file: File,
    /// It cannot be opened again so that it does not block, but each call can ask for that. Services have one.
    is_socket: bool,
    stop: Arc<Stop>,
}

impl Stream {
    /// Takes what the process was given.
    pub fn open(stop: Arc<Stop>) -> io::Result<Stream> {
        let file = process::standard_output()?;
        let is_socket = file.metadata()?.file_type().is_socket();
        Ok(Stream { file, is_socket, stop })
    }

    /// Opens a named pipe as soon as somebody reads it.
    pub fn open_pipe(path: &Path, stop: Arc<Stop>) -> io::Result<Stream> {
        loop {
            if let Some(file) = process::open_pipe(path)? {
                return Ok(Stream { file, is_socket: false, stop });
            }
            if stop.is_requested() {
                return Err(io::Error::new(ErrorKind::TimedOut, "nobody reads it"));
            }
            stop.wait([], Some(PAUSE));
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let written = match self.is_socket {
                true => process::send(self.file.as_fd(), bytes),
                false => self.file.write(bytes),
            };
            match written {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.stop.is_signalled_for(GRACE) {
                        return Err(io::Error::new(ErrorKind::TimedOut, "nobody reads them"));
                    }
                    self.stop.wait_for_room(self.file.as_fd(), GRACE);
                }
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
