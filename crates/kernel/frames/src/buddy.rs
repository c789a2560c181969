//! A buddy allocator over a table of frame records.

use crate::Stats;

/// Largest run: 2^10 frames, 4 MiB.
pub const MAX_ORDER: u8 = 10;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    /// Not the allocator's: firmware, devices, holes.
    Foreign,
    /// In use, or inside a larger free run.
    Inner,
    /// First frame of a free run.
    Free,
}

/// One frame's record.
#[repr(C)]
pub(crate) struct Record {
    /// Of a free run, its neighbours in the list. Of the first frame of a run in use, the two halves of the word that
    /// names who pays for it.
    next: u32,
    previous: u32,
    state: State,
    order: u8,
    /// Holds bytes that nobody has scrubbed: firmware's and the loader's.
    dirty: bool,
}

pub(crate) const RECORD_BYTES: usize = size_of::<Record>();

pub(crate) struct Buddy {
    table: &'static mut [Record],
    heads: [u32; MAX_ORDER as usize + 1],
    stats: Stats,
}

/// What a run holds that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing but zeroes.
    Zero,
    /// Whatever was there.
    Unknown,
}

impl Buddy {
    /// Builds the table.
    ///
    /// # Safety
    /// `table` is 8-byte aligned memory for `count` records, owned by the allocator for good.
    pub(crate) unsafe fn new(table: *mut Record, count: usize) -> Self {
        for i in 0..count {
            let fresh = Record {
                next: NONE,
                previous: NONE,
                state: State::Foreign,
                order: 0,
                dirty: true,
            };
            // SAFETY: in range by the caller's promise.
            unsafe { table.add(i).write(fresh) };
        }
        // SAFETY: initialised just above, owned for good.
        let table = unsafe { core::slice::from_raw_parts_mut(table, count) };
        Self {
            table,
            heads: [NONE; MAX_ORDER as usize + 1],
            stats: Stats::default(),
        }
    }

    /// Adds the frames `first..end`, which hold unscrubbed bytes. Frames that are known already stay as they are.
    pub(crate) fn add(&mut self, first: u64, end: u64) {
        let end = end.min(self.table.len() as u64) as u32;
        let mut at = first.min(u64::from(end)) as u32;
        while at < end {
            if self.table[at as usize].state != State::Foreign {
                at += 1;
                continue;
            }
            let mut order = (at.trailing_zeros() as u8).min(MAX_ORDER);
            while at.checked_add(1 << order).is_none_or(|e| e > end) {
                order -= 1;
            }
            let run = at as usize..at as usize + (1 << order);
            if self.table[run.clone()]
                .iter()
                .any(|r| r.state != State::Foreign)
            {
                order = 0;
            }
            for record in &mut self.table[at as usize..at as usize + (1 << order)] {
                record.state = State::Inner;
            }
            crate::uses::begin(at, 1 << order, crate::Use::Free);
            self.stats.total += 1 << order;
            self.free(at, order, Content::Unknown);
            at += 1 << order;
        }
    }

    fn push(&mut self, first: u32, order: u8) {
        let head = self.heads[order as usize];
        let record = &mut self.table[first as usize];
        record.state = State::Free;
        record.order = order;
        record.next = head;
        record.previous = NONE;
        if head != NONE {
            self.table[head as usize].previous = first;
        }
        self.heads[order as usize] = first;
    }

    fn unlink(&mut self, first: u32) {
        let (next, previous, order) = {
            let record = &mut self.table[first as usize];
            record.state = State::Inner;
            (record.next, record.previous, record.order)
        };
        if next != NONE {
            self.table[next as usize].previous = previous;
        }
        if previous == NONE {
            self.heads[order as usize] = next;
        } else {
            self.table[previous as usize].next = next;
        }
    }

