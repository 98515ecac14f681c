//! A packet that nftables drops on its way out is shown with the reason.

use std::time::Duration;

use crate::error::Result;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::DropReasons], ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.left.sh("nft add table ip t && nft add chain ip t out '{ type filter hook output priority 0; }'")?;
    net.left.sh("nft add rule ip t out tcp dport 81 drop")?;
    let trace = vm.trace("--filter-func 'nf_hook_slow|ip_output|kfree_skb_reason|sk_skb_reason_drop' tcp dst port 81")?;
    net.connect_in_vain("10.0.0.2:81", Duration::from_millis(300))?;
    let ended = trace.stop()?;
    let drop = if vm.has_symbol("sk_skb_reason_drop") { "sk_skb_reason_drop" } else { "kfree_skb_reason" };
    ended.expect_in_order(&[
        "nf_hook_slow ->10.0.0.2:81(tcp)",
        &format!("{drop}(SKB_DROP_REASON_NETFILTER_DROP) 10.0.0.1: ->10.0.0.2:81(tcp)"),
    ])?;
    ended.expect_none("ip_output")
}
