//! Prints what reading this machine's BTF costs. Nothing is asserted about time.
//!
//! `cargo test --release --test btf_measure -- --nocapture`

use std::time::Instant;

use whither::btf::{Btf, Func, PointerSet, Struct};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

#[test]
fn measure() {
    let Ok(bytes) = std::fs::read(VMLINUX) else {
        eprintln!("skipped: {VMLINUX} cannot be read");
        return;
    };
    for _ in 0..3 {
        let step = Instant::now();
        let bytes = bytes.clone();
        eprintln!("copy {:?}, {} bytes", step.elapsed(), bytes.len());
        let begin = Instant::now();
        let btf = Btf::parse(bytes, VMLINUX).unwrap();
        eprintln!("parse {:?}, {} types", begin.elapsed(), btf.end());
        let step = Instant::now();
        let skb = PointerSet::to_struct(&btf, "sk_buff");
        eprintln!("set of pointers {:?}", step.elapsed());
        let step = Instant::now();
        let found = btf.functions_taking(&skb).count();
        eprintln!("{found} functions with an skb {:?}", step.elapsed());
        let step = Instant::now();
        let points = btf.tracepoints().filter(|t| t.args().any(|a| skb.has_pointer(a))).count();
        eprintln!("{points} tracepoints with an skb {:?}", step.elapsed());
        let step = Instant::now();
        btf.find::<Struct>("sk_buff").unwrap();
        eprintln!("first name {:?}", step.elapsed());
        let step = Instant::now();
        for (root, chain) in PATHS {
            btf.path(root, chain).unwrap();
        }
        eprintln!("{} paths {:?}", PATHS.len(), step.elapsed());
        let step = Instant::now();
        btf.find::<Func>("ip_rcv").unwrap();
        eprintln!("first function name {:?}", step.elapsed());
        eprintln!("all {:?}; indexes {} bytes", begin.elapsed(), btf.index_bytes());
    }
}

const PATHS: [(&str, &str); 22] = [
    ("sk_buff", "head"),
    ("sk_buff", "tail"),
    ("sk_buff", "end"),
    ("sk_buff", "len"),
    ("sk_buff", "mac_len"),
    ("sk_buff", "mark"),
    ("sk_buff", "protocol"),
    ("sk_buff", "dev->ifindex"),
    ("sk_buff", "dev->mtu"),
    ("sk_buff", "dev->nd_net.net->ns.inum"),
    ("sk_buff", "sk->__sk_common.skc_net.net->ns.inum"),
    ("sk_buff", "cb"),
    ("sk_buff", "network_header"),
    ("sk_buff", "mac_header"),
    ("sk_buff", "inner_network_header"),
    ("sk_buff", "_skb_refdst"),
    ("dst_entry", "_metrics"),
    ("dst_entry", "dev->mtu"),
    ("xdp_buff", "rxq->dev"),
    ("xdp_buff", "data_hard_start"),
    ("qdisc_skb_cb", "data"),
    ("bpf_map", "value_size"),
];

#[test]
fn measure_host() {
    use whither::btf::Arch;
    use whither::host::{Finder, Roots, Targets, functions, kallsyms, modules, resolve};

    let roots = Roots::default();
    let begin = Instant::now();
    let read = std::fs::read(VMLINUX).map(|bytes| bytes.len());
    eprintln!("read {read:?} bytes {:?}", begin.elapsed());
    let begin = Instant::now();
    let Ok((btf, _)) = modules::load_kernel(&roots.sys, None, &roots.release(), None) else {
        eprintln!("skipped: {VMLINUX} cannot be read");
        return;
    };
    eprintln!("read and parse {:?}", begin.elapsed());
    let step = Instant::now();
    let finder = Finder::new(&btf, Arch::HOST);
    let mut targets = Targets::default();
    targets.find(&btf, &finder, None, |_| true);
    let (found, rejected) = (targets.functions.len(), targets.rejected.len());
    eprintln!("{found} targets, {rejected} rejected {:?}", step.elapsed());
    let step = Instant::now();
    let names = targets.names();
    eprintln!("set of names {:?}", step.elapsed());
    let step = Instant::now();
    match functions::read(&roots.sys, &names) {
        Ok(list) => eprintln!("{} traceable {:?}", list.all().len(), step.elapsed()),
        Err(e) => eprintln!("{e} {:?}", step.elapsed()),
    }
    for reading in [Some(resolve::Reading::Helper), resolve::Reading::cast(&btf)].into_iter().flatten() {
        let mut resolved = targets.clone();
        let step = Instant::now();
        match resolved.resolve(reading, Arch::HOST) {
            Ok(()) => eprintln!("{} resolved by {reading:?} {:?}", resolved.functions.len(), step.elapsed()),
            Err(e) => eprintln!("{reading:?}: {e} {:?}", step.elapsed()),
        }
        let Ok(list) = functions::read(&roots.sys, &names) else { continue };
        let mut listed = targets.clone();
        listed.keep_traceable(&names, &list);
        let set = |targets: &Targets| -> std::collections::BTreeSet<String> {
            targets.functions.iter().map(|f| f.title()).collect()
        };
        let (resolved, listed) = (set(&resolved), set(&listed));
        eprintln!("only resolved: {:?}", resolved.difference(&listed).collect::<Vec<_>>());
        eprintln!("only listed: {:?}", listed.difference(&resolved).collect::<Vec<_>>());
    }
    let source = kallsyms::Source::new(&roots.proc);
    let step = Instant::now();
    let mut lines = 0;
    if let Err(e) = source.scan(|_| lines += 1) {
        eprintln!("{e}");
        return;
    }
    eprintln!("{lines} symbols passed over {:?}", step.elapsed());
    let step = Instant::now();
    let addresses = source.addresses(&names).unwrap();
    eprintln!("{} addresses {:?}", addresses.all().len(), step.elapsed());
    targets.place(&names, &addresses);
    let several = targets.functions.iter().filter(|f| f.addresses.len() > 1).count();
    let aliases = targets.functions.iter().filter(|f| f.alias.is_some()).count();
    eprintln!("{} placed, {several} several times, {aliases} aliases", targets.functions.len());
    let step = Instant::now();
    let symbols = source.symbols().unwrap();
    eprintln!("{} symbols for stacks {:?}", symbols.len(), step.elapsed());
    let text = std::fs::read(roots.proc.join("kallsyms")).unwrap();
    let step = Instant::now();
    kallsyms::scan(&text[..], |line| lines += usize::from(names.find(line.name).is_some())).unwrap();
    eprintln!("of which our own part, for wanted names {:?}", step.elapsed());
}
