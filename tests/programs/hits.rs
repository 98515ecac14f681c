//! What programs send for one skb, on every kind of kernel and by every way in.

use whither::decode::{Function, Network, Ports, Tuple};
use whither::record::{Dump, Field};

use super::machine::{self, STACK_FRAMES, Surroundings};
use super::objects::{Device, Objects, Route, Skb};
use super::packets::{arp, ethernet, ipv4, ipv6, tagged, tcp, udp};
use super::rig::{Hit, REASON, RETURN, Rig};

/// Kernels and ways in: host, flags, features taken away, the target that is hit.
const EVERYWHERE: [(&str, &str, &[&str], &str); 10] = [
    ("5.10-x86_64", "", &[], "ip_rcv"),
    // A trampoline beside kprobes.
    ("6.1-x86_64", "", &[], "ip_rcv"),
    ("6.1-x86_64", "--backend kprobe", &[], "ip_rcv"),
    ("6.1-x86_64", "--event-buffer perf", &[], "ip_rcv"),
    ("6.1-x86_64", "--backend fentry", &[], "ip_rcv"),
    ("5.10-x86_64", "--backend tracepoint", &[], "net_dev_queue"),
    ("6.12-x86_64", "", &[], "ip_rcv"),
    ("6.12-x86_64", "", &["cast"], "ip_rcv"),
    ("7.2-x86_64", "", &[], "ip_rcv"),
    ("6.18-x86_64", "--backend tracepoint", &[], "net_dev_queue"),
];

/// Calls `check` with programs for `args`, of every kind.
fn everywhere(args: &str, check: impl Fn(&Rig, &dyn Fn(&Skb) -> Hit)) {
    for (host, flags, without, target) in EVERYWHERE {
        let rig = Rig::new(host, &format!("--filter-func 'ip_rcv|net_dev_queue' {flags} {args}"), without);
        let hit = |skb: &Skb| {
            let around = Surroundings::default();
            let hit = rig.hit_with(target, skb, &around);
            assert_eq!(hit.outcome.lost, around.lost, "{host} {flags}");
            hit
        };
        check(&rig, &hit);
    }
}

/// Asserts that the expression holds for some skbs and not for others.
fn matches(expression: &str, yes: &[Skb], no: &[Skb]) {
    everywhere(expression, |rig, hit| {
        for (n, skb) in yes.iter().enumerate() {
            assert!(hit(skb).event.is_some(), "`{expression}` does not match packet {n}\n{}", rig.programs);
        }
        for (n, skb) in no.iter().enumerate() {
            assert!(hit(skb).event.is_none(), "`{expression}` matches packet {n}\n{}", rig.programs);
        }
        // User space, where the kernel does not take the expression, comes to the same.
        let Some(late) = rig.matching_late() else { return };
        let target = &rig.plan.targets[0].name;
        for (skb, wanted) in yes.iter().map(|skb| (skb, true)).chain(no.iter().map(|skb| (skb, false))) {
            let (early, hit) = (hit(skb).event, late.hit(target, skb));
            let late_event = late.judge(&hit);
            assert_eq!(late_event.is_some(), wanted, "`{expression}` in user space, {skb:?}\n{}", late.programs);
            if let (Some(early), Some(late)) = (early, late_event) {
                assert_eq!((early.tuple, early.meta), (late.tuple, late.meta), "`{expression}`");
            }
        }
    });
}

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];
const A6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const B6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;

const PORTS: Option<Ports> = Some(Ports { source: 40000, destination: 5001 });

fn datagram() -> Vec<u8> {
    ethernet(IPV4, &ipv4(17, A, B, &[], &udp(40000, 5001, b"hello")))
}

fn frame(payload: &[u8]) -> Skb {
    Skb::frame(&ethernet(IPV4, payload), 64)
}

