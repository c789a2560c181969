//! Numbers that follow from a seed alone.

/// A sequence.
pub struct Random(u64);

impl Random {
    /// The sequence that belongs to these numbers together.
    pub fn of(parts: &[u64]) -> Self {
        let mut own = Self(0x9e37_79b9_7f4a_7c15);
        for part in parts {
            // Numbers that differ by little are to have nothing in common.
            own.0 = own.next() ^ *part;
        }
        own
    }

    /// The next number: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 for an `end` of 0.
    pub fn below(&mut self, end: u64) -> u64 {
        match end {
            0 => 0,
            _ => self.next() % end,
        }
    }

    /// As [`Self::below`], for places.
    pub fn index(&mut self, end: usize) -> usize {
        self.below(end as u64) as usize
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
