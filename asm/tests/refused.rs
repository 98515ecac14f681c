//! What `finish` refuses: the sentence, and the line that is blamed.

use asm::*;

/// The sentence, and the line that `build` returns, must be those of the error.
#[track_caller]
fn refused_on(cpu: Cpu, expected: &str, build: impl FnOnce(&mut Asm) -> u32) {
    let mut a = Asm::for_cpu("p", cpu);
    let line = build(&mut a);
    let error = a.finish().expect_err(expected);
    assert_eq!(error.kind().to_string(), expected);
    let source = error.source().expect("instructions that were emitted have a source");
    assert_eq!((source.file(), source.line()), (file!(), line), "{error}");
}

#[track_caller]
fn refused(expected: &str, build: impl FnOnce(&mut Asm) -> u32) {
    refused_on(Cpu::V3, expected, build);
}

fn accepted(build: impl FnOnce(&mut Asm)) -> Program {
    let mut a = Asm::new("p");
    build(&mut a);
    a.finish().unwrap_or_else(|error| panic!("{error}"))
}

fn end(a: &mut Asm) {
    a.mov(R0, 0);
    a.exit();
}

#[test]
fn a_message_is_one_sentence() {
    let mut a = Asm::new("entry_arg1");
    a.mov(R0, 0);
    a.load(R1, u32(R3 + 4));
    let line = line!() - 1;
    a.exit();
    let error = a.finish().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "program `entry_arg1`: r3 may be read before it is written, at 1: (61) r1 = *(u32 *)(r3 +4), emitted by {}:{line}",
            file!()
        )
    );
    assert_eq!((error.program(), error.slot()), ("entry_arg1", Some(1)));
    let error = Program::disassemble("read", &encoded(&[Op::Call(Helper::Redirect), Op::Exit])).unwrap();
    assert_eq!(
        error.check(Cpu::V3).unwrap_err().to_string(),
        "program `read`: the argument r2 of bpf_redirect may not have been written, at 0: (85) call bpf_redirect#23"
    );
}

/// The slots of instructions.
fn encoded(ops: &[Op]) -> Vec<u64> {
    ops.iter().flat_map(|op| [Some(encode(op).0), encode(op).1]).flatten().collect()
}

#[test]
fn labels() {
    let error = Asm::new("nothing").finish().unwrap_err();
    let expected = format!("program `nothing`: there is no instruction, emitted by {}:{}", file!(), line!() - 1);
    assert_eq!(error.to_string(), expected);
    refused("a label is used but never bound", |a| {
        let to = a.label();
        a.jump(to);
        line!() - 1
    });
    refused("label `drop` is used but never bound", |a| {
        let to = a.label_named("drop");
        a.jeq(R1, 0, to);
        let line = line!() - 1;
        end(a);
        line
    });
    refused("the label belongs to another program", |a| {
        let foreign = Asm::new("other").label();
        a.jump(foreign);
        line!() - 1
    });
    // A label that is neither bound nor used harms nobody.
    accepted(|a| {
        a.label();
        end(a);
    });

    let mut a = Asm::new("p");
    let to = a.label_named("drop");
    a.bind(to);
    let first = line!() - 1;
    a.bind(to);
    let second = line!() - 1;
    // The first of two mistakes is the one that is reported.
    a.load(R1, u8(R1 + 40_000));
    let expected = format!(
        "program `p`: label `drop` is bound twice, first by {file}:{first}, emitted by {file}:{second}",
        file = file!()
    );
    assert_eq!(a.finish().unwrap_err().to_string(), expected);
}

