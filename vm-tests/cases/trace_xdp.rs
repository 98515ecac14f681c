//! `--filter-trace-xdp` shows frames in XDP programs, whatever becomes of them: passed, dropped, sent back.

use crate::error::Result;
use crate::guest::bpf::{self, Packets};
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::Fentry], ..Case::new(run) };

const DROP: u32 = 1;
const PASS: u32 = 2;
const TX: u32 = 3;

fn run(vm: &Guest) -> Result<()> {
    let net = vm.two_namespaces()?;
    net.greet("10.0.0.2")?;
    for (name, verdict, arrives) in [("lab_pass", PASS, true), ("lab_drop", DROP, false), ("lab_tx", TX, false)] {
        let program = bpf::load(Packets::Xdp, name, &bpf::returns(verdict), true)?;
        let id = bpf::id_of(&program)?;
        net.right.sh(&format!("bpftool net attach xdp id {id} dev right0 overwrite"))?;
        let trace = vm.trace("--filter-trace-xdp --filter-func udp_rcv udp port 5001")?;
        let (from, arrived) = net.udp("10.0.0.2:5001", 100, 3)?;
        net.udp("10.0.0.2:5002", 100, 1)?;
        let ended = trace.stop()?;
        ensure!(arrived == if arrives { 3 } else { 0 }, "{arrived} datagrams arrived with {name}");
        let is_program = |function: &str| function.ends_with(&format!("_{name}[bpf](xdp) id {id}"));
        let lines = ended.lines()?;
        let of_program: Vec<_> = lines.iter().filter(|line| is_program(&line.function)).collect();
        ensure!(of_program.len() == 3, "{} lines of {name} instead of 3\n{ended}", of_program.len());
        for line in of_program {
            ensure!(line.function.starts_with("bpf_prog_"), "not pwru's name: {}", line.text);
            ensure!(line.skb.starts_with("0xff"), "no address of an xdp_buff: {}", line.text);
            ensure!(u64::from(line.netns) == net.right.inode()?, "another namespace: {}", line.text);
            ensure!((line.mtu, line.length, line.protocol) == (1500, 142, 0x800), "wrong numbers: {}", line.text);
            let (tuple, right0) = (format!("{from}->10.0.0.2:5001(udp)"), "right0:");
            ensure!(line.tuple == tuple && line.interface.starts_with(right0), "wrong frame: {}", line.text);
        }
        let received = lines.iter().any(|line| line.name() == "udp_rcv");
        ensure!(received == arrives, "udp_rcv: {received} with {name}\n{ended}");
        net.right.sh("bpftool net detach xdp dev right0")?;
    }
    Ok(())
}
