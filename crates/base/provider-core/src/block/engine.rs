//! Client requests on their way through the device: cut into commands, kept at the queue's depth, answered when the last
//! command is done.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use device_ring::{Binding, Command, Opcode};
use ring_abi::Refusal;
use sabotage::sabotage;

use super::geometry::{Commands, Geometry, Operation};
use super::retry::{Attempts, Range, Refused};

/// The most requests at a time. Beyond it the service stops receiving, and callers wait in the endpoint's queue.
pub const MAX_REQUESTS: usize = 256;

const INDEX_BITS: u32 = 16;

/// A request as a client made it, already checked against the disk and the client's window.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// What to do.
    pub operation: Operation,
    /// Whose it is.
    pub session: u64,
    /// Which of the device's units it is for, by its place in the engine's list.
    pub unit: u16,
    /// Where the session's window is bound to the queue.
    pub binding: Binding,
    /// First block.
    pub block: u64,
    /// Blocks; 0 for a flush.
    pub blocks: u32,
    /// First byte in the window.
    pub offset: u32,
}

/// A request that is over; `T` is the right to answer it.
#[derive(Debug)]
pub struct Finished<T> {
    /// The right to answer.
    pub token: T,
    /// Whose it was.
    pub session: u64,
    /// Bytes moved, or why not.
    pub result: Result<u32, Refusal>,
    /// What the device refused, where it did.
    pub refused: Option<Refused>,
}

#[derive(Debug)]
struct Running<T> {
    request: Request,
    token: T,
    /// Bytes that will have been moved.
    bytes: u32,
    /// Blocks not yet made into commands.
    left: u32,
    /// Commands planned and not completed.
    outstanding: u32,
    /// A flush follows once they are, and is part of the request.
    then_flush: bool,
    failed: Option<(Refusal, Option<u16>)>,
    attempts: Attempts,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u64,
    running: Option<Running<T>>,
}

/// All requests of the service; `C` knows what a command looks like, `T` is the right to answer a request.
#[derive(Debug)]
pub struct Engine<C, T> {
    units: Vec<(C, Geometry)>,
    depth: u16,
    in_flight: u16,
    slots: Vec<Slot<T>>,
    free: Vec<u16>,
    /// Requests with blocks not yet made into commands, oldest first.
    unplanned: VecDeque<u16>,
}

impl<C: Commands, T> Engine<C, T> {
    /// An engine for these units behind one queue of `depth` commands. All its memory is taken here.
    pub fn new(units: Vec<(C, Geometry)>, depth: u16) -> Self {
        let slots = (0..MAX_REQUESTS)
            .map(|_| Slot {
                generation: 0,
                running: None,
            })
            .collect();
        Self {
            units,
            depth,
            in_flight: 0,
            slots,
            free: (0..MAX_REQUESTS as u16).rev().collect(),
            unplanned: VecDeque::with_capacity(MAX_REQUESTS),
        }
    }

    /// The shape of a unit.
    pub fn geometry(&self, unit: u16) -> Option<&Geometry> {
        self.units
            .get(usize::from(unit))
            .map(|(_, geometry)| geometry)
    }

    /// How many more requests can be accepted.
    pub fn room(&self) -> usize {
        self.free.len()
    }

    /// Commands at the device.
    pub const fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Takes a request of `bytes` bytes.
    ///
    /// # Errors
    /// The token, when there is no room.
    pub fn accept(&mut self, request: Request, bytes: u32, token: T) -> Result<(), T> {
        let Some(index) = self.free.pop() else {
            return Err(token);
        };
        let then_flush = request.operation == Operation::WriteThrough
            && self
                .geometry(request.unit)
                .is_some_and(Geometry::needs_flush)
            && !sabotage!(BLOCK_TRUST_FUA);
        let Some(slot) = self.slots.get_mut(usize::from(index)) else {
            return Err(token);
        };
        slot.generation += 1;
        slot.running = Some(Running {
            request,
            token,
            bytes,
            left: request.blocks,
            outstanding: 0,
            then_flush,
            failed: None,
            attempts: Attempts::new(Range {
                block: request.block,
                blocks: request.blocks,
                offset: request.offset,
            }),
        });
        self.unplanned.push_back(index);
        Ok(())
    }

