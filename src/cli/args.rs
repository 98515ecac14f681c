//! The flags as typed: pwru's 46 with their names, types and defaults, and ours.
//!
//! The first paragraph of each field's comment is its line in `--help`.

use std::path::PathBuf;

use clap::Parser;

use super::values::{
    Backend, Dump, EventBuffer, Mark, Maybe, NetnsSpec, Timestamp, checked_list, count, file, mark, maybe, netns,
    positive, size, unsigned,
};

/// The command line of `whither [options] [pcap-filter]`.
///
/// Fields hold what was typed, not what follows from it; a value that only a kernel can judge (a function name, an
/// expression) is still text. Booleans are `--flag` or `--flag=false`: the next word is never their value.
#[derive(Clone, Debug, Parser)]
#[command(name = "whither", disable_help_flag = true, disable_version_flag = true, args_override_self = true)]
pub struct Args {
    #[arg(value_name = "pcap-filter")]
    pub(super) words: Vec<String>,

    /// The packet expression in the language of pcap-filter(7); empty: every packet.
    ///
    /// All words that belong to no flag, joined by one space.
    #[arg(skip)]
    pub expression: String,

    /// Names of the flags whose value on the command line differs from their default, see [`Args::given`].
    #[arg(skip)]
    pub(super) given: Vec<String>,

    /// only functions whose whole name matches this regular expression
    #[arg(long, value_name = "REGEX", value_parser = maybe::<String>, default_value = "", help_heading = "Functions")]
    pub filter_func: Maybe<String>,

    /// functions of these kernel modules too, now or as soon as they are loaded (Linux 5.11)
    #[arg(long, value_name = "NAMES", value_parser = checked_list, help_heading = "Functions")]
    pub kmods: Vec<String>,

    /// functions of all kernel modules too, now or as soon as they are loaded (Linux 5.11)
    #[arg(long, help_heading = "Functions")]
    pub all_kmods: bool,

    /// functions without an skb, shown when they run on the stack of a matching one
    #[arg(long, value_name = "NAMES", value_parser = checked_list, help_heading = "Functions")]
    pub filter_non_skb_funcs: Vec<String>,

    /// tc programs too (Linux 5.5)
    #[arg(long, help_heading = "Functions")]
    pub filter_trace_tc: bool,

    /// XDP programs too (Linux 5.5)
    #[arg(long, help_heading = "Functions")]
    pub filter_trace_xdp: bool,

    /// functions that loaded BPF programs call, for packets that matched (x86_64)
    #[arg(long, help_heading = "Functions")]
    pub filter_track_bpf_helpers: bool,

    /// only packets in this network namespace: a path, or inode:NUMBER
    #[arg(long, value_name = "NETNS", value_parser = netns(), default_value = "", help_heading = "Packets")]
    pub filter_netns: Maybe<NetnsSpec>,

    /// only packets on this interface, of --filter-netns or else of the current namespace
    #[arg(long, value_name = "NAME", value_parser = maybe::<String>, default_value = "", help_heading = "Packets")]
    pub filter_ifname: Maybe<String>,

    /// only packets with this skb->mark: VALUE or VALUE/MASK, decimal or 0x
    #[arg(long, value_name = "MARK", value_parser = mark, default_value = "0/0", help_heading = "Packets")]
    pub filter_mark: Maybe<Mark>,

    /// only packets for which this holds: C, such as 'skb->len > 100 && skb->dev->ifindex == 2'
    #[arg(long, value_name = "EXPR", value_parser = maybe::<String>, default_value = "", help_heading = "Packets")]
    pub filter_skb_expr: Maybe<String>,

    /// only XDP buffers for which this holds: C, such as 'xdp->rxq->dev->ifindex == 2'
    #[arg(long, value_name = "EXPR", value_parser = maybe::<String>, default_value = "", help_heading = "Packets")]
    pub filter_xdp_expr: Maybe<String>,

    /// pcap-filter on the frame inside a tunnel; packets outside of one pass
    #[arg(long, value_name = "EXPR", value_parser = maybe::<String>, default_value = "", help_heading = "Packets")]
    pub filter_tunnel_pcap_l2: Maybe<String>,

    /// pcap-filter on the IP packet inside a tunnel; packets outside of one pass
    #[arg(long, value_name = "EXPR", value_parser = maybe::<String>, default_value = "", help_heading = "Packets")]
    pub filter_tunnel_pcap_l3: Maybe<String>,

    /// follow a packet that matched once, whatever becomes of it: NAT, tunnels, copies (best with fentry, Linux 5.5)
    #[arg(long, help_heading = "Packets")]
    pub filter_track_skb: bool,

    /// what else runs on the stack of a packet that matched (best with fentry, Linux 5.5)
    #[arg(long, help_heading = "Packets")]
    pub filter_track_skb_by_stackid: bool,

    /// packets that can be followed at a time; others are counted
    #[arg(long, value_name = "N", value_parser = positive::<u32>, default_value = "65536", help_heading = "Packets")]
    pub track_table_size: u32,

    /// namespace, mark, interface, protocol, MTU and length
    #[arg(long, default_value = "true", help_heading = "Columns")]
    pub output_meta: bool,

    /// addresses and ports
    #[arg(long, default_value = "true", help_heading = "Columns")]
    pub output_tuple: bool,

    /// TCP flags in the tuple
    #[arg(long, help_heading = "Columns")]
    pub output_tcp_flags: bool,

    /// addresses and ports inside a tunnel
    #[arg(long, help_heading = "Columns")]
    pub output_tunnel: bool,

    /// caller of the function
    #[arg(long, help_heading = "Columns")]
    pub output_caller: bool,

    /// kernel stack, a line for each frame
    #[arg(long, help_heading = "Columns")]
    pub output_stack: bool,

