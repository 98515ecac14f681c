//! A packet that iptables drops at its destination is shown with the reason.

use std::time::Duration;

use crate::error::Result;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::DropReasons], ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.right.sh("iptables-legacy -A INPUT -p tcp --dport 81 -j DROP")?;
    let functions = "nf_hook_slow|ip_rcv|tcp_v4_rcv|kfree_skb_reason|sk_skb_reason_drop";
    let trace = vm.trace(&format!("--filter-func '{functions}' tcp dst port 81"))?;
    net.connect_in_vain("10.0.0.2:81", Duration::from_millis(300))?;
    let ended = trace.stop()?;
    let drop = if vm.has_symbol("sk_skb_reason_drop") { "sk_skb_reason_drop" } else { "kfree_skb_reason" };
    ended.expect_in_order(&[
        "ip_rcv ->10.0.0.2:81(tcp)",
        "nf_hook_slow ->10.0.0.2:81(tcp)",
        &format!("{drop}(SKB_DROP_REASON_NETFILTER_DROP) ->10.0.0.2:81(tcp)"),
    ])?;
    ended.expect_none("tcp_v4_rcv")
}