#[test]
fn a_datagram_is_told_whole() {
    everywhere("--timestamp relative --output-skb-cb --output-caller host 10.0.0.2 and udp port 5001", |rig, hit| {
        let mut skb = Skb::frame(&datagram(), 64);
        skb.mark = 0xc0ff_ee00;
        skb.cb = [1, 2, 3, 0xffff_ffff, 5];
        let hit = hit(&skb);
        let event = hit.event.unwrap_or_else(|| panic!("it matches\n{}", rig.programs));
        let around = Surroundings::default();
        match event.function {
            Function::Index(index) => assert_eq!(rig.plan.targets[index as usize].skb_arg, 1),
            Function::Address(address) => assert!(rig.plan.targets[0].addresses.contains(&address)),
            Function::Unknown => panic!("the function is known"),
        }
        assert_eq!(event.skb, hit.skb);
        assert_eq!((event.pid, event.cpu, event.comm), (around.pid.0, around.cpu, around.comm));
        assert_eq!((event.time, event.lost), (around.time, around.lost as u32));
        assert_eq!(event.reason, None);
        let has_caller = rig.programs.programs[0].code.name().starts_with("whither_arg");
        assert_eq!(event.caller, if has_caller { RETURN } else { 0 });
        assert_eq!(rig.plan.layout.has(Field::Frames), !has_caller, "the caller is on the stack");
        assert_eq!((event.meta.netns, event.meta.ifindex, event.meta.mtu), (4_026_532_000, 7, 1500));
        assert_eq!((event.meta.mark, event.meta.len, event.meta.protocol), (0xc0ff_ee00, skb.len, IPV4));
        assert_eq!(event.cb, skb.cb);
        assert_eq!(event.tuple.network, Network::Ipv4 { source: A, destination: B });
        assert_eq!((event.tuple.protocol, event.tuple.ports), (17, PORTS));
        assert_eq!(hit.headers, datagram()[14..]);
        assert!(!hit.outcome.woken);
    });
}

#[test]
fn every_byte_of_a_field_is_written() {
    everywhere("--timestamp relative --output-skb-cb --output-caller", |rig, hit| {
        let record = hit(&Skb::frame(&datagram(), 64)).outcome.record.expect("everything matches");
        let layout = &rig.plan.layout;
        for field in Field::ALL {
            let Some(bytes) = layout.bytes(&record, field) else { continue };
            assert!(field == Field::Headers || !bytes.contains(&0xee), "{field:?} {bytes:x?}\n{}", rig.programs);
        }
    });
}

#[test]
fn addresses_and_ports_are_compared() {
    let other_port = frame(&ipv4(17, A, B, &[], &udp(40000, 5002, &[])));
    let other_host = frame(&ipv4(17, A, [10, 0, 0, 3], &[], &udp(40000, 5001, &[])));
    let other_protocol = frame(&ipv4(6, A, B, &[], &tcp(40000, 5001, 2, &[])));
    let back = frame(&ipv4(17, B, A, &[], &udp(5001, 40000, &[])));
    let options = frame(&ipv4(17, A, B, &[1; 40], &udp(40000, 5001, &[])));
    let mut fragment = ipv4(17, A, B, &[], &udp(40000, 5001, &[]));
    fragment[7] = 100;
    matches(
        "host 10.0.0.2 and udp port 5001",
        &[Skb::frame(&datagram(), 64), back, options],
        &[other_port, other_host, other_protocol, frame(&fragment)],
    );
}

#[test]
fn packets_without_a_link_header_match_too() {
    let udp4 = Skb::frame(&datagram(), 64).without_link();
    let udp6 = Skb::frame(&ethernet(IPV6, &ipv6(17, A6, B6, &udp(40000, 5001, &[]))), 64).without_link();
    matches("udp port 5001", &[udp4.clone(), udp6.clone()], &[]);
    matches("ip", std::slice::from_ref(&udp4), std::slice::from_ref(&udp6));
    matches("ip6 host fd00::2", std::slice::from_ref(&udp6), std::slice::from_ref(&udp4));
    // Addresses of a header that is not there.
    matches("ether host 02:00:00:00:00:01", &[Skb::frame(&datagram(), 64)], &[udp4, udp6]);
}

/// The virtual link header of a packet that begins where its buffer does would begin before it.
#[test]
fn a_packet_at_the_start_of_its_buffer_matches() {
    let skb = Skb::frame(&datagram(), 0).without_link();
    for network in [14, 12, 4, 1] {
        let mut skb = skb.clone();
        skb.buffer.drain(..usize::from(skb.network_header) - network);
        (skb.data, skb.tail) = (network, network + datagram().len() - 14);
        skb.network_header = network as u16;
        matches("udp port 5001 and host 10.0.0.2", &[skb], &[]);
    }
}

/// A link header that is not in front of the network header is that of another time: the packet went through a tunnel.
#[test]
fn a_stale_link_header_does_not_count() {
    let mut skb = Skb::frame(&datagram(), 128);
    skb.mac_header = 60;
    matches("udp port 5001", std::slice::from_ref(&skb), &[]);
    skb.mac_header = 300;
    matches("udp port 5001", &[skb], &[]);
}

