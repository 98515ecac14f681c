//! A machine that runs emitted programs: instructions as the kernel executes them, helpers and casts included, on
//! memory that is not there.

use asm::{AtomicOp, Helper, Imm64, MapRef, Op, Operand, Order, Program, Reg, Size};
use whither::plan::kernel::Task;
use whither::program::spare::SPARE;
use whither::program::{COUNTERS, EVENTS, LOSSES, SCRATCH, SHARED, SILENT, counter};

use super::model;
use super::objects::Memory;

/// What programs find besides memory, and how a run is to go.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// What `bpf_get_attach_cookie` returns.
    pub cookie: u64,
    /// What `bpf_get_func_ip` returns.
    pub function: u64,
    /// `bpf_ktime_get_ns`.
    pub time: u64,
    /// Thread group and thread.
    pub pid: (u32, u32),
    /// The CPU.
    pub cpu: u32,
    /// The task's name.
    pub comm: [u8; 16],
    /// Where a task has its thread group and its name, for programs that look there.
    pub task: Option<Task>,
    /// Whether there is room for a record.
    pub room: bool,
    /// Whether there is room for the last record of a packet.
    pub spare: bool,
    /// Whether the reader waits to be woken.
    pub reader_waits: bool,
    /// Records lost before.
    pub lost: u64,
    /// Whether memory may be loaded from, as it may after `bpf_rdonly_cast`: what faults reads as 0.
    pub loads: bool,
}

impl Default for Surroundings {
    fn default() -> Surroundings {
        Surroundings {
            cookie: 1,
            function: 0xffff_ffff_8100_0000,
            time: 0x1122_3344_5566_7788,
            pid: (4711, 4712),
            cpu: 3,
            comm: *b"curl\0\0\0\0\0\0\0\0\0\0\0\0",
            task: None,
            room: true,
            spare: true,
            reader_waits: false,
            lost: 5,
            loads: false,
        }
    }
}

impl Surroundings {
    /// The task as it lies in memory.
    fn task(&self) -> Vec<u8> {
        let Some(Task { tgid, comm }) = self.task else { return Vec::new() };
        let mut bytes = vec![0x7a; comm.end().max(tgid.end()) as usize];
        bytes[tgid.offset as usize..][..4].copy_from_slice(&self.pid.0.to_le_bytes());
        bytes[comm.offset as usize..][..16].copy_from_slice(&self.comm);
        bytes
    }
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The record, if one was sent. Bytes that the program did not write are 0xee.
    pub record: Option<Vec<u8>>,
    /// Where in the other ring buffer a record belongs that was sent by the spare one.
    pub spared: Option<u64>,
    /// Whether the reader was woken.
    pub woken: bool,
    /// Records lost now.
    pub lost: u64,
    /// Packets of which more would have had to be read.
    pub unread: u64,
    /// Helpers that were called.
    pub helpers: usize,
    /// Instructions that were executed.
    pub steps: usize,
}

/// Runs the program on a context. Panics if it does what no verifier would accept.
pub fn run(program: &Program, context: &[u8], memory: &Memory, around: &Surroundings) -> Outcome {
    let mut machine = Machine {
        regs: [0xdead_0000_dead_0000; 11],
        around,
        memory,
        own: [
            (CONTEXT, context.to_vec()),
            (STACK, vec![0xbd; 512]),
            (RECORD, Vec::new()),
            (COUNTER, [around.lost, 0].map(u64::to_le_bytes).concat()),
            (WAITS, u64::from(around.reader_waits).to_le_bytes().to_vec()),
            (SILENCE, vec![0; 8]),
            (ROOM, [vec![0; 8], vec![0xee; 8 << 10]].concat()),
            (TASK, around.task()),
            (LOSS, u64::from(around.lost > 0).to_le_bytes().to_vec()),
        ],
        spare: false,
        out: Outcome::default(),
    };
    machine.regs[1] = CONTEXT;
    machine.regs[10] = STACK + 512;
    let starts: Vec<usize> =
        program.insns().iter().scan(0, |at, insn| Some(std::mem::replace(at, *at + insn.op.slots()))).collect();
    let mut slot = 0;
    while machine.out.steps < 100_000 {
        let index = starts.binary_search(&slot).expect("jumps lead to instructions");
        let op = program.insns()[index].op;
        let next = slot + op.slots();
        machine.out.steps += 1;
        slot = match machine.step(&op) {
            Step::Next => next,
            Step::Jump(distance) => (next as i64 + distance) as usize,
            Step::Exit => {
                assert_eq!(machine.regs[0], 0, "a tracing program returns 0");
                machine.out.lost = machine.load(COUNTER + u64::from(counter::LOST), Size::B8);
                machine.out.unread = machine.load(COUNTER + u64::from(counter::UNREAD), Size::B8);
                return machine.out;
            }
        };
    }
    panic!("the program does not end:\n{program}");
}

