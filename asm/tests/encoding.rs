//! Every form of instruction: the call, the slots, the listing.
//!
//! A slot reads from the left: constant (two groups), offset, then a digit each for source and destination register,
//! and the opcode. The 147 rows that `llvm-mc` 14 can assemble were compared with it once; other crates and the kernel's
//! verifier read all forms in every run: `others.rs`, `kernel/`.

use asm::*;
use std::collections::HashSet;

mod support {
    pub mod forms;
}
use support::forms;

struct Row {
    call: &'static str,
    emit: fn(&mut Asm, &Context),
    slots: &'static [u64],
    text: &'static str,
}

/// What the instructions of the table refer to.
struct Context {
    /// The first instruction of the program.
    back: Label,
    /// The next but one after the instruction of the table.
    on: Label,
    /// A subprogram, four instructions on.
    subprogram: Label,
    /// Eight bytes, the first ones of the frame.
    slot: Slot,
}

macro_rules! table {
    ($a:ident $c:ident; $($call:expr => $slots:expr, $text:literal;)*) => {
        &[$(Row {
            call: stringify!($call),
            emit: |$a: &mut Asm, $c: &Context| {
                let _ = $c;
                $call
            },
            slots: &$slots,
            text: $text,
        },)*]
    };
}

#[rustfmt::skip]
const TABLE: &[Row] = table! { a c;
    // Arithmetic and logic: registers, constants, low halves, the edges of constants.
    a.mov(R1, R2) => [0x0000_0000_0000_21bf], "(bf) r1 = r2";
    a.mov(R3, 7) => [0x0000_0007_0000_03b7], "(b7) r3 = 7";
    a.mov(W4, W5) => [0x0000_0000_0000_54bc], "(bc) w4 = w5";
    a.mov(W6, 9) => [0x0000_0009_0000_06b4], "(b4) w6 = 9";
    a.add(R1, R2) => [0x0000_0000_0000_210f], "(0f) r1 += r2";
    a.add(R3, 7) => [0x0000_0007_0000_0307], "(07) r3 += 7";
    a.add(W4, W5) => [0x0000_0000_0000_540c], "(0c) w4 += w5";
    a.add(W6, 9) => [0x0000_0009_0000_0604], "(04) w6 += 9";
    a.sub(R1, R2) => [0x0000_0000_0000_211f], "(1f) r1 -= r2";
    a.sub(R3, 7) => [0x0000_0007_0000_0317], "(17) r3 -= 7";
    a.sub(W4, W5) => [0x0000_0000_0000_541c], "(1c) w4 -= w5";
    a.sub(W6, 9) => [0x0000_0009_0000_0614], "(14) w6 -= 9";
    a.mul(R1, R2) => [0x0000_0000_0000_212f], "(2f) r1 *= r2";
    a.mul(R3, 7) => [0x0000_0007_0000_0327], "(27) r3 *= 7";
    a.mul(W4, W5) => [0x0000_0000_0000_542c], "(2c) w4 *= w5";
    a.mul(W6, 9) => [0x0000_0009_0000_0624], "(24) w6 *= 9";
    a.div(R1, R2) => [0x0000_0000_0000_213f], "(3f) r1 /= r2";
    a.div(R3, 7) => [0x0000_0007_0000_0337], "(37) r3 /= 7";
    a.div(W4, W5) => [0x0000_0000_0000_543c], "(3c) w4 /= w5";
    a.div(W6, 9) => [0x0000_0009_0000_0634], "(34) w6 /= 9";
    a.rem(R1, R2) => [0x0000_0000_0000_219f], "(9f) r1 %= r2";
    a.rem(R3, 7) => [0x0000_0007_0000_0397], "(97) r3 %= 7";
    a.rem(W4, W5) => [0x0000_0000_0000_549c], "(9c) w4 %= w5";
    a.rem(W6, 9) => [0x0000_0009_0000_0694], "(94) w6 %= 9";
    a.sdiv(R1, R2) => [0x0000_0000_0001_213f], "(3f) r1 s/= r2";
    a.sdiv(R3, 7) => [0x0000_0007_0001_0337], "(37) r3 s/= 7";
    a.sdiv(W4, W5) => [0x0000_0000_0001_543c], "(3c) w4 s/= w5";
    a.sdiv(W6, 9) => [0x0000_0009_0001_0634], "(34) w6 s/= 9";
    a.srem(R1, R2) => [0x0000_0000_0001_219f], "(9f) r1 s%= r2";
    a.srem(R3, 7) => [0x0000_0007_0001_0397], "(97) r3 s%= 7";
    a.srem(W4, W5) => [0x0000_0000_0001_549c], "(9c) w4 s%= w5";
    a.srem(W6, 9) => [0x0000_0009_0001_0694], "(94) w6 s%= 9";
    a.or(R1, R2) => [0x0000_0000_0000_214f], "(4f) r1 |= r2";
    a.or(R3, 7) => [0x0000_0007_0000_0347], "(47) r3 |= 7";
    a.or(W4, W5) => [0x0000_0000_0000_544c], "(4c) w4 |= w5";
    a.or(W6, 9) => [0x0000_0009_0000_0644], "(44) w6 |= 9";
    a.and(R1, R2) => [0x0000_0000_0000_215f], "(5f) r1 &= r2";
    a.and(R3, 7) => [0x0000_0007_0000_0357], "(57) r3 &= 7";
    a.and(W4, W5) => [0x0000_0000_0000_545c], "(5c) w4 &= w5";
    a.and(W6, 9) => [0x0000_0009_0000_0654], "(54) w6 &= 9";
    a.xor(R1, R2) => [0x0000_0000_0000_21af], "(af) r1 ^= r2";
    a.xor(R3, 7) => [0x0000_0007_0000_03a7], "(a7) r3 ^= 7";
    a.xor(W4, W5) => [0x0000_0000_0000_54ac], "(ac) w4 ^= w5";
    a.xor(W6, 9) => [0x0000_0009_0000_06a4], "(a4) w6 ^= 9";
    a.lsh(R1, R2) => [0x0000_0000_0000_216f], "(6f) r1 <<= r2";
    a.lsh(R3, 7) => [0x0000_0007_0000_0367], "(67) r3 <<= 7";
    a.lsh(W4, W5) => [0x0000_0000_0000_546c], "(6c) w4 <<= w5";
    a.lsh(W6, 9) => [0x0000_0009_0000_0664], "(64) w6 <<= 9";
    a.rsh(R1, R2) => [0x0000_0000_0000_217f], "(7f) r1 >>= r2";
    a.rsh(R3, 7) => [0x0000_0007_0000_0377], "(77) r3 >>= 7";
    a.rsh(W4, W5) => [0x0000_0000_0000_547c], "(7c) w4 >>= w5";
    a.rsh(W6, 9) => [0x0000_0009_0000_0674], "(74) w6 >>= 9";
    a.arsh(R1, R2) => [0x0000_0000_0000_21cf], "(cf) r1 s>>= r2";
    a.arsh(R3, 7) => [0x0000_0007_0000_03c7], "(c7) r3 s>>= 7";
    a.arsh(W4, W5) => [0x0000_0000_0000_54cc], "(cc) w4 s>>= w5";
    a.arsh(W6, 9) => [0x0000_0009_0000_06c4], "(c4) w6 s>>= 9";
    a.mov(R9, FP) => [0x0000_0000_0000_a9bf], "(bf) r9 = r10";
    a.mov(R0, i32::MIN) => [0x8000_0000_0000_00b7], "(b7) r0 = -2147483648";
    a.mov(R0, -1) => [0xffff_ffff_0000_00b7], "(b7) r0 = -1";
    a.and(W1, u32::MAX) => [0xffff_ffff_0000_0154], "(54) w1 &= -1";
    a.add(R7, i32::MAX) => [0x7fff_ffff_0000_0707], "(07) r7 += 2147483647";
    a.mov(W8, 0x8000_0000_u32) => [0x8000_0000_0000_08b4], "(b4) w8 = -2147483648";
    a.neg(R1) => [0x0000_0000_0000_0187], "(87) r1 = -r1";
    a.neg(W2) => [0x0000_0000_0000_0284], "(84) w2 = -w2";
    a.movsx8(R1, R2) => [0x0000_0000_0008_21bf], "(bf) r1 = (s8)r2";
    a.movsx8(W3, W4) => [0x0000_0000_0008_43bc], "(bc) w3 = (s8)w4";
    a.movsx16(R1, R2) => [0x0000_0000_0010_21bf], "(bf) r1 = (s16)r2";
    a.movsx16(W3, W4) => [0x0000_0000_0010_43bc], "(bc) w3 = (s16)w4";
    a.movsx32(R5, R6) => [0x0000_0000_0020_65bf], "(bf) r5 = (s32)r6";
    a.addr_space_cast(R1, R2, 0, 1) => [0x0000_0001_0001_21bf], "(bf) r1 = addr_space_cast(r2, 0, 1)";
    a.addr_space_cast(R3, R4, 1, 0) => [0x0001_0000_0001_43bf], "(bf) r3 = addr_space_cast(r4, 1, 0)";
    // Byte order.
    a.be16(R1) => [0x0000_0010_0000_01dc], "(dc) r1 = be16 r1";
    a.be32(R2) => [0x0000_0020_0000_02dc], "(dc) r2 = be32 r2";
    a.be64(R4) => [0x0000_0040_0000_04dc], "(dc) r4 = be64 r4";
    a.le16(R1) => [0x0000_0010_0000_01d4], "(d4) r1 = le16 r1";
    a.le32(R2) => [0x0000_0020_0000_02d4], "(d4) r2 = le32 r2";
    a.le64(R4) => [0x0000_0040_0000_04d4], "(d4) r4 = le64 r4";
    a.bswap16(R1) => [0x0000_0010_0000_01d7], "(d7) r1 = bswap16 r1";
    a.bswap32(R2) => [0x0000_0020_0000_02d7], "(d7) r2 = bswap32 r2";
    a.bswap64(R4) => [0x0000_0040_0000_04d7], "(d7) r4 = bswap64 r4";
    // Memory: sizes, bases, the edges of offsets.
    a.load(R0, u8(R7 + 8)) => [0x0000_0000_0008_7071], "(71) r0 = *(u8 *)(r7 +8)";
    a.load(R1, u16(R7 + 16)) => [0x0000_0000_0010_7169], "(69) r1 = *(u16 *)(r7 +16)";
    a.load(R2, u32(R7 + 32)) => [0x0000_0000_0020_7261], "(61) r2 = *(u32 *)(r7 +32)";
    a.load(R3, u64(R7 + 64)) => [0x0000_0000_0040_7379], "(79) r3 = *(u64 *)(r7 +64)";
    a.load(R1, u32(R2)) => [0x0000_0000_0000_2161], "(61) r1 = *(u32 *)(r2 +0)";
    a.load(R1, u32(R2 - 8)) => [0x0000_0000_fff8_2161], "(61) r1 = *(u32 *)(r2 -8)";
    a.load(R1, u8(R2 + 32767)) => [0x0000_0000_7fff_2171], "(71) r1 = *(u8 *)(r2 +32767)";
    a.load(R1, u8(R2 - 32768)) => [0x0000_0000_8000_2171], "(71) r1 = *(u8 *)(r2 -32768)";
    a.load(R1, u8(R2 + 5_u32)) => [0x0000_0000_0005_2171], "(71) r1 = *(u8 *)(r2 +5)";
    a.load(R9, u64(FP - 8)) => [0x0000_0000_fff8_a979], "(79) r9 = *(u64 *)(r10 -8)";
    a.load(R1, u32(R2 + 8 - 4)) => [0x0000_0000_0004_2161], "(61) r1 = *(u32 *)(r2 +4)";
    a.load(R1, Mem::new(Size::B2, R2 + 2)) => [0x0000_0000_0002_2169], "(69) r1 = *(u16 *)(r2 +2)";
    a.load_signed(R0, i8(R7 + 8)) => [0x0000_0000_0008_7091], "(91) r0 = *(s8 *)(r7 +8)";
    a.load_signed(R1, i16(R7 + 16)) => [0x0000_0000_0010_7189], "(89) r1 = *(s16 *)(r7 +16)";
    a.load_signed(R2, i32(R7 + 32)) => [0x0000_0000_0020_7281], "(81) r2 = *(s32 *)(r7 +32)";
    a.load_signed(R1, i16(FP - 8)) => [0x0000_0000_fff8_a189], "(89) r1 = *(s16 *)(r10 -8)";
    a.store(u8(R6 + 8), R0) => [0x0000_0000_0008_0673], "(73) *(u8 *)(r6 +8) = r0";
    a.store(u16(R6 + 16), R1) => [0x0000_0000_0010_166b], "(6b) *(u16 *)(r6 +16) = r1";
    a.store(u32(R6 + 32), R2) => [0x0000_0000_0020_2663], "(63) *(u32 *)(r6 +32) = r2";
    a.store(u64(R6 + 64), R3) => [0x0000_0000_0040_367b], "(7b) *(u64 *)(r6 +64) = r3";
    a.store(u8(R6 - 8), W0) => [0x0000_0000_fff8_0673], "(73) *(u8 *)(r6 -8) = r0";
    a.store(u16(R6 - 16), W1) => [0x0000_0000_fff0_166b], "(6b) *(u16 *)(r6 -16) = r1";
    a.store(u32(R6 - 32), W2) => [0x0000_0000_ffe0_2663], "(63) *(u32 *)(r6 -32) = r2";
    a.store(u64(FP - 8), FP) => [0x0000_0000_fff8_aa7b], "(7b) *(u64 *)(r10 -8) = r10";
    a.store(u8(R6 + 8), 7) => [0x0000_0007_0008_0672], "(72) *(u8 *)(r6 +8) = 7";
    a.store(u16(R6 + 16), 7) => [0x0000_0007_0010_066a], "(6a) *(u16 *)(r6 +16) = 7";
    a.store(u32(R6 + 32), 7) => [0x0000_0007_0020_0662], "(62) *(u32 *)(r6 +32) = 7";
    a.store(u64(R6 + 64), 7) => [0x0000_0007_0040_067a], "(7a) *(u64 *)(r6 +64) = 7";
    a.store(u8(R6), 255) => [0x0000_00ff_0000_0672], "(72) *(u8 *)(r6 +0) = 255";
    a.store(u8(R6), -128) => [0xffff_ff80_0000_0672], "(72) *(u8 *)(r6 +0) = -128";
    a.store(u16(R6), 65535) => [0x0000_ffff_0000_066a], "(6a) *(u16 *)(r6 +0) = 65535";
    a.store(u32(R6), 0xffff_ffff_u32) => [0xffff_ffff_0000_0662], "(62) *(u32 *)(r6 +0) = -1";
    a.store(u64(R6), -1) => [0xffff_ffff_0000_067a], "(7a) *(u64 *)(r6 +0) = -1";
    // The stack by name.
    a.load(R1, u32(c.slot)) => [0x0000_0000_fff8_a161], "(61) r1 = *(u32 *)(r10 -8)";
    a.load(R1, u32(c.slot + 4)) => [0x0000_0000_fffc_a161], "(61) r1 = *(u32 *)(r10 -4)";
    a.store(u8(c.slot + 7), 1) => [0x0000_0001_ffff_0a72], "(72) *(u8 *)(r10 -1) = 1";
    a.store(u64(c.slot), R2) => [0x0000_0000_fff8_2a7b], "(7b) *(u64 *)(r10 -8) = r2";
    // Atomic instructions.
    a.atomic_add(u64(FP - 8), R2) => [0x0000_0000_fff8_2adb], "(db) lock *(u64 *)(r10 -8) += r2";
    a.atomic_add(u32(R1 + 4), W2) => [0x0000_0000_0004_21c3], "(c3) lock *(u32 *)(r1 +4) += r2";
    a.atomic_or(u64(FP - 8), R2) => [0x0000_0040_fff8_2adb], "(db) lock *(u64 *)(r10 -8) |= r2";
    a.atomic_or(u32(R1 + 4), W2) => [0x0000_0040_0004_21c3], "(c3) lock *(u32 *)(r1 +4) |= r2";
    a.atomic_and(u64(FP - 8), R2) => [0x0000_0050_fff8_2adb], "(db) lock *(u64 *)(r10 -8) &= r2";
    a.atomic_and(u32(R1 + 4), W2) => [0x0000_0050_0004_21c3], "(c3) lock *(u32 *)(r1 +4) &= r2";
    a.atomic_xor(u64(FP - 8), R2) => [0x0000_00a0_fff8_2adb], "(db) lock *(u64 *)(r10 -8) ^= r2";
    a.atomic_xor(u32(R1 + 4), W2) => [0x0000_00a0_0004_21c3], "(c3) lock *(u32 *)(r1 +4) ^= r2";
    a.atomic_fetch_add(u64(FP - 8), R2) => [0x0000_0001_fff8_2adb], "(db) r2 = atomic64_fetch_add((u64 *)(r10 -8), r2)";
    a.atomic_fetch_add(u32(R1 + 4), W2) => [0x0000_0001_0004_21c3], "(c3) r2 = atomic_fetch_add((u32 *)(r1 +4), r2)";
    a.atomic_fetch_or(u64(FP - 8), R2) => [0x0000_0041_fff8_2adb], "(db) r2 = atomic64_fetch_or((u64 *)(r10 -8), r2)";
    a.atomic_fetch_or(u32(R1 + 4), W2) => [0x0000_0041_0004_21c3], "(c3) r2 = atomic_fetch_or((u32 *)(r1 +4), r2)";
    a.atomic_fetch_and(u64(FP - 8), R2) => [0x0000_0051_fff8_2adb], "(db) r2 = atomic64_fetch_and((u64 *)(r10 -8), r2)";
    a.atomic_fetch_and(u32(R1 + 4), W2) => [0x0000_0051_0004_21c3], "(c3) r2 = atomic_fetch_and((u32 *)(r1 +4), r2)";
    a.atomic_fetch_xor(u64(FP - 8), R2) => [0x0000_00a1_fff8_2adb], "(db) r2 = atomic64_fetch_xor((u64 *)(r10 -8), r2)";
    a.atomic_fetch_xor(u32(R1 + 4), W2) => [0x0000_00a1_0004_21c3], "(c3) r2 = atomic_fetch_xor((u32 *)(r1 +4), r2)";
    a.atomic_xchg(u64(FP - 8), R2) => [0x0000_00e1_fff8_2adb], "(db) r2 = atomic64_xchg((u64 *)(r10 -8), r2)";
    a.atomic_xchg(u32(R1 + 4), W2) => [0x0000_00e1_0004_21c3], "(c3) r2 = atomic_xchg((u32 *)(r1 +4), r2)";
    a.atomic_cmpxchg(u64(FP - 8), R2) => [0x0000_00f1_fff8_2adb], "(db) r0 = atomic64_cmpxchg((u64 *)(r10 -8), r0, r2)";
    a.atomic_cmpxchg(u32(R1 + 4), W2) => [0x0000_00f1_0004_21c3], "(c3) r0 = atomic_cmpxchg((u32 *)(r1 +4), r0, r2)";
    a.atomic_add(u32(R1), R2) => [0x0000_0000_0000_21c3], "(c3) lock *(u32 *)(r1 +0) += r2";
    a.load_acquire(R0, u8(R7 + 8)) => [0x0000_0100_0008_70d3], "(d3) r0 = load_acquire((u8 *)(r7 +8))";
    a.store_release(u8(R7 + 8), R0) => [0x0000_0110_0008_07d3], "(d3) store_release((u8 *)(r7 +8), r0)";
    a.load_acquire(R1, u16(R7 + 16)) => [0x0000_0100_0010_71cb], "(cb) r1 = load_acquire((u16 *)(r7 +16))";
    a.store_release(u16(R7 + 16), R1) => [0x0000_0110_0010_17cb], "(cb) store_release((u16 *)(r7 +16), r1)";
    a.load_acquire(R2, u32(R7 + 32)) => [0x0000_0100_0020_72c3], "(c3) r2 = load_acquire((u32 *)(r7 +32))";
    a.store_release(u32(R7 + 32), R2) => [0x0000_0110_0020_27c3], "(c3) store_release((u32 *)(r7 +32), r2)";
    a.load_acquire(R3, u64(R7 + 64)) => [0x0000_0100_0040_73db], "(db) r3 = load_acquire((u64 *)(r7 +64))";
    a.store_release(u64(R7 + 64), R3) => [0x0000_0110_0040_37db], "(db) store_release((u64 *)(r7 +64), r3)";
    // Packets, the classic way.
    a.load_packet(Size::B1, 12) => [0x0000_000c_0000_0030], "(30) r0 = *(u8 *)skb[12]";
    a.load_packet_at(Size::B1, R7, -4) => [0xffff_fffc_0000_7050], "(50) r0 = *(u8 *)skb[r7 + -4]";
    a.load_packet(Size::B2, 12) => [0x0000_000c_0000_0028], "(28) r0 = *(u16 *)skb[12]";
    a.load_packet_at(Size::B2, R7, -4) => [0xffff_fffc_0000_7048], "(48) r0 = *(u16 *)skb[r7 + -4]";
    a.load_packet(Size::B4, 12) => [0x0000_000c_0000_0020], "(20) r0 = *(u32 *)skb[12]";
    a.load_packet_at(Size::B4, R7, -4) => [0xffff_fffc_0000_7040], "(40) r0 = *(u32 *)skb[r7 + -4]";
    // Constants and addresses of 64 bits.
    a.load_imm64(R1, 0) => [0x0000_0000_0000_0118, 0x0000_0000_0000_0000], "(18) r1 = 0x0";
    a.load_imm64(R9, 0x1122_3344_5566_7788) => [0x5566_7788_0000_0918, 0x1122_3344_0000_0000], "(18) r9 = 0x1122334455667788";
    a.load_imm64(R2, u64::MAX) => [0xffff_ffff_0000_0218, 0xffff_ffff_0000_0000], "(18) r2 = 0xffffffffffffffff";
    a.load_imm64(R2, 0x8000_0000) => [0x8000_0000_0000_0218, 0x0000_0000_0000_0000], "(18) r2 = 0x80000000";
    a.mov_u64(R1, 0x7fff_ffff) => [0x7fff_ffff_0000_01b7], "(b7) r1 = 2147483647";
    a.mov_u64(R1, 0x8000_0000) => [0x8000_0000_0000_01b4], "(b4) w1 = -2147483648";
    a.mov_u64(R1, u64::MAX) => [0xffff_ffff_0000_01b7], "(b7) r1 = -1";
    a.mov_u64(R1, 0x1_0000_0000) => [0x0000_0000_0000_0118, 0x0000_0001_0000_0000], "(18) r1 = 0x100000000";
    a.mov_u64(R1, 0xffff_ffff_7fff_ffff) => [0x7fff_ffff_0000_0118, 0xffff_ffff_0000_0000], "(18) r1 = 0xffffffff7fffffff";
    a.load_map(R1, MapRef(3)) => [0x0000_0003_0000_1118, 0x0000_0000_0000_0000], "(18) r1 = map[3]";
    a.load_map_value(R2, MapRef(3), 16) => [0x0000_0003_0000_2218, 0x0000_0010_0000_0000], "(18) r2 = map[3][0]+16";
    a.load_map_index(R3, 1) => [0x0000_0001_0000_5318, 0x0000_0000_0000_0000], "(18) r3 = map[idx:1]";
    a.load_map_index_value(R4, 1, 8) => [0x0000_0001_0000_6418, 0x0000_0008_0000_0000], "(18) r4 = map[idx:1][0]+8";
    a.load_btf_id(R5, 1234) => [0x0000_04d2_0000_3518, 0x0000_0000_0000_0000], "(18) r5 = btf[1234]";
    a.load_module_btf_id(R5, 1234, 7) => [0x0000_04d2_0000_3518, 0x0000_0007_0000_0000], "(18) r5 = btf[1234 of 7]";
    a.load_func(R2, c.subprogram) => [0x0000_0005_0000_4218, 0x0000_0000_0000_0000], "(18) r2 = subprog[+5]";
    // Jumps: registers, constants, low halves, both directions.
    a.jeq(R1, R2, c.on) => [0x0000_0000_0001_211d], "(1d) if r1 == r2 goto pc+1";
    a.jeq(R3, 7, c.back) => [0x0000_0007_fff3_0315], "(15) if r3 == 0x7 goto pc-13";
    a.jeq(W4, W5, c.back) => [0x0000_0000_fff3_541e], "(1e) if w4 == w5 goto pc-13";
    a.jeq(W6, 9, c.on) => [0x0000_0009_0001_0616], "(16) if w6 == 0x9 goto pc+1";
    a.jne(R1, R2, c.on) => [0x0000_0000_0001_215d], "(5d) if r1 != r2 goto pc+1";
    a.jne(R3, 7, c.back) => [0x0000_0007_fff3_0355], "(55) if r3 != 0x7 goto pc-13";
    a.jne(W4, W5, c.back) => [0x0000_0000_fff3_545e], "(5e) if w4 != w5 goto pc-13";
    a.jne(W6, 9, c.on) => [0x0000_0009_0001_0656], "(56) if w6 != 0x9 goto pc+1";
    a.jgt(R1, R2, c.on) => [0x0000_0000_0001_212d], "(2d) if r1 > r2 goto pc+1";
    a.jgt(R3, 7, c.back) => [0x0000_0007_fff3_0325], "(25) if r3 > 0x7 goto pc-13";
    a.jgt(W4, W5, c.back) => [0x0000_0000_fff3_542e], "(2e) if w4 > w5 goto pc-13";
    a.jgt(W6, 9, c.on) => [0x0000_0009_0001_0626], "(26) if w6 > 0x9 goto pc+1";
    a.jge(R1, R2, c.on) => [0x0000_0000_0001_213d], "(3d) if r1 >= r2 goto pc+1";
    a.jge(R3, 7, c.back) => [0x0000_0007_fff3_0335], "(35) if r3 >= 0x7 goto pc-13";
    a.jge(W4, W5, c.back) => [0x0000_0000_fff3_543e], "(3e) if w4 >= w5 goto pc-13";
    a.jge(W6, 9, c.on) => [0x0000_0009_0001_0636], "(36) if w6 >= 0x9 goto pc+1";
    a.jlt(R1, R2, c.on) => [0x0000_0000_0001_21ad], "(ad) if r1 < r2 goto pc+1";
    a.jlt(R3, 7, c.back) => [0x0000_0007_fff3_03a5], "(a5) if r3 < 0x7 goto pc-13";
    a.jlt(W4, W5, c.back) => [0x0000_0000_fff3_54ae], "(ae) if w4 < w5 goto pc-13";
    a.jlt(W6, 9, c.on) => [0x0000_0009_0001_06a6], "(a6) if w6 < 0x9 goto pc+1";
    a.jle(R1, R2, c.on) => [0x0000_0000_0001_21bd], "(bd) if r1 <= r2 goto pc+1";
    a.jle(R3, 7, c.back) => [0x0000_0007_fff3_03b5], "(b5) if r3 <= 0x7 goto pc-13";
    a.jle(W4, W5, c.back) => [0x0000_0000_fff3_54be], "(be) if w4 <= w5 goto pc-13";
    a.jle(W6, 9, c.on) => [0x0000_0009_0001_06b6], "(b6) if w6 <= 0x9 goto pc+1";
    a.jset(R1, R2, c.on) => [0x0000_0000_0001_214d], "(4d) if r1 & r2 goto pc+1";
    a.jset(R3, 7, c.back) => [0x0000_0007_fff3_0345], "(45) if r3 & 0x7 goto pc-13";
    a.jset(W4, W5, c.back) => [0x0000_0000_fff3_544e], "(4e) if w4 & w5 goto pc-13";
    a.jset(W6, 9, c.on) => [0x0000_0009_0001_0646], "(46) if w6 & 0x9 goto pc+1";
    a.jsgt(R1, R2, c.on) => [0x0000_0000_0001_216d], "(6d) if r1 s> r2 goto pc+1";
    a.jsgt(R3, 7, c.back) => [0x0000_0007_fff3_0365], "(65) if r3 s> 0x7 goto pc-13";
    a.jsgt(W4, W5, c.back) => [0x0000_0000_fff3_546e], "(6e) if w4 s> w5 goto pc-13";
    a.jsgt(W6, 9, c.on) => [0x0000_0009_0001_0666], "(66) if w6 s> 0x9 goto pc+1";
    a.jsge(R1, R2, c.on) => [0x0000_0000_0001_217d], "(7d) if r1 s>= r2 goto pc+1";
    a.jsge(R3, 7, c.back) => [0x0000_0007_fff3_0375], "(75) if r3 s>= 0x7 goto pc-13";
    a.jsge(W4, W5, c.back) => [0x0000_0000_fff3_547e], "(7e) if w4 s>= w5 goto pc-13";
    a.jsge(W6, 9, c.on) => [0x0000_0009_0001_0676], "(76) if w6 s>= 0x9 goto pc+1";
    a.jslt(R1, R2, c.on) => [0x0000_0000_0001_21cd], "(cd) if r1 s< r2 goto pc+1";
    a.jslt(R3, 7, c.back) => [0x0000_0007_fff3_03c5], "(c5) if r3 s< 0x7 goto pc-13";
    a.jslt(W4, W5, c.back) => [0x0000_0000_fff3_54ce], "(ce) if w4 s< w5 goto pc-13";
    a.jslt(W6, 9, c.on) => [0x0000_0009_0001_06c6], "(c6) if w6 s< 0x9 goto pc+1";
    a.jsle(R1, R2, c.on) => [0x0000_0000_0001_21dd], "(dd) if r1 s<= r2 goto pc+1";
    a.jsle(R3, 7, c.back) => [0x0000_0007_fff3_03d5], "(d5) if r3 s<= 0x7 goto pc-13";
    a.jsle(W4, W5, c.back) => [0x0000_0000_fff3_54de], "(de) if w4 s<= w5 goto pc-13";
    a.jsle(W6, 9, c.on) => [0x0000_0009_0001_06d6], "(d6) if w6 s<= 0x9 goto pc+1";
    a.jeq(R1, -1, c.on) => [0xffff_ffff_0001_0115], "(15) if r1 == 0xffffffff goto pc+1";
    a.jne(W1, 0xffff_ffff_u32, c.on) => [0xffff_ffff_0001_0156], "(56) if w1 != 0xffffffff goto pc+1";
    a.jeq(R1, FP, c.on) => [0x0000_0000_0001_a11d], "(1d) if r1 == r10 goto pc+1";
    a.jump(c.on) => [0x0000_0000_0001_0005], "(05) goto pc+1";
    a.jump(c.back) => [0x0000_0000_fff3_0005], "(05) goto pc-13";
    a.jump_long(c.on) => [0x0000_0001_0000_0006], "(06) gotol pc+1";
    a.jump_long(c.back) => [0xffff_fff3_0000_0006], "(06) gotol pc-13";
    a.may_goto(c.on) => [0x0000_0000_0001_00e5], "(e5) may_goto pc+1";
    a.jump_to(R1) => [0x0000_0000_0000_010d], "(0d) gotox r1";
    // Calls.
    a.call(Helper::MapLookupElem) => [0x0000_0001_0000_0085], "(85) call bpf_map_lookup_elem#1";
    a.call(Helper::ProbeReadKernel) => [0x0000_0071_0000_0085], "(85) call bpf_probe_read_kernel#113";
    a.call(Helper::Other(100_000)) => [0x0001_86a0_0000_0085], "(85) call unknown#100000";
    a.call_kfunc(4321, 0) => [0x0000_10e1_0000_2085], "(85) call kernel-function#4321";
    a.call_kfunc(4321, 2) => [0x0000_10e1_0002_2085], "(85) call kernel-function#4321";
    a.call_local(c.subprogram) => [0x0000_0004_0000_1085], "(85) call pc+4";
    a.exit() => [0x0000_0000_0000_0095], "(95) exit";
};

