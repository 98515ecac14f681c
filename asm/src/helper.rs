//! The functions that the kernel offers to programs by number.
//!
//! Numbers, names and argument counts are those of `include/uapi/linux/bpf.h` (`__BPF_FUNC_MAPPER`). The list is
//! complete: since Linux 6.2 the kernel adds no helper any more, only kfuncs, which are called by BTF id.

macro_rules! helpers {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $name:ident, $args:literal;)*) => {
        /// A helper function of the kernel; the variant's text is its C prototype.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Helper {
            $($(#[$doc])* $variant,)*
            /// A helper of this number that is not in the list; nothing is checked about its arguments.
            Other(u32),
        }

        impl Helper {
            /// Every helper that has a name, in the order of their numbers.
            pub const ALL: &[Helper] = &[$(Helper::$variant,)*];

            /// The helper with this number, [`Helper::Other`] if it has no name here.
            pub const fn from_id(id: u32) -> Helper {
                match id {
                    $($id => Helper::$variant,)*
                    other => Helper::Other(other),
                }
            }

            /// The number that the call instruction carries.
            pub const fn id(self) -> u32 {
                match self {
                    $(Helper::$variant => $id,)*
                    Helper::Other(id) => id,
                }
            }

            /// The name as the verifier prints it: `bpf_` and the name of the header, `unknown` for [`Helper::Other`].
            pub const fn name(self) -> &'static str {
                match self {
                    $(Helper::$variant => concat!("bpf_", stringify!($name)),)*
                    Helper::Other(_) => "unknown",
                }
            }

            /// How many of R1-R5 the helper reads. `bpf_trace_printk` reads at least these; nothing is known of
            /// [`Helper::Other`], so it is 0 there.
            pub const fn args(self) -> u8 {
                match self {
                    $(Helper::$variant => $args,)*
                    Helper::Other(_) => 0,
                }
            }
        }
    };
}

