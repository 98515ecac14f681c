//! Without `--filter-func` at least the functions are attached that pwru would attach, a connection is seen in them, and
//! everything is gone afterwards.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 900, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let wanted = pwru_rule(&vm.sh("bpftool btf dump file /sys/kernel/btf/vmlinux format raw")?)?;
    ensure!(wanted.len() > 1000, "pwru's rule gives only {} functions", wanted.len());
    let before = vm.leftovers()?;
    let trace = vm.trace("--output-tcp-flags tcp port 80")?;
    let patched = std::fs::read_to_string("/sys/kernel/tracing/enabled_functions")?;
    let probed = std::fs::read_to_string("/sys/kernel/debug/kprobes/list")?;
    // On x86_64 a kprobe at a function's entry is one of the patched functions, on other processors it is a breakpoint.
    let is_patched = cfg!(target_arch = "x86_64");
    let probed = probed.lines().filter(|_| !is_patched);
    let probed = probed.filter_map(|line| line.split_whitespace().nth(2)?.split('+').next());
    let attached: HashSet<String> =
        patched.lines().filter_map(|line| line.split_whitespace().next()).chain(probed).map(str::to_owned).collect();
    let mut missing: Vec<_> = wanted.iter().filter(|name| !attached.contains(*name)).collect();
    missing.sort();
    // A few listed functions refuse every probe of a kind (`notrace` copies, functions in the tracing path itself).
    ensure!(
        missing.len() * 100 <= wanted.len(),
        "{} functions are attached, but {} of the {} of pwru's rule are not: {missing:?}",
        attached.len(),
        missing.len(),
        wanted.len()
    );
    ensure!(attached.len() >= wanted.len(), "{} functions instead of {}", attached.len(), wanted.len());
    net.connect("10.0.0.2:80")?;
    let ended = trace.stop()?;
    ended.expect_in_order(&["__ip_local_out tcp:SYN)", "ip_rcv tcp:SYN)", "tcp_v4_rcv tcp:SYN)", "tcp_v4_rcv tcp:SYN|ACK)"])?;
    let functions: HashSet<_> = ended.lines()?.iter().map(|line| line.name().to_owned()).collect();
    ensure!(functions.len() >= 60, "a connection was seen in only {} functions\n{ended}", functions.len());
    vm.expect_nothing_left(&before, Duration::from_secs(300))
}

/// The functions that pwru attaches to (PWRU.md 2.2): in `available_filter_functions`, and one of the first five
/// parameters is a plain pointer to `struct sk_buff`. `types` is what bpftool prints.
fn pwru_rule(types: &str) -> Result<HashSet<String>> {
    let listed = std::fs::read_to_string("/sys/kernel/tracing/available_filter_functions")?;
    let listed: HashSet<&str> = listed.lines().collect();
    let (mut skb, mut pointers, mut prototypes, mut functions) = (HashSet::new(), HashMap::new(), HashMap::new(), Vec::new());
    let mut open = None;
    for line in types.lines() {
        if let Some(parameter) = line.strip_prefix('\t') {
            if let Some(prototype) = open {
                let parameters: &mut Vec<&str> = prototypes.entry(prototype).or_default();
                parameters.extend(parameter.split("type_id=").nth(1));
            }
            continue;
        }
        open = None;
        let mut words = line.split_whitespace();
        let (Some(id), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else { continue };
        let (id, name) = (id.trim_matches(['[', ']']), name.trim_matches('\''));
        let target = line.split(" type_id=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
        match kind {
            "STRUCT" if name == "sk_buff" => drop(skb.insert(id)),
            "PTR" => drop(pointers.insert(id, target)),
            "FUNC_PROTO" => open = Some(id),
            "FUNC" if listed.contains(name) => functions.push((name, target)),
            _ => {}
        }
    }
    let takes_skb = |prototype: &&str| {
        let parameters = prototypes.get(prototype).map(Vec::as_slice).unwrap_or_default();
        parameters.iter().take(5).any(|parameter| pointers.get(parameter).is_some_and(|target| skb.contains(target)))
    };
    Ok(functions.iter().filter(|(_, prototype)| takes_skb(prototype)).map(|(name, _)| (*name).to_owned()).collect())
}
