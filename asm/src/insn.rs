//! Instructions: one variant per instruction of the machine, printed as the verifier prints it.

use crate::helper::Helper;
use crate::map::MapRef;
use crate::mem::Size;
use crate::reg::{Operand, Reg, Width};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// What one instruction does. Offsets of jumps and calls count 8-byte slots from the next instruction.
///
/// Its text is the verifier's (`kernel/bpf/disasm.c`): the opcode in brackets, then C, `w1` for a low half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// `dst op= src`; a plain move for [`AluOp::Mov`].
    Alu {
        /// What is computed.
        op: AluOp,
        /// Whole registers or low halves.
        width: Width,
        /// Left operand and result.
        dst: Reg,
        /// Right operand.
        src: Operand,
    },
    /// `dst = (s8)src`: the low bits, with their sign. Four bytes only between whole registers. Linux 6.6.
    MovSigned {
        /// Whole registers or low halves.
        width: Width,
        /// One, two or four bytes of `src`.
        from: Size,
        /// Result.
        dst: Reg,
        /// Operand.
        src: Reg,
    },
    /// `dst = -dst`.
    Neg {
        /// Whole registers or low halves.
        width: Width,
        /// Operand and result.
        dst: Reg,
    },
    /// Reorders the low bytes and clears those above.
    Swap {
        /// Between which orders.
        order: Order,
        /// Two, four or eight bytes.
        size: Size,
        /// Operand and result.
        dst: Reg,
    },
    /// `dst = addr_space_cast(src, to, from)`, for arenas. Linux 6.9.
    AddrSpaceCast {
        /// Result.
        dst: Reg,
        /// Operand.
        src: Reg,
        /// Address space of the result.
        to: u16,
        /// Address space of the operand.
        from: u16,
    },
    /// `dst = *(size *)(base + offset)`, zero-extended.
    Load {
        /// How many bytes.
        size: Size,
        /// Result.
        dst: Reg,
        /// Address.
        base: Reg,
        /// Added to the address.
        offset: i16,
    },
    /// `dst = *(signed size *)(base + offset)`, sign-extended to 64 bits; not eight bytes. Linux 6.6.
    LoadSigned {
        /// How many bytes.
        size: Size,
        /// Result.
        dst: Reg,
        /// Address.
        base: Reg,
        /// Added to the address.
        offset: i16,
    },
    /// `*(size *)(base + offset) = src`.
    Store {
        /// How many bytes.
        size: Size,
        /// Address.
        base: Reg,
        /// Added to the address.
        offset: i16,
        /// What is written; a constant is sign-extended to eight bytes.
        src: Operand,
    },
    /// A read-modify-write of four or eight bytes.
    Atomic {
        /// What is done.
        op: AtomicOp,
        /// Four or eight bytes.
        size: Size,
        /// Address.
        base: Reg,
        /// Added to the address.
        offset: i16,
        /// Operand; holds the old value afterwards if `op` fetches.
        src: Reg,
    },
    /// `dst = load_acquire((size *)(base + offset))`. Linux 6.15.
    LoadAcquire {
        /// How many bytes.
        size: Size,
        /// Result.
        dst: Reg,
        /// Address.
        base: Reg,
        /// Added to the address.
        offset: i16,
    },
    /// `store_release((size *)(base + offset), src)`. Linux 6.15.
    StoreRelease {
        /// How many bytes.
        size: Size,
        /// Address.
        base: Reg,
        /// Added to the address.
        offset: i16,
        /// What is written.
        src: Reg,
    },
    /// `r0 = *(size *)skb[index + offset]`, in host order; the context must be in r6. Only in programs for sockets and
    /// for traffic control; the program ends with r0 = 0 if the packet is shorter. Loses r1-r5.
    LoadPacket {
        /// One, two or four bytes.
        size: Size,
        /// Added to the offset.
        index: Option<Reg>,
        /// Offset into the packet.
        offset: i32,
    },
    /// `dst = value`: the only instruction of two slots.
    LoadImm64 {
        /// Result.
        dst: Reg,
        /// What is loaded.
        value: Imm64,
    },
    /// `goto`.
    Jump {
        /// Distance.
        offset: i16,
    },
    /// `gotol`: a jump with 32 bits of distance. Linux 6.6.
    JumpLong {
        /// Distance.
        offset: i32,
    },
    /// `gotox`: to the address in the register, which came from a map of instructions. Linux 6.19.
    JumpTo {
        /// Where to.
        target: Reg,
    },
    /// `may_goto`: jumps when the loop has run for too long. Linux 6.9.
    MayGoto {
        /// Distance.
        offset: i16,
    },
    /// `if lhs cmp rhs goto`.
    Branch {
        /// How the operands are compared.
        cmp: Cmp,
        /// Whole registers or low halves.
        width: Width,
        /// Left operand.
        lhs: Reg,
        /// Right operand; a constant is sign-extended to the width.
        rhs: Operand,
        /// Distance.
        offset: i16,
    },
    /// Calls a helper. Reads as many of r1-r5 as it has arguments, loses r1-r5, sets r0.
    Call(Helper),
    /// Calls a subprogram. Loses r1-r5.
    CallLocal {
        /// Distance of its first instruction.
        offset: i32,
    },
    /// Calls a kernel function by its BTF id. Loses r1-r5, sets r0. Linux 5.13.
    CallKfunc {
        /// BTF id of the function.
        btf_id: u32,
        /// Index into the descriptors of module BTFs that the program is loaded with; 0 is the kernel itself.
        fd_index: u16,
    },
    /// Returns r0: from a subprogram to its caller, else from the program.
    Exit,
}

