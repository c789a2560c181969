//! The requests of a virtio-iommu: one at a time, and each is answered before the next one (Virtio 1.2, 5.13.6).

use core::sync::atomic::Ordering;

use alloc::vec::Vec;
use frames::{Frames, Grow, Use};
use iommu_tables::{Access, DomainId, PAGE_BYTES};
use mmio::SharedBytes;
use sabotage::sabotage;
use virtio_format::iommu::{REQUEST_BYTES, Request, Status, TAIL_BYTES};
use virtio_format::ring::{self, Layout};

use super::{DEADLINE_NS, Done, NoAnswer};
use crate::memory::page;
use crate::terms::Forget;
use crate::virtio::{Doorbell, Virtio};

/// Places of the ring: a request and its answer take two of them.
const LAYOUT: Layout = Layout::new(4).unwrap();
/// Where in its page a request is answered.
const ANSWER_AT: usize = 128;
const _: () = assert!(REQUEST_BYTES <= ANSWER_AT);
/// What a status holds until the device writes it.
const UNWRITTEN: u32 = u32::MAX;
/// The last device address there is.
const LAST: u64 = u64::MAX;

/// A function that is led to a domain.
#[derive(Debug)]
struct Attached {
    endpoint: u32,
    domain: DomainId,
    /// Pages that it was answered to be mapped, less those that it was answered to be unmapped.
    pages: u64,
}

/// The ring, the request, its answer. All stay for good: the device may write at any time.
#[derive(Debug)]
pub(crate) struct Requests {
    ring: Frames,
    exchange: Frames,
    asked: u16,
    doorbell: Doorbell,
    attached: Vec<Attached>,
    now_ns: fn() -> u64,
}

impl Requests {
    /// Makes a ring that the device does not know of yet; `None` where there is no memory for it.
    pub(crate) fn new(now_ns: fn() -> u64) -> Option<Self> {
        let ring = frames::allocate(1, Use::Kernel)?;
        debug_assert!(LAYOUT.bytes() <= ring.bytes());
        let Some(exchange) = page() else {
            ring.free_unmapped();
            return None;
        };
        let requests = Self {
            ring,
            exchange,
            asked: 0,
            doorbell: Doorbell::NONE,
            attached: Vec::new(),
            now_ns,
        };
        requests.write_ring().ok()?;
        Some(requests)
    }

    /// The two descriptors never change but for the lengths.
    fn write_ring(&self) -> Result<(), NoAnswer> {
        let ring = self.ring.shared();
        for place in 0..LAYOUT.size() {
            ring.store32(LAYOUT.available_entry(place & !1), 0, Ordering::Relaxed)?;
        }
        let head = ring::head(ring::NO_INTERRUPT, 0);
        ring.store32(LAYOUT.available(), head, Ordering::Release)?;
        Ok(())
    }

    /// Shape of the ring, and where it begins.
    pub(crate) const fn ring(&self) -> (Layout, u64) {
        (LAYOUT, self.ring.address())
    }

    /// Where the device is told that there is a request.
    pub(crate) const fn ring_at(&mut self, doorbell: Doorbell) {
        self.doorbell = doorbell;
    }

    /// Has the device do one thing, and returns how it answered.
    fn ask(
        &mut self,
        unit: &Virtio,
        request: Request,
        properties: usize,
    ) -> Result<Status, NoAnswer> {
        let exchange = self.exchange.shared();
        let (bytes, length) = request.bytes();
        exchange.write(0, &bytes)?;
        let tail = ANSWER_AT + properties;
        exchange.store32(tail, UNWRITTEN, Ordering::Relaxed)?;
        let ring = self.ring.shared();
        let at = self.exchange.address();
        let describe =
            |place: u16, words: [u64; 2]| ring.store_words(LAYOUT.descriptor(place), &words);
        describe(0, ring::descriptor(at, length as u32, ring::NEXT, 1))?;
        let answer = (properties + TAIL_BYTES) as u32;
        let behind = at + ANSWER_AT as u64;
        describe(1, ring::descriptor(behind, answer, ring::WRITE, 0))?;
        self.asked = self.asked.wrapping_add(1);
        let head = ring::head(ring::NO_INTERRUPT, self.asked);
        ring.store32(LAYOUT.available(), head, Ordering::Release)?;
        unit.notify(self.doorbell)?;
        if let Err(none) = self.await_used(&ring) {
            sabotage!(BELIEVE_DEAF_UNIT => return Ok(Status::Done));
            return Err(none);
        }
        // One byte of the status, and three that are reserved and may be anything.
        let status = exchange.load32(tail, Ordering::Acquire)?;
        Ok(Status::read(status as u8))
    }

