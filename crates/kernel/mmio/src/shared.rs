//! Memory that somebody else may write at any time: copied, never referred to.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::{OutOfRegion, check};

/// Bytes of a cache line, on every processor of 64 bits.
const LINE_BYTES: usize = 64;

/// Ordinary memory that a device or another process may write at any time.
///
/// Every access copies; there is never a reference to the bytes. Words are read and written with atomic
/// operations of the given order, so that a torn word cannot be seen.
#[derive(Debug, Clone, Copy)]
pub struct SharedBytes {
    base: *mut u8,
    len: usize,
}

// SAFETY: all access goes through atomics or volatile copies, which tolerate concurrent writers.
unsafe impl Send for SharedBytes {}
// SAFETY: as for Send.
unsafe impl Sync for SharedBytes {}

impl SharedBytes {
    /// Takes `len` bytes at `base`.
    ///
    /// # Safety
    /// `base` is 8-byte aligned and mapped for reads and writes for `len` bytes while any copy of this value
    /// lives, and no Rust reference to those bytes exists meanwhile.
    pub const unsafe fn new(base: *mut u8, len: usize) -> Self {
        Self { base, len }
    }

    /// Length in bytes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Loads a 32-bit word.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end or misaligned.
    pub fn load32(&self, offset: usize, order: Ordering) -> Result<u32, OutOfRegion> {
        check(offset, 4, 4, self.len)?;
        // SAFETY: in range, aligned, and shared memory is accessed as an atomic.
        Ok(unsafe { AtomicU32::from_ptr(self.base.add(offset).cast()) }.load(order))
    }

    /// Stores a 32-bit word.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end or misaligned.
    pub fn store32(&self, offset: usize, value: u32, order: Ordering) -> Result<(), OutOfRegion> {
        check(offset, 4, 4, self.len)?;
        // SAFETY: as in `load32`.
        unsafe { AtomicU32::from_ptr(self.base.add(offset).cast()) }.store(value, order);
        Ok(())
    }

    /// Loads a 64-bit word.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end or misaligned.
    pub fn load64(&self, offset: usize, order: Ordering) -> Result<u64, OutOfRegion> {
        check(offset, 8, 8, self.len)?;
        // SAFETY: as in `load32`.
        Ok(unsafe { AtomicU64::from_ptr(self.base.add(offset).cast()) }.load(order))
    }

    /// Stores a 64-bit word.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end or misaligned.
    pub fn store64(&self, offset: usize, value: u64, order: Ordering) -> Result<(), OutOfRegion> {
        check(offset, 8, 8, self.len)?;
        // SAFETY: as in `load32`.
        unsafe { AtomicU64::from_ptr(self.base.add(offset).cast()) }.store(value, order);
        Ok(())
    }

    /// Loads the 64-bit word `index`; `None` past the end.
    #[inline(always)]
    pub fn word(&self, index: usize, order: Ordering) -> Option<u64> {
        if index >= self.len / 8 {
            return None;
        }
        // SAFETY: in range, aligned because `base` is, and shared memory is accessed as an atomic.
        Some(unsafe { AtomicU64::from_ptr(self.base.cast::<u64>().add(index)) }.load(order))
    }

    /// Stores the 64-bit word `index`; nothing past the end.
    #[inline(always)]
    pub fn set_word(&self, index: usize, value: u64, order: Ordering) {
        if index < self.len / 8 {
            // SAFETY: as in `word`.
            unsafe { AtomicU64::from_ptr(self.base.cast::<u64>().add(index)) }.store(value, order);
        }
    }

    /// Puts the cache lines of a range into memory, for a reader that does not look through the processor's caches. What
    /// is written to a device's register afterwards reaches the device later.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end.
    pub fn write_back(&self, offset: usize, bytes: usize) -> Result<(), OutOfRegion> {
        check(offset, bytes, 1, self.len)?;
        let first = offset & !(LINE_BYTES - 1);
        for line in (first..offset + bytes).step_by(LINE_BYTES) {
            // SAFETY: the line holds a byte of the range, which is mapped; CLFLUSH changes no memory (every processor of
            // 64 bits has it, and orders it with its own stores).
            unsafe {
                core::arch::asm!("clflush [{}]", in(reg) self.base.add(line), options(nostack, preserves_flags));
            }
        }
        Ok(())
    }