/// Netlink sets both headers to where its message begins, the start of the buffer. Its bytes may look like anything.
#[test]
fn a_netlink_message_is_no_packet() {
    let mut skb = Skb::frame(&datagram(), 0);
    skb.network_header = 0;
    matches("udp port 5001", &[], std::slice::from_ref(&skb));
    matches("ip", &[], std::slice::from_ref(&skb));
    everywhere("", |rig, hit| {
        let hit = hit(&skb);
        assert!(hit.event.is_some_and(|event| event.tuple == Tuple::default()), "{}", rig.programs);
    });
}

#[test]
fn the_link_header_is_enough_early_on_the_receive_side() {
    let mut skb = Skb::frame(&datagram(), 64);
    skb.network_header = 0;
    for filters in ["", "--filter-mark 0", "host 10.0.0.2 and udp port 5001"] {
        everywhere(filters, |rig, hit| {
            let hit = hit(&skb);
            let event = hit.event.unwrap_or_else(|| panic!("it matches\n{}", rig.programs));
            assert_eq!(event.tuple.network, Network::Ipv4 { source: A, destination: B });
            assert_eq!(event.tuple.ports, PORTS);
            assert_eq!(hit.headers, datagram()[14..]);
        });
    }
}

#[test]
fn what_is_no_network_packet_matches_nothing() {
    // A netlink message, a datagram of AF_UNIX with the text of a frame, an skb that is still being built.
    let netlink = Skb::bare(&[0x14, 0, 0, 0, 0x12, 0, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
    let unix = Skb::bare(&datagram());
    let mut odd = Skb::bare(&[0; 64]);
    odd.network_header = 16;
    for expression in ["icmp", "ip", "host 10.0.0.2", "not ip", "greater 1", "len >= 0 or vlan"] {
        matches(expression, &[], &[netlink.clone(), unix.clone(), odd.clone()]);
    }
    everywhere("", |_, hit| {
        for skb in [&netlink, &unix] {
            let hit = hit(skb);
            let event = hit.event.expect("without an expression everything is traced");
            assert_eq!((event.tuple.network, event.meta.len), (Network::Unknown, skb.len));
            assert!(hit.headers.is_empty());
        }
    });
}

#[test]
fn a_tag_beside_the_packet_is_put_back_where_vlans_are_asked_for() {
    let mut beside = Skb::frame(&datagram(), 64);
    beside.tag = Some((VLAN, 0x6005));
    let mut other = beside.clone();
    other.tag = Some((VLAN, 0x6006));
    let mut within = Skb::frame(&tagged(&datagram(), VLAN, 5), 64);
    within.network_header += 4;
    let untagged = Skb::frame(&datagram(), 64);
    matches("vlan 5", &[beside.clone(), within.clone()], &[other.clone(), untagged.clone()]);
    matches("vlan 5 and udp port 5001", &[beside.clone(), within.clone()], &[other.clone(), untagged.clone()]);
    matches("vlan and host 10.0.0.3", &[], &[beside.clone(), within.clone(), other.clone(), untagged.clone()]);
    // Others see the packet as it is after the tag was taken out.
    matches("udp port 5001", &[beside.clone(), other.clone(), untagged.clone()], std::slice::from_ref(&within));
    // The tag counts in the length, wherever it is; a tag may be for priority alone.
    matches(&format!("vlan 5 and len = {}", datagram().len() + 4), &[beside, within.clone()], &[]);
    let mut priority = untagged.clone();
    priority.tag = Some((VLAN, 0));
    matches("vlan 0 and udp", &[priority], std::slice::from_ref(&untagged));
    // Two tags: the outer one beside the packet.
    let mut both = within;
    both.tag = Some((0x88a8, 7));
    matches("vlan 7 and vlan 5 and udp port 5001", std::slice::from_ref(&both), &[untagged]);
    matches("vlan 5 and vlan 7", &[], &[both]);
}

#[test]
fn a_frame_with_its_tag_inside_shows_its_tuple() {
    let mut skb = Skb::frame(&tagged(&datagram(), VLAN, 5), 64);
    everywhere("vlan 5", |_, hit| assert_eq!(hit(&skb).event.expect("it matches").tuple.ports, PORTS));
    skb.network_header += 4;
    everywhere("vlan 5", |_, hit| assert_eq!(hit(&skb).event.expect("it matches").tuple.ports, PORTS));
}

#[test]
fn ipv6_and_arp_are_told() {
    let packet = ipv6(6, A6, B6, &tcp(1000, 443, 0x12, &[]));
    everywhere("--output-tcp-flags ip6 and tcp", |_, hit| {
        let event = hit(&Skb::frame(&ethernet(IPV6, &packet), 64)).event.expect("it matches");
        assert_eq!(event.tuple.network, Network::Ipv6 { source: A6, destination: B6 });
        assert_eq!(event.tuple.ports, Some(Ports { source: 1000, destination: 443 }));
        assert_eq!((event.tuple.protocol, event.tuple.tcp_flags, event.meta.protocol), (6, 0x12, IPV6));
    });
    everywhere("arp", |_, hit| {
        let event = hit(&Skb::frame(&ethernet(ARP, &arp(A, B)), 64)).event.expect("it matches");
        assert_eq!(event.tuple.network, Network::Arp { sender: A, target: B });
    });
}

#[test]
fn the_namespace_is_that_of_the_device_or_else_of_the_socket() {
    let netns = |dev: Option<u32>, sk: Option<u32>| {
        let mut skb = Skb::frame(&datagram(), 64);
        skb.dev = dev.map(|netns| Device { ifindex: 7, mtu: 1500, netns });
        skb.sk = sk;
        skb
    };
    let cases = [
        (Some(1), Some(2), 1),
        (Some(1), None, 1),
        (None, Some(2), 2),
        (None, None, 0),
        (Some(0), Some(2), 2),
        (Some(0), None, 0),
    ];
    everywhere("", |rig, hit| {
        for (dev, sk, expected) in cases {
            let event = hit(&netns(dev, sk)).event.expect("everything matches");
            assert_eq!(event.meta.netns, expected, "{dev:?} {sk:?}\n{}", rig.programs);
            let device = if dev.is_some() { (7, 1500) } else { (0, 0) };
            assert_eq!((event.meta.ifindex, event.meta.mtu), device);
        }
    });
    for expression in ["", "udp port 5001"] {
        everywhere(&format!("--filter-netns inode:2 {expression}"), |rig, hit| {
            for (dev, sk, found) in cases {
                let is_shown = hit(&netns(dev, sk)).event.is_some();
                assert_eq!(is_shown, found == 2, "{dev:?} {sk:?}\n{}", rig.programs);
            }
        });
    }
}

#[test]
fn marks_are_compared_under_their_mask() {
    let marked = |mark| {
        let mut skb = Skb::frame(&datagram(), 64);
        skb.mark = mark;
        skb
    };
    let (a, b, c) = (marked(0xffff_fa00), marked(0xa00), marked(0xb00));
    matches("--filter-mark 0xa00/0xf00", &[a.clone(), b.clone()], std::slice::from_ref(&c));
    matches("--filter-mark 0xa00", std::slice::from_ref(&b), &[a.clone(), c]);
    matches("--filter-mark 0xfffffa00 udp", &[a], &[b]);
}

#[test]
fn an_interface_is_one_of_its_namespace() {
    let on = |ifindex, netns| {
        let mut skb = Skb::frame(&datagram(), 64);
        skb.dev = Some(Device { ifindex, mtu: 1500, netns });
        skb
    };
    let mut nowhere = on(2, 4_026_531_840);
    nowhere.dev = None;
    nowhere.sk = Some(4_026_531_840);
    for without in [&[][..], &["cast"]] {
        let rig = Rig::new("6.12-x86_64", "--filter-func ip_rcv --filter-ifname eth0 udp", without);
        let shown = |skb: &Skb| rig.hit("ip_rcv", skb).event.is_some();
        assert!(shown(&on(2, 4_026_531_840)));
        assert!(!shown(&on(3, 4_026_531_840)));
        assert!(!shown(&on(2, 4_026_532_000)));
        assert!(!shown(&nowhere));
    }
}

#[test]
fn the_mtu_is_that_of_the_route() {
    let skb = |route| {
        let mut skb = Skb::frame(&datagram(), 64);
        skb.route = Some(route);
        skb
    };
    everywhere("", |rig, hit| {
        for is_borrowed in [false, true] {
            for (metric, mtu) in [(1400, 1400), (0, 9000)] {
                let route = Route { metric, device_mtu: 9000, is_borrowed };
                assert_eq!(hit(&skb(route)).event.expect("all match").meta.mtu, mtu, "{route:?}\n{}", rig.programs);
            }
        }
    });
    // Without a device the route has one, all the same.
    let mut lone = skb(Route { metric: 0, device_mtu: 1280, is_borrowed: false });
    lone.dev = None;
    everywhere("", |_, hit| assert_eq!(hit(&lone).event.expect("all match").meta.mtu, 1280));
}

#[test]
fn length_direction_and_interface_can_be_asked_for() {
    // `data` is behind the link header: len counts from the first header that is there.
    let frame = Skb::frame(&datagram(), 64);
    let bytes = datagram().len();
    let bare = frame.clone().without_link();
    let mut at_link = frame.clone();
    at_link.data -= 14;
    at_link.len += 14;
    let mut behind = frame.clone();
    behind.data += 28;
    behind.len -= 28;
    matches(&format!("len = {bytes}"), &[frame.clone(), at_link, behind], std::slice::from_ref(&bare));
    matches(&format!("len = {}", bytes - 14), std::slice::from_ref(&bare), std::slice::from_ref(&frame));
    // Data beyond the linear part counts, but is not there.
    let mut paged = frame.clone();
    paged.len += 1000;
    matches(&format!("len = {} and udp", bytes + 1000), std::slice::from_ref(&paged), std::slice::from_ref(&frame));
    matches("udp[200] = 0 or udp[13] = 0", &[], &[paged]);
    let mut out = frame.clone();
    out.pkt_type = 4;
    matches("outbound", std::slice::from_ref(&out), std::slice::from_ref(&frame));
    matches("inbound and udp", &[frame], &[out]);
}

#[test]
fn what_is_not_captured_does_not_match() {
    let whole = Skb::frame(&datagram(), 64);
    for cut in 1..=whole.tail - 64 {
        let mut skb = whole.clone();
        skb.tail -= cut;
        let captured = skb.tail - 64;
        for (expression, needed) in
            [("udp dst port 5001", 38), ("ip", 14), ("host 10.0.0.2", 34), ("udp[8] = 0x68", 43)]
        {
            let rig = Rig::new("6.12-x86_64", &format!("--filter-func ip_rcv {expression}"), &["cast"]);
            let cast = Rig::new("6.12-x86_64", &format!("--filter-func ip_rcv {expression}"), &[]);
            for rig in [rig, cast] {
                let is_shown = rig.hit("ip_rcv", &skb).event.is_some();
                assert_eq!(is_shown, captured >= needed, "`{expression}` of {captured} bytes\n{}", rig.programs);
            }
        }
        // A frame of which the network header is missing still shows what there is.
        let all = Rig::new("6.12-x86_64", "--filter-func ip_rcv", &[]);
        let hit = all.hit("ip_rcv", &skb);
        assert!(hit.event.is_some());
        assert_eq!(hit.headers, &datagram()[14..][..captured.saturating_sub(14)]);
    }
}

/// What lies in fragments is not read. Nobody may take that for an answer.
#[test]
fn packets_that_go_on_in_fragments_are_counted() {
    let mut paged = Skb::frame(&datagram(), 64);
    paged.tail -= 5;
    paged.data_len = 5;
    let mut ends = paged.clone();
    (ends.len, ends.data_len) = (ends.len - 5, 0);
    let mut tag = paged.clone();
    tag.tag = Some((VLAN, 5));
    let mut early = paged.clone();
    (early.tail, early.data_len) = (64 + 14, 33);
    let bare = early.clone().without_link();
    for (expression, skb, unread) in [
        ("udp[8] = 0x68", &paged, 1),
        ("udp[8] = 0x68", &ends, 0),
        ("udp[udp[0] - 148] = 0x68", &paged, 1),
        ("udp[udp[0] - 148] = 0x68", &ends, 0),
        ("udp[4000] = 0x68", &paged, 1),
        ("vlan 5 and udp[8] = 0x68", &tag, 1),
        ("vlan 5 and udp[udp[0] - 148] = 0x68", &tag, 1),
        ("vlan 6 and udp[8] = 0x68", &tag, 0),
        ("vlan 5 and udp[8] = 0x68", &paged, 0),
        ("tcp[8] = 0x68", &paged, 0),
        // Whether all bytes are there is asked once for both tests: this one might match, for all that is known.
        ("udp port 5002 and udp[8] = 0x68", &paged, 1),
        ("udp port 5002 and udp[udp[0] - 148] = 0x68", &paged, 0),
        ("udp", &early, 1),
        ("udp", &bare, 1),
        ("ip6 or ip", &early, 0),
        ("--filter-mark 1 udp", &early, 0),
    ] {
        everywhere(expression, |rig, hit| {
            let hit = hit(skb);
            let matches = expression == "ip6 or ip";
            assert_eq!(
                (hit.event.is_some(), hit.outcome.unread),
                (matches, unread),
                "`{expression}`\n{}",
                rig.programs
            );
        });
    }
}

#[test]
fn reasons_are_told_of_functions_that_have_one() {
    let skb = Skb::frame(&datagram(), 64);
    for (host, name) in [("6.1-x86_64", "kfree_skb_reason"), ("6.12-x86_64", "sk_skb_reason_drop")] {
        for backend in ["", "--backend kprobe", "--backend fentry"] {
            let args = format!("--filter-func '{name}|ip_rcv|consume_skb' {backend}");
            let rig = Rig::new(host, &args, &[]);
            let told = rig.hit(name, &skb).event.expect("everything matches");
            assert_eq!(told.reason, Some(REASON as u32), "{args}\n{}", rig.programs);
            for other in ["ip_rcv", "consume_skb"] {
                assert_eq!(rig.hit(other, &skb).event.expect("everything matches").reason, None, "{args} {other}");
            }
        }
    }
    let rig = Rig::new("6.18-x86_64", "--backend tracepoint", &[]);
    assert_eq!(rig.hit("kfree_skb", &skb).event.expect("everything matches").reason, Some(REASON as u32));
    assert_eq!(rig.hit("net_dev_queue", &skb).event.expect("everything matches").reason, None);
}

#[test]
fn every_target_is_told_apart() {
    let skb = Skb::frame(&datagram(), 64);
    for (host, args) in [
        ("5.10-x86_64", ""),
        ("6.1-x86_64", ""),
        ("6.12-x86_64", ""),
        ("5.10-x86_64", "--backend tracepoint"),
        ("6.18-x86_64", "--backend tracepoint"),
    ] {
        let rig = Rig::new(host, args, &[]);
        for (index, target) in rig.plan.targets.iter().enumerate() {
            let hit = rig.hit(&target.name, &skb);
            let event = hit.event.expect("everything matches");
            match event.function {
                Function::Index(found) => assert_eq!(found as usize, index, "{host} {}", target.name),
                Function::Address(address) => assert_eq!(address, target.addresses[0], "{host} {}", target.name),
                Function::Unknown => panic!("{host} {} is unknown", target.name),
            }
            assert_eq!(event.skb, hit.skb, "{host} {}", target.name);
        }
    }
}

#[test]
fn a_record_without_room_is_counted() {
    everywhere("udp", |rig, _| {
        let around = Surroundings { room: false, ..Surroundings::default() };
        let hit = rig.hit_with(&rig.plan.targets[0].name, &Skb::frame(&datagram(), 64), &around);
        assert!(hit.event.is_none());
        assert_eq!(hit.outcome.lost, around.lost + 1, "{}", rig.programs);
    });
}

/// The end of a packet finds room when nothing else does, and is told apart by cookie, address or program.
#[test]
fn what_ends_a_packet_has_room_of_its_own() {
    let skb = Skb::frame(&datagram(), 64);
    let full = Surroundings { room: false, ..Surroundings::default() };
    for (host, flags, without) in [
        ("5.10-x86_64", "", &[][..]),
        ("5.10-x86_64", "--backend fentry", &[]),
        ("5.10-x86_64", "--backend tracepoint", &[]),
        ("6.1-x86_64", "", &[]),
        ("6.12-x86_64", "", &[]),
        ("6.12-x86_64", "", &["cookie"]),
        ("6.18-x86_64", "--backend tracepoint", &[]),
    ] {
        let functions = "ip_rcv|net_dev_queue|.*consume_skb|.*kfree_skb.*|sk_skb_reason_drop|skb_release_data";
        let rig = Rig::new(host, &format!("--filter-func '{functions}' {flags} udp"), without);
        let mut ends = 0;
        for target in &rig.plan.targets {
            let case = format!("{host} {flags} {without:?} {}", target.name);
            let roomy = rig.hit(&target.name, &skb);
            assert_eq!((roomy.outcome.spared, roomy.event.is_some()), (None, true), "{case}");
            let hit = rig.hit_with(&target.name, &skb, &full);
            let is_end = !["ip_rcv", "net_dev_queue", "skb_release_data"].contains(&target.name.as_str());
            ends += usize::from(is_end);
            if is_end {
                assert_eq!(hit.outcome.spared, Some(machine::POSITION), "{case}\n{}", rig.programs);
                assert_eq!((hit.event, hit.outcome.lost), (roomy.event, full.lost), "{case}");
                let hit = rig.hit_with(&target.name, &skb, &Surroundings { spare: false, ..full.clone() });
                assert!(hit.event.is_none());
                assert_eq!(hit.outcome.lost, full.lost + 1, "{case}");
            } else {
                assert_eq!((hit.event.is_none(), hit.outcome.lost), (true, full.lost + 1), "{case}");
            }
        }
        assert!((1..rig.plan.targets.len()).contains(&ends), "{host} {flags}: {ends} ends");
    }
}

#[test]
fn a_reader_that_waits_is_woken() {
    let rig = Rig::new("6.12-x86_64", "--filter-func ip_rcv", &[]);
    let around = Surroundings { reader_waits: true, ..Surroundings::default() };
    assert!(rig.hit_with("ip_rcv", &Skb::frame(&datagram(), 64), &around).outcome.woken);
}

/// An skb that has no bytes yet, or none any more.
#[test]
fn without_a_filter_an_skb_without_bytes_is_told() {
    everywhere("", |rig, hit| {
        let mut skb = Skb::frame(&datagram(), 64);
        skb.tail = usize::from(skb.network_header);
        let hit = hit(&skb);
        assert!(hit.event.is_some_and(|event| event.tuple == Tuple::default()), "{}", rig.programs);
    });
}

/// A function may be called with NULL, or with a pointer that leads nowhere.
#[test]
fn an_skb_that_is_none_does_no_harm() {
    for expression in ["", "udp port 5001", "--filter-mark 1", "--filter-netns inode:1 vlan 5"] {
        for (host, flags, without, target) in EVERYWHERE {
            let args = format!("--filter-func 'ip_rcv|net_dev_queue' {flags} {expression}");
            let rig = Rig::new(host, &args, without);
            let memory = || Objects::new(rig.btf());
            let around = Surroundings::default();
            assert!(rig.enter(target, 0, memory(), &around).event.is_none(), "{host} {args}");
            let wild = rig.enter(target, 0x6b6b_6b6b_6b6b_6b6b, memory(), &around);
            assert_eq!(wild.event.is_some(), expression.is_empty(), "{host} {args}\n{}", rig.programs);
        }
    }
}

#[test]
fn expressions_about_fields_are_tests() {
    let yes = |expression: &str| {
        everywhere(&format!("--filter-skb-expr '{expression}' host 10.0.0.1"), |rig, hit| {
            let mut skb = Skb::frame(&datagram(), 64);
            skb.mark = 0x8000_0a00;
            assert!(hit(&skb).event.is_some(), "`{expression}` does not hold\n{}", rig.programs);
            skb.mark = 1;
            skb.dev = None;
            assert!(hit(&skb).event.is_none(), "`{expression}` holds\n{}", rig.programs);
        });
    };
    yes("skb->mark == 0x80000a00");
    yes("skb->mark > 0x7fffffff && skb->protocol == 0x0800");
    yes("skb->dev->ifindex == 7 && skb->dev->nd_net.net->ns.inum == 4026532000");
    yes("!(skb->dev->ifindex != 7)");
    let ip = "((struct iphdr *)(skb->head + skb->network_header))";
    yes(&format!("skb->mark != 1 && {ip}->saddr == 0x0a000001 && {ip}->protocol == 17"));
    yes("skb->mark & 0xf00 && ((unsigned char *)skb->data)[9] == 17");
}

#[test]
fn values_are_those_of_the_members() {
    let shown = "skb->mark,skb->dev->ifindex,skb->dev->name,skb->pkt_type,*(struct udphdr *)(skb->data + 20),skb->mark + 1,\
                 skb->sk->__sk_common.skc_family,skb";
    everywhere(&format!("--output-skb-metadata '{shown}'"), |rig, hit| {
        let mut skb = Skb::frame(&datagram(), 64);
        skb.mark = 0xffff_ffff;
        let hit = hit(&skb);
        let value = |n: usize| hit.values[n].as_deref();
        assert_eq!(value(0), Some(&[0xff; 4][..]), "{}", rig.programs);
        assert_eq!(value(1), Some(&7u32.to_le_bytes()[..]));
        assert_eq!(value(2).map(<[u8]>::len), Some(16));
        let bits = rig.btf().path("sk_buff", "pkt_type").unwrap().leaf.bits.unwrap();
        assert_eq!(value(3).map(|bytes| bytes[0] >> bits.shift & 7), Some(skb.pkt_type));
        assert_eq!(value(4), Some(&udp(40000, 5001, b"hello")[..8]));
        assert_eq!(value(5), Some(&[0; 4][..]));
        assert_eq!(value(6), None, "there is no socket");
        assert_eq!(value(7), Some(&hit.skb.to_le_bytes()[..]));
    });
    everywhere("--output-meta=false --output-skb-metadata 'skb->cb,(char *)(skb->data + 28)'", |_, hit| {
        let mut skb = Skb::frame(&datagram(), 64);
        skb.cb = [1, 2, 3, 4, 5];
        let hit = hit(&skb);
        let cb: Vec<u8> = skb.cb.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(hit.values[0].as_ref().map(|bytes| &bytes[8..28]), Some(&cb[..]));
        assert_eq!(hit.values[1].as_ref().map(|text| &text[..5]), Some(&b"hello"[..]));
    });
}

#[test]
fn whole_structures_are_sent() {
    everywhere("--output-skb --output-skb-shared-info --output-tunnel --output-stack --output-caller", |rig, hit| {
        let mut skb = Skb::frame(&datagram(), 64);
        skb.end = 1024;
        let info: Vec<u8> = (0..400).map(|n| n as u8).collect();
        skb.buffer[1024..1424].copy_from_slice(&info);
        skb.inner_network_header = skb.network_header;
        skb.mark = 0x1234_5678;
        let hit = hit(&skb);
        let layout = &rig.plan.layout;
        let record = hit.outcome.record.as_deref().expect("everything matches");
        let dump = layout.dump_bytes(record, Dump::Skb).expect("it was asked for");
        let mark = rig.btf().path("sk_buff", "mark").unwrap().leaf.offset as usize;
        assert_eq!(dump[mark..mark + 4], 0x1234_5678u32.to_le_bytes());
        let dump = layout.dump_bytes(record, Dump::SharedInfo).expect("it was asked for");
        assert_eq!(dump, &info[..dump.len()], "{}", rig.programs);
        assert_eq!(layout.number(record, Field::InnerLen), Some(datagram()[14..].len() as u64));
        let inner = layout.bytes(record, Field::InnerHeaders).expect("it was asked for");
        assert_eq!(inner[..datagram().len() - 14], datagram()[14..]);
        let stack = layout.bytes(record, Field::Stack).expect("it was asked for");
        assert_eq!(layout.number(record, Field::StackLen), Some(24));
        let frames: Vec<u8> = STACK_FRAMES.iter().flat_map(|frame| frame.to_le_bytes()).collect();
        assert_eq!(stack[..24], frames);
        assert!(!layout.has(Field::Frames), "the stack has the caller");
    });
    everywhere("--output-tunnel", |rig, hit| {
        let record = hit(&Skb::frame(&datagram(), 64)).outcome.record.expect("everything matches");
        assert_eq!(rig.plan.layout.number(&record, Field::InnerLen), Some(0));
    });
}

#[test]
fn the_packet_inside_a_tunnel_is_filtered() {
    let inner = datagram();
    let outer = udp(50000, 4789, &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &inner].concat());
    let wrapped = ethernet(IPV4, &ipv4(17, [192, 0, 2, 1], [192, 0, 2, 2], &[], &outer));
    let mut skb = Skb::frame(&wrapped, 64);
    skb.inner_mac_header = 64 + 14 + 20 + 8 + 8;
    skb.inner_network_header = skb.inner_mac_header + 14;
    let mut bare = skb.clone();
    bare.inner_mac_header = bare.inner_network_header;
    let outside = Skb::frame(&wrapped, 64);
    let check = |flags: &str, expected: [bool; 3]| {
        everywhere(flags, |rig, hit| {
            let found = [&skb, &bare, &outside].map(|skb| hit(skb).event.is_some());
            assert_eq!(found, expected, "{flags}\n{}", rig.programs);
        });
    };
    check("--filter-tunnel-pcap-l2 'udp port 5001' udp port 4789", [true, false, true]);
    check("--filter-tunnel-pcap-l2 'udp port 5002'", [false, false, true]);
    check("--filter-tunnel-pcap-l3 'host 10.0.0.2 and udp port 5001'", [true, true, true]);
    check("--filter-tunnel-pcap-l3 'host 10.0.0.3'", [false, false, true]);
    check("--filter-tunnel-pcap-l3 'udp[8:4] = 0x68656c6c and len = 33'", [true, true, true]);
    check("--filter-tunnel-pcap-l2 'ip src 10.0.0.1' --filter-tunnel-pcap-l3 'dst port 5001'", [true, false, true]);
    check("--filter-tunnel-pcap-l2 'ether proto 0x86dd' --filter-tunnel-pcap-l3 udp", [false, false, true]);
    // An expression that means nothing without an Ethernet header filters, and so does what is behind it.
    let link = "ether host 02:00:00:00:00:01";
    check(&format!("--filter-tunnel-pcap-l2 'udp port 5001' {link}"), [true, false, true]);
    check(&format!("--filter-tunnel-pcap-l2 'udp port 5002' {link}"), [false, false, true]);
}
