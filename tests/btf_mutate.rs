//! Damaged type information is refused or read wrongly, but never with a panic, without end, or with boundless memory.
//!
//! The default takes about a second. A longer run, each with other damage:
//!
//! ```text
//! BTF_FUZZ_ROUNDS=1000000 BTF_FUZZ_SEED=7 cargo test --test btf_mutate -- --nocapture
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use whither::btf::slice::Slicer;
use whither::btf::{Arch, Btf, Composite, DataSec, Enum, FuncProto, PointerSet, Struct, TypeId, View, dump};
use whither::host::{Finder, Targets};

const KERNEL: &[u8] = include_bytes!("hosts/6.12-x86_64/sys/kernel/btf/vmlinux");
const MODULE: &[u8] = include_bytes!("hosts/6.12-x86_64/sys/kernel/btf/veth");

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// A few structs and functions of a real kernel: small, so that damage hits something.
fn small() -> Vec<u8> {
    let kernel = Btf::parse(KERNEL, "").unwrap();
    let mut slicer = Slicer::new(&kernel);
    for name in ["iphdr", "possible_net_t", "sk_buff", "skb_shared_info", "bio_vec"] {
        assert!(slicer.keep_named(name).unwrap() > 0, "{name}");
    }
    for f in kernel.functions().take(40) {
        slicer.keep(0, f.id()).unwrap();
    }
    for point in kernel.tracepoints().take(5) {
        slicer.keep(0, point.id()).unwrap();
    }
    slicer.finish().unwrap().remove(0)
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(8) {
        let len = bytes.len();
        if len < 32 {
            return;
        }
        let at = match random.below(8) {
            0 => random.below(24),
            // Words of the type section.
            1..=5 => 24 + random.below((len - 28) / 4) * 4,
            _ => random.below(len),
        };
        match random.below(7) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            // A small number: a type that exists, a kind that exists.
            2 => bytes[at..(at + 4).min(len)].fill(0),
            3 if at + 4 <= len => bytes[at..at + 4].copy_from_slice(&(random.below(600) as u32).to_le_bytes()),
            4 if at + 4 <= len => {
                let kind = random.below(21) as u32;
                let info = kind << 24 | random.below(6) as u32 | (random.below(2) as u32) << 31;
                bytes[at..at + 4].copy_from_slice(&info.to_le_bytes());
            }
            5 if at + 4 <= len => bytes[at..at + 4].fill(0xff),
            6 if random.below(10) == 0 => bytes.truncate(at),
            _ => bytes[at] = bytes[at].wrapping_add(1),
        }
    }
}

/// Uses everything that the reader offers. What comes out does not matter.
fn exercise(btf: &Btf, random: &mut Random) -> usize {
    let mut sum = 0;
    for t in btf.own_types() {
        sum += t.name().len() + t.size().unwrap_or(0) as usize % 2 + usize::from(t.peel().is_ok());
        sum += Composite::from_type(t).map_or(0, |c| c.members().map(|m| m.name.len()).sum());
        sum += Enum::from_type(t).map_or(0, |e| e.values().map(|v| v.name.len()).sum());
        sum += DataSec::from_type(t).map_or(0, |s| s.vars().count());
        if let Some(proto) = FuncProto::from_type(t) {
            sum += proto.params().map(|p| p.name.len()).sum::<usize>();
            sum += usize::from(proto.fentry(Arch::X86_64).is_ok()) + usize::from(proto.fentry_word(3).is_ok());
            sum += usize::from(proto.register(4, Arch::Aarch64).is_ok());
        }
    }
    let skb = PointerSet::to_struct(btf, "sk_buff");
    sum += btf.tracepoints().filter(|p| p.args().any(|t| skb.has_pointer(t))).count();
    let mut targets = Targets::default();
    targets.find(btf, &Finder::new(btf, Arch::X86_64), None, |_| true);
    sum += targets.functions.len();
    for (root, chain) in [
        ("sk_buff", "dev->ifindex"),
        ("sk_buff", "cb[3]"),
        ("sk_buff", "pkt_type"),
        ("sk_buff", "nosuch"),
        ("sk_buff", "sk->__sk_common.skc_net.net"),
        ("iphdr", "version"),
        ("skb_shared_info", "frags[5]"),
        ("possible_net_t", "net->ns"),
    ] {
        sum += match btf.path(root, chain) {
            Ok(path) => path.to_string().len(),
            Err(e) => e.to_string().len(),
        };
    }
    sum += btf.find::<Struct>("sk_buff").map_or(0, |s| s.size() as usize % 2);
    for _ in 0..4 {
        let id = TypeId(random.below(btf.end() as usize + 2) as u32);
        let text = dump::definition(btf, id);
        assert!(text.len() < 64 << 20, "a definition of {} bytes", text.len());
        sum += text.len();
    }
    let mut slicer = Slicer::new(btf);
    if slicer.keep_named("sk_buff").is_ok()
        && let Ok(slices) = slicer.finish()
    {
        sum += slices[0].len();
    }
    sum
}

#[test]
fn damaged_btf() {
    let rounds = setting("BTF_FUZZ_ROUNDS", 1500);
    let seed = setting("BTF_FUZZ_SEED", 1);
    let original = small();
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for round in 0..rounds {
        // Each round can be repeated alone: the seed is printed if it fails.
        let mut random = Random((seed << 32 | round) * 2 + 1);
        random.next();
        let mut bytes = original.clone();
        damage(&mut bytes, &mut random);
        let result = std::panic::catch_unwind(move || match Btf::parse(bytes, "damaged") {
            Ok(btf) => exercise(&btf, &mut random) > 0,
            Err(e) => e.to_string().is_empty(),
        });
        let Ok(read) = result else { panic!("round {round} with BTF_FUZZ_SEED={seed}") };
        *counts.entry(if read { "read" } else { "refused" }).or_default() += 1;
    }
    eprintln!("{} bytes, {counts:?}", original.len());
    assert!(rounds < 100 || counts.len() == 2, "damage is always or never noticed: {counts:?}");
}

#[test]
fn damaged_module() {
    let rounds = setting("BTF_FUZZ_ROUNDS", 1500) / 5;
    let seed = setting("BTF_FUZZ_SEED", 1);
    let kernel = Arc::new(Btf::parse(small(), "kernel").unwrap());
    for round in 0..rounds {
        let mut random = Random((seed << 32 | round) * 2 + 1);
        random.next();
        let mut bytes = MODULE.to_vec();
        damage(&mut bytes, &mut random);
        if let Ok(btf) = Btf::parse_split(bytes, "damaged", kernel.clone()) {
            exercise(&btf, &mut random);
        }
    }
}
