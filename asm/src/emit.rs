//! One method per instruction.

use crate::builder::{Asm, Label};
use crate::error::ErrorKind;
use crate::helper::Helper;
use crate::insn::{AluOp, AtomicOp, Cmp, Imm64, Op, Order};
use crate::map::MapRef;
use crate::mem::{Addr, Mem, SignedMem, Size, Stored, StoredValue};
use crate::reg::{Dst, Operand, Reg, Reg64, Source, Width};
use std::panic::Location;

macro_rules! alu {
    ($($name:ident $op:ident $what:literal;)*) => {
        $(
            #[doc = $what]
            #[track_caller]
            pub fn $name<D: Dst>(&mut self, dst: D, src: impl Source<D>) {
                self.alu(AluOp::$op, dst, src);
            }
        )*
    };
}

/// Arithmetic and logic. `R` operands work on 64 bits, `W` operands on 32 and clear the upper half of the result.
impl Asm {
    alu! {
        mov Mov "`dst = src`";
        add Add "`dst += src`";
        sub Sub "`dst -= src`";
        mul Mul "`dst *= src`";
        div Div "`dst /= src`, unsigned; a division by a register that holds 0 gives 0.";
        rem Rem "`dst %= src`, unsigned; by a register that holds 0 it leaves `dst`.";
        sdiv SDiv "`dst s/= src`, signed. [`Cpu::V4`](crate::Cpu::V4).";
        srem SRem "`dst s%= src`, signed: the sign is that of `dst`. [`Cpu::V4`](crate::Cpu::V4).";
        or Or "`dst |= src`";
        and And "`dst &= src`";
        xor Xor "`dst ^= src`";
        lsh Lsh "`dst <<= src`; a register counts modulo the width.";
        rsh Rsh "`dst >>= src`, filling with zeros; a register counts modulo the width.";
        arsh Arsh "`dst s>>= src`, filling with the sign; a register counts modulo the width.";
    }

    /// `dst op= src`, for an operation that is known only at run time.
    #[track_caller]
    pub fn alu<D: Dst>(&mut self, op: AluOp, dst: D, src: impl Source<D>) {
        let op = Op::Alu { op, width: D::WIDTH, dst: dst.into(), src: src.operand() };
        self.push(op, None, None, Location::caller());
    }

    /// `dst = -dst`
    #[track_caller]
    pub fn neg<D: Dst>(&mut self, dst: D) {
        self.push(Op::Neg { width: D::WIDTH, dst: dst.into() }, None, None, Location::caller());
    }

    /// `dst = (s8)src`: the lowest byte, with its sign. [`Cpu::V4`](crate::Cpu::V4).
    #[track_caller]
    pub fn movsx8<D: Dst>(&mut self, dst: D, src: D) {
        self.move_signed(D::WIDTH, Size::B1, dst.into(), src.into(), Location::caller());
    }

    /// `dst = (s16)src`: the lowest two bytes, with their sign. [`Cpu::V4`](crate::Cpu::V4).
    #[track_caller]
    pub fn movsx16<D: Dst>(&mut self, dst: D, src: D) {
        self.move_signed(D::WIDTH, Size::B2, dst.into(), src.into(), Location::caller());
    }

    /// `dst = (s32)src`: the lowest four bytes, with their sign. [`Cpu::V4`](crate::Cpu::V4).
    #[track_caller]
    pub fn movsx32(&mut self, dst: Reg64, src: Reg64) {
        self.move_signed(Width::W64, Size::B4, dst.into(), src.into(), Location::caller());
    }

    fn move_signed(&mut self, width: Width, from: Size, dst: Reg, src: Reg, source: &'static Location<'static>) {
        self.push(Op::MovSigned { width, from, dst, src }, None, None, source);
    }

    /// `dst = addr_space_cast(src, to, from)`: between the address spaces of an arena, 0 being the kernel's and 1 the
    /// arena's. [`Cpu::Latest`](crate::Cpu::Latest).
    #[track_caller]
    pub fn addr_space_cast(&mut self, dst: Reg64, src: Reg64, to: u16, from: u16) {
        let op = Op::AddrSpaceCast { dst: dst.into(), src: src.into(), to, from };
        self.push(op, None, None, Location::caller());
    }
}

