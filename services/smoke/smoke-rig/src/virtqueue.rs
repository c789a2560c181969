//! A queue of a virtio disk whose rings the program writes itself, with addresses of its device's domain.

use core::sync::atomic::Ordering;

use device_ring::Memory;
use sdk::alloc::vec::Vec;
use sdk::{Device, DeviceQueue, DmaBuffer, DmaPool, Layout, Refusal, Timer, Words};
use virtio_format::ring;

use crate::piece::{handle, window};

const PAGE: u64 = 4096;
/// Between two looks.
const PAUSE_NS: u64 = 500_000;
/// Descriptors of a request: its header, its data, its status.
const LINKS: u16 = 3;
/// Bytes of a slot of the page of headers: 16, and then the status.
const SLOT: u64 = 32;
const STATUS_AT: u64 = 16;
/// What the status holds until the device writes it.
const UNWRITTEN: u8 = 0xff;
/// Virtqueues are the one kind.
const KIND: u16 = 0;

/// What a request does (VIRTIO 1.2, 5.2.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Reads sectors.
    In = 0,
    /// Writes sectors.
    Out = 1,
    /// Makes what was written durable.
    Flush = 4,
}

/// A request, with the place of its data as its device sees it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// What it does.
    pub kind: Kind,
    /// First sector, of 512 bytes.
    pub sector: u64,
    /// Where its data lies.
    pub address: u64,
    /// Bytes of data; 0 for none.
    pub length: u32,
}

/// The queue.
#[expect(missing_debug_implementations, reason = "words have none")]
pub struct Virtqueue {
    /// The queue.
    pub queue: DeviceQueue,
    /// Where its entries lie, and where the device says that it is done with them.
    pub rings: [DmaBuffer; 2],
    /// Where headers and statuses lie.
    pub own: DmaBuffer,
    own_at: u64,
    given: Words,
    used: Words,
    headers: Words,
    layout: ring::Layout,
    /// What the available ring holds, from its flags on.
    available: Vec<u64>,
    next: u16,
    taken: u16,
}

impl Virtqueue {
    /// Opens queue 0 with `entries` of a page at most.
    ///
    /// # Errors
    /// As `Device.direct`, and those of buffers and windows.
    pub fn open(
        device: &Device,
        pool: &DmaPool,
        source: u16,
        entries: u16,
    ) -> Result<Self, Refusal> {
        let page = || Ok::<_, Refusal>(pool.allocate(PAGE, Layout::Scattered)?.buffer);
        let (rings, own) = ([page()?, page()?], page()?);
        let [submissions, completions] = &rings;
        let (given, used) = (handle(submissions), handle(completions));
        let opened = device.direct(KIND, 0, entries, source, given, used)?;
        let layout = ring::Layout::new(entries).ok_or(Refusal::BadArgument)?;
        let words = usize::from(entries) / 4 + 1;
        let mut available = sdk::alloc::vec![0; words];
        // Nothing is raised.
        if let Some(first) = available.first_mut() {
            *first = u64::from(ring::NO_INTERRUPT);
        }
        let it = Self {
            own_at: opened.queue.address(handle(&own))?.address,
            queue: opened.queue,
            given: Words::of(window(submissions, PAGE)?)?,
            used: Words::of(window(completions, PAGE)?)?,
            headers: Words::of(window(&own, PAGE)?)?,
            rings,
            own,
            layout,
            available,
            next: 0,
            taken: 0,
        };
        it.show(0);
        Ok(it)
    }

    /// Where the device sees a buffer.
    ///
    /// # Errors
    /// As `DeviceQueue.address`.
    pub fn address(&self, buffer: &DmaBuffer) -> Result<u64, Refusal> {
        Ok(self.queue.address(handle(buffer))?.address)
    }

    /// Stores a word of the available ring.
    fn show(&self, word: usize) {
        let value = self.available.get(word).copied().unwrap_or_default();
        let at = self.layout.available() / 8 + word;
        self.given.store(at, value, Ordering::Release);
    }