/// Arithmetic and logic; see [`Op::Alu`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AluOp {
    /// `+=`
    Add,
    /// `-=`
    Sub,
    /// `*=`
    Mul,
    /// `/=`, unsigned; x / 0 is 0.
    Div,
    /// `s/=`, signed. Linux 6.6.
    SDiv,
    /// `|=`
    Or,
    /// `&=`
    And,
    /// `<<=`, by the operand modulo the width.
    Lsh,
    /// `>>=`, unsigned, by the operand modulo the width.
    Rsh,
    /// `%=`, unsigned; x % 0 is x.
    Rem,
    /// `s%=`, signed. Linux 6.6.
    SRem,
    /// `^=`
    Xor,
    /// `=`
    Mov,
    /// `s>>=`, signed, by the operand modulo the width.
    Arsh,
}

/// Byte orders; see [`Op::Swap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Between host order and little endian: only clears the bytes above on a little-endian machine.
    Le,
    /// Between host order and big endian.
    Be,
    /// Unconditionally the other order. Linux 6.6.
    Bswap,
}

/// Read-modify-write operations; see [`Op::Atomic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AtomicOp {
    /// Adds.
    Add,
    /// Ors. Linux 5.12, like all that follow.
    Or,
    /// Ands.
    And,
    /// Xors.
    Xor,
    /// Adds and gives the old value back.
    FetchAdd,
    /// Ors and gives the old value back.
    FetchOr,
    /// Ands and gives the old value back.
    FetchAnd,
    /// Xors and gives the old value back.
    FetchXor,
    /// Writes and gives the old value back.
    Xchg,
    /// Writes if the old value is r0; gives the old value back in r0.
    CmpXchg,
}

/// Comparisons; see [`Op::Branch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cmp {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `>`, unsigned
    Gt,
    /// `>=`, unsigned
    Ge,
    /// `<`, unsigned
    Lt,
    /// `<=`, unsigned
    Le,
    /// `&`: any common bit
    Set,
    /// `s>`, signed
    Sgt,
    /// `s>=`, signed
    Sge,
    /// `s<`, signed
    Slt,
    /// `s<=`, signed
    Sle,
}

