//! Expressions over the types of a recorded kernel: what they mean, what is refused and how that is said.

use std::collections::HashMap;

use whither::btf::{Btf, Struct, View};
use whither::expr::{Error, Root, condition, eval, output};

const KERNEL: &[u8] = include_bytes!("hosts/6.12-x86_64/sys/kernel/btf/vmlinux");

fn kernel() -> Btf {
    Btf::parse(KERNEL, "/sys/kernel/btf/vmlinux, 6.12.107").unwrap()
}

fn root<'a>(btf: &'a Btf, name: &'a str) -> Root<'a> {
    let ty = if name == "xdp" { "xdp_buff" } else { "sk_buff" };
    Root { name, ty: btf.find::<Struct>(ty).unwrap().as_type() }
}

/// The tree of an expression.
#[test]
fn meaning() {
    let btf = kernel();
    let check = |text: &str, expected: &str| match condition(text, root(&btf, "skb")) {
        Ok(cond) => assert_eq!(cond.to_string(), expected, "{text}"),
        Err(e) => panic!("{}", e.render()),
    };
    // One field, one constant: pwru's whole language.
    check("skb->mark == 0xa00", "u32[root + 168] ==32 0xa00");
    check("skb->mark = 0xa00", "u32[root + 168] ==32 0xa00");
    check("skb.mark != 0xffffffff", "u32[root + 168] !=32 0xffffffff");
    check("skb->len >= 1500", "u32[root + 112] >=32 0x5dc");
    check("skb->dev->ifindex < 3", "s32[u64[root + 16] + 224] s<32 0x3");
    check("skb->dev->ifindex == -1", "s32[u64[root + 16] + 224] ==32 0xffffffff");
    check("skb->dev->nd_net.net->ns.inum == 4026531840", "u32[u64[u64[root + 16] + 280] + 136] ==64 0xf0000000");
    check("skb->protocol == 0x0800", "be16[root + 180] ==32 0x800");
    check("skb->tstamp > 0x100000000", "s64[root + 32] s>64 0x100000000");
    check("skb->dev == 0", "u64[root + 16] ==64 0x0");
    check("NULL != skb->sk", "u64[root + 24] !=64 0x0");
    // Bit fields.
    check("skb->cloned", "u8[root + 126].0..1 !=32 0x0");
    check("skb->pkt_type == 4", "u8[root + 128].0..3 ==32 0x4");
    check("skb->ip_summed > 1", "u8[root + 128].5..7 s>32 0x1");
    // Arrays.
    check("skb->cb[20] == 5", "u8[root + 60] ==32 0x5");
    check("skb->dev->name[0] == 'e'", "u8[u64[root + 16] + 304] ==32 0x65");
    check("*(u32 *)(skb->cb + 8) == 1", "u32[(root +64 0x30) + 0] ==32 0x1");
    check("*(u32 *)&skb->cb[8] == 1", "u32[(root +64 0x30) + 0] ==32 0x1");
    check("((u32 *)skb->cb)[2] == 1", "u32[(root +64 0x30) + 0] ==32 0x1");
    check("skb->cb[skb->pkt_type]", "u8[((root +64 0x28) +64 u8[root + 128].0..3) + 0] !=32 0x0");
    // Headers.
    check(
        "((struct iphdr *)(skb->head + skb->network_header))->saddr == 0x0a000001",
        "be32[(u64[root + 200] +64 u16[root + 184]) + 12] ==32 0xa000001",
    );
    check(
        "((struct tcphdr *)skb->data)->syn",
        "u16[u64[root + 208] + 12].9..10 !=32 0x0"
            .replace("u16[u64[root + 208] + 12].9..10", "u8[u64[root + 208] + 13].1..2")
            .as_str(),
    );
    // Operators, conversions, truth.
    check("skb->mark & 0xf00", "(u32[root + 168] &32 0xf00) !=32 0x0");
    check("!(skb->mark & 1)", "(u32[root + 168] &32 0x1) ==32 0x0");
    check("skb->len - 14 > 100", "(u32[root + 112] -32 0xe) >32 0x64");
    check("skb->mac_len - 14 > -1", "(u16[root + 120] -32 0xe) s>32 0xffffffff");
    check("skb->_skb_refdst & ~1", "(u64[root + 88] &64 0xfffffffffffffffe) !=64 0x0");
    check("skb->_skb_refdst & ~1u", "(u64[root + 88] &64 0xfffffffe) !=64 0x0");
    check("skb->len / 3 % 5 == 1", "((u32[root + 112] /32 0x3) %32 0x5) ==32 0x1");
    check("skb->dev->ifindex / 2 == 1", "(s32[u64[root + 16] + 224] s/32 0x2) ==32 0x1");
    check("skb->dev->ifindex >> 1 == 1", "(s32[u64[root + 16] + 224] s>>32 0x1) ==32 0x1");
    check("skb->mark << 4 >> 8 == 1", "((u32[root + 168] <<32 0x4) >>32 0x8) ==32 0x1");
    check("(u8)skb->mark == 255", "u8to32(u32[root + 168]) ==32 0xff");
    check("(char)skb->mark < 0", "u8to32(u32[root + 168]) s<32 0x0");
    check("(signed char)skb->mark < 0", "s8to32(u32[root + 168]) s<32 0x0");
    check("(int)skb->mark < 0", "u32[root + 168] s<32 0x0");
    check("(s64)skb->dev->ifindex < 0", "s32to64(s32[u64[root + 16] + 224]) s<64 0x0");
    check("skb->tail - skb->network_header > 0", "(u32[root + 188] -32 u16[root + 184]) >32 0x0");
    check("skb->data - skb->head > 64", "(u64[root + 208] -64 u64[root + 200]) s>64 0x40");
    check("-1 == 0xffffffffffffffff", "true");
    check("-1 < 0u", "false");
    check("1 << 4 == 16 && 7 / 2 == 3 && -7 / 2 == -3 && -7 % 2 == -1 && ~0 == -1", "true");
    check("0x80000000 > 0 && 2147483648 > 0 && 'a' == 97", "true");
    // Logic: negation goes inwards.
    check(
        "skb->mark == 1 || skb->len > 5 && skb->cloned",
        "(u32[root + 168] ==32 0x1 || (u32[root + 112] >32 0x5 && u8[root + 126].0..1 !=32 0x0))",
    );
    check("!(skb->mark == 1 || skb->len > 5)", "(u32[root + 168] !=32 0x1 && u32[root + 112] <=32 0x5)");
    check("!!skb->mark", "u32[root + 168] !=32 0x0");
    check("(skb->mark == 1) == (skb->len == 2)", "bool(u32[root + 168] ==32 0x1) ==32 bool(u32[root + 112] ==32 0x2)");
    check("(skb->mark == 1) == 0", "u32[root + 168] !=32 0x1");
    check("skb->mark == 1 && 1", "u32[root + 168] ==32 0x1");
    // Enumerators.
    check("skb->mark == SKB_DROP_REASON_NO_SOCKET", "u32[root + 168] ==32 0x3");
    check("(enum skb_drop_reason)skb->mark == SKB_DROP_REASON_NO_SOCKET", "u32[root + 168] ==32 0x3");

    let xdp = condition("xdp->rxq->dev->ifindex == 2", root(&btf, "xdp")).unwrap();
    assert_eq!(xdp.to_string(), "s32[u64[u64[root + 32] + 0] + 224] ==32 0x2");
}

