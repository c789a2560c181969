//! Kernel-owned pages that a device reads or writes: queues, PRP lists, rings. Never a DmaBuffer, never mapped
//! into a process.

use core::sync::atomic::{Ordering, fence};

use mmio::{OutOfRegion, SharedBytes};

/// An address as the device will use it: physical on the bounce backend, an IOVA inside a verified domain.
///
/// Only `device-manager` makes one and only a broker writes one, into memory no process maps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceAddress(u64);

impl DeviceAddress {
    /// Wraps a bus address. Called by `device-manager` alone.
    pub const fn new(bus: u64) -> Self {
        Self(bus)
    }

    /// The value to write into a descriptor or a base register.
    pub const fn bus(self) -> u64 {
        self.0
    }

    /// The address `bytes` further on.
    pub const fn offset(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

/// Where the device sees each page of a buffer, in order. No buffer is so long that the list needs memory in one run.
pub type PageAddresses = pieces::Several<DeviceAddress, 1024>;

/// Shows that it is an address without printing it: addresses never reach a log.
impl core::fmt::Debug for DeviceAddress {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("DeviceAddress(..)")
    }
}

/// A contiguous, zeroed run of such pages. `id` is how `device-manager` finds the frames again at teardown.
#[derive(Debug)]
pub struct DmaPages {
    bytes: SharedBytes,
    address: DeviceAddress,
    id: u32,
}

impl DmaPages {
    /// Wraps pages. Called by `device-manager` alone.
    pub const fn new(bytes: SharedBytes, address: DeviceAddress, id: u32) -> Self {
        Self { bytes, address, id }
    }

    /// Where the device sees byte 0.
    pub const fn address(&self) -> DeviceAddress {
        self.address
    }

    /// `device-manager`'s number for this run.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Length in bytes.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the run is empty.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Stores a word that the device may read after the next [`release_to_device`].
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end or misaligned.
    pub fn store64(&self, offset: usize, value: u64) -> Result<(), OutOfRegion> {
        mmio::note_stored();
        self.bytes.store64(offset, value, Ordering::Relaxed)
    }

    /// As [`Self::store64`] for words in a row.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end or misaligned.
    pub fn store_words<const N: usize>(
        &self,
        offset: usize,
        words: &[u64; N],
    ) -> Result<(), OutOfRegion> {
        mmio::note_stored();
        self.bytes.store_words(offset, words)
    }

    /// As [`Self::store64`] for 32 bits.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end or misaligned.
    pub fn store32(&self, offset: usize, value: u32) -> Result<(), OutOfRegion> {
        mmio::note_stored();
        self.bytes.store32(offset, value, Ordering::Relaxed)
    }

    /// Loads a word the device may have written, before anything read after it.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end or misaligned.
    pub fn load64(&self, offset: usize) -> Result<u64, OutOfRegion> {
        self.bytes.load64(offset, Ordering::Acquire)
    }

    /// As [`Self::load64`] for 32 bits.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end or misaligned.
    pub fn load32(&self, offset: usize) -> Result<u32, OutOfRegion> {
        self.bytes.load32(offset, Ordering::Acquire)
    }

    /// Copies bytes the device wrote.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end.
    pub fn read(&self, offset: usize, out: &mut [u8]) -> Result<(), OutOfRegion> {
        self.bytes.read(offset, out)
    }

    /// Writes bytes the device will read.
    ///
    /// # Errors
    /// [`OutOfRegion`] past the end.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), OutOfRegion> {
        mmio::note_stored();
        self.bytes.write(offset, bytes)
    }

    /// Zeroes the whole run.
    pub fn zero(&self) {
        mmio::note_stored();
        // The range is the run itself, so this cannot fail.
        let _ = self.bytes.zero(0, self.bytes.len());
    }
}

/// Makes everything stored before it visible to the device before any register write after it.
///
/// A broker that forgets it works in a guest, because this processor keeps the order by itself. On the host [`crate::ring`] ends
/// the test.
pub fn release_to_device() {
    fence(Ordering::SeqCst);
    mmio::note_released();
}