macro_rules! swap {
    ($($name:ident $order:ident $size:ident $what:literal;)*) => {
        $(
            #[doc = $what]
            #[track_caller]
            pub fn $name(&mut self, dst: Reg64) {
                let op = Op::Swap { order: Order::$order, size: Size::$size, dst: dst.into() };
                self.push(op, None, None, Location::caller());
            }
        )*
    };
}

/// Byte order. Bits above the named ones are cleared.
impl Asm {
    swap! {
        be16 Be B2 "Turns 16 bits between the machine's order and big endian.";
        be32 Be B4 "Turns 32 bits between the machine's order and big endian.";
        be64 Be B8 "Turns 64 bits between the machine's order and big endian.";
        le16 Le B2 "Turns 16 bits between the machine's order and little endian.";
        le32 Le B4 "Turns 32 bits between the machine's order and little endian.";
        le64 Le B8 "Turns 64 bits between the machine's order and little endian.";
        bswap16 Bswap B2 "Reverses two bytes. [`Cpu::V4`](crate::Cpu::V4).";
        bswap32 Bswap B4 "Reverses four bytes. [`Cpu::V4`](crate::Cpu::V4).";
        bswap64 Bswap B8 "Reverses eight bytes. [`Cpu::V4`](crate::Cpu::V4).";
    }
}

/// Memory.
impl Asm {
    /// `dst = *(size *)(base + offset)`, zero-extended to 64 bits.
    #[track_caller]
    pub fn load(&mut self, dst: Reg64, mem: Mem) {
        let source = Location::caller();
        let (base, offset, place) = self.address(mem.addr, mem.size.bytes(), source);
        self.push(Op::Load { size: mem.size, dst: dst.into(), base, offset }, None, place, source);
    }

    /// `dst = *(signed size *)(base + offset)`, sign-extended to 64 bits. [`Cpu::V4`](crate::Cpu::V4).
    #[track_caller]
    pub fn load_signed(&mut self, dst: Reg64, mem: SignedMem) {
        let source = Location::caller();
        let SignedMem(mem) = mem;
        let (base, offset, place) = self.address(mem.addr, mem.size.bytes(), source);
        self.push(Op::LoadSigned { size: mem.size, dst: dst.into(), base, offset }, None, place, source);
    }

    /// `*(size *)(base + offset) = src`: the low bytes of a register, or a constant; see [`Stored`].
    #[track_caller]
    pub fn store(&mut self, mem: Mem, src: impl Into<Stored>) {
        let source = Location::caller();
        let (base, offset, place) = self.address(mem.addr, mem.size.bytes(), source);
        let src = match src.into().0 {
            StoredValue::Whole(reg) => Operand::Reg(reg),
            StoredValue::Low(reg) => {
                if mem.size == Size::B8 {
                    self.fail(ErrorKind::HalfRegister, source);
                }
                Operand::Reg(reg)
            }
            StoredValue::Constant(constant) => {
                let bytes = mem.size.bytes();
                let fits = match mem.size {
                    // The machine extends the sign of the constant's 32 bits.
                    Size::B8 => i32::try_from(constant).is_ok(),
                    _ => (-(1_i64 << (bytes * 8 - 1))..1_i64 << (bytes * 8)).contains(&constant),
                };
                if !fits {
                    self.fail(ErrorKind::ConstantTooLarge { constant, bytes }, source);
                }
                Operand::Imm(constant as i32)
            }
        };
        self.push(Op::Store { size: mem.size, base, offset, src }, None, place, source);
    }

    /// `dst` = the address of a slot or of `base + offset`: a move, and an addition if there is an offset.
    #[track_caller]
    pub fn lea(&mut self, dst: Reg64, addr: impl Into<Addr>) {
        let source = Location::caller();
        let (base, offset, place) = self.address_far(addr.into(), 0, source);
        let dst = dst.into();
        let step = i32::try_from(offset).unwrap_or_else(|_| {
            self.fail(ErrorKind::OffsetTooFar { offset }, source);
            0
        });
        let width = Width::W64;
        self.push(Op::Alu { op: AluOp::Mov, width, dst, src: Operand::Reg(base) }, None, place.clone(), source);
        if step != 0 {
            self.push(Op::Alu { op: AluOp::Add, width, dst, src: Operand::Imm(step) }, None, place, source);
        }
    }

