//! Classic BPF without a compiler: listing, decimal form, checker, interpreter.

use filter_compiler::cbpf::op::*;
use filter_compiler::cbpf::{CheckError, End, Insn, Meta, Packet, ParseError, Program, Runner};

const RET_ALL: Insn = Insn::new(RET | K, 262_144);
const RET_NONE: Insn = Insn::new(RET | K, 0);

#[test]
fn every_line_is_the_one_that_libpcap_prints() {
    for row in include_str!("cbpf_listing.txt").lines().filter(|row| !row.starts_with('#')) {
        let (numbers, expected) = row.split_once('|').expect("a bar");
        let program: Program = format!("1\n{numbers}").parse().expect("four numbers");
        assert_eq!(program.0[0].line(7).to_string(), expected, "{numbers}");
    }
}

#[test]
fn listing_and_decimal_form_of_a_program() {
    let program = Program(vec![Insn::new(LD | H | ABS, 12), Insn::jump(JEQ, 0x800, 0, 1), RET_ALL, RET_NONE]);
    let listing = "(000) ldh      [12]\n\
                   (001) jeq      #0x800           jt 2\tjf 3\n\
                   (002) ret      #262144\n\
                   (003) ret      #0\n";
    assert_eq!(program.to_string(), listing);
    let decimal = "4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0\n";
    assert_eq!(program.decimal().to_string(), decimal);
    assert_eq!(decimal.parse(), Ok(program));
}

#[test]
fn text_that_is_no_program() {
    let parse = |text: &str| text.parse::<Program>().unwrap_err();
    assert_eq!(parse(""), ParseError::NoCount);
    assert_eq!(parse("x\n6 0 0 0\n"), ParseError::NoCount);
    assert_eq!(parse("1\n6 0 0\n"), ParseError::Row { line: 2 });
    assert_eq!(parse("1\n6 0 0 0 0\n"), ParseError::Row { line: 2 });
    assert_eq!(parse("1\n\n6 256 0 0\n"), ParseError::Row { line: 3 });
    assert_eq!(parse("1\n6 0 0 4294967296\n"), ParseError::Row { line: 2 });
    assert_eq!(parse("2\n6 0 0 0\n"), ParseError::WrongCount { announced: 2, rows: 1 });
}

#[test]
fn what_the_checker_refuses() {
    let check = |insns: &[Insn], runner| Program(insns.to_vec()).check(runner);
    let both = |insns: &[Insn], error| {
        assert_eq!(check(insns, Runner::Userland), Err(error));
        assert_eq!(check(insns, Runner::Linux), Err(error));
    };
    both(&[], CheckError::Empty);
    both(&[Insn::new(LD | IMM, 0)], CheckError::NoReturn);
    both(&[Insn::new(0x18, 0), RET_ALL], CheckError::UnknownCode { at: 0, code: 0x18 });
    both(&[Insn::new(LDX | H | ABS, 0), RET_ALL], CheckError::UnknownCode { at: 0, code: 0x29 });
    both(&[Insn::new(0x116, 0), RET_ALL], CheckError::UnknownCode { at: 0, code: 0x116 });
    both(&[Insn::new(ST, 16), RET_ALL], CheckError::NoSuchCell { at: 0, cell: 16 });
    both(&[Insn::new(LDX | MEM, 16), RET_ALL], CheckError::NoSuchCell { at: 0, cell: 16 });
    both(&[Insn::new(ALU | DIV | K, 0), RET_ALL], CheckError::DivisionByZero { at: 0 });
    both(&[Insn::jump(JEQ, 0, 1, 0), RET_ALL], CheckError::JumpOutside { at: 0 });
    both(&[Insn::new(JMP | JA, 1), RET_ALL], CheckError::JumpOutside { at: 0 });
    both(&[Insn::new(JMP | JA, -2i32 as u32), RET_ALL], CheckError::JumpOutside { at: 0 });
}