    /// The next command to submit, as long as the queue has room.
    pub fn plan(&mut self) -> Option<Command> {
        if self.in_flight >= self.depth {
            return None;
        }
        let index = *self.unplanned.front()?;
        let slot = self.slots.get_mut(usize::from(index))?;
        let cookie = slot.generation << INDEX_BITS | u64::from(index);
        let running = slot.running.as_mut()?;
        let (commands, geometry) = self.units.get(usize::from(running.request.unit))?;
        let command = running.next_command(cookie, commands, geometry)?;
        running.outstanding += 1;
        self.in_flight += 1;
        if running.left == 0 {
            self.unplanned.pop_front();
        }
        Some(command)
    }

    /// A command is done: at the device, or because it was refused. Gives the request when that was its last one.
    pub fn done(&mut self, cookie: u64, outcome: Result<u16, Refusal>) -> Option<Finished<T>> {
        let index = cookie & ((1 << INDEX_BITS) - 1);
        let slot = self.slots.get_mut(usize::try_from(index).ok()?)?;
        if slot.generation != cookie >> INDEX_BITS {
            return None;
        }
        let running = slot
            .running
            .as_mut()
            .filter(|running| running.outstanding > 0)?;
        running.outstanding -= 1;
        self.in_flight = self.in_flight.saturating_sub(1);
        let commands = self.units.get(usize::from(running.request.unit));
        let failure = match outcome {
            Ok(status) if commands.is_some_and(|(commands, _)| commands.is_success(status)) => None,
            Ok(status) => Some((Refusal::DeviceError, Some(status))),
            Err(refusal) => Some((refusal, None)),
        };
        if let Some(failure) = failure {
            running.failed.get_or_insert(failure);
            // The rest would be of no use to the client.
            if running.left > 0 {
                running.left = 0;
                self.unplanned.retain(|other| u64::from(*other) != index);
            }
        }
        if running.outstanding > 0 || running.left > 0 {
            return None;
        }
        if running.goes_on(commands) {
            self.unplanned.push_back(index as u16);
            return None;
        }
        let running = slot.running.take()?;
        self.free.push(index as u16);
        Some(Finished {
            token: running.token,
            session: running.request.session,
            result: running
                .failed
                .map_or(Ok(running.bytes), |(refusal, _)| Err(refusal)),
            refused: running
                .attempts
                .refused(running.request.operation, running.failed),
        })
    }
}

impl<T> Running<T> {
    /// With all commands done: whether there are to be more.
    fn goes_on<C: Commands>(&mut self, unit: Option<&(C, Geometry)>) -> bool {
        let Some((commands, geometry)) = unit else {
            return false;
        };
        if !self.attempts.is_looking() && self.failed.is_none() {
            if core::mem::take(&mut self.then_flush) {
                self.request.operation = Operation::Flush;
                return true;
            }
            return false;
        }
        let next = self.attempts.next(
            self.request.operation,
            &mut self.failed,
            geometry.block_shift,
            |status| commands.is_final(status),
        );
        let Some(range) = next else {
            return false;
        };
        self.left = range.blocks;
        self.request.block = range.block;
        self.request.offset = range.offset;
        true
    }

    /// Cuts the next command off the request.
    fn next_command<C: Commands>(
        &mut self,
        cookie: u64,
        commands: &C,
        geometry: &Geometry,
    ) -> Option<Command> {
        let opcode = match self.request.operation {
            Operation::Read => Opcode::Read,
            Operation::Write => Opcode::Write,
            Operation::WriteThrough => Opcode::WriteThrough,
            Operation::Zero => Opcode::Zero,
            Operation::Discard => Opcode::Discard,
            Operation::Flush => return Some(Command::bare(cookie, Opcode::Flush, commands.unit())),
        };
        let block = commands.block(self.request.block)?;
        if opcode.is_clear() {
            // `Geometry::check_clear` has shown that the request is one command of less than 2^32 bytes.
            let length = core::mem::take(&mut self.left) << geometry.block_shift;
            return Some(Command {
                block,
                length,
                ..Command::bare(cookie, opcode, commands.unit())
            });
        }
        let blocks = self.left.min(geometry.command_blocks);
        // `Geometry::check` has shown that the whole request fits 32 bits.
        let length = blocks << geometry.block_shift;
        let command = Command {
            block,
            ..Command::bare(cookie, opcode, commands.unit())
        }
        .with(self.request.binding, self.request.offset, length);
        self.left -= blocks;
        self.request.block += u64::from(blocks);
        self.request.offset += length;
        Some(command)
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
