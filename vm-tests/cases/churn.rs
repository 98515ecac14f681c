//! Interfaces, network namespaces, processes and modules come and go under a flood: names are right, memory is bounded, and
//! nothing is left.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::Result;
use crate::guest::net::{Namespace, ip};
use crate::guest::trace::Trace;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 300, ..Case::new(run) };

const ROUNDS: usize = 15;
/// The caches are full by then.
const WARM: usize = 5;
const FUNCTIONS: &str = "--filter-func '__dev_queue_xmit|ip_rcv|.*kfree_skb.*|consume_skb'";

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let before = vm.leftovers()?;
    let trace = vm.trace(&format!("{FUNCTIONS} --output-stack --filter-track-skb --output-netns-names udp"))?;
    let done = AtomicBool::new(false);
    let (mut early, mut late) = (0, 0);
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            net.left.enter(|| {
                let socket = UdpSocket::bind("0.0.0.0:0")?;
                while !done.load(Ordering::Relaxed) {
                    for _ in 0..20 {
                        socket.send_to(b"to nobody", "10.0.0.2:5003")?;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(())
            })
        });
        let changes = (0..ROUNDS).try_for_each(|round| {
            if round == WARM {
                early = resident(&trace)?;
            }
            change(vm, &trace, round)
        });
        late = resident(&trace).unwrap_or(u64::MAX);
        done.store(true, Ordering::Relaxed);
        changes.and(flood.join().map_err(|_| "the flood panicked")?)
    })?;
    let ended = trace.stop()?;
    let unnamed = (0..ROUNDS).filter(|round| {
        let (interface, to) = (format!(" churn{round}:"), format!("->10.7.{round}.2:9(udp)"));
        !ended.stdout.lines().any(|line| line.contains(&interface) && line.contains(&to))
    });
    let unnamed: Vec<usize> = unnamed.collect();
    // What the kernel lost, or a probe missed because it came in an interrupt, may have been such a line.
    ensure!(unnamed.len() <= 2 || ended.lost() > 0, "no line of interfaces {unnamed:?}\n{ended}");
    ensure!(late < early + (8 << 10), "{early} KiB resident after {WARM} rounds, {late} after {ROUNDS}\n{ended}");
    ensure!(!ended.stderr.contains("panicked"), "{ended}");
    vm.expect_nothing_left(&before, super::signals_leave_nothing::SOON)
}

/// A namespace with an interface, a datagram on it, a process, sometimes a module; then all of them go.
fn change(vm: &Guest, trace: &Trace, round: usize) -> Result<()> {
    let name = format!("churn{round}");
    let namespace = Namespace::create(&name)?;
    // The number of the namespace is that of the last one, so the interface needs its own: names are kept for five seconds.
    let index = 100 + round;
    let printed = trace.printed()?;
    namespace.enter(|| {
        ip(&format!(
            "link add {name} index {index} type dummy\nlink set {name} addrgenmode none up\naddr add 10.7.{round}.1/24 dev {name}
             neigh add 10.7.{round}.2 lladdr 02:00:00:00:00:77 dev {name}"
        ))?;
        Ok(())
    })?;
    if round.is_multiple_of(5) {
        vm.sh("modprobe nft_limit; rmmod nft_limit")?;
    }
    // Its name is asked for when a line is to be printed, behind all of the flood that came before, and lines do not wait
    // long for an answer. Whether there is one is judged at the end.
    let words = format!(" {name}:");
    for _ in 0..20 {
        namespace.enter(|| Ok(UdpSocket::bind("0.0.0.0:0")?.send_to(b"here", format!("10.7.{round}.2:9"))?))?;
        if trace.is_printed_since(printed, &words, Duration::from_millis(500))? {
            break;
        }
    }
    vm.sh(&format!("ip netns del {name}")).map(drop)
}

/// Resident memory of the tracer in KiB.
fn resident(trace: &Trace) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", trace.pid()))?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).ok_or("it has ended")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}
