//! The kernel accepts the program of every option that changes it, alone and together with others.

use super::load::{backends, loads, starts};
use crate::error::Result;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { seconds: 300, ..Case::new(run) };

/// One set of options per line.
const OPTIONS: &[&str] = &[
    "",
    "--output-meta=false --output-tuple=false",
    "--output-tuple=false",
    "--output-meta=false",
    "--output-tcp-flags",
    "--output-tcp-flags --timestamp absolute --output-json",
    "--timestamp relative",
    "--filter-mark 0xa00/0xf00",
    "--filter-mark 0",
    "--filter-netns inode:4026531840",
    "--filter-ifname lo",
    "--filter-mark 1 --filter-ifname lo --output-tcp-flags --timestamp current",
    "--buffer-size 64K",
    "--output-skb --output-skb-shared-info --output-stack --output-caller --output-tunnel",
    "--output-skb --output-skb-shared-info --output-stack --output-caller --output-tunnel --event-buffer perf",
    "--output-bpfmap",
    "--filter-skb-expr 'skb->mark & 0xf0 && skb->dev->nd_net.net->ns.inum > 1'",
    "--filter-skb-expr '(unsigned long)skb->dev % 64 == 0 || skb->tstamp / -3 > skb->tstamp'",
    "--output-skb-metadata 'skb->dev->name,skb->cb,skb->mark,skb->pkt_type,skb->dev,&skb->len,skb'",
    "--output-skb-metadata '*(struct iphdr *)(skb->head + skb->network_header),(char *)skb->data'",
];
/// Positions of the skb among the arguments: first, second, third, and several at once.
const FUNCTIONS: &[&str] = &["ip_rcv", "ip_local_deliver_finish|ip_rcv_finish", "ip_send_skb|ip_output|ip_rcv", "tcp_v4_.*"];

fn run(vm: &Guest) -> Result<()> {
    let expression = "host 10.0.0.2 and tcp port 80";
    // Values of maps are read when a function returns.
    let has_maps = vm.has(Feature::Fentry)?;
    let options: Vec<_> = OPTIONS.iter().filter(|options| has_maps || !options.contains("bpfmap")).collect();
    starts(options.iter().map(|options| format!("--filter-func ip_rcv {options} -- {expression}")).collect())?;
    let backends = backends(vm)?;
    let best = if backends.contains(&"kprobe-multi") { "kprobe-multi" } else { "kprobe" };
    for options in options {
        loads(&format!("--backend {best} --filter-func ip_rcv {options}"), &[""])?;
    }
    for functions in FUNCTIONS {
        loads(&format!("--backend {best} --filter-func '{functions}'"), &["tcp[tcpflags] & tcp-syn != 0"])?;
    }
    for backend in backends {
        let functions = if backend == "tracepoint" { "" } else { "--filter-func 'ip_rcv|ip_output'" };
        loads(
            &format!("--backend {backend} {functions} --output-tcp-flags"),
            &[
                expression,
                "vlan 42 and ip6",
                "ip6 protochain 17",
                "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x48545450",
                "ip[ip[0] & 15] / (ip[1] + 1) % 7 = 3",
            ],
        )?;
    }
    Ok(())
}
