//! `--filter-skb-expr` lets through what a C expression over the skb holds for, whatever the way in.

use crate::error::Result;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { seconds: 120, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    net.left.sh("nft add table ip t && nft add chain ip t out '{ type route hook output priority 0; }'")?;
    net.left.sh("nft add rule ip t out udp dport 5001 meta mark set 0x80000a01")?;
    let mut backends = vec!["kprobe"];
    for (feature, backend) in [(Feature::Fentry, "fentry"), (Feature::KprobeMulti, "kprobe-multi")] {
        if vm.has(feature)? {
            backends.push(backend);
        }
    }
    let port = "((struct udphdr *)(skb->head + skb->transport_header))->dest";
    for backend in backends {
        let start = |expression: &str| {
            vm.trace(&format!("--backend {backend} --filter-func ip_output --filter-skb-expr '{expression}' udp"))
        };
        let marked = start("skb->mark > 0x7fffffff && skb->len == 38")?;
        let by_port = start(&format!("{port} == 5002"))?;
        let nowhere = start("skb->dev->ifindex == 4711")?;
        let by_socket = start("skb->sk->__sk_common.skc_family == 2 && skb->mark")?;
        for port in [5001, 5002] {
            net.udp(&format!("10.0.0.2:{port}"), 10, 3)?;
        }
        let is_to = |ended: &crate::guest::trace::Ended, port: u16, count: usize| -> Result<()> {
            ended.expect_all("to the port", |line| line.tuple.ends_with(&format!("->10.0.0.2:{port}(udp)")))?;
            let lines = ended.lines()?.len();
            ensure!(lines == count, "{backend}: {lines} lines instead of {count}\n{ended}");
            Ok(())
        };
        is_to(&marked.stop()?, 5001, 3)?;
        is_to(&by_port.stop()?, 5002, 3)?;
        is_to(&by_socket.stop()?, 5001, 3)?;
        let nowhere = nowhere.stop()?;
        ensure!(nowhere.lines()?.is_empty(), "{backend}: nothing has that interface\n{nowhere}");
    }
    vm.whither("--filter-skb-expr 'skb->makr == 1' udp").finish()?.expect_refusal(2, &["makr", "skb->mark"])
}
