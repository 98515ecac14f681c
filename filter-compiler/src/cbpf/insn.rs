//! Instructions and programs of classic BPF: text in both of tcpdump's forms, and the check before running.

use std::fmt;
use std::str::FromStr;

/// Parts of an instruction's `code`, as in `linux/filter.h` and `linux/bpf_common.h`.
pub mod op {
    /// Mask of the instruction class.
    pub const CLASS: u16 = 0x07;
    /// Class: load into A.
    pub const LD: u16 = 0x00;
    /// Class: load into X.
    pub const LDX: u16 = 0x01;
    /// Class: store A into M[k].
    pub const ST: u16 = 0x02;
    /// Class: store X into M[k].
    pub const STX: u16 = 0x03;
    /// Class: arithmetic on A.
    pub const ALU: u16 = 0x04;
    /// Class: jump.
    pub const JMP: u16 = 0x05;
    /// Class: return.
    pub const RET: u16 = 0x06;
    /// Class: move between A and X.
    pub const MISC: u16 = 0x07;

    /// Load width: four bytes.
    pub const W: u16 = 0x00;
    /// Load width: two bytes.
    pub const H: u16 = 0x08;
    /// Load width: one byte.
    pub const B: u16 = 0x10;

    /// Load mode: the constant k.
    pub const IMM: u16 = 0x00;
    /// Load mode: packet bytes at k.
    pub const ABS: u16 = 0x20;
    /// Load mode: packet bytes at X + k.
    pub const IND: u16 = 0x40;
    /// Load mode: scratch cell M[k].
    pub const MEM: u16 = 0x60;
    /// Load mode: the packet's length on the wire.
    pub const LEN: u16 = 0x80;
    /// Load mode, X only: four times the low half of the byte at k, an IPv4 header's length.
    pub const MSH: u16 = 0xa0;

    /// Arithmetic: A += operand.
    pub const ADD: u16 = 0x00;
    /// Arithmetic: A -= operand.
    pub const SUB: u16 = 0x10;
    /// Arithmetic: A *= operand.
    pub const MUL: u16 = 0x20;
    /// Arithmetic: A /= operand; zero rejects the packet.
    pub const DIV: u16 = 0x30;
    /// Arithmetic: A |= operand.
    pub const OR: u16 = 0x40;
    /// Arithmetic: A &= operand.
    pub const AND: u16 = 0x50;
    /// Arithmetic: A <<= operand; more than 31 gives 0.
    pub const LSH: u16 = 0x60;
    /// Arithmetic: A >>= operand; more than 31 gives 0.
    pub const RSH: u16 = 0x70;
    /// Arithmetic: A = -A.
    pub const NEG: u16 = 0x80;
    /// Arithmetic: A %= operand; zero rejects the packet.
    pub const MOD: u16 = 0x90;
    /// Arithmetic: A ^= operand.
    pub const XOR: u16 = 0xa0;

    /// Jump: always, by the signed k.
    pub const JA: u16 = 0x00;
    /// Jump: if A == operand.
    pub const JEQ: u16 = 0x10;
    /// Jump: if A > operand, unsigned.
    pub const JGT: u16 = 0x20;
    /// Jump: if A >= operand, unsigned.
    pub const JGE: u16 = 0x30;
    /// Jump: if A & operand is not zero.
    pub const JSET: u16 = 0x40;

    /// Operand: the constant k.
    pub const K: u16 = 0x00;
    /// Operand: X.
    pub const X: u16 = 0x08;
    /// Return value: A.
    pub const A: u16 = 0x10;

    /// Move: X = A.
    pub const TAX: u16 = 0x00;
    /// Move: A = X.
    pub const TXA: u16 = 0x80;

