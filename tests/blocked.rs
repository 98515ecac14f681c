//! Outputs that take nothing: a run ends all the same when it is asked to, and says what became of the lines.

#[path = "support/started.rs"]
mod started;

use std::fs::{self, File};
use std::io::PipeReader;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use started::{PATIENCE, Started};

/// Flags of a run that shows a line for each datagram to this port, on which nobody listens.
const FLAGS: [&str; 7] = ["--backend", "tracepoint", "--filter-func", "net_dev_queue", "udp", "dst", "port"];
/// More than a pipe or a socket takes.
const MANY: usize = 4_000;
/// More than is kept besides.
const TOO_MANY: usize = 40_000;

fn send(count: usize, port: &str) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are ports");
    let port: u16 = port.parse().expect("a number");
    for _ in 0..count {
        // The answer to one is an error for the next.
        let _ = socket.send_to(&[0x55; 20], (Ipv4Addr::LOCALHOST, port));
    }
}

/// A run whose standard output is a pipe of another user, which cannot be opened again so that it does not block; and the
/// end that nobody reads.
fn to_a_foreign_pipe(port: &str) -> Option<(Started, PipeReader)> {
    let (ours, theirs) = std::io::pipe().expect("a pipe");
    let args: Vec<&str> = FLAGS.into_iter().chain([port]).collect();
    // Where that is not allowed, tracing is not either.
    let _ = std::os::unix::fs::fchown(&theirs, Some(65534), None);
    let run = Started::through(&["setpriv", "--bounding-set=-dac_override"], &args, theirs.into())?;
    Some((run, ours))
}

/// The same, when there is no more room in the pipe.
fn blocked(port: &str, count: usize) -> Option<(Started, PipeReader)> {
    let (run, ours) = to_a_foreign_pipe(port)?;
    send(count, port);
    let end = Instant::now() + PATIENCE;
    let mut still = 0;
    let mut last = String::new();
    while still < 10 {
        assert!(Instant::now() < end, "it is never blocked: {last}");
        thread::sleep(Duration::from_millis(50));
        let now = state(run.child.id());
        still = if now == last && now.contains("(sleeping)") { still + 1 } else { 0 };
        last = now;
    }
    Some((run, ours))
}

/// What the main thread does, and how often it has waited or was made to.
fn state(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{pid}/status")).expect("it is there");
    let lines = status.lines().filter(|line| line.starts_with("State:") || line.contains("ctxt_switches"));
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
fn an_output_that_blocks_for_good_keeps_nobody() {
    for (port, count) in [("5011", MANY), ("5012", TOO_MANY)] {
        let Some((mut run, _ours)) = blocked(port, count) else { return };
        run.signal(Signal::SIGINT);
        let code = run.wait().code();
        let said = run.said();
        assert!(said.ends_with("error: the output takes no more lines; what was not written yet is lost\n"), "{said}");
        assert_eq!(code, Some(1), "{said}");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    // On a machine that is slow enough it has ended by itself when the second one comes.
    for _ in 0..5 {
        let Some((mut run, _ours)) = blocked("5013", MANY) else { return };
        run.signal(Signal::SIGINT);
        thread::sleep(Duration::from_millis(1200));
        run.signal(Signal::SIGINT);
        match run.wait().code() {
            Some(130) => return assert!(!run.said().contains("error: "), "{}", run.said()),
            code => assert_eq!(code, Some(1), "{}", run.said()),
        }
    }
    panic!("it always ends before the second signal");
}

/// Also where nothing was blocked when the first one came: all that is left to do is to write.
#[test]
fn a_second_signal_ends_the_last_lines() {
    let Some((mut run, _ours)) = to_a_foreign_pipe("5016") else { return };
    run.signal(Signal::SIGSTOP);
    send(MANY, "5016");
    run.signal(Signal::SIGINT);
    run.signal(Signal::SIGCONT);
    thread::sleep(Duration::from_millis(1500));
    run.signal(Signal::SIGINT);
    let code = run.wait().code();
    assert!(matches!(code, Some(1 | 130)), "{code:?} {}", run.said());
}

/// A named pipe that goes when this does.
struct Pipe(PathBuf);

impl Pipe {
    fn new(name: &str) -> Pipe {
        let path = std::env::temp_dir().join(format!("whither-{name}-{}", std::process::id()));
        assert!(Command::new("mkfifo").arg(&path).status().expect("coreutils are there").success());
        Pipe(path)
    }

    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        ["--output-file", self.0.to_str().expect("UTF-8")].into_iter().chain(more.iter().copied()).collect()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_named_pipe_that_nobody_opens_is_waited_for() {
    let pipe = Pipe::new("unopened");
    let mut run = Started::early(&pipe.args(&["--debug", "--backend", "tracepoint"]), Stdio::null());
    if !run.waits_for("host") {
        return;
    }
    thread::sleep(Duration::from_millis(100));
    assert!(run.child.try_wait().expect("it is ours").is_none(), "it does not wait: {}", run.said());
    run.signal(Signal::SIGINT);
    let code = run.wait().code();
    let said = run.said();
    assert!(said.ends_with(&format!("error: {}: nobody reads it\n", pipe.0.display())), "{said}");
    assert_eq!(code, Some(1), "{said}");
}

/// Lines that were not written are missing: `--strict` says so by the exit code, too.
#[test]
fn lines_that_nobody_reads_are_counted() {
    for (port, options, code) in [("5014", "--strict=false", 0), ("5015", "--strict", 3)] {
        let args: Vec<&str> = [options].into_iter().chain(FLAGS).chain([port]).collect();
        let pipe = Pipe::new("unread");
        let _reader = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&pipe.0).expect("it is there");
        let (theirs, _ours) = UnixStream::pair().expect("sockets");
        for run in [Started::new(&pipe.args(&args), Stdio::null()), Started::new(&args, OwnedFd::from(theirs).into())] {
            let Some(mut run) = run else { return };
            send(MANY, port);
            thread::sleep(Duration::from_millis(300));
            run.signal(Signal::SIGINT);
            let ended = run.wait().code();
            let said = run.said();
            assert!(said.contains("warning: lines cannot be written: nobody reads them; "), "{said}");
            assert!(said.contains(" lost"), "{said}");
            assert_eq!(ended, Some(code), "{options}: {said}");
        }
    }
}

/// What cannot be said, because nothing more goes to standard error either, is no reason to end.
#[test]
fn a_warning_that_nobody_can_read_ends_nothing() {
    let directory = std::env::temp_dir().join(format!("whither-unsaid-{}", std::process::id()));
    let moved = directory.with_extension("moved");
    let file = directory.join("lines").display().to_string();
    let args: Vec<&str> = ["--output-file", &file].into_iter().chain(FLAGS).chain(["5016"]).collect();
    if let Some(mut run) = Started::new(&args, Stdio::null()) {
        // Standard error is a file here.
        let pid = run.child.id().to_string();
        let limited = Command::new("prlimit").args(["--fsize=0", "--pid", &pid]).status().expect("util-linux is there");
        assert!(limited.success());
        // The file cannot be opened again, which is worth a warning.
        fs::rename(&directory, &moved).expect("whither made it");
        run.signal(Signal::SIGHUP);
        send(10, "5016");
        thread::sleep(Duration::from_millis(300));
        run.signal(Signal::SIGINT);
        let code = run.wait().code();
        assert!(run.said().ends_with("Listening for events..\n"), "{}", run.said());
        assert_eq!(code, Some(0));
    }
    let _ = fs::remove_dir_all(&directory);
    let _ = fs::remove_dir_all(&moved);
}
