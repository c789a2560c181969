//! Serving `BlockDevice` and `BlockSession` over one disk.

use arrayvec::ArrayVec;
use nvme_format::Status;
use nvme_provider::{Engine, Finished, Operation, Planned, Request, Sessions};
use sdk::block::{block_device, block_session};
use sdk::device::device_queue::{self, Direction, Segment};
use sdk::device::dma_buffer;
use sdk::process::endpoint;
use sdk::stub::{self, Answered, CapArg, Deferred, Incoming, Interface, Object, Reply};
use sdk::{Call, Cap, LateReply, Received, Refusal, Service};

use crate::disk::Disk;

/// The most commands of one `DeviceQueue.submit`: what fits a message area of 8 KiB beside everything else.
const BATCH: usize = 16;

/// The most completions of one `DeviceQueue.complete`.
const COMPLETIONS: usize = 64;

/// The longest window of a session.
const MAX_WINDOW_BYTES: u32 = 8 << 20;

const PAGE_BYTES: u32 = ring_abi::PAGE_BYTES as u32;

/// The right to answer a request, by the method it was made with.
#[derive(Debug)]
struct Token {
    operation: Operation,
    reply: LateReply,
}

/// The disk and everybody who uses it.
pub struct Provider<'e> {
    endpoint: &'e endpoint::Client<Cap>,
    disk: Disk,
    engine: Engine<Token>,
    sessions: Sessions<dma_buffer::Client<Cap>>,
    /// Planned commands that the device's queue had no place for yet.
    batch: ArrayVec<Planned, BATCH>,
    /// Commands completed since the start.
    completed: u64,
    /// The first status the device refused a command with, not yet reported.
    pub complaint: Option<Status>,
}

impl<'e> Provider<'e> {
    /// Serves `disk`; sessions are facets of `endpoint`.
    pub fn new(endpoint: &'e endpoint::Client<Cap>, disk: Disk) -> Self {
        let engine = Engine::new(disk.geometry, disk.depth);
        Self {
            endpoint,
            engine,
            disk,
            sessions: Sessions::default(),
            batch: ArrayVec::new(),
            completed: 0,
            complaint: None,
        }
    }

    /// How many more requests can be taken.
    pub fn room(&self) -> usize {
        self.engine.room()
    }

    /// Commands at the device.
    pub fn in_flight(&self) -> u16 {
        self.engine.in_flight()
    }

    /// Commands completed since the start.
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// Submits what can be submitted, many commands in one call.
    ///
    /// # Errors
    /// `Revoked` and the like: the device is no longer this process's.
    pub fn submit(&mut self) -> Result<(), Refusal> {
        loop {
            while !self.batch.is_full()
                && let Some(planned) = self.engine.plan()
            {
                self.batch.push(planned);
            }
            if self.batch.is_empty() {
                return Ok(());
            }
            let submitted = submit(&self.disk.queue, &self.batch)?;
            let accepted = usize::from(submitted.accepted).min(self.batch.len());
            self.batch.drain(..accepted);
            match Refusal::from_code(submitted.refusal) {
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

    /// Takes what the device has completed and answers the requests that are over. True when there may be more.
    ///
    /// # Errors
    /// `Corrupt` when the device contradicts itself, `Revoked` and the like.
    pub fn complete(&mut self) -> Result<bool, Refusal> {
        let done = self.disk.queue.complete(COMPLETIONS as u16, |results| {
            let list = results.completions()?;
            list.iter()
                .take(COMPLETIONS)
                .map(|completion| completion.value())
                .collect::<Result<ArrayVec<_, COMPLETIONS>, Refusal>>()
        })??;
        for completion in &done {
            self.completed += 1;
            let outcome = match Refusal::from_code(completion.refusal) {
                Some(refusal) => Err(refusal),
                None => Ok(Status::from_field(completion.status)),
            };
            self.done(completion.cookie, outcome);
        }
        Ok(done.is_full())
    }

    fn done(&mut self, cookie: u64, outcome: Result<Status, Refusal>) {
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
        let geometry = &self.disk.geometry;
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
        let buffer = self.disk.pool.allocate(u64::from(bytes), false)?.buffer;
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

/// One batch as one call.
fn submit(
    queue: &device_queue::Client<Cap>,
    batch: &[Planned],
) -> Result<device_queue::SubmitResults, Refusal> {
    let segments: ArrayVec<Option<Segment>, BATCH> = batch
        .iter()
        .map(|planned| {
            planned.data.map(|data| Segment {
                buffer: data.buffer,
                offset: data.offset,
                length: data.length,
                direction: if data.to_device {
                    Direction::ToDevice
                } else {
                    Direction::FromDevice
                },
            })
        })
        .collect();
    let commands: ArrayVec<device_queue::Command<'_>, BATCH> = batch
        .iter()
        .zip(&segments)
        .map(|(planned, segment)| device_queue::Command {
            cookie: planned.cookie,
            template: &planned.template,
            segments: segment.as_slice(),
        })
        .collect();
    queue.submit(&commands)
}

/// Gives a buffer back. Where that is refused the kernel has taken it already.
fn free(buffer: &dma_buffer::Client<Cap>) {
    let _ = buffer.free();
}

impl Service for Provider<'_> {
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

impl<'c> block_device::Server<Call<'c>> for Provider<'_> {
    fn info(&mut self, reply: Reply<Call<'c>, block_device::call::Info>) -> Answered {
        let geometry = &self.disk.geometry;
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
        let names = &self.disk.names;
        reply.send(block_device::ModelReply {
            model: &names.model,
            serial: &names.serial,
            firmware: &names.firmware,
            address: names.address,
        })
    }
}

impl<'c> block_session::Server<Call<'c>> for Provider<'_> {
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
        if !self.disk.geometry.write_cache {
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

/// Stands in where there is no disk: every call is refused for the same reason.
pub struct Absent(pub Refusal);

impl Service for Absent {
    fn call(&mut self, _: Received<'_>, call: Call<'_>) -> Answered {
        stub::refuse(call, self.0)
    }
}
