//! What a value can still be: ranges of numbers, and bits known to be set or clear.

/// Numbers from the first to the second.
type Range = (u32, u32);

/// More ranges than this are not worth their time; the set then grows to fewer ranges. Long lists of one value are
/// sorted out by the pass `group`.
const MAX_RANGES: usize = 6;

/// Ranges in a row.
#[derive(Clone, Copy, Default, Debug)]
struct Ranges {
    list: [Range; MAX_RANGES],
    length: usize,
}

impl Ranges {
    fn of(range: Range) -> Ranges {
        let mut ranges = Ranges::default();
        ranges.push(range);
        ranges
    }

    fn list(&self) -> &[Range] {
        &self.list[..self.length]
    }

    /// Adds a range above the others; if there are too many, the gap before it is filled.
    fn push(&mut self, range: Range) {
        match self.list.get_mut(self.length) {
            Some(slot) => {
                *slot = range;
                self.length += 1;
            }
            None => self.list[MAX_RANGES - 1].1 = range.1,
        }
    }

    /// Sorted ranges, those that touch joined.
    fn joined(sorted: impl Iterator<Item = Range>) -> Ranges {
        let mut ranges = Ranges::default();
        let mut open: Option<Range> = None;
        for (low, high) in sorted {
            match &mut open {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => {
                    if let Some(last) = open.replace((low, high)) {
                        ranges.push(last);
                    }
                }
            }
        }
        if let Some(last) = open {
            ranges.push(last);
        }
        ranges
    }
}

/// A set of 32-bit numbers, perhaps larger than the true one, never smaller.
#[derive(Clone, Copy, Default, Debug)]
pub struct Domain {
    /// Sorted, apart from each other by at least one number.
    ranges: Ranges,
    /// Bits that are 1 in all numbers.
    ones: u32,
    /// Bits that are 0 in all numbers.
    zeros: u32,
}

/// Sets of up to this many numbers are looked at number by number.
const FEW: u64 = 16;

impl Domain {
    /// The numbers from `low` to `high`.
    pub fn range(low: u32, high: u32) -> Domain {
        let mut domain = Domain { ranges: Ranges::of((low, high)), ones: 0, zeros: 0 };
        domain.tighten();
        domain
    }

    /// Whether there is no number left.
    pub fn is_empty(&self) -> bool {
        self.ranges.list().is_empty() || self.ones & self.zeros != 0
    }

    /// The smallest and the largest number; of no use if there is none.
    pub fn bounds(&self) -> (u32, u32) {
        let low = self.ranges.list().first().map_or(u32::MAX, |range| range.0);
        let high = self.ranges.list().last().map_or(0, |range| range.1);
        (low, high)
    }

    /// Whether the number can be it.
    pub fn contains(&self, number: u32) -> bool {
        let after = self.ranges.list().partition_point(|range| range.0 <= number);
        number & self.zeros == 0
            && !number & self.ones == 0
            && after.checked_sub(1).is_some_and(|at| number <= self.ranges.list()[at].1)
    }