/// The instruction of a row, in a program that passes all checks, decoded again from its slots.
fn assemble(row: &Row) -> (Vec<u64>, Insn) {
    let mut a = Asm::for_cpu("row", Cpu::Latest);
    let context = Context { back: a.label(), on: a.label(), subprogram: a.label(), slot: a.stack_named(8, "slot") };
    a.bind(context.back);
    for reg in Reg64::ALL {
        a.mov(reg, 1);
    }
    a.store(u64(context.slot), 0);
    let after = a.label();
    a.jeq(R6, 3, after);
    let before = 12;
    a.note("row");
    (row.emit)(&mut a, &context);
    a.bind(after);
    a.mov(R0, 0);
    a.bind(context.on);
    a.load_func(R2, context.subprogram);
    a.exit();
    a.begin_subprogram(context.subprogram);
    a.exit();
    let program = a.finish().unwrap_or_else(|error| panic!("{}: {error}", row.call));
    let insn = program.insns()[before].clone();
    let slots = program.encode_unresolved();
    let decoded = Program::disassemble("row", &slots).unwrap_or_else(|error| panic!("{}: {error}", row.call));
    assert_eq!(decoded.insns(), program.insns(), "{}", row.call);
    assert_eq!(insn.note(), Some("row"), "{}", row.call);
    (slots[before..before + insn.op.slots()].to_vec(), insn)
}

