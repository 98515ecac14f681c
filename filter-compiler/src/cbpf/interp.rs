//! Runs classic BPF the way libpcap's `bpf_filter()` does, and counts what was executed.

use super::insn::{Insn, Program, op::*};

/// Instructions after which a run is ended: backward jumps can loop forever on crafted packets.
pub const STEP_LIMIT: u64 = 1 << 16;

/// What a program is run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Packet<'a> {
    /// The captured bytes.
    pub data: &'a [u8],
    /// Length on the wire; more than `data.len()` when the capture cut the packet.
    pub wire_len: u32,
    /// What the kernel knows besides the bytes.
    pub meta: Meta,
}

impl<'a> Packet<'a> {
    /// A packet captured whole, without metadata.
    pub fn whole(data: &'a [u8]) -> Packet<'a> {
        Packet { data, wire_len: u32::try_from(data.len()).unwrap_or(u32::MAX), meta: Meta::default() }
    }
}

/// What Linux knows about a packet besides its bytes; read by ancillary loads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Meta {
    /// `PACKET_HOST` 0 ... `PACKET_OUTGOING` 4 (`linux/if_packet.h`).
    pub pkt_type: u8,
    /// Number of the interface; 0 if there is none.
    pub ifindex: u32,
    /// The VLAN tag (TCI, host byte order) that was taken out of the packet, if one was.
    pub vlan_tag: Option<u16>,
}

/// Result of one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// What the program returned: bytes to keep, 0 to reject.
    pub value: u32,
    /// Number of instructions executed.
    pub executed: u64,
    /// Number of jumps backwards that were taken.
    pub backward: u64,
    /// What ended the run.
    pub end: End,
}

impl Outcome {
    /// Whether the packet passes.
    pub fn accepted(&self) -> bool {
        self.value != 0
    }
}

/// What ended a run. All but `Return` reject the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// A return instruction.
    Return,
    /// A load that does not fit in the captured bytes, or an ancillary load that has no value.
    NoSuchByte,
    /// Division or remainder by zero.
    DivisionByZero,
    /// [`STEP_LIMIT`] was reached.
    StepLimit,
    /// An instruction that [`Program::check`] would have refused.
    Invalid,
}

impl Program {
    /// Runs the program on `packet`. Safe for every program; one that [`Program::check`] accepts never ends in
    /// [`End::Invalid`].
    pub fn run(&self, packet: &Packet<'_>) -> Outcome {
        self.trace(packet, |_| ())
    }

    /// As [`Program::run`], calling `visit` with the position of every instruction before it is executed.
    pub fn trace(&self, packet: &Packet<'_>, mut visit: impl FnMut(usize)) -> Outcome {
        let mut cpu = Cpu { packet, a: 0, x: 0, cells: [0; MEMWORDS as usize], pc: 0 };
        let (mut executed, mut backward) = (0, 0);
        let mut run = || {
            while executed < STEP_LIMIT {
                let at = cpu.pc;
                let insn = *self.0.get(at).ok_or(End::Invalid)?;
                visit(at);
                executed += 1;
                cpu.pc += 1;
                if let Some(value) = cpu.step(insn)? {
                    return Ok(value);
                }
                backward += u64::from(cpu.pc <= at);
            }
            Err(End::StepLimit)
        };
        let (value, end) = run().map_or_else(|end| (0, end), |value| (value, End::Return));
        Outcome { value, executed, backward, end }
    }
}

struct Cpu<'a> {
    packet: &'a Packet<'a>,
    a: u32,
    x: u32,
    cells: [u32; MEMWORDS as usize],
    pc: usize,
}

