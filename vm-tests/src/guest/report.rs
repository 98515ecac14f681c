//! The way to the machine: lines of JSON on the second serial port.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Mutex;

use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

use crate::error::{Context, Result};
use crate::protocol::Report;

/// The open port.
pub struct Reporter {
    port: Mutex<File>,
}

impl Reporter {
    /// Opens the port, without echo and translation.
    pub fn open() -> Result<Self> {
        let port = OpenOptions::new().read(true).write(true).open("/dev/ttyS1").context("/dev/ttyS1")?;
        let mut attributes = tcgetattr(&port)?;
        cfmakeraw(&mut attributes);
        tcsetattr(&port, SetArg::TCSANOW, &attributes)?;
        Ok(Self { port: Mutex::new(port) })
    }

    /// Sends one report; there is nobody to tell when that fails.
    pub fn send(&self, report: &Report) {
        let Ok(mut line) = serde_json::to_vec(report) else { return };
        line.push(b'\n');
        if let Ok(mut port) = self.port.lock() {
            port.write_all(&line).ok();
        }
    }
}
