//! The functions by which programs on a packet's way reach into BPF maps.

/// What `--output-bpfmap` hooks unless it is told other functions.
///
/// Where the verifier knows the map it replaces a helper by the map's own function (`bpf_map_ops`), and the lookup in a
/// hash table by `__htab_map_lookup_elem`; the lookup in an array it replaces by instructions, which nobody can hook
/// (kernel/bpf/verifier.c `do_misc_fixups`, kernel/bpf/hashtab.c `htab_map_gen_lookup`). What is left for
/// `bpf_map_lookup_elem` are maps that it does not know, those in other maps above all.
pub const MAP_FUNCTIONS: [&str; 16] = [
    "__htab_map_lookup_elem",
    "htab_percpu_map_lookup_elem",
    "htab_lru_percpu_map_lookup_elem",
    "percpu_array_map_lookup_elem",
    "trie_lookup_elem",
    "bpf_map_lookup_elem",
    "htab_map_update_elem",
    "htab_lru_map_update_elem",
    "htab_percpu_map_update_elem",
    "htab_lru_percpu_map_update_elem",
    "array_map_update_elem",
    "trie_update_elem",
    "htab_map_delete_elem",
    "htab_lru_map_delete_elem",
    "array_map_delete_elem",
    "trie_delete_elem",
];