    /// names of network namespaces, from /run/netns
    #[arg(long, help_heading = "Columns")]
    pub output_netns_names: bool,

    /// width of that column in characters, at least 10
    #[arg(long, value_name = "N", value_parser = unsigned::<u8>, default_value = "16", help_heading = "Columns")]
    pub netns_names_max_length: u8,

    /// times: none, current or relative (ns, monotonic), absolute (wall time)
    #[arg(long, value_name = "MODE", default_value = "none", help_heading = "Columns")]
    pub timestamp: Timestamp,

    /// __sk_buff->cb[], five words
    #[arg(long, help_heading = "Columns")]
    pub output_skb_cb: bool,

    /// values of C expressions on the skb, such as skb->mark,skb->dev->name
    #[arg(long, value_name = "EXPRS", value_parser = checked_list, help_heading = "Columns")]
    pub output_skb_metadata: Vec<String>,

    /// values of C expressions on the xdp_buff, such as xdp->rxq->dev->ifindex
    #[arg(long, value_name = "EXPRS", value_parser = checked_list, help_heading = "Columns")]
    pub output_xdp_metadata: Vec<String>,

    /// the whole sk_buff, member by member
    #[arg(long, help_heading = "Columns")]
    pub output_skb: bool,

    /// the whole skb_shared_info, member by member
    #[arg(long, help_heading = "Columns")]
    pub output_skb_shared_info: bool,

    /// what BPF programs do to maps for a packet: map, key and value (needs fentry, Linux 5.5)
    #[arg(long, help_heading = "Columns")]
    pub output_bpfmap: bool,

    /// one JSON object per line
    #[arg(long, help_heading = "Output")]
    pub output_json: bool,

    /// stop after N lines; 0: never
    #[arg(long, value_name = "N", value_parser = unsigned::<u64>, default_value = "0", help_heading = "Output")]
    pub output_limit_lines: u64,

    /// write to this file instead of standard output, and rotate it; SIGHUP opens it again
    #[arg(long, value_name = "FILE", value_parser = file(), default_value = "", help_heading = "Output")]
    pub output_file: Maybe<PathBuf>,

    /// size at which it is rotated, in MiB; 0: 100
    #[arg(long, value_name = "MIB", value_parser = count, default_value = "100", help_heading = "Output")]
    pub output_file_max_size: u64,

    /// rotated files that are kept; 0: all
    #[arg(long, value_name = "N", value_parser = count, default_value = "0", help_heading = "Output")]
    pub output_file_max_backups: u64,

    /// days for which rotated files are kept; 0: for ever
    #[arg(long, value_name = "DAYS", value_parser = count, default_value = "0", help_heading = "Output")]
    pub output_file_max_age: u64,

    /// compress rotated files with gzip
    #[arg(long, help_heading = "Output")]
    pub output_file_compress: bool,

    /// attach so: kprobe, kprobe-multi (Linux 5.18), fentry (5.5), tracepoint; else the best that works
    #[arg(long, value_name = "NAME", value_parser = maybe::<Backend>, default_value = "", help_heading = "Run")]
    pub backend: Maybe<Backend>,

    /// kprobes that are attached or detached together
    #[arg(long, value_name = "N", value_parser = positive::<u64>, default_value = "10", help_heading = "Run")]
    pub filter_kprobe_batch: u64,

    /// kernel types from this file: BTF or ELF, also packed by gzip, xz or zstd
    #[arg(long, value_name = "FILE", value_parser = file(), default_value = "", help_heading = "Run")]
    pub kernel_btf: Maybe<PathBuf>,

    /// records reach us by ring (Linux 5.8) or perf; else the best that works
    #[arg(long, value_name = "NAME", value_parser = maybe::<EventBuffer>, default_value = "", help_heading = "Run")]
    pub event_buffer: Maybe<EventBuffer>,

    /// room for records that are not read yet, in bytes, or with K, M, G; 64K at least, 1G at most
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "16M", help_heading = "Run")]
    pub buffer_size: u64,

    /// without effect: dumps are never cut; for pwru's sake
    #[arg(long, value_name = "BYTES", value_parser = unsigned::<u32>, default_value = "4096", help_heading = "Run")]
    pub set_percpu_buf: u32,

    /// end with status 3 if an event is missing, or may be: lost, missed by a probe, not readable, not followed
    #[arg(long, help_heading = "Run")]
    pub strict: bool,

    /// say more about each stage
    #[arg(long, help_heading = "Run")]
    pub debug: bool,

    /// Created, empty, when everything is attached.
    #[arg(long, hide = true, value_parser = file(), default_value = "")]
    pub ready_file: Maybe<PathBuf>,

    /// Prints an intermediate form and ends.
    #[arg(long, hide = true, value_parser = maybe::<Dump>, default_value = "")]
    pub dump: Maybe<Dump>,

    /// print this and end
    #[arg(short, long, help_heading = "Run")]
    pub(super) help: bool,

    /// print the version and end
    #[arg(long, help_heading = "Run")]
    pub(super) version: bool,
}

impl Args {
    /// Whether packets are to be followed, by their address or by their stack.
    pub fn filter_track_skb_or_stack(&self) -> bool {
        self.filter_track_skb || self.filter_track_skb_by_stackid
    }

    /// Whether fentry may be used besides the way in.
    pub fn may_use_fentry(&self) -> bool {
        self.backend.is_none() || self.filter_track_skb_or_stack() || self.filter_trace_tc || self.filter_trace_xdp
    }

    /// The flags (with `--`) whose value on the command line differs from their default, in the order of `--help`.
    ///
    /// A stage refuses what it cannot do by looking for its flags here.
    pub fn given(&self) -> &[String] {
        &self.given
    }
}