#[test]
fn jumps() {
    let far = |a: &mut Asm, count| (0..count).for_each(|_| a.mov(R0, 0));
    refused("the jump of 32768 slots is too far for 16 bits", |a| {
        let to = a.label();
        a.jeq(R1, 0, to);
        let line = line!() - 1;
        far(a, 32_768);
        a.bind(to);
        end(a);
        line
    });
    refused("the jump of 32768 slots is too far for 16 bits", |a| {
        let (to, here) = (a.label(), a.label());
        a.jeq(R1, 0, here);
        a.jump(to);
        let line = line!() - 1;
        a.bind(here);
        far(a, 32_768);
        a.bind(to);
        end(a);
        line
    });
    refused_on(Cpu::V4, "the jump of -32769 slots is too far for 16 bits", |a| {
        let back = a.label();
        a.bind(back);
        far(a, 32_768);
        a.jeq(R1, 0, back);
        let line = line!() - 1;
        end(a);
        line
    });
    accepted(|a| {
        let (to, back) = (a.label(), a.label());
        a.bind(back);
        a.jeq(R1, 0, to);
        far(a, 32_766);
        a.jeq(R1, 0, back);
        a.bind(to);
        end(a);
    });
    // From v4 on the jump without a condition takes the long form by itself, and only where it must.
    let mut a = Asm::for_cpu("p", Cpu::V4);
    let (near, to, back) = (a.label(), a.label(), a.label());
    a.bind(back);
    a.jeq(R1, 0, near);
    a.jump(to);
    a.bind(near);
    far(&mut a, 32_768);
    a.jset(R1, 1, to);
    a.jump(back);
    a.bind(to);
    end(&mut a);
    let program = a.finish().unwrap();
    assert_eq!(program.insns()[1].to_string(), "(06) gotol pc+32770");
    assert_eq!(program.insns()[32_771].to_string(), "(06) gotol pc-32772");

    let broken = |ops: &[Op]| {
        let program = Program::disassemble("p", &encoded(ops)).unwrap();
        program.check(Cpu::Latest).unwrap_err().to_string()
    };
    let long = Op::LoadImm64 { dst: R0.into(), value: Imm64::Const(0) };
    assert_eq!(
        broken(&[Op::Jump { offset: 1 }, long, Op::Exit]),
        "program `p`: no instruction starts at the target 2, at 0: (05) goto pc+1"
    );
    assert_eq!(
        broken(&[long, Op::Jump { offset: -4 }]),
        "program `p`: no instruction starts at the target -1, at 2: (05) goto pc-4"
    );
    assert_eq!(
        broken(&[long, Op::CallLocal { offset: i32::MAX }, Op::Exit]),
        "program `p`: no instruction starts at the target 2147483650, at 2: (85) call pc+2147483647"
    );
}

#[test]
fn flow() {
    refused("the code runs past its end", |a| {
        a.mov(R0, 0);
        line!() - 1
    });
    refused("the code runs past its end", |a| {
        let to = a.label();
        a.bind(to);
        a.jeq(R1, 0, to);
        line!() - 1
    });
    refused("no path leads to the instruction", |a| {
        end(a);
        a.mov(R0, 1);
        let line = line!() - 1;
        a.exit();
        line
    });
    refused("no path leads to the instruction", |a| {
        let over = a.label();
        a.jump(over);
        a.mov(R1, 0);
        let line = line!() - 1;
        a.bind(over);
        end(a);
        line
    });
}

#[test]
fn operands() {
    refused("the offset 32768 does not fit into 16 bits", |a| {
        a.load(R0, u8(R1 + 32_768));
        line!() - 1
    });
    refused("the offset 4294967294 does not fit into 16 bits", |a| {
        a.load(R0, u8(R1 + i32::MAX + i32::MAX));
        line!() - 1
    });
    refused("the offset -2147483649 does not fit into 16 bits", |a| {
        a.lea(R0, R1 + i32::MIN - 1);
        line!() - 1
    });
    refused("the low half of a register cannot fill eight bytes", |a| {
        a.store(u64(R1), W1);
        line!() - 1
    });
    refused("the low half of a register cannot fill eight bytes", |a| {
        a.atomic_add(u64(R1), W1);
        line!() - 1
    });
    refused("the instruction cannot work on 2 bytes", |a| {
        a.atomic_add(u16(R1), R1);
        line!() - 1
    });
    refused("the instruction cannot work on 8 bytes", |a| {
        a.load_packet(Size::B8, 0);
        line!() - 1
    });
    for (constant, fits) in [(255, true), (256, false), (-128, true), (-129, false)] {
        let mut a = Asm::new("p");
        a.store(u8(R1), constant);
        end(&mut a);
        assert_eq!(a.finish().is_ok(), fits, "{constant} in one byte");
    }
    refused("the constant 65536 cannot be stored into 2 bytes unchanged", |a| {
        a.store(u16(R1), 65_536);
        line!() - 1
    });
    refused("the constant 4294967295 cannot be stored into 8 bytes unchanged", |a| {
        a.store(u64(R1), u32::MAX);
        line!() - 1
    });
    refused("the descriptor index 32768 does not fit into 15 bits", |a| {
        a.call_kfunc(1, 32_768);
        line!() - 1
    });
    refused("the divisor is the constant 0", |a| {
        a.mov(R0, 1);
        a.rem(R0, 0);
        let line = line!() - 1;
        a.exit();
        line
    });
    for (by, width) in [(32, 32), (-1, 32), (64, 64), (-1, 64)] {
        refused(&format!("a shift by {by} bits is outside the register"), |a| {
            a.mov(R0, 1);
            let line = line!() + 2;
            match width {
                32 => a.arsh(W0, by),
                _ => a.lsh(R0, by),
            }
            a.exit();
            line + u32::from(width == 64)
        });
    }
    accepted(|a| {
        a.mov(R0, 1);
        a.lsh(R0, 63);
        a.rsh(W0, 31);
        a.arsh(R0, 0);
        a.exit();
    });
}

