//! A reader that is slow, or does not read: what finds no room is counted, and a signal ends the run within a second, or in
//! the time of a few starts where the machine is slow.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 150, ..Case::new(run) };

const COUNT: u64 = 30_000;
const FLAGS: [&str; 5] = ["--buffer-size", "64K", "--filter-func", "ip_send_skb", "udp dst port 5001"];

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let before = vm.leftovers()?;
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // Nobody reads: the pipe, the batches, and the buffer fill up.
        let begun = Instant::now();
        let (mut whither, pipe) = start("blocked")?;
        let limit = Duration::from_secs(1) + 3 * begun.elapsed();
        net.udp("10.0.0.2:5001", 18, COUNT)?;
        let asked = Instant::now();
        kill(Pid::from_raw(whither.id() as i32), signal)?;
        let status = wait(&mut whither)?;
        let took = asked.elapsed();
        let said = said("blocked");
        ensure!(status == 0 && took < limit, "status {status} after {took:?}, not {limit:?}: {said}");
        let lines = lines(pipe)?;
        let (unwritten, lost) = (number(&said, " lines could not be written"), number(&said, " lost"));
        ensure!(unwritten > 0 && said.contains("nobody reads them"), "{lines} lines: {said}");
        // What was lost in the kernel and what was not written stand in one sum.
        ensure!(lines + lost == COUNT && unwritten <= lost, "{lines} lines and {lost} losses: {said}");
    }

    // One that reads after all gets every line, or hears of it.
    let (mut whither, mut pipe) = start("slow")?;
    net.udp("10.0.0.2:5001", 18, COUNT)?;
    let mut text = vec![0; 100_000];
    pipe.read_exact(&mut text)?;
    let rest = std::thread::spawn(move || {
        pipe.read_to_end(&mut text)?;
        Ok::<_, std::io::Error>(text)
    });
    std::thread::sleep(Duration::from_millis(500));
    kill(Pid::from_raw(whither.id() as i32), Signal::SIGINT)?;
    let status = wait(&mut whither)?;
    let text = rest.join().map_err(|_| Error::new("the reader panicked"))??;
    let (shown, said) = (String::from_utf8_lossy(&text).lines().count() as u64 - 1, said("slow"));
    let lost = number(&said, " lost");
    ensure!(status == 0 && shown + lost == COUNT, "status {status}, {shown} lines and {lost} losses: {said}");
    ensure!(!said.contains("could not be written"), "{said}");
    vm.expect_nothing_left(&before, super::signals_leave_nothing::SOON)
}

/// Starts it with a pipe as its standard output, and waits until it listens.
fn start(name: &str) -> Result<(Child, File)> {
    let errors = File::create(format!("/tmp/{name}.err"))?;
    let mut whither = Command::new("whither").args(FLAGS).stdout(Stdio::piped()).stderr(errors).spawn()?;
    let pipe = whither.stdout.take().map(|pipe| File::from(OwnedFd::from(pipe)));
    let pipe = pipe.ok_or_else(|| Error::new("no pipe"))?;
    let end = Instant::now() + Duration::from_secs(180);
    while !said(name).contains("Listening") {
        ensure!(Instant::now() < end, "it does not start: {}", said(name));
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok((whither, pipe))
}

fn said(name: &str) -> String {
    std::fs::read_to_string(format!("/tmp/{name}.err")).unwrap_or_default()
}

fn wait(child: &mut Child) -> Result<i32> {
    let end = Instant::now() + Duration::from_secs(120);
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(crate::guest::init::exit_code(status));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill()?;
    Err(Error::new("whither does not end"))
}

/// Lines in the pipe, less the header.
fn lines(mut pipe: File) -> Result<u64> {
    let mut text = Vec::new();
    pipe.read_to_end(&mut text)?;
    // The last one may be cut: it was not written as a whole.
    Ok(text.iter().filter(|&&byte| byte == b'\n').count() as u64 - 1)
}

/// The last number in front of `words`.
fn number(text: &str, words: &str) -> u64 {
    let at = text.rfind(words).unwrap_or(0);
    text[..at].rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
