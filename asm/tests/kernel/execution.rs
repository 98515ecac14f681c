//! BPF_PROG_TEST_RUN against a model in Rust, and against rbpf.

use crate::bpf::{self, Blueprint};
use crate::support::random::Rng;
use crate::support::random_program::{computing, context};
use crate::support::{forms, model, rbpf};
use crate::{kernel_cpu, skip};
use asm::*;
use std::collections::HashSet;
use std::os::fd::OwnedFd;

/// Loads the program; it must be accepted.
fn load(program: &Program) -> OwnedFd {
    let slots = program.encode(|_| -1).expect("there are no maps");
    bpf::load(Blueprint::new(&slots), 0).program.unwrap_or_else(|error| {
        let log = bpf::load(Blueprint::new(&slots), 1).log;
        panic!("{error}: {log}\n{program}")
    })
}

#[test]
fn the_kernel_executes_what_we_mean() {
    if skip() {
        return;
    }
    let cpu = kernel_cpu();
    println!("the kernel has {cpu}");
    let mut rng = Rng(7);
    let mut used = HashSet::new();
    for _ in 0..300 {
        let program = computing(&mut rng, cpu, 60, |_| true);
        used.extend(program.insns().iter().map(|insn| forms::form(&insn.op)));
        let loaded = load(&program);
        for _ in 0..10 {
            let start = context(&mut rng);
            let (mut ours, mut theirs) = (start, start);
            model::run(&program, &mut ours);
            assert_eq!(bpf::run(&loaded, &mut theirs).expect("the program runs"), 0);
            assert_eq!(ours, theirs, "from {start:x?}:\n{program}");
        }
    }
    for form in forms::all() {
        let computes = match form {
            Op::LoadImm64 { value, .. } => matches!(value, Imm64::Const(_)),
            Op::Jump { .. } | Op::JumpLong { .. } | Op::JumpTo { .. } | Op::MayGoto { .. } => false,
            Op::Call(_) | Op::CallLocal { .. } | Op::CallKfunc { .. } => false,
            Op::LoadPacket { .. } | Op::AddrSpaceCast { .. } => false,
            _ => form.needs() <= cpu,
        };
        assert!(!computes || used.contains(&form), "never used: {form}");
    }
}

#[test]
fn the_kernel_executes_what_rbpf_does() {
    if skip() {
        return;
    }
    let mut rng = Rng(8);
    for _ in 0..200 {
        let program = computing(&mut rng, Cpu::V3, 80, rbpf::executes);
        let loaded = load(&program);
        for _ in 0..5 {
            let start = context(&mut rng);
            let (mut machine, mut interpreter) = (start, start);
            assert_eq!(rbpf::run(&program, &mut interpreter), 0);
            assert_eq!(bpf::run(&loaded, &mut machine).expect("the program runs"), 0);
            assert_eq!(machine, interpreter, "from {start:x?}:\n{program}");
        }
    }
}
