//! Device authority: nobody has a page that a device, a process or a TLB can still reach, and receipts come from what happened.
//!
//! Beside the record stands a machine of frames, which knows nothing of the record's inside: what the device may touch, what is
//! mapped, what a TLB remembers, what is wiped.

mod acts;
mod end;

use std::collections::BTreeSet;

#[allow(
    clippy::wildcard_imports,
    reason = "the whole interface is what is tried"
)]
use dma_ledger::*;

use crate::explore::{Outcome, Subject, say};

/// A frame: each buffer has one page.
type Frame = u64;

struct Shot;
impl ShootdownProof for Shot {}
struct Forgotten;
impl TranslationProof for Forgotten {}

/// How far the pages are that are out of the record.
#[derive(Debug)]
enum Out {
    Quiet(Pages<Quiesced, Frame>),
    Withdrawn(Pages<Withdrawn, Frame>),
    Wiped(Pages<Scrubbed, Frame>),
}

#[derive(Debug)]
enum Token {
    Begun(Teardown<Begun>),
    HandlesRevoked(Teardown<HandlesRevoked>),
    SubmissionsStopped(Teardown<SubmissionsStopped>),
    MappingsRemoved(Teardown<MappingsRemoved>),
    InterruptsMasked(Teardown<InterruptsMasked>),
    QueuesQuiesced(Teardown<QueuesQuiesced>),
    DeviceReset(Teardown<DeviceReset>),
    BusMasterCleared(Teardown<BusMasterCleared>),
    TranslationsRemoved(Teardown<TranslationsRemoved>),
    ScrubDone(Teardown<ScrubDone>),
}

/// Memory, and what reaches it.
#[derive(Debug, Default)]
struct Machine {
    next: Frame,
    /// Frames that buffers have.
    held: BTreeSet<Frame>,
    /// Frames that the device may touch, by the command's slot.
    device: BTreeSet<(u16, Frame)>,
    mapped: Vec<Frame>,
    /// What was unmapped since the last shootdown.
    remembered: BTreeSet<Frame>,
    dirty: BTreeSet<Frame>,
    /// The device was told to stop, and has not been seen to.
    is_stopping: bool,
}

impl Machine {
    fn reaches(&self, frame: Frame) -> bool {
        self.device.iter().any(|(_, touched)| *touched == frame)
            || self.mapped.contains(&frame)
            || self.remembered.contains(&frame)
    }

    fn shoot_down(&mut self) -> Shot {
        self.remembered.clear();
        Shot
    }

    fn unmap(&mut self, frame: Frame) {
        let at = self.mapped.iter().position(|mapped| *mapped == frame);
        assert!(at.is_some(), "unmapped what is not mapped");
        at.map(|at| self.mapped.swap_remove(at));
        self.remembered.insert(frame);
    }
}

/// One function, its holder and its device.
pub struct Device {
    record: FunctionRecord<Frame>,
    machine: Machine,
    claim: Option<Claim>,
    /// The claim before.
    old: Option<Claim>,
    receipts: Vec<ResetReceipt>,
    queue_receipt: Option<QueueReceipt>,
    pool: Option<PoolId>,
    buffers: Vec<BufferId>,
    queue: Option<QueueId>,
    admitted: Option<(Admitted, Frame)>,
    mapping: Option<(MappingId, Frame)>,
    out: Vec<Out>,
    token: Option<Token>,
    /// Bytes charged by the buffers that are there.
    charged: u64,
    most: Often,
    owners: u64,
    /// How often each was done of which there is no end.
    admits: u32,
    maps: u32,
    requeues: u32,
    pools: u32,
}

/// How often what has no end is done: so there are finitely many states.
#[derive(Clone, Copy, Debug)]
pub struct Often {
    /// Claims.
    pub owners: u64,
    /// Resets, those of a queue and of a teardown included.
    pub resets: u64,
    /// Buffers.
    pub buffers: u64,
    /// Commands.
    pub admits: u32,
    /// Mappings.
    pub maps: u32,
    /// Resets of a queue.
    pub requeues: u32,
    /// Pools.
    pub pools: u32,
}