    /// Waits until the device has used the one chain that it has.
    fn await_used(&self, ring: &SharedBytes) -> Result<(), NoAnswer> {
        let end = (self.now_ns)().saturating_add(DEADLINE_NS);
        loop {
            let (_, used) = ring::split_head(ring.load32(LAYOUT.used(), Ordering::Acquire)?);
            if used == self.asked {
                break;
            }
            if used != self.asked.wrapping_sub(1) || (self.now_ns)() >= end {
                return Err(NoAnswer);
            }
            cpu::relax();
        }
        let place = LAYOUT.used_element(self.asked.wrapping_sub(1));
        match ring.load32(place, Ordering::Relaxed)? {
            0 => Ok(()),
            _ => Err(NoAnswer),
        }
    }

    /// Leads an endpoint to a domain, and returns how the device answered; as if it had no memory, where there is none to note it.
    pub(crate) fn attach(
        &mut self,
        unit: &Virtio,
        endpoint: u32,
        domain: DomainId,
    ) -> Result<Status, NoAnswer> {
        {
            // The list is the kernel's, and no longer than there are functions.
            let _kernel = frames::paid_by_kernel();
            if self.attached.grow(1).is_err() {
                return Ok(Status::NoMemory);
            }
        }
        let request = Request::Attach {
            domain: unit.domain(domain),
            endpoint,
        };
        let status = self.ask(unit, request, 0)?;
        if status == Status::Done {
            let attached = Attached {
                endpoint,
                domain,
                pages: 0,
            };
            self.attached.put(attached).map_err(|_| NoAnswer)?;
        }
        Ok(status)
    }

    /// Maps a run, and returns how the device answered.
    pub(crate) fn map(
        &mut self,
        unit: &Virtio,
        domain: DomainId,
        (iova, physical): (u64, u64),
        (pages, access): (u64, Access),
    ) -> Result<Status, NoAnswer> {
        let request = Request::Map {
            domain: unit.domain(domain),
            iova: (iova, last_of(iova, pages)),
            physical,
            writable: access == Access::ReadWrite,
        };
        let status = self.ask(unit, request, 0)?;
        if status == Status::Done {
            self.count(domain, |mapped| mapped + pages);
        }
        Ok(status)
    }

    /// Makes the device forget, one after the other; anything but that it has done it is no answer.
    pub(crate) fn forget(&mut self, unit: &Virtio, all: &[Forget]) -> Result<Done, NoAnswer> {
        for one in all {
            match *one {
                Forget::Run {
                    domain,
                    iova,
                    pages,
                } => {
                    // One that the device never led anything to has nothing.
                    if self.attached.iter().any(|one| one.domain == domain) {
                        self.unmap(unit, domain, (iova, last_of(iova, pages)))?;
                        self.count(domain, |mapped| mapped.saturating_sub(pages));
                    }
                }
                Forget::Function { domain, .. } => self.detach(unit, domain)?,
                // A domain goes with its one function, and nothing else is remembered.
                Forget::Domain(_)
                | Forget::Blocked(_)
                | Forget::Source(_)
                | Forget::Entry { .. } => {}
            }
        }
        Ok(Done(()))
    }

    fn unmap(&mut self, unit: &Virtio, domain: DomainId, iova: (u64, u64)) -> Result<(), NoAnswer> {
        let domain = unit.domain(domain);
        let status = self.ask(unit, Request::Unmap { domain, iova }, 0)?;
        (status == Status::Done).then_some(()).ok_or(NoAnswer)
    }

    /// Unmaps all of a domain and leads its function there no more. One that the device never led there has nothing.
    fn detach(&mut self, unit: &Virtio, domain: DomainId) -> Result<(), NoAnswer> {
        let Some(place) = self.attached.iter().position(|one| one.domain == domain) else {
            return Ok(());
        };
        self.unmap(unit, domain, (0, LAST))?;
        let endpoint = self.attached.get(place).ok_or(NoAnswer)?.endpoint;
        let request = Request::Detach {
            domain: unit.domain(domain),
            endpoint,
        };
        if self.ask(unit, request, 0)? != Status::Done {
            return Err(NoAnswer);
        }
        self.attached.swap_remove(place);
        Ok(())
    }

    /// Asks what an endpoint reserves, and hands the answer out.
    pub(crate) fn probe<R>(
        &mut self,
        unit: &Virtio,
        endpoint: u32,
        properties: &mut [u8],
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, NoAnswer> {
        let length = properties.len();
        self.exchange.shared().zero(ANSWER_AT, length)?;
        let status = self.ask(unit, Request::Probe { endpoint }, length)?;
        if status != Status::Done {
            return Ok(None);
        }
        self.exchange.shared().read(ANSWER_AT, properties)?;
        Ok(Some(read(properties)))
    }

    /// Pages of a domain that the device was answered to have mapped.
    pub(crate) fn pages_of(&self, domain: DomainId) -> u64 {
        let one = self.attached.iter().find(|one| one.domain == domain);
        one.map_or(0, |one| one.pages)
    }

    fn count(&mut self, domain: DomainId, by: impl FnOnce(u64) -> u64) {
        if let Some(one) = self.attached.iter_mut().find(|one| one.domain == domain) {
            one.pages = by(one.pages);
        }
    }
}

/// The last address of a run.
const fn last_of(iova: u64, pages: u64) -> u64 {
    iova + (pages * PAGE_BYTES - 1)
}
