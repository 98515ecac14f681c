//! What the running kernel says of our programs: its verifier's log shows our listing, its execution our meaning, and
//! it refuses what we refuse.
//!
//! Needs the right to load programs, and Linux 5.14; without that the tests say so and pass.

use asm::*;
use bpf::Blueprint;

mod bpf;
mod btf;
mod execution;
mod listing;
mod refusals;
mod wild;
#[path = "../support"]
mod support {
    pub mod forms;
    pub mod model;
    pub mod random;
    pub mod random_program;
    pub mod rbpf;
}

/// Says why nothing is tested, if so. As root on Linux it must not happen, unless the machine forbids bpf(2) to root.
fn skip() -> bool {
    match bpf::permitted() {
        Ok(()) => false,
        Err(why) => {
            println!("skipped: this process may not load eBPF programs: {why}");
            true
        }
    }
}

/// The newest instructions that the running kernel has.
fn kernel_cpu() -> Cpu {
    let probe = |emit: fn(&mut Asm)| {
        let mut a = Asm::for_cpu("probe", Cpu::Latest);
        a.mov(R0, 1);
        a.store(u64(FP - 8), 0);
        emit(&mut a);
        a.mov(R0, 0);
        a.exit();
        let program = a.finish().expect("the probes pass our checks");
        bpf::load(Blueprint::new(&program.encode_unresolved()), 0).program.is_ok()
    };
    if probe(|a| a.load_acquire(R0, u64(FP - 8))) {
        Cpu::Latest
    } else if probe(|a| a.bswap64(R0)) {
        Cpu::V4
    } else if probe(|a| a.atomic_xchg(u64(FP - 8), R0)) {
        Cpu::V3Atomics
    } else {
        Cpu::V3
    }
}
