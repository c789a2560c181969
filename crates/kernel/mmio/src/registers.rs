//! A device's registers, behind bounds.

use crate::{OutOfRegion, check, order};

/// A model of a register file whose reads and writes have effects, for brokers that run without their device.
pub trait RegisterModel: Sync {
    /// Reads the register of `width` bytes at `offset`; both were checked.
    fn read(&self, offset: usize, width: usize) -> u64;
    /// Writes it.
    fn write(&self, offset: usize, width: usize, value: u64);
}

/// A range of device registers mapped uncached, accessed with naturally aligned volatile loads and stores.
pub struct Registers {
    base: *mut u8,
    len: usize,
    model: Option<&'static dyn RegisterModel>,
}

impl core::fmt::Debug for Registers {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Registers")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

// SAFETY: device registers have no thread affinity; a volatile access from any CPU is what hardware expects. A model is
// `Sync`.
unsafe impl Send for Registers {}
// SAFETY: as for Send; single loads and stores are atomic at the device, ordering is the driver's business.
unsafe impl Sync for Registers {}

macro_rules! access {
    ($read:ident, $write:ident, $ty:ty) => {
        /// Reads one register of this width at a byte offset.
        ///
        /// # Errors
        /// [`OutOfRegion`] past the end or misaligned.
        pub fn $read(&self, offset: usize) -> Result<$ty, OutOfRegion> {
            let width = size_of::<$ty>();
            check(offset, width, width, self.len)?;
            if let Some(model) = self.model {
                return Ok(model.read(offset, width) as $ty);
            }
            // SAFETY: in range and aligned, checked above; `new` promised a live register mapping.
            Ok(unsafe { self.base.add(offset).cast::<$ty>().read_volatile() })
        }

        /// Writes one register of this width at a byte offset.
        ///
        /// # Errors
        /// [`OutOfRegion`] past the end or misaligned.
        pub fn $write(&self, offset: usize, value: $ty) -> Result<(), OutOfRegion> {
            let width = size_of::<$ty>();
            check(offset, width, width, self.len)?;
            order::check_released();
            if let Some(model) = self.model {
                model.write(offset, width, value.into());
                return Ok(());
            }
            // SAFETY: in range and aligned, checked above; `new` promised a live register mapping.
            unsafe { self.base.add(offset).cast::<$ty>().write_volatile(value) };
            Ok(())
        }
    };
}

impl Registers {
    /// Takes over `len` bytes of registers at `base`.
    ///
    /// # Safety
    /// `base` is page-aligned, mapped for reads and writes as device memory for `len` bytes, and stays so while
    /// this value lives.
    pub const unsafe fn new(base: *mut u8, len: usize) -> Self {
        Self {
            base,
            len,
            model: None,
        }
    }

    /// `len` bytes of registers of a model.
    pub const fn over(model: &'static dyn RegisterModel, len: usize) -> Self {
        Self {
            base: core::ptr::null_mut(),
            len,
            model: Some(model),
        }
    }

    /// Length in bytes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the region has no registers.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    access!(read8, write8, u8);
    access!(read16, write16, u16);
    access!(read32, write32, u32);
    access!(read64, write64, u64);

    /// Writes the same to `count` registers of 32 bits, each `stride` bytes behind the one before, from a byte offset on.
    ///
    /// # Errors
    /// [`OutOfRegion`], with nothing written, where one is past the end or misaligned.
    pub fn write32_each(
        &self,
        offset: usize,
        stride: usize,
        count: usize,
        value: u32,
    ) -> Result<(), OutOfRegion> {
        let Some(last) = count.checked_sub(1) else {
            return Ok(());
        };
        let last = last.saturating_mul(stride).saturating_add(offset);
        check(last, 4, 4, self.len)?;
        check(offset, 4, 4, self.len)?;
        if count > 1 {
            check(stride, 0, 4, self.len)?;
        }
        if self.model.is_some() {
            return (0..count).try_for_each(|at| self.write32(offset + at * stride, value));
        }
        order::check_released();
        for at in 0..count {
            // SAFETY: in range and aligned as the first and the last, checked above; `new` promised a live register mapping.
            unsafe {
                self.base
                    .add(offset + at * stride)
                    .cast::<u32>()
                    .write_volatile(value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_past_the_end_and_misaligned() {
        let mut backing = [0u64; 2];
        // SAFETY: `backing` outlives `r` and nothing else touches it meanwhile.
        let r = unsafe { Registers::new(backing.as_mut_ptr().cast(), 16) };
        assert!(r.write32(12, 7).is_ok());
        assert_eq!(r.read32(12), Ok(7));
        assert!(r.read64(12).is_err());
        assert!(r.read32(16).is_err());
        assert!(r.write32_each(4, 8, 3, 9).is_err());
        assert!(r.write32_each(2, 8, 1, 9).is_err());
        assert!(r.write32_each(4, 6, 2, 9).is_err());
        assert!(r.write32_each(4, usize::MAX, 2, 9).is_err());
        assert!(r.write32_each(usize::MAX, 8, 0, 9).is_ok());
        assert_eq!((r.read32(4), r.read32(12)), (Ok(0), Ok(7)));
        assert!(r.write32_each(4, 8, 2, 9).is_ok());
        assert_eq!((r.read64(0), r.read64(8)), (Ok(9 << 32), Ok(9 << 32)));
        r.write32(12, 7).unwrap();
        r.write32(4, 0).unwrap();
        assert!(r.read16(1).is_err());
        assert!(r.read32(usize::MAX - 1).is_err());
    }

    fn doorbell(released: impl FnOnce()) {
        let mut backing = [0u64; 1];
        // SAFETY: `backing` outlives `r` and nothing else touches it meanwhile.
        let r = unsafe { Registers::new(backing.as_mut_ptr().cast(), 8) };
        crate::note_stored();
        // Only telling the device wants it: an interrupt may be masked in between.
        assert!(r.write32(0, 1).is_ok());
        crate::tell(|| {
            released();
            assert!(r.write32(0, 2).is_ok());
        });
    }

    #[test]
    fn what_was_released_may_be_told() {
        doorbell(crate::note_released);
    }

    #[test]
    #[should_panic(expected = "rung before release_to_device()")]
    fn what_a_provider_wrote_may_not() {
        let mut backing = [0u64; 1];
        // SAFETY: `backing` outlives `r` and nothing else touches it meanwhile.
        let r = unsafe { Registers::new(backing.as_mut_ptr().cast(), 8) };
        crate::note_released();
        crate::tell(|| assert!(r.write32(0, 2).is_ok()));
    }

    #[test]
    #[should_panic(expected = "rung before release_to_device()")]
    fn what_was_not_released_may_not() {
        doorbell(|| {});
    }
}
