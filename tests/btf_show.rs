//! Whole structures as text: what the kernel's `bpf_snprintf_btf` wrote, taken apart into bytes and written again.

use whither::btf::show::show;
use whither::btf::{Btf, Struct, View};

fn kernel() -> Btf {
    let bytes = include_bytes!("hosts/6.12-x86_64/sys/kernel/btf/vmlinux");
    Btf::parse(bytes, "6.12").expect("the recorded types are whole")
}

fn shown(btf: &Btf, name: &str, bytes: &[u8]) -> String {
    let mut out = String::new();
    show(btf.find::<Struct>(name).expect("it is recorded").as_type(), bytes, &mut out);
    out
}

/// Puts a value where a chain of members leads.
fn put(btf: &Btf, name: &str, bytes: &mut [u8], chain: &str, value: u64) {
    let leaf = btf.path(name, chain).unwrap_or_else(|error| panic!("{chain}: {}", error.kind)).leaf;
    let at = leaf.offset as usize;
    let mut word = [0; 8];
    word[..leaf.size as usize].copy_from_slice(&bytes[at..at + leaf.size as usize]);
    let old = u64::from_le_bytes(word);
    let new = match leaf.bits {
        Some(bits) => old & !(((1u64 << bits.width) - 1) << bits.shift) | value << bits.shift,
        None => value,
    };
    bytes[at..at + leaf.size as usize].copy_from_slice(&new.to_le_bytes()[..leaf.size as usize]);
}

/// The bytes that a text of the kernel stands for.
fn bytes_of(btf: &Btf, name: &str, text: &str) -> Vec<u8> {
    let mut bytes = vec![0; btf.find::<Struct>(name).expect("it is recorded").size() as usize];
    let mut chain: Vec<&str> = Vec::new();
    for line in text.lines().skip(1) {
        let line = line.trim().trim_end_matches(',');
        let (member, rest) = match line.strip_prefix('.').and_then(|line| line.split_once(" = ")) {
            Some((member, rest)) => (member, rest),
            None => ("", line),
        };
        if rest.ends_with('{') {
            chain.push(member);
            continue;
        }
        if rest == "}" {
            chain.pop();
            continue;
        }
        let value = rest.rsplit_once(')').expect("a type in front of the value").1;
        let value = match value.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).expect("hexadecimal"),
            None => value.parse::<i128>().expect("decimal") as u64,
        };
        let path: Vec<&str> = chain.iter().copied().chain([member]).filter(|part| !part.is_empty()).collect();
        put(btf, name, &mut bytes, &path.join("."), value);
    }
    bytes
}

/// The text without the members of these names and what belongs to them.
fn without(text: &str, names: &[&str]) -> String {
    let mut out = String::new();
    let mut end = None;
    for line in text.lines() {
        let (start, indent) = (line.trim_start(), line.len() - line.trim_start().len());
        if end.is_none() && names.iter().any(|name| start.starts_with(&format!("{name} = "))) {
            end = Some(indent);
        } else if end.is_none() {
            out += &format!("{line}\n");
        } else if end == Some(indent) {
            end = None;
        }
    }
    out
}

#[test]
fn the_kernels_texts_are_written_again() {
    let btf = kernel();
    // The whole sample, where it is at hand.
    let dir = std::env::var("WHITHER_SAMPLES").unwrap_or(format!("{}/tests/lines/samples", env!("CARGO_MANIFEST_DIR")));
    let sample = std::fs::read_to_string(format!("{dir}/01-tcp.skb.out")).expect("the sample is there");
    let mut checked = 0;
    for part in sample.split("(struct sk_buff){").skip(1) {
        let Some((body, _)) = part.split_once("\n}\n") else { continue };
        // The recorded types do not have the members of refcount_t and list_head.
        let text = without(&format!("(struct sk_buff){{{body}\n}}\n"), &[".users", ".tcp_tsorted_anchor"]);
        assert_eq!(shown(&btf, "sk_buff", &bytes_of(&btf, "sk_buff", &text)), text);
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn what_the_samples_do_not_have() {
    let btf = kernel();
    assert_eq!(shown(&btf, "sk_buff", &[0; 232]), "(struct sk_buff){\n}\n");
    // What is behind the end of the bytes is 0.
    assert_eq!(shown(&btf, "sk_buff", &[]), "(struct sk_buff){\n}\n");
    let mut dev = vec![0; btf.find::<Struct>("net_device").unwrap().size() as usize];
    let name = btf.path("net_device", "name").unwrap().leaf.offset as usize;
    dev[name..name + 6].copy_from_slice(b"a\x1b'\0zz");
    put(&btf, "net_device", &mut dev, "ifindex", u32::MAX.into());
    put(&btf, "net_device", &mut dev, "mtu", u32::MAX.into());
    let text = shown(&btf, "net_device", &dev);
    assert!(text.contains(" .name = (char[])[\n  'a',\n  27,\n  ''',\n ],\n"), "{text}");
    assert!(text.contains(" .ifindex = (int)-1,\n") && text.contains(" .mtu = (unsigned int)4294967295,\n"), "{text}");
    let mut info = vec![0; btf.find::<Struct>("skb_shared_info").unwrap().size() as usize];
    put(&btf, "skb_shared_info", &mut info, "nr_frags", 1);
    put(&btf, "skb_shared_info", &mut info, "frags[1].len", 204);
    let text = shown(&btf, "skb_shared_info", &info);
    let frags = " .frags = (skb_frag_t[])[\n  {\n   .len = (unsigned int)204,\n  },\n ],\n";
    assert!(text.starts_with("(struct skb_shared_info){\n .nr_frags = (__u8)1,\n"), "{text}");
    assert!(text.contains(frags), "{text}");
}