#[test]
fn refusals() {
    let btf = kernel();
    let check = |text: &str, expected: &str| match condition(text, root(&btf, "skb")) {
        Ok(cond) => panic!("{text} means {cond}"),
        Err(e) => assert_eq!(e.render(), expected.trim_start_matches('\n'), "{text}"),
    };
    check(
        "skb->makr == 0xa00",
        "
error: no field `makr` in `struct sk_buff` (/sys/kernel/btf/vmlinux, 6.12.107)
    skb->makr == 0xa00
         ^^^^
hint: did you mean `skb->mark`?",
    );
    check(
        "skb->mark == 1 && skb->dev->ifindx == 2",
        "
error: no field `ifindx` in `struct net_device` (/sys/kernel/btf/vmlinux, 6.12.107)
    skb->mark == 1 && skb->dev->ifindx == 2
                                ^^^^^^
hint: did you mean `skb->dev->ifindex`?",
    );
    check(
        "mark == 1",
        "
error: `mark` is neither `skb` nor an enumerator
    mark == 1
    ^^^^
hint: did you mean `skb->mark`?",
    );
    check(
        "skb->mark == SKB_DROP_REASON_NO_SOCKETS",
        "
error: `SKB_DROP_REASON_NO_SOCKETS` is neither `skb` nor an enumerator
    skb->mark == SKB_DROP_REASON_NO_SOCKETS
                 ^^^^^^^^^^^^^^^^^^^^^^^^^^
hint: did you mean `SKB_DROP_REASON_NO_SOCKET`?",
    );
    check(
        "skb->len +",
        "
error: expected a value at the end
    skb->len +
              ^",
    );
    check(
        "skb->mark->x",
        "
error: no field `x`: `unsigned int` (/sys/kernel/btf/vmlinux, 6.12.107) has no fields
    skb->mark->x
               ^",
    );
    check(
        "skb->cb[48]",
        "
error: index 48 of an array of 48
    skb->cb[48]
            ^^",
    );
    let refuse = |text: &str, expected: &str| match condition(text, root(&btf, "skb")) {
        Ok(cond) => panic!("{text} means {cond}"),
        Err(e) => assert_eq!(format!("{e}: {}", &text[e.span.clone()]), expected),
    };
    refuse("*skb", "`struct sk_buff` is not a number: *skb");
    refuse("skb->dev->nd_net", "`possible_net_t` is not a number: skb->dev->nd_net");
    refuse("*skb->mark", "`*` does not take `unsigned int`: skb->mark");
    refuse("skb->mark[1]", "`[]` does not take `unsigned int`: skb->mark");
    refuse("skb * 2", "`*` does not take `struct sk_buff *`: skb");
    refuse("2 & skb->dev", "`&` does not take `struct net_device *`: skb->dev");
    refuse("skb == skb->mark", "`==` does not take `unsigned int`: skb->mark");
    refuse("&skb->pkt_type", "this has no address: &skb->pkt_type");
    refuse("&5", "this has no address: 5");
    refuse("skb->len == 'ab'", "a character constant is one ASCII character: '");
    refuse(&format!("{}skb->len == 1", "(".repeat(100)), "too many operators within each other: (");
    refuse("skb->mark / 0", "division by zero: 0");
    refuse("skb->mark % (1 - 1)", "division by zero: (1 - 1)");
    refuse("skb->mark << 32", "a value of 32 bits cannot be shifted by 32: 32");
    refuse("skb->mark >> -1", "a value of 32 bits cannot be shifted by -1: -1");
    refuse("skb->cb[-1]", "index -1 of an array of 48: -1");
    refuse("skb->dev->name == \"lo\"", "unexpected character `\"`: \"");
    refuse("(struct nosuch *)skb", "no struct is named `nosuch` (/sys/kernel/btf/vmlinux, 6.12.107): struct nosuch *");
    refuse("(nosuch)skb", "no typedef is named `nosuch` (/sys/kernel/btf/vmlinux, 6.12.107): nosuch");
    refuse("(struct iphdr)skb", "`struct iphdr` is not a number: struct iphdr");
    refuse("*(void *)skb", "`void` is not a number: *(void *)skb");
    refuse(
        "skb->sk->__sk_common.skc_prot->name",
        "the fields of `struct proto` (/sys/kernel/btf/vmlinux, 6.12.107) are not known: it is only declared: name",
    );
    refuse("htons(1) == 2", "functions cannot be called: (");
    refuse("skb->mark == 99999999999999999999", "`99999999999999999999` needs more than 64 bits: 99999999999999999999");
    refuse("skb->mark § 1", "unexpected character `§`: §");
}

