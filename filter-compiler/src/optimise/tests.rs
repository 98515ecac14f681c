//! Passes by themselves: a graph as text before and after.

use super::{group, thread};
use crate::graph::Graph;
use crate::names::Builtin;
use crate::{LinkType, compile_unoptimised};

fn lowered(text: &str) -> Graph {
    compile_unoptimised(text, LinkType::En10Mb, &Builtin).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn check(pass: super::Pass, text: &str, wanted: &str) {
    let before = lowered(text).to_string();
    let (after, changed) = pass(lowered(text));
    assert_eq!(after.to_string(), wanted, "{text}");
    assert_eq!(changed, before != wanted, "{text}");
}

#[test]
fn thread_jumps_past_known_tests() {
    check(thread::thread, "ip and (ip or ip6)", "n0: u16[12] == 0x800 ? accept : reject\n");
    check(
        thread::thread,
        "arp or ip and tcp[0] = 1",
        "n0: u16[12] == 0x806 ? reject : n1\n\
         n1: u16[12] == 0x800 ? n2 : reject\n\
         n2: u8[23] == 0x6 ? n3 : reject\n\
         n3: u16[20] & 0x1fff != 0 ? reject : n4\n\
         n4: u8[14 + ihl(14)] == 0x1 ? accept : reject\n",
    );
}

#[test]
fn thread_knows_ranges_and_bits() {
    check(thread::thread, "len > 100 and len > 50", "n0: len >= 0x65 ? accept : reject\n");
    check(thread::thread, "len > 100 and len = 7", "reject\n");
    check(
        thread::thread,
        "ether[0] & 3 = 3 and ether[0] & 1 = 1",
        "n0: (u8[0] & 0x3) == 0x3 ? n1 : reject\nn1: u8[0] & 0x1 != 0 ? accept : reject\n",
    );
    check(thread::thread, "ether[0] & 1 = 1 and ether[0] & 3 != 0", "n0: u8[0] & 0x1 != 0 ? accept : reject\n");
    check(thread::thread, "ether[0] = 5 and ether[0] & 6 = 4", "n0: u8[0] == 0x5 ? accept : reject\n");
    check(thread::thread, "ether[0] > 255", "reject\n");
}

#[test]
fn thread_leaves_divisions_alone() {
    check(
        thread::thread,
        "1 / ether[0] = 5 or 1 / ether[0] = 5",
        "n0: (0x1 / u8[0]) == 0x5 ? accept : n1\nn1: (0x1 / u8[0]) == 0x5 ? accept : reject\n",
    );
}

#[test]
fn thread_changes_nothing_twice() {
    let (once, _) = thread::thread(lowered("port 80 or port 443 and not host 10.0.0.1"));
    let (_, changed) = thread::thread(once);
    assert!(!changed);
}

#[test]
fn group_brings_tests_of_one_value_together() {
    check(
        group::group,
        "ether[0] = 1 or ether[1] = 2 or ether[0] = 3 or ether[1] = 4",
        "n0: u8[0] == 0x1 ? accept : n1\n\
         n1: u8[0] == 0x3 ? accept : n2\n\
         n2: u8[1] == 0x2 ? accept : n3\n\
         n3: u8[1] == 0x4 ? accept : reject\n",
    );
}

#[test]
fn group_never_loads_earlier() {
    // Byte 1 must not be loaded before byte 0 was found wanting, nor byte 2 before byte 1.
    check(
        group::group,
        "ether[0] = 1 or ether[1] = 2 or ether[2] = 3",
        "n0: u8[0] == 0x1 ? accept : n1\nn1: u8[1] == 0x2 ? accept : n2\nn2: u8[2] == 0x3 ? accept : reject\n",
    );
}

#[test]
fn group_joins_ranges() {
    check(
        group::group,
        "ether[0] >= 10 and ether[0] <= 20 or ether[0] >= 21 and ether[0] <= 30",
        "n0: u8[0] >= 0xa ? n1 : reject\nn1: u8[0] >= 0x1f ? reject : accept\n",
    );
    check(group::group, "ether[0] = 7 or ether[0] != 7", "accept\n");
    check(group::group, "ether[0] >= 200 or ether[0] < 200", "accept\n");
    check(group::group, "not ether[0] < 255", "n0: u8[0] >= 0xff ? accept : reject\n");
}

#[test]
fn group_joins_bits() {
    check(group::group, "ether[0] & 1 != 0 or ether[0] & 8 != 0", "n0: u8[0] & 0x9 != 0 ? accept : reject\n");
}

#[test]
fn group_searches_long_lists_by_halves() {
    let list: Vec<String> = (0..40).map(|n| format!("ether[0] = {}", 3 * n + 1)).collect();
    let (graph, _) = group::group(lowered(&list.join(" or ")));
    // Forty numbers, and one comparison for each cut.
    assert_eq!(graph.nodes().len(), 43, "{graph}");
    assert!(graph.to_string().starts_with("n0: u8[0] >= 0x3d ?"), "{graph}");
}

#[test]
fn impossible_loads_reject() {
    check(thread::impossible_loads, "ether[-20] = 1 or ip", "reject\n");
}
