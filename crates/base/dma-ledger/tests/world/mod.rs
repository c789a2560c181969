//! The machine around the ledger, as a model.

mod memory;
mod queues;
mod teardown;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::common::*;
use dma_ledger::*;

pub const STEPS: usize = 2500;
const FUNCTIONS: u32 = 3;
const OWNERS: u64 = 3;

/// What the run has done, to show that it was not idle.
#[derive(Debug, Default)]
pub struct Seen {
    pub completed: u32,
    pub revoked: u32,
    pub freed: u32,
    pub torn_down: u32,
    pub quarantined: u32,
    pub refused: u32,
    pub queue_resets: u32,
}

/// Physical memory, TLBs and what devices may touch.
#[derive(Default)]
struct Machine {
    next_frame: u64,
    free: Vec<u64>,
    dirty: HashSet<u64>,
    /// Frames by how many live translations name them, and those that some TLB may still remember.
    mapped: BTreeMap<u64, u32>,
    remembered: HashSet<u64>,
}

impl Machine {
    fn allocate(&mut self, pages: u64) -> Frames {
        (0..pages)
            .map(|_| {
                let frame = self.free.pop().unwrap_or_else(|| {
                    self.next_frame += 1;
                    self.next_frame
                });
                assert!(
                    !self.dirty.contains(&frame),
                    "an unwiped frame was handed out"
                );
                self.dirty.insert(frame);
                frame
            })
            .collect()
    }

    fn shootdown(&mut self) -> Shot {
        self.remembered.clear();
        Shot
    }

    fn unmap(&mut self, frames: &[u64]) {
        for frame in frames {
            let count = self.mapped.get_mut(frame).expect("unmapped twice");
            *count -= 1;
            if *count == 0 {
                self.mapped.remove(frame);
            }
            self.remembered.insert(*frame);
        }
    }
}

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

/// What the kernel and a provider keep of one function, all of it ever seen so that stale names come up again.
struct Function {
    id: FunctionId,
    holder: Option<OwnerId>,
    claims: Vec<Claim>,
    pools: Vec<PoolId>,
    buffers: Vec<BufferId>,
    queues: Vec<QueueId>,
    maps: Vec<(MappingId, Frames)>,
    routes: Vec<(RouteId, RouteSink)>,
    reservations: Vec<BufferReservation>,
    admitted: Vec<(Admitted, QueueId, u64, Frames)>,
    receipts: Vec<ResetReceipt>,
    quiet: Vec<Pages<Withdrawn, Frames>>,
    wiped: Vec<Pages<Scrubbed, Frames>>,
    token: Option<Token>,
    /// What the device may touch: by queue and slot, cookie and frames; and the broker's runs.
    dma: BTreeMap<(QueueId, u16), (u64, Frames)>,
    runs: BTreeSet<u64>,
    slots: Vec<(QueueId, u16)>,
    generation: u64,
    resets: u64,
}

pub struct World {
    ledger: Ledger<Record>,
    functions: Vec<Function>,
    machine: Machine,
    names: HashSet<(u32, BufferId)>,
    pub seen: Seen,
}

/// Picks from what was ever seen, mostly what is recent.
fn pick<T: Clone>(from: &[T], by: u16) -> Option<T> {
    let len = from.len();
    if len == 0 {
        return None;
    }
    let by = usize::from(by);
    let back = match by % 16 {
        0 => by / 16 % len,
        1..6 => by / 16 % len.min(4),
        _ => 0,
    };
    Some(from[len - 1 - back].clone())
}

impl World {
    pub fn new() -> Self {
        let (ledger, ids) = ledger(FUNCTIONS);
        let functions = ids
            .into_iter()
            .map(|id| Function {
                id,
                holder: None,
                claims: Vec::new(),
                pools: Vec::new(),
                buffers: Vec::new(),
                queues: Vec::new(),
                maps: Vec::new(),
                routes: Vec::new(),
                reservations: Vec::new(),
                admitted: Vec::new(),
                receipts: Vec::new(),
                quiet: Vec::new(),
                wiped: Vec::new(),
                token: None,
                dma: BTreeMap::new(),
                runs: BTreeSet::new(),
                slots: Vec::new(),
                generation: 0,
                resets: 0,
            })
            .collect();
        Self {
            ledger,
            functions,
            machine: Machine::default(),
            names: HashSet::new(),
            seen: Seen::default(),
        }
    }

    /// Runs one operation on one record and checks what must hold around it.
    fn on<T>(
        &mut self,
        at: usize,
        operation: impl FnOnce(&mut Record) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let id = self.functions[at].id;
        let record = self.ledger.get_mut(id).unwrap();
        let before = digest(record);
        let result = operation(record);
        if let Err(refusal) = &result {
            assert_eq!(digest(record), before, "{refusal:?} changed the record");
            self.seen.refused += 1;
        }
        record.audit().unwrap();
        let known = &mut self.functions[at];
        assert!(record.generation() >= known.generation && record.resets() >= known.resets);
        known.generation = record.generation();
        known.resets = record.resets();
        result
    }