    /// Number of scratch cells.
    pub const MEMWORDS: u32 = 16;
    /// Absolute loads from here on read what Linux knows about the packet, not its bytes.
    pub const AD_OFF: u32 = 0xffff_f000;
    /// Ancillary: `PACKET_HOST`, `PACKET_OUTGOING`, ...
    pub const AD_PKTTYPE: u32 = AD_OFF + 4;
    /// Ancillary: the number of the interface.
    pub const AD_IFINDEX: u32 = AD_OFF + 8;
    /// Ancillary: the VLAN tag that the kernel took out of the packet.
    pub const AD_VLAN_TAG: u32 = AD_OFF + 44;
    /// Ancillary: 1 if there is such a tag.
    pub const AD_VLAN_TAG_PRESENT: u32 = AD_OFF + 48;
}

use op::*;

/// One instruction, laid out like the kernel's `struct sock_filter`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct Insn {
    /// What to do: a sum of constants of [`op`].
    pub code: u16,
    /// Instructions to skip when a conditional jump's test holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// The constant, offset or cell number.
    pub k: u32,
}

impl Insn {
    /// An instruction other than a conditional jump.
    pub const fn new(code: u16, k: u32) -> Insn {
        Insn { code, jt: 0, jf: 0, k }
    }

    /// A conditional jump; `test` is one of `JEQ`, `JGT`, `JGE`, `JSET`, with `X` added or not.
    pub const fn jump(test: u16, k: u32, jt: u8, jf: u8) -> Insn {
        Insn { code: JMP | test, jt, jf, k }
    }

    /// The line that `tcpdump -d` prints for this instruction at position `at` of a program.
    pub fn line(self, at: usize) -> impl fmt::Display {
        Line { insn: self, at }
    }

    /// Whether this is a jump with two targets.
    pub(crate) fn is_conditional(self) -> bool {
        self.code & CLASS == JMP && self.code & 0xf0 != JA
    }
}

/// A program: what runs from the first instruction to a return.
///
/// `Display` is the listing of `tcpdump -d`; [`Program::decimal`] and `FromStr` are the form of `tcpdump -ddd`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Program(pub Vec<Insn>);

/// Who will run a program: the rules differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Runner {
    /// libpcap, or this crate's interpreter: jumps may go backwards, which only `protochain` needs.
    Userland,
    /// Linux, as a socket filter (`net/core/filter.c`, `bpf_check_classic`): forward jumps, at most 4096
    /// instructions, no scratch cell read before it was written, no constant shift above 31.
    Linux,
}

impl Program {
    /// The form of `tcpdump -ddd`: a line with the count, then one line of four decimal numbers per instruction.
    pub fn decimal(&self) -> impl fmt::Display + '_ {
        Decimal(self)
    }

    /// Checks that `runner` will take the program: known codes, jumps that land inside, cells that exist, no division
    /// by a constant zero, a return at the end.
    pub fn check(&self, runner: Runner) -> Result<(), CheckError> {
        let len = self.0.len();
        if len == 0 {
            return Err(CheckError::Empty);
        }
        if runner == Runner::Linux && len > LINUX_MAX {
            return Err(CheckError::TooLong(len));
        }
        for (at, &insn) in self.0.iter().enumerate() {
            check_insn(insn, at, len, runner)?;
        }
        if self.0[len - 1].code & CLASS != RET {
            return Err(CheckError::NoReturn);
        }
        if runner == Runner::Linux { self.check_cells() } else { Ok(()) }
    }

    /// No cell is read on a path that did not write it. Jumps are known to go forward here.
    fn check_cells(&self) -> Result<(), CheckError> {
        let mut written = vec![u16::MAX; self.0.len()]; // per instruction: cells that every path has written
        let mut now: u16 = 0;
        for (at, insn) in self.0.iter().enumerate() {
            now &= written[at];
            let mut reach = |to: usize| written[to] &= now;
            match insn.code {
                code if code == ST || code == STX => now |= 1 << insn.k,
                code if code & CLASS <= LDX && code & 0xe0 == MEM && now & (1 << insn.k) == 0 => {
                    return Err(CheckError::UnwrittenCell { at, cell: insn.k });
                }
                code if code == JMP | JA => {
                    reach(at + 1 + insn.k as usize);
                    now = u16::MAX;
                }
                _ if insn.is_conditional() => {
                    reach(at + 1 + usize::from(insn.jt));
                    reach(at + 1 + usize::from(insn.jf));
                    now = u16::MAX;
                }
                code if code & CLASS == RET => now = u16::MAX,
                _ => {}
            }
        }
        Ok(())
    }
}

