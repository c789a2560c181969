//! Queues whose entries their holder writes, with addresses of the function's domain in them.
//!
//! Invariant: no address leaves but one of a domain, and only after the domain was found to confine the function. Nothing here
//! allocates or formats once the queue is open.

use dma_ledger::{BufferId, Claim, Phase, QueueId};
use driver_core::{Counts, DirectRing, DirectSpec, Operation, PageAddresses, QueueSpec};
use ring_abi::Refusal;

use crate::effects::Answer;
use crate::job::Asked;
use crate::turn::Turn;
use crate::{DeviceManager, FrameRun, Platform, Reach};

/// The longest buffer of a ring, room for 4096 commands of NVMe: every page of it is looked up in the unit's tables in one go.
const MAX_RING_BYTES: u64 = 256 * 1024;

/// Bytes of a page.
const PAGE: u64 = dma_ledger::PAGE_BYTES;

/// The two rings of such a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rings {
    /// Where its holder writes commands.
    pub submissions: BufferId,
    /// Where the device writes completions.
    pub completions: BufferId,
}

impl<P: Platform> DeviceManager<P> {
    /// Opens a queue whose entries its holder writes, over two buffers of the same claim, each of which begins with its ring.
    /// They stay pinned until the device was reset. Answers with the queue.
    ///
    /// Refused with those of [`Self::queue_open`], and for the buffers with those of [`Self::buffer_info`]; `NotSupported` where
    /// the function has no domain that was verified, where it is not asked for, and where the broker lets nobody write
    /// commands of such a queue; `WrongState` for a buffer that is being freed; `BadArgument` for one buffer twice;
    /// `OutOfRange` for rings that are too short, or in a buffer of over 256 KiB.
    pub fn queue_open_direct(
        &self,
        claim: &Claim,
        spec: QueueSpec,
        rings: Rings,
        waiter: P::Opening,
    ) {
        self.start(claim, waiter, Asked::Open, Answer::Open, |turn| {
            turn.may_open(claim, spec)?;
            let direct = turn.rings_of(claim, spec, rings)?;
            let record = &mut turn.function.record;
            let pinned = [rings.submissions, rings.completions];
            let queue = record.create_direct_queue(claim, pinned)?;
            if let Err(refusal) = turn.begin(Operation::OpenDirect(direct)) {
                turn.function.record.withdraw_direct_queue(claim, queue);
                return Err(refusal);
            }
            turn.function.held()?.queues.put(queue, spec.place());
            Ok(queue)
        });
    }

    /// Tells the device how far the holder of such a queue is.
    ///
    /// # Errors
    /// Those of the claim; `WrongOwner`, `Stale` or `BadHandle` for the queue; `WrongState` unless it is open and the device runs;
    /// `NotSupported` for a queue of another kind; `OutOfRange` for an index beyond its rings.
    pub fn queue_doorbell(
        &self,
        claim: &Claim,
        queue: QueueId,
        counts: Counts,
    ) -> Result<(), Refusal> {
        let mut turn = self.turn(claim)?;
        turn.function.record.admit_ring(claim, queue)?;
        let place = turn.function.held()?.queues.place(queue)?;
        turn.with_broker(|broker, io| broker.doorbell(io, place, counts))?
    }

    /// Where the device sees the first byte of a buffer: the rest follows it. To the holder of an open queue of that kind alone.
    ///
    /// # Errors
    /// As [`Self::queue_doorbell`]; `ForeignBuffer`, `Stale` or `BadHandle` for the buffer; `WrongState` once it is being freed.
    pub fn buffer_address(
        &self,
        claim: &Claim,
        queue: QueueId,
        buffer: BufferId,
    ) -> Result<u64, Refusal> {
        let mut turn = self.turn(claim)?;
        let function = &mut *turn.function;
        function.record.admit_ring(claim, queue)?;
        let direct = function.record.queue_info(claim, queue)?.direct;
        // Its rings were found in a domain; the addresses of all its function's buffers are of that one.
        if !direct || !function.held()?.reach.is_translated() {
            return Err(Refusal::NotSupported);
        }
        function.record.buffer_info(claim, buffer)?;
        let frames = function.record.frames(buffer)?;
        let first = frames.pages().get(0).copied();
        Ok(first.ok_or(Refusal::OutOfRange)?.bus())
    }
}

impl<P: Platform> Turn<'_, P> {
    /// Where the device will see the rings, once it is certain that it sees nothing else.
    fn rings_of(
        &mut self,
        claim: &Claim,
        spec: QueueSpec,
        rings: Rings,
    ) -> Result<DirectSpec, Refusal> {
        for ring in [rings.submissions, rings.completions] {
            let record = &self.function.record;
            if record.buffer_info(claim, ring)?.bytes > MAX_RING_BYTES {
                return Err(Refusal::OutOfRange);
            }
            record.frames(ring)?;
        }
        self.function.held()?;
        // What was refused up to here states nothing, and takes no share.
        let saying = self.may_say();
        let function = &*self.function;
        let record = &function.record;
        let submissions = record.frames(rings.submissions)?;
        let completions = record.frames(rings.completions)?;
        let held = function.held.as_ref().ok_or(Refusal::WrongState)?;
        let (bdf, generation) = (self.at.bdf(), record.generation());
        let reach = &held.reach;
        reach.confines((bdf, generation), [submissions, completions], saying)?;
        Ok(DirectSpec {
            queue: spec,
            submissions: ring_of(submissions.pages())?,
            completions: ring_of(completions.pages())?,
        })
    }

    /// Whether a queue may be opened now, as far as the broker is not needed for the answer.
    pub(crate) fn may_open(&mut self, claim: &Claim, spec: QueueSpec) -> Result<(), Refusal> {
        if self.function.record.check(claim)? != Phase::Running {
            return Err(Refusal::WrongState);
        }
        let messages = self.at.hardware.messages().max(1);
        if spec.vector.is_some_and(|vector| vector >= messages) {
            return Err(Refusal::OutOfRange);
        }
        let place = spec.place();
        let limit = self.with_broker(|broker, _| broker.queue_limit(place))?;
        if spec.depth == 0 || limit.is_none_or(|limit| spec.depth > limit) {
            return Err(Refusal::OutOfRange);
        }
        if self.function.held()?.queues.is_taken(place) {
            return Err(Refusal::WrongState);
        }
        Ok(())
    }
}

/// A buffer as one piece.
///
/// # Errors
/// `Misaligned` where the device does not see it as one.
fn ring_of(pages: &PageAddresses) -> Result<DirectRing, Refusal> {
    let address = pages.get(0).copied().ok_or(Refusal::ZeroLength)?;
    let follows = |(at, page): (usize, &driver_core::DeviceAddress)| {
        *page == address.offset(at as u64 * PAGE)
    };
    if !pages.iter().enumerate().all(follows) {
        return Err(Refusal::Misaligned);
    }
    Ok(DirectRing {
        address,
        bytes: pages.len() as u64 * PAGE,
    })
}
