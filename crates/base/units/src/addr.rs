//! Physical and virtual addresses, frame numbers and page rounding.

use core::fmt;

/// log2 of [`PAGE_BYTES`].
pub const PAGE_SHIFT: u32 = 12;

/// Bytes in the smallest page and in one frame.
pub const PAGE_BYTES: u64 = 1 << PAGE_SHIFT;

/// Widest physical address an x86-64 page-table entry can hold, in bits (Intel SDM vol. 3A, 4.1.4).
pub const PHYS_ADDR_BITS: u32 = 52;

const PHYS_ADDR_END: u64 = 1 << PHYS_ADDR_BITS;
const FRAME_END: u64 = PHYS_ADDR_END >> PAGE_SHIFT;
/// First address past the lower canonical half with 4-level paging.
const LOW_HALF_END: u64 = 1 << 47;
/// First address of the upper canonical half with 4-level paging.
const HIGH_HALF_START: u64 = !(LOW_HALF_END - 1);

/// Why a number is not an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressError {
    /// The number needs more than [`PHYS_ADDR_BITS`] bits; the caller took it from an untrusted field.
    TooWide,
    /// Bits 63 to 47 are not all equal, so the CPU would raise a general-protection fault on use.
    NonCanonical,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooWide => "physical address wider than 52 bits",
            Self::NonCanonical => "virtual address not canonical",
        })
    }
}

impl core::error::Error for AddressError {}

/// Rounds a byte count or address down to a page boundary.
pub const fn page_floor(value: u64) -> u64 {
    value & !(PAGE_BYTES - 1)
}

/// Rounds a byte count or address up to a page boundary; `None` where that needs a 65th bit.
pub const fn page_ceil(value: u64) -> Option<u64> {
    match value.checked_add(PAGE_BYTES - 1) {
        Some(sum) => Some(page_floor(sum)),
        None => None,
    }
}

/// Returns the bytes between the page boundary below `value` and `value`.
pub const fn page_offset(value: u64) -> u64 {
    value & (PAGE_BYTES - 1)
}

/// Returns how many pages hold `bytes` bytes that start on a page boundary.
pub const fn pages_to_hold(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_BYTES)
}

/// Returns how many pages the range `[start, start + bytes)` touches; `None` where its end wraps.
///
/// An empty range touches no page.
pub const fn pages_spanned(start: u64, bytes: u64) -> Option<u64> {
    if bytes == 0 {
        return Some(0);
    }
    match start.checked_add(bytes - 1) {
        Some(last) => Some((last >> PAGE_SHIFT) - (start >> PAGE_SHIFT) + 1),
        None => None,
    }
}

/// Returns the bytes in `pages` pages; `None` where the product overflows.
pub const fn pages_to_bytes(pages: u64) -> Option<u64> {
    pages.checked_mul(PAGE_BYTES)
}

/// A physical address of at most [`PHYS_ADDR_BITS`] bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct PhysAddr(u64);

impl PhysAddr {
    /// Checks the width of `value`.
    ///
    /// # Errors
    /// [`AddressError::TooWide`].
    pub const fn new(value: u64) -> Result<Self, AddressError> {
        if value < PHYS_ADDR_END {
            Ok(Self(value))
        } else {
            Err(AddressError::TooWide)
        }
    }

    /// Keeps the low [`PHYS_ADDR_BITS`] bits, as the hardware does with a page-table entry.
    pub const fn truncate(value: u64) -> Self {
        Self(value & (PHYS_ADDR_END - 1))
    }

    /// Returns the number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Adds a byte count; `None` past the last physical address.
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) if sum < PHYS_ADDR_END => Some(Self(sum)),
            _ => None,
        }
    }

    /// Subtracts a byte count; `None` below zero.
    pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
        match self.0.checked_sub(bytes) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// Returns the bytes from `base` up to here; `None` where `base` is above.
    pub const fn offset_from(self, base: Self) -> Option<u64> {
        self.0.checked_sub(base.0)
    }

    /// Whether the address is a multiple of `align`, which must be a power of two (else `false`).
    pub const fn is_aligned(self, align: u64) -> bool {
        align.is_power_of_two() && self.0 & (align - 1) == 0
    }

    /// Whether the address starts a page.
    pub const fn is_page_aligned(self) -> bool {
        page_offset(self.0) == 0
    }

    /// Returns the bytes past the start of the page.
    pub const fn page_offset(self) -> u64 {
        page_offset(self.0)
    }

    /// Rounds down to the start of the page.
    pub const fn page_floor(self) -> Self {
        Self(page_floor(self.0))
    }

    /// Rounds up to a page boundary; `None` past the last physical address.
    pub const fn page_ceil(self) -> Option<Self> {
        match page_ceil(self.0) {
            Some(value) if value < PHYS_ADDR_END => Some(Self(value)),
            _ => None,
        }
    }

    /// Returns the frame that holds this address.
    pub const fn frame(self) -> FrameNumber {
        FrameNumber(self.0 >> PAGE_SHIFT)
    }
}

impl fmt::Debug for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhysAddr({:#x})", self.0)
    }
}