impl Cpu<'_> {
    /// Executes one instruction; `Some` is the returned value.
    fn step(&mut self, insn: Insn) -> Result<Option<u32>, End> {
        let k = insn.k;
        match insn.code & CLASS {
            LD => self.a = self.load(insn)?,
            LDX => {
                self.x = match insn.code {
                    code if code == LDX | B | MSH => (self.bytes(0, k, 1)? & 15) << 2,
                    code if code == LDX | W | LEN => self.packet.wire_len,
                    code if code == LDX | IMM => k,
                    code if code == LDX | MEM => *self.cell(k)?,
                    _ => return Err(End::Invalid),
                }
            }
            ST => *self.cell(k)? = self.a,
            STX => *self.cell(k)? = self.x,
            ALU => self.a = self.arithmetic(insn)?,
            JMP => self.jump(insn)?,
            RET => return Ok(Some(if insn.code & 0x18 == A { self.a } else { k })),
            _ if insn.code & 0xf8 == TXA => self.a = self.x,
            _ => self.x = self.a,
        }
        Ok(None)
    }

    fn load(&mut self, insn: Insn) -> Result<u32, End> {
        let size = match insn.code & 0x18 {
            W => 4,
            H => 2,
            B => 1,
            _ => return Err(End::Invalid),
        };
        match insn.code & 0xe0 {
            IMM => Ok(insn.k),
            ABS if insn.k >= AD_OFF => self.ancillary(insn.k),
            ABS => self.bytes(0, insn.k, size),
            IND => self.bytes(self.x, insn.k, size),
            MEM => Ok(*self.cell(insn.k)?),
            LEN => Ok(self.packet.wire_len),
            _ => Err(End::Invalid),
        }
    }

    /// `size` bytes at x + k, big endian. The sum does not wrap: an address beyond 32 bits is outside the packet.
    fn bytes(&self, x: u32, k: u32, size: usize) -> Result<u32, End> {
        let start = usize::try_from(u64::from(x) + u64::from(k)).map_err(|_| End::NoSuchByte)?;
        let end = start.checked_add(size).ok_or(End::NoSuchByte)?;
        let bytes = self.packet.data.get(start..end).ok_or(End::NoSuchByte)?;
        Ok(bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte)))
    }

    fn ancillary(&self, k: u32) -> Result<u32, End> {
        let meta = self.packet.meta;
        match k {
            AD_PKTTYPE => Ok(meta.pkt_type.into()),
            AD_IFINDEX => Ok(meta.ifindex),
            AD_VLAN_TAG => Ok(meta.vlan_tag.unwrap_or(0).into()),
            AD_VLAN_TAG_PRESENT => Ok(meta.vlan_tag.is_some().into()),
            _ => Err(End::NoSuchByte),
        }
    }

    fn cell(&mut self, k: u32) -> Result<&mut u32, End> {
        self.cells.get_mut(k as usize).ok_or(End::Invalid)
    }

    fn operand(&self, insn: Insn) -> u32 {
        if insn.code & X != 0 { self.x } else { insn.k }
    }

    fn arithmetic(&self, insn: Insn) -> Result<u32, End> {
        let (a, b) = (self.a, self.operand(insn));
        Ok(match insn.code & 0xf0 {
            ADD => a.wrapping_add(b),
            SUB => a.wrapping_sub(b),
            MUL => a.wrapping_mul(b),
            DIV => a.checked_div(b).ok_or(End::DivisionByZero)?,
            MOD => a.checked_rem(b).ok_or(End::DivisionByZero)?,
            OR => a | b,
            AND => a & b,
            XOR => a ^ b,
            LSH => a.checked_shl(b).unwrap_or(0),
            RSH => a.checked_shr(b).unwrap_or(0),
            NEG => a.wrapping_neg(),
            _ => return Err(End::Invalid),
        })
    }

    fn jump(&mut self, insn: Insn) -> Result<(), End> {
        let (a, b) = (self.a, self.operand(insn));
        let holds = match insn.code & 0xf0 {
            JA => {
                // A target outside the program is found when it is fetched.
                self.pc = self.pc.wrapping_add_signed(insn.k as i32 as isize);
                return Ok(());
            }
            JEQ => a == b,
            JGT => a > b,
            JGE => a >= b,
            JSET => a & b != 0,
            _ => return Err(End::Invalid),
        };
        self.pc += usize::from(if holds { insn.jt } else { insn.jf });
        Ok(())
    }
}
