//! One virtual machine: its command line, its console, its reports, its end.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::arch;
use super::binaries::Binaries;
use super::initramfs::{self, Extra};
use super::kernels::Ready;
use super::program;
use crate::error::{Context, Error, Result};
use crate::protocol::{Job, Report};

/// How long a boot may take until userland reports. Four to seven seconds are usual, and a minute has been seen on a
/// machine that was busy; one boot in eighty hangs before that under emulation.
const BOOT: Duration = Duration::from_secs(150);
/// How much longer it may take where instructions are counted.
const COUNTED: u32 = 4;
/// A processor that the machine takes away for half a minute looks to a guest as if its kernel were stuck.
const WATCHDOGS: &str = "nowatchdog workqueue.watchdog_thresh=0 rcupdate.rcu_cpu_stall_suppress=1";
/// What is kept of the console.
const CONSOLE_LINES: usize = 200;
/// What a kernel prints when nothing can be expected of it any more.
const FATAL: &[&str] = &["Kernel panic", "BUG: ", "Oops: ", "general protection fault", "unable to handle"];

/// What to boot.
pub struct Machine<'a> {
    /// The kernel.
    pub kernel: &'a Ready,
    /// The base of its root, made by [`initramfs::base`].
    pub base: &'a Path,
    /// The guest's own programs.
    pub binaries: &'a Binaries,
    /// What to do inside.
    pub job: &'a Job,
    /// Files of this machine that the guest gets.
    pub extras: &'a [Extra],
    /// Added to the kernel's command line.
    pub append: &'a str,
    /// Number of processors.
    pub cpus: u32,
    /// Makes guest time a count of instructions; one processor only.
    pub icount: bool,
}

/// Something that a running machine did.
#[derive(Debug)]
pub enum Event {
    /// The guest said something.
    Report(Report),
    /// A line of the console.
    Console(String),
    /// The machine ended.
    Gone,
}

/// A running machine; it is ended when this is dropped.
pub struct Running {
    process: Child,
    events: Receiver<Event>,
    console: VecDeque<String>,
    directory: Scratch,
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

impl Machine<'_> {
    /// Boots and waits until userland reports; boots again, up to three times, and says so, when it does not. Returns how
    /// long it took, too.
    pub fn boot(&self) -> Result<(Running, Duration)> {
        let mut limit = if self.icount { COUNTED * BOOT } else { BOOT };
        for _ in 0..3 {
            let begun = Instant::now();
            match self.start()?.wait_until_up(limit) {
                Ok(running) => return Ok((running, begun.elapsed())),
                Err(error) => eprintln!("vm-tests: {}: {error}; booting again", self.kernel.name),
            }
            limit *= 2;
        }
        let begun = Instant::now();
        Ok((self.start()?.wait_until_up(limit)?, begun.elapsed()))
    }

    /// Boots with the console on this terminal and waits for the end.
    pub fn interactive(&self) -> Result<()> {
        let directory = scratch()?;
        let image = self.image(&directory)?;
        let mut command = self.command(&image)?;
        let status = command.args(["-serial", "mon:stdio"]).status().context("qemu")?;
        crate::ensure!(status.success(), "qemu failed ({status})");
        Ok(())
    }

    fn start(&self) -> Result<Running> {
        let directory = scratch()?;
        let image = self.image(&directory)?;
        let socket = directory.0.join("reports");
        let listener = UnixListener::bind(&socket)?;
        let mut command = self.command(&image)?;
        command.args(["-serial", "stdio", "-chardev"]).arg(format!("socket,id=reports,path={}", socket.display()));
        command.args(arch::chosen()?.port);
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("qemu")?;
        let (sender, events) = channel();
        let console = process.stdout.take().ok_or("qemu has no output")?;
        let errors = process.stderr.take().ok_or("qemu has no error stream")?;
        let said = sender.clone();
        std::thread::spawn(move || forward_console(errors, &said, false));
        let said = sender.clone();
        std::thread::spawn(move || forward_console(console, &said, true));
        std::thread::spawn(move || forward_reports(&listener, &sender));
        Ok(Running { process, events, console: VecDeque::new(), directory })
    }