#[test]
fn newer_instructions() {
    let needs = |cpu, expected: &str, emit: fn(&mut Asm)| {
        let mut a = Asm::for_cpu("p", cpu);
        a.mov(R0, 0);
        a.store(u64(FP - 8), 0);
        emit(&mut a);
        a.exit();
        assert_eq!(a.finish().unwrap_err().kind().to_string(), expected);
    };
    let fetch = "the instruction needs cpu v3 with all atomics (Linux 5.12), and the program is for cpu v3";
    needs(Cpu::V3, fetch, |a| a.atomic_fetch_add(u64(FP - 8), R0));
    needs(Cpu::V3, fetch, |a| a.atomic_or(u32(FP - 8), W0));
    let v4 = "the instruction needs cpu v4 (Linux 6.6), and the program is for cpu v3";
    needs(Cpu::V3, v4, |a| a.bswap16(R0));
    needs(Cpu::V3, v4, |a| a.sdiv(R0, 3));
    needs(Cpu::V3, v4, |a| a.movsx8(W0, W0));
    needs(Cpu::V3, v4, |a| a.load_signed(R0, i8(FP - 8)));
    let latest =
        "the instruction needs a newer cpu than v4 (Linux 6.9 and later), and the program is for cpu v4 (Linux 6.6)";
    needs(Cpu::V4, latest, |a| a.load_acquire(R0, u64(FP - 8)));
    needs(Cpu::V4, latest, |a| a.addr_space_cast(R0, R0, 0, 1));
    accepted(|a| {
        a.mov(R0, 0);
        a.store(u64(FP - 8), 0);
        a.atomic_add(u64(FP - 8), R0);
        a.exit();
    });
}

#[test]
fn registers() {
    refused("r0 may be read before it is written", |a| {
        a.exit();
        line!() - 1
    });
    refused("r2 may be read before it is written", |a| {
        a.mov(R0, R2);
        let line = line!() - 1;
        a.exit();
        line
    });
    // One path writes it, the other does not.
    refused("r6 may be read before it is written", |a| {
        let over = a.label();
        a.jeq(R1, 0, over);
        a.mov(R6, 1);
        a.bind(over);
        a.mov(R0, R6);
        let line = line!() - 1;
        a.exit();
        line
    });
    // A loop that is entered behind the write.
    refused("r6 may be read before it is written", |a| {
        let (middle, again) = (a.label(), a.label());
        a.mov(R0, 0);
        a.jump(middle);
        a.bind(again);
        a.mov(R6, 1);
        a.bind(middle);
        a.add(R0, R6);
        let line = line!() - 1;
        a.jne(R0, 9, again);
        a.exit();
        line
    });
    refused("r1 may be read before it is written", |a| {
        a.call(Helper::KtimeGetNs);
        a.load(R0, u64(R1));
        let line = line!() - 1;
        a.exit();
        line
    });
    refused("the argument r3 of bpf_probe_read_kernel may not have been written", |a| {
        a.mov(R2, 8);
        a.call(Helper::ProbeReadKernel);
        let line = line!() - 1;
        a.exit();
        line
    });
    refused_on(Cpu::V3Atomics, "r0 may be read before it is written", |a| {
        a.atomic_cmpxchg(u64(R1), R1);
        let line = line!() - 1;
        a.exit();
        line
    });
    accepted(|a| {
        a.mov(R6, R1);
        a.call(Helper::KtimeGetNs);
        a.mov(R1, R6);
        a.mov(R2, R0);
        a.call(Helper::Other(100_000));
        a.exit();
    });
    let program = Program::disassemble(
        "p",
        &encoded(&[Op::Alu { op: AluOp::Add, width: Width::W64, dst: Reg::FP, src: Operand::Imm(8) }, Op::Exit]),
    );
    let error = program.unwrap().check(Cpu::V3).unwrap_err();
    assert_eq!(error.kind().to_string(), "the frame pointer cannot be written");
}