    /// The numbers, if they are few.
    fn few(&self) -> Option<impl Iterator<Item = u32> + '_> {
        let list = self.ranges.list();
        let count: u64 = list.iter().map(|&(low, high)| u64::from(high - low) + 1).sum();
        let all = list.iter().flat_map(|&(low, high)| low..=high);
        (count <= FEW).then(|| all.filter(|number| number & self.zeros == 0 && !number & self.ones == 0))
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
        let mut few = self.few()?.map(|number| number & mask != 0);
        let first = few.next()?;
        few.all(|other| other == first).then_some(first)
    }

    /// Keeps the numbers from `low` to `high`.
    pub fn keep(&mut self, low: u32, high: u32) {
        let mut kept = Ranges::default();
        for &(from, to) in self.ranges.list() {
            let (from, to) = (from.max(low), to.min(high));
            if from <= to {
                kept.push((from, to));
            }
        }
        self.ranges = kept;
        self.tighten();
    }

    /// Takes one number out.
    pub fn remove(&mut self, number: u32) {
        if !self.contains(number) {
            return;
        }
        let mut kept = Ranges::default();
        let room = self.ranges.list().len() < MAX_RANGES;
        for &(low, high) in self.ranges.list() {
            if !(low..=high).contains(&number) || (low < number && number < high && !room) {
                kept.push((low, high));
                continue;
            }
            if low < number {
                kept.push((low, number - 1));
            }
            if number < high {
                kept.push((number + 1, high));
            }
        }
        self.ranges = kept;
        self.tighten();
    }

    /// Keeps the numbers with a bit of `mask` set, or with none of them.
    pub fn keep_bits(&mut self, mask: u32, set: bool) {
        if set {
            if mask.is_power_of_two() {
                self.ones |= mask;
            }
            self.remove(0);
        } else {
            self.zeros |= mask;
        }
        let kept = self.few().map(|few| {
            let kept = few.filter(|number| (number & mask != 0) == set);
            Ranges::joined(kept.map(|number| (number, number)))
        });
        if let Some(kept) = kept {
            self.ranges = kept;
        }
        self.tighten();
    }

    /// Keeps the numbers that are in `other` as well.
    pub fn intersect(&mut self, other: &Domain) {
        let mut kept = Ranges::default();
        let (mut a, mut b) = (self.ranges.list().iter().peekable(), other.ranges.list().iter().peekable());
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            let (low, high) = (x.0.max(y.0), x.1.min(y.1));
            if low <= high {
                kept.push((low, high));
            }
            if x.1 < y.1 {
                a.next();
            } else {
                b.next();
            }
        }
        self.ranges = kept;
        self.ones |= other.ones;
        self.zeros |= other.zeros;
        self.tighten();
    }

    /// Adds the numbers of `other`.
    pub fn unite(&mut self, other: &Domain) {
        let (mine, theirs) = (self.ranges.list(), other.ranges.list());
        if mine != theirs {
            let mut both = Vec::with_capacity(mine.len() + theirs.len());
            both.extend_from_slice(mine);
            both.extend_from_slice(theirs);
            both.sort_unstable();
            self.ranges = Ranges::joined(both.into_iter());
        }
        self.ones &= other.ones;
        self.zeros &= other.zeros;
    }

    /// The values of `map` for all numbers, if they are few; else `otherwise`.
    pub fn map(&self, otherwise: Range, map: impl Fn(u32) -> u32) -> Domain {
        let mapped: Option<Vec<Range>> = self.few().map(|few| few.map(|number| (map(number), map(number))).collect());
        match mapped {
            Some(mut mapped) if !mapped.is_empty() => {
                mapped.sort_unstable();
                let mut domain = Domain { ranges: Ranges::joined(mapped.into_iter()), ones: 0, zeros: 0 };
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
        self.ranges.list() != [(0, max)] || self.ones != 0 || self.zeros & low_bits(max) != 0
    }

    /// Bits follow from bounds: what is above the largest number is 0; a single number has all its bits known.
    fn tighten(&mut self) {
        let (low, high) = self.bounds();
        if low > high {
            return;
        }
        self.zeros |= !low_bits(high);
        if low == high {
            self.ones |= low;
            self.zeros |= !low;
        }
    }
}

/// All bits that a number up to `max` can have.
fn low_bits(max: u32) -> u32 {
    u32::MAX.checked_shr(max.leading_zeros()).unwrap_or(0)
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
        assert_eq!(few.few().map(Iterator::collect), Some(vec![4, 6]));
    }

    #[test]
    fn unions_are_never_too_small() {
        let mut domain = Domain::range(6, 6);
        domain.unite(&Domain::range(17, 17));
        assert_eq!(domain.few().map(Iterator::collect), Some(vec![6, 17]));
        assert_eq!(domain.bits(16), None);
        for number in 0..200 {
            domain.unite(&Domain::range(number * 10, number * 10));
        }
        assert!((0..200).all(|number| domain.contains(number * 10)) && domain.contains(6));
    }
}