#[test]
fn a_name_with_two_values_has_none() {
    // Two enums with an enumerator `c`, and a struct, all called `a`.
    let of_enum = |value: u32| [1, 6 << 24 | 1, 4, 3, value];
    let types = [&of_enum(1)[..], &of_enum(2), &[1, 4 << 24, 8]].concat();
    let length = 4 * types.len() as u32;
    let words = [0x0001_eb9f, 24, 0, length, length, 5].into_iter().chain(types);
    let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).chain(*b"\0a\0c\0").collect();
    let btf = Btf::parse(bytes, "").expect("it has the form of BTF");
    let root = Root { name: "skb", ty: btf.find::<Struct>("a").expect("it is there").as_type() };
    let error = condition("c == 1", root).unwrap_err();
    assert_eq!(error.to_string(), "several enumerators `c` have different values");
}

#[test]
fn typedefs_of_one_name_may_be_one_integer() {
    // Structs `a` and two integers, each with a typedef called `b`; their sizes and encodings are given.
    let condition = |ints: [[u32; 2]; 2]| {
        let of_int = |[size, encoding]: [u32; 2]| [0, 1 << 24, size, (encoding << 24) | (size * 8)];
        let types = [&of_int(ints[0])[..], &of_int(ints[1]), &[3, 8 << 24, 1, 3, 8 << 24, 2, 1, 4 << 24, 8]].concat();
        let length = 4 * types.len() as u32;
        let words = [0x0001_eb9f, 24, 0, length, length, 5].into_iter().chain(types);
        let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).chain(*b"\0a\0b\0").collect();
        let btf = Btf::parse(bytes, "test").expect("it has the form of BTF");
        let root = Root { name: "skb", ty: btf.find::<Struct>("a").expect("it is there").as_type() };
        condition("(b)0x1ff == 0xff", root).map(|condition| condition.to_string()).map_err(|error| error.to_string())
    };
    assert_eq!(condition([[1, 0], [1, 0]]), Ok("true".to_owned()));
    let ambiguous = Err("2 times typedef `b` (test): types 3, 4".to_owned());
    assert_eq!(condition([[1, 0], [2, 0]]), ambiguous);
    assert_eq!(condition([[1, 0], [1, 1]]), ambiguous);
}

