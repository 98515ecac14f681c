//! What is refused as BTF, and why: types that no compiler writes, a few words each.

use super::*;

const INT: u32 = 1;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const TYPEDEF: u32 = 8;
const FUNC: u32 = 12;
const PROTO: u32 = 13;

/// Names: an offset of a string each.
const NONE: u32 = 0;
const A: u32 = 1;
const B: u32 = 3;
const C: u32 = 5;
const STRINGS: &[u8] = b"\0a\0b\0c\0";

/// A record: name, kind, number of elements, size or type, and what follows.
fn record(name: u32, kind: u32, elements: u32, size: u32, rest: &[u32]) -> Vec<u32> {
    [&[name, kind << 24 | elements, size], rest].concat()
}

/// `int b`.
fn int() -> Vec<u32> {
    record(B, INT, 0, 4, &[1 << 24 | 32])
}

/// A file with these types, from number 1 on.
fn file(types: &[Vec<u32>]) -> Vec<u8> {
    let types: Vec<u8> = types.concat().into_iter().flat_map(u32::to_le_bytes).collect();
    let (length, strings) = (types.len() as u32, STRINGS.len() as u32);
    let header = [0x0001_eb9f, 24, 0, length, length, strings].into_iter().flat_map(u32::to_le_bytes);
    header.chain(types).chain(STRINGS.iter().copied()).collect()
}

fn btf(types: &[Vec<u32>]) -> Btf {
    Btf::parse(file(types), "here").expect("it has the form of BTF")
}

#[test]
fn files_that_are_no_btf() {
    let check = |bytes: Vec<u8>, text: &str| assert_eq!(Btf::parse(bytes, "").unwrap_err().to_string(), text);
    let with = |at: usize, value: u32| {
        let mut bytes = file(&[int()]);
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    check(b"BTF".to_vec(), "BTF is cut short: the header needs 24 bytes, there are 3");
    check(with(0, 0x0001_4254), "not BTF: it does not begin with the magic number eb9f");
    check(with(0, 0x0001_9feb), "BTF of a big-endian machine");
    check(with(0, 0x0002_eb9f), "BTF version 2; only version 1 is known");
    check(with(8, 1), "the BTF type section is not aligned to four bytes");
    check(with(12, 100), "BTF is cut short: the type section needs 124 bytes, there are 47");
    check(with(20, 100), "BTF is cut short: the string section needs 140 bytes, there are 47");
    check(with(20, 6), "the BTF string section does not begin and end with a NUL byte");
    check(with(12, 12), "the record of BTF type 1 ends after the type section");
    check(with(12, 8), "the record of BTF type 1 ends after the type section");
    check(with(28, 99 << 24), "BTF type 1 is of kind 99, which is not known");
    // With a header of 32 bytes, as later formats have it, the first record tells where the layout is.
    check(with(4, 32), "BTF is cut short: the type section needs 48 bytes, there are 47");
    let mut long = with(4, 32);
    long.resize(64, 0);
    check(long, "BTF is cut short: the layout section needs 16777251 bytes, there are 64");
}

#[test]
fn types_that_cannot_be() {
    let check = |error: BtfError, text: &str| assert_eq!(error.to_string(), text);
    let get = |btf: &Btf, id: u32| btf.get(TypeId(id)).map(|found| (found.peel().map(drop), found.size()));
    let typedef = btf(&[record(A, TYPEDEF, 0, 1, &[])]);
    check(get(&typedef, 2).unwrap_err(), "there is no BTF type 2, though it is referred to");
    check(get(&typedef, 1).unwrap().0.unwrap_err(), "BTF type 1 is malformed: typedefs without end");
    let array = btf(&[int(), record(NONE, ARRAY, 0, 0, &[1, 1, 0x4000_0001])]);
    check(get(&array, 2).unwrap().1.unwrap_err(), "BTF type 2 is malformed: its size overflows");
    let arrays = btf(&[record(NONE, ARRAY, 0, 0, &[1, 1, 1])]);
    check(get(&arrays, 1).unwrap().1.unwrap_err(), "BTF type 1 is malformed: arrays without end");
    let proto = btf(&[record(NONE, PROTO, 0, 0, &[])]);
    check(get(&proto, 1).unwrap().1.unwrap_err(), "BTF type 1 is malformed: it has no size");
    let function = btf(&[int(), record(A, FUNC, 0, 1, &[])]);
    let proto = function.find::<Func>("a").unwrap().proto().map(drop);
    check(proto.unwrap_err(), "BTF type 2 is malformed: a function whose type is not a prototype");
    assert_eq!(dump::declaration(&function, TypeId(9), "x"), "/* no type 9 */ x");
    let missing = function.find::<Composite>("x").map(drop).unwrap_err();
    assert_eq!(missing.to_string(), "no struct or union is named `x` (here)");
}

#[test]
fn chains_that_lead_nowhere() {
    let check = |types: &[Vec<u32>], chain: &str, text: &str| {
        assert_eq!(btf(types).path("a", chain).unwrap_err().to_string(), text);
    };
    let one = |member: [u32; 3]| record(A, STRUCT, 1, 8, &member);
    let plain = [int(), one([C, 1, 0])];
    check(&plain, "c[1]", "`b` (here) is neither an array nor a pointer");
    check(&plain, "c c", "expected `.`, `->` or `[`");
    check(&plain, "c.", "expected the name of a field");
    check(&plain, "c[x]", "expected a number");
    check(&plain, "c[1", "expected `]`");
    check(&[int(), one([C, 1, 4])], "c", "BTF type 2 is malformed: a member between two bytes");
    let array = record(NONE, ARRAY, 0, 0, &[1, 1, 0]);
    let text = "BTF type 1 is malformed: an offset that overflows";
    check(&[int(), one([C, 3, 0]), array], "c[4294967295]", text);
    check(&[one([C, 1, u32::MAX - 7])], "c.c.c.c.c.c.c.c.c", text);
    check(&[one([NONE, 1, 0])], "c", "BTF type 1 is malformed: anonymous structs without end");
    let many = [
        record(A, STRUCT, 1024, 8, &[NONE, 2, 0].repeat(1024)),
        record(NONE, STRUCT, 1025, 8, &[B, 3, 0].repeat(1025)),
        int(),
    ];
    check(&many, "c", "BTF type 2 is malformed: too many members");
    // Sixty bits of which no word of eight bytes holds all.
    let bits = record(A, STRUCT | 1 << 7, 1, 16, &[C, 1, 60 << 24 | 7]);
    check(&[int(), bits], "c", "a bit field cannot be read like this");
}
