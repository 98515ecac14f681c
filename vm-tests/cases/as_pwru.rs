//! The SYN of a forwarded connection visits the functions that pwru shows in the same scenario, with the same columns.

use crate::error::{Error, Result};
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::SamplesOfPwru], ..Case::new(run) };

/// What pwru showed, kernel by kernel.
const SHOWN: &str = include_str!("as_pwru.txt");

/// `--filter-func` of the kernels on which pwru was not asked for all functions.
const SOME: &str = "ip_rcv|ip_output|tcp_v4_rcv|kfree_skb.*|sk_skb_reason_drop|__dev_queue_xmit|ip_forward|\
                    netif_receive_skb.*|__netif_receive_skb_core|skb_release_data|consume_skb|icmpv6_rcv";

fn run(vm: &Guest) -> Result<()> {
    let (major, minor) = vm.version;
    let title = format!("[{major}.{minor}]\n");
    let (_, rows) = SHOWN.split_once(&title).ok_or_else(|| Error::new(format!("no sample of {major}.{minor}")))?;
    let shown: Vec<&str> = rows.lines().take_while(|row| !row.starts_with('[')).collect();

    let net = vm.routed_namespaces()?;
    let all = vm.version == (6, 12);
    let functions = if all { String::new() } else { format!("--filter-func '{SOME}' ") };
    let trace = vm.trace(&format!("{functions}host 10.0.0.2 and tcp port 80"))?;
    let left = net.connect("10.0.0.2:80")?;
    let ended = trace.stop()?;

    let lines = ended.lines()?;
    let syn = format!("{left}->10.0.0.2:80(tcp)");
    let mut ours = Vec::new();
    for line in lines.iter().filter(|line| line.tuple == syn && line.skb == lines[0].skb) {
        let depends_on_host = ["selinux_", "apparmor_", "nf_hook_slow"].iter().any(|start| line.name().starts_with(start));
        if !depends_on_host {
            ours.push(format!("{} {:#06x} {} {}", line.function, line.protocol, line.mtu, line.length));
        }
        // Behind its receiver the buffer may come back as another packet.
        if line.name() == "tcp_v4_rcv" {
            break;
        }
    }
    ensure!(ours == shown, "pwru shows\n{}\nwhither shows\n{}", shown.join("\n"), ours.join("\n"));
    Ok(())
}