    fn state(&self, at: usize) -> FunctionState {
        self.ledger.get(self.functions[at].id).unwrap().state()
    }

    /// A claim that the ledger may act on: the newest, while its holder has it.
    fn is_current(&self, at: usize, claim: &Claim) -> bool {
        let known = &self.functions[at];
        claim.function() == known.id
            && known.claims.last() == Some(claim)
            && matches!(self.state(at), FunctionState::Claimed(_))
    }

    /// Frames are leaving the ledger: nobody may be able to reach them.
    fn check_unreachable(&self, frames: &[u64]) {
        for frame in frames {
            assert!(
                !self.machine.mapped.contains_key(frame),
                "a process maps a freed frame"
            );
            assert!(
                !self.machine.remembered.contains(frame),
                "a TLB remembers a freed frame"
            );
            for function in &self.functions {
                assert!(
                    !function.runs.contains(frame),
                    "a device uses a freed frame as its queue"
                );
                assert!(
                    !function
                        .dma
                        .values()
                        .any(|(_, frames)| frames.contains(frame)),
                    "a device may still write a freed frame"
                );
            }
        }
    }

    fn release(&mut self, frames: &[u64]) {
        self.check_unreachable(frames);
        for frame in frames {
            assert!(
                !self.machine.dirty.contains(frame),
                "a frame came out unwiped"
            );
            assert!(!self.machine.free.contains(frame), "a frame came out twice");
            self.machine.free.push(*frame);
        }
        self.seen.freed += 1;
    }

    fn wipe(&mut self, pages: Pages<Withdrawn, Frames>) -> Pages<Scrubbed, Frames> {
        // Already here nobody may be able to write, or the wipe is worth nothing.
        self.check_unreachable(pages.frames());
        pages.scrub(|frames| {
            for frame in frames {
                self.machine.dirty.remove(frame);
            }
        })
    }

    /// The device really stops; only then may a broker say so.
    fn stop_device(&mut self, at: usize) {
        self.functions[at].dma.clear();
        self.functions[at].runs.clear();
    }

    pub fn step(&mut self, [what, a, b, c, d]: [u16; 5]) {
        let at = usize::from(a) % self.functions.len();
        // Mostly the function's own names; sometimes those of another.
        let other = if b % 16 == 0 {
            (at + 1) % self.functions.len()
        } else {
            at
        };
        // The newest claim nine times in ten.
        let claim = pick(
            &self.functions[other].claims,
            if c % 10 == 0 { c / 10 } else { 15 },
        );
        let Some(claim) = claim else {
            self.claim(at, d);
            return;
        };
        if what / 40 % 4 == 0 && self.state(at) == FunctionState::Claimed(Phase::Running) {
            self.submit(at, other, &claim, c, d);
        }
        match what % 40 {
            0 | 1 => self.claim(at, d),
            2..=4 => (0..=d % 4).for_each(|_| self.bring_up(at, &claim)),
            5 if d % 3 == 0 => self.reset(at, &claim, d / 3),
            6 | 7 => self.make_pool(at, &claim, d),
            8..=11 => self.make_buffer(at, other, &claim, c, d),
            12 | 13 => self.map(at, other, &claim, c, d),
            14 => self.unmap(at, other, &claim, c),
            15..=17 => self.free(at, other, &claim, c, d),
            18 | 19 => self.queue(at, other, &claim, c, d),
            20..=25 => self.submit(at, other, &claim, c, d),
            26..=29 => self.complete(at, &claim, c, d),
            30 | 31 => self.interrupt(at, &claim, c, d),
            32 => self.registers(at, &claim, d),
            33 if d % 5 == 0 => self.begin_teardown(at, &claim),
            34..=37 => self.carry_on(at, d),
            38 if d % 3 != 0 => self.requeue(at, other, &claim, c, d / 3),
            38 => self.close(at, other, &claim, c, d),
            _ => self.misuse(at, c, d),
        }
    }

    fn claim(&mut self, at: usize, by: u16) {
        let owner = OwnerId(u64::from(by) % OWNERS + 1);
        if let Ok(claim) = self.on(at, |record| record.claim(owner)) {
            let known = &mut self.functions[at];
            assert_eq!(known.holder, None, "two owners");
            assert!(
                known
                    .claims
                    .iter()
                    .all(|old| old.generation() < claim.generation())
            );
            known.holder = Some(owner);
            known.claims.push(claim);
        }
    }

