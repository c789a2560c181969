//! Serving `BlockDevice` and `BlockSession` over one disk.
//!
//! The endpoint's facet with cookie 0 is the `BlockDevice` of the first unit that can be read, and every other export is the
//! same without the right to write; each other unit is one on request, and sessions are facets minted for each `open`.

mod claims;
mod token;

use alloc::string::String;
use alloc::vec::Vec;

use device_ring::Binding;
use provider_core::Sessions;
use provider_core::block::{Commands, Engine, Finished, Geometry, Operation, Refused, Request};
use sdk::block::{block_device, block_session};
use sdk::stub::{self, Incoming as _};
use sdk::{
    Answered, Call, CapArg, DmaBuffer, DmaPool, Endpoint, Error, Late, Lifetime, Received, Refusal,
    Reply, Service, Timer,
};

use crate::notice::Notice;
use crate::pool::allocate;
use crate::ring::{BATCH, DiskQueue, QueueRing};
use crate::run::{Runner, Work};
use claims::{Claims, READ, UNIT, is_device, is_reader};
use token::Token;

/// Bytes of a slot of the ring. Every call to this service is plain, and so are the answers it waits for.
const SLOT_BYTES: u32 = 128;

/// The longest window of a session.
const MAX_WINDOW_BYTES: u32 = 8 << 20;

const PAGE_BYTES: u32 = ring_abi::PAGE_BYTES as u32;

/// What a person calls the disk.
#[derive(Debug)]
pub struct Names {
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Firmware revision.
    pub firmware: String,
    /// PCI address as `Device.info` gives it.
    pub address: u32,
}

/// Units of one answer.
const LISTED_UNITS: usize = 16;

/// One of the things behind the device that could be a disk: a namespace, or the device itself.
#[derive(Debug)]
pub struct Unit<C> {
    /// What the device calls it; 0 where it is the device itself.
    pub number: u32,
    /// Blocks, as far as the device says.
    pub blocks: u64,
    /// Bytes of a block, as far as the device says.
    pub block_bytes: u32,
    /// Its commands and shape, or in one sentence what it is and why it cannot be read.
    pub shape: Result<(C, Geometry), String>,
}

/// A disk that is up; `C` knows what its commands look like.
#[derive(Debug)]
pub struct Disk<C, Q = QueueRing> {
    /// Where windows come from.
    pub pool: DmaPool,
    /// The queue that its commands go through.
    pub queue: Q,
    /// How completions are noticed.
    pub notice: Notice,
    /// Commands that the queue holds.
    pub depth: u16,
    /// Its units, at least one.
    pub units: Vec<Unit<C>>,
    /// Its names.
    pub names: Names,
    /// How its windows lie, where that can be had: a queue may take one place for each run of contiguous pages.
    pub layout: sdk::Layout,
}

impl<C, Q> Disk<C, Q> {
    /// Has nothing be written, whatever the device allows.
    pub fn protect(&mut self) {
        for (_, geometry) in self.units.iter_mut().flat_map(|unit| &mut unit.shape) {
            geometry.read_only = true;
        }
    }
}

/// Serves `disk` until the device or the endpoint is taken away. `report` gets what the device refused, at
/// most one for every look at the queue.
///
/// # Errors
/// Always: what ended it.
pub fn serve<C: Commands, Q: DiskQueue>(
    endpoint: &Endpoint,
    timer: &Timer,
    disk: Disk<C, Q>,
    report: fn(Refused),
) -> Result<(), Error> {
    let Disk {
        pool,
        queue,
        notice,
        depth,
        units,
        names,
        layout,
    } = disk;
    let mut shapes = Vec::new();
    let units = units
        .into_iter()
        .map(|unit| {
            let (place, problem) = match unit.shape {
                Ok(shape) => {
                    shapes.push(shape);
                    (u16::try_from(shapes.len() - 1).ok(), String::new())
                }
                Err(problem) => (None, problem),
            };
            Known {
                number: unit.number,
                blocks: unit.blocks,
                block_bytes: unit.block_bytes,
                place,
                problem,
            }
        })
        .collect();
    let mut provider = Provider {
        endpoint,
        pool,
        queue,
        units,
        names,
        layout,
        engine: Engine::new(shapes, depth),
        sessions: Sessions::default(),
        claims: Claims::default(),
        completed: 0,
        refused: None,
        report,
    };
    Runner::new(endpoint, timer, SLOT_BYTES)?.run(&mut provider, &notice)
}