#[test]
fn stack() {
    refused("1 bytes at 0 from the frame pointer are outside the frame", |a| {
        a.store(u8(FP), 0);
        let line = line!() - 1;
        end(a);
        line
    });
    refused("8 bytes at -520 from the frame pointer are outside the frame", |a| {
        a.lea(R2, FP - 512);
        a.store(u64(R2 - 8), 0);
        let line = line!() - 1;
        end(a);
        line
    });
    refused("4 bytes at -6 from the frame pointer are not aligned", |a| {
        a.store(u32(FP - 6), 0);
        let line = line!() - 1;
        end(a);
        line
    });
    refused("the 8 bytes of stack at -8 may be read before they are written", |a| {
        a.store(u32(FP - 8), 0);
        a.load(R0, u64(FP - 8));
        let line = line!() - 1;
        a.exit();
        line
    });
    // A helper, or whoever gets a pointer, may have written them.
    accepted(|a| {
        let name = a.stack(16);
        a.lea(R1, name);
        a.mov(R2, 16);
        a.call(Helper::GetCurrentComm);
        a.load(R0, u64(name + 8));
        a.exit();
    });
    accepted(|a| {
        let (place, pointer) = (a.stack(8), a.stack(8));
        a.lea(R2, place);
        a.store(u64(pointer), R2);
        a.load(R3, u64(pointer));
        a.store(u64(R3), 1);
        a.load(R0, u64(place));
        a.exit();
    });
    refused("4 bytes at 6 reach outside the stack slot of 8 bytes", |a| {
        let slot = a.stack(8);
        a.store(u32(slot + 6), 0);
        line!() - 1
    });
    refused("1 bytes at -1 reach outside the stack slot of 8 bytes", |a| {
        let slot = a.stack(8);
        a.store(u8(slot - 1), 0);
        line!() - 1
    });
    refused("the stack would need 520 bytes, and there are 512", |a| {
        a.stack(504);
        a.stack(1);
        a.stack(8);
        line!() - 1
    });
    refused("a stack slot cannot have 0 bytes aligned to 8", |a| {
        a.stack(0);
        line!() - 1
    });
    refused("a stack slot cannot have 4 bytes aligned to 16", |a| {
        a.stack_aligned(4, 16);
        line!() - 1
    });
    refused("the stack slot was released before, or belongs to another subprogram", |a| {
        let mark = a.stack_mark();
        let slot = a.stack(8);
        a.stack_release(mark);
        a.store(u64(slot), 0);
        line!() - 1
    });
    refused("the stack mark was released before, or belongs to another subprogram", |a| {
        let (outer, inner) = (a.stack_mark(), a.stack_mark());
        a.stack_release(outer);
        a.stack_release(inner);
        line!() - 1
    });
    refused("the stack slot was released before, or belongs to another subprogram", |a| {
        let (slot, function) = (a.stack(8), a.label());
        a.call_local(function);
        end(a);
        a.begin_subprogram(function);
        a.store(u64(slot), 0);
        line!() - 1
    });
}

#[test]
fn slots_share_bytes_when_their_time_is_over() {
    let program = accepted(|a| {
        let first = a.stack_named(8, "first");
        a.store(u64(first), 1);
        for name in ["second", "third"] {
            let mark = a.stack_mark();
            let slot = a.stack_named(12, name);
            let byte = a.stack_aligned(1, 1);
            a.store(u32(slot + 8), 2);
            a.store(u8(byte), 3);
            a.stack_release(mark);
        }
        end(a);
    });
    assert_eq!(program.stack_size(), 25);
    assert_eq!(
        program.to_string(),
        "\
p: 25 bytes of stack
0: (7a) *(u64 *)(r10 -8) = 1                  ; first
1: (62) *(u32 *)(r10 -16) = 2                 ; second+8
2: (72) *(u8 *)(r10 -25) = 3
3: (62) *(u32 *)(r10 -16) = 2                 ; third+8
4: (72) *(u8 *)(r10 -25) = 3
5: (b7) r0 = 0
6: (95) exit
"
    );
}

