//! A tracer as a child process: started, waited for, stopped, and what it said.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Guest;
use super::init::exit_code;
use super::lines::{self, Line};
use crate::error::{Context, Error, Result};

/// How long the tracer may take from its start to its readiness, and from a signal to its end. Attaching to every
/// function by plain kprobes takes half a minute under emulation, detaching up to a minute and a half; several times that
/// on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long anything may take that takes a second or two where nothing else runs.
const SHORT: Duration = Duration::from_secs(120);
const READY: &str = "Listening for events";

/// How a tracer is started.
#[derive(Debug, Clone)]
pub struct Launch {
    words: Vec<String>,
    user: Option<u32>,
}

/// A running tracer that is ready; it is killed when this is dropped.
#[derive(Debug)]
pub struct Trace {
    child: Child,
    output: Output,
    /// From the start to the readiness.
    pub ready_after: Duration,
}

/// A tracer that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Exit status, or 128 and the number of the signal.
    pub code: i32,
    /// Everything on the standard output.
    pub stdout: String,
    /// Everything on the standard error stream.
    pub stderr: String,
    /// From the signal, or the start if there was none, to the end.
    pub took: Duration,
}

#[derive(Debug)]
struct Output(PathBuf);

impl Guest {
    /// Starts whither with `arguments` (split at spaces; single quotes keep words together), and waits until it listens.
    pub fn trace(&self, arguments: &str) -> Result<Trace> {
        self.whither(arguments).start()
    }

    /// A whither that is not started yet.
    pub fn whither(&self, arguments: &str) -> Launch {
        Launch::whither(arguments)
    }
}

impl Launch {
    /// A whither with `arguments` (split at spaces; single quotes keep words together) that is not started yet.
    pub fn whither(arguments: &str) -> Self {
        Self::of("/usr/bin/whither", arguments)
    }

    /// The same for another tracer.
    pub fn of(path: &str, arguments: &str) -> Self {
        let mut words = vec![path.to_owned()];
        words.extend(split(arguments));
        Self { words, user: None }
    }