#[test]
fn values_to_show() {
    let btf = kernel();
    let check = |text: &str, expected: &str| {
        let out = output(text, root(&btf, "skb")).unwrap_or_else(|e| panic!("{}", e.render()));
        assert_eq!(out.to_string(), expected, "{text}");
    };
    check("skb->mark", "mark = u32[root + 168], 4 bytes: decimal");
    check("skb->protocol", "protocol = u16[root + 180], 2 bytes: be EtherType");
    check("skb->dev->ifindex", "ifindex = u32[u64[root + 16] + 224], 4 bytes: signed decimal");
    check("skb->len + 14", "skb->len + 14 = (u32[root + 112] +32 0xe), 4 bytes: decimal");
    check("skb->len > 14", "skb->len > 14 = bool(u32[root + 112] >32 0xe), 4 bytes: bool");
    check("skb->cb[3]", "cb = u8[root + 43], 1 bytes: character");
    check("skb->cb", "cb = bytes[root + 40], 48 bytes: bytes");
    check("skb->pkt_type", "pkt_type = u8[root + 128], 1 bytes: decimal bits 0..3");
    check("skb->dev->nd_net", "nd_net = u64[u64[root + 16] + 280], 8 bytes: pointer");
    check("skb->dev", "dev = u64[root + 16], 8 bytes: pointer");
    check("skb->dev->name", "name = bytes[u64[root + 16] + 304], 16 bytes: text");
    check("skb->dev->dev_addr", "dev_addr = bytes[u64[u64[root + 16] + 1072] + 0], 6 bytes: Ethernet address");
    check("&skb->mark", "&skb->mark = (root +64 0xa8), 8 bytes: pointer");
    let ip = "((struct iphdr *)(skb->head + skb->network_header))";
    let header = "(u64[root + 200] +64 u16[root + 184])";
    check(&format!("{ip}->saddr"), &format!("saddr = u32[{header} + 12], 4 bytes: be IPv4 address"));
    let tcp = "((struct tcphdr *)(skb->head + skb->transport_header))";
    let header = "(u64[root + 200] +64 u16[root + 182])";
    check(&format!("{tcp}->seq"), &format!("seq = u32[{header} + 4], 4 bytes: be decimal"));
    check("skb->sk->__sk_common.skc_v6_daddr", "skc_v6_daddr = bytes[u64[root + 24] + 56], 16 bytes: IPv6 address");
    check(
        "*(struct udphdr *)skb->data",
        "*(struct udphdr *)skb->data = bytes[u64[root + 208] + 0], 8 bytes: \
         {source be decimal, dest be decimal, len be decimal, check decimal}",
    );
    let too_wide = output("*skb->dev", root(&btf, "skb")).unwrap_err();
    assert_eq!(too_wide.to_string(), "a value of 2560 bytes cannot be shown; 1024 are the most");
    assert!(output("*skb->dev->priv_flags", root(&btf, "skb")).is_err());
}

/// A little kernel memory: what is not written is 0.
#[derive(Default)]
struct Memory(HashMap<u64, u8>);

impl Memory {
    fn put(&mut self, address: u64, bytes: &[u8]) {
        (address..).zip(bytes).for_each(|(address, byte)| {
            self.0.insert(address, *byte);
        });
    }
}

impl eval::Memory for Memory {
    fn load(&self, address: u64, size: u8) -> u64 {
        let byte = |n: u64| u64::from(*self.0.get(&(address + n)).unwrap_or(&0));
        (0..u64::from(size)).map(|n| byte(n) << (n * 8)).sum()
    }
}

const SKB: u64 = 0xffff_8880_0100_0000;
const DEV: u64 = 0xffff_8880_0200_0000;
const HEAD: u64 = 0xffff_8880_0300_0000;