/// What the holder, the kernel and the device do.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum Op {
    Claim,
    /// Everything with the claim before: all of it is refused.
    Old,
    BeginReset,
    /// The device is looked at, and has stopped if it was told to.
    Prove,
    FinishReset,
    Configured,
    BusMaster,
    Enabled,
    CreatePool,
    ClosePool,
    Buffer,
    Map(usize),
    Unmap,
    CreateQueue,
    StopQueue,
    CloseQueue,
    Admit(usize),
    Issue,
    Withdraw,
    /// The device says that it is done with a slot, truly or not.
    Complete(u16),
    NextRevoked,
    BeginQueueReset,
    ProveQueue,
    FinishQueueReset,
    Reopen,
    BeginFree(usize),
    TakeForScrub(usize),
    /// The pages that are out go on.
    GoOn,
    BeginTeardown,
    Step,
    Quarantine,
}

const LIMITS: Limits = Limits {
    pool_bytes: 3 * PAGE_BYTES,
    broker_bytes: PAGE_BYTES,
    pools: 1,
    buffers: 2,
    mappings: 1,
    queues: 1,
    contiguous_pages: 1,
};

impl Device {
    /// A function that nobody has claimed, whose earlier claims used the generations up to `last`.
    ///
    /// # Panics
    /// If an empty ledger refuses a function.
    #[must_use]
    pub fn unclaimed(last: u64, most: Often) -> Self {
        let mut ledger: Ledger<Option<FunctionRecord<Frame>>> = Ledger::new();
        let shape = FunctionShape {
            address: 8,
            bar_bytes: [0; 6],
            sources: 0,
        };
        let id = ledger.register_after(shape, LIMITS, last);
        let record = id.ok().and_then(|id| ledger.get_mut(id)?.take());
        let Some(record) = record else {
            panic!("an empty ledger takes a function")
        };
        Self {
            record,
            machine: Machine::default(),
            claim: None,
            old: None,
            receipts: Vec::new(),
            queue_receipt: None,
            pool: None,
            buffers: Vec::new(),
            queue: None,
            admitted: None,
            mapping: None,
            out: Vec::new(),
            token: None,
            charged: 0,
            most,
            owners: 0,
            admits: 0,
            maps: 0,
            requeues: 0,
            pools: 0,
        }
    }

    /// A function after some operations that are all done.
    ///
    /// # Panics
    /// If one is refused.
    #[must_use]
    pub fn after(ops: &[Op], most: Often) -> Self {
        let mut device = Self::unclaimed(0, most);
        for op in ops {
            assert_eq!(device.apply(*op), Outcome::Done, "{op:?}");
            device.check();
        }
        device
    }

    fn is_current(&self) -> bool {
        matches!(self.record.state(), FunctionState::Claimed(_))
    }

    pub(super) fn frame_of(&self, at: usize) -> Option<Frame> {
        self.record.frames(*self.buffers.get(at)?).ok().copied()
    }

    /// Frames leave the record.
    pub(super) fn release(&mut self, frame: Frame) {
        assert!(
            !self.machine.reaches(frame),
            "frame {frame} is freed, and somebody reaches it"
        );
        assert!(
            !self.machine.dirty.contains(&frame),
            "frame {frame} is freed unwiped"
        );
        assert!(
            self.machine.held.remove(&frame),
            "frame {frame} is freed twice"
        );
        self.charged -= PAGE_BYTES;
    }

    fn wipe(machine: &mut Machine, pages: Pages<Withdrawn, Frame>) -> Pages<Scrubbed, Frame> {
        assert!(
            !machine.reaches(*pages.frames()),
            "wiped while somebody can write"
        );
        pages.scrub(|frame| {
            machine.dirty.remove(frame);
        })
    }

