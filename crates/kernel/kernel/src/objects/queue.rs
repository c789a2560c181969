//! `DeviceQueue`: the one way to make a device do DMA.

use arrayvec::ArrayVec;
use cap::Epoch;
use device_manager::{CommandRequest, QueueCompletion};
use dma_ledger::{BufferId, Claim, Direction, QueueId, SegmentRequest};
use ipc::{KernelCall, Process};
use sabotage::sabotage;
use schema::device::device_queue;
use stub::{Answered, Refusal};

use super::audit::{answer, note_refusal};
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
}

impl Queue {
    pub fn new(claim: Claim, queue: QueueId) -> Self {
        Self {
            epoch: Epoch::default(),
            claim,
            queue,
        }
    }
}

/// Bytes of a batch of commands that is long: fewer are some ten commands.
const LONG_BATCH: usize = 2048;

kernel_object!(Queue, device_queue, long from LONG_BATCH);

impl Drop for Queue {
    fn drop(&mut self) {
        // Stale after a reset or the claim's end: nothing is left to close then.
        manager().queue_close(&self.claim, self.queue);
    }
}

/// Finds the buffer behind a caller's handle: of this very claim, and live.
fn segment(
    process: &Process,
    claim: &Claim,
    s: device_queue::SegmentReader<'_>,
) -> Result<SegmentRequest, Refusal> {
    let found = process
        .lookup(s.buffer())
        .and_then(|found| found.downcast::<Buffer>())
        .map(|buffer| buffer.identity());
    let (owner, id) = match found {
        Ok(found) => found,
        Err(refusal) => {
            sabotage!(GUESS_BUFFERS => if let Some(id) = manager().guess_buffer(claim) {
                return request(s, id);
            });
            return Err(refusal);
        }
    };
    if owner != *claim && !sabotage!(ACCEPT_FOREIGN_BUFFER) {
        return Err(Refusal::ForeignBuffer);
    }
    request(s, id)
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
}
