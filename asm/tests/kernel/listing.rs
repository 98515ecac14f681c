//! The verifier's log shows the lines of our listing, for every form of instruction that the running kernel has.

use crate::bpf::{self, Blueprint};
use crate::support::forms;
use crate::{btf, kernel_cpu, skip};
use asm::*;
use std::collections::{BTreeMap, HashSet};
use std::os::fd::{AsRawFd, OwnedFd};

/// A program with the descriptors of its maps, in the order of their numbers.
struct Sample {
    prog_type: u32,
    program: Program,
    maps: Vec<OwnedFd>,
}

impl Sample {
    fn new(prog_type: u32, a: Asm, maps: Vec<OwnedFd>) -> Sample {
        let program = a.finish().unwrap_or_else(|error| panic!("{error}"));
        Sample { prog_type, program, maps }
    }

    /// Loads the program and compares its listing with the log.
    fn compare(&self) {
        let descriptor = |MapRef(map)| self.maps[map as usize].as_raw_fd();
        let slots = self.program.encode(descriptor).expect("every map has a descriptor");
        let names: Vec<&str> = self.program.subprograms().iter().map(|function| &*function.name).collect();
        let types = bpf::btf(&btf::functions(&names)).expect("the kernel takes our BTF");
        let infos: Vec<[u32; 2]> = (btf::FIRST_FUNCTION..)
            .zip(self.program.subprograms())
            .map(|(id, function)| [function.start as u32, id])
            .collect();
        let blueprint = Blueprint {
            prog_type: self.prog_type,
            slots: &slots,
            maps: &self.maps.iter().collect::<Vec<_>>(),
            functions: Some((&types, &infos)),
        };
        let loaded = bpf::load(blueprint, 2);
        if let Err(error) = loaded.program {
            panic!("{error}: {}\n{}", loaded.log, self.program);
        }
        // `3: (b7) r0 = 0      ; R0_w=0`; lines about paths and registers look otherwise.
        let lines: BTreeMap<usize, &str> = loaded
            .log
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(_, text)| text.starts_with('('))
            .filter_map(|(slot, text)| Some((slot.parse().ok()?, text.split(';').next()?.trim_end())))
            .collect();
        let mut slot = 0;
        for insn in self.program.insns() {
            let line = lines.get(&slot).unwrap_or_else(|| panic!("slot {slot} is not in the log:\n{}", self.program));
            assert_eq!(in_our_words(&insn.op, line), insn.op.to_string(), "slot {slot}");
            slot += insn.op.slots();
        }
        println!("{}: {} instructions", self.program.name(), self.program.insns().len());
    }
}

/// The log has addresses for maps and names for kfuncs, which are not ours to know.
fn in_our_words(op: &Op, line: &str) -> String {
    match op {
        Op::LoadImm64 { value, .. } if !matches!(value, Imm64::Const(_)) => match line.split_once(" = 0x") {
            Some((left, _)) => format!("{left} = {value}"),
            None => line.to_string(),
        },
        Op::CallKfunc { .. } => {
            line.replace("bpf_rcu_read_lock#", "kernel-function#").replace("bpf_rcu_read_unlock#", "kernel-function#")
        }
        _ => line.to_string(),
    }
}

/// All that works on numbers and on the stack.
fn numbers(cpu: Cpu) -> Sample {
    let mut a = Asm::for_cpu("numbers", cpu);
    let fp = Reg::FP;
    a.mov(R9, R1);
    a.store(u64(FP - 8), 0);
    for form in forms::all().into_iter().filter(|form| form.needs() <= cpu) {
        // Numbers that the verifier does not know, lest it takes one side of a branch only.
        a.load(R0, u64(R9));
        a.load(R1, u64(R9 + 8));
        a.load(R2, u64(R9 + 16));
        let offset = -8;
        match form {
            Op::Alu { .. } | Op::Branch { .. } | Op::MovSigned { .. } | Op::Neg { .. } | Op::Swap { .. } => {
                a.emit(form)
            }
            Op::Jump { .. } | Op::JumpLong { .. } | Op::MayGoto { .. } => a.emit(form),
            Op::Load { size, dst, .. } => a.emit(Op::Load { size, dst, base: fp, offset }),
            Op::LoadSigned { size, dst, .. } => a.emit(Op::LoadSigned { size, dst, base: fp, offset }),
            Op::LoadAcquire { size, dst, .. } => a.emit(Op::LoadAcquire { size, dst, base: fp, offset }),
            Op::Store { size, src, .. } => a.emit(Op::Store { size, base: fp, offset, src }),
            Op::StoreRelease { size, src, .. } => a.emit(Op::StoreRelease { size, base: fp, offset, src }),
            Op::Atomic { op, size, src, .. } => a.emit(Op::Atomic { op, size, base: fp, offset, src }),
            _ => {}
        }
    }
    // Constants that print in more than one way.
    a.mov(R0, i32::MIN);
    a.and(W0, 0xffff_fff0_u32);
    a.store(u32(FP - 8), 0xffff_ffff_u32);
    a.store(u64(FP - 8), -1);
    a.load_imm64(R0, 0x8000_0000_0000_0001);
    a.load_imm64(R0, 0);
    let near = a.label();
    for (reg, offset) in [(R1, 0), (R2, 8), (R3, 16)] {
        a.load(reg, u64(R9 + offset));
    }
    a.jne(R1, -1, near);
    a.jsgt(R2, i32::MIN, near);
    a.jne(W3, 0x8000_0000_u32, near);
    a.bind(near);
    a.mov(R0, 0);
    a.exit();
    Sample::new(bpf::PROG_TYPE_SYSCALL, a, Vec::new())
}

