//! A client that keeps 32 writes in flight at a disk whose driver is killed again and again, and that loses nothing.
//!
//! It leaves the number of each block's last write behind. Where it finds such a list it judges the disk by it instead.
//!
//! It is itself what supervises the driver. Each block says which write it is and at which driver it was asked for, so that
//! whoever sees the disk's own log can judge. Invariant: it never counts on a write that was not flushed in the driver's life in
//! which it was answered.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::vec::Vec;
use sdk::block::block_session::{WriteParams, call};
use sdk::schema::block::block_device;
use sdk::{
    Access, BlockDevice, BlockSession, DeviceRegistry, Env, Error, Interface, Lifetime, NEVER,
    ProcessHandle, Refusal, Ring, Window, fact,
};
use smoke::Kit;
use smoke_device::Driver;

sdk::entry!(main);

const MAGIC: u64 = 0x6c6f_6164_6361_706f;
const BLOCK: usize = 4096;
/// Writes in flight.
const DEEP: usize = 32;
/// Blocks that are written.
const PLACES: usize = 256;
/// The block with the list of last writes.
const LIST: usize = PLACES;
/// The list's first byte in its block.
const LIST_AT: usize = 32;
/// Writes that are kept because no flush covers them yet.
const HELD: usize = 128;
/// Answered writes after which a flush is asked for.
const FLUSH_AFTER: usize = 40;
/// A flush's user data; those of writes are slots.
const FLUSH: u64 = DEEP as u64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    InFlight(usize),
    Answered,
    /// Answered before the flush was asked for that is in flight.
    Covered,
}

/// A write that may be lost.
#[derive(Clone, Copy)]
struct Held {
    place: usize,
    sequence: u64,
    state: State,
}

struct Load {
    ring: Ring,
    session: BlockSession,
    window: Window,
    incarnation: u64,
    /// Blocks of the device in one of ours.
    unit: u32,
    /// In the order in which they were first asked for.
    held: Vec<Held>,
    /// The last write of each place.
    last: [u64; PLACES],
    sequence: u64,
    flushing: bool,
    answered: usize,
    unflushed: usize,
    errors: u32,
    random: u64,
}

/// What a block holds.
fn fill(block: &mut [u8], place: usize, sequence: u64, incarnation: u64) {
    let mut word = sequence << 16 | place as u64;
    for (at, bytes) in block.chunks_exact_mut(8).enumerate() {
        let value = match at {
            0 => MAGIC,
            1 => place as u64,
            2 => sequence,
            3 => incarnation,
            _ => {
                word ^= word << 13;
                word ^= word >> 7;
                word ^= word << 17;
                word
            }
        };
        bytes.copy_from_slice(&value.to_le_bytes());
    }
}

fn is_over(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::ServerDied | Refusal::Stale | Refusal::Revoked | Refusal::NoReply
    )
}

fn open(device: &BlockDevice) -> Result<(BlockSession, Window, u32), Refusal> {
    let block_bytes = device.info()?.block_bytes;
    let unit = (BLOCK as u32).checked_div(block_bytes);
    let unit = unit.filter(|unit| *unit > 0).ok_or(Refusal::NotSupported)?;
    let bytes = (DEEP * BLOCK) as u32;
    let open = device.open(bytes)?;
    open.session
        .claim(0, (PLACES as u64 + 1) * u64::from(unit))?;
    let window = Window::map(open.window, bytes.into(), Access::ReadWrite)?;
    Ok((open.session, window, unit))
}

impl Load {
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn slot(&self) -> Option<usize> {
        (0..DEEP).find(|slot| {
            let mut held = self.held.iter();
            !held.any(|held| held.state == State::InFlight(*slot))
        })
    }

    /// The first that may go: of two writes of one place the older one first, and never both at once.
    fn ready(&self) -> Option<usize> {
        let mut barred = [false; PLACES];
        for (at, held) in self.held.iter().enumerate() {
            let bar = barred.get_mut(held.place)?;
            match held.state {
                State::Waiting if !*bar => return Some(at),
                State::Waiting | State::InFlight(_) => *bar = true,
                State::Answered | State::Covered => {}
            }
        }
        None
    }

