//! What our checks accept the verifier accepts, and what they refuse it refuses, where no more is at stake than
//! registers that hold numbers, the stack, and the flow of control.

use crate::bpf::{self, Blueprint};
use crate::support::random::Rng;
use crate::{skip, wild};
use asm::*;
use std::collections::BTreeMap;

/// The kind of a refusal, without its data.
fn kind(error: &Error) -> String {
    let text = format!("{:?}", error.kind());
    text.split([' ', '(']).next().unwrap_or(&text).to_string()
}

#[test]
fn the_verifier_refuses_what_we_refuse() {
    if skip() {
        return;
    }
    let mut rng = Rng(10);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for round in 0..6_000 {
        let ops = wild::program(&mut rng);
        let slots: Vec<u64> = ops
            .iter()
            .flat_map(|op| {
                let (first, second) = encode(op);
                [first].into_iter().chain(second)
            })
            .collect();
        let program = Program::disassemble("wild", &slots).expect("instructions can be read back");
        let ours = program.check(Cpu::V3);
        let theirs = bpf::load(Blueprint::new(&slots), 0).program;
        let verdict = match &ours {
            Ok(()) => "accepted".to_string(),
            Err(error) => kind(error),
        };
        // Unwritten stack bytes are refused by old kernels only.
        if ours.is_ok() != theirs.is_ok() && verdict != "UnsetStack" {
            let log = bpf::load(Blueprint::new(&slots), 1).log;
            panic!("round {round}: we say {ours:?}, the verifier {theirs:?}:\n{program}\n{log}");
        }
        *counts.entry(verdict).or_default() += 1;
    }
    println!("{counts:?}");
    for kind in [
        "accepted",
        "BadTarget",
        "CallsTooDeep",
        "DivisionByZero",
        "FallsOff",
        "JumpBetweenSubprograms",
        "MisalignedStack",
        "OutsideFrame",
        "ShiftTooFar",
        "StackTooLarge",
        "Unreachable",
        "Unset",
        "UnsetArgument",
        "WriteToFramePointer",
    ] {
        assert!(counts.get(kind).is_some_and(|&count| count >= 5), "too few cases of {kind}: {counts:?}");
    }
}
