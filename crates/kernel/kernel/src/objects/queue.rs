//! `DeviceQueue`: the one way to make a device do DMA.

use alloc::boxed::Box;
use alloc::sync::Arc;

use ::memory::SharedPage;
use arrayvec::ArrayVec;
use cap::Epoch;
use cpu::Lock;
use device_manager::{Access, CommandRequest, Counts, Kick, Kicked, QueueCompletion, Ring};
use dma_ledger::{Binding, BufferId, Claim, Direction, QueueId, RingId, SegmentRequest};
use ipc::{About, KernelCall, Process, Slot, Tie};
use sabotage::sabotage;
use schema::device::device_queue;
use stub::{Answered, Refusal};

use super::audit::{answer, note_refusal};
use super::device::about;
use super::memory::Shared;
use super::served::{Owed, Served, kernel_object};
use super::waiters::Acting;
use super::window::Buffer;
use crate::devices::manager;

/// Completions per call, at most.
const COMPLETIONS: usize = 64;

/// One open queue.
pub struct Queue {
    epoch: Epoch,
    claim: Claim,
    queue: QueueId,
    tie: Arc<Tie>,
    ring: HeldRing,
}

impl Queue {
    pub fn new(claim: Claim, queue: QueueId, tie: Arc<Tie>) -> Self {
        Self {
            epoch: Epoch::default(),
            claim,
            queue,
            tie,
            ring: HeldRing::default(),
        }
    }
}

type OwnRing = Box<Ring<SharedPage>>;

/// The ring of a queue, if it was opened. A kick takes it out for as long as it runs, so that it holds no lock of this.
#[derive(Default)]
struct HeldRing(Lock<(Option<RingId>, Option<OwnRing>)>);

impl HeldRing {
    /// # Errors
    /// `WrongState` where it was not opened.
    fn id(&self) -> Result<RingId, Refusal> {
        self.0.lock().0.ok_or(Refusal::WrongState)
    }

    /// Takes it out to be worked with.
    ///
    /// # Errors
    /// `WrongState` where it was not opened, `Busy` where somebody else works with it.
    fn take(&self) -> Result<OwnRing, Refusal> {
        let mut held = self.0.lock();
        let known = held.0.is_some();
        held.1.take().ok_or(if known {
            Refusal::Busy
        } else {
            Refusal::WrongState
        })
    }

    /// Puts one in that was opened just now. Gives the one of before, whose turn is over.
    fn put(&self, ring: OwnRing) -> Option<OwnRing> {
        let mut held = self.0.lock();
        held.0 = Some(ring.id());
        held.1.replace(ring)
    }

    /// Puts one back. Gives it where another one was opened meanwhile.
    fn put_back(&self, ring: OwnRing) -> Option<OwnRing> {
        let mut held = self.0.lock();
        if held.0 == Some(ring.id()) {
            held.1.replace(ring)
        } else {
            Some(ring)
        }
    }

    /// Forgets one that was taken out and has ended.
    fn forget(&self, ring: RingId) {
        let mut held = self.0.lock();
        if held.0 == Some(ring) {
            held.0 = None;
        }
    }
}

impl Queue {
    /// Opens the ring, and gives its page.
    fn open_ring(&self, process: &Process) -> Result<Slot, Refusal> {
        let page = SharedPage::new()?;
        let memory = Shared::window(process, page.object().clone(), Access::ReadWrite)?;
        let opened =
            frames::refusable(|| manager().ring_open(&self.claim, self.queue, page.clone()))?;
        let id = opened.id();
        match frames::boxed(opened) {
            Ok(ring) => {
                drop(self.ring.put(ring));
                Ok(memory)
            }
            Err(refusal) => {
                manager().ring_close(&self.claim, self.queue, id);
                Err(refusal)
            }
        }
    }

    fn kick(&self, most: Kick) -> Result<Kicked, Refusal> {
        let mut ring = self.ring.take()?;
        let kicked = manager().ring_kick(&self.claim, self.queue, &mut ring, most);
        if kicked == Err(Refusal::Stale) {
            self.ring.forget(ring.id());
        } else {
            drop(self.ring.put_back(ring));
        }
        kicked
    }
}

/// Bytes of a batch of commands that is long: fewer are some ten commands.
const LONG_BATCH: usize = 2048;

kernel_object!(Queue, device_queue, claimed, long from LONG_BATCH);

impl Queue {
    fn about(&self) -> About {
        about(&self.claim)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.end();
    }
}

impl Queue {
    fn end(&self) {
        // Stale after a reset or the claim's end: nothing is left to close then.
        manager().queue_close(&self.claim, self.queue);
    }
}

/// Finds the buffer behind a caller's handle: of this very claim, and live.
pub fn buffer(process: &Process, claim: &Claim, handle: u64) -> Result<BufferId, Refusal> {
    let found = process
        .lookup(handle)
        .and_then(|found| found.downcast::<Buffer>())
        .map(|buffer| buffer.identity());
    let (owner, id) = match found {
        Ok(found) => found,
        Err(refusal) => {
            sabotage!(GUESS_BUFFERS => if let Some(id) = manager().guess_buffer(claim) {
                return Ok(id);
            });
            return Err(refusal);
        }
    };
    if owner != *claim && !sabotage!(ACCEPT_FOREIGN_BUFFER) {
        return Err(Refusal::ForeignBuffer);
    }
    Ok(id)
}

fn segment(
    process: &Process,
    claim: &Claim,
    s: device_queue::SegmentReader<'_>,
) -> Result<SegmentRequest, Refusal> {
    request(s, buffer(process, claim, s.buffer())?)
}

