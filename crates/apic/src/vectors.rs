//! The pool of device vectors: one number space for all CPUs, first fit.

use cpu::Lock;

use crate::vector::{DEVICE_FIRST, DEVICE_LAST};

static USED: Lock<[u64; 4]> = Lock::new([0; 4]);

/// Why there is no vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorError {
    /// Every device vector is taken; whoever asks is refused.
    Exhausted,
}

/// Takes the lowest free vector.
///
/// # Errors
/// [`VectorError::Exhausted`].
pub fn allocate() -> Result<u8, VectorError> {
    let mut used = USED.lock();
    for vector in DEVICE_FIRST..=DEVICE_LAST {
        let (word, bit) = (usize::from(vector / 64), 1u64 << (vector % 64));
        if used[word] & bit == 0 {
            used[word] |= bit;
            return Ok(vector);
        }
    }
    Err(VectorError::Exhausted)
}

/// Gives a vector back.
pub fn free(vector: u8) {
    USED.lock()[usize::from(vector / 64)] &= !(1u64 << (vector % 64));
}
