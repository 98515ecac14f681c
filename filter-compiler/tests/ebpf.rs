//! eBPF: listings, size, number of helper calls, and what the kernel's verifier says.
//!
//! `tests/ebpf/` holds one golden per filter; `BLESS=1 cargo test -p filter-compiler --test ebpf` rewrites them.

mod support;

use std::fmt::Write;
use std::path::Path;

use asm::{Asm, Program, R0, R1, R7, R8, u64};
use filter_compiler::ebpf::{self, Error, Indexing, Metadata, Needs, Packet, Place, StackWindow};
use filter_compiler::{Graph, LinkType, compile, names};
use support::judge;
use support::machine::{self, Access, Interpreted, Loaded};
use support::packets::{self, Link};
use support::rng::Rng;
use support::subject::{kernel_runs_ebpf, link_type};

fn graph(text: &str, link: LinkType) -> Graph {
    compile(text, link, &names::Builtin).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The filter between the shortest possible beginning and end.
fn program(graph: &Graph, indexing: Indexing) -> Program {
    let mut a = Asm::new("filter");
    let reject = a.label_named("reject");
    a.load(R7, u64(R1));
    a.load(R8, u64(R1 + 8));
    let mut packet = Packet::new(Place::Reg(R7), Place::Reg(R8));
    let needs = Needs::of(graph);
    let metadata = [
        (Metadata::Length, &mut packet.length),
        (Metadata::PacketType, &mut packet.packet_type),
        (Metadata::Interface, &mut packet.interface),
    ];
    for (at, (which, place)) in metadata.into_iter().enumerate() {
        if needs.metadata.contains(&which) {
            let slot = a.stack_named(8, format!("{which:?}").to_lowercase());
            a.load(R0, u64(R1 + 16 + 8 * at as i32));
            a.store(u64(slot), R0);
            *place = Some(Place::Slot(slot));
        }
    }
    let mut window = StackWindow::new(&mut a, &needs, packet, indexing).expect("all metadata is there");
    window.read(&mut a, reject);
    a.note("filter");
    ebpf::emit(graph, &mut a, &mut window, reject).expect("it can be emitted");
    a.note("match");
    a.mov(R0, 1);
    a.exit();
    a.bind(reject);
    a.mov(R0, 0);
    a.exit();
    a.finish().unwrap_or_else(|error| panic!("{error}"))
}

/// Instructions of the filter alone: without reading the window.
fn body(program: &Program) -> usize {
    let at = |note: &str| {
        let noted = program.insns().iter().position(|insn| insn.note().is_some_and(|text| text.contains(note)));
        noted.expect("the note is there")
    };
    at("match") - at("filter")
}

#[test]
fn listings() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ebpf");
    let mut names: Vec<_> = std::fs::read_dir(&directory)
        .expect("tests/ebpf is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    names.sort();
    assert!(names.len() >= 10);
    for path in names {
        let old = std::fs::read_to_string(&path).expect("it can be read");
        let (mut new, mut graph) = (String::new(), None);
        let mut link = LinkType::En10Mb;
        for line in old.lines().take_while(|line| !line.starts_with("---")) {
            match line.split_once(' ').map(|(key, value)| (key, value.trim())) {
                Some(("link", "raw")) => link = LinkType::Raw,
                Some(("filter", text)) => graph = Some(self::graph(text, link)),
                _ => {}
            }
            new += line;
            new += "\n";
        }
        let graph = graph.expect("a line `filter ...`");
        write!(new, "--- graph\n{graph}").expect("a string takes all");
        for (title, indexing) in [("one window", Indexing::Stack), ("two windows", Indexing::SecondRead)] {
            let program = program(&graph, indexing);
            write!(new, "--- {title}, {} instructions\n{program}", body(&program)).expect("a string takes all");
        }
        if new != old {
            if std::env::var_os("BLESS").is_some() {
                std::fs::write(&path, new).expect("it can be written");
            } else {
                let change = new.lines().zip(old.lines().chain(std::iter::repeat(""))).find(|(new, old)| new != old);
                let (new, old) = change.unwrap_or(("", "more lines"));
                panic!("{}\n- {old}\n+ {new}\nBLESS=1 rewrites it", path.display());
            }
        }
    }
}

#[test]
fn usual_filters_are_short() {
    let longest = |text: &str, one_window: usize, two_windows: usize| {
        for (indexing, limit) in [(Indexing::Stack, one_window), (Indexing::SecondRead, two_windows)] {
            let program = program(&graph(text, LinkType::En10Mb), indexing);
            let size = body(&program);
            assert!(size <= limit, "{text}: {size} instructions, {limit} allowed\n{program}");
        }
    };
    longest("icmp", 5, 5);
    longest("host 10.0.0.1", 20, 20);
    longest("tcp[tcpflags] & tcp-syn != 0", 17, 24);
    longest("host 10.0.0.1 and udp port 53", 27, 34);
    longest("port 53", 36, 43);
}

/// What a packet costs that a filter reads: at most two calls, and one with a single window.
#[test]
fn usual_filters_call_few_helpers() {
    for text in ["host 10.0.0.1 and tcp port 80", "icmp", "tcp[tcpflags] & tcp-syn != 0", "port 53", "ip6 host ::1"] {
        let graph = graph(text, LinkType::En10Mb);
        let cbpf = filter_compiler::to_cbpf(&graph).expect("it fits");
        let pool = packets::constants(&cbpf);
        for (access, limit) in [(Access::Stack, 1), (Access::SecondRead, 2)] {
            let program = Interpreted::new(&graph, access).expect("it can be emitted");
            let mut rng = Rng::new(5);
            let (mut accepted, mut most) = (0, 0);
            for _ in 0..400 {
                let base = packets::random(&mut rng, Link::Ethernet, &pool);
                let sample = packets::guided(&mut rng, &cbpf, &base);
                let (verdict, calls) = program.run(&sample, &[0; 256]).expect("it runs");
                accepted += usize::from(verdict);
                most = most.max(calls);
            }
            assert!(accepted > 10, "{text}: too few packets match to say anything");
            assert!(most <= limit, "{text} with {access:?}: {most} calls of the helper, {limit} allowed");
        }
    }
}

/// The verifier of the running kernel takes every program. Where programs cannot be loaded there is nothing to test.
#[test]
fn the_verifier_accepts_every_filter() {
    if !kernel_runs_ebpf() {
        return;
    }
    let mut loaded = 0;
    let lists = [
        (0..300).map(|n| format!("10.0.{}.{}", n / 250, n % 250)).collect::<Vec<_>>().join(" or "),
        (0..40).map(|n| format!("fd00::{n:x}")).collect::<Vec<_>>().join(" or "),
    ];
    let long = lists.into_iter().map(|list| (&[Link::Ethernet, Link::Raw][..], format!("host {list}")));
    for (links, text) in support::corpus().map(|(links, text)| (links, text.to_owned())).chain(long) {
        for &link in links {
            let Ok(graph) = compile(&text, link_type(link), &names::Builtin) else { continue };
            for &access in machine::in_kernel() {
                if let Err(message) = Loaded::new(&graph, access) {
                    panic!("{link:?} {text}\n{message}");
                }
                loaded += 1;
            }
        }
    }
    println!("{loaded} programs loaded");
    assert!(loaded > 150);
}

#[test]
fn what_the_caller_does_not_know_cannot_be_asked() {
    let mut a = Asm::new("filter");
    let needs = Needs::of(&graph("greater 100 and outbound", LinkType::En10Mb));
    assert_eq!(needs.metadata, [Metadata::Length, Metadata::PacketType]);
    let packet = Packet::new(Place::Reg(R7), Place::Reg(R8));
    let error = StackWindow::new(&mut a, &needs, packet, Indexing::Stack).unwrap_err();
    assert_eq!(error, Error::Missing(Metadata::Length));
    for (which, sentence) in [
        (Metadata::Length, "the filter asks for the packet's length, which is not known here"),
        (Metadata::PacketType, "the filter asks for the packet's direction, which is not known here"),
        (Metadata::Interface, "the filter asks for the packet's interface, which is not known here"),
    ] {
        assert_eq!(Error::Missing(which).to_string(), sentence);
    }
}

#[test]
fn types_that_can_match() {
    let types = |text: &str| ebpf::ether_types(&graph(text, LinkType::En10Mb)).map(Vec::from_iter);
    assert_eq!(types("host 10.0.0.1 and udp port 53"), Some(vec![0x800]));
    assert_eq!(types("port 53"), Some(vec![0x800, 0x86dd]));
    assert_eq!(types("arp or icmp"), Some(vec![0x800, 0x806]));
    assert_eq!(types("vlan and ip"), Some(vec![0x8100, 0x88a8, 0x9100]));
    assert_eq!(types("not ip"), None);
    assert_eq!(types("greater 100"), None);
    assert_eq!(types("greater 100 and ip6"), Some(vec![0x86dd]));
    assert_eq!(types(""), None);
    assert_eq!(ebpf::ether_types(&graph("ip", LinkType::Raw)), None);
}

/// The loop of `protochain` is unrolled: eight headers are followed, in a longer chain nothing is found.
#[test]
fn chains_of_headers_have_a_limit() {
    let graph = graph("ip6 protochain 6", LinkType::Raw);
    let cbpf = filter_compiler::to_cbpf(&graph).expect("it fits");
    for headers in 0..12 {
        let mut data = vec![0; 40];
        (data[0], data[6]) = (0x60, 6);
        for _ in 0..headers {
            // Destination options of eight bytes; what was next comes after them.
            let next = std::mem::replace(&mut data[6], 60);
            data.splice(40..40, [next, 0, 0, 0, 0, 0, 0, 0]);
        }
        let sample = packets::Sample { wire_len: data.len() as u32, data };
        assert!(judge::run(&cbpf, &sample).accepted());
        for access in machine::ALL {
            let (accepted, _) = Interpreted::new(&graph, access).expect("it fits").run(&sample, &[]).expect("it runs");
            assert_eq!(accepted, headers <= judge::CHAIN_STEPS, "{headers} headers");
        }
    }
}

/// Found by fuzzing: every place behind a `geneve` is computed from those before it, time and again.
#[test]
fn a_filter_that_no_jump_can_leave_is_refused_early() {
    for tunnels in 1..=4 {
        let text = vec!["geneve"; tunnels].join(" and ");
        let graph = compile(&text, LinkType::En10Mb, &names::Builtin).expect("a filter");
        let emitted = Interpreted::new(&graph, Access::SecondRead).map(drop);
        let too_long = "the filter takes more than 32000 instructions of eBPF".to_string();
        assert_eq!(emitted, if tunnels < 4 { Ok(()) } else { Err(too_long) }, "{text}");
    }
}

/// `igrp[-1]` is the byte before the transport header, also where a link has no header in front: the sum is computed.
#[test]
fn an_index_from_before_the_header_wraps_in_the_sum() {
    let graph = compile("igrp[-1] < 17", LinkType::Raw, &names::Builtin).expect("an expression");
    let mut packet = vec![0; 20];
    (packet[0], packet[9]) = (0x45, 9);
    let program = filter_compiler::to_cbpf(&graph).expect("it is small");
    let verdict = |packet: &[u8]| program.run(&filter_compiler::cbpf::Packet::whole(packet)).accepted();
    assert!(verdict(&packet));
    packet[19] = 17;
    assert!(!verdict(&packet));
}
