//! The code of expressions against their meaning: emitted programs run in rbpf, trees are evaluated.

use asm::{Asm, Helper, R0, R1, R2, R7, Reg64};
use whither::btf::{Bits, Btf, Struct, TypeId, View};
use whither::expr::tree::Load;
use whither::expr::{BinaryOp, Cmp, Cond, Root, UnaryOp, Value, Width, condition, emit, eval};

const ROOT: u64 = 0xffff_8880_1234_5600;

/// Memory that is a function of the address: small numbers, pointers and NULL are frequent.
fn bytes_at(address: u64, size: u64) -> u64 {
    let mut h = address.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h ^= h >> 29;
    h = h.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h ^= h >> 32;
    let value = match h % 8 {
        0 | 1 => 0,
        2 => h >> 8 & 7,
        3 => (h >> 8 & 7).wrapping_neg(),
        4 => 1 << (h >> 8 & 63),
        _ => h.rotate_left(17),
    };
    if size < 8 { value & ((1 << (size * 8)) - 1) } else { value }
}

struct Memory;

impl eval::Memory for Memory {
    fn load(&self, address: u64, size: u8) -> u64 {
        bytes_at(address, size.into())
    }
}

/// Reads memory by calling `bpf_probe_read_kernel`, as which the interpreter has [`bytes_at`]. Destroys what it may.
struct ByCall;

impl ByCall {
    fn call(a: &mut Asm, load: &Load) {
        a.add(R1, load.offset as i32);
        a.mov(R2, i32::from(load.size));
        a.mov(asm::R3, 0);
        a.call(Helper::ProbeReadKernel);
        for register in [R1, R2, asm::R3, asm::R4, asm::R5] {
            a.mov(register, -0x5a5a);
        }
    }
}

impl emit::Access for ByCall {
    fn root(&self) -> Reg64 {
        R7
    }

    fn load_root(&mut self, a: &mut Asm, load: &Load) {
        a.mov(R1, R7);
        ByCall::call(a, load);
    }

    fn load(&mut self, a: &mut Asm, load: &Load) {
        ByCall::call(a, load);
    }
}

fn helper(address: u64, size: u64, _: u64, _: u64, _: u64) -> u64 {
    bytes_at(address, size)
}

/// What the emitted code says.
fn run(cond: &Cond) -> bool {
    let mut a = Asm::new("test");
    let drop = a.label();
    a.mov_u64(R7, ROOT);
    a.jeq(R7, 0, drop);
    emit::condition(&mut a, cond, &mut ByCall, drop);
    a.mov(R0, 1);
    a.exit();
    a.bind(drop);
    a.mov(R0, 0);
    a.exit();
    let program = a.finish().unwrap_or_else(|e| panic!("{cond}: {e}"));
    let slots = program.encode(|_| 0).unwrap();
    let bytes: Vec<u8> = slots.iter().flat_map(|slot| slot.to_le_bytes()).collect();
    let mut vm = rbpf::EbpfVmNoData::new(Some(&bytes)).unwrap_or_else(|e| panic!("{program}{e}"));
    vm.register_helper(113, helper).unwrap();
    vm.execute_program().unwrap_or_else(|e| panic!("{program}{e}")) == 1
}

fn check(cond: &Cond) {
    assert_eq!(run(cond), eval::condition(cond, ROOT, &Memory), "{cond}");
}

