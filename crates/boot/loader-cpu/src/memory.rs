//! Physical memory where every address maps to itself.

use core::slice;

use loader::PhysMemory;

/// Physical memory below a bound, seen at its own addresses.
#[derive(Debug)]
pub struct Identity {
    reach: u64,
}

impl Identity {
    /// Memory below `reach`.
    ///
    /// # Safety
    /// As long as the value lives, every address below `reach` is mapped to itself, readable, and, where the memory map
    /// calls it usable, writable and used by nobody else. Nothing Rust refers to is written through it.
    pub const unsafe fn new(reach: u64) -> Self {
        Self { reach }
    }

    /// The bytes at `at`, or nothing if they leave the reach or start at 0.
    ///
    /// # Safety
    /// Nothing writes to them while the slice lives.
    pub const unsafe fn slice<'a>(&self, at: u64, len: u64) -> Option<&'a [u8]> {
        match at.checked_add(len) {
            // SAFETY: inside the reach, so mapped and readable; not null; the caller keeps it unchanged.
            Some(end) if end <= self.reach && at != 0 => unsafe {
                Some(slice::from_raw_parts(at as *const u8, len as usize))
            },
            _ => None,
        }
    }
}

impl PhysMemory for Identity {
    fn reach(&self) -> u64 {
        self.reach
    }

    fn read(&self, at: u64, into: &mut [u8]) {
        debug_assert!(at + into.len() as u64 <= self.reach);
        // SAFETY: below the reach, so readable; `into` is a Rust object and not part of free physical memory.
        unsafe { core::ptr::copy(at as *const u8, into.as_mut_ptr(), into.len()) };
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        debug_assert!(at + bytes.len() as u64 <= self.reach);
        // SAFETY: the library writes only to memory it took from the map, which `new`'s contract makes ours and writable.
        unsafe { core::ptr::copy(bytes.as_ptr(), at as *mut u8, bytes.len()) };
    }

    fn zero(&mut self, at: u64, len: u64) {
        debug_assert!(at + len <= self.reach);
        // SAFETY: as for `write`.
        unsafe { core::ptr::write_bytes(at as *mut u8, 0, len as usize) };
    }

    fn copy(&mut self, to: u64, from: u64, len: u64) {
        debug_assert!(to + len <= self.reach && from + len <= self.reach);
        // SAFETY: as for `read` and `write`.
        unsafe { core::ptr::copy(from as *const u8, to as *mut u8, len as usize) };
    }
}
