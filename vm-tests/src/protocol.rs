//! What host and guest tell each other: one [`Job`] goes in with the initramfs, [`Report`]s come back over the second
//! serial port, one JSON object per line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the guest finds its [`Job`].
pub const JOB: &str = "/job.json";
/// Where files from the host are put; first in `PATH`.
pub const FILES: &str = "/files";

/// What a guest is asked to do after it has booted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// The kernel's name in the matrix.
    pub kernel: String,
    /// What to do.
    pub task: Task,
}

/// The kinds of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Task {
    /// An interactive shell on the first serial port.
    Shell,
    /// One command; its output is sent back as it appears.
    Command(Vec<String>),
    /// Cases by name, one after another.
    Cases(Vec<String>),
    /// What a tracer costs.
    Bench {
        /// Its path in the guest.
        path: String,
        /// Added to every command line.
        options: String,
    },
}

/// What the guest says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// Userland runs. `uptime` is in milliseconds since the kernel started.
    Up {
        /// As `uname -r` prints it.
        release: String,
        /// Milliseconds since the kernel started.
        uptime: u64,
    },
    /// Output of a command.
    Output {
        /// True for the standard error stream.
        stderr: bool,
        /// The text; what is not UTF-8 was replaced.
        text: String,
    },
    /// A command ended.
    Exited {
        /// Its exit status, or 128 and the number of the signal that ended it.
        code: i32,
    },
    /// A case starts; whatever the console says from now on belongs to it.
    Started {
        /// The case.
        case: String,
    },
    /// A case is over.
    Ended {
        /// The case.
        case: String,
        /// How it went.
        verdict: Verdict,
        /// Milliseconds of guest time.
        millis: u64,
    },
    /// What a tracer costs, by name; or why that could not be measured.
    Measured(Result<BTreeMap<String, f64>, String>),
    /// Nothing follows.
    Done,
}

/// How a case went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It held.
    Passed,
    /// It did not; the text says why.
    Failed(String),
    /// This kernel lacks something that the case needs, and does not claim to have it.
    Skipped(String),
}
