//! A run that goes on beside the test.
#![allow(dead_code)] // no test needs all of it

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A run takes a fraction of a second to start and to end, on a loaded machine several.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A run of whither; what it says on standard error goes to a file.
pub struct Started {
    /// The process.
    pub child: Child,
    said: PathBuf,
}

impl Started {
    /// Starts it. `None` where whither cannot trace for want of privilege, or of BPF.
    pub fn new(args: &[&str], stdout: Stdio) -> Option<Started> {
        Started::early(args, stdout).listening()
    }

    /// The same by way of another program.
    pub fn through(words: &[&str], args: &[&str], stdout: Stdio) -> Option<Started> {
        let words: Vec<&str> = words.iter().chain(&[env!("CARGO_BIN_EXE_whither")]).chain(args).copied().collect();
        Started::command(&words, stdout).listening()
    }

    fn listening(mut self) -> Option<Started> {
        let run = &mut self;
        if run.waits_for("Listening for events") {
            return Some(self);
        }
        assert!(std::env::var_os("CI").is_none(), "whither must start here: {}", run.said());
        eprintln!("skipped: whither does not start here: {}", run.said().trim_end());
        None
    }

    /// Starts it and does not wait.
    pub fn early(args: &[&str], stdout: Stdio) -> Started {
        let words: Vec<&str> = [env!("CARGO_BIN_EXE_whither")].iter().chain(args).copied().collect();
        Started::command(&words, stdout)
    }

    fn command(words: &[&str], stdout: Stdio) -> Started {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let said = std::env::temp_dir().join(format!("whither-started-{}-{number}", std::process::id()));
        let child = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(File::create(&said).expect("a file"))
            .spawn()
            .expect("it runs");
        Started { child, said }
    }

    /// Whether it says this before it ends.
    pub fn waits_for(&mut self, words: &str) -> bool {
        let end = Instant::now() + PATIENCE;
        while !self.said().contains(words) {
            if self.child.try_wait().expect("it is ours").is_some() {
                return false;
            }
            assert!(Instant::now() < end, "it does not say `{words}`: {}", self.said());
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it is there");
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status;
            }
            assert!(Instant::now() < end, "it does not end: {}", self.said());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.said);
    }
}
