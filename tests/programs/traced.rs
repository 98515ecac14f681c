//! What programs send for BPF programs that are traced, on every kind of kernel.

use whither::decode::{Function, Network, Ports};
use whither::record::Field;

use super::machine::Surroundings;
use super::objects::{Device, Objects, Skb, XdpBuff};
use super::packets::{arp, ethernet, ipv4, ipv6, tagged, udp};
use super::rig::{Hit, RETURN, Rig};

/// Kernels, flags, features taken away.
const EVERYWHERE: [(&str, &str, &[&str]); 7] = [
    ("5.10-x86_64", "", &[]),
    ("6.1-x86_64", "", &[]),
    ("6.1-x86_64", "--event-buffer perf", &[]),
    ("6.12-x86_64", "", &[]),
    ("6.12-x86_64", "", &["cast"]),
    ("7.2-x86_64", "", &[]),
    ("6.18-x86_64", "--backend tracepoint", &[]),
];

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;

fn everywhere(args: &str, check: impl Fn(&Rig, &dyn Fn(&XdpBuff) -> Hit)) {
    for (host, flags, without) in EVERYWHERE {
        let traced = "--filter-trace-tc --filter-trace-xdp --filter-func 'ip_rcv|net_dev_queue'";
        let rig = Rig::new(host, &format!("{traced} {flags} {args}"), without);
        // By fentry, and by a breakpoint.
        for program in ["whither_xdp", "whither_xdp_tail"] {
            let hit = |frame: &XdpBuff| {
                let mut objects = Objects::new(rig.btf());
                let address = frame.place(&mut objects);
                rig.enter_traced(program, address, objects, &Surroundings::default())
            };
            check(&rig, &hit);
        }
    }
}

fn matches(expression: &str, yes: &[XdpBuff], no: &[XdpBuff]) {
    everywhere(expression, |rig, hit| {
        for (n, frame) in yes.iter().enumerate() {
            assert!(hit(frame).event.is_some(), "`{expression}` does not match frame {n}\n{}", rig.programs);
        }
        for (n, frame) in no.iter().enumerate() {
            assert!(hit(frame).event.is_none(), "`{expression}` matches frame {n}\n{}", rig.programs);
        }
    });
}

fn datagram() -> Vec<u8> {
    ethernet(IPV4, &ipv4(17, A, B, &[], &udp(40000, 5001, b"hello")))
}

#[test]
fn a_frame_is_told_whole() {
    everywhere("--timestamp relative --output-caller host 10.0.0.2 and udp port 5001", |rig, hit| {
        let hit = hit(&XdpBuff::new(&datagram()));
        let event = hit.event.unwrap_or_else(|| panic!("it matches\n{}", rig.programs));
        let around = Surroundings::default();
        // Behind the tc program, which is the first behind all targets.
        assert_eq!(event.function, Function::Index(rig.plan.targets.len() as u32 + 1));
        assert_eq!(event.skb, hit.skb, "the xdp_buff's own address");
        assert_eq!((event.pid, event.cpu, event.comm), (around.pid.0, around.cpu, around.comm));
        assert_eq!((event.time, event.lost), (around.time, around.lost as u32));
        assert_eq!((event.reason, event.cb), (None, [0; 5]));
        assert_eq!((event.meta.netns, event.meta.ifindex, event.meta.mtu), (4_026_532_000, 7, 1500));
        assert_eq!((event.meta.mark, event.meta.len), (0, datagram().len() as u32));
        assert_eq!(event.meta.protocol, IPV4);
        assert_eq!(event.tuple.network, Network::Ipv4 { source: A, destination: B });
        assert_eq!(event.tuple.ports, Some(Ports { source: 40000, destination: 5001 }));
        assert_eq!(hit.headers, datagram()[14..]);
    });
}

#[test]
fn every_byte_of_a_field_is_written() {
    everywhere("--timestamp relative --output-caller", |rig, hit| {
        for frame in [XdpBuff::new(&datagram()), XdpBuff { dev: None, ..XdpBuff::new(&[]) }] {
            let record = hit(&frame).outcome.record.expect("everything matches");
            for field in Field::ALL {
                let Some(bytes) = rig.plan.layout.bytes(&record, field) else { continue };
                assert!(field == Field::Headers || !bytes.contains(&0xee), "{field:?} {bytes:x?}\n{}", rig.programs);
            }
        }
    });
}

#[test]
fn frames_are_filtered() {
    let frame = |ether_type, payload: &[u8]| XdpBuff::new(&ethernet(ether_type, payload));
    let (mine, other) = (frame(IPV4, &ipv4(17, A, B, &[], &udp(1, 2, b""))), frame(ARP, &arp(A, B)));
    let six = frame(IPV6, &ipv6(17, [1; 16], [2; 16], &udp(1, 2, b"")));
    let vlan = XdpBuff::new(&tagged(&ethernet(IPV4, &ipv4(17, A, B, &[1; 8], &udp(1, 2, b""))), VLAN, 5));
    let options = frame(IPV4, &ipv4(17, A, B, &[1; 40], &udp(1, 2, b"")));
    let short = XdpBuff::new(&[0; 13]);
    let negative = XdpBuff { length: -20, ..XdpBuff::new(&datagram()) };
    matches(
        "host 10.0.0.2 and udp port 2",
        &[mine.clone(), options],
        &[other.clone(), six.clone(), vlan.clone(), short.clone(), negative.clone()],
    );
    matches("vlan 5 and udp port 2", std::slice::from_ref(&vlan), &[mine.clone(), other.clone()]);
    matches("arp", std::slice::from_ref(&other), &[mine.clone(), vlan, short.clone()]);
    matches("ip6 and udp dst port 2", &[six], &[mine.clone(), other]);
    matches("greater 42 and inbound and ifindex 7", std::slice::from_ref(&mine), std::slice::from_ref(&short));
    matches("ether[0] & 1 = 0", &[mine.clone(), short.clone()], std::slice::from_ref(&negative));
    // There is no mark to compare.
    matches("--filter-mark 5", &[mine, short, negative], &[]);
}

