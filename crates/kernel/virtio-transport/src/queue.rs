//! One split virtqueue with its shadow (Virtio 1.2, 2.7).
//!
//! The device reads and writes the rings; what the broker relies on lies in the shadow: which descriptors are free, how
//! chains hang together, which head is in flight with which slot and how many bytes the device may write for it. A used
//! element is believed only where it names a head in flight that the device was told of, and no more bytes than that.

use alloc::vec::Vec;

use driver_core::release_to_device;
use driver_core::{BrokerIo, DeviceAddress, Direction, DmaPages, Refusal, Segment};
use sabotage::sabotage;
use virtio_format::ring::{self, Layout};

use crate::plan::{Finished, HEADER_BYTES, Plan};
use crate::runs::{self, Runs};

/// Bytes of the broker's own for each chain: a header, then the status byte.
const OWN_BYTES: usize = 2 * HEADER_BYTES;
const STATUS_AT: usize = HEADER_BYTES;
/// What the status byte holds until the device writes it.
const STATUS_UNWRITTEN: u8 = 0xff;

/// What is remembered of one descriptor.
#[derive(Clone, Copy, Debug, Default)]
struct Shadow {
    /// The next free one, or the next of its chain.
    next: u16,
    /// For a head in flight: descriptors of its chain. 0 for every other.
    count: u16,
    slot: u16,
    has_status: bool,
    /// Bytes of the chain that the device may write.
    writable: u32,
    /// How many chains were pushed before it.
    order: u64,
}

/// Where a device finds the parts of a queue: descriptor table, available ring and used ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Entries.
    pub(crate) size: u16,
    pub(crate) parts: [DeviceAddress; 3],
}

/// A used chain that fits the shadow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) slot: u16,
    pub(crate) finished: Finished,
}

/// A queue.
#[derive(Debug)]
pub(crate) struct Virtqueue {
    layout: Layout,
    /// The rings, and behind them [`OWN_BYTES`] for each entry. The run stays with the broker over resets.
    pages: DmaPages,
    shadow: Vec<Shadow>,
    free_first: u16,
    free_last: u16,
    free: u16,
    /// Where the next chain goes into the available ring, and how far the device was told.
    available: u16,
    /// Where the next used element is looked for.
    used: u16,
    pushed_total: u64,
    told_total: u64,
    taken_total: u64,
    flags: u16,
    /// The device contradicted itself: nothing more until a reset.
    broken: bool,
}

impl Virtqueue {
    /// Takes pages for a queue of so many entries, out of what was there before where that is large enough, all zero. The
    /// device does not know of it yet. Where memory is short, what was there before stays.
    ///
    /// # Errors
    /// `NoMemory`, and what [`BrokerIo::pages`] says.
    #[expect(clippy::disallowed_methods, reason = "room: reserved here")]
    pub(crate) fn prepare(
        io: &mut dyn BrokerIo,
        place: &mut Option<Self>,
        layout: Layout,
    ) -> Result<(), Refusal> {
        let size = layout.size();
        let mut shadow = Vec::new();
        shadow
            .try_reserve_exact(usize::from(size))
            .map_err(|_| Refusal::NoMemory)?;
        shadow.extend((1..=size).map(|next| Shadow {
            next,
            ..Shadow::default()
        }));
        let bytes = layout.bytes() + usize::from(size) * OWN_BYTES;
        let pages = match place.take_if(|old| old.pages.len() >= bytes) {
            Some(old) => {
                old.pages.zero();
                old.pages
            }
            None => io.pages(bytes)?,
        };
        *place = Some(Self {
            layout,
            pages,
            shadow,
            free_first: 0,
            free_last: size - 1,
            free: size,
            available: 0,
            used: 0,
            pushed_total: 0,
            told_total: 0,
            taken_total: 0,
            flags: 0,
            broken: false,
        });
        Ok(())
    }

    pub(crate) const fn size(&self) -> u16 {
        self.layout.size()
    }

    /// Where the device finds its parts.
    pub(crate) const fn place(&self) -> Place {
        let base = self.pages.address();
        Place {
            size: self.size(),
            parts: [
                base,
                base.offset(self.layout.available() as u64),
                base.offset(self.layout.used() as u64),
            ],
        }
    }

    /// Asks the device not to send interrupts.
    pub(crate) fn want_no_interrupts(&mut self) {
        self.flags = ring::NO_INTERRUPT;
        self.store_head();
    }