    /// `r0 = *(size *)skb[offset]`, from network to host order; see [`Op::LoadPacket`].
    #[track_caller]
    pub fn load_packet(&mut self, size: Size, offset: i32) {
        self.packet(Op::LoadPacket { size, index: None, offset }, size, Location::caller());
    }

    /// `r0 = *(size *)skb[index + offset]`, from network to host order; see [`Op::LoadPacket`].
    #[track_caller]
    pub fn load_packet_at(&mut self, size: Size, index: Reg64, offset: i32) {
        self.packet(Op::LoadPacket { size, index: Some(index.into()), offset }, size, Location::caller());
    }

    fn packet(&mut self, op: Op, size: Size, source: &'static Location<'static>) {
        if size == Size::B8 {
            self.fail(ErrorKind::BadSize { bytes: size.bytes() }, source);
        }
        self.push(op, None, None, source);
    }
}

macro_rules! atomic {
    ($($name:ident $op:ident $what:literal;)*) => {
        $(
            #[doc = $what]
            #[track_caller]
            pub fn $name<S: Dst>(&mut self, mem: Mem, src: S) {
                self.atomic(AtomicOp::$op, mem, src, Location::caller());
            }
        )*
    };
}

/// Atomic memory accesses of four or eight bytes. The address must be aligned. Four bytes go with `R` or `W` registers
/// (the low half counts), eight with `R`.
impl Asm {
    atomic! {
        atomic_add Add "`lock *mem += src`";
        atomic_or Or "`lock *mem |= src`. [`Cpu::V3Atomics`](crate::Cpu::V3Atomics), like all that follow.";
        atomic_and And "`lock *mem &= src`";
        atomic_xor Xor "`lock *mem ^= src`";
        atomic_fetch_add FetchAdd "`*mem += src`; `src` becomes what was there before.";
        atomic_fetch_or FetchOr "`*mem |= src`; `src` becomes what was there before.";
        atomic_fetch_and FetchAnd "`*mem &= src`; `src` becomes what was there before.";
        atomic_fetch_xor FetchXor "`*mem ^= src`; `src` becomes what was there before.";
        atomic_xchg Xchg "`*mem = src`; `src` becomes what was there before.";
        atomic_cmpxchg CmpXchg "If `*mem` is R0 (W0) then `*mem = src`; R0 becomes what was there before. \
            After four bytes read W0, not R0: Linux 6.18 on x86 sometimes leaves the upper half in place.";
    }

    fn atomic<S: Dst>(&mut self, op: AtomicOp, mem: Mem, src: S, source: &'static Location<'static>) {
        match (mem.size, S::WIDTH) {
            (Size::B4, _) | (Size::B8, Width::W64) => {}
            (Size::B8, Width::W32) => self.fail(ErrorKind::HalfRegister, source),
            (size, _) => self.fail(ErrorKind::BadSize { bytes: size.bytes() }, source),
        }
        let (base, offset, place) = self.address(mem.addr, mem.size.bytes(), source);
        self.push(Op::Atomic { op, size: mem.size, base, offset, src: src.into() }, None, place, source);
    }

    /// `dst = load_acquire(mem)`, of any size, zero-extended. [`Cpu::Latest`](crate::Cpu::Latest).
    #[track_caller]
    pub fn load_acquire(&mut self, dst: Reg64, mem: Mem) {
        let source = Location::caller();
        let (base, offset, place) = self.address(mem.addr, mem.size.bytes(), source);
        self.push(Op::LoadAcquire { size: mem.size, dst: dst.into(), base, offset }, None, place, source);
    }