    fn bring_up(&mut self, at: usize, claim: &Claim) {
        match self.state(at) {
            FunctionState::Claimed(Phase::Unproven | Phase::Resetting) => self.reset(at, claim, 2),
            FunctionState::Claimed(Phase::Stopped) => {
                let _ = self.on(at, |record| record.configured(claim));
            }
            FunctionState::Claimed(Phase::Configured) => {
                let Some(receipt) = self.functions[at].receipts.pop() else {
                    return self.reset(at, claim, 2);
                };
                let mut back = None;
                let set = self.on(at, |record| {
                    record
                        .set_bus_master(claim, receipt)
                        .map_err(|(refusal, receipt)| {
                            back = Some(receipt);
                            refusal
                        })
                });
                self.functions[at].receipts.extend(back);
                if set.is_ok() {
                    self.expose_runs(at);
                }
            }
            _ => {
                let _ = self.on(at, |record| record.enabled(claim));
            }
        }
    }

    /// Runs that the broker kept over a reset are in use again.
    fn expose_runs(&mut self, at: usize) {
        let record = self.ledger.get(self.functions[at].id).unwrap();
        let mut runs = BTreeSet::new();
        for buffer in &self.functions[at].buffers {
            let visible = self.functions[at]
                .claims
                .last()
                .and_then(|claim| record.buffer_info(claim, *buffer).ok());
            if visible.is_some_and(|info| info.in_flight > 0) {
                runs.extend(record.frames(*buffer).unwrap().iter().copied());
            }
        }
        self.functions[at].runs = runs;
    }

    fn reset(&mut self, at: usize, claim: &Claim, by: u16) {
        if !by.is_multiple_of(4) || self.state(at) == FunctionState::Claimed(Phase::Resetting) {
            let _ = self.on(at, |record| record.begin_reset(claim));
        }
        if by % 4 == 1 {
            return; // the device takes its time, and meanwhile others act
        }
        if matches!(
            self.state(at),
            FunctionState::Claimed(Phase::Resetting)
                | FunctionState::Revoking(TeardownStep::QueuesQuiesced)
        ) {
            self.stop_device(at);
        }
        let proven = self.on(at, |record| record.prove_reset(ResetProof::CstsRdyZero));
        if let Ok(receipt) = proven {
            self.seen.revoked += self
                .on(at, |record| record.finish_reset(&receipt))
                .unwrap_or(0);
            self.functions[at].receipts.push(receipt);
        }
    }

    fn interrupt(&mut self, at: usize, claim: &Claim, by: u16, d: u16) {
        if by.is_multiple_of(3)
            && let Ok(route) = self.on(at, |record| record.attach_route(claim, d % 4))
        {
            assert!(self.is_current(at, claim));
            self.functions[at].routes.push(route);
        }
        let Some((route, sink)) = pick(&self.functions[at].routes, by) else {
            return;
        };
        let newest = self.functions[at]
            .routes
            .iter()
            .rev()
            .find(|(id, _)| id.source() == route.source())
            .map(|(id, _)| *id);
        let result = match d % 6 {
            0 => self
                .on(at, |record| record.unmask_route(claim, &route))
                .map(|_| ()),
            1 => self
                .on(at, |record| record.mask_route(claim, &route))
                .map(|_| ()),
            2 => self
                .on(at, |record| record.poll_wait(claim, &route))
                .map(|_| ()),
            3 => self
                .on(at, |record| record.acknowledge(claim, &route))
                .map(|_| ()),
            4 if by.is_multiple_of(4) => self.on(at, |record| record.detach_route(claim, &route)),
            _ => self.on(at, |_| sink.dispatch()),
        };
        if result.is_ok() {
            assert_eq!(newest, Some(route), "a route of before had an effect");
        }
    }

    /// Names out of thin air.
    fn misuse(&mut self, at: usize, by: u16, d: u16) {
        let id = self.functions[at].id;
        let forged = Claim::allege(id, OwnerId(u64::from(by) % (OWNERS + 2)), u64::from(d % 5));
        if self.functions[at].claims.last() == Some(&forged) {
            return;
        }
        assert!(
            self.on(at, |record| record.check(&forged).map(|_| ()))
                .is_err()
        );
        assert!(self.on(at, |record| record.begin_reset(&forged)).is_err());
        assert!(
            self.on(at, |record| record.begin_teardown(&forged))
                .is_err()
        );
        assert!(
            self.on(at, |record| record.create_pool(
                &forged,
                1,
                OomPolicy::Refuse
            ))
            .is_err()
        );
        assert!(
            self.on(at, |record| record.attach_route(&forged, 0))
                .is_err()
        );
        if let Some(queue) = pick(&self.functions[at].queues, by) {
            assert!(
                self.on(at, |record| record.admit(&forged, queue, 0, &[]))
                    .is_err()
            );
            assert!(
                self.on(at, |record| record.complete(&forged, queue, d))
                    .is_err()
            );
        }
    }
}