/// What [`Op::LoadImm64`] loads. All but a constant are replaced by the kernel while it loads the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Imm64 {
    /// These 64 bits.
    Const(u64),
    /// The address of a map, for helpers.
    Map(MapRef),
    /// The address of a byte in the only value of an array map.
    MapValue(MapRef, u32),
    /// The address of a kernel variable, by BTF id. Linux 5.10.
    BtfId {
        /// BTF id of the variable.
        id: u32,
        /// Descriptor of the module's BTF; 0 is the kernel itself.
        btf_fd: i32,
    },
    /// The address of a subprogram, for helpers that call back; its distance as in [`Op::CallLocal`]. Linux 5.13.
    Func {
        /// Distance of its first instruction.
        offset: i32,
    },
    /// As [`Imm64::Map`], by index into the descriptors that the program is loaded with. Linux 5.14.
    MapIndex(u32),
    /// As [`Imm64::MapValue`], by index into the descriptors that the program is loaded with. Linux 5.14.
    MapIndexValue(u32, u32),
}

impl AluOp {
    /// Each of them.
    pub const ALL: [AluOp; 14] = [
        AluOp::Add,
        AluOp::Sub,
        AluOp::Mul,
        AluOp::Div,
        AluOp::SDiv,
        AluOp::Or,
        AluOp::And,
        AluOp::Lsh,
        AluOp::Rsh,
        AluOp::Rem,
        AluOp::SRem,
        AluOp::Xor,
        AluOp::Mov,
        AluOp::Arsh,
    ];
}

impl Cmp {
    /// Each of them.
    pub const ALL: [Cmp; 11] =
        [Cmp::Eq, Cmp::Ne, Cmp::Gt, Cmp::Ge, Cmp::Lt, Cmp::Le, Cmp::Set, Cmp::Sgt, Cmp::Sge, Cmp::Slt, Cmp::Sle];
}

impl AtomicOp {
    /// Each of them.
    pub const ALL: [AtomicOp; 10] = [
        AtomicOp::Add,
        AtomicOp::Or,
        AtomicOp::And,
        AtomicOp::Xor,
        AtomicOp::FetchAdd,
        AtomicOp::FetchOr,
        AtomicOp::FetchAnd,
        AtomicOp::FetchXor,
        AtomicOp::Xchg,
        AtomicOp::CmpXchg,
    ];

    /// Whether a register receives what was in memory before.
    pub const fn fetches(self) -> bool {
        !matches!(self, AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor)
    }
}

impl Op {
    /// How many 8-byte slots it takes: 1, or 2 for [`Op::LoadImm64`].
    pub const fn slots(&self) -> usize {
        match self {
            Op::LoadImm64 { .. } => 2,
            _ => 1,
        }
    }
}

/// An instruction with what is known of its origin.
#[derive(Clone, Debug)]
pub struct Insn {
    /// What it does.
    pub op: Op,
    pub(crate) note: Option<Box<str>>,
    pub(crate) place: Option<Box<str>>,
    pub(crate) source: Option<&'static Location<'static>>,
    pub(crate) behalf: Option<Arc<str>>,
}

impl Insn {
    /// An instruction of unknown origin.
    pub const fn new(op: Op) -> Insn {
        Insn { op, note: None, place: None, source: None, behalf: None }
    }

    /// The text given to [`Asm::note`](crate::Asm::note).
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The stack bytes that it works on, if their slot has a name: `mark`, `tuple+4`.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// What was said by [`Asm::on_behalf_of`](crate::Asm::on_behalf_of).
    pub fn behalf(&self) -> Option<&str> {
        self.behalf.as_deref()
    }

    /// The line that emitted it; none in a program that was disassembled.
    pub const fn source(&self) -> Option<&'static Location<'static>> {
        self.source
    }
}

/// Two instructions are equal if they do the same.
impl PartialEq for Insn {
    fn eq(&self, other: &Insn) -> bool {
        self.op == other.op
    }
}

impl Eq for Insn {}

impl From<Op> for Insn {
    fn from(op: Op) -> Insn {
        Insn::new(op)
    }
}

