//! The way to the machine: lines of JSON on a serial port that is not the console.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Mutex;

use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

use crate::error::{Context, Result};
use crate::protocol::Report;

/// The port, as the driver of usual ports counts; aarch64's console is of another kind.
const PORT: &str = if cfg!(target_arch = "aarch64") { "/dev/ttyS0" } else { "/dev/ttyS1" };

/// The open port.
pub struct Reporter {
    port: Mutex<File>,
}

impl Reporter {
    /// Opens the port, without echo and translation.
    pub fn open() -> Result<Self> {
        let port = OpenOptions::new().read(true).write(true).open(PORT).context(PORT)?;
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
