//! Serving `BlockDevice` and `BlockSession` over one disk.
//!
//! The endpoint's facet with cookie 0 is the `BlockDevice`; sessions are facets minted for each `open`.

use alloc::string::String;

use arrayvec::ArrayVec;
use provider_core::Sessions;
use provider_core::block::{Commands, Engine, Finished, Geometry, Operation, Planned, Request};
use sdk::block::{block_device, block_session};
use sdk::stub::{self, Incoming as _};
use sdk::{
    Answered, Call, CapArg, Deferred, DeviceQueue, DmaBuffer, DmaPool, Endpoint, Error, Interface,
    LateReply, Object, Received, Refusal, Reply, Service, Timer,
};

use crate::notice::Notice;
use crate::pool::allocate;
use crate::queue::{self, BATCH, Item};
use crate::run::{Runner, Work};

/// Bytes of a slot of the ring. Every call to this service is plain, and so are the answers it waits for.
const SLOT_BYTES: u32 = 128;

/// The longest window of a session.
const MAX_WINDOW_BYTES: u32 = 8 << 20;

const PAGE_BYTES: u32 = ring_abi::PAGE_BYTES as u32;

/// The right to answer a request, by the method it was made with.
#[derive(Debug)]
struct Token {
    operation: Operation,
    reply: LateReply,
}

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

/// A disk that is up; `C` knows what its commands look like.
#[derive(Debug)]
pub struct Disk<C> {
    /// Where windows come from.
    pub pool: DmaPool,
    /// The queue that its commands go through.
    pub queue: DeviceQueue,
    /// How completions are noticed.
    pub notice: Notice,
    /// Commands that the queue holds.
    pub depth: u16,
    /// The disk's shape.
    pub geometry: Geometry,
    /// Its names.
    pub names: Names,
    /// Its commands.
    pub commands: C,
    /// Its queue takes one place for each run of contiguous pages, so windows lie in few of them where that can be had.
    pub likes_runs: bool,
}

/// Serves `disk` until the device or the endpoint is taken away. `complain` is told of each status with which the device
/// refused a command, at most one for every look at the queue.
///
/// # Errors
/// Always: what ended it.
pub fn serve<C: Commands>(
    endpoint: &Endpoint,
    timer: &Timer,
    disk: Disk<C>,
    complain: fn(u16),
) -> Result<(), Error> {
    let Disk {
        pool,
        queue,
        notice,
        depth,
        geometry,
        names,
        commands,
        likes_runs,
    } = disk;
    let mut provider = Provider {
        endpoint,
        pool,
        queue,
        geometry,
        names,
        likes_runs,
        engine: Engine::new(commands, geometry, depth),
        sessions: Sessions::default(),
        batch: ArrayVec::new(),
        completed: 0,
        complaint: None,
        complain,
    };
    Runner::new(endpoint, timer, SLOT_BYTES)?.run(&mut provider, &notice)
}

/// The disk and everybody who uses it.
struct Provider<'e, C: Commands> {
    endpoint: &'e Endpoint,
    pool: DmaPool,
    queue: DeviceQueue,
    geometry: Geometry,
    names: Names,
    likes_runs: bool,
    engine: Engine<C, Token>,
    sessions: Sessions<DmaBuffer>,
    /// Planned commands that the device's queue had no place for yet.
    batch: ArrayVec<Planned<C::Template>, BATCH>,
    /// Commands completed since the start.
    completed: u64,
    /// The first status the device refused a command with, not yet reported.
    complaint: Option<u16>,
    complain: fn(u16),
}