#[test]
fn the_device_is_filtered() {
    let (mine, homeless) = (XdpBuff::new(&datagram()), XdpBuff { dev: None, ..XdpBuff::new(&datagram()) });
    matches("--filter-netns inode:4026532000", std::slice::from_ref(&mine), std::slice::from_ref(&homeless));
    matches("--filter-netns inode:1", &[], &[mine.clone(), homeless.clone()]);
    matches("ifindex 7", &[mine], &[homeless]);
}

#[test]
fn tags_and_what_is_no_ip_have_their_tuple() {
    let inner = ethernet(IPV4, &ipv4(17, A, B, &[], &udp(40000, 5001, b"")));
    everywhere("", |_, hit| {
        let event = hit(&XdpBuff::new(&tagged(&inner, VLAN, 5))).event.expect("everything matches");
        assert_eq!(event.meta.protocol, VLAN);
        assert_eq!(event.tuple.ports, Some(Ports { source: 40000, destination: 5001 }));
        let event = hit(&XdpBuff::new(&ethernet(ARP, &arp(A, B)))).event.expect("everything matches");
        assert_eq!(event.tuple.network, Network::Arp { sender: A, target: B });
        let event = hit(&XdpBuff::new(&[0; 13])).event.expect("everything matches");
        assert_eq!((event.tuple.network, event.meta.protocol, event.meta.len), (Network::Unknown, 0, 13));
    });
}

#[test]
fn a_packet_in_a_tc_program_is_told_like_any_other() {
    for (host, flags, without) in EVERYWHERE {
        let flags =
            format!("--filter-trace-tc --filter-func 'ip_rcv|net_dev_queue' --output-caller {flags} udp port 5001");
        let rig = Rig::new(host, &flags, without);
        let mut skb = Skb::frame(&datagram(), 64);
        skb.cb = [1, 2, 3, 4, 5];
        // Of fentry the caller is on the stack that is recorded.
        for (program, caller) in [("whither_tc", 0), ("whither_tc_tail", RETURN)] {
            let mut objects = Objects::new(rig.btf());
            let address = skb.place(&mut objects);
            let hit = rig.enter_traced(program, address, objects, &Surroundings::default());
            let event = hit.event.unwrap_or_else(|| panic!("{host}: it matches\n{}", rig.programs));
            assert_eq!(event.function, Function::Index(rig.plan.targets.len() as u32), "{host}");
            assert_eq!((event.skb, event.meta.ifindex, event.meta.protocol), (address, 7, IPV4), "{host}");
            assert_eq!((event.cb, event.caller), ([1, 2, 3, 4, 5], caller), "{host}: the columns are on");
            assert_eq!(event.tuple.ports, Some(Ports { source: 40000, destination: 5001 }), "{host}");
        }
    }
}

/// A context that is no pointer, or one that leads nowhere.
#[test]
fn a_context_that_is_none_does_no_harm() {
    for (host, flags, without) in EVERYWHERE {
        let flags = format!("--filter-trace-xdp --filter-func 'ip_rcv|net_dev_queue' {flags} udp port 5001");
        let rig = Rig::new(host, &flags, without);
        let nowhere = 0x6b6b_6b6b_6b6b_6b6b;
        for (program, address) in [("whither_xdp", 0), ("whither_xdp", nowhere), ("whither_xdp_tail", nowhere)] {
            let hit = rig.enter_traced(program, address, Objects::new(rig.btf()), &Surroundings::default());
            assert!(hit.event.is_none(), "{host} {program} {address:#x}");
        }
    }
}

#[test]
fn expressions_about_the_buffer_hold_and_are_told() {
    let frame = XdpBuff::new(&datagram());
    let other = XdpBuff { dev: Some(Device { ifindex: 8, mtu: 1500, netns: 1 }), ..frame.clone() };
    let homeless = XdpBuff { dev: None, ..frame.clone() };
    matches(
        "--filter-xdp-expr 'xdp->rxq->dev->ifindex == 7'",
        std::slice::from_ref(&frame),
        &[other.clone(), homeless.clone()],
    );
    matches(
        "--filter-xdp-expr '((struct ethhdr *)xdp->data)->h_proto == 0x800 && xdp->data_end - xdp->data > 40' udp",
        &[frame.clone(), homeless],
        &[XdpBuff::new(&ethernet(ARP, &arp(A, B)))],
    );
    // One about the skb does not concern it, and the other way round.
    matches("--filter-skb-expr 'skb->mark == 5'", &[frame.clone(), other], &[]);
    everywhere(
        "--output-xdp-metadata xdp->rxq->dev->mtu,xdp->rxq->dev->ifindex --output-skb-metadata skb->mark",
        |_, hit| {
            let told = |value: u32| Some(value.to_le_bytes().to_vec());
            assert_eq!(hit(&frame).values, [told(1500), told(7)]);
            assert_eq!(hit(&XdpBuff { dev: None, ..frame.clone() }).values, [None, None]);
        },
    );
}
