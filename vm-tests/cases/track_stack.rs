//! Functions without an skb are shown where they run on the stack of a packet that matched, and nowhere else.

use super::track::FUNCTIONS;
use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let filter = "icmp[icmptype] = icmp-echo and dst host 10.0.0.2";
    // fib_lookup and the like run for other packets, too.
    let named = "--filter-non-skb-funcs fib_table_lookup,ip_route_output_key_hash_rcu";
    let alone = vm.trace(&format!("{named} {FUNCTIONS} {filter}"))?;
    let both = vm.trace(&format!("--filter-track-skb {named} {FUNCTIONS} {filter}"))?;
    let stack = vm.trace(&format!("--filter-track-skb-by-stackid {FUNCTIONS} {filter}"))?;
    let plain = vm.trace(&format!("{FUNCTIONS} {filter}"))?;
    net.ping("10.0.0.2")?;
    net.udp("10.0.0.2:5001", 100, 10)?;
    let (alone, both, stack, plain) = (alone.stop()?, both.stop()?, stack.stop()?, plain.stop()?);
    let ours = |line: &crate::guest::lines::Line| line.tuple.ends_with("(icmp)");
    for ended in [&alone, &both] {
        // The destination is looked up while the request is received: its skb is on the stack.
        ended.expect_in_order(&["ip_rcv 10.0.0.1:0->10.0.0.2:0(icmp)", "fib_table_lookup 10.0.0.1:0->10.0.0.2:0(icmp)"])?;
        ended.expect_all("of the ping", ours)?;
    }
    stack.expect_none("fib_table_lookup")?;
    // The answer is made on the stack of the request.
    stack.expect_in_order(&["icmp_echo", "ip_output 10.0.0.2:0->10.0.0.1:0(icmp)"])?;
    plain.expect_none("ip_output 10.0.0.2:0->10.0.0.1:0(icmp)")?;
    vm.whither("--filter-non-skb-funcs no_such_function icmp").finish()?.expect_refusal(1, &["no_such_function"])
}
