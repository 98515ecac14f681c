//! Every way in shows the same of the same packets: three tracers at once, of functions that all of them can hook.

use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::guest::net::Net;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::Fentry], seconds: 400, ..Case::new(run) };

/// On the way of a datagram and of a segment, out and in; the skb is their first, second or third argument.
const FUNCTIONS: &str = "ip_send_skb|__ip_queue_xmit|__ip_local_out|ip_output|ip_finish_output2|dev_hard_start_xmit|enqueue_to_backlog|\
                         ip_rcv|ip_rcv_core|ip_local_deliver|udp_rcv|__udp_enqueue_schedule_skb|skb_consume_udp|\
                         tcp_v4_rcv|tcp_v4_do_rcv|tcp_rcv_established|tcp_data_queue|sock_wfree|skb_release_head_state|\
                         skb_release_data|kfree_skbmem";

/// For so long the last events are waited for.
const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// Command lines that read as much as there is, by every kind of load.
const COMMANDS: [&str; 3] = [
    "--output-tcp-flags --output-skb-cb host 10.0.0.2 and (udp or tcp port 8080)",
    "--filter-track-skb --output-tunnel udp dst port 5001 or tcp dst port 8080",
    "--filter-ifname left0 --filter-netns /run/netns/left --filter-skb-expr 'skb->len > 20' \
     --output-skb-metadata 'skb->dev->name,skb->sk->__sk_common.skc_state,skb->cb[0]' udp or tcp",
];

/// The packets are sent and worked on here, so that all tracers see them there.
const CPU: usize = 1;

/// An interrupt inside a probe of one tracer is not seen by it (README, honest limits), and between two tracers' turns at a
/// function one sees it earlier. Only where that may be so the packets are sent again.
const ATTEMPTS: usize = 2;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let before = vm.leftovers()?;
    for command in COMMANDS {
        for attempt in 1..=ATTEMPTS {
            let Err(Disagreement { error, is_excused }) = agree(vm, &net, command)? else { break };
            if attempt == ATTEMPTS || !is_excused {
                return Err(error);
            }
        }
    }
    vm.expect_nothing_left(&before, super::signals_leave_nothing::SOON)
}

/// Tracers that do not show the same.
struct Disagreement {
    error: Error,
    /// It may be an interrupt's doing: a tracer says that it missed a hit, or the kernel does not count all of these, or
    /// just the order differs.
    is_excused: bool,
}

/// Traces the same packets every way at once.
fn agree(vm: &Guest, net: &Net, command: &str) -> Result<Result<(), Disagreement>> {
    let start = |backend: &str| vm.trace(&format!("{backend} --filter-func '{FUNCTIONS}' {command}"));
    let traces = [("", start("")?), ("kprobe", start("--backend kprobe")?), ("fentry", start("--backend fentry")?)];
    on_one_cpu(|| {
        net.udp("10.0.0.2:5001", 64, 5)?;
        net.connect("10.0.0.2:8080")
    })?;
    let since = Instant::now();
    let shown: Vec<Vec<String>> = loop {
        let shown: Vec<_> = traces.iter().map(|(_, trace)| lines(&trace.so_far())).collect();
        let agree = shown[0].len() > 30 && shown.iter().all(|lines| *lines == shown[0]);
        if agree || since.elapsed() > LIMIT {
            break shown;
        }
        std::thread::sleep(PAUSE);
    };
    ensure!(shown[0].len() > 30, "{command}\nonly {} events", shown[0].len());
    let (mut problems, mut is_excused) = (Vec::new(), vm.version < (6, 7));
    for ((way, trace), also) in traces.into_iter().zip(&shown) {
        let ended = trace.stop()?;
        ensure!(ended.lost() == 0, "{command}\n{way} lost events\n{ended}");
        is_excused |= ended.stderr.contains("hits went untraced");
        let only = |lines: &[String], other: &[String]| -> String {
            lines.iter().filter(|line| !other.contains(line)).take(5).map(|line| format!("{line}\n")).collect()
        };
        if shown[0] != *also {
            let (here, there) = (only(&shown[0], also), only(also, &shown[0]));
            is_excused |= sorted(&shown[0]) == sorted(also);
            problems.push(format!(
                "{command}\nthe best way has {} events, also\n{here}{way} has {}, also\n{there}{}",
                shown[0].len(),
                also.len(),
                ended.stderr
            ));
        }
    }
    let error = Error::new(problems.join("\n"));
    Ok(if problems.is_empty() { Ok(()) } else { Err(Disagreement { error, is_excused }) })
}

/// Calls `send` on one processor; what it starts and wakes by its packets is on the same.
fn on_one_cpu<T>(send: impl FnOnce() -> Result<T>) -> Result<T> {
    let this = Pid::from_raw(0);
    let all = sched_getaffinity(this)?;
    let mut one = CpuSet::new();
    one.set(CPU)?;
    sched_setaffinity(this, &one)?;
    let sent = send();
    sched_setaffinity(this, &all)?;
    sent
}

/// The events, in their order.
fn lines(output: &str) -> Vec<String> {
    output.lines().filter(|line| line.starts_with("0x")).map(str::to_owned).collect()
}

fn sorted(lines: &[String]) -> Vec<&String> {
    let mut sorted: Vec<_> = lines.iter().collect();
    sorted.sort();
    sorted
}
