//! A packet that goes on in fragments where the filter needs it is counted, and not taken for one that does not match.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};

use crate::error::{Context, Result};
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

/// So much that not even the first segment has room for all of it behind its headers.
const LENGTH: usize = 200_000;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let payload = vm.trace("--filter-func dev_hard_start_xmit 'tcp dst port 5001 and tcp[1000] = 0x70'")?;
    let headers = vm.trace("--filter-func dev_hard_start_xmit 'tcp dst port 5001 and tcp[13] & 8 != 0'")?;
    let listener = net.right.enter(|| TcpListener::bind("10.0.0.2:5001").context("10.0.0.2:5001"))?;
    let received = std::thread::scope(|scope| {
        let server = scope.spawn(|| io::copy(&mut listener.accept()?.0, &mut io::sink()));
        net.left.enter(|| {
            let mut stream = TcpStream::connect("10.0.0.2:5001").context("10.0.0.2:5001")?;
            Ok(stream.write_all(&vec![b'p'; LENGTH])?)
        })?;
        Ok::<_, crate::error::Error>(server.join().map_err(|_| "the server panicked")??)
    })?;
    ensure!(received == LENGTH as u64, "{received} bytes arrived");
    let (payload, headers) = (payload.stop()?, headers.stop()?);
    // Whatever headers alone decide is seen.
    headers.expect_in_order(&["dev_hard_start_xmit ->10.0.0.2:5001(tcp)"])?;
    ensure!(!headers.stderr.contains("fragments"), "headers are not in fragments\n{headers}");
    let said = payload.stderr.lines().find(|line| line.contains("bytes that lie in fragments"));
    let count = said.and_then(|line| line.split_whitespace().find_map(|word| word.parse::<u64>().ok()));
    ensure!(count.is_some_and(|count| count > 0), "nothing says that packets were not judged\n{payload}");
    Ok(())
}
