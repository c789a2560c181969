//! DQO queues: descriptors one way and completions the other, in any order; a tag says which is which.

use driver_core::{BrokerIo, Completed, DmaPages, Refusal, Segment, release_to_device};
use gve_format::brokered::BUFFER_BYTES;
use gve_format::dqo::{self, RxCompletion, TxCompletion, TxEvent};

use crate::gqi::BROKEN_FRAME;
use crate::lists::{List, Part, parts};
use crate::queue::{Frames, Rings};
use crate::registers::Doorbell;
use crate::tags::Tags;

/// How far both rings of a queue are. There are as many entries as a power of two; counts of descriptors run on.
#[derive(Clone, Copy, Debug)]
struct Position {
    mask: u16,
    /// Ever written, and told to the device.
    pushed: u64,
    rung: u64,
    /// Up to where the device is known to have fetched.
    fetched: u64,
    /// Where the next completion comes, and its generation.
    head: u16,
    generation: bool,
}

impl Position {
    const fn new(entries: u16) -> Self {
        Self {
            mask: entries - 1,
            pushed: 0,
            rung: 0,
            fetched: 0,
            head: 0,
            generation: true,
        }
    }

    /// Place in the ring of the descriptor of that number.
    #[inline]
    const fn place(&self, number: u64) -> u16 {
        number as u16 & self.mask
    }

    /// Whether `more` descriptors may be written: a ring that is quite full looks empty.
    #[inline]
    const fn has_room(&self, more: u64) -> bool {
        self.pushed - self.fetched + more <= self.mask as u64
    }

    /// Something whose last descriptor was this is done, so the device has fetched up to there; `false` where it was not told so
    /// far.
    #[inline]
    fn fetch(&mut self, end: u64) -> bool {
        self.fetched = self.fetched.max(end.min(self.rung));
        end <= self.rung
    }

    /// The device says that it fetched up to before this place.
    #[inline]
    fn fetch_place(&mut self, place: u16) -> bool {
        let more = place.wrapping_sub(self.place(self.fetched)) & self.mask;
        place <= self.mask && self.fetch(self.fetched + u64::from(more))
    }

    /// A completion was taken.
    #[inline]
    const fn take(&mut self) {
        self.head = (self.head + 1) & self.mask;
        self.generation ^= self.head == 0;
    }

    fn ring(&mut self, io: &dyn BrokerIo, doorbell: Doorbell) {
        if self.rung != self.pushed {
            release_to_device();
            doorbell.ring(io, self.place(self.pushed).into());
            self.rung = self.pushed;
        }
    }
}

fn store<const N: usize>(pages: &DmaPages, place: u16, bytes: &[u8; N]) -> Result<(), Refusal> {
    Ok(pages.write(usize::from(place) * N, bytes)?)
}

/// A completion of the ring's present pass, copied after its generation was seen. That lies in the first eight bytes.
#[inline]
fn load<const N: usize>(
    pages: &DmaPages,
    position: &Position,
    is_new: fn(&[u8; N]) -> bool,
) -> Result<Option<[u8; N]>, Refusal> {
    let at = usize::from(position.head) * N;
    let mut bytes = [0; N];
    if let Some(first) = bytes.first_chunk_mut() {
        *first = pages.load64(at)?.to_ne_bytes();
    }
    if is_new(&bytes) != position.generation {
        return Ok(None);
    }
    // What was judged stays as it was read.
    if let Some(rest) = bytes.get_mut(8..) {
        pages.read(at + 8, rest)?;
    }
    Ok(Some(bytes))
}

/// A queue for reception.
#[derive(Debug)]
pub(crate) struct Receive {
    rings: Rings,
    tags: Tags,
    position: Position,
    doorbell: Doorbell,
    is_broken: bool,
}

impl Receive {
    /// Over rings that are zero.
    pub(crate) const fn new(rings: Rings, doorbell: Doorbell, entries: u16, tags: Tags) -> Self {
        Self {
            rings,
            tags,
            position: Position::new(entries),
            doorbell,
            is_broken: false,
        }
    }

    /// Its memory, and its tags, which go on.
    pub(crate) fn parts(self) -> (Rings, Tags) {
        (self.rings, self.tags)
    }

    fn next(&mut self) -> Result<Option<Completed>, Refusal> {
        let bytes = load(&self.rings.first, &self.position, RxCompletion::generation)?;
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        let completion = RxCompletion::read(&bytes).map_err(|_| Refusal::Corrupt)?;
        let is_whole = completion.end && !completion.split;
        let fits = (1..=BUFFER_BYTES).contains(&completion.bytes);
        if !is_whole || !fits {
            return Err(Refusal::Corrupt);
        }
        let (slot, entry) = self
            .tags
            .give_back(completion.buffer)
            .ok_or(Refusal::Corrupt)?;
        if !self.position.fetch(entry.end) {
            return Err(Refusal::Corrupt);
        }
        self.position.take();
        Ok(Some(Completed {
            slot,
            status: if completion.error { BROKEN_FRAME } else { 0 },
            result: completion.bytes.into(),
        }))
    }
}

