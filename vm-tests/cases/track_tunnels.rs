//! A packet is followed through Geneve, IPIP and GRE tunnels.

use super::track::{FUNCTIONS, expect_only};
use crate::error::{Context, Result};
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 120, ..Case::new(run) };

/// Kind of tunnel, how it is set up, what packets look like outside.
const TUNNELS: [(&str, &str, &str); 3] = [
    ("geneve", "id 5 remote OTHER", "->10.0.0.2:6081(udp)"),
    ("ipip", "local OWN remote OTHER", "10.0.0.1:0->10.0.0.2:0(ipip)"),
    ("gre", "local OWN remote OTHER", "10.0.0.1:0->10.0.0.2:0(gre)"),
];

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    for (kind, options, outside) in TUNNELS {
        net.tunnel(kind, options)?;
        net.greet("10.9.0.2")?;
        let trace = vm.trace(&format!("--filter-track-skb {FUNCTIONS} icmp and dst host 10.9.0.2"))?;
        net.ping("10.9.0.2")?;
        net.ping("10.0.0.2")?;
        let ended = trace.stop()?;
        let outside_of = |function: &str| format!("{function} {outside}");
        ended
            .expect_in_order(&[
                "ip_output 10.9.0.1:0->10.9.0.2:0(icmp)",
                &outside_of("ip_local_out"),
                &outside_of("__dev_queue_xmit"),
                &outside_of("ip_rcv"),
                "icmp_rcv 10.9.0.1:0->10.9.0.2:0(icmp)",
                "kfree_skbmem",
            ])
            .and_then(|()| {
                expect_only(&ended, &["icmp_rcv", "kfree_skbmem"], |line| {
                    line.tuple.contains("10.9.0.1:0->10.9.0.2:0(icmp)") || line.tuple.contains(outside)
                })
            })
            .context(kind)?;
        net.without_tunnel()?;
    }
    Ok(())
}
