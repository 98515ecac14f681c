//! What a value can still be: ranges of numbers, and bits known to be set or clear.

/// A set of 32-bit numbers, perhaps larger than the true one, never smaller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    /// Sorted, apart from each other by at least one number.
    ranges: Vec<(u32, u32)>,
    /// Bits that are 1 in all numbers.
    ones: u32,
    /// Bits that are 0 in all numbers.
    zeros: u32,
}

/// More ranges than this are not worth their time; the set then grows to fewer ranges.
const MAX_RANGES: usize = 64;

/// Sets of up to this many numbers are looked at number by number.
const FEW: u64 = 16;

impl Domain {
    /// The numbers from `low` to `high`.
    pub fn range(low: u32, high: u32) -> Domain {
        let mut domain = Domain { ranges: vec![(low, high)], ones: 0, zeros: 0 };
        domain.tighten();
        domain
    }

    /// Whether there is no number left.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() || self.ones & self.zeros != 0
    }

    /// The smallest and the largest number; of no use if there is none.
    pub fn bounds(&self) -> (u32, u32) {
        let low = self.ranges.first().map_or(u32::MAX, |range| range.0);
        let high = self.ranges.last().map_or(0, |range| range.1);
        (low, high)
    }

    /// Whether the number can be it.
    pub fn contains(&self, number: u32) -> bool {
        number & self.zeros == 0
            && !number & self.ones == 0
            && self.ranges.iter().any(|&(low, high)| (low..=high).contains(&number))
    }

    /// The numbers, if they are few.
    pub fn few(&self) -> Option<Vec<u32>> {
        let count: u64 = self.ranges.iter().map(|&(low, high)| u64::from(high - low) + 1).sum();
        if count > FEW {
            return None;
        }
        let all = self.ranges.iter().flat_map(|&(low, high)| low..=high);
        Some(all.filter(|number| number & self.zeros == 0 && !number & self.ones == 0).collect())
    }

    /// Whether `number & mask` is zero, or is not zero, for all numbers.
    pub fn bits(&self, mask: u32) -> Option<bool> {
        if self.ones & mask != 0 {
            return Some(true);
        }
        if mask & !self.zeros == 0 {
            return Some(false);
        }
        if self.zeros | mask == u32::MAX && !self.contains(0) {
            return Some(true);
        }
        let few = self.few()?;
        let first = few.first()? & mask != 0;
        few.iter().all(|number| (number & mask != 0) == first).then_some(first)
    }

    /// Keeps the numbers from `low` to `high`.
    pub fn keep(&mut self, low: u32, high: u32) {
        self.ranges.retain_mut(|range| {
            *range = (range.0.max(low), range.1.min(high));
            range.0 <= range.1
        });
        self.tighten();
    }

    /// Takes one number out.
    pub fn remove(&mut self, number: u32) {
        let Some(at) = self.ranges.iter().position(|&(low, high)| (low..=high).contains(&number)) else { return };
        let (low, high) = self.ranges[at];
        match (low == number, high == number) {
            (true, true) => {
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at].0 = number + 1,
            (false, true) => self.ranges[at].1 = number - 1,
            (false, false) if self.ranges.len() < MAX_RANGES => {
                self.ranges[at].1 = number - 1;
                self.ranges.insert(at + 1, (number + 1, high));
            }
            (false, false) => {}
        }
        self.tighten();
    }

    /// Keeps the numbers with a bit of `mask` set, or with none of them.
    pub fn keep_bits(&mut self, mask: u32, set: bool) {
        if set {
            if mask.is_power_of_two() {
                self.ones |= mask;
            }
            if self.contains(0) {
                self.remove(0);
            }
        } else {
            self.zeros |= mask;
        }
        if let Some(few) = self.few() {
            let kept = few.into_iter().filter(|number| (number & mask != 0) == set);
            self.ranges = kept.map(|number| (number, number)).collect();
            self.join_neighbours();
        }
        self.tighten();
    }

    /// Keeps the numbers that are in `other` as well.
    pub fn intersect(&mut self, other: &Domain) {
        let mut ranges = Vec::with_capacity(self.ranges.len());
        let (mut a, mut b) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            let (low, high) = (x.0.max(y.0), x.1.min(y.1));
            if low <= high {
                ranges.push((low, high));
            }
            if x.1 < y.1 {
                a.next();
            } else {
                b.next();
            }
        }
        self.ranges = ranges;
        self.ones |= other.ones;
        self.zeros |= other.zeros;
        self.tighten();
    }

    /// Adds the numbers of `other`.
    pub fn unite(&mut self, other: &Domain) {
        if self.ranges != other.ranges {
            self.ranges.extend_from_slice(&other.ranges);
            self.ranges.sort_unstable();
            self.join_neighbours();
        }
        self.ones &= other.ones;
        self.zeros &= other.zeros;
    }

    /// The values of `map` for all numbers, if they are few; else `otherwise`.
    pub fn map(&self, otherwise: (u32, u32), map: impl Fn(u32) -> u32) -> Domain {
        match self.few() {
            Some(few) if !few.is_empty() => {
                let mut domain =
                    Domain { ranges: few.into_iter().map(|n| (map(n), map(n))).collect(), ones: 0, zeros: 0 };
                domain.ranges.sort_unstable();
                domain.join_neighbours();
                domain.tighten();
                domain
            }
            _ => Domain::range(otherwise.0, otherwise.1),
        }
    }

    /// Says that bits are known.
    pub fn with_bits(mut self, ones: u32, zeros: u32) -> Domain {
        self.ones |= ones;
        self.zeros |= zeros;
        self.tighten();
        self
    }

    /// Bits known to be 1, and to be 0.
    pub fn known_bits(&self) -> (u32, u32) {
        (self.ones, self.zeros)
    }

    /// Whether this is a smaller set than all numbers up to `max`.
    pub fn says_more_than(&self, max: u32) -> bool {
        self.ranges != [(0, max)]
            || self.ones != 0
            || self.zeros & u32::MAX.checked_shr(max.leading_zeros()).unwrap_or(0) != 0
    }

    fn join_neighbours(&mut self) {
        let mut joined: Vec<(u32, u32)> = Vec::with_capacity(self.ranges.len());
        for &(low, high) in &self.ranges {
            match joined.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => joined.push((low, high)),
            }
        }
        if joined.len() > MAX_RANGES {
            let (low, high) = (joined[0].0, joined[joined.len() - 1].1);
            joined = vec![(low, high)];
        }
        self.ranges = joined;
    }

    /// Bits follow from bounds: what is above the largest number is 0; a single number has all its bits known.
    fn tighten(&mut self) {
        let (low, high) = self.bounds();
        if low > high {
            return;
        }
        self.zeros |= !u32::MAX.checked_shr(high.leading_zeros()).unwrap_or(0);
        if low == high {
            self.ones |= low;
            self.zeros |= !low;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_removed_and_kept() {
        let mut domain = Domain::range(0, 0xff);
        domain.remove(6);
        assert!(!domain.contains(6) && domain.contains(5) && domain.contains(7));
        domain.keep(6, 8);
        assert_eq!(domain.bounds(), (7, 8));
        domain.remove(7);
        domain.remove(8);
        assert!(domain.is_empty());
    }

    #[test]
    fn bits_are_known_from_tests_and_from_numbers() {
        let mut domain = Domain::range(0, 0xff);
        assert_eq!(domain.bits(0x100), Some(false));
        assert_eq!(domain.bits(2), None);
        domain.keep_bits(2, true);
        assert_eq!(domain.bits(2), Some(true));
        assert!(!domain.contains(5));
        let mut few = Domain::range(4, 7);
        assert_eq!(few.bits(4), Some(true));
        few.keep_bits(1, false);
        assert_eq!(few.few(), Some(vec![4, 6]));
    }

    #[test]
    fn unions_are_never_too_small() {
        let mut domain = Domain::range(6, 6);
        domain.unite(&Domain::range(17, 17));
        assert_eq!(domain.few(), Some(vec![6, 17]));
        assert_eq!(domain.bits(16), None);
        for number in 0..200 {
            domain.unite(&Domain::range(number * 10, number * 10));
        }
        assert!((0..200).all(|number| domain.contains(number * 10)) && domain.contains(6));
    }
}
