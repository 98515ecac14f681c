//! Random packets: layered like real ones, with fields drawn from the constants of the filter under test.

use filter_compiler::cbpf::op::*;
use filter_compiler::cbpf::{Program, Runner};

use super::rng::Rng;

/// Where a packet starts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Link {
    /// With an Ethernet header.
    Ethernet,
    /// With an IPv4 or IPv6 header.
    Raw,
}

/// A packet and its length before it was cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// The captured bytes.
    pub data: Vec<u8>,
    /// Length on the wire.
    pub wire_len: u32,
}

/// Constants that `program` compares or masks with: what the fields of its packets should hold.
pub fn constants(program: &Program) -> Vec<u32> {
    let compares = |code: u16| code & CLASS == JMP && code & X == 0 && code & 0xf0 != JA;
    let mut pool: Vec<u32> = program.0.iter().filter(|i| compares(i.code)).map(|i| i.k).collect();
    pool.sort_unstable();
    pool.dedup();
    pool
}

/// A random packet; `pool` are constants that its fields should hold now and then.
pub fn random(rng: &mut Rng, link: Link, pool: &[u32]) -> Sample {
    let mut packet = Builder { rng, pool, data: Vec::new() };
    match link {
        Link::Ethernet => packet.ethernet(0),
        Link::Raw if packet.rng.chance(70) => packet.ip4(0),
        Link::Raw if packet.rng.chance(90) => packet.ip6(0),
        Link::Raw => packet.noise(40),
    }
    let padding = packet.rng.below(24);
    packet.noise(padding);
    let data = packet.data;
    cut(rng, data, pool)
}

/// Sometimes shortens the packet, as a snapshot length does (the wire length stays) or as a runt (it does not).
fn cut(rng: &mut Rng, mut data: Vec<u8>, pool: &[u32]) -> Sample {
    let wire_len = data.len() as u32;
    match rng.below(100) {
        0..12 => {
            data.truncate(rng.below(data.len() + 1));
            Sample { data, wire_len }
        }
        12..17 => {
            data.truncate(rng.below(data.len() + 1));
            let wire_len = data.len() as u32;
            Sample { data, wire_len }
        }
        17..20 => Sample { wire_len: wire_len + rng.below(1500) as u32, data },
        20..24 if !pool.is_empty() => {
            // The length itself may be what is compared.
            let wire_len = rng.pick(pool).wrapping_add(rng.pick(&[0, 1, u32::MAX]));
            data.truncate(wire_len as usize);
            Sample { data, wire_len }
        }
        _ => Sample { data, wire_len },
    }
}

struct Builder<'a> {
    rng: &'a mut Rng,
    pool: &'a [u32],
    data: Vec<u8>,
}