/// A unit, and its place in the engine's list where it can be read.
struct Known {
    number: u32,
    blocks: u64,
    block_bytes: u32,
    place: Option<u16>,
    problem: String,
}

/// What a session has of its own.
struct Own {
    buffer: DmaBuffer,
    binding: Binding,
    unit: u16,
    /// It came of a facet through which nothing is written.
    is_reader: bool,
}

/// The disk and everybody who uses it.
struct Provider<'e, C: Commands, Q> {
    endpoint: &'e Endpoint,
    pool: DmaPool,
    queue: Q,
    units: Vec<Known>,
    names: Names,
    layout: sdk::Layout,
    engine: Engine<C, Token>,
    sessions: Sessions<Own>,
    claims: Claims,
    /// Commands completed since the start.
    completed: u64,
    /// The first thing that the device refused, not yet reported.
    refused: Option<Refused>,
    report: fn(Refused),
}

impl<C: Commands, Q: DiskQueue> Work for Provider<'_, C, Q> {
    fn submit(&mut self) -> Result<(), Refusal> {
        loop {
            let room = self.queue.look_for_room()?;
            let mut pushed = 0;
            while pushed < room
                && let Some(command) = self.engine.plan()
            {
                self.queue.push(&command)?;
                pushed += 1;
            }
            if pushed == 0 {
                return Ok(());
            }
            // What comes back with it may be the room for more.
            self.kick()?;
        }
    }

    fn complete(&mut self) -> Result<(), Refusal> {
        while self.kick()? == BATCH {}
        if let Some(refused) = self.refused.take() {
            (self.report)(refused);
        }
        Ok(())
    }

    fn room(&self) -> usize {
        self.engine.room()
    }

    fn owed(&self) -> usize {
        self.engine.in_flight().into()
    }

    fn completed(&self) -> u64 {
        self.completed
    }
}

