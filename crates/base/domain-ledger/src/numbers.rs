//! The numbers that a unit tells domains apart by.

use alloc::vec::Vec;

/// The free numbers of one unit. Number 0 is never one.
#[derive(Debug)]
pub struct Numbers {
    next: u32,
    end: u32,
    free: Vec<u16>,
}

impl Numbers {
    /// Numbers for a unit that knows `count` of them, 0 included, at most 2^16.
    pub const fn new(count: u32) -> Self {
        Self {
            next: 1,
            end: if count > 1 << 16 { 1 << 16 } else { count },
            free: Vec::new(),
        }
    }

    /// Takes one; `None` if all are in use.
    pub fn take(&mut self) -> Option<u16> {
        if let Some(number) = self.free.pop() {
            return Some(number);
        }
        let number = u16::try_from(self.next)
            .ok()
            .filter(|_| self.next < self.end)?;
        self.next += 1;
        Some(number)
    }

    /// Takes back the number of a domain that ended. [`crate::Domain::close`] is the only way to one.
    pub(crate) fn give(&mut self, number: u16) {
        self.free.push(number);
    }
}