    fn claim(&mut self) -> Outcome {
        let free = self.record.state() == FunctionState::Unclaimed;
        let claim = self.record.claim(OwnerId(self.owners + 1));
        assert_eq!(claim.is_ok(), free, "one holder at a time");
        let Ok(claim) = claim else {
            return Outcome::Refused;
        };
        let before = self.claim.map_or(0, |old| old.generation());
        assert!(claim.generation() > before, "a generation comes back");
        self.owners += 1;
        self.old = self.claim.replace(claim);
        (self.pool, self.queue, self.admitted, self.mapping) = (None, None, None, None);
        self.buffers.clear();
        Outcome::Done
    }

    fn try_old(&mut self) -> Outcome {
        let nobody = Claim::allege(self.record.id(), OwnerId(99), self.record.generation());
        let old = self.old.unwrap_or(nobody);
        let record = &mut self.record;
        // Receipts of before are worth nothing.
        let newest = self.receipts.len().saturating_sub(1);
        for receipt in &self.receipts[..newest] {
            assert!(record.finish_reset(receipt).is_err() && record.release_some(receipt).is_err());
        }
        assert!(record.check(&old).is_err() && record.begin_reset(&old).is_err());
        assert!(
            record
                .create_pool(&old, PAGE_BYTES, OomPolicy::Refuse)
                .is_err()
        );
        assert!(record.begin_teardown(&old).is_err() && record.configured(&old).is_err());
        if let Some(queue) = self.queue {
            assert!(
                record.admit(&old, queue, 0, &[]).is_err()
                    && record.complete(&old, queue, 0).is_err()
            );
        }
        Outcome::Done
    }

    fn prove(&mut self) -> Outcome {
        // A device that was told to stop has.
        let has_stopped = std::mem::take(&mut self.machine.is_stopping);
        if has_stopped {
            self.machine.device.clear();
        }
        let proven = self.record.prove_reset(ResetProof::CstsRdyZero);
        let outcome = Outcome::from(&proven);
        assert_eq!(
            proven.is_ok(),
            has_stopped,
            "a receipt comes from a stop, and from each"
        );
        self.receipts.extend(proven);
        outcome
    }

    fn reset(&mut self, claim: &Claim, op: Op) -> Result<(), Refusal> {
        match op {
            Op::BeginReset => {
                self.record.begin_reset(claim)?;
                self.machine.is_stopping = true;
            }
            Op::FinishReset => {
                let Some(receipt) = self.receipts.last() else {
                    return Err(Refusal::NotFound);
                };
                self.record.finish_reset(receipt)?;
                assert!(
                    self.machine.device.is_empty(),
                    "a reset is over, and the device goes on"
                );
            }
            Op::Configured => self.record.configured(claim)?,
            Op::BusMaster => {
                let Some(receipt) = self.receipts.pop() else {
                    return Err(Refusal::NotFound);
                };
                if let Err((refusal, receipt)) = self.record.set_bus_master(claim, receipt) {
                    self.receipts.push(receipt);
                    return Err(refusal);
                }
            }
            _ => self.record.enabled(claim)?,
        }
        Ok(())
    }
}

impl Subject for Device {
    type Op = Op;

    fn ops(&self) -> Vec<Op> {
        let mut ops = vec![Op::Old, Op::Prove, Op::GoOn, Op::Step, Op::Quarantine];
        if self.owners < self.most.owners {
            ops.push(Op::Claim);
        }
        if self.record.resets() < self.most.resets {
            ops.push(Op::BeginReset);
        }
        if self.requeues < self.most.requeues {
            ops.push(Op::BeginQueueReset);
        }
        if self.pools < self.most.pools {
            ops.push(Op::CreatePool);
        }
        ops.extend([Op::FinishReset, Op::Configured, Op::BusMaster, Op::Enabled]);
        ops.extend([
            Op::ClosePool,
            Op::Unmap,
            Op::BeginTeardown,
            Op::StopQueue,
            Op::CloseQueue,
        ]);
        ops.extend([Op::Issue, Op::Withdraw, Op::NextRevoked]);
        ops.extend([Op::ProveQueue, Op::FinishQueueReset, Op::Reopen]);
        ops.extend((0..3).map(Op::Complete));
        if self.queue.is_none() {
            ops.push(Op::CreateQueue);
        }
        if self.machine.next < self.most.buffers {
            ops.push(Op::Buffer);
        }
        for at in 0..self.buffers.len() {
            ops.extend([Op::BeginFree(at), Op::TakeForScrub(at)]);
            let is_mapped = !self.machine.mapped.is_empty();
            if !is_mapped && self.maps < self.most.maps {
                ops.push(Op::Map(at));
            }
            if self.admitted.is_none() && self.admits < self.most.admits {
                ops.push(Op::Admit(at));
            }
        }
        ops
    }

