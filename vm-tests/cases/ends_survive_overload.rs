//! When a flood fills the buffer the drops of its packets are still shown, each in its place; what else is missing is counted.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::UdpSocket;

use crate::error::{Context, Result};
use crate::guest::net::Net;
use crate::guest::lines::{self, Line};
use crate::guest::trace::Ended;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { seconds: 200, ..Case::new(run) };

const COUNT: u64 = 600;
/// The way of a datagram to a port that nobody listens at.
const WAY: [&str; 4] = ["ip_send_skb", "ip_rcv", "ip_local_deliver", "udp_rcv"];
/// The longest name first: of alternatives in a pattern the first that fits counts.
const DROPS: [&str; 3] = ["kfree_skb_reason", "kfree_skb", "sk_skb_reason_drop"];

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let backends: &[_] = if vm.has(Feature::Fentry)? { &["", "--backend fentry"] } else { &[""] };
    for &backend in backends {
        let tight = vm.trace(&format!(
            "--strict --buffer-size 64K {backend} --filter-func '{}|{}' udp dst port 5003",
            WAY.join("|"),
            DROPS.join("|")
        ))?;
        let reader = Pid::from_raw(tight.pid() as i32);
        kill(reader, Signal::SIGSTOP)?;
        send(&net, COUNT)?;
        kill(reader, Signal::SIGCONT)?;
        // These come when the buffer is empty again, behind all drops.
        tight.wait_for_output("end of the flood", |text| drops(&lines::parse(text).unwrap_or_default()) == COUNT)?;
        send(&net, 2)?;
        let ended = tight.signal(Signal::SIGINT)?;
        judge(&ended).context(backend)?;
        // Before Linux 6.7 kprobes do not tell what they miss.
        let blind = backend.is_empty() && vm.version < (6, 7);
        ensure!(ended.stderr.contains("--strict is blind") == blind, "on {}\n{ended}", vm.release);
    }
    Ok(())
}

fn judge(ended: &Ended) -> Result<()> {
    let lines = ended.lines()?;
    let all = COUNT + 2;
    let drops = drops(&lines);
    ensure!(drops == all, "{drops} drops of {all} packets\n{ended}");
    let (shown, lost) = (lines.len() as u64, ended.lost());
    ensure!(shown + lost == all * (1 + WAY.len() as u64), "{shown} lines and {lost} losses of {all} packets\n{ended}");
    ensure!(lost > COUNT, "only {lost} losses\n{ended}");
    let spared = ended.stderr.split("; for ").nth(1).and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0);
    ensure!(spared > COUNT / 2 && spared < drops, "{spared} of {drops} drops came by the reserve\n{ended}");
    ensure!(ended.code == 3, "status {} with --strict and losses\n{ended}", ended.code);
    let last: Vec<&str> = lines[lines.len() - 10..].iter().map(|line| line.name()).collect();
    ensure!(DROPS.contains(&last[4]) && DROPS.contains(&last[9]) && last[..4] == WAY && last[5..9] == WAY, "{last:?}");
    let first: Vec<&str> = lines[..4].iter().map(|line| line.name()).collect();
    ensure!(first == WAY, "{first:?}\n{ended}");
    Ok(())
}

fn drops(lines: &[Line]) -> u64 {
    lines.iter().filter(|line| DROPS.contains(&line.name())).count() as u64
}

fn send(net: &Net, count: u64) -> Result<()> {
    net.left.enter(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        for _ in 0..count {
            socket.send_to(b"to nobody", "10.0.0.2:5003")?;
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
        Ok(())
    })
}
