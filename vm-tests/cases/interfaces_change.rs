//! Interfaces that are renamed or made while whither runs are shown by the name that they have.

use std::net::UdpSocket;

use crate::error::Result;
use crate::guest::net::ip;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let dummy = |name: &str, net: u8| {
        ip(&format!(
            "link add {name} type dummy\nlink set {name} addrgenmode none up\naddr add 10.{net}.0.1/24 dev {name}
             neigh add 10.{net}.0.2 lladdr 02:00:00:00:00:77 dev {name}"
        ))
    };
    let send = |net: u8| UdpSocket::bind("0.0.0.0:0")?.send_to(b"hello", format!("10.{net}.0.2:9"));
    dummy("first0", 61)?;
    let trace = vm.trace("--filter-func __dev_queue_xmit udp port 9")?;
    send(61)?;
    trace.wait_for_lines(1)?;
    // An interface cannot be renamed while it is up before Linux 6.2; the address goes with it.
    ip("link set first0 down\nlink set first0 name second0\nlink set second0 up
        neigh replace 10.61.0.2 lladdr 02:00:00:00:00:77 dev second0")?;
    send(61)?;
    trace.wait_for_lines(2)?;
    dummy("third0", 62)?;
    send(62)?;
    trace.wait_for_lines(3)?;
    let ended = trace.stop()?;
    ended.expect_in_order(&["__dev_queue_xmit first0:", "__dev_queue_xmit second0:", "__dev_queue_xmit third0:"])?;
    let lines = ended.lines()?.len();
    ensure!(lines == 3, "{lines} lines for three datagrams\n{ended}");
    Ok(())
}
