//! What holds for every program: size, stack, opcodes, and what a packet costs that does not match.

use asm::{Cpu, Helper, Op, Program, decode, encode};
use whither::plan::Memory;

use super::objects::Skb;
use super::packets::{ethernet, ipv4, udp};
use super::rig::Rig;

/// Every recorded host with every way in that it has, and without some of its features.
const HOSTS: [(&str, &str, &[&str]); 9] = [
    ("5.10-x86_64", "", &[]),
    ("5.10-x86_64", "--backend fentry", &[]),
    ("5.10-x86_64", "--backend tracepoint", &[]),
    ("6.1-x86_64", "", &[]),
    ("6.12-x86_64", "", &[]),
    ("6.12-x86_64", "", &["cast", "cookie"]),
    ("6.12-x86_64", "", &["cast", "ring"]),
    ("7.2-x86_64", "", &[]),
    ("6.18-x86_64", "--backend tracepoint", &["ring"]),
];

/// A few functions of all positions, and tracepoints.
const TARGETS: &str = "--filter-func 'kfree_skb.*|sk_skb_reason_drop|ip_(rcv|output|local_out)|ip6_output|net_dev_.*'";

/// BPF programs, too.
const PROGRAMS: &str = "--filter-trace-tc --filter-trace-xdp";

/// Columns, from none to all.
const COLUMNS: [&str; 3] = [
    "--output-meta=false --output-tuple=false",
    "",
    "--timestamp absolute --output-skb-cb --output-caller --output-netns-names --output-tcp-flags --output-tunnel",
];

const EXPRESSIONS: [&str; 9] = [
    "",
    "icmp",
    "host 10.0.0.2 and udp port 5001",
    "--filter-mark 0xa00/0xf00 --filter-netns inode:4026531840 tcp port 80",
    "vlan 5",
    "vlan and tcp[tcpflags] & tcp-syn != 0 and ip6 or len > 100 and inbound",
    "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420",
    "ip6 protochain 6 or ip[ip[2:2]] = 5",
    "geneve and host 10.0.0.2 and port 80",
];

fn all(check: impl Fn(&str, &Rig, &Program)) {
    for (host, flags, without) in HOSTS {
        for columns in COLUMNS {
            for expression in EXPRESSIONS {
                let args = format!("{TARGETS} {PROGRAMS} {flags} {columns} {expression}");
                let rig = Rig::new(host, &args, without);
                for blueprint in &rig.programs.programs {
                    check(&format!("{host} without {without:?}: {args}"), &rig, &blueprint.code);
                }
            }
        }
    }
}

#[test]
fn every_kernel_can_decode_every_program() {
    all(|case, rig, program| {
        let slots = program.encode_unresolved();
        let decoded = decode(&slots).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(decoded, program.insns(), "{case}");
        let again: Vec<u64> = decoded
            .iter()
            .flat_map(|insn| {
                let (first, second) = encode(&insn.op);
                [Some(first), second].into_iter().flatten()
            })
            .collect();
        assert_eq!(again, slots, "{case}");
        assert!(program.stack_size() <= 512, "{case}: {} bytes of stack", program.stack_size());
        assert!(slots.len() <= 4096, "{case}: {} slots", slots.len());
        for insn in program.insns() {
            assert_eq!(insn.op.needs(), Cpu::V3, "{case}: {}", insn.op);
            let is_cast = matches!(insn.op, Op::CallKfunc { .. });
            assert!(!is_cast || matches!(rig.plan.memory, Memory::Cast { .. }), "{case}: a cast");
        }
    });
}

#[test]
fn usual_programs_are_short() {
    for (host, flags, without) in HOSTS {
        let args = format!("{TARGETS} {flags} host 10.0.0.2 and udp port 5001");
        let rig = Rig::new(host, &args, without);
        // The expression is there twice, the second time for plain IPv4.
        let limit = if rig.plan.memory == Memory::Read { 400 } else { 350 };
        for blueprint in &rig.programs.programs {
            let slots = blueprint.code.slots();
            assert!(slots <= limit, "{host} {flags}: {slots} slots, {limit} allowed\n{}", blueprint.code);
        }
    }
}

