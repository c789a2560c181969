//! The disk's queue where its commands are written here: `Device.direct`, with device addresses of this controller's domain.
//!
//! Invariant: a completion counts only for a command in flight; an address is that of a buffer that is bound, or of a list here.

use core::sync::atomic::Ordering;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use device_ring::{Binding, Command, Completion, Memory, Opcode};
use nvme_format::{
    COMMAND_BYTES, COMPLETION_BYTES, Command as Entry, Completion as Taken, FUA, io,
};
use nvme_provider::{LIST_ENTRIES, prps};
use provider::{DiskQueue, Kicked};
use sdk::{
    Access, Device, DeviceQueue, DmaBuffer, DmaPool, Interface, Layout, Object, Refusal, Window,
    WindowAccess, Words,
};

/// Entries of either ring: a page of commands.
pub const ENTRIES: u16 = 64;
/// Commands that are in flight at once: a ring of which all entries are used looks empty.
pub const DEPTH: u16 = ENTRIES - 1;

const PAGE: u64 = ring_abi::PAGE_BYTES as u64;
/// Buffers that are bound at once: as many as to a ring of the kernel's.
const PLACES: usize = 128;
const LIST_BYTES: u64 = LIST_ENTRIES as u64 * 8;
/// The pair of queues, by the broker's numbers (docs/devices/nvme.md).
const KIND: u16 = 1;
const PAIR: u16 = 1;

/// A buffer that is bound.
#[derive(Clone, Copy, Default)]
struct Place {
    /// 0: none is.
    generation: u32,
    at: u64,
    bytes: u32,
}

/// The queue.
pub struct Direct {
    queue: DeviceQueue,
    submissions: Words,
    completions: Words,
    lists: Words,
    lists_at: u64,
    /// The memory of all three.
    _buffers: [DmaBuffer; 3],
    places: Vec<Place>,
    next_generation: u32,
    /// Namespaces, and how long their blocks are, as powers of two.
    shifts: Vec<(u16, u32)>,
    /// The cookies of what is in flight, by the command's identifier.
    flights: [Option<u64>; DEPTH as usize],
    free: Vec<u16>,
    tail: u16,
    head: u16,
    phase: bool,
    /// What the device was told.
    told: (u16, u16),
    taken: VecDeque<Completion>,
}

fn words(buffer: &DmaBuffer, bytes: u64) -> Result<Words, Refusal> {
    let memory = buffer.window(WindowAccess::ReadWrite)?.memory;
    Words::of(Window::map(memory, bytes, Access::ReadWrite)?)
}

impl Direct {
    /// Opens the queue; `NotSupported` where nothing confines the controller, or the manifest does not ask for it.
    ///
    /// # Errors
    /// As `Device.direct`, and those of buffers and windows.
    pub fn open(device: &Device, pool: &DmaPool, source: u16) -> Result<Self, Refusal> {
        const { assert!(COMMAND_BYTES * ENTRIES as usize == PAGE as usize) };
        let lists_bytes = LIST_BYTES * u64::from(DEPTH);
        let lists_bytes = lists_bytes.next_multiple_of(PAGE);
        let take = |bytes| Ok::<_, Refusal>(pool.allocate(bytes, Layout::Scattered)?.buffer);
        let buffers = [take(PAGE)?, take(PAGE)?, take(lists_bytes)?];
        let [commands, answers, lists] = &buffers;
        let (first, second) = (commands.object().handle(), answers.object().handle());
        let queue = device
            .direct(KIND, PAIR, ENTRIES, source, first, second)?
            .queue;
        Ok(Self {
            lists_at: queue.address(lists.object().handle())?.address,
            submissions: words(commands, PAGE)?,
            completions: words(answers, PAGE)?,
            lists: words(lists, lists_bytes)?,
            queue,
            _buffers: buffers,
            places: alloc::vec![Place::default(); PLACES],
            next_generation: 1,
            shifts: Vec::new(),
            flights: [None; DEPTH as usize],
            free: (0..DEPTH).rev().collect(),
            tail: 0,
            head: 0,
            phase: true,
            told: (0, 0),
            taken: VecDeque::with_capacity(ENTRIES.into()),
        })
    }

    /// Learns how long the blocks of a namespace are. Nothing goes to one of which that is not known.
    pub fn learn(&mut self, nsid: u16, block_shift: u32) {
        self.shifts.push((nsid, block_shift));
    }

    /// Where the device sees the data of a command.
    fn data(&self, command: &Command) -> Result<u64, Refusal> {
        let place = self.places.get(usize::from(command.slot));
        let place = place.filter(|place| {
            let end = u64::from(command.offset) + u64::from(command.length);
            command.generation != 0
                && place.generation == command.generation
                && end <= u64::from(place.bytes)
        });
        Ok(place.ok_or(Refusal::OutOfRange)?.at + u64::from(command.offset))
    }

