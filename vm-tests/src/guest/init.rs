//! The guest's first process: mounts, then the job, then the end of the machine.

use std::convert::Infallible;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};

use super::report::Reporter;
use crate::error::{Context, Result};
use crate::protocol::{JOB, Job, Report, Task};

/// Where programs are found.
pub const PATH: &str = "/files:/usr/sbin:/usr/bin:/usr/busybox";

/// Whether this process runs in a guest.
pub fn is_guest() -> bool {
    std::env::current_exe().is_ok_and(|path| path == Path::new("/init")) || std::process::id() == 1
}

/// Does the job and ends the machine; or, as another process, runs one case.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, argument, name, kernel] = &arguments[..]
        && argument == super::driver::CASE_ARGUMENT
    {
        return super::driver::main(name, kernel);
    }
    if let Err(error) = work() {
        eprintln!("init: {error}");
    }
    end().map_or(ExitCode::FAILURE, |never| match never {})
}

fn end() -> Result<Infallible> {
    Ok(reboot(RebootMode::RB_AUTOBOOT)?)
}

fn work() -> Result<()> {
    mount_all()?;
    fs::create_dir_all("/usr/busybox")?;
    let job: Job = serde_json::from_slice(&fs::read(JOB).context(JOB)?).context(JOB)?;
    let links = Command::new("/usr/bin/busybox").args(["--install", "-s", "/usr/busybox"]).status();
    links.context("busybox")?;
    set_up_loopback();
    if matches!(job.task, Task::Shell) {
        return shell();
    }
    let reporter = Reporter::open()?;
    reporter.send(&Report::Up { release: read_line("/proc/sys/kernel/osrelease"), uptime: uptime() });
    match &job.task {
        Task::Shell => {}
        Task::Command(words) => run(words, &reporter)?,
        Task::Bench { path, options } => {
            let measured = super::driver::isolate()
                .and_then(|()| super::Guest::new(&job.kernel))
                .and_then(|guest| crate::bench::measure::run(&guest, path, options));
            reporter.send(&Report::Measured(measured.map_err(|error| error.to_string())));
        }
        Task::Cases(names) => {
            // Waiting for grace periods is most of the time that attaching and detaching by kprobes takes.
            fs::write("/sys/kernel/rcu_expedited", "1").context("rcu_expedited")?;
            super::driver::run_all(&job.kernel, names, &reporter)?;
        }
    }
    reporter.send(&Report::Done);
    // What is still in the port's buffer would be lost with the machine, which the host ends anyway.
    std::thread::sleep(std::time::Duration::from_secs(2));
    Ok(())
}

fn mount_all() -> Result<()> {
    let mounts = [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
        ("tracefs", "/sys/kernel/tracing"),
        ("debugfs", "/sys/kernel/debug"),
        ("bpf", "/sys/fs/bpf"),
        ("cgroup2", "/sys/fs/cgroup"),
        ("securityfs", "/sys/kernel/security"),
    ];
    for (kind, at) in mounts {
        mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>).context(format!("mounting {at}"))?;
    }
    fs::create_dir_all("/run/netns")?;
    Ok(())
}

fn set_up_loopback() {
    Command::new("ip").env("PATH", PATH).args(["link", "set", "lo", "up"]).status().ok();
}

fn command(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("TERM", "linux")
        .current_dir("/root");
    command
}

fn shell() -> Result<()> {
    // A controlling terminal, so that the interrupt key reaches what the shell runs.
    let words = ["setsid", "cttyhack", "bash", "-l"].map(str::to_owned);
    command(&resolve(&words)).env("PS1", "\\w # ").status().context("the shell")?;
    Ok(())
}

fn run(words: &[String], reporter: &Reporter) -> Result<()> {
    let code = match command(&resolve(words)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    {
        Ok(mut child) => {
            let (out, err) = (child.stdout.take(), child.stderr.take());
            let status = std::thread::scope(|scope| {
                scope.spawn(|| out.map(|stream| forward(stream, false, reporter)));
                scope.spawn(|| err.map(|stream| forward(stream, true, reporter)));
                child.wait()
            });
            exit_code(status?)
        }
        Err(error) => {
            reporter.send(&Report::Output { stderr: true, text: format!("{}: {error}\n", words[0]) });
            127
        }
    };
    reporter.send(&Report::Exited { code });
    Ok(())
}

/// `PATH` of the child is not searched with a cleared environment, so it is done here.
fn resolve(words: &[String]) -> Vec<String> {
    let mut words = words.to_vec();
    if !words[0].contains('/') {
        let found = PATH.split(':').map(|directory| format!("{directory}/{}", words[0]));
        if let Some(path) = found.into_iter().find(|path| Path::new(path).exists()) {
            words[0] = path;
        }
    }
    words
}

fn forward(mut stream: impl Read, stderr: bool, reporter: &Reporter) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        reporter.send(&Report::Output { stderr, text: String::from_utf8_lossy(&buffer[..length]).into_owned() });
    }
}

/// As a shell counts: the status, or 128 and the signal.
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn read_line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
}

fn uptime() -> u64 {
    let text = read_line("/proc/uptime");
    let seconds: f64 = text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    (seconds * 1000.0) as u64
}