/// `BPF_MAXINSNS` of `linux/bpf_common.h`.
const LINUX_MAX: usize = 4096;

fn check_insn(insn: Insn, at: usize, len: usize, runner: Runner) -> Result<(), CheckError> {
    let inside = |distance: usize| at.checked_add(1 + distance).is_some_and(|to| to < len);
    match insn.code & CLASS {
        LD | LDX if !is_load(insn.code) => return Err(CheckError::UnknownCode { at, code: insn.code }),
        LD | LDX if insn.code & 0xe0 == MEM && insn.k >= MEMWORDS => {
            return Err(CheckError::NoSuchCell { at, cell: insn.k });
        }
        LD | LDX => {}
        ST | STX if insn.code & !CLASS != 0 => return Err(CheckError::UnknownCode { at, code: insn.code }),
        ST | STX if insn.k >= MEMWORDS => return Err(CheckError::NoSuchCell { at, cell: insn.k }),
        ST | STX => {}
        ALU => match (insn.code & 0xf0, insn.code & !0xf7) {
            (NEG, K) | (ADD | SUB | MUL | DIV | OR | AND | LSH | RSH | MOD | XOR, X) => {}
            (DIV | MOD, K) if insn.k == 0 => return Err(CheckError::DivisionByZero { at }),
            (LSH | RSH, K) if insn.k > 31 && runner == Runner::Linux => {
                return Err(CheckError::LongShift { at, count: insn.k });
            }
            (ADD | SUB | MUL | DIV | OR | AND | LSH | RSH | MOD | XOR, K) => {}
            _ => return Err(CheckError::UnknownCode { at, code: insn.code }),
        },
        JMP => match (insn.code & 0xf0, insn.code & !0xf7) {
            (JA, K) => {
                // The distance is signed: 32 bits wrap a forward jump into a backward one.
                let to = at as i64 + 1 + i64::from(insn.k as i32);
                let backwards = to <= at as i64;
                if to < 0 || to >= len as i64 || (backwards && runner == Runner::Linux) {
                    return Err(CheckError::JumpOutside { at });
                }
            }
            (JEQ | JGT | JGE | JSET, K | X) => {
                if !inside(insn.jt.into()) || !inside(insn.jf.into()) {
                    return Err(CheckError::JumpOutside { at });
                }
            }
            _ => return Err(CheckError::UnknownCode { at, code: insn.code }),
        },
        RET if insn.code == RET | K || insn.code == RET | A => {}
        MISC if insn.code == MISC | TAX || insn.code == MISC | TXA => {}
        _ => return Err(CheckError::UnknownCode { at, code: insn.code }),
    }
    Ok(())
}

fn is_load(code: u16) -> bool {
    let loads = [
        LD | IMM,
        LD | W | ABS,
        LD | H | ABS,
        LD | B | ABS,
        LD | W | IND,
        LD | H | IND,
        LD | B | IND,
        LD | MEM,
        LD | W | LEN,
        LDX | IMM,
        LDX | MEM,
        LDX | W | LEN,
        LDX | B | MSH,
    ];
    loads.contains(&code)
}

