//! Records a host for `tests/hosts/`: what other tests need of its lists and types, and no more.
//!
//! ```text
//! RECORD_FROM=DIR RECORD_TO=tests/hosts/6.12-x86_64 cargo test --test btf_record
//! ```
//!
//! `DIR` holds `proc` and `sys` of the host (`/` for this one). Without these variables nothing happens.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use whither::btf::slice::Slicer;
use whither::btf::{Arch, Btf, PointerSet, TypeId};
use whither::host::{Finder, Roots, Targets, modules};

/// Kept with all members, beside what `whither types export` keeps so.
const WHOLE: &[&str] = &["nf_conn", "nf_conntrack_tuple_hash", "nf_conntrack_tuple", "veth_priv"];

/// Kept although no parameter is an skb.
const FUNCTIONS: &[&str] = &[
    "bpf_rdonly_cast",
    "bpf_cast_to_kern_ctx",
    "ip_list_rcv",
    "ip_sublist_rcv",
    "netif_receive_skb_list_internal",
    "netif_receive_skb_list",
    "vprintk",
    "dev_ifconf",
];

/// Modules whose types are recorded.
const MODULES: &[&str] = &["veth", "nf_conntrack"];

/// Symbols that are not functions with an skb: neighbours for stacks, and aliases.
const SYMBOLS: &[&str] = &["_stext", "_text", "vprintk", "do_syscall_64", "ret_from_fork", "net_rx_action", "_etext"];

#[test]
fn record() {
    let (Ok(from), Ok(to)) = (std::env::var("RECORD_FROM"), std::env::var("RECORD_TO")) else { return };
    let (roots, to) = (Roots::under(from), Path::new(&to));
    let release = std::env::var("RECORD_RELEASE").unwrap_or_else(|_| roots.release());
    let kernel = Arc::new(modules::load_kernel(&roots.sys, None, &release, None).unwrap().0);
    let mut names: HashSet<String> = FUNCTIONS.iter().chain(SYMBOLS).map(|&n| n.to_owned()).collect();
    let present: Vec<(String, Btf)> = MODULES
        .iter()
        .filter_map(|name| Some((name.to_string(), modules::load(&roots.sys, name, kernel.clone()).ok()?)))
        .collect();
    write(to, "proc/sys/kernel/osrelease", format!("{release}\n").as_bytes());

    let mut slicer = Slicer::new(&kernel);
    keep_functions(&mut slicer, 0, &kernel, &mut names);
    for (_, btf) in &present {
        let source = slicer.add_module(btf);
        keep_functions(&mut slicer, source, btf, &mut names);
    }
    for name in whither::types_command::WHOLE.iter().chain(WHOLE) {
        slicer.keep_named(name).unwrap();
    }
    let slices = slicer.finish().unwrap();
    let files = std::iter::once("vmlinux").chain(present.iter().map(|(name, _)| name.as_str()));
    for (file, slice) in files.zip(&slices) {
        write(to, &format!("sys/kernel/btf/{file}"), slice);
    }

    let lines = |path: &Path, keep: &dyn Fn(&[&str]) -> bool| -> Option<String> {
        let text = fs::read_to_string(path).ok()?;
        let kept = text.lines().filter(|line| keep(&line.split([' ', '\t']).collect::<Vec<_>>()));
        let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
        (!kept.is_empty()).then_some(kept)
    };
    for (file, name) in [("available_filter_functions", 0), ("available_filter_functions_addrs", 1)] {
        let path = roots.sys.join("kernel/tracing").join(file);
        if let Some(text) = lines(&path, &|fields| fields.get(name).is_some_and(|n| names.contains(*n))) {
            write(to, &format!("sys/kernel/tracing/{file}"), text.as_bytes());
        }
    }
    // Aliases of what is kept, too: all lines of an address.
    let kallsyms = roots.proc.join("kallsyms");
    let mut addresses = HashSet::new();
    lines(&kallsyms, &|_| true).unwrap().lines().for_each(|line| {
        let fields: Vec<&str> = line.split([' ', '\t']).collect();
        if names.contains(fields[2]) {
            addresses.insert(fields[0].to_owned());
        }
    });
    let text = lines(&kallsyms, &|fields| addresses.contains(fields[0])).unwrap();
    write(to, "proc/kallsyms", text.as_bytes());
}

/// Keeps the functions and tracepoints of `btf` itself that have an skb in any form, and notes their names.
fn keep_functions(slicer: &mut Slicer<'_>, source: usize, btf: &Btf, names: &mut HashSet<String>) {
    let skb = PointerSet::to_struct(btf, "sk_buff");
    let points_to_skb = |id: TypeId| {
        let t = btf.get(id).and_then(|t| t.peel()).unwrap();
        skb.has_pointer(id) || (t.kind() == whither::btf::Kind::Ptr && skb.has_pointer(t.target().unwrap()))
    };
    for function in btf.functions() {
        let carries = function.proto().unwrap().param_types().any(points_to_skb);
        if carries || FUNCTIONS.contains(&function.name()) {
            slicer.keep(source, function.id()).unwrap();
            names.insert(function.name().to_owned());
        }
    }
    for point in btf.tracepoints().filter(|t| t.args().any(|t| skb.has_pointer(t))) {
        slicer.keep(source, point.id()).unwrap();
    }
}

fn write(to: &Path, path: &str, bytes: &[u8]) {
    let path = to.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    eprintln!("{} {}", bytes.len(), path.display());
}

/// A slice has the same functions with an skb, with the same arguments, as what it was cut from.
#[test]
fn slice_of_this_machine() {
    let Ok((whole, _)) = modules::load_kernel(&Roots::default().sys, None, "", None) else {
        eprintln!("skipped: this machine has no BTF");
        return;
    };
    let mut slicer = Slicer::new(&whole);
    keep_functions(&mut slicer, 0, &whole, &mut HashSet::new());
    assert!(slicer.keep_named("sk_buff").unwrap() >= 1);
    slicer.keep_named("net_device").unwrap();
    let slice = Btf::parse(slicer.finish().unwrap().remove(0), "slice").unwrap();

    let describe = |btf: &Btf| {
        let mut targets = Targets::default();
        targets.find(btf, &Finder::new(btf, Arch::HOST), None, |_| true);
        targets.functions.iter_mut().for_each(|f| f.btf_id = TypeId::VOID);
        (targets.functions, targets.rejected)
    };
    assert_eq!(describe(&slice), describe(&whole));
    for chain in ["mark", "dev->ifindex", "dev->mtu", "cb", "protocol"] {
        let (a, b) = (slice.path("sk_buff", chain).unwrap(), whole.path("sk_buff", chain).unwrap());
        assert_eq!(a.to_string(), b.to_string(), "{chain}");
    }
}