    fn apply(&mut self, op: Op) -> Outcome {
        match op {
            Op::Claim => return self.claim(),
            Op::Old => return self.try_old(),
            Op::Prove => return self.prove(),
            Op::GoOn => return self.go_on(),
            Op::Step => return self.step(),
            Op::Quarantine => return self.quarantine(),
            Op::Withdraw => {
                let Some((admitted, _)) = self.admitted.take() else {
                    return Outcome::Refused;
                };
                self.record.withdraw(admitted);
                return Outcome::Done;
            }
            _ => {}
        }
        let Some(claim) = self.claim else {
            return Outcome::Refused;
        };
        let was_current = self.is_current();
        let done = match op {
            Op::BeginReset | Op::FinishReset | Op::Configured | Op::BusMaster | Op::Enabled => {
                self.reset(&claim, op)
            }
            Op::BeginTeardown => self.begin_teardown(&claim),
            Op::CreatePool
            | Op::ClosePool
            | Op::Buffer
            | Op::Map(_)
            | Op::Unmap
            | Op::BeginFree(_)
            | Op::TakeForScrub(_) => self.memory(&claim, op),
            _ => self.queue(&claim, op),
        };
        // A claim whose end has begun does nothing, but for pages that were being freed.
        assert!(
            done.is_err()
                || was_current
                || matches!(op, Op::TakeForScrub(_) | Op::Issue | Op::FinishQueueReset)
        );
        Outcome::from(&done)
    }

    fn check(&self) {
        assert_eq!(self.record.audit(), Ok(()));
        let counted = self.record.accounting();
        assert_eq!(
            counted.pool_bytes, self.charged,
            "what is charged is what is there"
        );
        let quarantined = self.record.state() == FunctionState::Quarantined;
        assert!(quarantined || u64::from(counted.buffers) * PAGE_BYTES == self.charged);
        assert_eq!(counted.mappings as usize, self.machine.mapped.len());
        for (_, frame) in &self.machine.device {
            assert!(
                self.machine.held.contains(frame),
                "the device reaches a freed frame"
            );
        }
        for frame in self.machine.mapped.iter().chain(&self.machine.remembered) {
            assert!(
                self.machine.held.contains(frame),
                "a process reaches a freed frame"
            );
        }
        let is_over = matches!(
            self.record.state(),
            FunctionState::Unclaimed
                | FunctionState::Claimed(Phase::Unproven | Phase::Stopped | Phase::Configured)
                | FunctionState::Revoking(TeardownStep::ScrubDone)
        );
        assert!(
            !is_over || self.machine.device.is_empty(),
            "the device works where it cannot"
        );
    }

    fn key(&self, to: &mut String) {
        say(to, &self.record);
        say(to, &self.machine);
        say(
            to,
            &(self.claim, self.old, self.pool, &self.buffers, self.queue),
        );
        say(
            to,
            &(
                &self.receipts,
                &self.queue_receipt,
                &self.admitted,
                self.mapping,
            ),
        );
        say(
            to,
            &(
                &self.out,
                &self.token,
                self.charged,
                self.owners,
                self.admits,
                self.maps,
            ),
        );
    }
}
