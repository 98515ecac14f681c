//! What does not fit into the buffer is counted exactly: lines and losses are together what happened.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 120, ..Case::new(run) };

const COUNT: u64 = 10_000;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    // The sender calls this once for each datagram, whatever becomes of it later.
    let function = "--filter-func ip_send_skb udp dst port 5001";
    let relaxed = vm.trace(function)?;
    net.udp("10.0.0.2:5001", 18, COUNT)?;
    let ended = relaxed.stop()?;
    let lines = ended.lines()?.len() as u64;
    ensure!(lines == COUNT && ended.lost() == 0, "{lines} lines and {} losses\n{ended}", ended.lost());

    // A reader that stands still cannot empty a buffer of 64 KiB.
    let tight = vm.trace(&format!("--buffer-size 64K {function}"))?;
    let reader = Pid::from_raw(tight.pid() as i32);
    kill(reader, Signal::SIGSTOP)?;
    net.udp("10.0.0.2:5001", 18, COUNT)?;
    kill(reader, Signal::SIGCONT)?;
    let ended = tight.stop()?;
    let (lines, lost) = (ended.lines()?.len() as u64, ended.lost());
    ensure!(lost > COUNT / 2 && lines + lost == COUNT, "{lines} lines and {lost} losses of {COUNT}\n{ended}");
    Ok(())
}
