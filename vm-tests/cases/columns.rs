//! Columns that are off by default, in the header and in every line; and those that can be turned off.

use std::time::Duration;

use crate::error::Result;
use crate::guest::trace::Ended;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 150, ..Case::new(run) };

const FUNCTIONS: &str = "--filter-func 'ip_rcv|ip_local_deliver'";

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let trace = |flags: &str| -> Result<Ended> {
        let trace = vm.trace(&format!("{FUNCTIONS} {flags} icmp"))?;
        net.ping("10.0.0.2")?;
        while trace.printed()? == 0 || !trace.so_far().contains("ip_local_deliver") {
            std::thread::sleep(Duration::from_millis(10));
        }
        trace.stop()
    };

    let ended = trace("--timestamp relative --output-netns-names --netns-names-max-length 12 --output-skb-cb")?;
    let header = ended.stdout.lines().next().unwrap_or_default();
    for title in [" TIMESTAMP ", " __sk_buff->cb[] ", " NETNS NAME "] {
        ensure!(header.contains(title), "no {title}\n{ended}");
    }
    let rows: Vec<&str> = ended.stdout.lines().skip(1).collect();
    let first = rows.iter().find(|row| row.contains("ip_rcv")).ok_or("no ip_rcv")?;
    ensure!(first.split_whitespace().nth(3) == Some("0"), "the first hop of a packet is at 0\n{ended}");
    ensure!(first.contains("]   right     10.0.0.1:"), "the name is not centred in 12 columns\n{ended}");
    ensure!(rows.iter().all(|row| row.contains(" [0x")), "no cb\n{ended}");

    let ended = trace("--timestamp absolute")?;
    ensure!(ended.stdout.starts_with("TIME                    SKB "), "the header\n{ended}");
    let year = vm.sh("date +%Y-")?;
    ensure!(ended.stdout.lines().skip(1).all(|row| row.starts_with(year.trim())), "the time of day\n{ended}");

    let ended = trace("--output-meta=false --output-tuple=false")?;
    ensure!(ended.stdout.starts_with("SKB                CPU PROCESS          FUNC\n"), "the header\n{ended}");

    let ended = trace("--output-json --timestamp current --output-netns-names --output-skb-cb")?;
    for row in ended.stdout.lines() {
        for key in [r#""time":"#, r#""netns_name":"#, r#""cb":["#] {
            ensure!(row.contains(key), "no {key}\n{ended}");
        }
    }
    Ok(())
}