impl Builder<'_> {
    /// A big-endian field of `size` bytes: from the pool, from `typical`, or anything.
    fn field(&mut self, size: usize, typical: &[u32]) -> u32 {
        let limit = if size == 4 { u32::MAX } else { (1 << (8 * size)) - 1 };
        let value = match self.rng.below(100) {
            0..45 if !self.pool.is_empty() => {
                let near = [0, 0, 0, 0, 0, 0, 1, u32::MAX];
                self.rng.pick(self.pool).wrapping_add(self.rng.pick(&near))
            }
            0..85 if !typical.is_empty() => self.rng.pick(typical),
            _ => self.rng.next() as u32,
        };
        self.put(size, value & limit);
        value & limit
    }

    /// One of `typical`, with a small chance of something else.
    fn choice(&mut self, size: usize, typical: &[u32]) -> u32 {
        if self.rng.chance(8) {
            return self.field(size, typical);
        }
        let value = self.rng.pick(typical);
        self.put(size, value);
        value
    }

    /// One of `typical`, preferring those that are in the pool.
    fn steered(&mut self, size: usize, typical: &[u32]) -> u32 {
        let wanted: Vec<u32> = typical.iter().copied().filter(|value| self.pool.contains(value)).collect();
        if !wanted.is_empty() && self.rng.chance(60) {
            return self.choice(size, &wanted);
        }
        self.choice(size, typical)
    }

    fn put(&mut self, size: usize, value: u32) {
        self.data.extend_from_slice(&value.to_be_bytes()[4 - size..]);
    }

    fn noise(&mut self, bytes: usize) {
        for _ in 0..bytes {
            let any = self.rng.next() as u8;
            let byte = self.rng.pick(&[0, 1, 0xff, any]);
            self.data.push(byte);
        }
    }

    fn mac(&mut self) {
        match self.rng.below(6) {
            0 => self.data.extend([0xff; 6]),
            1 => self.data.extend([1, 0, 0x5e, 0, 0, 1]),
            _ => {
                // A filter compares the last four bytes and the first two.
                self.field(2, &[0x0200, 0x0a1b]);
                self.field(4, &[1, 0x2c3d_4e5f]);
            }
        }
    }

    fn ethernet(&mut self, depth: u32) {
        self.mac();
        self.mac();
        self.ethertype(depth);
    }

    /// The type field and what follows it.
    fn ethertype(&mut self, depth: u32) {
        const TYPES: [u32; 25] = [
            0x800, 0x800, 0x800, 0x800, 0x800, 0x86dd, 0x86dd, 0x86dd, 0x806, 0x8035, 0x8100, 0x8100, 0x88a8, 0x9100,
            0x8847, 0x8863, 0x8864, 0x8864, 60, 200, 1500, 0x6003, 0x809b, 0x80f3, 0x8137,
        ];
        let kind = if depth > 4 { self.choice(2, &[0x800, 0x86dd]) } else { self.steered(2, &TYPES) };
        self.link_payload(kind, depth + 1);
    }

    fn link_payload(&mut self, kind: u32, depth: u32) {
        match kind {
            0x800 => self.ip4(depth),
            0x86dd => self.ip6(depth),
            0x806 | 0x8035 => self.arp(),
            0x8100 | 0x88a8 | 0x9100 => {
                self.field(2, &[1, 42, 0xf02a, 0x2001]);
                self.ethertype(depth);
            }
            0x8847 | 0x8848 => self.mpls(depth),
            0x8863 => self.noise(20),
            0x8864 => self.pppoe(depth),
            0x6558 => self.ethernet(depth),
            0x6003 => self.decnet(),
            0..=1500 => self.llc(),
            _ => self.noise(30),
        }
    }

    fn arp(&mut self) {
        for (size, typical) in [(2, 1), (2, 0x800), (1, 6), (1, 4), (2, 1)] {
            self.choice(size, &[typical]);
        }
        for _ in 0..2 {
            self.mac();
            self.field(4, &ADDRESSES);
        }
        self.noise(18);
    }

    fn mpls(&mut self, depth: u32) {
        let labels = self.rng.range(1, 4);
        for label in 1..=labels {
            // Label, class, bottom of stack, time to live.
            let value = if self.rng.chance(50) && !self.pool.is_empty() {
                self.rng.pick(self.pool) & 0xffff_f000
            } else {
                self.rng.pick(&[100 << 12, 200 << 12, 0])
            };
            let bottom = (label == labels) ^ self.rng.chance(5);
            self.put(4, value | u32::from(bottom) << 8 | 64);
        }
        if self.rng.chance(55) { self.ip4(depth) } else { self.ip6(depth) }
    }

    fn pppoe(&mut self, depth: u32) {
        self.choice(2, &[0x1100]);
        self.field(2, &[1, 3]);
        self.field(2, &[40]);
        match self.steered(2, &[0x21, 0x21, 0x57, 0x281, 0x23, 0x2b, 0xc021]) {
            0x21 => self.ip4(depth),
            0x57 => self.ip6(depth),
            0x281 => self.mpls(depth),
            _ => self.noise(30),
        }
    }

    fn decnet(&mut self) {
        self.put(2, 30);
        self.choice(1, &[2, 6, 0x81, 0x0a]);
        self.choice(1, &[2, 6, 0x0a]);
        for _ in 0..12 {
            self.field(2, &[0x2230]);
        }
    }

    fn llc(&mut self) {
        match self.rng.below(9) {
            0 => self.snap(0, &[0x8137, 0x80f3, 0x800]),
            1 => self.snap(0x08_0007, &[0x809b]),
            2 => {
                // OSI: CLNP, ES-IS, IS-IS
                self.put(2, 0xfefe);
                self.put(1, 3);
                self.choice(1, &[0x81, 0x82, 0x83, 0x83, 0x83]);
                self.noise(3);
                self.field(1, &[15, 16, 17, 18, 20, 24, 25, 26, 27]);
            }
            3 => self.put(2, 0xffff),
            _ => {
                let access_point = self.rng.pick(&[0x42, 0xe0, 0xf0, 0xaa, 0x06, 0xfe]);
                self.put(1, access_point);
                let same = if self.rng.chance(80) { access_point } else { access_point ^ 1 };
                self.put(1, same);
                self.field(1, &[0x03, 0x00, 0x01, 0x05, 0x09, 0x63, 0x43, 0x0f, 0x6f, 0xe3, 0xaf, 0x87, 0x13]);
            }
        }
        self.noise(30);
    }

    fn snap(&mut self, organisation: u32, kinds: &[u32]) {
        self.put(3, 0x00aa_aa03);
        self.choice(3, &[organisation]);
        self.choice(2, kinds);
    }

    fn ip4(&mut self, depth: u32) {
        let any = self.rng.below(16) as u32;
        let words = self.rng.pick(&[5, 5, 5, 5, 5, 5, 5, 6, 7, 15, any]);
        let version = if self.rng.chance(97) { 4 } else { self.rng.below(16) as u32 };
        self.put(1, version << 4 | words);
        self.field(1, &[0, 0x10]);
        self.field(2, &[60, 1500, 576]);
        self.field(2, &[]);
        self.field(2, &[0, 0, 0, 0x4000, 0x4000, 0x2000, 0x2001, 185, 0x1fff]);
        self.field(1, &[1, 64, 255]);
        let next = self.steered(1, &PROTOCOLS);
        self.field(2, &[]);
        self.field(4, &ADDRESSES);
        self.field(4, &ADDRESSES);
        self.noise((words as usize * 4).saturating_sub(20));
        self.transport(next, depth);
    }

    fn ip6(&mut self, depth: u32) {
        let version = if self.rng.chance(97) { 6 } else { self.rng.below(16) as u32 };
        self.put(4, version << 28);
        self.field(2, &[20, 1400]);
        let next = self.steered(1, &[6, 6, 17, 17, 132, 58, 58, 0, 44, 44, 60, 51, 59, 4, 50]);
        self.field(1, &[1, 64, 255]);
        for _ in 0..2 {
            match self.rng.below(4) {
                0 => {
                    self.choice(2, &[0xff02]);
                    self.noise(12);
                    self.field(2, &[1, 2]);
                }
                _ => {
                    self.field(4, &[0x2001_0db8, 0xfd00_0000, 0]);
                    self.field(4, &[1, 0]);
                    self.field(4, &[0]);
                    self.field(4, &[7, 1]);
                }
            }
        }
        if next == 60 && self.rng.chance(20) {
            // A chain longer than what eBPF code follows.
            for _ in 0..12 {
                self.put(2, 60 << 8);
                self.noise(6);
            }
        }
        self.transport(next, depth);
    }

    fn transport(&mut self, protocol: u32, depth: u32) {
        match protocol {
            0 | 43 | 60 if depth < 12 => {
                let next = self.steered(1, &[6, 17, 58, 0, 44, 51, 60, 59]);
                let length = self.rng.below(3);
                self.put(1, length as u32);
                self.noise(6 + 8 * length);
                self.transport(next, depth + 1);
            }
            44 => {
                let next = self.steered(1, &[6, 17, 58, 60]);
                self.put(1, 0);
                self.field(2, &[0, 1, 0x100]);
                self.field(4, &[]);
                self.transport(next, depth + 1);
            }
            51 if depth < 12 => {
                let next = self.steered(1, &[6, 17, 58, 51]);
                let length = self.rng.pick(&[4, 1, 5]);
                self.put(1, length as u32);
                self.noise(2 + 4 * length);
                self.transport(next, depth + 1);
            }
            6 => self.tcp(),
            17 => self.udp(depth),
            132 => {
                self.ports();
                self.noise(12);
            }
            1 => {
                self.field(1, &[0, 3, 8, 11, 5]);
                self.field(1, &[0, 1, 3]);
                self.noise(8);
            }
            58 => {
                self.field(1, &[1, 128, 129, 133, 134, 135, 136]);
                self.field(1, &[0, 1, 4]);
                self.noise(24);
            }
            4 if depth < 6 => self.ip4(depth + 1),
            41 if depth < 6 => self.ip6(depth + 1),
            _ => self.noise(24),
        }
    }

    fn ports(&mut self) -> u32 {
        self.field(2, &PORTS);
        self.field(2, &PORTS)
    }

    fn tcp(&mut self) {
        self.ports();
        self.field(4, &[0, 1]);
        self.field(4, &[0, 1]);
        let words = self.rng.pick(&[5, 5, 5, 8, 10, 15, 0]);
        self.put(1, words << 4);
        self.field(1, &[2, 0x12, 0x10, 0x18, 4, 0x11, 0x14]);
        self.field(2, &[65535]);
        self.field(2, &[]);
        self.field(2, &[0]);
        self.noise((words as usize * 4).saturating_sub(20));
        let payload: &[u8] = self.rng.pick(&[b"GET /".as_slice(), b"HTTP/1.1", b"POST /x", b""]);
        self.data.extend(payload);
    }

    fn udp(&mut self, depth: u32) {
        let port = self.ports();
        self.field(2, &[8, 40, 600]);
        self.field(2, &[0]);
        if depth > 5 {
            return self.noise(8);
        }
        match port {
            6081 => {
                let words = self.rng.pick(&[0, 0, 1, 3]);
                let version = if self.rng.chance(90) { 0 } else { 0x40 };
                self.put(1, version | words as u32);
                self.put(1, 0);
                let kind = self.steered(2, &[0x6558, 0x6558, 0x800, 0x86dd, 0x8847]);
                let network = match self.rng.below(3) {
                    0 if !self.pool.is_empty() => self.rng.pick(self.pool) & 0xffff_ff00,
                    _ => self.rng.pick(&[9 << 8, 100 << 8]),
                };
                self.put(4, network);
                self.noise(4 * words);
                self.link_payload(kind, depth + 1);
            }
            4789 => {
                self.put(4, 0x0800_0000);
                self.choice(4, &[100 << 8]);
                self.ethernet(depth + 1);
            }
            _ => self.noise(12),
        }
    }
}