#[test]
fn refusals_are_sentences() {
    for (error, sentence) in [
        (CheckError::Empty, "the program has no instruction"),
        (CheckError::TooLong(4097), "4097 instructions are more than the kernel takes (4096)"),
        (CheckError::UnknownCode { at: 2, code: 0x18 }, "instruction 2 has the unknown code 0x18"),
        (CheckError::NoSuchCell { at: 2, cell: 16 }, "instruction 2 uses M[16], the last cell is M[15]"),
        (CheckError::UnwrittenCell { at: 2, cell: 3 }, "instruction 2 reads M[3] before it is written"),
        (CheckError::DivisionByZero { at: 2 }, "instruction 2 divides by zero"),
        (CheckError::LongShift { at: 2, count: 32 }, "instruction 2 shifts by 32 bits"),
        (CheckError::JumpOutside { at: 2 }, "instruction 2 jumps out of the program or backwards"),
        (CheckError::NoReturn, "the last instruction is not a return"),
    ] {
        assert_eq!(error.to_string(), sentence);
    }
    for (error, sentence) in [
        (ParseError::NoCount, "the first line is not the number of instructions"),
        (ParseError::Row { line: 2 }, "line 2 is not four decimal numbers `code jt jf k`"),
        (ParseError::WrongCount { announced: 2, rows: 1 }, "the first line announces 2 instructions, 1 follow"),
    ] {
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn what_only_linux_refuses() {
    let only_linux = |insns: &[Insn], error| {
        assert_eq!(Program(insns.to_vec()).check(Runner::Userland), Ok(()));
        assert_eq!(Program(insns.to_vec()).check(Runner::Linux), Err(error));
    };
    only_linux(&[Insn::new(JMP | JA, -1i32 as u32), RET_ALL], CheckError::JumpOutside { at: 0 });
    only_linux(&[Insn::new(ALU | LSH | K, 32), RET_ALL], CheckError::LongShift { at: 0, count: 32 });
    only_linux(&[Insn::new(LD | MEM, 3), RET_ALL], CheckError::UnwrittenCell { at: 0, cell: 3 });
    only_linux(&[RET_ALL; 4097], CheckError::TooLong(4097));
    // Written on one of two paths only.
    only_linux(
        &[Insn::jump(JEQ, 0, 0, 1), Insn::new(ST, 0), Insn::new(LD | MEM, 0), RET_ALL],
        CheckError::UnwrittenCell { at: 2, cell: 0 },
    );
    let written = [Insn::new(ST, 0), Insn::jump(JEQ, 0, 0, 1), Insn::new(LD | MEM, 0), RET_ALL];
    assert_eq!(Program(written.to_vec()).check(Runner::Linux), Ok(()));
}

/// Runs `insns` and then `ret a`.
fn value(insns: &[Insn], packet: &Packet<'_>) -> (u32, End) {
    let mut insns = insns.to_vec();
    insns.push(Insn::new(RET | A, 0));
    let program = Program(insns);
    program.check(Runner::Userland).expect("valid");
    let outcome = program.run(packet);
    (outcome.value, outcome.end)
}

const DATA: [u8; 8] = [0x45, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87];

#[test]
fn loads_are_big_endian_and_must_fit() {
    let load = |code, k| value(&[Insn::new(LDX | IMM, 2), Insn::new(code, k)], &Packet::whole(&DATA));
    assert_eq!(load(LD | W | ABS, 4), (0x8485_8687, End::Return));
    assert_eq!(load(LD | W | ABS, 5), (0, End::NoSuchByte));
    assert_eq!(load(LD | H | IND, 4), (0x8687, End::Return));
    assert_eq!(load(LD | H | IND, 5), (0, End::NoSuchByte));
    assert_eq!(load(LD | B | ABS, 7), (0x87, End::Return));
    assert_eq!(load(LD | B | ABS, 8), (0, End::NoSuchByte));
    // x + k does not wrap around.
    assert_eq!(load(LD | B | IND, u32::MAX), (0, End::NoSuchByte));
    let msh = |k| value(&[Insn::new(LDX | B | MSH, k), Insn::new(MISC | TXA, 0)], &Packet::whole(&DATA));
    assert_eq!(msh(0), (20, End::Return));
    assert_eq!(msh(8), (0, End::NoSuchByte));
}

#[test]
fn length_and_metadata_are_not_bytes() {
    let meta = Meta { pkt_type: 4, ifindex: 7, vlan_tag: Some(42) };
    let packet = Packet { data: &DATA, wire_len: 1500, meta };
    assert_eq!(value(&[Insn::new(LD | W | LEN, 0)], &packet).0, 1500);
    assert_eq!(value(&[Insn::new(LD | H | ABS, AD_PKTTYPE)], &packet).0, 4);
    assert_eq!(value(&[Insn::new(LD | W | ABS, AD_IFINDEX)], &packet).0, 7);
    assert_eq!(value(&[Insn::new(LD | B | ABS, AD_VLAN_TAG)], &packet).0, 42);
    assert_eq!(value(&[Insn::new(LD | B | ABS, AD_VLAN_TAG_PRESENT)], &packet).0, 1);
    assert_eq!(value(&[Insn::new(LD | B | ABS, AD_VLAN_TAG_PRESENT)], &Packet::whole(&DATA)), (0, End::Return));
    assert_eq!(value(&[Insn::new(LD | W | ABS, AD_OFF)], &packet), (0, End::NoSuchByte));
}

#[test]
fn arithmetic_wraps_and_never_traps() {
    let packet = Packet::whole(&DATA);
    let alu = |a, code, b| {
        let by_k = (b != 0 || (code != DIV && code != MOD))
            .then(|| value(&[Insn::new(LD | IMM, a), Insn::new(ALU | code | K, b)], &packet));
        let by_x = value(&[Insn::new(LD | IMM, a), Insn::new(LDX | IMM, b), Insn::new(ALU | code | X, 0)], &packet);
        assert_eq!(by_k.unwrap_or(by_x), by_x);
        by_x
    };
    assert_eq!(alu(u32::MAX, ADD, 2), (1, End::Return));
    assert_eq!(alu(1, SUB, 2), (u32::MAX, End::Return));
    assert_eq!(alu(0x1_0001, MUL, 0x1_0001), (0x2_0001, End::Return));
    assert_eq!(alu(7, DIV, 2), (3, End::Return));
    assert_eq!(alu(7, MOD, 4), (3, End::Return));
    assert_eq!(alu(7, DIV, 0), (0, End::DivisionByZero));
    assert_eq!(alu(7, MOD, 0), (0, End::DivisionByZero));
    assert_eq!(alu(1, LSH, 31), (1 << 31, End::Return));
    assert_eq!(alu(1, LSH, 32), (0, End::Return));
    assert_eq!(alu(u32::MAX, RSH, u32::MAX), (0, End::Return));
    assert_eq!(alu(6, AND, 3), (2, End::Return));
    assert_eq!(alu(6, OR, 3), (7, End::Return));
    assert_eq!(alu(6, XOR, 3), (5, End::Return));
    assert_eq!(value(&[Insn::new(LD | IMM, 1), Insn::new(ALU | NEG, 0)], &packet), (u32::MAX, End::Return));
}

#[test]
fn jumps_compare_unsigned() {
    let taken = |a, test, b| {
        let insns = [Insn::new(LD | IMM, a), Insn::jump(test, b, 0, 1), RET_ALL, RET_NONE];
        Program(insns.to_vec()).run(&Packet::default()).accepted()
    };
    assert!(taken(u32::MAX, JGT, 1) && !taken(1, JGT, 1) && taken(1, JGE, 1) && !taken(0, JGE, u32::MAX));
    assert!(taken(5, JEQ, 5) && !taken(5, JEQ, 6) && taken(6, JSET, 2) && !taken(6, JSET, 1));
}

#[test]
fn cells_start_at_zero_and_keep_what_was_stored() {
    let cells = [Insn::new(LD | IMM, 9), Insn::new(ST, 15), Insn::new(LDX | MEM, 15), Insn::new(LD | MEM, 0)];
    assert_eq!(value(&cells, &Packet::default()), (0, End::Return));
    let sum = [cells[0], cells[1], cells[2], Insn::new(ALU | ADD | X, 0)];
    assert_eq!(value(&sum, &Packet::default()), (18, End::Return));
}

#[test]
fn runs_end_and_are_counted() {
    let endless = Program(vec![Insn::new(JMP | JA, -1i32 as u32), RET_ALL]);
    assert_eq!(endless.run(&Packet::default()).end, End::StepLimit);
    let four = Program(vec![Insn::new(LD | IMM, 0), Insn::jump(JEQ, 0, 1, 0), RET_NONE, RET_ALL]);
    assert_eq!(four.run(&Packet::default()).executed, 3);
    assert_eq!(Program(vec![]).run(&Packet::default()).end, End::Invalid);
    assert_eq!(Program(vec![Insn::new(JMP | JA, 77)]).run(&Packet::default()).end, End::Invalid);
}
