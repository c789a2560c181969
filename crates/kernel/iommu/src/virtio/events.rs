//! The queue in which a virtio-iommu tells what it refused (Virtio 1.2, 5.13.6.9).

use core::sync::atomic::Ordering;

use frames::{Frames, Use};
use virtio_format::iommu::{FAULT_BYTES, Fault};
use virtio_format::ring::{self, Layout};

use super::{Doorbell, Transport};
use crate::memory::page;
use crate::queue::NoAnswer;

/// Places that it can fill before they are looked at.
const PLACES: u16 = 64;
const LAYOUT: Layout = Layout::new(PLACES).unwrap();
const _: () = assert!(PLACES as usize * FAULT_BYTES <= 4096);

/// The ring, and where events are written. Both stay for good.
#[derive(Debug)]
pub(super) struct Events {
    ring: Frames,
    events: Frames,
    /// How many places were offered, and taken back, ever.
    offered: u16,
    taken: u16,
    /// Which place each entry of the available ring names.
    named: [u16; PLACES as usize],
    doorbell: Doorbell,
}

impl Events {
    /// Makes a ring that the device does not know of yet; `None` where there is no memory for it.
    pub(super) fn new() -> Option<Self> {
        let ring = frames::allocate(1, Use::Kernel)?;
        debug_assert!(LAYOUT.bytes() <= ring.bytes());
        let Some(events) = page() else {
            ring.free_unmapped();
            return None;
        };
        Some(Self {
            ring,
            events,
            offered: 0,
            taken: 0,
            named: core::array::from_fn(|place| place as u16),
            doorbell: Doorbell::NONE,
        })
    }

    /// Shape of the ring, and where it begins.
    pub(super) const fn ring(&self) -> (Layout, u64) {
        (LAYOUT, self.ring.address())
    }

    /// Where the device is told of room.
    pub(super) const fn ring_at(&mut self, doorbell: Doorbell) {
        self.doorbell = doorbell;
    }

    /// Offers all places.
    pub(super) fn offer_all(&mut self, transport: &Transport) -> Result<(), NoAnswer> {
        for place in 0..PLACES {
            self.offer(place)?;
        }
        self.publish(transport)
    }

    /// Names a place in the next entry of the available ring.
    fn offer(&mut self, place: u16) -> Result<(), NoAnswer> {
        let ring = self.ring.shared();
        let at = self.events.address() + u64::from(place) * FAULT_BYTES as u64;
        let words = ring::descriptor(at, FAULT_BYTES as u32, ring::WRITE, 0);
        ring.store_words(LAYOUT.descriptor(place), &words)?;
        let entry = usize::from(self.offered % PLACES);
        *self.named.get_mut(entry).ok_or(NoAnswer)? = place;
        // Two entries are one word.
        let even = entry & !1;
        let pair = self.named.get(even..even + 2).ok_or(NoAnswer)?;
        let both = pair
            .iter()
            .rev()
            .fold(0, |word, one| word << 16 | u32::from(*one));
        ring.store32(LAYOUT.available_entry(even as u16), both, Ordering::Relaxed)?;
        self.offered = self.offered.wrapping_add(1);
        Ok(())
    }

    /// Makes the device see what was offered.
    fn publish(&self, transport: &Transport) -> Result<(), NoAnswer> {
        let head = ring::head(ring::NO_INTERRUPT, self.offered);
        let ring = self.ring.shared();
        ring.store32(LAYOUT.available(), head, Ordering::Release)?;
        transport.notify(self.doorbell)
    }

    /// Takes events, at most `most`, and returns whether all places were full: then some may have been left out.
    pub(super) fn take(
        &mut self,
        transport: &Transport,
        most: usize,
        mut tell: impl FnMut(Fault),
    ) -> bool {
        let ring = self.ring.shared();
        let Ok(head) = ring.load32(LAYOUT.used(), Ordering::Acquire) else {
            return false;
        };
        let (_, used) = ring::split_head(head);
        let there = used.wrapping_sub(self.taken);
        // More than it was offered is nonsense, and nothing of it is read.
        if there > PLACES {
            return false;
        }
        for _ in 0..usize::from(there).min(most) {
            let element = LAYOUT.used_element(self.taken);
            let place = ring.load32(element, Ordering::Relaxed).unwrap_or(u32::MAX);
            self.taken = self.taken.wrapping_add(1);
            // One that does not exist stands for any: the ring stays full.
            let place = (place % u32::from(PLACES)) as u16;
            let at = usize::from(place) * FAULT_BYTES;
            if let Ok(words) = self.events.shared().load_words(at) {
                tell(Fault::read(words));
            }
            if self.offer(place).is_err() {
                break;
            }
        }
        if there > 0 {
            let _ = self.publish(transport);
        }
        there == PLACES
    }
}
