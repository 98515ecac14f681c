//! What a program is attached to.

use crate::host::SkbFunction;
use std::fmt;

/// A function or tracepoint that will be traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name of the function, or of the tracepoint without `btf_trace_`.
    pub name: String,
    /// The module that it belongs to; `None` for the kernel itself.
    pub module: Option<String>,
    /// Where it starts: several places if several static functions have this name, none for a tracepoint.
    pub addresses: Vec<u64>,
    /// Position of the skb among the arguments, from 1; 0 if it has none (`--filter-non-skb-funcs`).
    pub skb_arg: u8,
    /// Position of the `enum skb_drop_reason` among the arguments, from 1.
    pub reason_arg: Option<u8>,
    /// BTF id of the function, or of the tracepoint's typedef.
    pub btf_id: u32,
    /// Whether it is a tracepoint.
    pub is_tracepoint: bool,
}

impl From<&SkbFunction> for Target {
    fn from(function: &SkbFunction) -> Target {
        Target {
            name: function.alias.as_deref().unwrap_or(&function.name).to_owned(),
            module: function.module.as_deref().map(str::to_owned),
            addresses: function.addresses.clone(),
            skb_arg: if function.skb_arg == 0 { 0 } else { function.skb_register + 1 },
            reason_arg: function.reason_arg,
            btf_id: function.btf_id.0,
            is_tracepoint: false,
        }
    }
}

impl Target {
    /// The name as lines show it: `name`, or `name[module]`.
    pub fn title(&self) -> String {
        match &self.module {
            Some(module) => format!("{}[{module}]", self.name),
            None => self.name.clone(),
        }
    }
}

/// What the names of functions have in them that drop packets or free them, on kernels from 5.10 to 7.2.
const ENDS: [&str; 5] = ["kfree_skb", "consume_", "drop", "skb_free", "defer_free"];

impl Target {
    /// Whether it tells of the end of a packet.
    pub fn is_end(&self) -> bool {
        self.reason_arg.is_some() || ENDS.iter().any(|part| self.name.contains(part))
    }

    /// The same, and the skb is its argument `position`.
    pub fn is_end_at(&self, position: u8) -> bool {
        self.skb_arg == position && self.is_end()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.skb_arg {
            0 => write!(f, "{:<30} no skb", self.title())?,
            position => write!(f, "{:<30} skb is argument {position}", self.title())?,
        }
        if let Some(position) = self.reason_arg {
            write!(f, ", drop reason is argument {position}")?;
        }
        if self.addresses.len() > 1 {
            write!(f, ", in {} places", self.addresses.len())?;
        }
        Ok(())
    }
}

/// The functions of a module, of which none shows a drop reason: pwru's lines name it behind two of the kernel alone.
pub fn of_module(functions: &[SkbFunction]) -> Vec<Target> {
    functions.iter().map(|function| Target { reason_arg: None, ..Target::from(function) }).collect()
}

/// Functions that show most of a packet's life, and so are attached first where attaching is slow.
const FIRST: [&str; 16] = [
    "kfree_skb_reason",
    "sk_skb_reason_drop",
    "kfree_skb",
    "__netif_receive_skb_core",
    "ip_rcv",
    "ip_local_out",
    "ipv6_rcv",
    "ip6_output",
    "__dev_queue_xmit",
    "dev_hard_start_xmit",
    "tcp_v4_rcv",
    "tcp_v6_rcv",
    "udp_rcv",
    "ip_output",
    "ip_forward",
    "consume_skb",
];

/// The stations of a packet's way that are worth a trampoline of their own where every one is expensive and the
/// tracepoints show arrival, departure and end.
pub const MAIN: [&str; 20] = [
    "ip_rcv",
    "ip_local_deliver",
    "ip_forward",
    "ip_local_out",
    "__ip_local_out",
    "ip_output",
    "ip6_input",
    "ip6_forward",
    "ip6_output",
    "ip6_xmit",
    "ipv6_rcv",
    "nf_hook_slow",
    "tcp_v4_rcv",
    "tcp_v6_rcv",
    "udp_rcv",
    "udpv6_rcv",
    "icmp_rcv",
    "icmpv6_rcv",
    "dev_hard_start_xmit",
    "arp_rcv",
];