    /// `store_release(mem, src)`, of any size. [`Cpu::Latest`](crate::Cpu::Latest).
    #[track_caller]
    pub fn store_release<S: Dst>(&mut self, mem: Mem, src: S) {
        let source = Location::caller();
        if mem.size == Size::B8 && S::WIDTH == Width::W32 {
            self.fail(ErrorKind::HalfRegister, source);
        }
        let (base, offset, place) = self.address(mem.addr, mem.size.bytes(), source);
        self.push(Op::StoreRelease { size: mem.size, base, offset, src: src.into() }, None, place, source);
    }
}

/// Constants and addresses of 64 bits. All but [`Asm::mov_u64`] take two slots.
impl Asm {
    /// `dst = value`, always in two slots.
    #[track_caller]
    pub fn load_imm64(&mut self, dst: Reg64, value: u64) {
        self.imm64(dst, Imm64::Const(value), None, Location::caller());
    }

    /// `dst = value` by the shortest instruction: a move of either width if the value survives its extension, else
    /// [`Asm::load_imm64`].
    #[track_caller]
    pub fn mov_u64(&mut self, dst: Reg64, value: u64) {
        let mov = |width, imm| Op::Alu { op: AluOp::Mov, width, dst: dst.into(), src: Operand::Imm(imm) };
        let op = match (i32::try_from(value.cast_signed()), u32::try_from(value)) {
            (Ok(signed), _) => mov(Width::W64, signed),
            (_, Ok(unsigned)) => mov(Width::W32, unsigned.cast_signed()),
            _ => Op::LoadImm64 { dst: dst.into(), value: Imm64::Const(value) },
        };
        self.push(op, None, None, Location::caller());
    }

    /// `dst` = the map, as helpers take it.
    #[track_caller]
    pub fn load_map(&mut self, dst: Reg64, map: MapRef) {
        self.imm64(dst, Imm64::Map(map), None, Location::caller());
    }

    /// `dst` = the address of the byte at `offset` in the only value of an array map. Linux 5.2.
    #[track_caller]
    pub fn load_map_value(&mut self, dst: Reg64, map: MapRef, offset: u32) {
        self.imm64(dst, Imm64::MapValue(map, offset), None, Location::caller());
    }

    /// As [`Asm::load_map`], by index into the descriptors that the program is loaded with. Linux 5.14.
    #[track_caller]
    pub fn load_map_index(&mut self, dst: Reg64, index: u32) {
        self.imm64(dst, Imm64::MapIndex(index), None, Location::caller());
    }

    /// As [`Asm::load_map_value`], by index into the descriptors that the program is loaded with. Linux 5.14.
    #[track_caller]
    pub fn load_map_index_value(&mut self, dst: Reg64, index: u32, offset: u32) {
        self.imm64(dst, Imm64::MapIndexValue(index, offset), None, Location::caller());
    }

    /// `dst` = the address of the kernel's variable with this BTF id (Linux 5.10), or of its function (6.4).
    #[track_caller]
    pub fn load_btf_id(&mut self, dst: Reg64, id: u32) {
        self.imm64(dst, Imm64::BtfId { id, btf_fd: 0 }, None, Location::caller());
    }

    /// `dst` = the address of the variable with this BTF id in the module whose BTF `btf_fd` is. Linux 5.11.
    #[track_caller]
    pub fn load_module_btf_id(&mut self, dst: Reg64, id: u32, btf_fd: i32) {
        self.imm64(dst, Imm64::BtfId { id, btf_fd }, None, Location::caller());
    }

    /// `dst` = the address of a subprogram, for helpers that call back. Linux 5.13.
    #[track_caller]
    pub fn load_func(&mut self, dst: Reg64, subprogram: Label) {
        self.imm64(dst, Imm64::Func { offset: 0 }, Some(subprogram), Location::caller());
    }

    fn imm64(&mut self, dst: Reg64, value: Imm64, to: Option<Label>, source: &'static Location<'static>) {
        self.push(Op::LoadImm64 { dst: dst.into(), value }, to, None, source);
    }
}

macro_rules! branch {
    ($($name:ident $cmp:ident $what:literal;)*) => {
        $(
            #[doc = $what]
            #[track_caller]
            pub fn $name<D: Dst>(&mut self, lhs: D, rhs: impl Source<D>, to: Label) {
                self.branch(Cmp::$cmp, lhs, rhs, to);
            }
        )*
    };
}

