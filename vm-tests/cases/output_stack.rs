//! `--output-stack` and `--output-caller` tell how a function was reached, by every way in.

use crate::error::Result;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { seconds: 120, ..Case::new(run) };

/// What every system call comes by.
const SYSCALL: &str = if cfg!(target_arch = "aarch64") { "do_el0_svc" } else { "do_syscall_64" };

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let mut backends = vec!["kprobe", "tracepoint"];
    for (feature, backend) in [(Feature::Fentry, "fentry"), (Feature::KprobeMulti, "kprobe-multi")] {
        if vm.has(feature)? {
            backends.push(backend);
        }
    }
    for backend in backends {
        let (function, caller) = match backend {
            "tracepoint" => ("net_dev_queue", "__dev_queue_xmit"),
            _ => ("dev_hard_start_xmit", "__dev_queue_xmit"),
        };
        let trace = vm.trace(&format!(
            "--backend {backend} --filter-func {function} --output-stack --output-caller --kmods veth udp dst port 5001"
        ));
        // Linux 5.10 has no types of modules.
        let trace = match trace {
            Ok(trace) => trace,
            Err(_) => vm.trace(&format!("--backend {backend} --filter-func {function} --output-stack --output-caller udp dst port 5001"))?,
        };
        net.udp("10.0.0.2:5001", 10, 3)?;
        let ended = trace.stop()?;
        let is_event = |line: &&str| line.contains("->10.0.0.2:5001(udp)");
        let all: Vec<&str> = ended.stdout.lines().skip(1).collect();
        let events = all.iter().filter(|line| is_event(line)).count();
        // Behind each of them stands a frame, equal as the stacks are.
        let alone = all.windows(2).filter(|pair| is_event(&pair[0]) && is_event(&pair[1])).count();
        let last = all.last().is_some_and(is_event);
        ensure!(events >= 3 && alone == 0 && !last, "{backend}: {alone} of {events} events have no stack\n{ended}");
        let mut lines = ended.stdout.lines().skip_while(|line| !line.starts_with("0x"));
        let first = lines.next().ok_or_else(|| format!("{backend}: no line\n{ended}"))?;
        ensure!(first.trim_end().ends_with(&format!(" {caller}")), "{backend}: the caller is not {caller}: {first}");
        let stack: Vec<&str> = lines.take_while(|line| !line.starts_with("0x")).collect();
        let innermost = if backend == "tracepoint" { caller } else { function };
        ensure!(stack[0].split('+').next() == Some(innermost), "{backend}: {innermost} is not on top\n{ended}");
        let at = |name: &str| stack.iter().position(|frame| frame.split(['+', '.']).next() == Some(name));
        // The kernel unwinds from the frame pointer on aarch64, and the caller's address is still in a register.
        let is_there = !cfg!(target_arch = "aarch64") || backend != "kprobe";
        let queue = if is_there { at("__dev_queue_xmit") } else { Some(0) };
        let outer = queue.zip(at("udp_sendmsg")).zip(at(SYSCALL));
        let in_order = outer.is_some_and(|((queue, send), syscall)| queue < send && send < syscall);
        ensure!(in_order, "{backend}: the way from the system call is not there\n{ended}");
        ensure!(stack.iter().skip(1).all(|frame| frame.contains("+0x") || frame.starts_with("0x")), "{backend}: no offset\n{ended}");
    }
    Ok(())
}
