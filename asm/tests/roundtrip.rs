//! Random instructions survive encoding and decoding, random slots never harm the decoder, and a program's listing
//! is that of its slots.

use asm::*;

mod support {
    pub mod forms;
    pub mod random;
    pub mod random_insn;
}
use support::forms;
use support::random::Rng;
use support::random_insn::instance;

#[test]
fn instructions_survive() {
    let mut rng = Rng(1);
    let forms = forms::all();
    for _ in 0..2_500 {
        for form in &forms {
            let op = instance(form, &mut rng);
            assert_eq!(forms::form(&op), *form);
            let (first, second) = encode(&op);
            let slots: Vec<u64> = [first].into_iter().chain(second).collect();
            assert_eq!(slots.len(), op.slots());
            let back = decode(&slots).unwrap_or_else(|error| panic!("{op}: {error}"));
            assert_eq!(back, [Insn::new(op)]);
            assert_eq!(back[0].to_string(), op.to_string());
        }
    }
}

/// Whatever is accepted is understood: it encodes to the same slots.
#[test]
fn slots_survive_or_are_refused() {
    let mut rng = Rng(2);
    let forms = forms::all();
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..300_000 {
        let mut slots = Vec::new();
        if round % 2 == 0 {
            slots.extend((0..rng.below(4)).map(|_| rng.next()));
        } else {
            for _ in 0..1 + rng.below(3) {
                let (first, second) = encode(&instance(&rng.pick(&forms), &mut rng));
                slots.push(first);
                slots.extend(second);
            }
            let at = rng.below(slots.len());
            slots[at] ^= 1 << rng.below(64);
        }
        match Program::disassemble("random", &slots) {
            Ok(program) => {
                accepted += 1;
                assert_eq!(program.encode_unresolved(), slots);
                // Must not panic, whatever it says.
                let _ = program.check(Cpu::Latest);
                let _ = program.to_string();
            }
            Err(error) => {
                refused += 1;
                assert!(error.slot < slots.len(), "{error}");
            }
        }
    }
    assert!(accepted > 50_000 && refused > 50_000, "{accepted} accepted, {refused} refused");
}

#[test]
fn a_program_survives() {
    let mut a = Asm::new("main");
    let (again, function) = (a.label(), a.label());
    a.mov(R6, 3);
    a.bind(again);
    a.load_imm64(R1, 0x1122_3344_5566_7788);
    a.call_local(function);
    a.sub(R6, 1);
    a.jne(R6, 0, again);
    a.exit();
    a.begin_subprogram(function);
    a.mov(R0, R1);
    a.exit();
    let program = a.finish().unwrap();
    let slots = program.encode_unresolved();
    let back = Program::disassemble("main", &slots).unwrap();
    assert_eq!(back.to_string(), program.to_string().replace("main_1:", "subprog_1:"));
    assert_eq!(back.encode_unresolved(), slots);
    assert_eq!(back.check(Cpu::V3), Ok(()));
    assert_eq!(
        program.to_string(),
        "\
main:
0: (b7) r6 = 3
1: (18) r1 = 0x1122334455667788
3: (85) call pc+3
4: (17) r6 -= 1
5: (55) if r6 != 0x0 goto pc-5
6: (95) exit
main_1:
7: (bf) r0 = r1
8: (95) exit
"
    );
}

#[test]
fn broken_slots_say_why() {
    let check = |slots: &[u64], expected: &str| {
        let error = decode(slots).expect_err("the slots should be refused");
        assert_eq!(error.to_string(), expected);
    };
    check(&[0x0000_0000_0000_0095, 0xff], "slot 1: no instruction has opcode 0xff");
    check(&[0x0000_0000_0000_0bb7], "slot 0: there is no register 11");
    check(&[0x0000_0000_0000_b1bf], "slot 0: there is no register 11");
    check(&[0x0000_0000_0001_0095], "slot 0: the offset of opcode 0x95 has a value that it cannot have");
    check(&[0x0000_0000_0000_0118], "slot 0: the second slot of the 64-bit load is missing");
    check(
        &[0x0000_0000_0000_0118, 0x0000_0000_0000_0001],
        "slot 0: the second slot of opcode 0x18 has a value that it cannot have",
    );
    check(&[0x0000_0011_0000_01dc], "slot 0: the constant of opcode 0xdc has a value that it cannot have");
    check(&[0x0000_0000_0002_21bf], "slot 0: the offset of opcode 0xbf has a value that it cannot have");
    check(&[0x0000_0001_0000_3085], "slot 0: the source register of opcode 0x85 has a value that it cannot have");
}