impl fmt::LowerHex for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl TryFrom<u64> for PhysAddr {
    type Error = AddressError;

    fn try_from(value: u64) -> Result<Self, AddressError> {
        Self::new(value)
    }
}

/// A virtual address that is canonical under 4-level paging (48 bits, sign-extended).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct VirtAddr(u64);

impl VirtAddr {
    /// Checks that `value` is canonical.
    ///
    /// # Errors
    /// [`AddressError::NonCanonical`].
    pub const fn new(value: u64) -> Result<Self, AddressError> {
        if value < LOW_HALF_END || value >= HIGH_HALF_START {
            Ok(Self(value))
        } else {
            Err(AddressError::NonCanonical)
        }
    }

    /// Returns the number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Whether the address lies in the lower half, where processes live.
    pub const fn is_low_half(self) -> bool {
        self.0 < LOW_HALF_END
    }

    /// Adds a byte count; `None` where the sum wraps or leaves the half it started in.
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) if (sum < LOW_HALF_END) == self.is_low_half() => match Self::new(sum) {
                Ok(address) => Some(address),
                Err(_) => None,
            },
            _ => None,
        }
    }

    /// Subtracts a byte count; `None` where the rest wraps or leaves the half it started in.
    pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
        match self.0.checked_sub(bytes) {
            Some(rest) if (rest < LOW_HALF_END) == self.is_low_half() => match Self::new(rest) {
                Ok(address) => Some(address),
                Err(_) => None,
            },
            _ => None,
        }
    }

    /// Returns the bytes from `base` up to here; `None` where `base` is above.
    pub const fn offset_from(self, base: Self) -> Option<u64> {
        self.0.checked_sub(base.0)
    }

    /// Whether the address starts a page.
    pub const fn is_page_aligned(self) -> bool {
        page_offset(self.0) == 0
    }

    /// Returns the bytes past the start of the page.
    pub const fn page_offset(self) -> u64 {
        page_offset(self.0)
    }

    /// Rounds down to the start of the page.
    pub const fn page_floor(self) -> Self {
        Self(page_floor(self.0))
    }

    /// Rounds up to a page boundary; `None` where that leaves the half it started in.
    pub const fn page_ceil(self) -> Option<Self> {
        match page_offset(self.0) {
            0 => Some(self),
            offset => self.checked_add(PAGE_BYTES - offset),
        }
    }

    /// Returns the index into the page table of `level` (0 = the table of 4 KiB pages, 3 = the root), 0 to 511.
    ///
    /// A level above 3 gives 0 to 511 too, of bits that 4-level paging does not translate.
    pub const fn table_index(self, level: u32) -> usize {
        let shift = PAGE_SHIFT + 9 * level;
        if shift >= u64::BITS {
            return 0;
        }
        ((self.0 >> shift) & 0x1ff) as usize
    }
}

impl fmt::Debug for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VirtAddr({:#x})", self.0)
    }
}

impl fmt::LowerHex for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl TryFrom<u64> for VirtAddr {
    type Error = AddressError;

    fn try_from(value: u64) -> Result<Self, AddressError> {
        Self::new(value)
    }
}

/// The number of a physical frame of [`PAGE_BYTES`] bytes: its address divided by that size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct FrameNumber(u64);

impl FrameNumber {
    /// Checks that the frame's address fits a [`PhysAddr`].
    ///
    /// # Errors
    /// [`AddressError::TooWide`].
    pub const fn new(value: u64) -> Result<Self, AddressError> {
        if value < FRAME_END {
            Ok(Self(value))
        } else {
            Err(AddressError::TooWide)
        }
    }

    /// Returns the number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Returns the address of the frame's first byte.
    pub const fn start(self) -> PhysAddr {
        PhysAddr(self.0 << PAGE_SHIFT)
    }