#[test]
fn a_packet_that_does_not_match_is_cheap() {
    // Of programs that read by helper: the skb, the packet, and what is behind a header of variable length.
    for (expression, reads) in [
        ("--filter-mark 5", 1),
        ("icmp", 2),
        ("host 10.0.0.2", 2),
        ("udp and host 10.0.0.2", 2),
        ("--filter-mark 5 icmp", 2),
        ("vlan 5", 2),
        ("host 10.0.0.2 and udp port 5001", 3),
    ] {
        for (host, flags, without) in HOSTS {
            let rig = Rig::new(host, &format!("{TARGETS} {PROGRAMS} {flags} {expression}"), without);
            let limit = if rig.plan.memory == Memory::Read { reads } else { 0 };
            for blueprint in &rig.programs.programs {
                let calls = helpers_until_reject(&blueprint.code);
                assert!(
                    calls <= limit,
                    "{host} {flags} {expression}: {calls} helpers, {limit} allowed\n{}",
                    blueprint.code
                );
            }
        }
    }
}

/// What an expression costs, whether the packet matches or not: beside the one read of the skb's members, the window of
/// its headers and what is behind a header of variable length. Plain loads call nothing.
#[test]
fn usual_expressions_read_a_packet_at_most_twice() {
    for (expression, reads) in
        [("icmp", 1), ("host 10.0.0.1 and tcp port 80", 2), ("tcp[tcpflags] & tcp-syn != 0", 2), ("ip6 host ::1", 1)]
    {
        for (host, flags, without) in HOSTS {
            let rig = Rig::new(host, &format!("{TARGETS} {flags} {expression}"), without);
            let limit = if rig.plan.memory == Memory::Read { 1 + reads } else { 0 };
            for blueprint in &rig.programs.programs {
                let calls = helpers_until_verdict(&blueprint.code);
                assert!(
                    calls <= limit,
                    "{host} {flags} {expression}: {calls} helpers, {limit} allowed\n{}",
                    blueprint.code
                );
            }
        }
    }
}

#[test]
fn a_packet_of_other_hosts_costs_two_reads() {
    let frame = ethernet(0x0800, &ipv4(17, [192, 0, 2, 1], [192, 0, 2, 2], &[], &udp(40000, 5001, b"hello")));
    for (without, limit) in [(&[][..], 0), (&["cast"], 2)] {
        let rig = Rig::new("6.12-x86_64", "--filter-func ip_rcv host 10.0.0.2 and udp port 5001", without);
        let hit = rig.hit("ip_rcv", &Skb::frame(&frame, 64));
        assert!(hit.event.is_none());
        assert!(hit.outcome.helpers <= limit, "{} helpers", hit.outcome.helpers);
        assert!(
            hit.outcome.steps <= if limit == 0 { 45 } else { 60 },
            "{} instructions\n{}",
            hit.outcome.steps,
            rig.programs
        );
    }
}

/// The most helper calls on any path to the end that makes no room for a record.
fn helpers_until_reject(program: &Program) -> usize {
    most_helpers(program, false)
}

/// The most helper calls on any path to where it is known whether the packet matches.
fn helpers_until_verdict(program: &Program) -> usize {
    most_helpers(program, true)
}

/// Packets that are cut short are rare: asking whether they go on in fragments does not count.
fn most_helpers(program: &Program, until_match: bool) -> usize {
    let insns = program.insns();
    let starts: Vec<usize> =
        insns.iter().scan(0, |at, insn| Some(std::mem::replace(at, *at + insn.op.slots()))).collect();
    // All jumps go forward, so one pass from the end is enough. None: every path sends something.
    let mut most: Vec<Option<usize>> = vec![None; insns.len()];
    for index in (0..insns.len()).rev() {
        let next = starts[index] + insns[index].op.slots();
        let at = |distance: i16| {
            let target = starts.binary_search(&(next + usize::try_from(distance).expect("no jump goes back")));
            most[target.expect("jumps lead to instructions")]
        };
        let is_short = insns[index].note() == Some("skb->data_len");
        let is_match = insns[index].note() == Some("is the run over?");
        most[index] = match insns[index].op {
            _ if is_short => None,
            _ if until_match && is_match => Some(0),
            Op::Exit => Some(0),
            Op::Jump { offset } => at(offset),
            Op::Branch { offset, .. } => at(offset).max(at(0)),
            Op::Call(Helper::RingbufReserve | Helper::PerfEventOutput) => None,
            Op::Call(_) => at(0).map(|calls| calls + 1),
            _ => at(0),
        };
    }
    most[0].expect("some packets are rejected")
}
