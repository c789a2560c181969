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
mod tests {
    use super::super::retry::MAX_RETRIES;
    use super::*;

    /// A disk that there is not, whose blocks begin at 1000. Status 0 is success.
    #[derive(Clone, Copy, Debug)]
    struct Plain;

    impl Commands for Plain {
        fn unit(&self) -> u16 {
            3
        }

        fn block(&self, block: u64) -> Option<u64> {
            block.checked_add(1000)
        }

        fn is_success(&self, status: u16) -> bool {
            status == 0
        }

        fn is_final(&self, status: u16) -> bool {
            status & FINAL != 0
        }
    }

    /// The device says that it would fail again.
    const FINAL: u16 = 1 << 14;

    const BINDING: Binding = Binding {
        slot: 9,
        generation: 99,
    };

    const DISK: Geometry = Geometry {
        blocks: 100_000,
        block_shift: 9,
        command_blocks: 256,
        read_only: false,
        write_cache: true,
        zero_blocks: 65_536,
        discard_blocks: 1 << 21,
    };

    fn request(operation: Operation, block: u64, blocks: u32, offset: u32) -> Request {
        Request {
            operation,
            session: 7,
            unit: 0,
            binding: BINDING,
            block,
            blocks,
            offset,
        }
    }

    fn accept(engine: &mut Engine<Plain, u32>, request: Request, token: u32) {
        engine.accept(request, request.blocks * 512, token).unwrap();
    }