impl<C: Commands, Q: DiskQueue> Provider<'_, C, Q> {
    /// Gives the device what is in the ring, and answers what it has completed: so many commands.
    fn kick(&mut self) -> Result<u16, Refusal> {
        let given = self.queue.kick(BATCH, BATCH)?.given;
        while let Some(done) = self.queue.take()? {
            self.completed += 1;
            self.done(done.cookie, done.outcome.map(|(status, _)| status));
        }
        Ok(given)
    }

    fn done(&mut self, cookie: u64, outcome: Result<u16, Refusal>) {
        if let Some(finished) = self.engine.done(cookie, outcome) {
            self.answer(finished);
        }
    }

    fn answer(&mut self, finished: Finished<Token>) {
        self.refused = self.refused.or(finished.refused);
        finished.token.answer(finished.result);
        if let Some(own) = self.sessions.ended(finished.session) {
            self.let_go(&own);
        }
    }

    /// Gives back what a session had: nothing of it is in flight.
    fn let_go(&mut self, own: &Own) {
        self.queue.unbind(own.binding);
        free(&own.buffer);
        self.claim_again();
    }

    /// Checks a request and puts it into the engine.
    fn request(
        &mut self,
        session: u64,
        operation: Operation,
        (block, blocks, offset): (u64, u32, u32),
    ) -> Result<(Request, u32), Refusal> {
        let found = self.sessions.get(session)?;
        let unit = found.buffer.unit;
        if operation.is_change() && found.buffer.is_reader {
            return Err(Refusal::ReadOnly);
        }
        let geometry = self.engine.geometry(unit).ok_or(Refusal::Stale)?;
        let bytes = match operation {
            Operation::Zero | Operation::Discard => {
                geometry.check_clear(operation, block, blocks)?;
                0
            }
            _ => geometry.check(operation, block, blocks, offset, found.window_bytes)?,
        };
        let may = match operation {
            Operation::Write | Operation::WriteThrough => found.may_write(block, blocks.into()),
            Operation::Zero | Operation::Discard => found.may_clear(block, blocks.into()),
            Operation::Read | Operation::Flush => true,
        };
        if !may {
            return Err(Refusal::NotGranted);
        }
        let binding = found.buffer.binding;
        Ok((
            Request {
                operation,
                session,
                unit,
                binding,
                block,
                blocks,
                offset,
            },
            bytes,
        ))
    }

    fn start<M>(
        &mut self,
        reply: Reply<Call<'_>, M>,
        operation: Operation,
        place: (u64, u32, u32),
        token: fn(Late<M>) -> Token,
    ) -> Answered
    where
        M: stub::Method,
    {
        let session = reply.cookie();
        match self.request(session, operation, place) {
            Ok((request, bytes)) => self.accept(reply, request, bytes, token),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn accept<M>(
        &mut self,
        reply: Reply<Call<'_>, M>,
        request: Request,
        bytes: u32,
        token: fn(Late<M>) -> Token,
    ) -> Answered
    where
        M: stub::Method,
    {
        let (answered, later) = reply.defer();
        match self.engine.accept(request, bytes, token(later)) {
            Ok(()) => self.sessions.began(request.session),
            Err(token) => token.answer(Err(Refusal::Busy)),
        }
        answered
    }

    /// The unit that a `BlockDevice` facet is about: the first that can be read, or the one it was made for.
    fn place(&self, cookie: u64) -> Result<u16, Refusal> {
        let mut units = self.units.iter();
        let place = if cookie & UNIT == 0 {
            units.find_map(|unit| unit.place)
        } else {
            let named = units.find(|unit| u64::from(unit.number) == cookie & !(UNIT | READ));
            named.ok_or(Refusal::NoDevice)?.place
        };
        place.ok_or(Refusal::NotSupported)
    }

    /// Opens a session: a buffer, its window for the client, and a facet.
    fn session(
        &mut self,
        (unit, is_reader): (u16, bool),
        window_bytes: u32,
    ) -> Result<block_device::OpenReply<CapArg>, Refusal> {
        if window_bytes == 0 {
            return Err(Refusal::ZeroLength);
        }
        if !self.sessions.has_room() {
            return Err(Refusal::OverBudget);
        }
        let bytes = window_bytes
            .min(MAX_WINDOW_BYTES)
            .next_multiple_of(PAGE_BYTES);
        let buffer = allocate(&self.pool, bytes, self.layout)?;
        let window = match buffer.window(sdk::WindowAccess::ReadWrite) {
            Ok(results) => results.memory,
            Err(refusal) => {
                free(&buffer);
                return Err(refusal);
            }
        };
        let binding = match self.queue.bind(&buffer, bytes) {
            Ok(binding) => binding,
            Err(refusal) => {
                free(&buffer);
                return Err(refusal);
            }
        };
        let own = Own {
            buffer,
            binding,
            unit,
            is_reader,
        };
        let cookie = match self.sessions.open(own, bytes) {
            Ok(cookie) => cookie,
            Err(own) => {
                self.queue.unbind(own.binding);
                free(&own.buffer);
                return Err(Refusal::OverBudget);
            }
        };
        match self
            .endpoint
            .mint(cookie, block_session::INTERFACE_ID, Lifetime::Incarnation)
        {
            Ok(results) => Ok(block_device::OpenReply {
                session: results.facet.into_cap(),
                window: window.into_cap(),
                window_bytes: bytes,
            }),
            Err(refusal) => {
                self.dropped(cookie);
                Err(refusal)
            }
        }
    }
}

/// Gives a buffer back. Where that is refused the kernel has taken it already.
fn free(buffer: &DmaBuffer) {
    let _ = buffer.free();
}

impl<C: Commands, Q: DiskQueue> Service for Provider<'_, C, Q> {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        let cookie = call.cookie();
        if is_device(cookie) {
            block_device::dispatch(self, received, call)
        } else {
            block_session::dispatch(self, received, call)
        }
    }

    fn dropped(&mut self, cookie: u64) {
        if let Some(own) = self.sessions.close(cookie) {
            self.let_go(&own);
        }
    }
}