#[test]
fn subprograms() {
    refused("label `f` is called, but `begin_subprogram` did not bind it", |a| {
        let function = a.label_named("f");
        a.call_local(function);
        let line = line!() - 1;
        a.bind(function);
        end(a);
        line
    });
    refused("a jump leaves its subprogram", |a| {
        let (function, inside) = (a.label(), a.label());
        a.call_local(function);
        a.jeq(R0, 0, inside);
        let line = line!() - 1;
        a.exit();
        a.begin_subprogram(function);
        a.mov(R0, 0);
        a.bind(inside);
        a.exit();
        line
    });
    refused("the code runs past its end", |a| {
        let function = a.label();
        a.call_local(function);
        let line = line!() - 1;
        a.begin_subprogram(function);
        end(a);
        line
    });
    refused("no path leads to the instruction", |a| {
        let function = a.label();
        end(a);
        a.begin_subprogram(function);
        a.mov(R0, 0);
        let line = line!() - 1;
        a.exit();
        line
    });
    // The call is blamed for what the function reads, even two calls deep.
    refused("r4 may be read before it is written", |a| {
        let (outer, inner) = (a.label(), a.label());
        a.call_local(outer);
        let line = line!() - 1;
        a.exit();
        a.begin_subprogram(outer);
        a.call_local(inner);
        a.exit();
        a.begin_subprogram(inner);
        a.mov(R0, R4);
        a.exit();
        line
    });
    refused("r0 may be read before it is written", |a| {
        let function = a.label();
        a.call_local(function);
        a.exit();
        let line = line!() - 1;
        a.begin_subprogram(function);
        a.exit();
        line
    });
    refused("r1 may be read before it is written", |a| {
        let function = a.label();
        a.call_local(function);
        a.mov(R0, R1);
        let line = line!() - 1;
        a.exit();
        a.begin_subprogram(function);
        end(a);
        line
    });
    refused("the stack would need 544 bytes, and there are 512", |a| {
        let (function, big) = (a.label(), a.stack(264));
        a.store(u64(big), 0);
        a.call_local(function);
        let line = line!() - 1;
        a.exit();
        a.begin_subprogram(function);
        a.store(u64(FP - 256), 0);
        end(a);
        line
    });
    refused("subprograms call each other more than eight deep", |a| {
        let function = a.label();
        a.call_local(function);
        let line = line!() - 1;
        a.exit();
        a.begin_subprogram(function);
        a.call_local(function);
        a.exit();
        line
    });

    let program = accepted(|a| {
        let (double, callback) = (a.label_named("double"), a.label());
        let slot = a.stack_named(8, "counter");
        a.store(u64(slot), 0);
        a.mov(R1, 21);
        a.lea(R2, slot);
        a.call_local(double);
        a.mov(R1, R0);
        a.load_func(R2, callback);
        a.lea(R3, slot);
        a.mov(R4, 0);
        a.call(Helper::Loop);
        a.load(R0, u64(slot));
        a.exit();
        a.begin_subprogram(double);
        let own = a.stack(16);
        a.store(u64(own), R1);
        a.load(R0, u64(own));
        a.add(R0, R1);
        a.exit();
        a.begin_subprogram(callback);
        a.atomic_add(u64(R2), R1);
        end(a);
    });
    let functions: Vec<_> = program.subprograms().iter().map(|f| (&*f.name, f.start, f.end, f.stack_size)).collect();
    assert_eq!(functions, [("p", 0, 14, 8), ("double", 14, 18, 16), ("p_2", 18, 21, 0)]);
    assert_eq!(program.stack_size(), 8);
}

#[test]
fn maps_and_descriptors() {
    let program = accepted(|a| {
        a.load_map(R1, MapRef(7));
        a.load_map_value(R2, MapRef(3), 16);
        a.load_map(R3, MapRef(7));
        end(a);
    });
    assert_eq!(program.maps(), [MapRef(3), MapRef(7)]);
    let slots = program.encode(|MapRef(map)| map.cast_signed() * 10).unwrap();
    assert_eq!(slots[..4], [0x0000_0046_0000_1118, 0, 0x0000_001e_0000_2218, 0x0000_0010_0000_0000]);
    let error = program.encode(|MapRef(map)| if map == 3 { -1 } else { 5 }).unwrap_err();
    assert_eq!(error.to_string(), "there is no descriptor for map[3]");
}

#[test]
fn slots_lead_back_to_lines() {
    let mut a = Asm::new("p");
    a.load_imm64(R0, 1);
    a.note("nothing");
    a.note("happens");
    a.exit();
    let line = line!() - 1;
    let program = a.finish().unwrap();
    assert_eq!(program.slots(), 3);
    assert_eq!(program.source_of(1), program.source_of(0));
    assert_eq!(program.source_of(2).map(|source| source.line()), Some(line));
    assert_eq!(program.source_of(3), None);
    assert_eq!(program.insn_at(2).and_then(Insn::note), Some("nothing; happens"));
    let listing = format!("{program:#}");
    assert_eq!(listing.lines().last(), Some(&*format!("2: (95) exit{:34}; nothing; happens [{}:{line}]", "", file!())));
}
