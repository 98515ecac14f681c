//! `--filter-netns`, by path and by number, shows one side of a connection.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case::new(run);

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let (right, number) = (net.right.path(), net.right.inode()?);
    let functions = "--filter-func 'ip_output|ip_rcv|tcp_v4_rcv'";
    let by_path = vm.trace(&format!("{functions} --filter-netns {right} tcp port 80"))?;
    let by_number = vm.trace(&format!("{functions} --filter-netns inode:{number} tcp port 80"))?;
    net.connect("10.0.0.2:80")?;
    for ended in [by_path.stop()?, by_number.stop()?] {
        ended.expect_in_order(&["ip_rcv ->10.0.0.2:80", "tcp_v4_rcv ->10.0.0.2:80", "ip_output 10.0.0.2:80->"])?;
        ended.expect_all("in the namespace", |line| u64::from(line.netns) == number)?;
    }
    let wrong = vm.whither("--filter-netns /run/netns/nowhere tcp").finish()?;
    wrong.expect_refusal(1, &["/run/netns/nowhere"])
}
