//! Interfaces that are renamed or made while whither runs are shown by the name that they have.

use std::net::UdpSocket;
use std::time::Duration;

use crate::error::{Error, Result};
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
    // The kernel tells of a change beside the packets, so the first one may come before the news.
    let seen = |net: u8, name: &str| -> Result<()> {
        let name = format!(" {name}:");
        for _ in 0..200 {
            send(net)?;
            std::thread::sleep(Duration::from_millis(50));
            if trace.so_far().contains(&name) {
                return Ok(());
            }
        }
        Err(Error::new(format!("`{name}` is never shown\n{}", trace.so_far())))
    };
    seen(61, "first0")?;
    // An interface cannot be renamed while it is up before Linux 6.2; the address goes with it.
    ip("link set first0 down\nlink set first0 name second0\nlink set second0 up
        neigh replace 10.61.0.2 lladdr 02:00:00:00:00:77 dev second0")?;
    seen(61, "second0")?;
    dummy("third0", 62)?;
    seen(62, "third0")?;
    let ended = trace.stop()?;
    ended.expect_in_order(&["__dev_queue_xmit first0:", "__dev_queue_xmit second0:", "__dev_queue_xmit third0:"])?;
    Ok(())
}