    /// Returns the frame `frames` further; `None` past the last one.
    pub const fn checked_add(self, frames: u64) -> Option<Self> {
        match self.0.checked_add(frames) {
            Some(sum) if sum < FRAME_END => Some(Self(sum)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    const LAST_PHYS: u64 = PHYS_ADDR_END - 1;

    #[test]
    fn physical_width_is_checked_at_the_edge() {
        assert_eq!(
            PhysAddr::new(LAST_PHYS).map(PhysAddr::as_u64),
            Ok(LAST_PHYS)
        );
        assert_eq!(PhysAddr::new(PHYS_ADDR_END), Err(AddressError::TooWide));
        assert_eq!(PhysAddr::try_from(u64::MAX), Err(AddressError::TooWide));
        assert_eq!(PhysAddr::truncate(u64::MAX).as_u64(), LAST_PHYS);
    }

    #[test]
    fn physical_arithmetic_never_leaves_the_width() {
        let last = PhysAddr::truncate(LAST_PHYS);
        assert_eq!(last.checked_add(1), None);
        assert_eq!(last.checked_add(u64::MAX), None);
        assert_eq!(last.checked_add(0), Some(last));
        assert_eq!(last.page_ceil(), None);
        assert_eq!(PhysAddr::default().checked_sub(1), None);
        assert_eq!(last.checked_sub(LAST_PHYS), Some(PhysAddr::default()));
        assert_eq!(last.offset_from(PhysAddr::truncate(LAST_PHYS - 7)), Some(7));
        assert_eq!(PhysAddr::default().offset_from(last), None);
    }

    #[test]
    fn canonical_holes_are_refused() {
        for good in [0, 0x7fff_ffff_ffff, 0xffff_8000_0000_0000, u64::MAX] {
            assert_eq!(VirtAddr::new(good).map(VirtAddr::as_u64), Ok(good));
        }
        for bad in [0x8000_0000_0000, 0xffff_7fff_ffff_ffff, 1 << 63] {
            assert_eq!(VirtAddr::new(bad), Err(AddressError::NonCanonical));
        }
    }

    #[test]
    fn virtual_arithmetic_stays_in_its_half() {
        let low_end = VirtAddr(0x7fff_ffff_f001);
        assert_eq!(low_end.checked_add(0xfff), None);
        assert_eq!(low_end.checked_add(0xffff_0000_0000_0000), None);
        // Over the hole and into the upper half: canonical again, and still refused.
        assert_eq!(low_end.checked_add(HIGH_HALF_START), None);
        assert_eq!(low_end.page_ceil(), None);
        let high = VirtAddr(HIGH_HALF_START);
        assert_eq!(high.checked_sub(1), None);
        assert_eq!(high.checked_sub(HIGH_HALF_START), None);
        assert_eq!(VirtAddr(u64::MAX).checked_add(1), None);
        assert_eq!(VirtAddr(u64::MAX).page_ceil(), None);
        assert_eq!(VirtAddr(0x1001).page_ceil(), Some(VirtAddr(0x2000)));
        assert_eq!(VirtAddr(0x2000).page_ceil(), Some(VirtAddr(0x2000)));
        assert!(low_end.is_low_half() && !high.is_low_half());
    }

    #[test]
    fn table_indices_follow_the_nine_bit_fields() {
        let address = VirtAddr(1 << 12 | 2 << 21 | 3 << 30 | 4 << 39);
        assert_eq!(
            [0, 1, 2, 3].map(|level| address.table_index(level)),
            [1, 2, 3, 4]
        );
        assert_eq!(VirtAddr(u64::MAX).table_index(3), 511);
        assert_eq!(VirtAddr(u64::MAX).table_index(40), 0);
    }

    #[test]
    fn page_rounding_at_the_edges() {
        assert_eq!(page_floor(PAGE_BYTES - 1), 0);
        assert_eq!(page_ceil(1), Some(PAGE_BYTES));
        assert_eq!(page_ceil(0), Some(0));
        assert_eq!(
            page_ceil(u64::MAX - PAGE_BYTES + 1),
            Some(u64::MAX - PAGE_BYTES + 1)
        );
        assert_eq!(page_ceil(u64::MAX - PAGE_BYTES + 2), None);
        assert_eq!(pages_to_hold(0), 0);
        assert_eq!(pages_to_hold(PAGE_BYTES), 1);
        assert_eq!(pages_to_hold(PAGE_BYTES + 1), 2);
        assert_eq!(pages_to_hold(u64::MAX), 1 << 52);
        assert_eq!(pages_to_bytes(1 << 52), None);
        assert_eq!(pages_to_bytes(3), Some(0x3000));
    }

    #[test]
    fn spans_count_every_touched_page() {
        assert_eq!(pages_spanned(0xfff, 2), Some(2));
        assert_eq!(pages_spanned(0xfff, 1), Some(1));
        assert_eq!(pages_spanned(0x1000, 0), Some(0));
        assert_eq!(pages_spanned(u64::MAX, 1), Some(1));
        assert_eq!(pages_spanned(u64::MAX, 2), None);
        assert_eq!(pages_spanned(0, u64::MAX), Some(1 << 52));
    }

    #[test]
    fn frames_and_addresses_convert_both_ways() {
        let frame = PhysAddr::truncate(0x1234_5678).frame();
        assert_eq!(frame.as_u64(), 0x12345);
        assert_eq!(frame.start().as_u64(), 0x1234_5000);
        let last = FrameNumber::new(FRAME_END - 1).unwrap();
        assert_eq!(last.start().as_u64(), LAST_PHYS & !0xfff);
        assert_eq!(last.checked_add(1), None);
        assert_eq!(FrameNumber::new(FRAME_END), Err(AddressError::TooWide));
    }

    #[test]
    fn alignment_of_a_non_power_of_two_never_holds() {
        let address = PhysAddr::truncate(0x3000);
        assert!(address.is_aligned(0x1000) && address.is_page_aligned());
        assert!(!address.is_aligned(0x2000));
        assert!(!address.is_aligned(0) && !address.is_aligned(3));
    }

    #[test]
    fn addresses_print_in_hex() {
        assert_eq!(
            format!("{:?}", PhysAddr::truncate(0xfee0_0000)),
            "PhysAddr(0xfee00000)"
        );
        assert_eq!(format!("{:x}", VirtAddr(0x1000)), "1000");
    }
}