#[test]
fn calls_give_slots_and_listing() {
    for row in TABLE {
        let (slots, insn) = assemble(row);
        assert_eq!(slots, row.slots, "{}: {slots:#018x?}", row.call);
        assert_eq!(insn.op.to_string(), row.text, "{}", row.call);
    }
}

#[test]
fn every_form_is_in_the_table() {
    let rows: HashSet<Op> = TABLE.iter().map(|row| forms::form(&assemble(row).1.op)).collect();
    for form in forms::all() {
        assert!(rows.contains(&form), "no row has {form}");
    }
}

/// The list of forms is complete: whatever the decoder accepts has a form of the list.
#[test]
fn every_opcode_is_a_form() {
    let all: HashSet<Op> = forms::all().into_iter().collect();
    let mut seen = HashSet::new();
    let offsets = [0, 1, 8, 16, 24, 32, -1].map(|offset: i16| u64::from(offset as u16) << 16);
    let fields = (0..=7_u64).flat_map(|src| offsets.map(|offset| src << 12 | offset));
    let constants = (0..=0x111).chain([i32::MIN, -1]).map(|imm| u64::from(imm as u32) << 32);
    let variants: Vec<u64> = fields.clone().chain(fields.map(|field| field | 16 << 32)).chain(constants).collect();
    for slot in (0..=255_u64).flat_map(|opcode| variants.iter().map(move |variant| opcode | variant)) {
        for program in [&[slot][..], &[slot, 0]] {
            for insn in decode(program).iter().flatten() {
                let form = forms::form(&insn.op);
                assert!(all.contains(&form), "{} is not in the list of forms", insn.op);
                seen.insert(form);
            }
        }
    }
    let missing: Vec<_> = all.difference(&seen).map(Op::to_string).collect();
    assert!(missing.is_empty(), "never decoded: {missing:?}");
}
