//! What is found on the recorded hosts: offsets of members, functions with an skb, tracepoints.
//!
//! One golden file per host, `tests/hosts/NAME/expected.txt`; `BLESS=1 cargo test --test btf_hosts` rewrites them.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{Display, Write};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use whither::btf::{Arch, Btf, Enum, Func, PointerSet, Struct};
use whither::host::{Finder, Roots, Targets, functions, kallsyms, modules};

/// What programs of whither read, and what users ask for.
const PATHS: &[(&str, &[&str])] = &[
    (
        "sk_buff",
        &[
            "head",
            "data",
            "tail",
            "end",
            "len",
            "data_len",
            "mac_len",
            "mark",
            "protocol",
            "dev",
            "dev->ifindex",
            "dev->mtu",
            "dev->name",
            "dev->nd_net.net->ns.inum",
            "sk",
            "sk->__sk_common.skc_net.net->ns.inum",
            "sk->__sk_common.skc_family",
            "cb",
            "cb[20]",
            "network_header",
            "mac_header",
            "transport_header",
            "inner_network_header",
            "inner_mac_header",
            "_skb_refdst",
            "vlan_tci",
            "vlan_proto",
            "vlan_present",
            "vlan_all",
            "pkt_type",
            "cloned",
            "ip_summed",
            "encapsulation",
            "hash",
            "tstamp",
            "skb_iif",
            "queue_mapping",
            "priority",
            "napi_id",
        ],
    ),
    ("skb_shared_info", &["nr_frags", "gso_size", "gso_type", "frag_list", "frags[0]", "frags[1]"]),
    ("net_device", &["ifindex", "mtu", "name", "nd_net.net"]),
    ("net", &["ns.inum"]),
    ("dst_entry", &["_metrics", "dev", "dev->mtu"]),
    ("xdp_buff", &["rxq", "rxq->dev", "rxq->dev->ifindex", "data", "data_end", "data_hard_start"]),
    ("qdisc_skb_cb", &["data"]),
    ("bpf_map", &["id", "name", "key_size", "value_size"]),
    ("iphdr", &["version", "ihl", "protocol", "saddr", "frag_off"]),
    ("ipv6hdr", &["version", "nexthdr", "saddr", "daddr"]),
    ("tcphdr", &["source", "dest", "syn", "fin", "ack"]),
    ("task_struct", &["pid", "tgid", "comm"]),
];

/// Enumerators whose values differ between kernels.
const ENUMERATORS: &[(&str, &[&str])] = &[
    ("skb_drop_reason", &["SKB_NOT_DROPPED_YET", "SKB_DROP_REASON_NO_SOCKET", "SKB_DROP_REASON_NETFILTER_DROP"]),
    ("bpf_func_id", &["BPF_FUNC_get_func_ip", "BPF_FUNC_snprintf_btf", "BPF_FUNC_kallsyms_lookup_name"]),
];

const FUNCTIONS: &[&str] = &["bpf_rdonly_cast", "kfree_skbmem", "ip_rcv", "__netif_receive_skb_core", "ip_list_rcv"];

#[test]
fn recorded_hosts() {
    let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts");
    let mut seen = 0;
    let mut wrong = Vec::new();
    let mut directories: Vec<PathBuf> = fs::read_dir(hosts).unwrap().map(|e| e.unwrap().path()).collect();
    directories.sort();
    for directory in directories.into_iter().filter(|d| d.is_dir()) {
        seen += 1;
        let found = describe(&Roots::under(&directory));
        let golden = directory.join("expected.txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&golden, &found).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if found != expected {
            let pairs = expected.lines().zip(found.lines()).find(|(a, b)| a != b);
            let difference = pairs.map_or("the lengths differ".to_owned(), |(a, b)| format!("- {a}\n+ {b}"));
            wrong.push(format!("{}:\n{difference}", golden.display()));
        }
    }
    assert!(seen >= 5, "only {seen} recorded hosts");
    assert!(wrong.is_empty(), "{}\nBLESS=1 cargo test --test btf_hosts", wrong.join("\n"));
}

fn describe(roots: &Roots) -> String {
    let mut out = String::new();
    let release = roots.release();
    let btf = Arc::new(modules::load_kernel(&roots.sys, None, &release, None).unwrap().0);
    writeln!(out, "release {release}\n").unwrap();
    paths(&mut out, &btf);
    names(&mut out, &btf);
    tracepoints(&mut out, &btf);

    let mut targets = Targets::default();
    let finder = Finder::new(&btf, Arch::X86_64);
    targets.find(&btf, &finder, None, |_| true);
    section(&mut out, "functions with an skb", &targets);
    lists(&mut out, roots, targets);

    for module in modules::list(&roots.sys).expect("it is recorded") {
        let types = modules::load(&roots.sys, &module, btf.clone()).unwrap();
        let mut targets = Targets::default();
        targets.find(&types, &finder.for_module(&types), Some(module.as_str().into()), |_| true);
        section(&mut out, &format!("module {module}"), &targets);
        lists(&mut out, roots, targets);
    }
    out
}

