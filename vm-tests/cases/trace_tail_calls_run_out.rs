//! There are four breakpoints: of more programs that are entered by tail calls the others are named, and the next one gets
//! the first that is free again.

use crate::error::Result;
use crate::guest::bpf::{self, Packets};
use crate::guest::{Case, Feature, Guest};
use nix::sys::signal::Signal;

pub const CASE: Case = Case { needs: &[Feature::NativeCode], seconds: 240, ..Case::new(run) };

const DROP: u32 = 1;
const PASS: u32 = 2;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    let arrays = (0..5).map(|_| bpf::program_array()).collect::<Result<Vec<_>, _>>()?;
    // Each calls the next; they are looked at in the order in which they were loaded.
    let mut chain = Vec::new();
    for (n, array) in arrays.iter().enumerate() {
        let code = arrays.get(n + 1).map_or_else(|| bpf::returns(PASS), |next| bpf::tail_call(next, DROP));
        let program = bpf::load(Packets::Xdp, &format!("lab_chain{n}"), &code, true)?;
        bpf::put(array, &program)?;
        chain.push(program);
    }
    let front = bpf::load(Packets::Xdp, "lab_front", &bpf::tail_call(&arrays[0], DROP), true)?;
    net.right.sh(&format!("bpftool net attach xdp id {} dev right0", bpf::id_of(&front)?))?;

    // One that is killed leaves all four to the next.
    let before = vm.leftovers()?;
    let arguments = "--filter-trace-xdp --filter-func none udp port 5001";
    vm.trace(arguments)?.signal(Signal::SIGKILL)?;
    vm.expect_nothing_left(&before, super::signals_leave_nothing::SOON)?;
    let trace = vm.trace(arguments)?;
    let (_, arrived) = net.udp("10.0.0.2:5001", 100, 2)?;
    trace.wait_for_lines(10)?;
    let first = trace.so_far();
    bpf::put(&arrays[0], &chain[1])?;
    trace.wait_until_said("`lab_chain4` (id", "by a breakpoint")?;
    let (_, later) = net.udp("10.0.0.2:5001", 100, 3)?;
    let ended = trace.stop()?;
    vm.expect_nothing_left(&before, super::signals_leave_nothing::SOON)?;
    net.right.sh("bpftool net detach xdp dev right0")?;
    ensure!((arrived, later) == (2, 3), "{arrived} and {later} datagrams arrived\n{ended}");
    let count = |text: &str, name: &str| text.lines().filter(|line| line.contains(&format!("_{name}[bpf]"))).count();
    for (name, at_first, in_all) in [
        ("lab_front", 2, 5),
        ("lab_chain0", 2, 2),
        ("lab_chain1", 2, 5),
        ("lab_chain2", 2, 5),
        ("lab_chain3", 2, 5),
        ("lab_chain4", 0, 3),
    ] {
        let (early, all) = (count(&first, name), count(&ended.stdout, name));
        ensure!((early, all) == (at_first, in_all), "{name}: {early}, then {all} lines in all\n{ended}");
    }
    let notes: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("is not shown where")).collect();
    let is_named = notes.len() == 1 && notes[0].contains("`lab_chain4`") && notes[0].contains("is free");
    ensure!(is_named, "not one sentence about lab_chain4: {notes:?}\n{ended}");
    Ok(())
}