    fn image(&self, directory: &Scratch) -> Result<PathBuf> {
        let image = directory.0.join("initramfs");
        initramfs::image(&image, self.base, self.binaries, self.job, self.extras)?;
        Ok(image)
    }

    fn command(&self, image: &Path) -> Result<std::process::Command> {
        let arch = arch::chosen()?;
        let [name, package] = arch.qemu;
        let mut command = program(name, package)?;
        let accelerator = std::env::var("WHITHER_VM_ACCEL").unwrap_or_else(|_| "tcg".to_owned());
        let processor = if accelerator == "kvm" { "host" } else { arch.cpu };
        command.args(arch.machine);
        command.args(["-accel", &accelerator, "-cpu", processor, "-m", "1024", "-smp", &self.cpus.to_string()]);
        command.args(["-nodefaults", "-display", "none", "-no-reboot", "-kernel"]);
        command.arg(self.kernel.directory.join("vmlinuz")).arg("-initrd").arg(image);
        let append = format!("{} quiet panic=-1 {WATCHDOGS} {}", arch.append, self.append);
        command.args(["-append", append.trim_end()]);
        if self.icount {
            command.args(["-icount", "shift=0"]);
        }
        Ok(command)
    }
}

impl Running {
    /// The next event, or `None` when `limit` has passed.
    pub fn next(&mut self, limit: Duration) -> Option<Event> {
        let event = match self.events.recv_timeout(limit) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => Event::Gone,
        };
        if let Event::Console(line) = &event {
            if self.console.len() == CONSOLE_LINES {
                self.console.pop_front();
            }
            self.console.push_back(line.clone());
        }
        Some(event)
    }

    /// Whether a line of the console says that the kernel broke.
    pub fn is_fatal(line: &str) -> bool {
        FATAL.iter().any(|sign| line.contains(sign))
    }

    /// Forgets the console's lines; what comes from now on belongs to something else.
    pub fn clear_console(&mut self) {
        self.console.clear();
    }

    /// The last lines of the console; those that are still on their way are waited for.
    pub fn console(&mut self) -> String {
        while matches!(self.next(Duration::from_millis(300)), Some(Event::Console(_))) {}
        Vec::from(self.console.clone()).join("\n")
    }

    fn wait_until_up(mut self, limit: Duration) -> Result<Self> {
        let end = Instant::now() + limit;
        loop {
            match self.next(end.saturating_duration_since(Instant::now())) {
                Some(Event::Report(Report::Up { .. })) => return Ok(self),
                Some(Event::Report(_) | Event::Console(_)) => {}
                Some(Event::Gone) => {
                    return Err(Error::new(format!("the machine ended before userland:\n{}", self.console())));
                }
                None => {
                    let seconds = limit.as_secs();
                    let console = self.console();
                    return Err(Error::new(format!("no userland after {seconds} seconds; the console:\n{console}")));
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        let _ = &self.directory;
    }
}

fn scratch() -> Result<Scratch> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("whither-vm-{}-{number}", std::process::id()));
    fs::create_dir_all(&path).context(path.display())?;
    Ok(Scratch(path))
}

/// Sends lines until the end; the end of the console is the end of the machine.
fn forward_console(stream: impl Read, events: &Sender<Event>, is_console: bool) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if events.send(Event::Console(text)).is_err() {
            return;
        }
        line.clear();
    }
    if is_console {
        events.send(Event::Gone).ok();
    }
}

fn forward_reports(listener: &UnixListener, events: &Sender<Event>) {
    let Ok((stream, _)) = listener.accept() else { return };
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let event = match serde_json::from_str(line.trim()) {
            Ok(report) => Event::Report(report),
            Err(_) => Event::Console(format!("(unreadable report) {line}")),
        };
        if events.send(event).is_err() {
            return;
        }
    }
}
