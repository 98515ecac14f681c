//! Trees to instructions. How memory is read is the caller's affair: [`Access`].

use asm::{AluOp, Asm, Label, Op, Operand, R0, R1, R2, Reg64, Slot, W0, W1, u64};

use super::tree::{BinaryOp, Cmp, Cond, Load, UnaryOp, Value, Width};

/// How code reads kernel memory, and where it has the object.
pub trait Access {
    /// The register that holds the object's address; not R0 to R5.
    fn root(&self) -> Reg64;

    /// Emits R0 = the `load.size` bytes at `load.offset` from the object, with zeros above them.
    ///
    /// Clobbers: R1-R5.
    fn load_root(&mut self, a: &mut Asm, load: &Load);

    /// Emits R0 = the `load.size` bytes at `load.offset` from the address in R1, with zeros above them.
    ///
    /// In: R1, not 0, but any other number is possible. Clobbers: R1-R5.
    fn load(&mut self, a: &mut Asm, load: &Load);
}

/// Emits a test: falls through if `cond` holds, jumps to `drop` if not.
///
/// In: what `access` needs. Clobbers: R0-R5. Uses eight bytes of stack per value that has to wait for another one.
pub fn condition(a: &mut Asm, cond: &Cond, access: &mut dyn Access, drop: Label) {
    Emitter { a, access }.condition(cond, drop, None);
}

/// Emits R0 = `value`; jumps to `none` if it cannot be computed. In, clobbers and stack: as [`condition`].
pub fn value(a: &mut Asm, value: &Value, access: &mut dyn Access, none: Label) {
    Emitter { a, access }.value(value, none);
}

struct Emitter<'a> {
    a: &'a mut Asm,
    access: &'a mut dyn Access,
}