/// Addresses of what belongs to a program.
const CONTEXT: u64 = 0xffff_c900_0000_0000;
const STACK: u64 = 0xffff_c900_0001_0000;
const RECORD: u64 = 0xffff_c900_0002_0000;
const COUNTER: u64 = 0xffff_c900_0003_0000;
const WAITS: u64 = 0xffff_c900_0004_0000;
const SILENCE: u64 = 0xffff_c900_0006_0000;
/// Pointers to maps, which nobody may load from.
const MAPS: u64 = 0xffff_c900_0005_0000;

/// Room for records that are too large for the stack: a flag, and the record.
const ROOM: u64 = 0xffff_c900_0007_0000;

/// The task that runs.
const TASK: u64 = 0xffff_c900_0008_0000;
/// Whether records were lost.
const LOSS: u64 = 0xffff_c900_0009_0000;

/// What is on every stack.
pub const STACK_FRAMES: [u64; 3] = [0xffff_ffff_8111_1111, 0xffff_ffff_8122_2222, 0xffff_ffff_8133_3333];

/// How far the ring buffer is filled.
pub const POSITION: u64 = 0x12_3456_7890;

const EFAULT: i64 = -14;

enum Step {
    Next,
    Jump(i64),
    Exit,
}

struct Machine<'m> {
    regs: [u64; 11],
    around: &'m Surroundings,
    memory: &'m Memory,
    own: [(u64, Vec<u8>); 9],
    /// Whether the record lies in the spare ring buffer.
    spare: bool,
    out: Outcome,
}

