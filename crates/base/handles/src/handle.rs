//! The 64-bit name of a table slot.

/// Bits of a [`Handle`] that carry the slot index (the low ones).
pub const INDEX_BITS: u32 = 24;
/// Bits of a [`Handle`] that carry the slot generation (the high ones).
pub const GENERATION_BITS: u32 = 40;
/// Slots one table can ever have.
pub const MAX_SLOTS: u32 = 1 << INDEX_BITS;

const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// A name for one occupancy of one slot: index in bits 0..24, generation in bits 24..64.
///
/// Any 64-bit value may arrive from a process, so holding a `Handle` proves nothing; only the table's
/// lookup does. Generation 0 is never live, so the all-zero handle names nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Handle(pub u64);

impl Handle {
    /// The handle that never names anything.
    pub const NULL: Self = Self(0);

    /// Returns the handle as the number that crosses the ABI.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Takes a number that came from a process.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the slot index, below [`MAX_SLOTS`].
    #[must_use]
    pub const fn index(self) -> u32 {
        (self.0 & INDEX_MASK) as u32
    }

    /// Returns the slot generation, below 2^40.
    #[must_use]
    pub const fn generation(self) -> u64 {
        self.0 >> INDEX_BITS
    }

    /// Composes a handle. Callers keep `index < MAX_SLOTS` and `generation < 2^40`.
    pub(crate) const fn compose(index: u32, generation: u64) -> Self {
        Self((generation << INDEX_BITS) | (index as u64 & INDEX_MASK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_and_generation_do_not_overlap() {
        let handle = Handle::compose(MAX_SLOTS - 1, (1 << GENERATION_BITS) - 1);
        assert_eq!(handle.raw(), u64::MAX);
        assert_eq!(handle.index(), MAX_SLOTS - 1);
        assert_eq!(handle.generation(), (1 << GENERATION_BITS) - 1);
        assert_eq!(Handle::compose(5, 1).raw(), (1 << 24) | 5);
        assert_eq!(core::mem::size_of::<Handle>(), 8);
    }
}
