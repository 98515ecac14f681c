//! The functions of the kernel in which an skb is copied, and those in which it ends: what follows packets hooks them.

/// Names of functions without which packets cannot be followed, or not all the way. Not every kernel has all of them.
///
/// `__copy_skb_header` is where clone, copy, `pskb_copy`, `copy_expand`, segmentation, and the rebuilding of packets for
/// XDP meet (net/core/skbuff.c, drivers/net/veth.c `veth_convert_skb_to_xdp_buff`, `skb_pp_cow_data`); fragments are
/// made by `ip_copy_metadata` and its twin. All ways to free an skb pass `skb_release_data`, except those that hand its
/// buffer to somebody else: `kfree_skb_partial`, `napi_skb_free_stolen_head`, `napi_reuse_skb`. What drivers build around
/// a frame that an XDP program let through they hand to `eth_type_trans` first.
pub const LIFE: [&str; 13] = [
    "__copy_skb_header",
    "skb_copy_header",
    "ip_copy_metadata",
    "ip6_copy_metadata",
    "pskb_expand_head",
    "skb_release_head_state",
    "skb_release_data",
    "kfree_skbmem",
    "napi_skb_cache_put",
    "napi_skb_free_stolen_head",
    "kfree_skb_partial",
    "napi_reuse_skb",
    "eth_type_trans",
];
