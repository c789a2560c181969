//! `BootMedium`: sectors of the CD that this machine was booted from, for the one service that is given it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ::memory::MemoryObject;
use atapi::{MAX_SECTORS, SECTOR_BYTES};
use cap::Epoch;
use cpu::Lock;
use ipc::{KernelCall, Late, Slot};
use sabotage::sabotage;
use schema::storage::boot_medium;
use stub::{Answered, Refusal};

use super::memory::Shared;
use super::served::{self, Owed, Served, kernel_object};
use crate::cdrom;

/// The right to read the medium. There is none to write it.
pub struct Medium {
    epoch: Epoch,
}

impl Medium {
    pub fn new() -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
        })
    }
}

kernel_object!(Medium, boot_medium);

/// A read that the drive is busy with.
struct Reading {
    later: Late<boot_medium::call::Read>,
    lba: u32,
    count: u32,
    /// The drive knows of it.
    is_begun: bool,
    target: Arc<MemoryObject>,
    offset: u64,
    bytes: usize,
}

impl Reading {
    /// Goes on with it. `true`: it is done.
    fn go_on(&mut self, buffer: &mut [u8]) -> Result<bool, Refusal> {
        if !self.is_begun {
            self.is_begun = cdrom::begin(self.lba, self.count)?;
        }
        if !self.is_begun {
            return Ok(false);
        }
        cdrom::advance(buffer.get_mut(..self.bytes).unwrap_or_default())
    }
}

/// The drive does one thing at a time.
#[derive(Default)]
struct State {
    reading: Option<Reading>,
    /// Kept between reads.
    buffer: Vec<u8>,
}

static STATE: Lock<Option<State>> = Lock::new(None);

/// Where a read's bytes go, and at which offset there: pages that the caller could write itself.
fn target(window: &Slot, offset: u64, bytes: usize) -> Result<(Arc<MemoryObject>, u64), Refusal> {
    let shared = window.check()?.downcast::<Shared>()?;
    if !shared.writable() && !sabotage!(MEDIUM_INTO_READ_ONLY) {
        return Err(Refusal::ReadOnly);
    }
    let place = shared.place(offset, bytes as u64)?;
    Ok((shared.object().clone(), place))
}

/// Looks whether the drive has come on, until it has.
fn poll(_: u64) {
    let (reading, done) = {
        let mut state = STATE.lock();
        let Some(State { reading, buffer }) = state.as_mut() else {
            return;
        };
        let Some(one) = reading.as_mut() else {
            return;
        };
        let bytes = one.bytes;
        let done = match one.go_on(buffer) {
            Ok(false) => {
                drop(state);
                sched::callback_at(sched::now_ns() + cdrom::POLL_NS, poll, 0);
                return;
            }
            Ok(true) => Ok(()),
            Err(refusal) => Err(refusal),
        };
        let Some(reading) = reading.take() else {
            return;
        };
        let done = done.and_then(|()| {
            let part = buffer.get(..bytes).unwrap_or_default();
            reading.target.write(reading.offset, part)
        });
        (reading, done)
    };
    reading.later.answer(done);
}

impl<'a> boot_medium::Server<KernelCall<'a>> for Served<Medium> {
    fn info(&mut self, reply: Owed<'a, boot_medium::call::Info>) -> Answered {
        let result = cdrom::sectors().ok_or(Refusal::NoDevice);
        reply.answer(result.map(|sectors| boot_medium::InfoReply {
            sector_bytes: SECTOR_BYTES as u32,
            sectors,
            read_sectors: MAX_SECTORS,
        }))
    }

    fn read(
        &mut self,
        reply: Owed<'a, boot_medium::call::Read>,
        window: Slot,
        lba: u32,
        count: u32,
        offset: u64,
    ) -> Answered {
        let checked = || {
            if count == 0 {
                return Err(Refusal::ZeroLength);
            }
            if count > MAX_SECTORS {
                return Err(Refusal::OutOfRange);
            }
            let bytes = count as usize * SECTOR_BYTES;
            Ok((target(&window, offset, bytes)?, bytes))
        };
        let ((target, offset), bytes) = match checked() {
            Ok(checked) => checked,
            Err(refusal) => return reply.refuse(refusal),
        };
        let answered = {
            let mut state = STATE.lock();
            let state = state.get_or_insert_default();
            let begun = if state.reading.is_some() {
                Err(Refusal::Busy)
            } else {
                // Made once, for everybody.
                let _kernel = frames::paid_by_kernel();
                frames::widen(&mut state.buffer, MAX_SECTORS as usize * SECTOR_BYTES)
                    .and_then(|()| cdrom::begin(lba, count))
            };
            let is_begun = match begun {
                Ok(is_begun) => is_begun,
                Err(refusal) => return reply.refuse(refusal),
            };
            let (answered, later) = reply.defer();
            state.reading = Some(Reading {
                later,
                lba,
                count,
                is_begun,
                target,
                offset,
                bytes,
            });
            answered
        };
        poll(0);
        answered
    }
}
