//! `--filter-tunnel-pcap-l2` and `--filter-tunnel-pcap-l3` decide by the packet inside VXLAN; what is in no tunnel passes.

use super::output_tunnel::vxlan;
use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 90, ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    vxlan(&net)?;
    for (flag, yes, no) in [
        ("--filter-tunnel-pcap-l2", "ether proto \\ip and icmp", "arp or udp"),
        ("--filter-tunnel-pcap-l3", "icmp and dst host 10.9.0.2", "icmp and dst host 10.9.0.3"),
    ] {
        let start = |expression: &str| vm.trace(&format!("--filter-func dev_hard_start_xmit {flag} '{expression}' ip"));
        let (matching, other) = (start(yes)?, start(no)?);
        net.ping("10.9.0.2")?;
        let (matching, other) = (matching.stop()?, other.stop()?);
        let wrapped = |text: &str| text.contains("10.0.0.1:") && text.contains("->10.0.0.2:4789(udp)");
        ensure!(wrapped(&matching.stdout), "{flag} '{yes}' lost the wrapped echo\n{matching}");
        ensure!(!wrapped(&other.stdout), "{flag} '{no}' kept the wrapped echo\n{other}");
        ensure!(other.stdout.contains("10.9.0.1:0->10.9.0.2:0(icmp)"), "{flag}: what is in no tunnel must pass\n{other}");
    }
    vm.whither("--filter-tunnel-pcap-l2 'tcp port htpp'").finish()?.expect_refusal(2, &["--filter-tunnel-pcap-l2", "htpp"])
}