/// The text of [`Op`], followed by `; place: note`; with `{:#}` also by the source line.
impl fmt::Display for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(f, &self.op.to_string(), self)
    }
}

/// Writes `text` and, from one column on, the comments of `insn`.
pub(crate) fn write_line(f: &mut fmt::Formatter<'_>, text: &str, insn: &Insn) -> fmt::Result {
    const COLUMN: usize = 44;
    let mut comment = String::new();
    for part in [insn.place(), insn.note()].into_iter().flatten() {
        if !comment.is_empty() {
            comment.push_str(": ");
        }
        comment.extend(part.chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    if let Some(source) = insn.source().filter(|_| f.alternate()) {
        if !comment.is_empty() {
            comment.push(' ');
        }
        comment.push_str(&format!("[{}:{}]", source.file(), source.line()));
    }
    if comment.is_empty() {
        return f.write_str(text);
    }
    write!(f, "{text:COLUMN$}  ; {comment}")
}

/// `(61) r1 = *(u32 *)(r10 -4)`
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:02x}) ", crate::encode::opcode(self))?;
        match *self {
            Op::Alu { op, width, dst, src } => {
                write!(f, "{} {op} ", Sized(width, dst))?;
                match src {
                    Operand::Reg(src) => write!(f, "{}", Sized(width, src)),
                    Operand::Imm(imm) => write!(f, "{imm}"),
                }
            }
            Op::MovSigned { width, from, dst, src } => {
                write!(f, "{} = (s{}){}", Sized(width, dst), from.bytes() * 8, Sized(width, src))
            }
            Op::Neg { width, dst } => write!(f, "{0} = -{0}", Sized(width, dst)),
            Op::Swap { order, size, dst } => write!(f, "{dst} = {order}{} {dst}", size.bytes() * 8),
            Op::AddrSpaceCast { dst, src, to, from } => write!(f, "{dst} = addr_space_cast({src}, {to}, {from})"),
            Op::Load { size, dst, base, offset } => write!(f, "{dst} = {}", Place('u', size, base, offset)),
            Op::LoadSigned { size, dst, base, offset } => write!(f, "{dst} = {}", Place('s', size, base, offset)),
            Op::Store { size, base, offset, src } => {
                write!(f, "{} = ", Place('u', size, base, offset))?;
                match src {
                    Operand::Reg(src) => write!(f, "{src}"),
                    Operand::Imm(imm) => write!(f, "{imm}"),
                }
            }
            Op::Atomic { op, size, base, offset, src } => {
                let place = Place('u', size, base, offset);
                let long = if size == Size::B8 { "64" } else { "" };
                match op {
                    AtomicOp::Add => write!(f, "lock {place} += {src}"),
                    AtomicOp::Or => write!(f, "lock {place} |= {src}"),
                    AtomicOp::And => write!(f, "lock {place} &= {src}"),
                    AtomicOp::Xor => write!(f, "lock {place} ^= {src}"),
                    AtomicOp::FetchAdd => write!(f, "{src} = atomic{long}_fetch_add({place:#}, {src})"),
                    AtomicOp::FetchOr => write!(f, "{src} = atomic{long}_fetch_or({place:#}, {src})"),
                    AtomicOp::FetchAnd => write!(f, "{src} = atomic{long}_fetch_and({place:#}, {src})"),
                    AtomicOp::FetchXor => write!(f, "{src} = atomic{long}_fetch_xor({place:#}, {src})"),
                    AtomicOp::Xchg => write!(f, "{src} = atomic{long}_xchg({place:#}, {src})"),
                    AtomicOp::CmpXchg => write!(f, "r0 = atomic{long}_cmpxchg({place:#}, r0, {src})"),
                }
            }
            Op::LoadAcquire { size, dst, base, offset } => {
                write!(f, "{dst} = load_acquire({:#})", Place('u', size, base, offset))
            }
            Op::StoreRelease { size, base, offset, src } => {
                write!(f, "store_release({:#}, {src})", Place('u', size, base, offset))
            }
            Op::LoadPacket { size, index: None, offset } => {
                write!(f, "r0 = *(u{} *)skb[{offset}]", size.bytes() * 8)
            }
            Op::LoadPacket { size, index: Some(index), offset } => {
                write!(f, "r0 = *(u{} *)skb[{index} + {offset}]", size.bytes() * 8)
            }
            Op::LoadImm64 { dst, value } => write!(f, "{dst} = {value}"),
            Op::Jump { offset } => write!(f, "goto pc{offset:+}"),
            Op::JumpLong { offset } => write!(f, "gotol pc{offset:+}"),
            Op::JumpTo { target } => write!(f, "gotox {target}"),
            Op::MayGoto { offset } => write!(f, "may_goto pc{offset:+}"),
            Op::Branch { cmp, width, lhs, rhs, offset } => {
                write!(f, "if {} {cmp} ", Sized(width, lhs))?;
                match rhs {
                    Operand::Reg(rhs) => write!(f, "{}", Sized(width, rhs))?,
                    Operand::Imm(imm) => write!(f, "{imm:#x}")?,
                }
                write!(f, " goto pc{offset:+}")
            }
            Op::Call(helper) => write!(f, "call {}#{}", helper.name(), helper.id()),
            Op::CallLocal { offset } => write!(f, "call pc{offset:+}"),
            Op::CallKfunc { btf_id, .. } => write!(f, "call kernel-function#{btf_id}"),
            Op::Exit => write!(f, "exit"),
        }
    }
}