    /// Runs it as a user without privileges.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.user = Some(65534);
        self
    }

    /// Puts words in front, for example `chroot DIRECTORY`; and, as `/usr/bin/whither` may be called something else
    /// there, names the program.
    #[must_use]
    pub fn through(mut self, words: &[&str], program: &str) -> Self {
        program.clone_into(&mut self.words[0]);
        self.words.splice(0..0, words.iter().map(|&word| word.to_owned()));
        self
    }

    /// Starts it and waits until it says that it listens.
    pub fn start(&self) -> Result<Trace> {
        self.start_until(|output| output.stderr().contains(READY))
    }

    /// Starts it and waits until it has said `words` on the standard error stream.
    pub fn start_when_said(&self, words: &str) -> Result<Trace> {
        self.start_until(|output| output.stderr().contains(words))
    }

    /// Starts it and waits until `ready`.
    pub fn start_when(&self, ready: &dyn Fn() -> bool) -> Result<Trace> {
        self.start_until(|_| ready())
    }

    /// Starts it and waits until it says that it listens; meanwhile calls `meanwhile` with what it has printed.
    pub fn start_while(&self, meanwhile: &mut dyn FnMut(&str)) -> Result<Trace> {
        self.start_until(|output| {
            meanwhile(&output.stdout());
            output.stderr().contains(READY)
        })
    }

    fn start_until(&self, mut ready: impl FnMut(&Output) -> bool) -> Result<Trace> {
        let (mut child, output, started) = self.spawn()?;
        loop {
            if ready(&output) {
                return Ok(Trace { child, output, ready_after: started.elapsed() });
            }
            if let Some(status) = child.try_wait()? {
                let ended = output.ended(exit_code(status), started);
                return Err(Error::new(format!("whither ended before it was ready\n{ended}")));
            }
            if started.elapsed() > PATIENCE {
                child.kill().ok();
                child.wait().ok();
                let ended = output.ended(0, started);
                return Err(Error::new(format!("whither is not ready after {PATIENCE:?}\n{ended}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts it, sends SIGINT after `delay`, and waits for the end.
    pub fn interrupted_after(&self, delay: Duration) -> Result<Ended> {
        let (mut child, output, started) = self.spawn()?;
        std::thread::sleep(delay);
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).ok();
        wait(&mut child, &output, started, PATIENCE)
    }

    /// Starts it and kills it after `delay`.
    pub fn killed_after(&self, delay: Duration) -> Result<()> {
        let (mut child, ..) = self.spawn()?;
        std::thread::sleep(delay);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Runs it until it ends by itself.
    pub fn finish(&self) -> Result<Ended> {
        let (mut child, output, started) = self.spawn()?;
        wait(&mut child, &output, started, SHORT).context(self.words[1..].join(" "))
    }

    fn spawn(&self) -> Result<(Child, Output, Instant)> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let output = Output(PathBuf::from(format!("/tmp/trace-{}-{number}", std::process::id())));
        fs::create_dir_all(&output.0)?;
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::null());
        command.stdout(File::create(output.0.join("out"))?).stderr(File::create(output.0.join("err"))?);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        let started = Instant::now();
        Ok((command.spawn().context(&self.words[0])?, output, started))
    }
}

impl Trace {
    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn so_far(&self) -> String {
        self.output.stdout()
    }

    /// What it has said on the standard error stream so far.
    pub fn said(&self) -> String {
        self.output.stderr()
    }

    /// Waits until it has spoken of `about` in a line with `word` on the standard error stream.
    pub fn wait_until_said(&self, about: &str, word: &str) -> Result<()> {
        let end = Instant::now() + SHORT;
        while !self.said().lines().any(|line| line.contains(about) && line.contains(word)) {
            ensure!(Instant::now() < end, "not a word of {about}: {word}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Whether it prints `words`, behind its first `from` bytes, within `limit`.
    pub fn is_printed_since(&self, from: u64, words: &str, limit: Duration) -> Result<bool> {
        let end = Instant::now() + limit;
        let mut output = File::open(self.output.0.join("out"))?;
        output.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        loop {
            // What was looked at is not looked at again, but for a line that is not whole yet.
            let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            text.drain(..whole);
            output.read_to_end(&mut text)?;
            if String::from_utf8_lossy(&text).contains(words) {
                return Ok(true);
            }
            if Instant::now() > end {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How many bytes it has printed so far.
    pub fn printed(&self) -> Result<u64> {
        Ok(fs::metadata(self.output.0.join("out"))?.len())
    }

    /// Waits until it has printed at least `count` events.
    pub fn wait_for_lines(&self, count: usize) -> Result<()> {
        let events = |text: &str| text.lines().filter(|line| line.starts_with("0x")).count();
        self.wait_for_output(&format!("{count} events"), |text| events(text) >= count)
    }

    /// Waits until what it has printed has something, called `what`.
    pub fn wait_for_output(&self, what: &str, has: impl Fn(&str) -> bool) -> Result<()> {
        let end = Instant::now() + SHORT;
        while !has(&self.so_far()) {
            ensure!(Instant::now() < end, "no {what} after {SHORT:?}\n{}{}", self.so_far(), self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Sends SIGINT, waits for the end, and expects status 0.
    pub fn stop(self) -> Result<Ended> {
        let ended = self.signal(Signal::SIGINT)?;
        ensure!(ended.code == 0, "whither ended with status {}\n{ended}", ended.code);
        Ok(ended)
    }

    /// Sends `signal` and waits for the end.
    pub fn signal(mut self, signal: Signal) -> Result<Ended> {
        let sent = Instant::now();
        kill(Pid::from_raw(self.child.id() as i32), signal)?;
        wait(&mut self.child, &self.output, sent, PATIENCE)
    }

    /// Waits for the end without a signal.
    pub fn wait(mut self) -> Result<Ended> {
        wait(&mut self.child, &self.output, Instant::now(), PATIENCE)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Ended {
    /// The events, in the order in which they were printed.
    pub fn lines(&self) -> Result<Vec<Line>> {
        lines::parse(&self.stdout)
    }

    /// Expects lines that match `patterns`, in this order; others may be between them. A pattern is a function's name and
    /// words that the line must contain.
    pub fn expect_in_order(&self, patterns: &[&str]) -> Result<()> {
        let lines = self.lines()?;
        let mut rest = lines.iter();
        for pattern in patterns {
            let found = rest.any(|line| line.matches(pattern));
            ensure!(found, "no line for `{pattern}` (in this place)\n{self}");
        }
        Ok(())
    }

    /// Expects that no line matches `pattern`.
    pub fn expect_none(&self, pattern: &str) -> Result<()> {
        let found = self.lines()?.into_iter().find(|line| line.matches(pattern));
        found.map_or(Ok(()), |line| Err(Error::new(format!("a line for `{pattern}`: {}\n{self}", line.text))))
    }

    /// Expects at least one line, and that `holds` is true for all of them; `what` says what that is.
    pub fn expect_all(&self, what: &str, holds: impl Fn(&Line) -> bool) -> Result<()> {
        let lines = self.lines()?;
        ensure!(!lines.is_empty(), "nothing was traced\n{self}");
        let other = lines.into_iter().find(|line| !holds(line));
        other.map_or(Ok(()), |line| Err(Error::new(format!("not {what}: {}\n{self}", line.text))))
    }

    /// The number that the summary puts before the word "lost", or after it; 0 if nothing was lost.
    pub fn lost(&self) -> u64 {
        let number = |word: &str| word.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok();
        let counted = self.stderr.lines().rev().find_map(|line| {
            let (before, after) = line.split_once("lost")?;
            before.split_whitespace().rev().find_map(number).or_else(|| after.split_whitespace().find_map(number))
        });
        counted.unwrap_or(0)
    }

    /// Expects a refusal: this status, nothing on the standard output, and a sentence that contains `words`.
    pub fn expect_refusal(&self, code: i32, words: &[&str]) -> Result<()> {
        ensure!(self.code == code, "status {} instead of {code}\n{self}", self.code);
        ensure!(self.stdout.is_empty(), "a refusal prints nothing on the standard output\n{self}");
        let said = self.stderr.to_lowercase();
        for word in words {
            ensure!(said.contains(&word.to_lowercase()), "the refusal does not speak of `{word}`\n{self}");
        }
        ensure!(!said.contains("panicked"), "a panic is no sentence\n{self}");
        Ok(())
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "status {} after {:.2} s; stderr:", self.code, self.took.as_secs_f64())?;
        shorten(f, &self.stderr, 20)?;
        writeln!(f, "stdout:")?;
        shorten(f, &self.stdout, 60)
    }
}

impl Output {
    fn stdout(&self) -> String {
        read(&self.0.join("out"))
    }

    fn stderr(&self) -> String {
        read(&self.0.join("err"))
    }

    fn ended(&self, code: i32, since: Instant) -> Ended {
        Ended { code, stdout: self.stdout(), stderr: self.stderr(), took: since.elapsed() }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn wait(child: &mut Child, output: &Output, since: Instant, limit: Duration) -> Result<Ended> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(output.ended(exit_code(status), since));
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Err(Error::new(format!("whither does not end\n{}", output.ended(0, since))));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn shorten(f: &mut std::fmt::Formatter<'_>, text: &str, most: usize) -> std::fmt::Result {
    let count = text.lines().count();
    for line in text.lines().take(most) {
        writeln!(f, "  {line}")?;
    }
    if count > most { writeln!(f, "  ... and {} more lines", count - most) } else { Ok(()) }
}

/// Splits at spaces outside of single quotes.
pub fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in text.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::{Ended, split};
    use std::time::Duration;

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(split("a 'b c'  d ''"), ["a", "b c", "d", ""]);
        assert_eq!(split("--filter-func='a|b' x"), ["--filter-func=a|b", "x"]);
        assert!(split("  ").is_empty());
    }

    #[test]
    fn losses_are_read_from_the_summary() {
        let ended =
            |stderr: &str| Ended { code: 0, stdout: String::new(), stderr: stderr.to_owned(), took: Duration::ZERO };
        assert_eq!(ended("a\n12 events, 1,204 of them lost\n").lost(), 1204);
        assert_eq!(ended("lost 1,204 events\n").lost(), 1204);
        assert_eq!(ended("nothing\n").lost(), 0);
    }
}