fn request(s: device_queue::SegmentReader<'_>, id: BufferId) -> Result<SegmentRequest, Refusal> {
    let direction = match s.direction()? {
        device_queue::Direction::ToDevice => Direction::ToDevice,
        device_queue::Direction::FromDevice => Direction::FromDevice,
    };
    Ok(SegmentRequest {
        buffer: id,
        offset: s.offset(),
        length: s.length(),
        direction,
    })
}

impl<'a> device_queue::Server<KernelCall<'a>> for Served<Queue> {
    fn info(&mut self, reply: Owed<'a, device_queue::call::Info>) -> Answered {
        let result = manager().queue_info(&self.0.claim, self.0.queue);
        answer(
            reply,
            &self.0.claim,
            result.map(|info| device_queue::InfoReply {
                depth: info.depth,
                in_flight: info.in_flight,
                generation: self.0.queue.generation(),
            }),
        )
    }

    fn submit(
        &mut self,
        reply: Owed<'a, device_queue::call::Submit>,
        commands: stub::read::List<'_, device_queue::CommandReader<'_>>,
    ) -> Answered {
        let process = reply.call().process();
        let claim = self.0.claim;
        let requests = commands.iter().map(|command| {
            let segments = command.segments()?;
            Ok(CommandRequest {
                cookie: command.cookie(),
                template: command.template()?,
                segments: segments.iter().map(move |s| segment(process, &claim, s)),
            })
        });
        let submitted = manager().queue_submit(&claim, self.0.queue, requests);
        if let Some(refusal) = submitted.refusal {
            note_refusal::<device_queue::call::Submit>(process.id, &claim, refusal);
        }
        reply.send(device_queue::SubmitReply {
            accepted: submitted.accepted,
            refusal: submitted.refusal,
        })
    }

    #[expect(clippy::disallowed_methods, reason = "stack: into an array")]
    fn complete(&mut self, reply: Owed<'a, device_queue::call::Complete>, max: u16) -> Answered {
        let mut out = ArrayVec::<QueueCompletion, COMPLETIONS>::new();
        let result = manager().queue_complete(&self.0.claim, self.0.queue, &mut out, max);
        if let (Err(refusal), true) = (result, out.is_empty()) {
            return answer(reply, &self.0.claim, Err(refusal));
        }
        let list: ArrayVec<_, COMPLETIONS> = out
            .iter()
            .map(|c| device_queue::Completion {
                cookie: c.cookie,
                status: c.status,
                result: c.result,
                refusal: c.refusal,
            })
            .collect();
        reply.send(device_queue::CompleteReply { completions: &list })
    }

    fn reset(&mut self, reply: Owed<'a, device_queue::call::Reset>) -> Answered {
        let (answered, later) = reply.defer();
        let waiter = Acting::ResetQueue(later);
        manager().queue_reset(&self.0.claim, self.0.queue, waiter);
        answered
    }

    fn ring(&mut self, reply: Owed<'a, device_queue::call::Ring>) -> Answered {
        let process = reply.call().process().clone();
        let memory = self.0.open_ring(&process);
        answer(
            reply,
            &self.0.claim,
            memory.map(|memory| device_queue::RingReply { memory }),
        )
    }

    fn bind(&mut self, reply: Owed<'a, device_queue::call::Bind>, handle: u64) -> Answered {
        let (claim, process) = (&self.0.claim, reply.call().process());
        let bound = self.0.ring.id().and_then(|ring| {
            let buffer = buffer(process, claim, handle)?;
            manager().ring_bind(claim, self.0.queue, ring, buffer)
        });
        answer(
            reply,
            claim,
            bound.map(|bound| device_queue::BindReply {
                slot: bound.slot,
                generation: bound.generation,
            }),
        )
    }

    fn unbind(
        &mut self,
        reply: Owed<'a, device_queue::call::Unbind>,
        slot: u8,
        generation: u32,
    ) -> Answered {
        let ended = self.0.ring.id().and_then(|ring| {
            let binding = Binding { slot, generation };
            manager().ring_unbind(&self.0.claim, self.0.queue, ring, binding)
        });
        answer(reply, &self.0.claim, ended)
    }

    fn kick(
        &mut self,
        reply: Owed<'a, device_queue::call::Kick>,
        submit: u16,
        complete: u16,
    ) -> Answered {
        let kicked = self.0.kick(Kick { submit, complete });
        if let Ok(Kicked {
            first: Some(refusal),
            ..
        }) = kicked
        {
            let caller = reply.call().process().id;
            note_refusal::<device_queue::call::Kick>(caller, &self.0.claim, refusal);
        }
        answer(
            reply,
            &self.0.claim,
            kicked.map(|kicked| device_queue::KickReply {
                accepted: kicked.accepted,
                refused: kicked.refused,
                completed: kicked.completed,
                stopped: kicked.stopped,
            }),
        )
    }

    fn doorbell(
        &mut self,
        reply: Owed<'a, device_queue::call::Doorbell>,
        tail: u16,
        head: u16,
    ) -> Answered {
        let told = manager().queue_doorbell(&self.0.claim, self.0.queue, Counts { tail, head });
        answer(reply, &self.0.claim, told)
    }

    fn address(&mut self, reply: Owed<'a, device_queue::call::Address>, handle: u64) -> Answered {
        let (claim, process) = (&self.0.claim, reply.call().process());
        let found = buffer(process, claim, handle)
            .and_then(|buffer| manager().buffer_address(claim, self.0.queue, buffer));
        let found = found.map(|address| device_queue::AddressReply { address });
        answer(reply, claim, found)
    }
}