#[test]
fn expressions() {
    let kernel = include_bytes!("hosts/6.12-x86_64/sys/kernel/btf/vmlinux");
    let btf = Btf::parse(kernel, "6.12").unwrap();
    let root = Root { name: "skb", ty: btf.find::<Struct>("sk_buff").unwrap().as_type() };
    for text in [
        "skb->mark == 0xa00",
        "skb->mark",
        "skb->dev->ifindex == 2 || skb->len > 100",
        "skb->dev->ifindex != 2 && skb->len > 100 || skb->protocol == 0x0800",
        "!(skb->dev->nd_net.net->ns.inum == 4026531840)",
        "skb->protocol > 0x7ff",
        "skb->pkt_type == 3",
        "skb->tstamp / -3 < skb->tstamp % 7",
        "skb->dev->ifindex / skb->skb_iif == skb->dev->ifindex % (skb->skb_iif + 1)",
        "((struct iphdr *)(skb->head + skb->network_header))->saddr == 0x0a000001",
        "(skb->mark == 1) + (skb->len == 2) * 2 == (skb->priority != 0)",
        "(skb->sk->__sk_common.skc_family == 2 || skb->len) == 0",
        "skb->cb[skb->pkt_type] << skb->len >> 3 == ~skb->mark",
        "(signed char)skb->mark < (short)skb->len - -skb->dev->ifindex",
        "skb->_skb_refdst & ~1 && skb->_skb_refdst > 0xffffffff00000000",
        "1",
        "0",
        "1 == 2 || skb->len == 3",
    ] {
        let cond = condition(text, root).unwrap_or_else(|e| panic!("{}", e.render()));
        check(&cond);
        check(&cond.negate());
    }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[(self.next() >> 20) as usize % of.len()]
    }

    fn width(&mut self) -> Width {
        self.pick(&[Width::W32, Width::W64])
    }

    fn constant(&mut self, width: Width) -> u64 {
        let n = self.next();
        width.cut(self.pick(&[
            0,
            1,
            2,
            7,
            n & 0xff,
            n,
            n >> 33,
            n.wrapping_neg() >> 60,
            u64::MAX,
            1 << 31,
            1 << 63,
            i32::MAX as u64,
        ]))
    }

    /// A value of this width, as the resolver makes them: one of 32 bits has zeros above.
    fn value(&mut self, width: Width, depth: u32) -> Value {
        use BinaryOp::*;
        let deeper = depth.saturating_sub(1);
        match if depth == 0 { self.next() % 3 } else { self.next() % 10 } {
            0 => Value::Const(self.constant(width)),
            1 | 2 => self.load(width, deeper),
            3 => Value::unary(self.pick(&[UnaryOp::Neg, UnaryOp::Not]), width, self.value(width, deeper)),
            4 => {
                let (from, of) = match width {
                    Width::W32 => (self.pick(&[8, 16, 32]), self.width()),
                    Width::W64 => (32, Width::W32),
                };
                let signed = self.next() & 1 == 0;
                Value::extend(from, signed, width, self.value(of, deeper))
            }
            5 => Value::bool(self.condition(deeper)),
            _ => {
                let op = self.pick(&[Add, Sub, Mul, Div, Rem, SDiv, SRem, And, Or, Xor, Shl, Shr, Sar]);
                let (left, mut right) = (self.value(width, deeper), self.value(width, deeper));
                // The resolver refuses divisions by a constant zero.
                if matches!(op, Div | Rem | SDiv | SRem) && right == Value::Const(0) {
                    right = Value::Const(3);
                }
                Value::binary(op, width, left, right)
            }
        }
    }

    fn load(&mut self, width: Width, depth: u32) -> Value {
        let base = match depth {
            0 => Value::Root,
            _ if self.pick(&[true, false, false]) => self.value(Width::W64, depth - 1),
            _ => Value::Root,
        };
        let size = self.pick(if width == Width::W32 { &[1u8, 2, 4] } else { &[8] });
        let bits = self.pick(&[true, false, false, false]).then(|| {
            let width = 1 + (self.next() % u64::from(size * 8)) as u8;
            Bits { shift: (self.next() % u64::from(size * 8 - width + 1)) as u8, width }
        });
        Value::Load(Load {
            base: Box::new(base),
            object: TypeId(1),
            offset: (self.next() % 64) as u32 * 8,
            size,
            swap: size > 1 && bits.is_none() && self.pick(&[true, false, false, false]),
            bits,
            signed: self.next() & 1 == 0,
            to: width,
        })
    }

    fn condition(&mut self, depth: u32) -> Cond {
        let deeper = depth.saturating_sub(1);
        match if depth == 0 { 0 } else { self.next() % 4 } {
            0 | 1 => {
                let (width, signed) = (self.width(), self.next() & 1 == 0);
                let op = self.pick(&[Cmp::Eq, Cmp::Ne, Cmp::Lt, Cmp::Le, Cmp::Gt, Cmp::Ge]);
                Cond::compare(op, width, signed, self.value(width, deeper), self.value(width, deeper))
            }
            2 => self.condition(deeper).and(self.condition(deeper)),
            _ => self.condition(deeper).or(self.condition(deeper)),
        }
    }
}

/// `EXPR_FUZZ_ROUNDS=1000000 cargo test --release --test btf_expr_code` for more.
#[test]
fn random_trees() {
    let rounds = std::env::var("EXPR_FUZZ_ROUNDS").map_or(4000, |text| text.parse().unwrap());
    let mut counts = [0; 2];
    for round in 0..rounds {
        let mut random = Random(round * 2 + 1);
        random.next();
        let cond = random.condition(5);
        let holds = eval::condition(&cond, ROOT, &Memory);
        assert_eq!(run(&cond), holds, "round {round}: {cond}");
        counts[usize::from(holds)] += 1;
    }
    assert!(counts.iter().all(|n| *n > rounds / 10), "{counts:?}");
}