/// The functions that the packets of TCP, UDP and ICMP visit on their way through a host, on kernels that have no
/// kprobe-multi.
pub const BUSY: [&str; 120] = [
    // out
    "__ip_local_out",
    "ip_send_skb",
    "ip_output",
    "ip_finish_output",
    "__ip_finish_output",
    "ip_finish_output2",
    "ip6_output",
    "ip6_finish_output",
    "__ip6_finish_output",
    "ip6_finish_output2",
    "ip6_xmit",
    "__ip_queue_xmit",
    "ip_queue_xmit",
    "__tcp_transmit_skb",
    "tcp_v4_send_check",
    "udp4_hwcsum",
    "nf_hook_slow",
    "__dev_queue_xmit",
    "netdev_core_pick_tx",
    "netdev_pick_tx",
    "validate_xmit_skb",
    "validate_xmit_skb_list",
    "validate_xmit_xfrm",
    "netif_skb_features",
    "passthru_features_check",
    "skb_network_protocol",
    "skb_csum_hwoffload_help",
    "sch_direct_xmit",
    "dev_hard_start_xmit",
    "skb_clone_tx_timestamp",
    "sock_wfree",
    "tcp_wfree",
    "skb_tx_error",
    // between devices
    "__dev_forward_skb",
    "__dev_forward_skb2",
    "skb_scrub_packet",
    "eth_type_trans",
    "netif_rx",
    "__netif_rx",
    "netif_rx_internal",
    "enqueue_to_backlog",
    // in
    "napi_gro_receive",
    "dev_gro_receive",
    "skb_gro_reset_offset",
    "inet_gro_receive",
    "tcp4_gro_receive",
    "tcp_gro_receive",
    "udp4_gro_receive",
    "netif_receive_skb",
    "netif_receive_skb_internal",
    "__netif_receive_skb",
    "__netif_receive_skb_core",
    "__netif_receive_skb_one_core",
    "tpacket_rcv",
    "packet_rcv",
    "skb_pull_rcsum",
    "ip_rcv",
    "ip_rcv_core",
    "ip_rcv_finish",
    "ip_rcv_finish_core",
    "ip_route_input_noref",
    "ip_route_input_rcu",
    "ip_route_input_slow",
    "fib_validate_source",
    "__fib_validate_source",
    "ip_local_deliver",
    "ip_local_deliver_finish",
    "ip_protocol_deliver_rcu",
    "raw_local_deliver",
    "ip_forward",
    "ip_forward_finish",
    "ip6_forward",
    "ip6_forward_finish",
    "ipv6_rcv",
    "ip6_rcv_core",
    "ip6_rcv_finish",
    "ip6_route_input",
    "ip6_input",
    "ip6_input_finish",
    "ip6_protocol_deliver_rcu",
    "raw6_local_deliver",
    // to sockets
    "udp_rcv",
    "__udp4_lib_rcv",
    "udp_v4_early_demux",
    "udp_unicast_rcv_skb",
    "udp_queue_rcv_skb",
    "udp_queue_rcv_one_skb",
    "__udp_enqueue_schedule_skb",
    "inet_lookup_reuseport",
    "ipv4_pktinfo_prepare",
    "skb_consume_udp",
    "udpv6_rcv",
    "__udp6_lib_rcv",
    "udpv6_queue_rcv_skb",
    "udpv6_queue_rcv_one_skb",
    "tcp_v4_rcv",
    "tcp_v4_early_demux",
    "tcp_v4_fill_cb",
    "tcp_v4_do_rcv",
    "tcp_v6_rcv",
    "tcp_v6_do_rcv",
    "tcp_add_backlog",
    "tcp_filter",
    "tcp_inbound_md5_hash",
    "tcp_rcv_established",
    "tcp_rcv_state_process",
    "tcp_validate_incoming",
    "tcp_ack",
    "tcp_data_queue",
    "tcp_queue_rcv",
    "sk_filter_trim_cap",
    "security_sock_rcv_skb",
    // the end
    "skb_release_head_state",
    "skb_release_data",
    "skb_free_head",
    "kfree_skbmem",
    "__kfree_skb",
    "__consume_stateless_skb",
    "consume_skb",
    "napi_consume_skb",
];

/// Puts the functions that show most in front.
pub fn most_telling_first(targets: &mut [Target]) {
    targets.sort_by_key(|target| FIRST.iter().position(|&name| name == target.name).unwrap_or(FIRST.len()));
}
