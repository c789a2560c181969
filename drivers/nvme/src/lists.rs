//! Memory for PRP lists: as much per command slot as the longest transfer needs, taken when the queue opens.

use alloc::vec::Vec;

use driver_core::{BrokerIo, DmaPages, Grow, Refusal};
use nvme_format::prp::{ListMemory, list_stride};

const PAGE: usize = nvme_format::PAGE_BYTES as usize;

/// Bytes of one run of pages, unless a single slot needs more: small enough for any allocator.
const RUN_BYTES: usize = 16 * PAGE;

/// The list memory of a queue.
#[derive(Debug)]
pub(crate) struct Lists {
    runs: Vec<DmaPages>,
    /// Bytes per slot, of [`list_stride`].
    stride: usize,
    slots_per_run: usize,
    /// Slots there is to be room for.
    slots: usize,
}

impl Lists {
    pub(crate) const fn empty() -> Self {
        Self {
            runs: Vec::new(),
            stride: 0,
            slots_per_run: 1,
            slots: 0,
        }
    }

    /// Says how many lists of transfers up to `max_transfer_bytes` there is to be room for, keeping what is there if it is of
    /// that shape. [`Self::reserve_some`] makes the room.
    pub(crate) fn shape(&mut self, slots: usize, max_transfer_bytes: u32) {
        let stride = list_stride(max_transfer_bytes);
        let slots_per_run = RUN_BYTES
            .checked_div(stride)
            .unwrap_or(slots)
            .clamp(1, slots.max(1));
        self.slots = slots;
        let there = self.runs.len() * self.slots_per_run;
        if stride != self.stride || (slots_per_run != self.slots_per_run && slots > there) {
            // Another shape: the old runs stay with the function until its teardown.
            self.runs = Vec::new();
            self.stride = stride;
            self.slots_per_run = slots_per_run;
        }
    }

    /// Runs that are missing.
    fn missing(&self) -> usize {
        let runs = match self.stride {
            0 => 0,
            _ => self.slots.div_ceil(self.slots_per_run),
        };
        runs.saturating_sub(self.runs.len())
    }

    /// Makes room for `slots` lists of transfers up to `max_transfer_bytes`.
    ///
    /// # Errors
    /// As [`Self::reserve_some`].
    pub(crate) fn reserve(
        &mut self,
        io: &mut dyn BrokerIo,
        slots: usize,
        max_transfer_bytes: u32,
    ) -> Result<(), Refusal> {
        self.shape(slots, max_transfer_bytes);
        while !self.reserve_some(io)? {}
        Ok(())
    }

    /// Takes one run of pages, which is what is done in one go. Whether none was missing.
    ///
    /// # Errors
    /// Those of the pages. What is there by then is kept.
    pub(crate) fn reserve_some(&mut self, io: &mut dyn BrokerIo) -> Result<bool, Refusal> {
        let missing = self.missing();
        if missing == 0 {
            return Ok(true);
        }
        self.runs.grow(missing)?;
        let run_bytes = (self.stride * self.slots_per_run).next_multiple_of(PAGE);
        self.runs.add(io.read_only_pages(run_bytes)?)?;
        Ok(false)
    }

    /// The list of one slot, and where it starts in it.
    pub(crate) fn of(&self, slot: u16) -> SlotList<'_> {
        let slot = usize::from(slot);
        let at = (slot % self.slots_per_run) * self.stride;
        SlotList {
            run: self.runs.get(slot / self.slots_per_run),
            page: at - at % PAGE,
            start: at % PAGE,
            end: at % PAGE + self.stride,
        }
    }
}

/// The list memory of one slot.
pub(crate) struct SlotList<'a> {
    run: Option<&'a DmaPages>,
    /// Where the list's first page begins in the run.
    page: usize,
    /// Where the list begins in that page.
    pub(crate) start: usize,
    /// Where it ends, counted from the page's beginning.
    end: usize,
}

impl ListMemory for SlotList<'_> {
    fn page_address(&self, offset: usize) -> Option<u64> {
        let run = self.run.filter(|_| offset < self.end)?;
        let at = self.page + offset - offset % PAGE;
        (at < run.len()).then(|| run.address().offset(at as u64).bus())
    }

    fn store(&mut self, offset: usize, entry: u64) -> bool {
        offset < self.end
            && self
                .run
                .is_some_and(|run| run.store64(self.page + offset, entry).is_ok())
    }
}