const ADDRESSES: [u32; 6] = [0x0a00_0001, 0x0a00_0002, 0xc633_6407, 0xffff_ffff, 0xe000_0001, 0xc0a8_0101];
const PORTS: [u32; 10] = [80, 53, 443, 6081, 6081, 4789, 22, 25, 1024, 40000];
const PROTOCOLS: [u32; 18] = [6, 6, 6, 6, 17, 17, 17, 17, 132, 1, 1, 2, 51, 50, 103, 112, 4, 41];

/// Runs `program` over `base` and, at most branches, writes into the packet what makes the branch go the way that a
/// coin decides: packets reach deep into a filter that random bytes would never pass.
pub fn guided(rng: &mut Rng, program: &Program, base: &Sample) -> Sample {
    if program.check(Runner::Userland).is_err() {
        return base.clone();
    }
    let mut data = base.data.clone();
    if data.len() < 100 && rng.chance(80) {
        data.resize(100, 0);
    }
    let wire_len = base.wire_len.max(data.len() as u32);
    let mut walk = Walk { data, a: 0, x: 0, cells: [0; 16], from: None };
    let to_true = rng.pick(&[30, 50, 70, 90]);
    let mut pc = 0;
    for _ in 0..4000 {
        let insn = program.0[pc];
        pc += 1;
        match insn.code & CLASS {
            RET => break,
            JMP if insn.code & 0xf0 == JA => pc = pc.wrapping_add_signed(insn.k as i32 as isize),
            JMP => {
                if insn.code & X == 0 && rng.chance(85) {
                    let want = rng.chance(to_true);
                    walk.steer(rng, insn.code & 0xf0, insn.k, want);
                }
                let b = if insn.code & X == 0 { insn.k } else { walk.x };
                let holds = match insn.code & 0xf0 {
                    JEQ => walk.a == b,
                    JGT => walk.a > b,
                    JGE => walk.a >= b,
                    _ => walk.a & b != 0,
                };
                pc += usize::from(if holds { insn.jt } else { insn.jf });
            }
            _ => {
                if walk.execute(insn.code, insn.k, wire_len).is_none() {
                    break;
                }
            }
        }
    }
    Sample { data: walk.data, wire_len }
}

