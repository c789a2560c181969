//! Split virtqueues (Virtio 1.2, 2.7): where their parts lie, and what an entry holds.

/// The most entries of a queue (2.7).
pub const MAX_SIZE: u16 = 1 << 15;

/// Bytes of a descriptor.
pub const DESCRIPTOR_BYTES: usize = 16;
/// Bytes of an element of the used ring.
pub const USED_ELEMENT_BYTES: usize = 8;
/// Alignment of the used ring in a legacy queue, and of the whole (2.7.2).
pub const LEGACY_ALIGN: usize = 4096;

/// Descriptor flag: another one follows.
pub const NEXT: u16 = 1;
/// Descriptor flag: the device writes.
pub const WRITE: u16 = 2;

/// Flag of the available ring: no interrupts, please (2.7.7).
pub const NO_INTERRUPT: u16 = 1;
/// Flag of the used ring: no notifications, please (2.7.10).
pub const NO_NOTIFY: u16 = 1;

/// Where the parts of one queue lie in one contiguous run of memory, as the legacy interface fixes it (2.7.2); the modern
/// interface takes any place, so this one too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    size: u16,
}

impl Layout {
    /// A queue of so many entries; `None` unless a power of two up to [`MAX_SIZE`].
    pub const fn new(size: u16) -> Option<Self> {
        if size.is_power_of_two() && size <= MAX_SIZE {
            Some(Self { size })
        } else {
            None
        }
    }

    /// Entries.
    pub const fn size(self) -> u16 {
        self.size
    }

    /// First byte of a descriptor. Positions are taken modulo the size.
    pub const fn descriptor(self, index: u16) -> usize {
        (index % self.size) as usize * DESCRIPTOR_BYTES
    }

    /// First byte of the available ring: 16 bits of flags, then the 16-bit index.
    pub const fn available(self) -> usize {
        self.size as usize * DESCRIPTOR_BYTES
    }

    /// First byte of an entry of the available ring, 16 bits.
    pub const fn available_entry(self, index: u16) -> usize {
        self.available() + 4 + (index % self.size) as usize * 2
    }

    /// First byte of the used ring: 16 bits of flags, then the 16-bit index.
    pub const fn used(self) -> usize {
        // The available ring ends with a field of 16 bits that is not used here.
        let end = self.available() + 6 + self.size as usize * 2;
        end.next_multiple_of(LEGACY_ALIGN)
    }

    /// First byte of an element of the used ring: 32 bits of id, 32 bits of length.
    pub const fn used_element(self, index: u16) -> usize {
        self.used() + 4 + (index % self.size) as usize * USED_ELEMENT_BYTES
    }

    /// Bytes of the whole run.
    pub const fn bytes(self) -> usize {
        let end = self.used() + 6 + self.size as usize * USED_ELEMENT_BYTES;
        end.next_multiple_of(LEGACY_ALIGN)
    }
}

/// The two words of a descriptor.
pub const fn descriptor(address: u64, length: u32, flags: u16, next: u16) -> [u64; 2] {
    let rest = length as u64 | (flags as u64) << 32 | (next as u64) << 48;
    [address, rest]
}

/// The head of a ring as one word: flags, then index.
pub const fn head(flags: u16, index: u16) -> u32 {
    flags as u32 | (index as u32) << 16
}

/// Takes such a word apart: `(flags, index)`.
pub const fn split_head(word: u32) -> (u16, u16) {
    (word as u16, (word >> 16) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_are_none_are_refused() {
        for size in [0, 3, 100, 255, 257, 0x8001, 0xffff] {
            assert_eq!(Layout::new(size), None, "{size}");
        }
        for shift in 0..16 {
            assert!(Layout::new(1 << shift).is_some());
        }
    }

    #[test]
    fn the_pages_of_a_legacy_queue_are_as_devices_count_them() {
        let pages = |size| Layout::new(size).map(|one| one.bytes() / 4096);
        // 256 entries take 3 pages, 1024 take 8, 4096 take 28.
        assert_eq!(pages(256), Some(3));
        assert_eq!(pages(1024), Some(8));
        assert_eq!(pages(4096), Some(28));
        assert_eq!(pages(32768), Some(16 * 8 + 17 + 65));
        assert_eq!(pages(1), Some(2));
    }

    #[test]
    fn the_parts_lie_where_they_must_and_not_on_one_another() {
        for shift in 0..16 {
            let size = 1u16 << shift;
            let one = Layout::new(size).unwrap();
            let n = usize::from(size);
            assert_eq!(one.available(), 16 * n);
            assert!(one.used() >= one.available() + 6 + 2 * n && one.used().is_multiple_of(4096));
            assert!(one.bytes() >= one.used() + 6 + 8 * n);
            assert_eq!(one.available_entry(size - 1), 16 * n + 4 + 2 * (n - 1));
            assert_eq!(one.used_element(size), one.used() + 4);
            assert_eq!(one.descriptor(size), 0);
        }
    }

    #[test]
    fn words_hold_their_fields() {
        assert_eq!(
            descriptor(0x1122_3344_5566_7788, 0x99aa_bbcc, NEXT | WRITE, 0xddee),
            [0x1122_3344_5566_7788, 0xddee_0003_99aa_bbcc]
        );
        assert_eq!(split_head(head(1, 0xfffe)), (1, 0xfffe));
    }
}