    #[test]
    fn long_requests_are_cut_and_answered_once() {
        let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 64);
        accept(&mut engine, request(Operation::Read, 10, 600, 4096), 1);
        let planned: Vec<Command> = core::iter::from_fn(|| engine.plan()).collect();
        let cut: Vec<_> = planned
            .iter()
            .map(|p| {
                assert_eq!((p.binding(), p.unit), (BINDING, 3));
                (p.block - 1000, p.offset, p.length)
            })
            .collect();
        let (k, half) = (131_072, 45_056);
        assert_eq!(
            cut,
            [(10, 4096, k), (266, 4096 + k, k), (522, 4096 + 2 * k, half)]
        );
        assert_eq!(engine.in_flight(), 3);
        assert!(engine.done(planned[2].cookie, Ok(0)).is_none());
        assert!(engine.done(planned[0].cookie, Ok(0)).is_none());
        let finished = engine.done(planned[1].cookie, Ok(0)).unwrap();
        assert_eq!(
            (finished.token, finished.session, finished.result),
            (1, 7, Ok(307_200))
        );
        assert!(engine.done(planned[1].cookie, Ok(0)).is_none(), "not twice");
        assert_eq!(engine.in_flight(), 0);
    }

    #[test]
    fn each_unit_has_a_shape_of_its_own() {
        let large = Geometry {
            block_shift: 12,
            command_blocks: 2,
            ..DISK
        };
        let mut engine = Engine::new(Vec::from([(Plain, DISK), (Plain, large)]), 64);
        for unit in [0, 1] {
            let request = Request {
                unit,
                ..request(Operation::Read, 0, 4, 0)
            };
            engine.accept(request, 0, 1).unwrap();
        }
        let lengths: Vec<u32> = core::iter::from_fn(|| engine.plan())
            .map(|planned| planned.length)
            .collect();
        assert_eq!(lengths, [2048, 8192, 8192]);
        assert_eq!(engine.geometry(1).map(|g| g.block_shift), Some(12));
        assert!(engine.geometry(2).is_none());
    }

    #[test]
    fn the_depth_holds_and_the_rest_waits() {
        let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 2);
        accept(&mut engine, request(Operation::Read, 0, 1024, 0), 1);
        accept(&mut engine, request(Operation::Write, 5, 1, 0), 2);
        let (a, b) = (engine.plan().unwrap(), engine.plan().unwrap());
        assert!(engine.plan().is_none());
        assert!(engine.done(a.cookie, Ok(0)).is_none());
        let c = engine.plan().unwrap();
        assert!(engine.done(b.cookie, Ok(0)).is_none());
        let d = engine.plan().unwrap();
        assert!(engine.done(c.cookie, Ok(0)).is_none());
        let write = engine.plan().unwrap();
        assert_eq!(write.opcode, Opcode::Write as u8);
        assert_eq!(engine.done(d.cookie, Ok(0)).unwrap().token, 1);
        assert_eq!(engine.done(write.cookie, Ok(0)).unwrap().result, Ok(512));
    }

    #[test]
    fn a_failure_ends_the_request_but_not_before_its_commands() {
        let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 2);
        accept(&mut engine, request(Operation::Read, 0, 2048, 0), 1);
        accept(&mut engine, request(Operation::Flush, 0, 0, 0), 2);
        let (a, b) = (engine.plan().unwrap(), engine.plan().unwrap());
        let media = 0x281 | FINAL;
        assert!(
            engine.done(a.cookie, Ok(media)).is_none(),
            "b still writes the window"
        );
        let flush = engine.plan().unwrap();
        assert!(flush.is_bare() && flush.opcode == Opcode::Flush as u8);
        assert!(engine.done(b.cookie, Ok(0)).is_none());
        // It looks for the block, and the device goes away.
        let half = engine.plan().unwrap();
        let finished = engine.done(half.cookie, Err(Refusal::Revoked)).unwrap();
        assert_eq!(finished.result, Err(Refusal::DeviceError));
        let refused = finished.refused.unwrap();
        assert_eq!((refused.status, refused.blocks), (media, 2048));
        assert_eq!(engine.done(flush.cookie, Ok(0)).unwrap().result, Ok(0));
    }

    /// Whether the device listens to its bit for durable writes is not asked.
    #[test]
    fn a_durable_write_is_flushed_behind() {
        let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 2);
        accept(&mut engine, request(Operation::WriteThrough, 0, 512, 0), 1);
        let (a, b) = (engine.plan().unwrap(), engine.plan().unwrap());
        assert!(
            [a, b]
                .iter()
                .all(|one| one.opcode == Opcode::WriteThrough as u8)
        );
        assert!(engine.plan().is_none());
        assert!(engine.done(a.cookie, Ok(0)).is_none());
        assert!(engine.plan().is_none(), "the other half is not written yet");
        assert!(engine.done(b.cookie, Ok(0)).is_none());
        let flush = engine.plan().unwrap();
        assert!(flush.is_bare() && flush.opcode == Opcode::Flush as u8);
        let finished = engine.done(flush.cookie, Ok(0)).unwrap();
        assert_eq!((finished.token, finished.result), (1, Ok(512 * 512)));
        // What failed is not flushed, and a failed flush fails the write.
        accept(&mut engine, request(Operation::WriteThrough, 0, 1, 0), 2);
        let write = engine.plan().unwrap();
        let failed = engine.done(write.cookie, Ok(1 | FINAL)).unwrap();
        assert_eq!(failed.result, Err(Refusal::DeviceError));
        accept(&mut engine, request(Operation::WriteThrough, 0, 1, 0), 3);
        let write = engine.plan().unwrap();
        assert!(engine.done(write.cookie, Ok(0)).is_none());
        let flush = engine.plan().unwrap();
        let failed = engine.done(flush.cookie, Ok(1)).unwrap();
        assert_eq!(failed.result, Err(Refusal::DeviceError));
        assert_eq!((engine.in_flight(), engine.room()), (0, MAX_REQUESTS));
        // Without a cache there is nothing to flush.
        let plain = Geometry {
            write_cache: false,
            ..DISK
        };
        let mut engine = Engine::new(Vec::from([(Plain, plain)]), 2);
        accept(&mut engine, request(Operation::WriteThrough, 0, 1, 0), 4);
        let write = engine.plan().unwrap();
        assert_eq!(engine.done(write.cookie, Ok(0)).unwrap().token, 4);
    }

    #[test]
    fn what_has_no_data_is_one_command_of_blocks() {
        let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 2);
        for (operation, opcode) in [
            (Operation::Zero, Opcode::Zero),
            (Operation::Discard, Opcode::Discard),
        ] {
            engine
                .accept(request(operation, 10, 4096, 0), 0, 1)
                .unwrap();
            let command = engine.plan().unwrap();
            assert_eq!((command.opcode, command.unit), (opcode as u8, 3));
            assert_eq!((command.block, command.length), (1010, 4096 << 9));
            assert!(command.is_unbound());
            assert_eq!(engine.done(command.cookie, Ok(0)).unwrap().result, Ok(0));
        }
    }

    #[test]
    fn there_is_room_for_so_many_and_old_cookies_mean_nothing() {
        let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 1);
        for token in 0..MAX_REQUESTS as u32 {
            accept(&mut engine, request(Operation::Read, 0, 1, 0), token);
        }
        assert_eq!(engine.room(), 0);
        assert_eq!(
            engine.accept(request(Operation::Read, 0, 1, 0), 512, 9),
            Err(9)
        );
        let first = engine.plan().unwrap().cookie;
        assert_eq!(engine.done(first, Ok(0)).unwrap().token, 0);
        accept(&mut engine, request(Operation::Read, 0, 1, 0), 1000);
        for cookie in [first, u64::MAX, 0, 1 << 40] {
            assert!(engine.done(cookie, Ok(0)).is_none());
        }
        for token in 1..MAX_REQUESTS as u32 {
            let planned = engine.plan().unwrap();
            assert_eq!(
                engine.done(planned.cookie, Ok(0)).unwrap().token,
                token,
                "oldest first"
            );
        }
    }

    /// A device that cannot read `bad`, and says so with `status`. Counts its commands until the request is over.
    fn served(
        engine: &mut Engine<Plain, u32>,
        bad: u64,
        status: u16,
    ) -> (Finished<u32>, Vec<(u64, u32)>) {
        let mut asked = Vec::new();
        loop {
            let command = engine.plan().unwrap();
            let (first, blocks) = (command.block - 1000, command.length / 512);
            asked.push((first, blocks));
            assert_eq!(u64::from(command.offset) / 512, first - 100);
            let is_bad = (first..first + u64::from(blocks)).contains(&bad);
            let status = if is_bad { status } else { 0 };
            if let Some(finished) = engine.done(command.cookie, Ok(status)) {
                return (finished, asked);
            }
        }
    }

    #[test]
    fn the_bad_block_of_a_read_is_found_and_named() {
        for bad in 100..137 {
            let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 1);
            accept(&mut engine, request(Operation::Read, 100, 37, 0), 1);
            let (finished, asked) = served(&mut engine, bad, FINAL | 1);
            assert_eq!(finished.result, Err(Refusal::DeviceError));
            let refused = Refused {
                status: FINAL | 1,
                block: bad,
                blocks: 1,
            };
            assert_eq!(finished.refused, Some(refused), "{asked:?}");
            assert!(asked.len() <= 1 + 7, "{asked:?}");
            // No block is named that was not refused alone.
            assert_eq!(asked.last(), Some(&(bad, 1)));
            assert_eq!((engine.in_flight(), engine.room()), (0, MAX_REQUESTS));
        }
    }

    /// A disk that refuses the whole and then each part of it reads: the whole is asked for once more, and what that says counts.
    #[test]
    fn a_read_whose_every_part_reads_is_asked_for_once_more() {
        for (status, result, blocks) in [
            (0, Ok(37 * 512), None),
            (FINAL | 2, Err(Refusal::DeviceError), Some(37)),
            (1, Err(Refusal::DeviceError), Some(37)),
        ] {
            let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 1);
            accept(&mut engine, request(Operation::Read, 100, 37, 0), 1);
            let command = engine.plan().unwrap();
            assert!(engine.done(command.cookie, Ok(FINAL | 1)).is_none());
            let mut asked = Vec::new();
            let finished = loop {
                let command = engine.plan().unwrap();
                asked.push((command.block - 1000, command.length / 512));
                let last = command.length == 37 * 512;
                let status = if last { status } else { 0 };
                if let Some(finished) = engine.done(command.cookie, Ok(status)) {
                    break finished;
                }
            };
            assert_eq!(asked[asked.len() - 2..], [(136, 1), (100, 37)], "{asked:?}");
            assert_eq!(finished.result, result);
            let refused = finished.refused;
            assert_eq!(refused.map(|refused| refused.blocks), blocks);
            assert_eq!((engine.in_flight(), engine.room()), (0, MAX_REQUESTS));
        }
    }

    #[test]
    fn what_may_succeed_is_asked_for_three_times_more() {
        let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 1);
        for operation in [Operation::Read, Operation::Write, Operation::Zero] {
            accept(&mut engine, request(operation, 100, 1, 0), 1);
            for _ in 0..MAX_RETRIES {
                let command = engine.plan().unwrap();
                assert!(engine.done(command.cookie, Ok(1)).is_none());
            }
            let command = engine.plan().unwrap();
            let finished = engine.done(command.cookie, Ok(1)).unwrap();
            assert_eq!(finished.result, Err(Refusal::DeviceError));
            assert_eq!(finished.refused.map(|refused| refused.blocks), Some(1));
            // What the second attempt reads counts.
            accept(&mut engine, request(operation, 100, 1, 0), 2);
            let command = engine.plan().unwrap();
            assert!(engine.done(command.cookie, Ok(1)).is_none());
            let command = engine.plan().unwrap();
            let finished = engine.done(command.cookie, Ok(0)).unwrap();
            assert_eq!((finished.result, finished.refused), (Ok(512), None));
        }
    }

    #[test]
    fn a_flush_that_failed_is_not_asked_for_again() {
        let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 1);
        accept(&mut engine, request(Operation::Flush, 0, 0, 0), 1);
        let flush = engine.plan().unwrap();
        let finished = engine.done(flush.cookie, Ok(1)).unwrap();
        assert_eq!(finished.result, Err(Refusal::DeviceError));
        assert_eq!(finished.refused.map(|refused| refused.blocks), Some(0));
    }
}