/// Jumps and calls. `R` operands compare 64 bits, `W` operands 32.
impl Asm {
    branch! {
        jeq Eq "`if lhs == rhs goto to`";
        jne Ne "`if lhs != rhs goto to`";
        jgt Gt "`if lhs > rhs goto to`, unsigned.";
        jge Ge "`if lhs >= rhs goto to`, unsigned.";
        jlt Lt "`if lhs < rhs goto to`, unsigned.";
        jle Le "`if lhs <= rhs goto to`, unsigned.";
        jset Set "`if lhs & rhs goto to`";
        jsgt Sgt "`if lhs s> rhs goto to`, signed.";
        jsge Sge "`if lhs s>= rhs goto to`, signed.";
        jslt Slt "`if lhs s< rhs goto to`, signed.";
        jsle Sle "`if lhs s<= rhs goto to`, signed.";
    }

    /// `if lhs cmp rhs goto to`, for a comparison that is known only at run time.
    #[track_caller]
    pub fn branch<D: Dst>(&mut self, cmp: Cmp, lhs: D, rhs: impl Source<D>, to: Label) {
        let op = Op::Branch { cmp, width: D::WIDTH, lhs: lhs.into(), rhs: rhs.operand(), offset: 0 };
        self.push(op, Some(to), None, Location::caller());
    }

    /// `goto to`. From [`Cpu::V4`](crate::Cpu::V4) on it becomes [`Asm::jump_long`] where 16 bits are not enough.
    #[track_caller]
    pub fn jump(&mut self, to: Label) {
        self.push(Op::Jump { offset: 0 }, Some(to), None, Location::caller());
    }

    /// `gotol to`: any distance. [`Cpu::V4`](crate::Cpu::V4).
    #[track_caller]
    pub fn jump_long(&mut self, to: Label) {
        self.push(Op::JumpLong { offset: 0 }, Some(to), None, Location::caller());
    }

    /// `gotox target`: to an address from a map of instructions. [`Cpu::Latest`](crate::Cpu::Latest).
    #[track_caller]
    pub fn jump_to(&mut self, target: Reg64) {
        self.push(Op::JumpTo { target: target.into() }, None, None, Location::caller());
    }

    /// `may_goto to`: goes on, until the kernel finds that the loop has run for too long.
    /// [`Cpu::Latest`](crate::Cpu::Latest).
    #[track_caller]
    pub fn may_goto(&mut self, to: Label) {
        self.push(Op::MayGoto { offset: 0 }, Some(to), None, Location::caller());
    }

    /// Calls a helper of the kernel with the arguments R1-R5. The result is in R0; R1-R5 are lost.
    #[track_caller]
    pub fn call(&mut self, helper: Helper) {
        self.push(Op::Call(helper), None, None, Location::caller());
    }

    /// Calls a subprogram that [`Asm::begin_subprogram`] starts. The result is in R0; R1-R5 are lost. Linux 4.16, and
    /// 5.10 in programs that also make tail calls.
    #[track_caller]
    pub fn call_local(&mut self, subprogram: Label) {
        self.push(Op::CallLocal { offset: 0 }, Some(subprogram), None, Location::caller());
    }

    /// Calls the kernel function with this BTF id. `fd_index` is 0 for the kernel's own BTF, else the index, in the
    /// descriptors that the program is loaded with, of the BTF of the module. The result is in R0; R1-R5 are lost.
    /// Linux 5.13.
    #[track_caller]
    pub fn call_kfunc(&mut self, btf_id: u32, fd_index: u16) {
        let source = Location::caller();
        if i16::try_from(fd_index).is_err() {
            self.fail(ErrorKind::BadFdIndex { index: fd_index }, source);
        }
        self.push(Op::CallKfunc { btf_id, fd_index }, None, None, source);
    }

    /// Returns R0 to the caller of the subprogram, or ends the program.
    #[track_caller]
    pub fn exit(&mut self) {
        self.push(Op::Exit, None, None, Location::caller());
    }
}
