//! The machine around the ledger, as a model.

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
    quiet: Vec<Pages<Quiesced, Frames>>,
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

    fn wipe(&mut self, pages: Pages<Quiesced, Frames>) -> Pages<Scrubbed, Frames> {
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

    fn make_pool(&mut self, at: usize, claim: &Claim, by: u16) {
        let budget = u64::from(by % 24) * PAGE_BYTES;
        if let Ok(pool) = self.on(at, |record| {
            record.create_pool(claim, budget, OomPolicy::Refuse)
        }) {
            assert!(self.is_current(at, claim));
            self.functions[at].pools.push(pool);
        }
    }

    fn make_buffer(&mut self, at: usize, other: usize, claim: &Claim, by: u16, size: u16) {
        let bytes = u64::from(size % 5) * 2000;
        let reserved = if by.is_multiple_of(5) {
            self.on(at, |record| record.reserve_broker_pages(claim, bytes))
        } else {
            let Some(pool) = pick(&self.functions[other].pools, by) else {
                return;
            };
            let request = BufferRequest {
                bytes,
                contiguous: by.is_multiple_of(2),
            };
            self.on(at, |record| record.reserve_buffer(claim, pool, request))
        };
        if let Ok(reservation) = reserved {
            assert!(self.is_current(at, claim));
            self.functions[at].reservations.push(reservation);
        }
        // Sometimes an earlier reservation waits and another is decided first.
        if by.is_multiple_of(7) || self.functions[at].reservations.is_empty() {
            return;
        }
        let reservation = self.functions[at].reservations.remove(0);
        if by.is_multiple_of(9) {
            self.on(at, |record| {
                record.cancel_buffer(reservation);
                Ok(())
            })
            .unwrap();
            return;
        }
        let frames = self.machine.allocate(reservation.pages());
        let id = self.functions[at].id;
        let record = self.ledger.get_mut(id).unwrap();
        // A refused commit gives its charge back, so it is not one that changes nothing.
        match record.commit_buffer(reservation, frames.clone()) {
            Ok(buffer) => {
                assert!(
                    self.names.insert((id.index(), buffer)),
                    "a buffer name was used twice"
                );
                let claim = self.functions[at].claims.last().unwrap();
                if record.buffer_info(claim, buffer).unwrap().in_flight > 0 {
                    self.functions[at].runs.extend(frames);
                }
                self.functions[at].buffers.push(buffer);
            }
            Err((_, frames)) => {
                for frame in &frames {
                    self.machine.dirty.remove(frame);
                }
                self.machine.free.extend(frames);
            }
        }
        record.audit().unwrap();
    }

    fn map(&mut self, at: usize, other: usize, claim: &Claim, by: u16, d: u16) {
        let Some(buffer) = pick(&self.functions[other].buffers, by) else {
            return;
        };
        let (offset, bytes) = (u64::from(d % 3) * 2048, u64::from(d / 3 % 4) * 2048);
        let target = MapTarget {
            space: u64::from(d % 2),
            address: u64::from(d) * PAGE_BYTES,
        };
        let mapped = self.on(at, |record| {
            record.map_buffer(
                claim,
                buffer,
                (offset, bytes),
                Protection::READ_WRITE,
                target,
            )
        });
        if let Ok(mapping) = mapped {
            assert!(self.is_current(at, claim) && buffer.function() == self.functions[at].id);
            let frames = self
                .ledger
                .get(self.functions[at].id)
                .unwrap()
                .frames(buffer)
                .unwrap();
            let (first, count) = (offset / PAGE_BYTES, bytes / PAGE_BYTES);
            let part = frames[first as usize..(first + count) as usize].to_vec();
            for frame in &part {
                *self.machine.mapped.entry(*frame).or_default() += 1;
                self.machine.dirty.insert(*frame);
            }
            self.functions[at].maps.push((mapping, part));
        }
    }

    fn unmap(&mut self, at: usize, other: usize, claim: &Claim, by: u16) {
        let Some((mapping, frames)) = pick(&self.functions[other].maps, by) else {
            return;
        };
        if self.on(at, |record| record.unmap(claim, mapping)).is_ok() {
            assert_eq!(other, at);
            self.machine.unmap(&frames);
        }
    }

    fn registers(&mut self, at: usize, claim: &Claim, d: u16) {
        let range = BarRange {
            bar: 0,
            offset: u64::from(d % 6) * 2048,
            bytes: u64::from(d / 6 % 5) * 3000,
        };
        let target = MapTarget {
            space: 1,
            address: 0,
        };
        let listed = BarRange {
            bar: 0,
            offset: 0,
            bytes: 2 * PAGE_BYTES,
        };
        if let Ok(mapping) = self.on(at, |record| {
            record.map_registers(claim, range, Protection::READ, target, [listed])
        }) {
            assert!(range.offset + range.bytes <= 2 * PAGE_BYTES && self.is_current(at, claim));
            self.functions[at].maps.push((mapping, Vec::new()));
        }
    }

    fn free(&mut self, at: usize, other: usize, claim: &Claim, by: u16, d: u16) {
        let Some(buffer) = pick(&self.functions[other].buffers, by) else {
            return;
        };
        let _ = self.on(at, |record| record.begin_free(claim, buffer));
        if d.is_multiple_of(2) {
            let held: Vec<_> = self
                .ledger
                .get(self.functions[at].id)
                .unwrap()
                .mappings()
                .map(|(id, map)| (id, *map))
                .collect();
            for (id, map) in held {
                if map.what == Mapped::Buffer(buffer)
                    && self.on(at, |record| record.unmap(claim, id)).is_ok()
                {
                    let (_, frames) = self.functions[at]
                        .maps
                        .iter()
                        .find(|(known, _)| *known == id)
                        .unwrap()
                        .clone();
                    self.machine.unmap(&frames);
                }
            }
        }
        let shot = self.machine.shootdown();
        if let Ok(pages) = self.on(at, |record| record.take_for_scrub(buffer, shot)) {
            self.functions[at].quiet.push(pages);
        }
        self.scrub_and_free(at, d);
    }

    /// Pages taken out earlier come back when they come back.
    fn scrub_and_free(&mut self, at: usize, by: u16) {
        if by.is_multiple_of(3) {
            return;
        }
        if let Some(pages) = self.functions[at].quiet.pop() {
            let wiped = self.wipe(pages);
            self.functions[at].wiped.push(wiped);
        }
        let Some(pages) = self.functions[at].wiped.pop() else {
            return;
        };
        let mut back = None;
        if matches!(self.state(at), FunctionState::Revoking(_)) {
            let _ = self.on(at, |record| {
                record.put_scrubbed(pages).map_err(|(refusal, pages)| {
                    back = Some(pages);
                    refusal
                })
            });
        } else {
            let freed = self.on(at, |record| {
                record.free(pages).map_err(|(refusal, pages)| {
                    back = Some(pages);
                    refusal
                })
            });
            if let Ok(frames) = freed {
                self.release(&frames);
            }
        }
        self.functions[at].wiped.extend(back);
    }

    fn queue(&mut self, at: usize, other: usize, claim: &Claim, by: u16, d: u16) {
        let shape = QueueShape {
            depth: by % 5,
            segments: 6,
            bytes: u64::from(d) * 8,
        };
        if let Ok(queue) = self.on(at, |record| record.create_queue(claim, shape)) {
            assert!(self.is_current(at, claim));
            self.functions[at].queues.push(queue);
        }
        if let Some(queue) = pick(&self.functions[other].queues, by / 2) {
            let _ = self.on(at, |record| record.queue_opened(claim, queue));
        }
    }

    /// Sees to it that a well-behaved provider has something to submit to and with.
    fn prepare(&mut self, at: usize, claim: &Claim) {
        let record = self.ledger.get(self.functions[at].id).unwrap();
        let open = |queue: &QueueId| record.admit_ring(claim, *queue).is_ok();
        let live = |buffer: &BufferId| record.buffer_info(claim, *buffer).is_ok();
        let (open, live) = (
            self.functions[at].queues.iter().any(open),
            self.functions[at].buffers.iter().any(live),
        );
        if !open && let Ok(queue) = self.on(at, |record| record.create_queue(claim, QUEUE)) {
            self.on(at, |record| record.queue_opened(claim, queue))
                .unwrap();
            self.functions[at].queues.push(queue);
        }
        if !live {
            self.make_pool(at, claim, 13);
            self.make_buffer(at, at, claim, 16, 3);
        }
    }

    fn submit(&mut self, at: usize, other: usize, claim: &Claim, by: u16, d: u16) {
        if !by.is_multiple_of(4) && self.state(at) == FunctionState::Claimed(Phase::Running) {
            self.prepare(at, claim);
        }
        let Some(queue) = pick(&self.functions[at].queues, by / 5) else {
            return;
        };
        let count = usize::from(d % 4);
        let mut segments = Vec::new();
        for n in 0..count as u16 {
            let from = if n == 0 { other } else { at };
            let Some(buffer) = pick(
                &self.functions[from].buffers,
                by.rotate_left(3 * u32::from(n) + 1),
            ) else {
                return;
            };
            let offset = u32::from(d.rotate_left(u32::from(n)) % 5) * 1000;
            let length = u32::from(by.rotate_left(u32::from(n)) % 6) * 900;
            segments.push(segment(buffer, offset, length));
        }
        let cookie = u64::from(d) << 16 | u64::from(by);
        if let Ok(admitted) = self.on(at, |record| record.admit(claim, queue, cookie, &segments)) {
            assert!(
                self.is_current(at, claim)
                    && self.state(at) == FunctionState::Claimed(Phase::Running)
            );
            let record = self.ledger.get(self.functions[at].id).unwrap();
            let mut frames = Vec::new();
            for segment in &segments {
                let all = record.frames(segment.buffer).unwrap();
                assert_eq!(segment.buffer.function(), self.functions[at].id);
                let end = u64::from(segment.offset) + u64::from(segment.length);
                assert!(segment.length > 0 && end <= all.len() as u64 * PAGE_BYTES);
                frames.extend(all);
            }
            self.functions[at]
                .admitted
                .push((admitted, queue, cookie, frames));
        }
        if by.is_multiple_of(6) || self.functions[at].admitted.is_empty() {
            return;
        }
        let (admitted, queue, cookie, frames) = self.functions[at].admitted.remove(0);
        if by.is_multiple_of(11) {
            self.on(at, |record| {
                record.withdraw(admitted);
                Ok(())
            })
            .unwrap();
        } else if let Ok(command) = self.on(at, |record| record.issue(admitted)) {
            let known = &mut self.functions[at];
            let earlier = known.dma.insert((queue, command.slot), (cookie, frames));
            assert!(earlier.is_none(), "an id in flight was given out again");
            known.slots.push((queue, command.slot));
        }
    }

    fn complete(&mut self, at: usize, claim: &Claim, by: u16, d: u16) {
        let honest = !d.is_multiple_of(4);
        let known = &self.functions[at];
        let named = if honest {
            let mut keys = known.dma.keys();
            keys.nth(usize::from(d) % known.dma.len().max(1)).copied()
        } else {
            // A device, or a race, that answers twice, late or at random.
            pick(&known.slots, by).map(|(queue, slot)| {
                (
                    queue,
                    if d.is_multiple_of(3) {
                        slot ^ (1 << (d % 16))
                    } else {
                        slot
                    },
                )
            })
        };
        let Some((queue, slot)) = named else { return };
        if let Ok(done) = self.on(at, |record| record.complete(claim, queue, slot)) {
            assert!(self.is_current(at, claim));
            let real = self.functions[at].dma.remove(&(queue, slot));
            let (cookie, _) = real.expect("a completion matched no command in flight");
            assert_eq!(cookie, done);
            self.seen.completed += 1;
        }
    }

    /// The reset of one queue, as far as chance lets it come.
    fn requeue(&mut self, at: usize, other: usize, claim: &Claim, by: u16, d: u16) {
        if self.state(at) == FunctionState::Claimed(Phase::Running) {
            self.prepare(at, claim);
        }
        let Some(queue) = pick(&self.functions[other].queues, by) else {
            return;
        };
        if self
            .on(at, |record| record.begin_queue_reset(claim, queue))
            .is_ok()
        {
            assert!(self.is_current(at, claim));
        }
        let proof = QueueProof::SubmissionQueueDeleted;
        if !d.is_multiple_of(4)
            && let Ok(receipt) =
                self.on(at, |record| record.prove_queue_stopped(claim, queue, proof))
        {
            assert!(
                self.on(at, |record| record
                    .prove_queue_stopped(claim, queue, proof)
                    .map(drop))
                    .is_err(),
                "two receipts of one reset"
            );
            // The device really lets go of this queue, and of no other.
            let before = self.functions[at].dma.len();
            self.functions[at].dma.retain(|(of, _), _| *of != queue);
            let gone = before - self.functions[at].dma.len();
            let revoked = self
                .on(at, |record| record.finish_queue_reset(receipt))
                .unwrap();
            assert!(usize::from(revoked) >= gone, "a command was forgotten");
            self.seen.queue_resets += 1;
        }
        if d.is_multiple_of(3) {
            let _ = self.on(at, |record| record.queue_reopened(claim, queue));
            while let Ok(Some(_)) = self.on(at, |record| record.next_revoked(claim, queue)) {
                self.seen.revoked += 1;
            }
        }
    }

    fn close(&mut self, at: usize, other: usize, claim: &Claim, by: u16, d: u16) {
        if let Some(queue) = pick(&self.functions[other].queues, by) {
            if d.is_multiple_of(4) {
                let _ = self.on(at, |record| record.stop_queue(claim, queue));
            }
            while let Ok(Some(_)) = self.on(at, |record| record.next_revoked(claim, queue)) {}
            let _ = self.on(at, |record| record.close_queue(claim, queue));
        }
        if let Some(pool) = pick(&self.functions[other].pools, by) {
            let _ = self.on(at, |record| record.close_pool(claim, pool));
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

    fn begin_teardown(&mut self, at: usize, claim: &Claim) {
        let current = self.is_current(at, claim);
        if let Ok(token) = self.on(at, |record| record.begin_teardown(claim)) {
            assert!(current);
            self.functions[at].token = Some(Token::Begun(token));
        }
    }

    /// One step of the teardown, or a try at it that is too early.
    fn carry_on(&mut self, at: usize, by: u16) {
        self.scrub_and_free(at, by);
        let Some(token) = self.functions[at].token.take() else {
            return;
        };
        let mut next = None;
        macro_rules! take {
            ($token:expr, $to:ident, $from:ident, $record:ident, $call:expr) => {{
                let moved = self.on(at, |$record| {
                    $call.map_err(|(refusal, token)| {
                        next = Some(Token::$from(token));
                        refusal
                    })
                });
                if let Ok(token) = moved {
                    next = Some(Token::$to(token));
                }
            }};
        }
        match token {
            Token::Begun(token) => take!(token, HandlesRevoked, Begun, r, r.handles_revoked(token)),
            Token::HandlesRevoked(token) => take!(
                token,
                SubmissionsStopped,
                HandlesRevoked,
                r,
                r.stop_submissions(token)
            ),
            Token::SubmissionsStopped(token) => {
                if by.is_multiple_of(2) {
                    let held: Vec<_> = self
                        .ledger
                        .get(self.functions[at].id)
                        .unwrap()
                        .mappings()
                        .map(|(id, _)| id)
                        .collect();
                    for id in held {
                        self.on(at, |record| record.release_mapping(id)).unwrap();
                        let (_, frames) = self.functions[at]
                            .maps
                            .iter()
                            .find(|(known, _)| *known == id)
                            .unwrap()
                            .clone();
                        self.machine.unmap(&frames);
                    }
                }
                let shot = self.machine.shootdown();
                take!(
                    token,
                    MappingsRemoved,
                    SubmissionsStopped,
                    r,
                    r.mappings_removed(token, shot)
                );
            }
            Token::MappingsRemoved(token) => take!(
                token,
                InterruptsMasked,
                MappingsRemoved,
                r,
                r.interrupts_masked(token)
            ),
            Token::InterruptsMasked(token) => take!(
                token,
                QueuesQuiesced,
                InterruptsMasked,
                r,
                r.queues_quiesced(token)
            ),
            Token::QueuesQuiesced(token) => self.teardown_reset(at, token, by, &mut next),
            Token::DeviceReset(token) => {
                let drained = DrainProof::TransactionsPendingZero;
                take!(
                    token,
                    BusMasterCleared,
                    DeviceReset,
                    r,
                    r.bus_master_cleared(token, drained)
                );
            }
            Token::BusMasterCleared(token) => {
                while let Some(pages) = self.on(at, |record| record.next_to_scrub(&token)).unwrap()
                {
                    self.functions[at].quiet.push(pages);
                    if by.is_multiple_of(3) {
                        break;
                    }
                }
                if let Some(reservation) = self.functions[at].reservations.pop() {
                    let record = self.ledger.get_mut(self.functions[at].id).unwrap();
                    record.cancel_buffer(reservation);
                }
                take!(token, ScrubDone, BusMasterCleared, r, r.scrub_done(token));
            }
            Token::ScrubDone(token) => {
                let mut budget = by % 4;
                while budget > 0 {
                    budget -= 1;
                    if let Some(frames) =
                        self.on(at, |record| record.frames_to_free(&token)).unwrap()
                    {
                        self.release(&frames);
                    }
                }
                let mut back = None;
                let finished = self.on(at, |record| {
                    record.finish(token).map_err(|(refusal, token)| {
                        back = Some(Token::ScrubDone(token));
                        refusal
                    })
                });
                next = back;
                if finished.is_ok() {
                    self.functions[at].holder = None;
                    self.seen.torn_down += 1;
                }
            }
        }
        self.functions[at].token = next;
    }

    fn teardown_reset(
        &mut self,
        at: usize,
        token: Teardown<QueuesQuiesced>,
        by: u16,
        next: &mut Option<Token>,
    ) {
        // Any old receipt is tried first.
        let receipt = match self.functions[at].receipts.pop() {
            Some(old) => old,
            None if by % 64 == 63 && self.seen.quarantined == 0 => {
                self.on(at, |record| {
                    record.quarantine(token).map_err(|(refusal, _)| refusal)
                })
                .unwrap();
                self.seen.quarantined += 1;
                return;
            }
            None => {
                self.stop_device(at);
                self.on(at, |record| record.prove_reset(ResetProof::FlrCompleted))
                    .unwrap()
            }
        };
        let moved = self.on(at, |record| {
            record
                .device_reset(token, receipt)
                .map_err(|(refusal, token, _)| {
                    *next = Some(Token::QueuesQuiesced(token));
                    refusal
                })
        });
        if let Ok((token, revoked)) = moved {
            assert!(
                self.functions[at].dma.is_empty(),
                "a receipt without a stopped device"
            );
            self.seen.revoked += revoked;
            *next = Some(Token::DeviceReset(token));
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

    /// Takes everything down and checks that nothing is left, except in quarantine.
    pub fn wind_down(&mut self) {
        for at in 0..self.functions.len() {
            if let Some(claim) = self.functions[at].claims.last().copied() {
                self.begin_teardown(at, &claim);
            }
            for round in 0..4000u16 {
                if self.functions[at].token.is_none() {
                    break;
                }
                self.carry_on(at, 2 + 4 * (round % 2));
            }
            let state = self.state(at);
            assert!(
                matches!(state, FunctionState::Unclaimed | FunctionState::Quarantined),
                "{state:?}"
            );
            let record = self.ledger.get(self.functions[at].id).unwrap();
            record.audit().unwrap();
            if state == FunctionState::Unclaimed {
                assert_eq!(record.accounting(), Accounting::default());
                assert!(self.functions[at].quiet.is_empty() && self.functions[at].wiped.is_empty());
            }
        }
    }
}
