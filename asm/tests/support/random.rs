//! Numbers that look random and are the same in every run.

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A number whose edges are more likely than chance has it: small, negative, around powers of two.
    pub fn edgy(&mut self) -> u64 {
        let value = self.next();
        match self.below(6) {
            0 => value % 3,
            1 => (value % 3).wrapping_neg(),
            2 => (1_u64 << (value % 64)).wrapping_add(self.next() % 3).wrapping_sub(1),
            3 => u64::from(value as u32),
            4 => (value as i32) as u64,
            _ => value,
        }
    }
}
