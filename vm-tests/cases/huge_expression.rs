//! An expression that takes more instructions than a program may have is judged in user space, and that is said; with
//! `--strict` it is refused.

use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 180, ..Case::new(run) };

/// No two of these tests are about the same byte, so each takes code of its own.
const TESTS: u32 = 2700;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let tests: Vec<String> = (1..=TESTS).map(|n| format!("||ip[ip[8]+{n}]={}", n % 200)).collect();
    let options = "--filter-func 'ip_send_skb|ip_output|ip_rcv'";
    let expression = format!("'udp dst port 5001{}'", tests.concat());
    let trace = vm.trace(&format!("{options} {expression}"))?;
    let (left, _) = net.udp("10.0.0.2:5001", 18, 20)?;
    // The time to live is 64, and there is no such byte.
    net.udp("10.0.0.2:5002", 18, 20)?;
    let ended = trace.stop()?;
    let tuple = format!("{left}->10.0.0.2:5001(udp)");
    ended.expect_all("what matches", |line| line.tuple == tuple)?;
    let count = ended.lines()?.iter().filter(|line| line.name() == "ip_rcv").count();
    ensure!(count == 20 && ended.lost() == 0, "{count} of 20 datagrams at ip_rcv\n{ended}");
    for words in ["given up: filtering in the kernel", "more than 32000 instructions"] {
        ensure!(ended.stderr.contains(words), "nothing says `{words}`\n{}", ended.stderr);
    }
    let strict = vm.whither(&format!("--strict {options} {expression}")).finish()?;
    strict.expect_refusal(1, &["a program cannot be emitted: the filter takes more than 32000 instructions"])
}