/// `w1` or `r1`.
struct Sized(Width, Reg);

impl fmt::Display for Sized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.0 {
            Width::W32 => 'w',
            Width::W64 => 'r',
        };
        write!(f, "{letter}{}", self.1.number())
    }
}

/// `*(u32 *)(r1 +4)`; with `{:#}` the address alone: `(u32 *)(r1 +4)`.
struct Place(char, Size, Reg, i16);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place(sign, size, base, offset) = *self;
        let star = if f.alternate() { "" } else { "*" };
        write!(f, "{star}({sign}{} *)({base} {offset:+})", size.bytes() * 8)
    }
}

impl fmt::Display for Imm64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Imm64::Const(value) => write!(f, "{value:#x}"),
            Imm64::Map(map) => write!(f, "{map}"),
            Imm64::MapValue(map, offset) => write!(f, "{map}[0]+{offset}"),
            Imm64::BtfId { id, btf_fd: 0 } => write!(f, "btf[{id}]"),
            Imm64::BtfId { id, btf_fd } => write!(f, "btf[{id} of {btf_fd}]"),
            Imm64::Func { offset } => write!(f, "subprog[{offset:+}]"),
            Imm64::MapIndex(index) => write!(f, "map[idx:{index}]"),
            Imm64::MapIndexValue(index, offset) => write!(f, "map[idx:{index}][0]+{offset}"),
        }
    }
}

impl fmt::Display for AluOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AluOp::Add => "+=",
            AluOp::Sub => "-=",
            AluOp::Mul => "*=",
            AluOp::Div => "/=",
            AluOp::SDiv => "s/=",
            AluOp::Or => "|=",
            AluOp::And => "&=",
            AluOp::Lsh => "<<=",
            AluOp::Rsh => ">>=",
            AluOp::Rem => "%=",
            AluOp::SRem => "s%=",
            AluOp::Xor => "^=",
            AluOp::Mov => "=",
            AluOp::Arsh => "s>>=",
        })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Order::Le => "le",
            Order::Be => "be",
            Order::Bswap => "bswap",
        })
    }
}

impl fmt::Display for Cmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cmp::Eq => "==",
            Cmp::Ne => "!=",
            Cmp::Gt => ">",
            Cmp::Ge => ">=",
            Cmp::Lt => "<",
            Cmp::Le => "<=",
            Cmp::Set => "&",
            Cmp::Sgt => "s>",
            Cmp::Sge => "s>=",
            Cmp::Slt => "s<",
            Cmp::Sle => "s<=",
        })
    }
}