helpers! {
    /// `void *bpf_map_lookup_elem(struct bpf_map *map, const void *key)`
    MapLookupElem = 1, map_lookup_elem, 2;
    /// `long bpf_map_update_elem(struct bpf_map *map, const void *key, const void *value, u64 flags)`
    MapUpdateElem = 2, map_update_elem, 4;
    /// `long bpf_map_delete_elem(struct bpf_map *map, const void *key)`
    MapDeleteElem = 3, map_delete_elem, 2;
    /// `long bpf_probe_read(void *dst, u32 size, const void *unsafe_ptr)`
    ProbeRead = 4, probe_read, 3;
    /// `u64 bpf_ktime_get_ns(void)`
    KtimeGetNs = 5, ktime_get_ns, 0;
    /// `long bpf_trace_printk(const char *fmt, u32 fmt_size, ...)`
    TracePrintk = 6, trace_printk, 2;
    /// `u32 bpf_get_prandom_u32(void)`
    GetPrandomU32 = 7, get_prandom_u32, 0;
    /// `u32 bpf_get_smp_processor_id(void)`
    GetSmpProcessorId = 8, get_smp_processor_id, 0;
    /// `long bpf_skb_store_bytes(struct sk_buff *skb, u32 offset, const void *from, u32 len, u64 flags)`
    SkbStoreBytes = 9, skb_store_bytes, 5;
    /// `long bpf_l3_csum_replace(struct sk_buff *skb, u32 offset, u64 from, u64 to, u64 size)`
    L3CsumReplace = 10, l3_csum_replace, 5;
    /// `long bpf_l4_csum_replace(struct sk_buff *skb, u32 offset, u64 from, u64 to, u64 flags)`
    L4CsumReplace = 11, l4_csum_replace, 5;
    /// `long bpf_tail_call(void *ctx, struct bpf_map *prog_array_map, u32 index)`
    TailCall = 12, tail_call, 3;
    /// `long bpf_clone_redirect(struct sk_buff *skb, u32 ifindex, u64 flags)`
    CloneRedirect = 13, clone_redirect, 3;
    /// `u64 bpf_get_current_pid_tgid(void)`
    GetCurrentPidTgid = 14, get_current_pid_tgid, 0;
    /// `u64 bpf_get_current_uid_gid(void)`
    GetCurrentUidGid = 15, get_current_uid_gid, 0;
    /// `long bpf_get_current_comm(void *buf, u32 size_of_buf)`
    GetCurrentComm = 16, get_current_comm, 2;
    /// `u32 bpf_get_cgroup_classid(struct sk_buff *skb)`
    GetCgroupClassid = 17, get_cgroup_classid, 1;
    /// `long bpf_skb_vlan_push(struct sk_buff *skb, __be16 vlan_proto, u16 vlan_tci)`
    SkbVlanPush = 18, skb_vlan_push, 3;
    /// `long bpf_skb_vlan_pop(struct sk_buff *skb)`
    SkbVlanPop = 19, skb_vlan_pop, 1;
    /// `long bpf_skb_get_tunnel_key(struct sk_buff *skb, struct bpf_tunnel_key *key, u32 size, u64 flags)`
    SkbGetTunnelKey = 20, skb_get_tunnel_key, 4;
    /// `long bpf_skb_set_tunnel_key(struct sk_buff *skb, struct bpf_tunnel_key *key, u32 size, u64 flags)`
    SkbSetTunnelKey = 21, skb_set_tunnel_key, 4;
    /// `u64 bpf_perf_event_read(struct bpf_map *map, u64 flags)`
    PerfEventRead = 22, perf_event_read, 2;
    /// `long bpf_redirect(u32 ifindex, u64 flags)`
    Redirect = 23, redirect, 2;
    /// `u32 bpf_get_route_realm(struct sk_buff *skb)`
    GetRouteRealm = 24, get_route_realm, 1;
    /// `long bpf_perf_event_output(void *ctx, struct bpf_map *map, u64 flags, void *data, u64 size)`
    PerfEventOutput = 25, perf_event_output, 5;
    /// `long bpf_skb_load_bytes(const void *skb, u32 offset, void *to, u32 len)`
    SkbLoadBytes = 26, skb_load_bytes, 4;
    /// `long bpf_get_stackid(void *ctx, struct bpf_map *map, u64 flags)`
    GetStackid = 27, get_stackid, 3;
    /// `s64 bpf_csum_diff(__be32 *from, u32 from_size, __be32 *to, u32 to_size, __wsum seed)`
    CsumDiff = 28, csum_diff, 5;
    /// `long bpf_skb_get_tunnel_opt(struct sk_buff *skb, void *opt, u32 size)`
    SkbGetTunnelOpt = 29, skb_get_tunnel_opt, 3;
    /// `long bpf_skb_set_tunnel_opt(struct sk_buff *skb, void *opt, u32 size)`
    SkbSetTunnelOpt = 30, skb_set_tunnel_opt, 3;
    /// `long bpf_skb_change_proto(struct sk_buff *skb, __be16 proto, u64 flags)`
    SkbChangeProto = 31, skb_change_proto, 3;
    /// `long bpf_skb_change_type(struct sk_buff *skb, u32 type)`
    SkbChangeType = 32, skb_change_type, 2;
    /// `long bpf_skb_under_cgroup(struct sk_buff *skb, struct bpf_map *map, u32 index)`
    SkbUnderCgroup = 33, skb_under_cgroup, 3;
    /// `u32 bpf_get_hash_recalc(struct sk_buff *skb)`
    GetHashRecalc = 34, get_hash_recalc, 1;
    /// `u64 bpf_get_current_task(void)`
    GetCurrentTask = 35, get_current_task, 0;
    /// `long bpf_probe_write_user(void *dst, const void *src, u32 len)`
    ProbeWriteUser = 36, probe_write_user, 3;
    /// `long bpf_current_task_under_cgroup(struct bpf_map *map, u32 index)`
    CurrentTaskUnderCgroup = 37, current_task_under_cgroup, 2;
    /// `long bpf_skb_change_tail(struct sk_buff *skb, u32 len, u64 flags)`
    SkbChangeTail = 38, skb_change_tail, 3;
    /// `long bpf_skb_pull_data(struct sk_buff *skb, u32 len)`
    SkbPullData = 39, skb_pull_data, 2;
    /// `s64 bpf_csum_update(struct sk_buff *skb, __wsum csum)`
    CsumUpdate = 40, csum_update, 2;
    /// `void bpf_set_hash_invalid(struct sk_buff *skb)`
    SetHashInvalid = 41, set_hash_invalid, 1;
    /// `long bpf_get_numa_node_id(void)`
    GetNumaNodeId = 42, get_numa_node_id, 0;
    /// `long bpf_skb_change_head(struct sk_buff *skb, u32 len, u64 flags)`
    SkbChangeHead = 43, skb_change_head, 3;
    /// `long bpf_xdp_adjust_head(struct xdp_buff *xdp_md, int delta)`
    XdpAdjustHead = 44, xdp_adjust_head, 2;
    /// `long bpf_probe_read_str(void *dst, u32 size, const void *unsafe_ptr)`
    ProbeReadStr = 45, probe_read_str, 3;
    /// `u64 bpf_get_socket_cookie(struct sk_buff *skb)`
    GetSocketCookie = 46, get_socket_cookie, 1;
    /// `u32 bpf_get_socket_uid(struct sk_buff *skb)`
    GetSocketUid = 47, get_socket_uid, 1;
    /// `long bpf_set_hash(struct sk_buff *skb, u32 hash)`
    SetHash = 48, set_hash, 2;
    /// `long bpf_setsockopt(void *bpf_socket, int level, int optname, void *optval, int optlen)`
    Setsockopt = 49, setsockopt, 5;
    /// `long bpf_skb_adjust_room(struct sk_buff *skb, s32 len_diff, u32 mode, u64 flags)`
    SkbAdjustRoom = 50, skb_adjust_room, 4;
    /// `long bpf_redirect_map(struct bpf_map *map, u32 key, u64 flags)`
    RedirectMap = 51, redirect_map, 3;
    /// `long bpf_sk_redirect_map(struct sk_buff *skb, struct bpf_map *map, u32 key, u64 flags)`
    SkRedirectMap = 52, sk_redirect_map, 4;
    /// `long bpf_sock_map_update(struct bpf_sock_ops *skops, struct bpf_map *map, void *key, u64 flags)`
    SockMapUpdate = 53, sock_map_update, 4;
    /// `long bpf_xdp_adjust_meta(struct xdp_buff *xdp_md, int delta)`
    XdpAdjustMeta = 54, xdp_adjust_meta, 2;
    /// `long bpf_perf_event_read_value(struct bpf_map *map, u64 flags, struct bpf_perf_event_value *buf, u32 buf_size)`
    PerfEventReadValue = 55, perf_event_read_value, 4;
    /// `long bpf_perf_prog_read_value(struct bpf_perf_event_data *ctx, struct bpf_perf_event_value *buf, u32 buf_size)`
    PerfProgReadValue = 56, perf_prog_read_value, 3;
    /// `long bpf_getsockopt(void *bpf_socket, int level, int optname, void *optval, int optlen)`
    Getsockopt = 57, getsockopt, 5;
    /// `long bpf_override_return(struct pt_regs *regs, u64 rc)`
    OverrideReturn = 58, override_return, 2;
    /// `long bpf_sock_ops_cb_flags_set(struct bpf_sock_ops *bpf_sock, int argval)`
    SockOpsCbFlagsSet = 59, sock_ops_cb_flags_set, 2;
    /// `long bpf_msg_redirect_map(struct sk_msg_buff *msg, struct bpf_map *map, u32 key, u64 flags)`
    MsgRedirectMap = 60, msg_redirect_map, 4;
    /// `long bpf_msg_apply_bytes(struct sk_msg_buff *msg, u32 bytes)`
    MsgApplyBytes = 61, msg_apply_bytes, 2;
    /// `long bpf_msg_cork_bytes(struct sk_msg_buff *msg, u32 bytes)`
    MsgCorkBytes = 62, msg_cork_bytes, 2;
    /// `long bpf_msg_pull_data(struct sk_msg_buff *msg, u32 start, u32 end, u64 flags)`
    MsgPullData = 63, msg_pull_data, 4;
    /// `long bpf_bind(struct bpf_sock_addr *ctx, struct sockaddr *addr, int addr_len)`
    Bind = 64, bind, 3;
    /// `long bpf_xdp_adjust_tail(struct xdp_buff *xdp_md, int delta)`
    XdpAdjustTail = 65, xdp_adjust_tail, 2;
    /// `long bpf_skb_get_xfrm_state(struct sk_buff *skb, u32 index, struct bpf_xfrm_state *xfrm_state, u32 size,
    /// u64 flags)`
    SkbGetXfrmState = 66, skb_get_xfrm_state, 5;
    /// `long bpf_get_stack(void *ctx, void *buf, u32 size, u64 flags)`
    GetStack = 67, get_stack, 4;
    /// `long bpf_skb_load_bytes_relative(const void *skb, u32 offset, void *to, u32 len, u32 start_header)`
    SkbLoadBytesRelative = 68, skb_load_bytes_relative, 5;
    /// `long bpf_fib_lookup(void *ctx, struct bpf_fib_lookup *params, int plen, u32 flags)`
    FibLookup = 69, fib_lookup, 4;
    /// `long bpf_sock_hash_update(struct bpf_sock_ops *skops, struct bpf_map *map, void *key, u64 flags)`
    SockHashUpdate = 70, sock_hash_update, 4;
    /// `long bpf_msg_redirect_hash(struct sk_msg_buff *msg, struct bpf_map *map, void *key, u64 flags)`
    MsgRedirectHash = 71, msg_redirect_hash, 4;
    /// `long bpf_sk_redirect_hash(struct sk_buff *skb, struct bpf_map *map, void *key, u64 flags)`
    SkRedirectHash = 72, sk_redirect_hash, 4;
    /// `long bpf_lwt_push_encap(struct sk_buff *skb, u32 type, void *hdr, u32 len)`
    LwtPushEncap = 73, lwt_push_encap, 4;
    /// `long bpf_lwt_seg6_store_bytes(struct sk_buff *skb, u32 offset, const void *from, u32 len)`
    LwtSeg6StoreBytes = 74, lwt_seg6_store_bytes, 4;
    /// `long bpf_lwt_seg6_adjust_srh(struct sk_buff *skb, u32 offset, s32 delta)`
    LwtSeg6AdjustSrh = 75, lwt_seg6_adjust_srh, 3;
    /// `long bpf_lwt_seg6_action(struct sk_buff *skb, u32 action, void *param, u32 param_len)`
    LwtSeg6Action = 76, lwt_seg6_action, 4;
    /// `long bpf_rc_repeat(void *ctx)`
    RcRepeat = 77, rc_repeat, 1;
    /// `long bpf_rc_keydown(void *ctx, u32 protocol, u64 scancode, u32 toggle)`
    RcKeydown = 78, rc_keydown, 4;
    /// `u64 bpf_skb_cgroup_id(struct sk_buff *skb)`
    SkbCgroupId = 79, skb_cgroup_id, 1;
    /// `u64 bpf_get_current_cgroup_id(void)`
    GetCurrentCgroupId = 80, get_current_cgroup_id, 0;
    /// `void *bpf_get_local_storage(void *map, u64 flags)`
    GetLocalStorage = 81, get_local_storage, 2;
    /// `long bpf_sk_select_reuseport(struct sk_reuseport_md *reuse, struct bpf_map *map, void *key, u64 flags)`
    SkSelectReuseport = 82, sk_select_reuseport, 4;
    /// `u64 bpf_skb_ancestor_cgroup_id(struct sk_buff *skb, int ancestor_level)`
    SkbAncestorCgroupId = 83, skb_ancestor_cgroup_id, 2;
    /// `struct bpf_sock *bpf_sk_lookup_tcp(void *ctx, struct bpf_sock_tuple *tuple, u32 tuple_size, u64 netns,
    /// u64 flags)`
    SkLookupTcp = 84, sk_lookup_tcp, 5;
    /// `struct bpf_sock *bpf_sk_lookup_udp(void *ctx, struct bpf_sock_tuple *tuple, u32 tuple_size, u64 netns,
    /// u64 flags)`
    SkLookupUdp = 85, sk_lookup_udp, 5;
    /// `long bpf_sk_release(void *sock)`
    SkRelease = 86, sk_release, 1;
    /// `long bpf_map_push_elem(struct bpf_map *map, const void *value, u64 flags)`
    MapPushElem = 87, map_push_elem, 3;
    /// `long bpf_map_pop_elem(struct bpf_map *map, void *value)`
    MapPopElem = 88, map_pop_elem, 2;
    /// `long bpf_map_peek_elem(struct bpf_map *map, void *value)`
    MapPeekElem = 89, map_peek_elem, 2;
    /// `long bpf_msg_push_data(struct sk_msg_buff *msg, u32 start, u32 len, u64 flags)`
    MsgPushData = 90, msg_push_data, 4;
    /// `long bpf_msg_pop_data(struct sk_msg_buff *msg, u32 start, u32 len, u64 flags)`
    MsgPopData = 91, msg_pop_data, 4;
    /// `long bpf_rc_pointer_rel(void *ctx, s32 rel_x, s32 rel_y)`
    RcPointerRel = 92, rc_pointer_rel, 3;
    /// `long bpf_spin_lock(struct bpf_spin_lock *lock)`
    SpinLock = 93, spin_lock, 1;
    /// `long bpf_spin_unlock(struct bpf_spin_lock *lock)`
    SpinUnlock = 94, spin_unlock, 1;
    /// `struct bpf_sock *bpf_sk_fullsock(struct bpf_sock *sk)`
    SkFullsock = 95, sk_fullsock, 1;
    /// `struct bpf_tcp_sock *bpf_tcp_sock(struct bpf_sock *sk)`
    TcpSock = 96, tcp_sock, 1;
    /// `long bpf_skb_ecn_set_ce(struct sk_buff *skb)`
    SkbEcnSetCe = 97, skb_ecn_set_ce, 1;
    /// `struct bpf_sock *bpf_get_listener_sock(struct bpf_sock *sk)`
    GetListenerSock = 98, get_listener_sock, 1;
    /// `struct bpf_sock *bpf_skc_lookup_tcp(void *ctx, struct bpf_sock_tuple *tuple, u32 tuple_size, u64 netns,
    /// u64 flags)`
    SkcLookupTcp = 99, skc_lookup_tcp, 5;
    /// `long bpf_tcp_check_syncookie(void *sk, void *iph, u32 iph_len, struct tcphdr *th, u32 th_len)`
    TcpCheckSyncookie = 100, tcp_check_syncookie, 5;
    /// `long bpf_sysctl_get_name(struct bpf_sysctl *ctx, char *buf, size_t buf_len, u64 flags)`
    SysctlGetName = 101, sysctl_get_name, 4;
    /// `long bpf_sysctl_get_current_value(struct bpf_sysctl *ctx, char *buf, size_t buf_len)`
    SysctlGetCurrentValue = 102, sysctl_get_current_value, 3;
    /// `long bpf_sysctl_get_new_value(struct bpf_sysctl *ctx, char *buf, size_t buf_len)`
    SysctlGetNewValue = 103, sysctl_get_new_value, 3;
    /// `long bpf_sysctl_set_new_value(struct bpf_sysctl *ctx, const char *buf, size_t buf_len)`
    SysctlSetNewValue = 104, sysctl_set_new_value, 3;
    /// `long bpf_strtol(const char *buf, size_t buf_len, u64 flags, long *res)`
    Strtol = 105, strtol, 4;
    /// `long bpf_strtoul(const char *buf, size_t buf_len, u64 flags, unsigned long *res)`
    Strtoul = 106, strtoul, 4;
    /// `void *bpf_sk_storage_get(struct bpf_map *map, void *sk, void *value, u64 flags)`
    SkStorageGet = 107, sk_storage_get, 4;
    /// `long bpf_sk_storage_delete(struct bpf_map *map, void *sk)`
    SkStorageDelete = 108, sk_storage_delete, 2;
    /// `long bpf_send_signal(u32 sig)`
    SendSignal = 109, send_signal, 1;
    /// `s64 bpf_tcp_gen_syncookie(void *sk, void *iph, u32 iph_len, struct tcphdr *th, u32 th_len)`
    TcpGenSyncookie = 110, tcp_gen_syncookie, 5;
    /// `long bpf_skb_output(void *ctx, struct bpf_map *map, u64 flags, void *data, u64 size)`
    SkbOutput = 111, skb_output, 5;
    /// `long bpf_probe_read_user(void *dst, u32 size, const void *unsafe_ptr)`
    ProbeReadUser = 112, probe_read_user, 3;
    /// `long bpf_probe_read_kernel(void *dst, u32 size, const void *unsafe_ptr)`
    ProbeReadKernel = 113, probe_read_kernel, 3;
    /// `long bpf_probe_read_user_str(void *dst, u32 size, const void *unsafe_ptr)`
    ProbeReadUserStr = 114, probe_read_user_str, 3;
    /// `long bpf_probe_read_kernel_str(void *dst, u32 size, const void *unsafe_ptr)`
    ProbeReadKernelStr = 115, probe_read_kernel_str, 3;
    /// `long bpf_tcp_send_ack(void *tp, u32 rcv_nxt)`
    TcpSendAck = 116, tcp_send_ack, 2;
    /// `long bpf_send_signal_thread(u32 sig)`
    SendSignalThread = 117, send_signal_thread, 1;
    /// `u64 bpf_jiffies64(void)`
    Jiffies64 = 118, jiffies64, 0;
    /// `long bpf_read_branch_records(struct bpf_perf_event_data *ctx, void *buf, u32 size, u64 flags)`
    ReadBranchRecords = 119, read_branch_records, 4;
    /// `long bpf_get_ns_current_pid_tgid(u64 dev, u64 ino, struct bpf_pidns_info *nsdata, u32 size)`
    GetNsCurrentPidTgid = 120, get_ns_current_pid_tgid, 4;
    /// `long bpf_xdp_output(void *ctx, struct bpf_map *map, u64 flags, void *data, u64 size)`
    XdpOutput = 121, xdp_output, 5;
    /// `u64 bpf_get_netns_cookie(void *ctx)`
    GetNetnsCookie = 122, get_netns_cookie, 1;
    /// `u64 bpf_get_current_ancestor_cgroup_id(int ancestor_level)`
    GetCurrentAncestorCgroupId = 123, get_current_ancestor_cgroup_id, 1;
    /// `long bpf_sk_assign(struct sk_buff *skb, void *sk, u64 flags)`
    SkAssign = 124, sk_assign, 3;
    /// `u64 bpf_ktime_get_boot_ns(void)`
    KtimeGetBootNs = 125, ktime_get_boot_ns, 0;
    /// `long bpf_seq_printf(struct seq_file *m, const char *fmt, u32 fmt_size, const void *data, u32 data_len)`
    SeqPrintf = 126, seq_printf, 5;
    /// `long bpf_seq_write(struct seq_file *m, const void *data, u32 len)`
    SeqWrite = 127, seq_write, 3;
    /// `u64 bpf_sk_cgroup_id(void *sk)`
    SkCgroupId = 128, sk_cgroup_id, 1;
    /// `u64 bpf_sk_ancestor_cgroup_id(void *sk, int ancestor_level)`
    SkAncestorCgroupId = 129, sk_ancestor_cgroup_id, 2;
    /// `long bpf_ringbuf_output(void *ringbuf, void *data, u64 size, u64 flags)`
    RingbufOutput = 130, ringbuf_output, 4;
    /// `void *bpf_ringbuf_reserve(void *ringbuf, u64 size, u64 flags)`
    RingbufReserve = 131, ringbuf_reserve, 3;
    /// `void bpf_ringbuf_submit(void *data, u64 flags)`
    RingbufSubmit = 132, ringbuf_submit, 2;
    /// `void bpf_ringbuf_discard(void *data, u64 flags)`
    RingbufDiscard = 133, ringbuf_discard, 2;
    /// `u64 bpf_ringbuf_query(void *ringbuf, u64 flags)`
    RingbufQuery = 134, ringbuf_query, 2;
    /// `long bpf_csum_level(struct sk_buff *skb, u64 level)`
    CsumLevel = 135, csum_level, 2;
    /// `struct tcp6_sock *bpf_skc_to_tcp6_sock(void *sk)`
    SkcToTcp6Sock = 136, skc_to_tcp6_sock, 1;
    /// `struct tcp_sock *bpf_skc_to_tcp_sock(void *sk)`
    SkcToTcpSock = 137, skc_to_tcp_sock, 1;
    /// `struct tcp_timewait_sock *bpf_skc_to_tcp_timewait_sock(void *sk)`
    SkcToTcpTimewaitSock = 138, skc_to_tcp_timewait_sock, 1;
    /// `struct tcp_request_sock *bpf_skc_to_tcp_request_sock(void *sk)`
    SkcToTcpRequestSock = 139, skc_to_tcp_request_sock, 1;
    /// `struct udp6_sock *bpf_skc_to_udp6_sock(void *sk)`
    SkcToUdp6Sock = 140, skc_to_udp6_sock, 1;
    /// `long bpf_get_task_stack(struct task_struct *task, void *buf, u32 size, u64 flags)`
    GetTaskStack = 141, get_task_stack, 4;
    /// `long bpf_load_hdr_opt(struct bpf_sock_ops *skops, void *searchby_res, u32 len, u64 flags)`
    LoadHdrOpt = 142, load_hdr_opt, 4;
    /// `long bpf_store_hdr_opt(struct bpf_sock_ops *skops, const void *from, u32 len, u64 flags)`
    StoreHdrOpt = 143, store_hdr_opt, 4;
    /// `long bpf_reserve_hdr_opt(struct bpf_sock_ops *skops, u32 len, u64 flags)`
    ReserveHdrOpt = 144, reserve_hdr_opt, 3;
    /// `void *bpf_inode_storage_get(struct bpf_map *map, void *inode, void *value, u64 flags)`
    InodeStorageGet = 145, inode_storage_get, 4;
    /// `int bpf_inode_storage_delete(struct bpf_map *map, void *inode)`
    InodeStorageDelete = 146, inode_storage_delete, 2;
    /// `long bpf_d_path(struct path *path, char *buf, u32 sz)`
    DPath = 147, d_path, 3;
    /// `long bpf_copy_from_user(void *dst, u32 size, const void *user_ptr)`
    CopyFromUser = 148, copy_from_user, 3;
    /// `long bpf_snprintf_btf(char *str, u32 str_size, struct btf_ptr *ptr, u32 btf_ptr_size, u64 flags)`
    SnprintfBtf = 149, snprintf_btf, 5;
    /// `long bpf_seq_printf_btf(struct seq_file *m, struct btf_ptr *ptr, u32 ptr_size, u64 flags)`
    SeqPrintfBtf = 150, seq_printf_btf, 4;
    /// `u64 bpf_skb_cgroup_classid(struct sk_buff *skb)`
    SkbCgroupClassid = 151, skb_cgroup_classid, 1;
    /// `long bpf_redirect_neigh(u32 ifindex, struct bpf_redir_neigh *params, int plen, u64 flags)`
    RedirectNeigh = 152, redirect_neigh, 4;
    /// `void *bpf_per_cpu_ptr(const void *percpu_ptr, u32 cpu)`
    PerCpuPtr = 153, per_cpu_ptr, 2;
    /// `void *bpf_this_cpu_ptr(const void *percpu_ptr)`
    ThisCpuPtr = 154, this_cpu_ptr, 1;
    /// `long bpf_redirect_peer(u32 ifindex, u64 flags)`
    RedirectPeer = 155, redirect_peer, 2;
    /// `void *bpf_task_storage_get(struct bpf_map *map, struct task_struct *task, void *value, u64 flags)`
    TaskStorageGet = 156, task_storage_get, 4;
    /// `long bpf_task_storage_delete(struct bpf_map *map, struct task_struct *task)`
    TaskStorageDelete = 157, task_storage_delete, 2;
    /// `struct task_struct *bpf_get_current_task_btf(void)`
    GetCurrentTaskBtf = 158, get_current_task_btf, 0;
    /// `long bpf_bprm_opts_set(struct linux_binprm *bprm, u64 flags)`
    BprmOptsSet = 159, bprm_opts_set, 2;
    /// `u64 bpf_ktime_get_coarse_ns(void)`
    KtimeGetCoarseNs = 160, ktime_get_coarse_ns, 0;
    /// `long bpf_ima_inode_hash(struct inode *inode, void *dst, u32 size)`
    ImaInodeHash = 161, ima_inode_hash, 3;
    /// `struct socket *bpf_sock_from_file(struct file *file)`
    SockFromFile = 162, sock_from_file, 1;
    /// `long bpf_check_mtu(void *ctx, u32 ifindex, u32 *mtu_len, s32 len_diff, u64 flags)`
    CheckMtu = 163, check_mtu, 5;
    /// `long bpf_for_each_map_elem(struct bpf_map *map, void *callback_fn, void *callback_ctx, u64 flags)`
    ForEachMapElem = 164, for_each_map_elem, 4;
    /// `long bpf_snprintf(char *str, u32 str_size, const char *fmt, u64 *data, u32 data_len)`
    Snprintf = 165, snprintf, 5;
    /// `long bpf_sys_bpf(u32 cmd, void *attr, u32 attr_size)`
    SysBpf = 166, sys_bpf, 3;
    /// `long bpf_btf_find_by_name_kind(char *name, int name_sz, u32 kind, int flags)`
    BtfFindByNameKind = 167, btf_find_by_name_kind, 4;
    /// `long bpf_sys_close(u32 fd)`
    SysClose = 168, sys_close, 1;
    /// `long bpf_timer_init(struct bpf_timer *timer, struct bpf_map *map, u64 flags)`
    TimerInit = 169, timer_init, 3;
    /// `long bpf_timer_set_callback(struct bpf_timer *timer, void *callback_fn)`
    TimerSetCallback = 170, timer_set_callback, 2;
    /// `long bpf_timer_start(struct bpf_timer *timer, u64 nsecs, u64 flags)`
    TimerStart = 171, timer_start, 3;
    /// `long bpf_timer_cancel(struct bpf_timer *timer)`
    TimerCancel = 172, timer_cancel, 1;
    /// `u64 bpf_get_func_ip(void *ctx)`
    GetFuncIp = 173, get_func_ip, 1;
    /// `u64 bpf_get_attach_cookie(void *ctx)`
    GetAttachCookie = 174, get_attach_cookie, 1;
    /// `long bpf_task_pt_regs(struct task_struct *task)`
    TaskPtRegs = 175, task_pt_regs, 1;
    /// `long bpf_get_branch_snapshot(void *entries, u32 size, u64 flags)`
    GetBranchSnapshot = 176, get_branch_snapshot, 3;
    /// `long bpf_trace_vprintk(const char *fmt, u32 fmt_size, const void *data, u32 data_len)`
    TraceVprintk = 177, trace_vprintk, 4;
    /// `struct unix_sock *bpf_skc_to_unix_sock(void *sk)`
    SkcToUnixSock = 178, skc_to_unix_sock, 1;
    /// `long bpf_kallsyms_lookup_name(const char *name, int name_sz, int flags, u64 *res)`
    KallsymsLookupName = 179, kallsyms_lookup_name, 4;
    /// `long bpf_find_vma(struct task_struct *task, u64 addr, void *callback_fn, void *callback_ctx, u64 flags)`
    FindVma = 180, find_vma, 5;
    /// `long bpf_loop(u32 nr_loops, void *callback_fn, void *callback_ctx, u64 flags)`
    Loop = 181, loop, 4;
    /// `long bpf_strncmp(const char *s1, u32 s1_sz, const char *s2)`
    Strncmp = 182, strncmp, 3;
    /// `long bpf_get_func_arg(void *ctx, u32 n, u64 *value)`
    GetFuncArg = 183, get_func_arg, 3;
    /// `long bpf_get_func_ret(void *ctx, u64 *value)`
    GetFuncRet = 184, get_func_ret, 2;
    /// `long bpf_get_func_arg_cnt(void *ctx)`
    GetFuncArgCnt = 185, get_func_arg_cnt, 1;
    /// `int bpf_get_retval(void)`
    GetRetval = 186, get_retval, 0;
    /// `int bpf_set_retval(int retval)`
    SetRetval = 187, set_retval, 1;
    /// `u64 bpf_xdp_get_buff_len(struct xdp_buff *xdp_md)`
    XdpGetBuffLen = 188, xdp_get_buff_len, 1;
    /// `long bpf_xdp_load_bytes(struct xdp_buff *xdp_md, u32 offset, void *buf, u32 len)`
    XdpLoadBytes = 189, xdp_load_bytes, 4;
    /// `long bpf_xdp_store_bytes(struct xdp_buff *xdp_md, u32 offset, void *buf, u32 len)`
    XdpStoreBytes = 190, xdp_store_bytes, 4;
    /// `long bpf_copy_from_user_task(void *dst, u32 size, const void *user_ptr, struct task_struct *tsk, u64 flags)`
    CopyFromUserTask = 191, copy_from_user_task, 5;
    /// `long bpf_skb_set_tstamp(struct sk_buff *skb, u64 tstamp, u32 tstamp_type)`
    SkbSetTstamp = 192, skb_set_tstamp, 3;
    /// `long bpf_ima_file_hash(struct file *file, void *dst, u32 size)`
    ImaFileHash = 193, ima_file_hash, 3;
    /// `void *bpf_kptr_xchg(void *map_value, void *ptr)`
    KptrXchg = 194, kptr_xchg, 2;
    /// `void *bpf_map_lookup_percpu_elem(struct bpf_map *map, const void *key, u32 cpu)`
    MapLookupPercpuElem = 195, map_lookup_percpu_elem, 3;
    /// `struct mptcp_sock *bpf_skc_to_mptcp_sock(void *sk)`
    SkcToMptcpSock = 196, skc_to_mptcp_sock, 1;
    /// `long bpf_dynptr_from_mem(void *data, u32 size, u64 flags, struct bpf_dynptr *ptr)`
    DynptrFromMem = 197, dynptr_from_mem, 4;
    /// `long bpf_ringbuf_reserve_dynptr(void *ringbuf, u32 size, u64 flags, struct bpf_dynptr *ptr)`
    RingbufReserveDynptr = 198, ringbuf_reserve_dynptr, 4;
    /// `void bpf_ringbuf_submit_dynptr(struct bpf_dynptr *ptr, u64 flags)`
    RingbufSubmitDynptr = 199, ringbuf_submit_dynptr, 2;
    /// `void bpf_ringbuf_discard_dynptr(struct bpf_dynptr *ptr, u64 flags)`
    RingbufDiscardDynptr = 200, ringbuf_discard_dynptr, 2;
    /// `long bpf_dynptr_read(void *dst, u32 len, struct bpf_dynptr *src, u32 offset, u64 flags)`
    DynptrRead = 201, dynptr_read, 5;
    /// `long bpf_dynptr_write(struct bpf_dynptr *dst, u32 offset, void *src, u32 len, u64 flags)`
    DynptrWrite = 202, dynptr_write, 5;
    /// `void *bpf_dynptr_data(struct bpf_dynptr *ptr, u32 offset, u32 len)`
    DynptrData = 203, dynptr_data, 3;
    /// `s64 bpf_tcp_raw_gen_syncookie_ipv4(struct iphdr *iph, struct tcphdr *th, u32 th_len)`
    TcpRawGenSyncookieIpv4 = 204, tcp_raw_gen_syncookie_ipv4, 3;
    /// `s64 bpf_tcp_raw_gen_syncookie_ipv6(struct ipv6hdr *iph, struct tcphdr *th, u32 th_len)`
    TcpRawGenSyncookieIpv6 = 205, tcp_raw_gen_syncookie_ipv6, 3;
    /// `long bpf_tcp_raw_check_syncookie_ipv4(struct iphdr *iph, struct tcphdr *th)`
    TcpRawCheckSyncookieIpv4 = 206, tcp_raw_check_syncookie_ipv4, 2;
    /// `long bpf_tcp_raw_check_syncookie_ipv6(struct ipv6hdr *iph, struct tcphdr *th)`
    TcpRawCheckSyncookieIpv6 = 207, tcp_raw_check_syncookie_ipv6, 2;
    /// `u64 bpf_ktime_get_tai_ns(void)`
    KtimeGetTaiNs = 208, ktime_get_tai_ns, 0;
    /// `long bpf_user_ringbuf_drain(struct bpf_map *map, void *callback_fn, void *ctx, u64 flags)`
    UserRingbufDrain = 209, user_ringbuf_drain, 4;
    /// `void *bpf_cgrp_storage_get(struct bpf_map *map, struct cgroup *cgroup, void *value, u64 flags)`
    CgrpStorageGet = 210, cgrp_storage_get, 4;
    /// `long bpf_cgrp_storage_delete(struct bpf_map *map, struct cgroup *cgroup)`
    CgrpStorageDelete = 211, cgrp_storage_delete, 2;
}
