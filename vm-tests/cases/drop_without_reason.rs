//! A dropped packet is seen to die on every kernel, also where the kernel does not say why.

use std::time::Duration;

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.right.sh("nft add table ip t && nft add chain ip t in '{ type filter hook input priority 0; }'")?;
    net.right.sh("nft add rule ip t in tcp dport 81 drop")?;
    let functions = "ip_rcv|nf_hook_slow|kfree_skb.*|sk_skb_reason_drop|skb_release_data|tcp_v4_rcv";
    let trace = vm.trace(&format!("--filter-func '{functions}' tcp dst port 81"))?;
    net.connect_in_vain("10.0.0.2:81", Duration::from_millis(300))?;
    let ended = trace.stop()?;
    ended.expect_in_order(&["ip_rcv", "nf_hook_slow"])?;
    ended.expect_none("tcp_v4_rcv")?;
    let died = ended.lines()?.iter().any(|line| line.name().starts_with("kfree_skb") || line.name() == "sk_skb_reason_drop");
    ensure!(died, "nothing shows that the packet was freed\n{ended}");
    Ok(())
}