    /// Frees a run, joining it with its buddies. Returns the word that names who paid for it.
    pub(crate) fn free(&mut self, first: u32, order: u8, content: Content) -> u64 {
        let head = &self.table[first as usize];
        let payer = u64::from(head.next) | u64::from(head.previous) << 32;
        for record in &mut self.table[first as usize..first as usize + (1 << order)] {
            record.dirty = content == Content::Unknown;
        }
        self.stats.free += 1 << order;
        let (mut first, mut order) = (first, order);
        while order < MAX_ORDER {
            let buddy = first ^ (1 << order);
            match self.table.get(buddy as usize) {
                Some(r) if r.state == State::Free && r.order == order => {}
                _ => break,
            }
            self.unlink(buddy);
            first &= !(1 << order);
            order += 1;
        }
        self.push(first, order);
        payer
    }

    /// Takes a run, for whom the word `payer` names: its first frame, its order, and whether any frame needs scrubbing
    /// first.
    pub(crate) fn allocate(&mut self, order: u8, payer: u64) -> Option<(u32, u8, bool)> {
        let mut found = order;
        loop {
            if found > MAX_ORDER {
                return None;
            }
            if self.heads[found as usize] != NONE {
                break;
            }
            found += 1;
        }
        let first = self.heads[found as usize];
        self.unlink(first);
        while found > order {
            found -= 1;
            self.push(first + (1 << found), found);
        }
        self.stats.free -= 1 << order;
        let head = &mut self.table[first as usize];
        head.next = payer as u32;
        head.previous = (payer >> 32) as u32;
        let run = &self.table[first as usize..first as usize + (1 << order)];
        Some((first, order, run.iter().any(|r| r.dirty)))
    }

    pub(crate) fn stats(&self) -> Stats {
        self.stats
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;
    use std::vec::Vec;

    fn buddy(count: usize) -> Buddy {
        let memory = Box::leak(std::vec![0u64; count * RECORD_BYTES / 8 + 1].into_boxed_slice());
        // SAFETY: leaked, aligned and large enough.
        unsafe { Buddy::new(memory.as_mut_ptr().cast(), count) }
    }

    #[test]
    fn every_frame_comes_back_and_joins() {
        let mut b = buddy(4096);
        b.add(3, 4001);
        assert_eq!(
            b.stats(),
            Stats {
                total: 3998,
                free: 3998,
                ..Stats::default()
            }
        );
        let mut held = Vec::new();
        let mut seed = 1u32;
        for _ in 0..5000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if seed & 0x10000 == 0 || held.is_empty() {
                if let Some((first, order, _)) =
                    b.allocate((seed >> 20) as u8 % 6, u64::from(seed) << 13)
                {
                    assert_eq!(first % (1 << order), 0);
                    assert!(first >= 3 && first + (1 << order) <= 4001);
                    for &(f, o, _) in &held {
                        let (f, o): (u32, u8) = (f, o);
                        assert!(first + (1 << order) <= f || f + (1 << o) <= first);
                    }
                    held.push((first, order, u64::from(seed) << 13));
                }
            } else {
                let (first, order, payer) = held.swap_remove(seed as usize % held.len());
                assert_eq!(b.free(first, order, Content::Zero), payer);
            }
        }
        for (first, order, _) in held {
            b.free(first, order, Content::Zero);
        }
        assert_eq!(b.stats().free, 3998);
        // 3..4001 holds two whole 4 MiB runs: frames 1024..3072.
        assert!(b.allocate(10, 0).is_some());
        assert!(b.allocate(10, 0).is_some());
        assert!(b.allocate(10, 0).is_none());
    }

    #[test]
    fn only_scrubbed_frames_come_back_clean() {
        let mut b = buddy(64);
        b.add(0, 64);
        let (first, order, dirty) = b.allocate(0, 0).unwrap();
        assert!(dirty);
        b.free(first, order, Content::Zero);
        let (again, _, dirty) = b.allocate(0, 0).unwrap();
        assert_eq!(first, again);
        assert!(!dirty);
        b.add(0, 64);
        assert_eq!(b.stats().total, 64);
    }
}