/// A machine that remembers which packet bytes its accumulator came from.
struct Walk {
    data: Vec<u8>,
    a: u32,
    x: u32,
    cells: [u32; 16],
    /// Offset, size and mask, while A is exactly `bytes & mask`.
    from: Option<(usize, usize, u32)>,
}

impl Walk {
    fn read(&self, at: usize, size: usize) -> Option<u32> {
        let bytes = self.data.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte)))
    }

    fn execute(&mut self, code: u16, k: u32, wire_len: u32) -> Option<()> {
        let from = self.from.take();
        match code & CLASS {
            LD => match code & 0xe0 {
                IMM => self.a = k,
                LEN => self.a = wire_len,
                MEM => self.a = self.cells[k as usize],
                mode => {
                    let size = [4, 2, 1, 1][usize::from(code >> 3 & 3)];
                    let x = if mode == IND { self.x as usize } else { 0 };
                    self.a = self.read(x + k as usize, size).or_else(|| (k >= AD_OFF).then_some(0))?;
                    if k < AD_OFF {
                        self.from = Some((x + k as usize, size, u32::MAX));
                    }
                }
            },
            LDX => match code & 0xe0 {
                IMM => self.x = k,
                LEN => self.x = wire_len,
                MEM => self.x = self.cells[k as usize],
                _ => {
                    self.x = (self.read(k as usize, 1)? & 15) << 2;
                    self.from = from;
                }
            },
            ST => {
                self.cells[k as usize] = self.a;
                self.from = from;
            }
            STX => self.cells[k as usize] = self.x,
            MISC if code & 0xf8 == TXA => self.a = self.x,
            MISC => {
                self.x = self.a;
                self.from = from;
            }
            _ => {
                let b = if code & X != 0 { self.x } else { k };
                if code == ALU | AND | K {
                    self.from = from.map(|(at, size, mask)| (at, size, mask & k));
                }
                self.a = match code & 0xf0 {
                    ADD => self.a.wrapping_add(b),
                    SUB => self.a.wrapping_sub(b),
                    MUL => self.a.wrapping_mul(b),
                    DIV => self.a.checked_div(b)?,
                    MOD => self.a.checked_rem(b)?,
                    OR => self.a | b,
                    AND => self.a & b,
                    XOR => self.a ^ b,
                    LSH => self.a.checked_shl(b).unwrap_or(0),
                    RSH => self.a.checked_shr(b).unwrap_or(0),
                    _ => self.a.wrapping_neg(),
                };
            }
        }
        Some(())
    }

    /// Writes the bytes behind A so that the test against `k` comes out as `want`, where a simple change does it.
    fn steer(&mut self, rng: &mut Rng, test: u16, k: u32, want: bool) {
        let Some((at, size, mask)) = self.from else { return };
        let raw = self.read(at, size).expect("it was read before");
        let (some_bit, some_bits) = (1 << rng.below(8 * size), rng.next() as u32);
        let (value, touched) = match (test, want) {
            (JEQ, true) => (k, mask),
            (JEQ, false) if self.a == k => (self.a ^ some_bit, mask),
            (JGT, true) => (rng.pick(&[k.saturating_add(1), u32::MAX, k | some_bit]), mask),
            (JGT, false) => (rng.pick(&[k, 0, k.saturating_sub(1)]), mask),
            (JGE, true) => (rng.pick(&[k, k.saturating_add(1), u32::MAX]), mask),
            (JGE, false) => (rng.pick(&[k.saturating_sub(1), 0]), mask),
            (JSET, true) => (raw | rng.pick(&[k, k & k.wrapping_neg(), k & some_bits]), mask & k),
            (JSET, false) => (0, mask & k),
            _ => return,
        };
        let patched = raw & !touched | value & touched;
        self.data[at..at + size].copy_from_slice(&patched.to_be_bytes()[4 - size..]);
        self.a = self.read(at, size).expect("it was read before") & mask;
    }
}