/// The classic loads.
fn packets() -> Sample {
    let mut a = Asm::new("packets");
    a.mov(R6, R1);
    for size in [Size::B1, Size::B2, Size::B4] {
        a.mov(R7, 3);
        a.load_packet(size, 12);
        a.load_packet_at(size, R7, 14);
    }
    a.exit();
    Sample::new(bpf::PROG_TYPE_SOCKET_FILTER, a, Vec::new())
}

/// Maps by descriptor, helpers, subprograms, jumps backwards.
fn references() -> Sample {
    let map = bpf::map(bpf::MAP_TYPE_ARRAY, 16).expect("an array map");
    let mut a = Asm::new("references");
    let key = a.stack_named(4, "key");
    let (none, function, again) = (a.label(), a.label(), a.label());
    a.store(u32(key), 0);
    a.lea(R2, key);
    a.load_map(R1, MapRef(0));
    a.call(Helper::MapLookupElem);
    a.jeq(R0, 0, none);
    a.load(R1, u64(R0 + 8));
    a.bind(none);
    a.load_map_value(R1, MapRef(0), 8);
    a.load(R2, u64(R1));
    a.call_local(function);
    a.mov(R6, 3);
    a.bind(again);
    a.sub(R6, 1);
    a.jne(R6, 0, again);
    a.mov(R0, 0);
    a.exit();
    a.begin_subprogram(function);
    a.mov(R0, R2);
    a.exit();
    Sample::new(bpf::PROG_TYPE_SOCKET_FILTER, a, vec![map])
}

/// Maps by index, callbacks, kernel functions and variables: Linux 6.6 has it all.
fn newer_references() -> Sample {
    let map = bpf::map(bpf::MAP_TYPE_ARRAY, 16).expect("an array map");
    let id = |name| btf::function(name).unwrap_or_else(|| panic!("the kernel's BTF has no {name}"));
    let mut a = Asm::for_cpu("newer_references", Cpu::V4);
    let callback = a.label_named("callback");
    a.load_map_index(R1, 0);
    a.load_map_index_value(R1, 0, 8);
    a.load(R1, u64(R1));
    a.call_kfunc(id("bpf_rcu_read_lock"), 0);
    a.call_kfunc(id("bpf_rcu_read_unlock"), 0);
    // A function, since not every kernel has the symbols of variables.
    a.load_btf_id(R1, id("bpf_rcu_read_lock"));
    a.mov(R1, 4);
    a.load_func(R2, callback);
    a.mov(R3, 0);
    a.mov(R4, 0);
    a.call(Helper::Loop);
    a.mov(R0, 0);
    a.exit();
    a.begin_subprogram(callback);
    a.mov(R0, 0);
    a.exit();
    Sample::new(bpf::PROG_TYPE_SYSCALL, a, vec![map])
}

/// Address spaces: Linux 6.9.
fn arena() -> Sample {
    let map = bpf::map(bpf::MAP_TYPE_ARENA, 0).expect("an arena");
    let mut a = Asm::for_cpu("arena", Cpu::Latest);
    a.load_map(R1, MapRef(0));
    a.mov(R2, 0);
    a.addr_space_cast(R1, R2, 0, 1);
    a.addr_space_cast(R3, R2, 1, 0);
    a.mov(R0, 0);
    a.exit();
    Sample::new(bpf::PROG_TYPE_SYSCALL, a, vec![map])
}

#[test]
fn the_verifier_prints_our_listing() {
    if skip() {
        return;
    }
    let cpu = kernel_cpu();
    println!("the kernel has {cpu}");
    let mut samples = vec![numbers(cpu), packets(), references()];
    if cpu >= Cpu::V4 {
        samples.push(newer_references());
    }
    if cpu >= Cpu::Latest {
        samples.push(arena());
    }
    let mut printed = HashSet::new();
    for sample in &samples {
        sample.compare();
        printed.extend(sample.program.insns().iter().map(|insn| forms::form(&insn.op)));
    }
    for form in forms::all().into_iter().filter(|form| form.needs() <= cpu) {
        let newer = match form {
            // Linux 6.19, and a map of a type that no older kernel has.
            Op::JumpTo { .. } => true,
            Op::LoadImm64 { value, .. } => match value {
                Imm64::Const(_) | Imm64::Map(_) | Imm64::MapValue(..) => false,
                Imm64::BtfId { .. } | Imm64::Func { .. } | Imm64::MapIndex(_) | Imm64::MapIndexValue(..) => {
                    cpu < Cpu::V4
                }
            },
            Op::CallKfunc { .. } => cpu < Cpu::V4,
            _ => false,
        };
        assert!(newer || printed.contains(&form), "not in any log: {form}");
    }
}