impl<C: Commands> Work for Provider<'_, C> {
    fn submit(&mut self) -> Result<(), Refusal> {
        loop {
            while !self.batch.is_full()
                && let Some(planned) = self.engine.plan()
            {
                self.batch.push(planned);
            }
            if self.batch.is_empty() {
                return Ok(());
            }
            let items = self.batch.iter().map(|planned| Item {
                cookie: planned.cookie,
                template: planned.template.as_ref(),
                data: planned.data,
            });
            let (accepted, refusal) = queue::submit(&self.queue, items)?;
            self.batch.drain(..accepted);
            match refusal {
                None if accepted > 0 => {}
                // The queue is shorter than it was said to be: completions will make room.
                Some(Refusal::QueueFull) if self.engine.in_flight() as usize > self.batch.len() => {
                    return Ok(());
                }
                refusal => {
                    if !self.batch.is_empty() {
                        let refused = self.batch.remove(0);
                        self.done(refused.cookie, Err(refusal.unwrap_or(Refusal::Failed)));
                    }
                }
            }
        }
    }

    fn complete(&mut self) -> Result<(), Refusal> {
        loop {
            let done = queue::take(&self.queue)?;
            for completion in &done {
                self.completed += 1;
                self.done(
                    completion.cookie,
                    completion.outcome.map(|(status, _)| status),
                );
            }
            if !done.is_full() {
                break;
            }
        }
        if let Some(status) = self.complaint.take() {
            (self.complain)(status);
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

impl<C: Commands> Provider<'_, C> {
    fn done(&mut self, cookie: u64, outcome: Result<u16, Refusal>) {
        if let Some(finished) = self.engine.done(cookie, outcome) {
            self.answer(finished);
        }
    }

    fn answer(&mut self, finished: Finished<Token>) {
        if finished.status.is_some() && self.complaint.is_none() {
            self.complaint = finished.status;
        }
        let Token { operation, reply } = finished.token;
        let bytes = finished.result;
        match operation {
            Operation::Read => Deferred::<_, block_session::call::Read>::new(reply)
                .answer(bytes.map(|bytes| block_session::ReadReply { bytes })),
            Operation::Write => Deferred::<_, block_session::call::Write>::new(reply)
                .answer(bytes.map(|bytes| block_session::WriteReply { bytes })),
            Operation::Flush => {
                Deferred::<_, block_session::call::Flush>::new(reply).answer(bytes.map(|_| ()));
            }
        }
        if let Some(buffer) = self.sessions.ended(finished.session) {
            free(&buffer);
        }
    }

    /// Checks a request and puts it into the engine.
    fn request(
        &mut self,
        session: u64,
        operation: Operation,
        (block, blocks, offset): (u64, u32, u32),
    ) -> Result<(Request, u32), Refusal> {
        let found = self.sessions.get(session)?;
        let geometry = &self.geometry;
        let bytes = geometry.check(operation, block, blocks, offset, found.window_bytes)?;
        let buffer = found.buffer.object().handle();
        Ok((
            Request {
                operation,
                session,
                buffer,
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
    ) -> Answered
    where
        M: stub::Method,
    {
        let session = reply.cookie();
        match self.request(session, operation, place) {
            Ok((request, bytes)) => self.accept(reply, request, bytes),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn accept<M>(&mut self, reply: Reply<Call<'_>, M>, request: Request, bytes: u32) -> Answered
    where
        M: stub::Method,
    {
        let (answered, later) = reply.defer();
        let token = Token {
            operation: request.operation,
            reply: later.into_inner(),
        };
        match self.engine.accept(request, bytes, token) {
            Ok(()) => self.sessions.began(request.session),
            Err(token) => Deferred::<_, M>::new(token.reply).refuse(Refusal::Busy),
        }
        answered
    }

    /// Opens a session: a buffer, its window for the client, and a facet.
    fn session(&mut self, window_bytes: u32) -> Result<block_device::OpenReply<CapArg>, Refusal> {
        if window_bytes == 0 {
            return Err(Refusal::ZeroLength);
        }
        if !self.sessions.has_room() {
            return Err(Refusal::OverBudget);
        }
        let bytes = window_bytes
            .min(MAX_WINDOW_BYTES)
            .next_multiple_of(PAGE_BYTES);
        let buffer = allocate(&self.pool, bytes, self.likes_runs)?;
        let window = match buffer.window(true) {
            Ok(results) => results.memory,
            Err(refusal) => {
                free(&buffer);
                return Err(refusal);
            }
        };
        let cookie = match self.sessions.open(buffer, bytes) {
            Ok(cookie) => cookie,
            Err(buffer) => {
                free(&buffer);
                return Err(Refusal::OverBudget);
            }
        };
        match self
            .endpoint
            .mint(cookie, block_session::INTERFACE_ID, false)
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

impl<C: Commands> Service for Provider<'_, C> {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        if call.cookie() == 0 {
            block_device::dispatch(self, received, call)
        } else {
            block_session::dispatch(self, received, call)
        }
    }

    fn dropped(&mut self, cookie: u64) {
        if let Some(buffer) = self.sessions.close(cookie) {
            free(&buffer);
        }
    }
}

impl<'c, C: Commands> block_device::Server<Call<'c>> for Provider<'_, C> {
    fn info(&mut self, reply: Reply<Call<'c>, block_device::call::Info>) -> Answered {
        let geometry = &self.geometry;
        reply.send(block_device::InfoReply {
            block_bytes: geometry.block_bytes(),
            blocks: geometry.blocks,
            read_only: geometry.read_only,
            max_transfer_bytes: MAX_WINDOW_BYTES,
        })
    }

    fn open(
        &mut self,
        reply: Reply<Call<'c>, block_device::call::Open>,
        window_bytes: u32,
    ) -> Answered {
        let opened = self.session(window_bytes);
        reply.answer(opened)
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

impl<'c, C: Commands> block_session::Server<Call<'c>> for Provider<'_, C> {
    fn read(
        &mut self,
        reply: Reply<Call<'c>, block_session::call::Read>,
        block: u64,
        blocks: u32,
        window_offset: u32,
    ) -> Answered {
        self.start(reply, Operation::Read, (block, blocks, window_offset))
    }

    fn write(
        &mut self,
        reply: Reply<Call<'c>, block_session::call::Write>,
        block: u64,
        blocks: u32,
        window_offset: u32,
    ) -> Answered {
        self.start(reply, Operation::Write, (block, blocks, window_offset))
    }

    fn flush(&mut self, reply: Reply<Call<'c>, block_session::call::Flush>) -> Answered {
        let session = reply.cookie();
        if let Err(refusal) = self.sessions.get(session) {
            return reply.refuse(refusal);
        }
        if !self.geometry.write_cache {
            return reply.send(());
        }
        let request = Request {
            operation: Operation::Flush,
            session,
            buffer: 0,
            block: 0,
            blocks: 0,
            offset: 0,
        };
        self.accept(reply, request, 0)
    }
}
