//! What cases about followed packets share.

use crate::error::Result;
use crate::guest::lines::Line;
use crate::guest::trace::Ended;

/// Functions of all layers, and those that every skb ends in.
pub const FUNCTIONS: &str = "--filter-func 'ip_rcv|ip_output|ip_local_out|ip_forward|__dev_queue_xmit|udp_rcv|udp_queue_rcv_skb|icmp_rcv|icmp_echo\
                             |tcp_v4_rcv|ip_local_deliver|ip_local_deliver_finish|skb_release_data|kfree_skbmem'";

/// Expects that every line is about a packet that `is_ours` knows, and that each of `once` was visited once.
pub fn expect_only(ended: &Ended, once: &[&str], is_ours: impl Fn(&Line) -> bool) -> Result<()> {
    ended.expect_all("about the packet that is followed", is_ours)?;
    for function in once {
        let count = ended.lines()?.iter().filter(|line| line.name() == *function).count();
        ensure!(count == 1, "{count} lines of {function}\n{ended}");
    }
    Ok(())
}