impl Machine<'_> {
    fn step(&mut self, op: &Op) -> Step {
        match *op {
            Op::Alu { op, width, dst, src } => {
                let result = model::alu(op, width, self.get(dst), self.value(src));
                self.set(dst, result);
            }
            Op::Neg { width, dst } => {
                let value = self.get(dst);
                self.set(dst, model::alu(asm::AluOp::Sub, width, 0, value));
            }
            Op::Swap { order: Order::Be, size, dst } => {
                let value = self.get(dst);
                let swapped = match size {
                    Size::B2 => u64::from((value as u16).swap_bytes()),
                    Size::B4 => u64::from((value as u32).swap_bytes()),
                    _ => value.swap_bytes(),
                };
                self.set(dst, swapped);
            }
            Op::Load { size, dst, base, offset } => {
                let value = self.load(self.get(base).wrapping_add_signed(offset.into()), size);
                self.set(dst, value);
            }
            Op::Store { size, base, offset, src } => {
                let (address, value) = (self.get(base).wrapping_add_signed(offset.into()), self.value(src));
                self.bytes(address, size.bytes().into()).copy_from_slice(&value.to_le_bytes()[..size.bytes().into()]);
            }
            Op::Atomic { op: AtomicOp::Add, size: Size::B8, base, offset, src } => {
                let address = self.get(base).wrapping_add_signed(offset.into());
                let sum = self.load(address, Size::B8).wrapping_add(self.get(src));
                self.bytes(address, 8).copy_from_slice(&sum.to_le_bytes());
            }
            Op::LoadImm64 { dst, value } => {
                let value = match value {
                    Imm64::Const(value) => value,
                    Imm64::Map(map) => MAPS + u64::from(map.0),
                    Imm64::MapValue(map, offset) if map == SHARED => WAITS + u64::from(offset),
                    Imm64::MapValue(map, offset) if map == SILENT => SILENCE + u64::from(offset),
                    Imm64::MapValue(map, offset) if map == LOSSES => LOSS + u64::from(offset),
                    other => panic!("the machine does not know {other:?}"),
                };
                self.set(dst, value);
            }
            Op::Jump { offset } => return Step::Jump(offset.into()),
            Op::Branch { cmp, width, lhs, rhs, offset } => {
                if model::compare(cmp, width, self.get(lhs), self.value(rhs)) {
                    return Step::Jump(offset.into());
                }
            }
            Op::Call(helper) => {
                self.out.helpers += 1;
                let result = self.call(helper);
                self.returned(result);
            }
            // bpf_rdonly_cast, the only kernel function that is called: the same address, with a type.
            Op::CallKfunc { .. } => {
                assert!(self.around.loads, "a cast where the plan has none");
                self.returned(self.regs[1]);
            }
            Op::Exit => return Step::Exit,
            other => panic!("the machine does not know {other}"),
        }
        Step::Next
    }

    fn returned(&mut self, result: u64) {
        self.regs[0] = result;
        for reg in &mut self.regs[1..=5] {
            *reg = 0xdead_beef_dead_beef;
        }
    }

    fn call(&mut self, helper: Helper) -> u64 {
        let [_, r1, r2, r3, r4, r5, ..] = self.regs;
        let map = |address: u64| MapRef(address.wrapping_sub(MAPS) as u32);
        match helper {
            Helper::ProbeReadKernelStr => {
                // As the kernel does: up to a NUL, which is always there in the end.
                let mut text = Vec::new();
                while text.len() + 1 < r2 as usize {
                    match self.memory.read(r3 + text.len() as u64, 1) {
                        Some(&[byte]) if byte != 0 => text.push(byte),
                        _ => break,
                    }
                }
                text.push(0);
                self.bytes(r1, text.len()).copy_from_slice(&text);
                text.len() as u64
            }
            Helper::ProbeReadKernel => {
                let found = self.memory.read(r3, r2 as usize).map(<[u8]>::to_vec);
                let to = self.bytes(r1, r2 as usize);
                match found {
                    Some(bytes) => {
                        to.copy_from_slice(&bytes);
                        0
                    }
                    None => {
                        to.fill(0);
                        EFAULT as u64
                    }
                }
            }
            Helper::GetAttachCookie => {
                assert_eq!(r1, CONTEXT);
                self.around.cookie
            }
            Helper::GetFuncIp => {
                assert_eq!(r1, CONTEXT);
                self.around.function
            }
            Helper::KtimeGetNs => self.around.time,
            Helper::GetCurrentPidTgid => u64::from(self.around.pid.0) << 32 | u64::from(self.around.pid.1),
            Helper::GetCurrentTaskBtf => TASK,
            Helper::GetSmpProcessorId => self.around.cpu.into(),
            Helper::GetCurrentComm => {
                let comm = self.around.comm;
                self.bytes(r1, r2 as usize).copy_from_slice(&comm[..r2 as usize]);
                0
            }
            Helper::GetStack => {
                assert_eq!((r1, r4), (CONTEXT, 0));
                let frames: Vec<u8> = STACK_FRAMES.iter().flat_map(|frame| frame.to_le_bytes()).collect();
                let size = frames.len().min(r3 as usize);
                self.bytes(r2, size).copy_from_slice(&frames[..size]);
                size as u64
            }
            Helper::MapLookupElem if map(r1) == SCRATCH => ROOM,
            Helper::MapLookupElem => {
                assert_eq!(map(r1), COUNTERS);
                assert_eq!(self.bytes(r2, 4), [0; 4], "the only key is 0");
                COUNTER
            }
            Helper::RingbufReserve => {
                assert_eq!(r3, 0);
                assert!(map(r1) == EVENTS || (map(r1) == SPARE && !self.around.room));
                self.spare = map(r1) == SPARE;
                if !(if self.spare { self.around.spare } else { self.around.room }) {
                    return 0;
                }
                self.own[2].1 = vec![0xee; r2 as usize];
                RECORD
            }
            Helper::RingbufQuery => {
                // BPF_RB_PROD_POS.
                assert_eq!((map(r1), r2), (EVENTS, 3));
                POSITION
            }
            Helper::RingbufSubmit => {
                assert_eq!(r1, RECORD);
                let mut record = std::mem::take(&mut self.own[2].1);
                if self.spare {
                    let at = record.split_off(record.len() - 8);
                    self.out.spared = Some(u64::from_le_bytes(at.try_into().expect("eight bytes")));
                }
                self.out.record = Some(record);
                // BPF_RB_NO_WAKEUP and BPF_RB_FORCE_WAKEUP.
                assert!(r2 == 1 || r2 == 2);
                self.out.woken = r2 == 2;
                0
            }
            Helper::PerfEventOutput => {
                assert_eq!((r1, map(r2), r3), (CONTEXT, EVENTS, 0xffff_ffff));
                if !self.around.room {
                    return -2i64 as u64;
                }
                self.out.record = Some(self.bytes(r4, r5 as usize).to_vec());
                0
            }
            other => panic!("the machine does not know {}", other.name()),
        }
    }

    fn get(&self, reg: Reg) -> u64 {
        self.regs[usize::from(reg.number())]
    }

    fn set(&mut self, reg: Reg, value: u64) {
        self.regs[usize::from(reg.number())] = value;
    }

    fn value(&self, operand: Operand) -> u64 {
        match operand {
            Operand::Reg(reg) => self.get(reg),
            Operand::Imm(imm) => i64::from(imm) as u64,
        }
    }

    /// The program's own bytes at an address.
    fn own(&mut self, address: u64, len: usize) -> Option<&mut [u8]> {
        let (start, bytes) =
            self.own.iter_mut().find(|(start, bytes)| (*start..*start + bytes.len() as u64).contains(&address))?;
        bytes.get_mut((address - *start) as usize..)?.get_mut(..len)
    }

    fn bytes(&mut self, address: u64, len: usize) -> &mut [u8] {
        assert!(!(CONTEXT..STACK).contains(&address), "the context is written or passed as a buffer");
        self.own(address, len).unwrap_or_else(|| panic!("{len} bytes at {address:#x} are not the program's"))
    }

    fn load(&mut self, address: u64, size: Size) -> u64 {
        let len = usize::from(size.bytes());
        let mut word = [0; 8];
        if let Some(bytes) = self.own(address, len) {
            word[..len].copy_from_slice(bytes);
        } else {
            assert!(self.around.loads, "a load from {address:#x}, which is not the program's");
            if let Some(bytes) = self.memory.read(address, len) {
                word[..len].copy_from_slice(bytes);
            }
        }
        u64::from_le_bytes(word)
    }
}

/// The registers of an x86_64 host at the entry of a function (`struct pt_regs`, arch/x86/include/asm/ptrace.h).
pub fn registers(args: [u64; 5], ip: u64, sp: u64) -> Vec<u8> {
    let mut context = vec![0x77; 168];
    let words = [112, 104, 96, 88, 72].into_iter().zip(args).chain([(128, ip), (152, sp)]);
    for (at, word) in words {
        context[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    context
}

/// The arguments of a tracepoint or of a function that is traced by fentry.
pub fn words(args: &[u64]) -> Vec<u8> {
    args.iter().flat_map(|arg| arg.to_le_bytes()).collect()
}