    /// Loads `N` 64-bit words in a row, each atomically and all behind one range check.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end or misaligned.
    #[inline]
    pub fn load_words<const N: usize>(&self, offset: usize) -> Result<[u64; N], OutOfRegion> {
        check(offset, N * 8, 8, self.len)?;
        let mut words = [0; N];
        for (i, word) in words.iter_mut().enumerate() {
            // SAFETY: in range and aligned, checked above for all of them.
            let at = unsafe { AtomicU64::from_ptr(self.base.add(offset + i * 8).cast()) };
            *word = at.load(Ordering::Relaxed);
        }
        Ok(words)
    }

    /// Stores `N` 64-bit words in a row, each atomically and all behind one range check.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end or misaligned.
    #[inline]
    pub fn store_words<const N: usize>(
        &self,
        offset: usize,
        words: &[u64; N],
    ) -> Result<(), OutOfRegion> {
        check(offset, N * 8, 8, self.len)?;
        for (i, word) in words.iter().enumerate() {
            // SAFETY: as in `load_words`.
            let at = unsafe { AtomicU64::from_ptr(self.base.add(offset + i * 8).cast()) };
            at.store(*word, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Copies bytes out. 8-byte words where offset and length allow, single bytes else.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end.
    pub fn read(&self, offset: usize, out: &mut [u8]) -> Result<(), OutOfRegion> {
        check(offset, out.len(), 1, self.len)?;
        let words = if offset.is_multiple_of(8) {
            out.len() / 8
        } else {
            0
        };
        let (mut head, tail) = out.split_at_mut(words * 8);
        // SAFETY: in range, checked above, and aligned because `offset` is a multiple of 8 and `base` is.
        if unsafe { copy_long(head.as_mut_ptr(), self.base.add(offset), words) } {
            head = &mut [];
        }
        for (i, chunk) in head.chunks_exact_mut(8).enumerate() {
            // SAFETY: in range (checked), aligned because `offset` is a multiple of 8 and `base` is.
            let word = unsafe { self.base.add(offset + i * 8).cast::<u64>().read_volatile() };
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        for (i, byte) in tail.iter_mut().enumerate() {
            // SAFETY: in range, checked above.
            *byte = unsafe { self.base.add(offset + words * 8 + i).read_volatile() };
        }
        Ok(())
    }

    /// Copies bytes in, as [`Self::read`] copies them out.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), OutOfRegion> {
        check(offset, bytes.len(), 1, self.len)?;
        let words = if offset.is_multiple_of(8) {
            bytes.len() / 8
        } else {
            0
        };
        let (mut head, tail) = bytes.split_at(words * 8);
        // SAFETY: as in `read`.
        if unsafe { copy_long(self.base.add(offset), head.as_ptr(), words) } {
            head = &[];
        }
        for (i, chunk) in head.chunks_exact(8).enumerate() {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            // SAFETY: in range (checked), aligned as in `read`.
            unsafe {
                self.base
                    .add(offset + i * 8)
                    .cast::<u64>()
                    .write_volatile(u64::from_le_bytes(word))
            };
        }
        for (i, byte) in tail.iter().enumerate() {
            // SAFETY: in range, checked above.
            unsafe { self.base.add(offset + words * 8 + i).write_volatile(*byte) };
        }
        Ok(())
    }

    /// Fills the range with zeros.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end.
    pub fn zero(&self, offset: usize, bytes: usize) -> Result<(), OutOfRegion> {
        check(offset, bytes, 1, self.len)?;
        // SAFETY: in range, checked above. A racing reader may see old or new bytes, both of which it may have.
        unsafe { core::ptr::write_bytes(self.base.add(offset), 0, bytes) };
        Ok(())
    }

    /// Copies between two shared ranges without going through a buffer.
    ///
    /// # Errors
    /// [`OutOfRegion`] where either range does not fit.
    pub fn copy_from(
        &self,
        offset: usize,
        source: &Self,
        source_offset: usize,
        bytes: usize,
    ) -> Result<(), OutOfRegion> {
        check(offset, bytes, 1, self.len)?;
        check(source_offset, bytes, 1, source.len)?;
        if (offset | source_offset | bytes).is_multiple_of(8) {
            // SAFETY: both in range, checked above.
            let (to, from) = unsafe { (self.base.add(offset), source.base.add(source_offset)) };
            // SAFETY: as above, and aligned: bases and offsets are multiples of 8.
            unsafe { copy_words(to.cast(), from.cast(), bytes / 8) };
        } else {
            for i in 0..bytes {
                // SAFETY: both in range, checked above.
                unsafe {
                    let byte = source.base.add(source_offset + i).read_volatile();
                    self.base.add(offset + i).write_volatile(byte);
                }
            }
        }
        Ok(())
    }

    /// A sub-range.
    ///
    /// # Errors
    /// [`OutOfRegion`] where it does not fit or is not 8-byte aligned.
    pub fn slice(&self, offset: usize, bytes: usize) -> Result<Self, OutOfRegion> {
        check(offset, bytes, 8, self.len)?;
        // SAFETY: in range, checked above.
        let base = unsafe { self.base.add(offset) };
        Ok(Self { base, len: bytes })
    }
}

/// Copies aligned words that others may write meanwhile.
///
/// # Safety
/// Both ranges are mapped, `words` long and 8-byte aligned.
unsafe fn copy_words(to: *mut u64, from: *const u64, words: usize) {
    // SAFETY: the caller's.
    if unsafe { copy_long(to.cast(), from.cast(), words) } {
        return;
    }
    for i in 0..words {
        // SAFETY: the caller's.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
    }
}

/// Copies words that others may write meanwhile with one string instruction, where there is one and they are many. Whether it has.
///
/// # Safety
/// Both ranges are mapped and `words` words long; the shared one is 8-byte aligned.
#[inline(always)]
unsafe fn copy_long(to: *mut u8, from: *const u8, words: usize) -> bool {
    /// From here on a string instruction is worth its start.
    const LONG: usize = 64;
    if !cfg!(target_arch = "x86_64") || words < LONG {
        return false;
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's; the instruction copies word by word, and the compiler sees no reference to the ranges.
    unsafe {
        core::arch::asm!(
            "rep movsq",
            inout("rcx") words => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags)
        );
    }
    true
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_long_run_is_copied_as_a_short_one_is() {
        let mut shared = [0u64; 513];
        // SAFETY: the array outlives the view and is used through it alone.
        let view = unsafe { SharedBytes::new(shared.as_mut_ptr().cast(), 513 * 8) };
        let bytes: std::vec::Vec<u8> = (0..4096u32).map(|n| (n * 7 + n / 256) as u8).collect();
        for (at, first, length) in [
            (8, 0, 4096),
            (0, 1, 4095),
            (16, 3, 519),
            (3, 0, 700),
            (8, 5, 7),
        ] {
            let from = &bytes[first..first + length];
            let mut back = std::vec![0; length];
            assert!(view.zero(0, 513 * 8).is_ok());
            assert!(view.write(at, from).is_ok() && view.read(at, &mut back).is_ok());
            assert_eq!(back, from);
            let mut around = std::vec![0; 513 * 8];
            assert!(view.read(0, &mut around).is_ok());
            let others = around.iter().enumerate();
            let mut others = others.filter(|(n, _)| !(at..at + length).contains(n));
            assert!(others.all(|(_, byte)| *byte == 0));
        }
    }

    #[test]
    fn copies_and_refuses() {
        let mut a = [0u64; 4];
        let mut b = [0x0102_0304_0506_0708u64; 4];
        // SAFETY: both arrays outlive the views and are only used through them.
        let (x, y) = unsafe {
            (
                SharedBytes::new(a.as_mut_ptr().cast(), 32),
                SharedBytes::new(b.as_mut_ptr().cast(), 32),
            )
        };
        assert!(x.copy_from(8, &y, 0, 24).is_ok());
        assert!(x.copy_from(16, &y, 0, 24).is_err());
        assert!(x.write(29, &[1, 2, 3]).is_ok());
        assert!(x.write(30, &[1, 2, 3]).is_err());
        let mut out = [0; 5];
        assert!(x.read(27, &mut out).is_ok());
        assert_eq!(out[2..], [1, 2, 3]);
        assert_eq!(x.load64(8, Ordering::Relaxed), Ok(0x0102_0304_0506_0708));
        assert!(x.load64(4, Ordering::Relaxed).is_err());
        assert!(x.slice(8, 25).is_err());
    }

    #[test]
    fn copies_of_every_length_are_whole() {
        let source: std::vec::Vec<u64> = (1..=100).collect();
        for words in 0..source.len() {
            let (mut from, mut to) = (source.clone(), std::vec![0u64; 100]);
            // SAFETY: both outlive the views and are only used through them.
            let (x, y) = unsafe {
                (
                    SharedBytes::new(to.as_mut_ptr().cast(), 800),
                    SharedBytes::new(from.as_mut_ptr().cast(), 800),
                )
            };
            assert!(x.copy_from(0, &y, 0, words * 8).is_ok());
            assert_eq!(to[..words], source[..words]);
            assert!(to[words..].iter().all(|word| *word == 0));
        }
    }
}