    /// Asks the device for interrupts.
    pub(crate) fn want_interrupts(&mut self) {
        self.flags = 0;
        self.store_head();
    }

    /// The queue is good for nothing until a reset.
    pub(crate) const fn break_off(&mut self) {
        self.broken = true;
    }

    /// Writes the chain of one command. The device does not look before [`Self::publish`].
    ///
    /// # Errors
    /// `WrongState` after the device contradicted itself; `OutOfRange` for a chain longer than the queue or the plan's
    /// limit, or a segment past its pages; `QueueFull`. Nothing has changed then.
    pub(crate) fn push(
        &mut self,
        slot: u16,
        plan: &Plan,
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal> {
        if self.broken {
            return Err(Refusal::WrongState);
        }
        let (pieces, writable) = measure(plan, segments)?;
        let count = pieces + u16::from(plan.header.is_some()) + u16::from(plan.status);
        if count == 0 {
            return Err(Refusal::LengthMismatch);
        }
        if count > self.size() {
            return Err(Refusal::OutOfRange);
        }
        if count > self.free {
            return Err(Refusal::QueueFull);
        }
        let head = self.free_first;
        self.write_chain(head, count, plan, segments)?;
        // From here nothing fails: the chain leaves the free list.
        let last = self.nth(head, count - 1);
        self.free_first = self.shadow_of(last).next;
        self.free -= count;
        let order = self.pushed_total;
        if let Some(entry) = self.shadow.get_mut(usize::from(head)) {
            entry.count = count;
            entry.slot = slot;
            entry.has_status = plan.status;
            entry.writable = writable;
            entry.order = order;
        }
        self.pushed_total += 1;
        let at = self.layout.available_entry(self.available);
        let _ = self.pages.write(at, &head.to_le_bytes());
        self.available = self.available.wrapping_add(1);
        Ok(())
    }

    /// Lets the device see everything pushed since the last time. Returns whether it wants to be told so.
    pub(crate) fn publish(&mut self) -> bool {
        if self.told_total == self.pushed_total || self.broken {
            return false;
        }
        self.told_total = self.pushed_total;
        release_to_device();
        self.store_head();
        // The index must be out before the device's wish is read (2.7.13.4).
        release_to_device();
        let word = self.pages.load32(self.layout.used()).unwrap_or(0);
        ring::split_head(word).0 & ring::NO_NOTIFY == 0
    }

    /// Takes the next chain that the device has used, if any.
    ///
    /// # Errors
    /// `Corrupt` when it does not fit the shadow; the queue is then good for nothing until a reset.
    pub(crate) fn take(&mut self) -> Result<Option<Taken>, Refusal> {
        if self.broken {
            return Err(Refusal::Corrupt);
        }
        let found = self.look();
        if found.is_err() {
            self.broken = true;
        }
        found
    }

    fn look(&mut self) -> Result<Option<Taken>, Refusal> {
        let ring = &self.pages;
        // Loaded with acquire order, so that the element is not older than the index.
        let word = ring.load32(self.layout.used())?;
        let posted = ring::split_head(word).1.wrapping_sub(self.used);
        if posted == 0 {
            return Ok(None);
        }
        let outstanding = self.told_total.saturating_sub(self.taken_total);
        if u64::from(posted) > outstanding && !sabotage!(VIRTIO_TRUST_USED) {
            return Err(Refusal::Corrupt);
        }
        let at = self.layout.used_element(self.used);
        let id = ring.load32(at)?;
        let written = ring.load32(at + 4)?;
        let head = u16::try_from(id).map_err(|_| Refusal::Corrupt)?;
        let entry = self.shadow.get(usize::from(head)).copied();
        let entry = entry.ok_or(Refusal::Corrupt)?;
        let in_flight = entry.count != 0 && entry.order < self.told_total;
        if !(in_flight && written <= entry.writable || sabotage!(VIRTIO_TRUST_USED)) {
            return Err(Refusal::Corrupt);
        }
        let status = if entry.has_status {
            let mut byte = [0];
            let at = self.own_at(head) + STATUS_AT;
            self.pages.read(at, &mut byte)?;
            byte[0]
        } else {
            0
        };
        self.used = self.used.wrapping_add(1);
        self.taken_total += 1;
        self.give_back(head, entry.count);
        Ok(Some(Taken {
            slot: entry.slot,
            finished: Finished { written, status },
        }))
    }

    /// Puts a chain at the end of the free list, so that its head is used again as late as can be.
    fn give_back(&mut self, head: u16, count: u16) {
        if count == 0 {
            return;
        }
        let last = self.nth(head, count - 1);
        if self.free == 0 {
            self.free_first = head;
        } else if let Some(entry) = self.shadow.get_mut(usize::from(self.free_last)) {
            entry.next = head;
        }
        self.free_last = last;
        self.free += count;
        if let Some(entry) = self.shadow.get_mut(usize::from(head)) {
            entry.count = 0;
        }
    }

    /// Writes `count` descriptors along the free list.
    fn write_chain(
        &self,
        head: u16,
        count: u16,
        plan: &Plan,
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal> {
        let own_at = self.own_at(head);
        let own = self.pages.address().offset(own_at as u64);
        let mut at = head;
        let mut left = count;
        let mut put = |address: DeviceAddress, length: u32, device_writes: bool| {
            left = left.checked_sub(1).ok_or(Refusal::OutOfRange)?;
            let next = self.shadow_of(at).next;
            let mut flags = if device_writes { ring::WRITE } else { 0 };
            let mut link = 0;
            if left != 0 {
                flags |= ring::NEXT;
                link = next;
            }
            let [low, high] = ring::descriptor(address.bus(), length, flags, link);
            let place = self.layout.descriptor(at);
            let ring = &self.pages;
            ring.store64(place, low)?;
            ring.store64(place + 8, high)?;
            at = next;
            Ok::<(), Refusal>(())
        };
        if let Some(header) = &plan.header {
            let bytes = header.bytes.get(..usize::from(header.length));
            let bytes = bytes.ok_or(Refusal::OutOfRange)?;
            self.pages.write(own_at, bytes)?;
            put(own, u32::from(header.length), header.device_writes)?;
        }
        for segment in segments {
            let device_writes = segment.direction == Direction::FromDevice;
            for run in Runs::new(segment, plan.longest) {
                put(run.address, run.length, device_writes)?;
            }
        }
        if plan.status {
            self.pages.write(own_at + STATUS_AT, &[STATUS_UNWRITTEN])?;
            put(own.offset(STATUS_AT as u64), 1, true)?;
        }
        Ok(())
    }

    /// The descriptor `steps` links on. Links are the broker's own, so they lead somewhere.
    fn nth(&self, from: u16, steps: u16) -> u16 {
        (0..steps).fold(from, |at, _| self.shadow_of(at).next)
    }

    /// Where a head's own bytes lie.
    fn own_at(&self, head: u16) -> usize {
        self.layout.bytes() + usize::from(head) * OWN_BYTES
    }

    fn shadow_of(&self, index: u16) -> Shadow {
        self.shadow
            .get(usize::from(index))
            .copied()
            .unwrap_or_default()
    }

    fn store_head(&self) {
        let word = ring::head(self.flags, self.told());
        let _ = self.pages.store32(self.layout.available(), word);
    }

    /// The available index as far as the device was told.
    const fn told(&self) -> u16 {
        self.told_total as u16
    }
}

/// Pages of data that one command reaches at most: each is looked at while the function's lock is held.
const MAX_PAGES: u64 = 1024;

/// How many descriptors of data a command takes, and how many bytes the device may write in all.
fn measure(plan: &Plan, segments: &[Segment<'_>]) -> Result<(u16, u32), Refusal> {
    if segments.iter().map(runs::pages).sum::<u64>() > MAX_PAGES {
        return Err(Refusal::OutOfRange);
    }
    let mut pieces = 0u32;
    let mut writable = u32::from(plan.status);
    if let Some(header) = plan.header.filter(|header| header.device_writes) {
        writable += u32::from(header.length);
    }
    for segment in segments {
        let mut length = 0;
        for run in Runs::new(segment, plan.longest) {
            length += run.length;
            pieces += 1;
            if pieces > u32::from(plan.most.min(ring::MAX_SIZE)) {
                return Err(Refusal::OutOfRange);
            }
        }
        if length != segment.length {
            return Err(Refusal::OutOfRange);
        }
        if segment.direction == Direction::FromDevice {
            writable = writable.checked_add(length).ok_or(Refusal::OutOfRange)?;
        }
    }
    Ok((pieces as u16, writable))
}
