//! Our two interpreters, rbpf and the kernel agree on what our programs do. Needs neither libpcap nor root.

mod support;

use support::exprs::{self, Expression};
use support::packets::{self, Link};
use support::rng::Rng;
use support::subject::Subject;
use support::{judge, oracle};

/// Every way of running our code gives the same verdict. Needs no oracle.
#[test]
fn our_back_ends_agree() {
    let corpus = support::corpus().map(|(links, text)| (links[0], Expression::from_text(text)));
    let random = (0..400).map(|index| {
        let mut rng = Rng::fork(77, index);
        let link = if rng.chance(65) { Link::Ethernet } else { Link::Raw };
        (link, exprs::random(&mut rng, link))
    });
    // libpcap 1.10 does not know this one: nothing else compares it.
    let vxlan = [
        "vxlan",
        "vxlan 100 and ip host 10.0.0.1",
        "vxlan or udp port 53",
        "vlan and vxlan and tcp port 80",
        "vxlan and vlan 42 and arp",
        "vxlan and geneve and icmp",
        "geneve and vxlan 100 and tcp[tcpflags] & tcp-syn != 0",
        "not vxlan and ip6 net fd00::/8",
    ];
    let vxlan =
        vxlan.into_iter().flat_map(|text| [Link::Ethernet, Link::Raw].map(|link| (link, Expression::from_text(text))));
    let mut compiled = 0;
    for (index, (link, expression)) in corpus.chain(random).chain(vxlan).enumerate() {
        let Ok(mut subject) = Subject::new(&expression.text(), link) else { continue };
        compiled += 1;
        if index % 4 == 0 {
            subject.load();
        }
        assert_eq!(subject.refused(), None, "{}", expression.text());
        let pool = packets::constants(&subject.cbpf);
        let mut rng = Rng::fork(78, index as u64);
        for round in 0..40 {
            let base = packets::random(&mut rng, link, &pool);
            let sample = if round % 2 == 0 { packets::guided(&mut rng, &subject.cbpf, &base) } else { base };
            let long_chain = judge::run(&subject.cbpf, &sample).backward > judge::CHAIN_STEPS;
            let verdicts = subject.verdicts(&sample, &mut rng);
            assert!(
                long_chain || verdicts.iter().all(|&(_, accepted)| accepted == verdicts[0].1),
                "{link:?} {}\npacket {} wire length {}\n{verdicts:?}\n{}\n{}",
                expression.text(),
                oracle::hex(&sample.data),
                sample.wire_len,
                subject.graph,
                subject.cbpf
            );
        }
    }
    assert!(compiled > 400, "{compiled} expressions are too few to say anything");
}