impl<'c, C: Commands, Q: DiskQueue> block_device::Server<Call<'c>> for Provider<'_, C, Q> {
    fn info(&mut self, reply: Reply<Call<'c>, block_device::call::Info>) -> Answered {
        let place = self.place(reply.cookie());
        let info = place.and_then(|place| {
            let geometry = self.engine.geometry(place).ok_or(Refusal::NotSupported)?;
            let [max_zero_bytes, max_discard_bytes] = geometry.clear_bytes();
            Ok(block_device::InfoReply {
                block_bytes: geometry.block_bytes(),
                blocks: geometry.blocks,
                read_only: geometry.read_only,
                max_transfer_bytes: MAX_WINDOW_BYTES,
                max_zero_bytes,
                max_discard_bytes,
            })
        });
        reply.answer(info)
    }

    fn open(
        &mut self,
        reply: Reply<Call<'c>, block_device::call::Open>,
        window_bytes: u32,
    ) -> Answered {
        let cookie = reply.cookie();
        let place = self.place(cookie);
        let opened = place.and_then(|place| self.session((place, is_reader(cookie)), window_bytes));
        reply.answer(opened)
    }

    fn units(
        &mut self,
        reply: Reply<Call<'c>, block_device::call::Units>,
        cursor: u32,
    ) -> Answered {
        let main = self.place(0).ok();
        let from = usize::try_from(cursor).unwrap_or(usize::MAX);
        let rest = self.units.get(from..).unwrap_or_default();
        let listed = rest.get(..LISTED_UNITS).unwrap_or(rest);
        reply.send_with(block_device::fill_units(|results| {
            results.next(cursor.saturating_add(listed.len() as u32));
            results.end(listed.len() == rest.len());
            results.units(listed.len(), |list| {
                listed.iter().try_for_each(|unit| {
                    list.push(&block_device::Unit {
                        number: unit.number,
                        block_bytes: unit.block_bytes,
                        blocks: unit.blocks,
                        problem: &unit.problem,
                        main: unit.place.is_some() && unit.place == main,
                    })
                })
            })
        }))
    }

    fn unit(&mut self, reply: Reply<Call<'c>, block_device::call::Unit>, number: u32) -> Answered {
        let device = self.unit_facet(reply.cookie(), number);
        reply.answer(device.map(|device| block_device::UnitReply { device }))
    }

    fn read_only(&mut self, reply: Reply<Call<'c>, block_device::call::ReadOnly>) -> Answered {
        let device = self.reader_facet(reply.cookie());
        reply.answer(device.map(|device| block_device::ReadOnlyReply { device }))
    }

    fn model(&mut self, reply: Reply<Call<'c>, block_device::call::Model>) -> Answered {
        let names = &self.names;
        reply.send(block_device::ModelReply {
            model: &names.model,
            serial: &names.serial,
            firmware: &names.firmware,
            address: names.address,
        })
    }
}

impl<'c, C: Commands, Q: DiskQueue> block_session::Server<Call<'c>> for Provider<'_, C, Q> {
    fn read(
        &mut self,
        reply: Reply<Call<'c>, block_session::call::Read>,
        block: u64,
        blocks: u32,
        window_offset: u32,
    ) -> Answered {
        let place = (block, blocks, window_offset);
        self.start(reply, Operation::Read, place, Token::Read)
    }

    fn write(
        &mut self,
        reply: Reply<Call<'c>, block_session::call::Write>,
        block: u64,
        blocks: u32,
        window_offset: u32,
    ) -> Answered {
        let place = (block, blocks, window_offset);
        self.start(reply, Operation::Write, place, Token::Write)
    }

    fn write_durable(
        &mut self,
        reply: Reply<Call<'c>, block_session::call::WriteDurable>,
        block: u64,
        blocks: u32,
        window_offset: u32,
    ) -> Answered {
        let place = (block, blocks, window_offset);
        self.start(reply, Operation::WriteThrough, place, Token::WriteDurable)
    }

    fn zero(
        &mut self,
        reply: Reply<Call<'c>, block_session::call::Zero>,
        block: u64,
        blocks: u32,
    ) -> Answered {
        self.start(reply, Operation::Zero, (block, blocks, 0), Token::Zero)
    }

    fn discard(
        &mut self,
        reply: Reply<Call<'c>, block_session::call::Discard>,
        block: u64,
        blocks: u32,
    ) -> Answered {
        self.start(
            reply,
            Operation::Discard,
            (block, blocks, 0),
            Token::Discard,
        )
    }

    fn claim(
        &mut self,
        reply: Reply<Call<'c>, block_session::call::Claim>,
        block: u64,
        blocks: u64,
    ) -> Answered {
        self.answer_claim(reply, block, blocks)
    }

    fn flush(&mut self, reply: Reply<Call<'c>, block_session::call::Flush>) -> Answered {
        let session = reply.cookie();
        let (unit, binding) = match self.sessions.get(session) {
            Ok(found) => (found.buffer.unit, found.buffer.binding),
            Err(refusal) => return reply.refuse(refusal),
        };
        if self
            .engine
            .geometry(unit)
            .is_some_and(|geometry| !geometry.needs_flush())
        {
            return reply.send(());
        }
        let request = Request {
            operation: Operation::Flush,
            session,
            unit,
            binding,
            block: 0,
            blocks: 0,
            offset: 0,
        };
        self.accept(reply, request, 0, Token::Flush)
    }
}