/// Why a program cannot be run. Positions count instructions from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckError {
    /// There is no instruction.
    Empty,
    /// More instructions than Linux takes, 4096.
    TooLong(usize),
    /// The code at `at` means nothing.
    UnknownCode {
        /// Position.
        at: usize,
        /// The code.
        code: u16,
    },
    /// The scratch cell does not exist.
    NoSuchCell {
        /// Position.
        at: usize,
        /// Number of the cell.
        cell: u32,
    },
    /// The scratch cell is read where some path has not written it (Linux only).
    UnwrittenCell {
        /// Position.
        at: usize,
        /// Number of the cell.
        cell: u32,
    },
    /// Division or remainder by the constant 0.
    DivisionByZero {
        /// Position.
        at: usize,
    },
    /// A constant shift above 31 (Linux only).
    LongShift {
        /// Position.
        at: usize,
        /// By how many bits.
        count: u32,
    },
    /// A jump leaves the program, or goes backwards where that is not allowed.
    JumpOutside {
        /// Position.
        at: usize,
    },
    /// The last instruction is not a return.
    NoReturn,
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            CheckError::Empty => f.write_str("the program has no instruction"),
            CheckError::TooLong(len) => write!(f, "{len} instructions are more than the kernel takes ({LINUX_MAX})"),
            CheckError::UnknownCode { at, code } => write!(f, "instruction {at} has the unknown code {code:#x}"),
            CheckError::NoSuchCell { at, cell } => write!(f, "instruction {at} uses M[{cell}], the last cell is M[15]"),
            CheckError::UnwrittenCell { at, cell } => {
                write!(f, "instruction {at} reads M[{cell}] before it is written")
            }
            CheckError::DivisionByZero { at } => write!(f, "instruction {at} divides by zero"),
            CheckError::LongShift { at, count } => write!(f, "instruction {at} shifts by {count} bits"),
            CheckError::JumpOutside { at } => write!(f, "instruction {at} jumps out of the program or backwards"),
            CheckError::NoReturn => f.write_str("the last instruction is not a return"),
        }
    }
}

impl std::error::Error for CheckError {}

/// Why a text is not a program in the form of `tcpdump -ddd`. Lines count from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ParseError {
    /// The first line is not a number.
    NoCount,
    /// The line is not four decimal numbers that fit their fields.
    Row {
        /// Line.
        line: usize,
    },
    /// The number of rows is not the number in the first line.
    WrongCount {
        /// What the first line says.
        announced: usize,
        /// What there is.
        rows: usize,
    },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ParseError::NoCount => f.write_str("the first line is not the number of instructions"),
            ParseError::Row { line } => write!(f, "line {line} is not four decimal numbers `code jt jf k`"),
            ParseError::WrongCount { announced, rows } => {
                write!(f, "the first line announces {announced} instructions, {rows} follow")
            }
        }
    }
}

impl std::error::Error for ParseError {}

impl FromStr for Program {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Program, ParseError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let count = lines.next().and_then(|(_, line)| line.trim().parse().ok()).ok_or(ParseError::NoCount)?;
        let rows = lines
            .map(|(at, line)| parse_row(line).ok_or(ParseError::Row { line: at + 1 }))
            .collect::<Result<Vec<Insn>, ParseError>>()?;
        if rows.len() != count {
            return Err(ParseError::WrongCount { announced: count, rows: rows.len() });
        }
        Ok(Program(rows))
    }
}

fn parse_row(line: &str) -> Option<Insn> {
    let mut fields = line.split_ascii_whitespace();
    let insn = Insn {
        code: fields.next()?.parse().ok()?,
        jt: fields.next()?.parse().ok()?,
        jf: fields.next()?.parse().ok()?,
        k: fields.next()?.parse().ok()?,
    };
    fields.next().is_none().then_some(insn)
}

struct Decimal<'a>(&'a Program);

impl fmt::Display for Decimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.0.0.len())?;
        self.0.0.iter().try_for_each(|i| writeln!(f, "{} {} {} {}", i.code, i.jt, i.jf, i.k))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(at, insn)| writeln!(f, "{}", insn.line(at)))
    }
}

struct Line {
    insn: Insn,
    at: usize,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, operand) = image(self.insn, self.at);
        write!(f, "({:03}) {name:<8} ", self.at)?;
        if self.insn.is_conditional() {
            let (jt, jf) = (self.at + 1 + usize::from(self.insn.jt), self.at + 1 + usize::from(self.insn.jf));
            write!(f, "{operand:<16} jt {jt}\tjf {jf}")
        } else {
            f.write_str(&operand)
        }
    }
}

