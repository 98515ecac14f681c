//! A reader that goes away ends the tracer without a complaint.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 120, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let before = vm.leftovers()?;
    let script = "(whither --filter-func 'ip_rcv|ip_output' icmp 2>/tmp/pipe.err; echo $? >/tmp/pipe.code) | head -n 2 >/tmp/pipe.out";
    std::thread::scope(|scope| {
        let pipe = scope.spawn(|| vm.sh(script));
        while !std::path::Path::new("/tmp/pipe.code").exists() {
            net.ping("10.0.0.2")?;
        }
        pipe.join().map_err(|_| "the pipe's thread panicked")?
    })?;
    let (code, said) = (std::fs::read_to_string("/tmp/pipe.code")?, std::fs::read_to_string("/tmp/pipe.err")?);
    ensure!(code.trim() == "0" && !said.to_lowercase().contains("pipe"), "status {code}: {said}");

    // No further packet is needed for it to be noticed.
    let _ = std::fs::remove_file("/tmp/pipe.code");
    std::fs::remove_file("/tmp/pipe.err")?;
    std::thread::scope(|scope| {
        let pipe = scope.spawn(|| vm.sh(&script.replace("head -n 2", "head -n 1")));
        let started = Instant::now();
        // Where attaching goes on in the background, the header can come, and end it, before it says that it listens.
        while !std::fs::read_to_string("/tmp/pipe.err").is_ok_and(|said| said.contains("Listening"))
            && !std::path::Path::new("/tmp/pipe.code").exists()
        {
            let said = || std::fs::read_to_string("/tmp/pipe.err").unwrap_or_default();
            ensure!(started.elapsed() < Duration::from_secs(120), "it does not start: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
        net.ping("10.0.0.2")?;
        let sent = Instant::now();
        while !std::path::Path::new("/tmp/pipe.code").exists() && sent.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let ended = std::path::Path::new("/tmp/pipe.code").exists();
        if !ended {
            net.ping("10.0.0.2")?;
        }
        ensure!(ended, "a closed pipe is noticed only at the next packet");
        pipe.join().map_err(|_| "the pipe's thread panicked")?
    })?;
    vm.expect_nothing_left(&before, super::signals_leave_nothing::SOON)
}
