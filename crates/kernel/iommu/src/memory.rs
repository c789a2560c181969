//! The memory that a unit reads: tables, its queue, the word it answers in.

use core::sync::atomic::Ordering;

use frames::{FRAME_BYTES, Frames, Use};
use iommu_tables::vtd::RemappingFeatures;
use iommu_tables::{Table, TableMemory};
use mmio::SharedBytes;
use pieces::Several;

/// Whether a unit looks at memory through the processor's caches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Caches {
    /// It does.
    Seen,
    /// What it is to read must be put into memory.
    Unseen,
}

impl Caches {
    /// How a VT-d unit looks at it.
    pub(crate) const fn of(features: &RemappingFeatures) -> Self {
        match features.coherent {
            true => Self::Seen,
            false => Self::Unseen,
        }
    }

    /// Makes the unit see a range of memory.
    pub(crate) fn publish(self, memory: &SharedBytes, offset: usize, bytes: usize) {
        if self == Self::Unseen {
            let _ = memory.write_back(offset, bytes);
        }
    }

    /// Writes an entry of two words. The high one goes first where the low one makes it present, and last where not.
    pub(crate) fn write_pair(self, memory: &SharedBytes, offset: usize, words: [u64; 2]) {
        let present = words[0] & 1 != 0;
        let order = if present { [1, 0] } else { [0, 1] };
        for half in order {
            let _ = memory.store64(offset + half * 8, words[half], Ordering::Release);
        }
        self.publish(memory, offset, 16);
    }
}

/// A zeroed page for a unit, which who pays on this CPU pays for.
pub(crate) fn page() -> Option<Frames> {
    frames::allocate_for_program(0, Use::Kernel).ok()
}

fn bytes(table: Table) -> SharedBytes {
    let base = frames::direct_map(table.address());
    // SAFETY: tables come out of `page` alone and are freed only once no walk can lead to them; the page lies in the
    // direct map for good, and is reached only so.
    unsafe { SharedBytes::new(base, FRAME_BYTES as usize) }
}

/// Pages of the tables of one domain.
#[derive(Debug)]
pub(crate) struct TablePages {
    frames: Several<Frames, 512>,
    caches: Caches,
}

impl TablePages {
    pub(crate) const fn new(caches: Caches) -> Self {
        Self {
            frames: Several::new(),
            caches,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.frames.len()
    }

    /// Frees one, that no unit reads any more, and says how many of its entries held something.
    pub(crate) fn free_one(&mut self) -> Option<u64> {
        let frame = self.frames.pop()?;
        let memory = frame.shared();
        let words = 0..frame.bytes() / 8;
        let used = words.filter(|at| memory.load64(at * 8, Ordering::Relaxed) != Ok(0));
        let used = used.count() as u64;
        frame.free_unmapped();
        Some(used)
    }
}

impl TableMemory for TablePages {
    fn take(&mut self) -> Option<Table> {
        let frame = page()?;
        let address = frame.address();
        if let Err(frame) = frames::refusable(|| self.frames.push(frame)) {
            frame.free_unmapped();
            return None;
        }
        let table = Table::new(address)?;
        // The unit must not read what was there before the zeros.
        self.caches.publish(&bytes(table), 0, FRAME_BYTES as usize);
        Some(table)
    }

    fn read(&self, table: Table, index: usize) -> u64 {
        bytes(table)
            .load64(index * 8, Ordering::Relaxed)
            .unwrap_or(0)
    }

    fn write(&mut self, table: Table, index: usize, entry: u64) {
        let memory = bytes(table);
        let _ = memory.store64(index * 8, entry, Ordering::Release);
        self.caches.publish(&memory, index * 8, 8);
    }
}