/// Name and operand. Offsets are signed and masks hexadecimal, as libpcap prints them.
fn image(insn: Insn, at: usize) -> (&'static str, String) {
    let Insn { code, k, .. } = insn;
    let signed = k as i32;
    let known = match code & CLASS {
        LD | LDX => is_load(code) && code != LDX | W | LEN, // libpcap's listing does not know this last one
        ST | STX => code & !CLASS == 0,
        ALU => matches!((code & 0xf0, code & !0xf7), (NEG, K) | (0..=RSH, K | X) | (MOD | XOR, K | X)),
        JMP => matches!((code & 0xf0, code & !0xf7), (JA, K) | (JEQ | JGT | JGE | JSET, K | X)),
        RET => code == RET | K || code == RET | A,
        _ => code == MISC | TAX || code == MISC | TXA,
    };
    if !known {
        return ("unimp", format!("{code:#x}"));
    }
    let operand = |decimal: bool| match (code & X != 0, decimal) {
        (true, _) => "x".to_owned(),
        (_, true) => format!("#{signed}"),
        (_, false) => format!("#{k:#x}"),
    };
    match code & CLASS {
        LD => {
            let width = if code & 0xe0 == ABS || code & 0xe0 == IND { code & 0x18 } else { W };
            let name = match width {
                H => "ldh",
                B => "ldb",
                _ => "ld",
            };
            let operand = match code & 0xe0 {
                IMM => format!("#{k:#x}"),
                ABS => ancillary(k).map_or_else(|| format!("[{signed}]"), |name| format!("[{name}]")),
                IND => format!("[x + {signed}]"),
                MEM => format!("M[{signed}]"),
                _ => "#pktlen".to_owned(),
            };
            (name, operand)
        }
        LDX => match code & 0xe0 {
            IMM => ("ldx", format!("#{k:#x}")),
            MEM => ("ldx", format!("M[{signed}]")),
            _ => ("ldxb", format!("4*([{signed}]&0xf)")),
        },
        ST => ("st", format!("M[{signed}]")),
        STX => ("stx", format!("M[{signed}]")),
        ALU => match code & 0xf0 {
            ADD => ("add", operand(true)),
            SUB => ("sub", operand(true)),
            MUL => ("mul", operand(true)),
            DIV => ("div", operand(true)),
            MOD => ("mod", operand(true)),
            LSH => ("lsh", operand(true)),
            RSH => ("rsh", operand(true)),
            AND => ("and", operand(false)),
            OR => ("or", operand(false)),
            XOR => ("xor", operand(false)),
            _ => ("neg", String::new()),
        },
        JMP => match code & 0xf0 {
            JEQ => ("jeq", operand(false)),
            JGT => ("jgt", operand(false)),
            JGE => ("jge", operand(false)),
            JSET => ("jset", operand(false)),
            _ => ("ja", format!("{}", (at as i32).wrapping_add(1).wrapping_add(signed))),
        },
        RET if code & 0x18 == A => ("ret", String::new()),
        RET => ("ret", format!("#{signed}")),
        _ if code & 0xf8 == TXA => ("txa", String::new()),
        _ => ("tax", String::new()),
    }
}

/// libpcap's names for absolute offsets that Linux treats specially.
fn ancillary(k: u32) -> Option<&'static str> {
    const NAMES: [&str; 16] = [
        "proto",
        "type",
        "ifidx",
        "nla",
        "nlan",
        "mark",
        "queue",
        "hatype",
        "rxhash",
        "cpu",
        "xor_x",
        "vlan_tci",
        "vlanp",
        "poff",
        "random",
        "vlan_tpid",
    ];
    let n = k.checked_sub(AD_OFF)?;
    if n % 4 == 0 { NAMES.get(n as usize / 4).copied() } else { None }
}