impl Frames for Receive {
    fn push(
        &mut self,
        slot: u16,
        segment: &Segment<'_>,
        list: Option<&List>,
    ) -> Result<(), Refusal> {
        if self.is_broken {
            return Err(Refusal::WrongState);
        }
        if let Some(list) = list {
            list.locate(segment)?;
        }
        let (Part { at, .. }, None) = parts(segment)? else {
            return Err(Refusal::Misaligned);
        };
        if !self.position.has_room(1) {
            return Err(Refusal::QueueFull);
        }
        let buffer = self.tags.take(slot, self.position.pushed + 1)?;
        let descriptor = dqo::Rx {
            buffer,
            at,
            headers_at: 0,
        };
        let place = self.position.place(self.position.pushed);
        store(&self.rings.second, place, &descriptor.bytes())?;
        self.position.pushed += 1;
        Ok(())
    }

    fn ring(&mut self, io: &dyn BrokerIo) {
        if !self.is_broken {
            self.position.ring(io, self.doorbell);
        }
    }

    fn take(&mut self) -> Result<Option<Completed>, Refusal> {
        if self.is_broken {
            return Err(Refusal::Corrupt);
        }
        self.next().inspect_err(|_| self.is_broken = true)
    }

    fn rings(self) -> Rings {
        self.rings
    }
}

/// A queue for transmission.
#[derive(Debug)]
pub(crate) struct Transmit {
    rings: Rings,
    tags: Tags,
    position: Position,
    doorbell: Doorbell,
    is_broken: bool,
}

impl Transmit {
    /// Over rings that are zero.
    pub(crate) const fn new(rings: Rings, doorbell: Doorbell, entries: u16, tags: Tags) -> Self {
        Self {
            rings,
            tags,
            position: Position::new(entries),
            doorbell,
            is_broken: false,
        }
    }

    /// Its memory, and its tags, which go on.
    pub(crate) fn parts(self) -> (Rings, Tags) {
        (self.rings, self.tags)
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "the value of a field")]
    fn put(&mut self, part: Part, tag: u16, end: bool) -> Result<(), Refusal> {
        let descriptor = dqo::Tx::Packet {
            at: part.at,
            bytes: part.bytes,
            tag,
            end,
            checksum: false,
            report: false,
        };
        let place = self.position.place(self.position.pushed);
        store(&self.rings.first, place, &descriptor.bytes())?;
        self.position.pushed += 1;
        Ok(())
    }

    /// Takes one completion: `Some(None)` for one that ends nothing.
    fn next(&mut self) -> Result<Option<Option<u16>>, Refusal> {
        let bytes = load(&self.rings.second, &self.position, TxCompletion::generation)?;
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        let completion = TxCompletion::read(&bytes).map_err(|_| Refusal::Corrupt)?;
        if completion.queue != 0 {
            return Err(Refusal::Corrupt);
        }
        let ended = match completion.event {
            TxEvent::Descriptors(head) => {
                if !self.position.fetch_place(head) {
                    return Err(Refusal::Corrupt);
                }
                None
            }
            TxEvent::Miss(tag) => {
                let (_, entry) = self.tags.find(tag).ok_or(Refusal::Corrupt)?;
                if core::mem::replace(&mut entry.missed, true) {
                    return Err(Refusal::Corrupt);
                }
                None
            }
            TxEvent::Packet(tag) => Some(self.ended(tag, false)?),
            TxEvent::Reinjection(tag) => Some(self.ended(tag, true)?),
        };
        self.position.take();
        Ok(Some(ended))
    }

    /// A frame is done, which had missed or not.
    #[expect(clippy::fn_params_excessive_bools, reason = "the value of a field")]
    fn ended(&mut self, tag: u16, missed: bool) -> Result<u16, Refusal> {
        let (slot, entry) = self.tags.give_back(tag).ok_or(Refusal::Corrupt)?;
        match entry.missed == missed && self.position.fetch(entry.end) {
            true => Ok(slot),
            false => Err(Refusal::Corrupt),
        }
    }
}

impl Frames for Transmit {
    fn push(
        &mut self,
        slot: u16,
        segment: &Segment<'_>,
        list: Option<&List>,
    ) -> Result<(), Refusal> {
        if self.is_broken {
            return Err(Refusal::WrongState);
        }
        if let Some(list) = list {
            list.locate(segment)?;
        }
        let (first, second) = parts(segment)?;
        let pieces = 1 + u64::from(second.is_some());
        if !self.position.has_room(pieces) {
            return Err(Refusal::QueueFull);
        }
        let tag = self.tags.take(slot, self.position.pushed + pieces)?;
        self.put(first, tag, second.is_none())?;
        second.map_or(Ok(()), |second| self.put(second, tag, true))
    }

    fn ring(&mut self, io: &dyn BrokerIo) {
        if !self.is_broken {
            self.position.ring(io, self.doorbell);
        }
    }

    fn take(&mut self) -> Result<Option<Completed>, Refusal> {
        if self.is_broken {
            return Err(Refusal::Corrupt);
        }
        // What ends nothing is passed over: there are no more of those in a row than the ring has entries.
        for _ in 0..=self.position.mask {
            match self.next().inspect_err(|_| self.is_broken = true)? {
                None => return Ok(None),
                Some(None) => {}
                Some(Some(slot)) => {
                    return Ok(Some(Completed {
                        slot,
                        status: 0,
                        result: 0,
                    }));
                }
            }
        }
        Ok(None)
    }

    fn rings(self) -> Rings {
        self.rings
    }
}