    /// How many blocks a command is about.
    fn blocks(&self, command: &Command) -> Result<u32, Refusal> {
        let mut known = self.shifts.iter();
        let found = known.find(|(unit, _)| *unit == command.unit);
        let (_, shift) = found.ok_or(Refusal::NotFound)?;
        let blocks = command.length >> shift;
        match blocks << shift == command.length && blocks > 0 {
            true => Ok(blocks),
            false => Err(Refusal::LengthMismatch),
        }
    }

    /// The command as the controller reads it, without its identifier.
    fn entry(&self, command: &Command, id: u16) -> Result<Entry, Refusal> {
        let nsid = command.unit.into();
        let asked = Opcode::from_number(command.opcode).ok_or(Refusal::BadArgument)?;
        let list = self.lists_at + u64::from(id) * LIST_BYTES;
        let first_word = usize::from(id) * LIST_ENTRIES;
        let opcode = match asked {
            Opcode::Flush => return Ok(Entry::flush(nsid)),
            Opcode::Read => io::READ,
            Opcode::Write | Opcode::WriteThrough => io::WRITE,
            Opcode::Zero => io::WRITE_ZEROES,
            Opcode::Discard => {
                let range = Entry::range(command.block, self.blocks(command)?);
                for (word, value) in range.into_iter().enumerate() {
                    self.lists
                        .store(first_word + word, value, Ordering::Relaxed);
                }
                return Ok(Entry::deallocate(nsid, list));
            }
        };
        let entry = Entry::transfer(opcode, nsid, command.block, self.blocks(command)?);
        let mut entry = entry.ok_or(Refusal::OutOfRange)?;
        match asked {
            Opcode::Zero => return Ok(entry),
            Opcode::WriteThrough => entry.cdw[2] |= FUA,
            _ => {}
        }
        let at = self.data(command)?;
        let found = prps(at, command.length, list).ok_or(Refusal::OutOfRange)?;
        entry.prp1 = at;
        entry.prp2 = found.second;
        for (word, page) in found.entries().enumerate() {
            self.lists.store(first_word + word, page, Ordering::Relaxed);
        }
        Ok(entry)
    }

    /// The next completion of the ring.
    fn look(&mut self) -> Result<Option<Completion>, Refusal> {
        let at = usize::from(self.head) * (COMPLETION_BYTES / 8);
        let second = self.completions.load(at + 1, Ordering::Acquire);
        if Taken::phase_of(second) != self.phase {
            return Ok(None);
        }
        let done = Taken::parse(self.completions.load(at, Ordering::Relaxed), second);
        self.head = (self.head + 1) % ENTRIES;
        self.phase ^= self.head == 0;
        let flight = self.flights.get_mut(usize::from(done.cid));
        let cookie = flight.and_then(Option::take).ok_or(Refusal::Corrupt)?;
        self.free.push(done.cid);
        Ok(Some(Completion {
            cookie,
            outcome: Ok((done.status.field(), done.result)),
        }))
    }
}

impl DiskQueue for Direct {
    fn bind(&mut self, buffer: &DmaBuffer, bytes: u32) -> Result<Binding, Refusal> {
        let at = self.queue.address(buffer.object().handle())?.address;
        let mut places = self.places.iter_mut().zip(0..=u8::MAX);
        let free = places.find(|(place, _)| place.generation == 0);
        let (place, slot) = free.ok_or(Refusal::Exhausted)?;
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1).max(1);
        *place = Place {
            generation,
            at,
            bytes,
        };
        Ok(Binding { slot, generation })
    }

    fn unbind(&mut self, binding: Binding) {
        let place = self.places.get_mut(usize::from(binding.slot));
        if let Some(place) = place.filter(|place| place.generation == binding.generation) {
            *place = Place::default();
        }
    }

    fn look_for_room(&mut self) -> Result<u32, Refusal> {
        Ok(self.free.len() as u32)
    }

    fn push(&mut self, command: &Command) -> Result<(), Refusal> {
        let id = self.free.last().copied().ok_or(Refusal::QueueFull)?;
        let entry = Entry {
            cid: id,
            ..self.entry(command, id)?
        };
        let flight = self.flights.get_mut(usize::from(id));
        *flight.ok_or(Refusal::Corrupt)? = Some(command.cookie);
        self.free.pop();
        let at = usize::from(self.tail) * (COMMAND_BYTES / 8);
        for (word, value) in entry.words().into_iter().enumerate() {
            self.submissions.store(at + word, value, Ordering::Release);
        }
        self.tail = (self.tail + 1) % ENTRIES;
        Ok(())
    }

    fn kick(&mut self, _: u16, complete: u16) -> Result<Kicked, Refusal> {
        let submitted = (self.tail + ENTRIES - self.told.0) % ENTRIES;
        let mut given = 0;
        while given < complete
            && let Some(done) = self.look()?
        {
            self.taken.push_back(done);
            given += 1;
        }
        let now = (self.tail, self.head);
        if now != self.told {
            self.queue.doorbell(self.tail, self.head)?;
            self.told = now;
        }
        Ok(Kicked {
            accepted: submitted,
            given,
        })
    }

    fn take(&mut self) -> Result<Option<Completion>, Refusal> {
        Ok(self.taken.pop_front())
    }
}