fn paths(out: &mut String, btf: &Btf) {
    for (root, chains) in PATHS {
        let size = btf.find::<Struct>(root).map_or("absent".to_owned(), |s| s.size().to_string());
        writeln!(out, "struct {root}: {size}").unwrap();
        for chain in *chains {
            let found = btf.path(root, chain).map_or_else(|e| format!("({})", e.kind), |path| path.to_string());
            writeln!(out, "    {chain:<40} {found}").unwrap();
        }
    }
    out.push('\n');
}

fn names(out: &mut String, btf: &Btf) {
    for (name, enumerators) in ENUMERATORS {
        let Ok(e) = btf.find::<Enum>(name) else {
            writeln!(out, "enum {name}: absent").unwrap();
            continue;
        };
        writeln!(out, "enum {name}: {} values, {} bytes", e.values().count(), e.size()).unwrap();
        for enumerator in *enumerators {
            let value = e.value(enumerator);
            let back = value.and_then(|v| e.name_of(v));
            assert!(value.is_none() || back.is_some_and(|back| e.value(back) == value));
            writeln!(out, "    {enumerator:<40} {}", value.map_or("-".to_owned(), |v| v.to_string())).unwrap();
        }
    }
    for name in FUNCTIONS {
        let text = match btf.find::<Func>(name) {
            Ok(f) => whither::btf::dump::definition(btf, f.id()),
            Err(e) => format!("({e})"),
        };
        writeln!(out, "{text}").unwrap();
    }
    out.push('\n');
}

fn tracepoints(out: &mut String, btf: &Btf) {
    let skb = PointerSet::to_struct(btf, "sk_buff");
    let mut all = BTreeMap::new();
    for point in btf.tracepoints() {
        if let Some(n) = point.args().position(|t| skb.has_pointer(t)) {
            all.insert(point.name(), n);
            assert_eq!(btf.tracepoint(point.name()).unwrap().id(), point.id());
        }
    }
    writeln!(out, "tracepoints with an skb: {}", all.len()).unwrap();
    for (name, n) in all {
        writeln!(out, "    {name:<40} argument {n}").unwrap();
    }
    out.push('\n');
}

fn section(out: &mut String, title: &str, targets: &Targets) {
    writeln!(out, "{title}: {}", targets.functions.len()).unwrap();
    counts(out, "parameter", targets.functions.iter().map(|f| f.skb_arg));
    let reason = targets.functions.iter().filter_map(|f| f.reason_arg);
    counts(out, "drop reason in parameter", reason);
    let shifted = targets.functions.iter().filter(|f| f.skb_register + 1 != f.skb_arg);
    each(out, "in another register", shifted.map(|f| format!("{} {}", f.name, f.skb_register)));
    let fentry = targets.functions.iter().map(|f| f.fentry.map_or_else(|limit| limit.to_string(), |()| "yes".into()));
    counts(out, "fentry:", fentry);
    each(out, "rejected", targets.rejected.iter().map(|r| format!("{}: {}", r.name, r.why)));
}

/// What the host's lists say about the targets, one list at a time and then as a run would use them.
fn lists(out: &mut String, roots: &Roots, targets: Targets) {
    let names = targets.names();
    let mut listed = targets.clone();
    match functions::read(&roots.sys, &names) {
        Ok(list) => {
            let file = list.path.file_name().unwrap().to_str().unwrap();
            listed.keep_traceable(&names, &list);
            writeln!(out, "  in {file}: {}", listed.functions.len()).unwrap();
            let several = listed.functions.iter().filter(|f| f.addresses.len() > 1);
            each(out, "listed several times", several.map(|f| f.name.to_string()));
        }
        Err(e) => writeln!(out, "  list: {e}").unwrap(),
    }
    let symbols = kallsyms::Source::new(&roots.proc).addresses(&names).unwrap();
    let mut placed = targets.clone();
    placed.place(&names, &symbols);
    writeln!(out, "  in kallsyms: {}", placed.functions.len()).unwrap();
    let several = placed.functions.iter().filter(|f| f.addresses.len() > 1);
    each(out, "several symbols", several.map(|f| format!("{} {}", f.name, f.addresses.len())));
    let aliases = placed.functions.iter().filter_map(|f| Some(format!("{} {}", f.name, f.alias.as_deref()?)));
    each(out, "aliases", aliases);
    if listed.functions.len() < targets.functions.len() {
        let traceable: HashSet<&str> = listed.functions.iter().map(|f| &*f.name).collect();
        let missing = placed.functions.iter().filter(|f| !traceable.contains(&*f.name));
        each(out, "in kallsyms, not traceable", missing.map(|f| f.name.to_string()));
    }
    out.push('\n');
}

fn counts<T: Display>(out: &mut String, title: &str, values: impl Iterator<Item = T>) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    values.for_each(|value| *counts.entry(value.to_string()).or_default() += 1);
    counts.iter().for_each(|(value, count)| writeln!(out, "  {title} {value}: {count}").unwrap());
}

fn each(out: &mut String, title: &str, values: impl Iterator<Item = String>) {
    let mut values: Vec<String> = values.collect();
    values.sort();
    if !values.is_empty() {
        writeln!(out, "  {title}: {}", values.len()).unwrap();
        values.iter().for_each(|value| writeln!(out, "    {value}").unwrap());
    }
}
