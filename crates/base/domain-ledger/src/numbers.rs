//! The numbers that a unit tells domains apart by.

use alloc::vec::Vec;

/// The free numbers of one unit. Number 0 is never one.
#[derive(Debug)]
pub struct Numbers {
    next: u32,
    end: u32,
    /// Has room for every number that is out.
    free: Vec<u16>,
    out: usize,
}

impl Numbers {
    /// Numbers for a unit that knows `count` of them, 0 included, at most 2^16.
    pub const fn new(count: u32) -> Self {
        Self {
            next: 1,
            end: if count > 1 << 16 { 1 << 16 } else { count },
            free: Vec::new(),
            out: 0,
        }
    }

    /// Takes one; `None` if all are in use, or where there is no memory to take it back.
    pub fn take(&mut self) -> Option<u16> {
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                let number = u16::try_from(self.next).ok();
                let number = number.filter(|_| self.next < self.end)?;
                self.free.try_reserve(self.out + 1).ok()?;
                self.next += 1;
                number
            }
        };
        self.out += 1;
        Some(number)
    }

    /// Takes back the number of a domain that ended. [`crate::Domain::close`] is the only way to one.
    pub(crate) fn give(&mut self, number: u16) {
        self.out = self.out.saturating_sub(1);
        self.free.push(number);
    }
}