#[test]
fn conditions_hold_as_in_c() -> Result<(), Error> {
    let btf = kernel();
    let mut memory = Memory::default();
    let offset = |chain| u64::from(btf.path("sk_buff", chain).unwrap().leaf.offset);
    memory.put(SKB + offset("mark"), &0x8000_0a00u32.to_le_bytes());
    memory.put(SKB + offset("len"), &84u32.to_le_bytes());
    memory.put(SKB + offset("protocol"), &[0x08, 0x00]);
    memory.put(SKB + offset("dev"), &DEV.to_le_bytes());
    memory.put(SKB + offset("head"), &HEAD.to_le_bytes());
    memory.put(SKB + offset("network_header"), &[64, 0]);
    memory.put(SKB + offset("pkt_type"), &[0b0100_0011]);
    memory.put(SKB + offset("tstamp"), &(-5i64).to_le_bytes());
    let ifindex = u64::from(btf.path("net_device", "ifindex").unwrap().leaf.offset);
    memory.put(DEV + ifindex, &7u32.to_le_bytes());
    memory.put(HEAD + 64 + 12, &[10, 0, 0, 1]);
    let holds = |text: &str| Ok::<bool, Error>(eval::condition(&condition(text, root(&btf, "skb"))?, SKB, &memory));
    for text in [
        "skb->mark == 0x80000a00",
        "skb->mark > 0x7fffffff",
        "(int)skb->mark < 0",
        "skb->len == 84 && skb->len / 5 == 16",
        "skb->protocol == 0x800",
        "skb->protocol > 0x7ff && skb->protocol < 0x801",
        "skb->dev->ifindex == 7",
        "skb->dev",
        "!skb->sk",
        "skb->pkt_type == 3",
        "skb->ip_summed == 2",
        "skb->tstamp < 0 && skb->tstamp / 2 == -2 && skb->tstamp % 2 == -1 && skb->tstamp >> 1 == -3",
        "((struct iphdr *)(skb->head + skb->network_header))->saddr == 0x0a000001",
        "((unsigned char *)skb->head)[64 + 12] == 10",
        "*(__be32 *)(skb->head + skb->network_header + 12) >> 24 == 10",
        "skb->sk->__sk_common.skc_family == 2 || skb->len == 84",
    ] {
        assert!(holds(text)?, "{text}");
    }
    for text in [
        "skb->mark == 0xa00",
        "skb->mark < 0",
        "skb->protocol == 8",
        // Nobody follows a NULL pointer: a comparison with what it points to is false, and so is its negation.
        "skb->sk->__sk_common.skc_family == 0",
        "skb->sk->__sk_common.skc_family != 0",
        "!(skb->sk->__sk_common.skc_family == 0)",
        "(skb->sk->__sk_common.skc_family == 2) == 0 && 0",
        "skb->len / skb->priority == 0",
        "skb->len % skb->priority >= 0",
    ] {
        assert!(!holds(text)?, "{text}");
    }
    Ok(())
}

/// No text makes the compiler panic, hang or blame something outside of the text.
#[test]
fn any_text() {
    let btf = kernel();
    let root = root(&btf, "skb");
    let pieces = [
        "skb",
        "->",
        ".",
        "mark",
        "dev",
        "cb",
        "[",
        "]",
        "(",
        ")",
        "1",
        "0",
        "0xffffffff",
        "-",
        "~",
        "!",
        "*",
        "&",
        "&&",
        "||",
        "==",
        "<",
        ">>",
        "<<",
        "/",
        "%",
        "u32",
        "struct sk_buff *",
        "(struct iphdr *)",
        "(u8)",
        "unsigned",
        " ",
        "é",
        "'",
        "=",
        "18446744073709551615",
        "data",
        "head",
        "ifindex",
        "name",
        "SKB_DROP_REASON_NO_SOCKET",
        "NULL",
        "?",
        ",",
        "\n",
    ];
    let mut state = 1u64;
    let mut next = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let mut accepted = 0;
    for _ in 0..2000 {
        let mut text =
            ["skb->mark == 1", "skb->dev->ifindex + 1 > 2", "*(u32 *)&skb->cb[4] & 7", ""][next(4)].to_owned();
        for _ in 0..1 + next(6) {
            let at = next(text.len() + 1);
            let at = (at..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap();
            text.insert_str(at, pieces[next(pieces.len())]);
        }
        match (condition(&text, root), output(&text, root)) {
            (Ok(cond), _) => {
                accepted += 1;
                assert!(!cond.to_string().is_empty());
            }
            (Err(e), _) => {
                assert!(text.get(e.span.clone()).is_some(), "{text:?} {:?}", e.span);
                assert!(e.render().starts_with("error: "), "{text:?}");
            }
        }
    }
    assert!(accepted > 20, "{accepted}");
    for text in ["(".repeat(5000), "skb->cb[".repeat(5000), "-~".repeat(5000), "1+".repeat(5000), "(u8)".repeat(5000)] {
        assert!(condition(&text, root).is_err());
    }
}