impl Emitter<'_> {
    /// Falls through if `cond` holds. A comparison that cannot be computed jumps to `none`, or is false without it.
    fn condition(&mut self, cond: &Cond, otherwise: Label, none: Option<Label>) {
        match cond {
            Cond::Const(true) => {}
            // Not a plain jump: what follows would be code that nothing leads to.
            Cond::Const(false) => {
                self.a.mov(R0, 0);
                self.a.jeq(R0, 0, otherwise);
            }
            Cond::And(left, right) => {
                self.condition(left, otherwise, none);
                self.condition(right, otherwise, none);
            }
            Cond::Or(left, right) => {
                let (second, end) = (self.a.label(), self.a.label());
                self.condition(left, second, none);
                self.a.jump(end);
                self.a.bind(second);
                self.condition(right, otherwise, none);
                self.a.bind(end);
            }
            Cond::Compare { op, width, signed, left, right } => {
                let none = none.unwrap_or(otherwise);
                let mut second = self.operands(left, right, *width, none);
                // The machine extends the sign of a constant; interpreters that run this in tests do not all.
                if let (Operand::Imm(imm @ ..0), Width::W64) = (second, width) {
                    self.a.mov(R1, imm);
                    second = Operand::Reg(R1.into());
                }
                self.jump_unless(*op, *width, *signed, second, otherwise);
            }
        }
    }

    /// R0 = `left`; `right` as a constant, or in R1.
    fn operands(&mut self, left: &Value, right: &Value, width: Width, none: Label) -> Operand {
        match right {
            Value::Const(constant) => {
                self.value(left, none);
                self.constant(*constant, width)
            }
            Value::Root => {
                self.value(left, none);
                self.a.mov(R1, self.access.root());
                Operand::Reg(R1.into())
            }
            _ => {
                self.value(left, none);
                let mark = self.a.stack_mark();
                let waiting: Slot = self.a.stack(8);
                self.a.store(u64(waiting), R0);
                self.value(right, none);
                self.a.mov(R1, R0);
                self.a.load(R0, u64(waiting));
                self.a.stack_release(mark);
                Operand::Reg(R1.into())
            }
        }
    }

    /// The constant as an operand, or in R1 if it does not fit one.
    fn constant(&mut self, constant: u64, width: Width) -> Operand {
        match width {
            Width::W32 => Operand::Imm(constant as u32 as i32),
            Width::W64 => match i32::try_from(constant as i64) {
                Ok(small) => Operand::Imm(small),
                Err(_) => {
                    self.a.mov_u64(R1, constant);
                    Operand::Reg(R1.into())
                }
            },
        }
    }

    fn jump_unless(&mut self, op: Cmp, width: Width, signed: bool, second: Operand, to: Label) {
        macro_rules! jump {
            ($jump:ident) => {
                match (width, second) {
                    (Width::W64, Operand::Imm(imm)) => self.a.$jump(R0, imm, to),
                    (Width::W64, Operand::Reg(_)) => self.a.$jump(R0, R1, to),
                    (Width::W32, Operand::Imm(imm)) => self.a.$jump(W0, imm, to),
                    (Width::W32, Operand::Reg(_)) => self.a.$jump(W0, W1, to),
                }
            };
        }
        match (op.negate(), signed) {
            (Cmp::Eq, _) => jump!(jeq),
            (Cmp::Ne, _) => jump!(jne),
            (Cmp::Lt, false) => jump!(jlt),
            (Cmp::Le, false) => jump!(jle),
            (Cmp::Gt, false) => jump!(jgt),
            (Cmp::Ge, false) => jump!(jge),
            (Cmp::Lt, true) => jump!(jslt),
            (Cmp::Le, true) => jump!(jsle),
            (Cmp::Gt, true) => jump!(jsgt),
            (Cmp::Ge, true) => jump!(jsge),
        }
    }

    /// R0 = `value`.
    fn value(&mut self, value: &Value, none: Label) {
        match value {
            Value::Root => self.a.mov(R0, self.access.root()),
            Value::Const(constant) => self.a.mov_u64(R0, *constant),
            Value::Load(load) => self.load(load, none),
            Value::Unary(op, width, of) => {
                self.value(of, none);
                match (op, width) {
                    (UnaryOp::Neg, Width::W32) => self.a.neg(W0),
                    (UnaryOp::Neg, Width::W64) => self.a.neg(R0),
                    (UnaryOp::Not, Width::W32) => self.a.xor(W0, -1),
                    (UnaryOp::Not, Width::W64) => self.a.xor(R0, -1),
                }
            }
            Value::Binary(op, width, left, right) => {
                let second = self.operands(left, right, *width, none);
                self.binary(*op, *width, second, none);
            }
            Value::Extend { from, signed, to, of } => {
                self.value(of, none);
                self.extend(0, *from, *signed, *to);
            }
            Value::Bool(cond) => {
                let (no, end) = (self.a.label(), self.a.label());
                self.condition(cond, no, Some(none));
                self.a.mov(R0, 1);
                self.a.jump(end);
                self.a.bind(no);
                self.a.mov(R0, 0);
                self.a.bind(end);
            }
        }
    }

    fn load(&mut self, load: &Load, none: Label) {
        match *load.base {
            Value::Root => self.access.load_root(self.a, load),
            ref base => {
                self.value(base, none);
                self.a.jeq(R0, 0, none);
                self.a.mov(R1, R0);
                self.access.load(self.a, load);
            }
        }
        match (load.swap, load.size) {
            (true, 2) => self.a.be16(R0),
            (true, 4) => self.a.be32(R0),
            (true, 8) => self.a.be64(R0),
            _ => {}
        }
        let (shift, width) = load.bits.map_or((0, load.size * 8), |bits| (bits.shift, bits.width));
        let is_whole = shift == 0 && width == load.size * 8;
        if !is_whole || load.signed {
            self.extend(shift, width, load.signed, load.to);
        }
    }

    /// R0 = bits `shift..shift + width` of R0, with their sign or with zeros above them.
    fn extend(&mut self, shift: u8, width: u8, signed: bool, to: Width) {
        let (above, below) = (64 - i32::from(shift) - i32::from(width), 64 - i32::from(width));
        match signed {
            true => {
                if above > 0 {
                    self.a.lsh(R0, above);
                }
                if below > 0 {
                    self.a.arsh(R0, below);
                }
                if to == Width::W32 {
                    self.a.mov(W0, W0);
                }
            }
            false if (shift, width) == (0, 32) => self.a.mov(W0, W0),
            false if width < 32 => {
                if shift > 0 {
                    self.a.rsh(R0, i32::from(shift));
                }
                self.a.and(R0, ((1u64 << width) - 1) as i32);
            }
            false => {
                if above > 0 {
                    self.a.lsh(R0, above);
                }
                if below > 0 {
                    self.a.rsh(R0, below);
                }
            }
        }
    }

    /// R0 = R0 op `second`, which is a constant or R1.
    fn binary(&mut self, op: BinaryOp, width: Width, second: Operand, none: Label) {
        let alu = match op {
            BinaryOp::Add => AluOp::Add,
            BinaryOp::Sub => AluOp::Sub,
            BinaryOp::Mul => AluOp::Mul,
            BinaryOp::Div | BinaryOp::SDiv => AluOp::Div,
            BinaryOp::Rem | BinaryOp::SRem => AluOp::Rem,
            BinaryOp::And => AluOp::And,
            BinaryOp::Or => AluOp::Or,
            BinaryOp::Xor => AluOp::Xor,
            BinaryOp::Shl => AluOp::Lsh,
            BinaryOp::Shr => AluOp::Rsh,
            BinaryOp::Sar => AluOp::Arsh,
        };
        let width = match width {
            Width::W32 => asm::Width::W32,
            Width::W64 => asm::Width::W64,
        };
        match op {
            BinaryOp::Div | BinaryOp::Rem => {
                self.no_zero(width, second, none);
                self.a.emit(Op::Alu { op: alu, width, dst: R0.into(), src: second });
            }
            BinaryOp::SDiv | BinaryOp::SRem => self.signed_division(op, alu, width, second, none),
            _ => self.a.emit(Op::Alu { op: alu, width, dst: R0.into(), src: second }),
        }
    }

    /// Jumps to `none` if the divisor is 0. Constants are not.
    fn no_zero(&mut self, width: asm::Width, divisor: Operand, none: Label) {
        match (divisor, width) {
            (Operand::Imm(_), _) => {}
            (Operand::Reg(_), asm::Width::W32) => self.a.jeq(W1, 0, none),
            (Operand::Reg(_), asm::Width::W64) => self.a.jeq(R1, 0, none),
        }
    }

    /// The machine divides with a sign only since Linux 6.6: divides without, and puts the sign back. Clobbers: R1, R2.
    fn signed_division(&mut self, op: BinaryOp, alu: AluOp, width: asm::Width, divisor: Operand, none: Label) {
        let (first, second) = (self.a.label(), self.a.label());
        let end = self.a.label();
        if let Operand::Imm(imm) = divisor {
            self.a.mov(R1, imm);
        } else {
            self.no_zero(width, divisor, none);
        }
        if width == asm::Width::W32 {
            self.widen(R0);
            self.widen(R1);
        }
        // The sign of the result: the remainder has that of the dividend.
        self.a.mov(R2, R0);
        if op == BinaryOp::SDiv {
            self.a.xor(R2, R1);
        }
        self.a.jsge(R0, 0, first);
        self.a.neg(R0);
        self.a.bind(first);
        self.a.jsge(R1, 0, second);
        self.a.neg(R1);
        self.a.bind(second);
        self.a.emit(Op::Alu { op: alu, width: asm::Width::W64, dst: R0.into(), src: Operand::Reg(R1.into()) });
        self.a.jsge(R2, 0, end);
        self.a.neg(R0);
        self.a.bind(end);
        if width == asm::Width::W32 {
            self.a.mov(W0, W0);
        }
    }

    /// The low half of a register, with its sign, in all of it.
    fn widen(&mut self, register: Reg64) {
        self.a.lsh(register, 32);
        self.a.arsh(register, 32);
    }
}