    /// Writes a descriptor.
    fn link(&self, index: u16, (address, length): (u64, u32), flags: u16) {
        let [low, high] = ring::descriptor(address, length, flags, index + 1);
        let at = self.layout.descriptor(index) / 8;
        self.given.store(at, low, Ordering::Relaxed);
        self.given.store(at + 1, high, Ordering::Relaxed);
    }

    /// Writes a request into slot `slot`, with its status where `status` leads; the device is not told.
    pub fn push_to(&mut self, slot: u16, request: Request, status: u64) {
        let head = slot * LINKS;
        let own = u64::from(slot) * SLOT;
        let at = own as usize / 8;
        let kind = request.kind as u64;
        self.headers.store(at, kind, Ordering::Relaxed);
        self.headers
            .store(at + 1, request.sector, Ordering::Relaxed);
        self.headers
            .store(at + 2, UNWRITTEN.into(), Ordering::Relaxed);
        self.link(head, (self.own_at + own, 16), ring::NEXT);
        let writes = match request.kind {
            Kind::In => ring::WRITE,
            Kind::Out | Kind::Flush => 0,
        };
        let mut last = head + 1;
        if request.length != 0 {
            let data = (request.address, request.length);
            self.link(last, data, ring::NEXT | writes);
            last += 1;
        }
        self.link(last, (status, 1), ring::WRITE);
        // Flags and index come before the entries, all of 16 bits.
        let field = usize::from(self.next % self.layout.size()) + 2;
        let (word, shift) = (field / 4, field % 4 * 16);
        if let Some(entry) = self.available.get_mut(word) {
            *entry = *entry & !(0xffff << shift) | u64::from(head) << shift;
        }
        self.show(word);
        self.next = self.next.wrapping_add(1);
        if let Some(first) = self.available.first_mut() {
            *first = *first & !0xffff_0000 | u64::from(self.next) << 16;
        }
        self.show(0);
    }

    /// Writes a request into slot `slot`; the device is not told.
    pub fn push(&mut self, slot: u16, request: Request) {
        let status = self.own_at + u64::from(slot) * SLOT + STATUS_AT;
        self.push_to(slot, request, status);
    }

    /// Tells the device of what was written.
    ///
    /// # Errors
    /// As `DeviceQueue.doorbell`.
    #[inline]
    pub fn ring(&self) -> Result<(), Refusal> {
        let entries = self.layout.size();
        self.queue
            .doorbell(self.next % entries, self.taken % entries)
    }

    /// The slot of the oldest request that was not taken yet, and its status.
    #[inline]
    pub fn take(&mut self) -> Option<(u16, u8)> {
        let (_, index) = ring::split_head(self.used.load(0, Ordering::Acquire) as u32);
        if index == self.taken {
            return None;
        }
        // The first element follows flags and index, so each begins in the upper half of a word.
        let at = usize::from(self.taken % self.layout.size());
        let head = self.used.load(at, Ordering::Relaxed) >> 32;
        self.taken = self.taken.wrapping_add(1);
        let slot = head as u16 / LINKS;
        let status = usize::from(slot) * SLOT as usize / 8 + 2;
        let status = self.headers.load(status, Ordering::Relaxed) as u8;
        Some((slot, status))
    }

    /// Runs one request; its status.
    ///
    /// # Errors
    /// `TimedOut` after `patience_ns`, and as [`Self::ring`].
    pub fn run(
        &mut self,
        timer: &Timer,
        request: Request,
        patience_ns: u64,
    ) -> Result<u8, Refusal> {
        self.push(0, request);
        self.ring()?;
        self.wait(timer, patience_ns)
    }

    /// Waits for the oldest request.
    ///
    /// # Errors
    /// `TimedOut` after `patience_ns`.
    pub fn wait(&mut self, timer: &Timer, patience_ns: u64) -> Result<u8, Refusal> {
        let give_up = timer.now()?.ns + patience_ns;
        loop {
            if let Some((_, status)) = self.take() {
                return Ok(status);
            }
            let now = timer.now()?.ns;
            if now > give_up {
                return Err(Refusal::TimedOut);
            }
            timer.sleep(now + PAUSE_NS)?;
        }
    }
}
