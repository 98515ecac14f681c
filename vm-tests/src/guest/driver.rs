//! Runs cases: each in a process of its own with fresh network and mount namespaces, so that what it sets up ends with it
//! and a panic fails nothing else.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::feature::Presence;
use super::init::exit_code;
use super::report::Reporter;
use super::{Case, Guest};
use crate::cases::CASES;
use crate::error::{Context, Error, Result};
use crate::protocol::{Report, Verdict};

/// The first argument of the process that runs one case; the second is the case, the third the kernel's name.
pub const CASE_ARGUMENT: &str = "case";
/// Where that process leaves a verdict that is not success.
const VERDICT: &str = "/verdict.json";
/// How long the kernel may take to close what a killed process had open: kprobes of a thousand functions, one by one,
/// take more than a minute under emulation, and several on a machine that is busy.
const FREEING: Duration = Duration::from_secs(300);
/// What a kernel says when it found a fault in itself.
const COMPLAINTS: &[&str] = &["WARNING: ", "BUG: ", "Oops", "general protection fault", "suspicious RCU usage"];

/// Runs cases one after another; part of the first process.
pub fn run_all(kernel: &str, names: &[String], reporter: &Reporter) -> Result<()> {
    let mut log = KernelLog::open()?;
    for name in names {
        reporter.send(&Report::Started { case: name.clone() });
        let started = Instant::now();
        let verdict = find(name)
            .and_then(|case| supervise(kernel, name, &case))
            .unwrap_or_else(|error| Verdict::Failed(error.to_string()));
        let killed = kill_everything();
        let complaints = log.complaints();
        let verdict = match verdict {
            Verdict::Passed if !complaints.is_empty() => {
                Verdict::Failed(format!("the kernel complained:\n{complaints}"))
            }
            Verdict::Failed(text) if !complaints.is_empty() => {
                Verdict::Failed(format!("{text}\nthe kernel complained:\n{complaints}"))
            }
            other => other,
        };
        let verdict = match &killed {
            Ok(()) => verdict,
            Err(error) => Verdict::Failed(format!("{error}, after this verdict: {verdict:?}")),
        };
        let millis = started.elapsed().as_millis() as u64;
        reporter.send(&Report::Ended { case: name.clone(), verdict, millis });
        // The next case would not find the kernel as it expects it; the host boots again for what is left.
        killed?;
    }
    Ok(())
}

/// Runs one case; the whole of its process.
pub fn main(name: &str, kernel: &str) -> ExitCode {
    let verdict =
        isolate().and_then(|()| run_one(name, kernel)).unwrap_or_else(|error| Verdict::Failed(error.to_string()));
    if verdict == Verdict::Passed {
        return ExitCode::SUCCESS;
    }
    let written = serde_json::to_vec(&verdict).map_err(Error::from).and_then(|json| Ok(fs::write(VERDICT, json)?));
    if let Err(error) = written {
        eprintln!("{error}");
    }
    ExitCode::FAILURE
}

fn find(name: &str) -> Result<Case> {
    let found = CASES.iter().find(|(known, _)| *known == name);
    found.map(|(_, case)| *case).ok_or_else(|| Error::new(format!("no case is named `{name}`")))
}

fn run_one(name: &str, kernel: &str) -> Result<Verdict> {
    let case = find(name)?;
    let guest = Guest::new(kernel)?;
    for need in case.needs {
        match need.presence(&guest) {
            Presence::Here => {}
            Presence::Absent(reason) => return Ok(Verdict::Skipped(reason)),
            Presence::Broken(reason) => return Ok(Verdict::Failed(reason)),
        }
    }
    (case.run)(&guest).map(|()| Verdict::Passed)
}

/// Moves this process into network and mount namespaces of its own.
pub fn isolate() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context("unshare")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("private mounts")?;
    for place in ["/run", "/tmp"] {
        mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), None::<&str>).context(place)?;
    }
    fs::create_dir("/run/netns")?;
    super::net::ip("link set lo up")
}

fn supervise(kernel: &str, name: &str, case: &Case) -> Result<Verdict> {
    fs::remove_file(VERDICT).ok();
    let (out, err) = (File::create("/case.out")?, File::create("/case.err")?);
    let mut command = Command::new("/init");
    command
        .args([CASE_ARGUMENT, name, kernel])
        .env("PATH", super::init::PATH)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0);
    let mut child = command.spawn().context("/init")?;
    let ended = wait(&mut child, case.limit())?;
    let said = || {
        let text = fs::read("/case.err").unwrap_or_default();
        String::from_utf8_lossy(&text).trim_end().to_owned()
    };
    Ok(match ended {
        None => Verdict::Failed(format!("no end after {:?}\n{}{}", case.limit(), said(), running())),
        Some(0) => Verdict::Passed,
        Some(code) => match fs::read(VERDICT) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(_) => Verdict::Failed(format!("the case's process ended with {code}\n{}", said())),
        },
    })
}

/// What runs in userland, what it waits for, and the end of what tracers said.
fn running() -> String {
    let mut text = String::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    for process in processes {
        let read = |name: &str| fs::read(process.join(name)).map(|text| String::from_utf8_lossy(&text).into_owned());
        let Ok(command) = read("cmdline") else { continue };
        if command.is_empty() || process.ends_with("1") || process.ends_with("self") || process.ends_with("thread-self")
        {
            continue;
        }
        let stack = read("stack").unwrap_or_default();
        let frames: Vec<_> = stack.lines().take(4).filter_map(|line| line.split_whitespace().nth(1)).collect();
        let said = fs::read_link(process.join("fd/2")).ok().filter(|path| path.starts_with("/tmp"));
        let said = said.and_then(|_| read("fd/2").ok()).unwrap_or_default();
        text += &format!("{}: in {}\n{said}", command.replace('\0', " "), frames.join(" < "));
    }
    text
}

/// The exit status, or `None` when the limit has passed.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<i32>> {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(exit_code(status)));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(None)
}

/// Ends every other process of userland and waits until they are gone.
fn kill_everything() -> Result<()> {
    // -1 is everything but this process and the kernel's threads.
    kill(Pid::from_raw(-1), Signal::SIGKILL).ok();
    let end = Instant::now() + FREEING;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(_) => return Ok(()),
            Ok(WaitStatus::StillAlive) if Instant::now() > end => return Err("processes of a case do not end".into()),
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(2)),
            Ok(_) => {}
        }
    }
}

/// What the kernel has logged since the last look.
struct KernelLog(File);

impl KernelLog {
    fn open() -> Result<Self> {
        let mut options = File::options();
        let mut log = Self(options.read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg").context("/dev/kmsg")?);
        log.complaints();
        Ok(log)
    }

    /// Lines from the first complaint on, at most thirty; empty when there is none.
    fn complaints(&mut self) -> String {
        let mut lines: Vec<String> = Vec::new();
        let mut record = [0; 8192];
        loop {
            // One read is one record. EPIPE: records were overwritten before they were read; the next read goes on.
            let length = match self.0.read(&mut record) {
                Ok(length) => length,
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => continue,
                Err(_) => break,
            };
            let text = String::from_utf8_lossy(&record[..length]);
            let message = text.split_once(';').map_or("", |(_, message)| message).lines().next().unwrap_or_default();
            let is_complaint = COMPLAINTS.iter().any(|complaint| message.contains(complaint));
            if lines.len() < 30 && (is_complaint || !lines.is_empty()) {
                lines.push(message.to_owned());
            }
        }
        lines.join("\n")
    }
}
