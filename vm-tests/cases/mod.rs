//! The cases: one behaviour per file, named after it.

use crate::guest::Case;

macro_rules! cases {
    ($($name:ident,)*) => {
        $(mod $name;)*
        /// Every case with its name.
        pub const CASES: &[(&str, Case)] = &[$((stringify!($name), $name::CASE),)*];
    };
}

mod anywhere;
mod backend;
mod doctor;
mod load;
mod lockdown;
mod track;

cases! {
    host_facts,
    lab_carries_traffic,
    lockdown_facts,
    all_functions,
    alone_in_a_root,
    anywhere_confidentiality,
    anywhere_integrity,
    anywhere_none,
    as_pwru,
    backend_fentry,
    backend_kprobe,
    backend_kprobe_multi,
    backend_tracepoint,
    churn,
    closed_pipe,
    doctor_confidentiality,
    doctor_integrity,
    doctor_none,
    columns,
    command_line,
    drop_in_input,
    drop_in_output,
    drop_without_reason,
    ends_survive_overload,
    every_filter_loads,
    every_option_loads,
    filter_ifname,
    filter_mark,
    filter_netns,
    filter_skb_expr,
    filter_tunnel,
    full_disk,
    funcs,
    hostile_names,
    huge_expression,
    icmp_echo,
    interfaces_change,
    ipv6,
    json,
    killed_at_any_moment,
    least_privilege,
    limit_lines,
    lockdown_confidentiality,
    lockdown_integrity,
    losses_are_counted,
    module_functions,
    output_bpfmap,
    output_file,
    output_skb,
    output_skb_metadata,
    output_stack,
    output_tunnel,
    payload_in_fragments,
    ready_file,
    refuses_misuse,
    rotation,
    same_names,
    signal_while_starting,
    signals_leave_nothing,
    slow_reader,
    starts_leave_nothing,
    tcp_two_netns,
    trace_programs_come_and_go,
    trace_tail_call,
    trace_tail_call_confidentiality,
    trace_tail_calls_run_out,
    trace_tc,
    trace_tcx,
    trace_xdp,
    trace_xdp_expr,
    track_bridge,
    track_helpers,
    track_ipsec,
    track_loads,
    track_nat,
    track_parts,
    track_stack,
    track_table,
    track_tunnels,
    track_vxlan,
    track_wireguard,
    track_xdp,
    two_at_once,
    udp_two_netns,
    vlan,
    without_btf,
    without_privilege,
    without_tracefs,
}