    /// Keeps the queue full, with writes that are made while there are less than `most`.
    fn submit(&mut self, most: usize) -> Result<(), Refusal> {
        while let Some(slot) = self.slot() {
            let at = match self.ready() {
                Some(at) => at,
                None if self.held.len() < most => {
                    let place = (self.next() % PLACES as u64) as usize;
                    self.sequence += 1;
                    let sequence = self.sequence;
                    *self.last.get_mut(place).ok_or(Refusal::OutOfRange)? = sequence;
                    self.held.push(Held {
                        place,
                        sequence,
                        state: State::Waiting,
                    });
                    continue;
                }
                None => break,
            };
            let held = self.held.get_mut(at).ok_or(Refusal::OutOfRange)?;
            held.state = State::InFlight(slot);
            let mut block = [0; BLOCK];
            fill(&mut block, held.place, held.sequence, self.incarnation);
            let offset = slot * BLOCK;
            let params = WriteParams {
                block: held.place as u64 * u64::from(self.unit),
                blocks: self.unit,
                window_offset: offset as u32,
            };
            self.window.write(offset as u64, &block)?;
            let session = self.session.object();
            self.ring
                .call::<call::Write>(session, params, slot as u64, NEVER)?;
        }
        if self.unflushed >= FLUSH_AFTER || (most == 0 && self.unflushed > 0) {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Refusal> {
        if self.flushing {
            return Ok(());
        }
        self.flushing = true;
        self.unflushed = 0;
        for held in &mut self.held {
            if held.state == State::Answered {
                held.state = State::Covered;
            }
        }
        let session = self.session.object();
        self.ring.call::<call::Flush>(session, (), FLUSH, NEVER)
    }

    /// Takes what was answered.
    fn take(&mut self) -> Result<(), Refusal> {
        loop {
            let Some(completion) = self.ring.completed() else {
                break;
            };
            let user = completion.user();
            let result = if user == FLUSH {
                completion.read::<call::Flush, _>(|_| ()).map(|()| None)
            } else {
                completion.read::<call::Write, _>(|results| Some(results.bytes))
            };
            self.answer(user, result);
        }
        Ok(())
    }

    fn answer(&mut self, user: u64, result: Result<Option<u32>, Refusal>) {
        if let Err(refusal) = result
            && !is_over(refusal)
        {
            self.errors += 1;
        }
        if user == FLUSH {
            self.flushing = false;
            if result.is_ok() {
                self.held.retain(|held| held.state != State::Covered);
            }
            return;
        }
        let mut held = self.held.iter_mut();
        let Some(held) = held.find(|held| held.state == State::InFlight(user as usize)) else {
            return;
        };
        held.state = State::Waiting;
        if let Ok(bytes) = result {
            self.errors += u32::from(bytes != Some(BLOCK as u32));
            held.state = State::Answered;
            self.answered += 1;
            self.unflushed += 1;
        }
    }

    fn is_idle(&self) -> bool {
        let mut held = self.held.iter();
        !self.flushing && !held.any(|held| matches!(held.state, State::InFlight(_)))
    }

    /// The driver is another one. What no flush has covered is written again.
    fn over(&mut self, device: &BlockDevice) -> Result<(), Refusal> {
        while !self.is_idle() {
            self.ring.wait(1, NEVER);
            self.take()?;
        }
        for held in &mut self.held {
            held.state = State::Waiting;
        }
        self.unflushed = 0;
        self.incarnation += 1;
        (self.session, self.window, self.unit) = open(device)?;
        Ok(())
    }

    /// Writes down which write of each place was the last.
    fn leave(&mut self) -> Result<(), Refusal> {
        let mut block = [0; BLOCK];
        fill(&mut block, LIST, self.sequence, self.incarnation);
        let list = block.get_mut(LIST_AT..).unwrap_or_default();
        for (bytes, last) in list.chunks_exact_mut(8).zip(self.last) {
            bytes.copy_from_slice(&last.to_le_bytes());
        }
        self.window.write(0, &block)?;
        let at = LIST as u64 * u64::from(self.unit);
        self.session.write(at, self.unit, 0)?;
        self.session.flush()
    }

    fn read(&mut self, place: usize, to: &mut [u8; BLOCK]) -> Result<(), Refusal> {
        let at = place as u64 * u64::from(self.unit);
        self.session.read(at, self.unit, 0)?;
        self.window.read(0, to)
    }

    /// The list that is there, or none.
    fn found(&mut self) -> Result<Option<[u64; PLACES]>, Refusal> {
        let mut block = [0; BLOCK];
        self.read(LIST, &mut block)?;
        if word(&block, 0) != MAGIC {
            return Ok(None);
        }
        let mut last = [0; PLACES];
        for (at, last) in last.iter_mut().enumerate() {
            *last = word(&block, LIST_AT / 8 + at);
        }
        Ok(Some(last))
    }

    /// How many places do not hold what was last written there.
    fn wrong(&mut self, last: &[u64; PLACES]) -> Result<u32, Refusal> {
        let (mut wrong, mut found, mut wanted) = (0, [0; BLOCK], [0; BLOCK]);
        for (place, sequence) in last
            .iter()
            .enumerate()
            .filter(|(_, sequence)| **sequence > 0)
        {
            self.read(place, &mut found)?;
            fill(&mut wanted, place, *sequence, word(&found, 3));
            wrong += u32::from(found != wanted);
        }
        Ok(wrong)
    }
}

/// A little-endian word of a block.
fn word(block: &[u8; BLOCK], at: usize) -> u64 {
    let bytes = block.get(8 * at..8 * at + 8);
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

fn main(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "block-kill-load")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let argument = |name: &str| {
        let mut arguments = env.arguments();
        arguments.find_map(|argument| argument.strip_prefix(name))
    };
    let kills: u32 = argument("kills=")
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(4);
    let endpoint = kit.endpoints.create()?.endpoint;
    let driver = Driver {
        kit: &kit,
        registry: &registry,
        endpoint: &endpoint,
        class: argument("class=").unwrap_or("virtio-blk"),
        binary: argument("binary=").unwrap_or("virtio-blk-provider"),
    };
    let mut process = driver.start()?;
    let minted = endpoint.mint(0, block_device::INTERFACE_ID, Lifetime::Durable)?;
    let device = BlockDevice::from_object(minted.facet.into_object());
    let (session, window, unit) = open(&device)?;
    let mut load = Load {
        ring: Ring::new(2 * DEEP as u16, 128)?,
        session,
        window,
        incarnation: 1,
        unit,
        held: Vec::with_capacity(HELD),
        last: [0; PLACES],
        sequence: 0,
        flushing: false,
        answered: 0,
        unflushed: 0,
        errors: 0,
        random: 0x9e37_79b9_7f4a_7c15,
    };
    match load.found()? {
        Some(last) => {
            let written = last.iter().filter(|last| **last > 0).count();
            let wrong = load.wrong(&last)?;
            fact!("kill-load.kept", whole = wrong == 0 && written > 0, wrong ~ wrong, written ~ written);
        }
        None => {
            run(&mut load, kills, (&kit, &driver), (&device, &mut process))?;
            load.leave()?;
        }
    }
    process.kill()?;
    kit.ended(&process)?;
    Ok(())
}

/// Writes, and kills the driver so often.
fn run(
    load: &mut Load,
    kills: u32,
    (kit, driver): (&Kit, &Driver<'_>),
    (device, process): (&BlockDevice, &mut ProcessHandle),
) -> Result<(), Error> {
    let (mut in_flight, mut unflushed) = (0, 0);
    for _ in 0..kills {
        // Also within what is written again, because that is in the same queue.
        let until = load.answered + 1 + (load.next() % 96) as usize;
        while load.answered < until {
            load.submit(HELD)?;
            load.ring.wait(1, NEVER);
            load.take()?;
        }
        load.submit(HELD)?;
        in_flight += load.ring.in_flight();
        unflushed += load.held.len();
        killed(kit, process, driver)?;
        load.over(device)?;
    }
    while !load.held.is_empty() {
        load.submit(0)?;
        load.ring.wait(1, NEVER);
        load.take()?;
    }
    let last = load.last;
    let wrong = load.wrong(&last)?;
    fact!(
        "kill-load.done",
        kills = kills,
        client_errors = load.errors,
        wrong = wrong,
        deep = in_flight >= kills as usize * DEEP * 3 / 4,
        writes ~ load.sequence,
        in_flight ~ in_flight,
        unflushed ~ unflushed
    );
    Ok(())
}

fn killed(kit: &Kit, process: &mut ProcessHandle, driver: &Driver<'_>) -> Result<(), Refusal> {
    process.kill()?;
    kit.ended(process)?;
    *process = driver.start()?;
    Ok(())
}
