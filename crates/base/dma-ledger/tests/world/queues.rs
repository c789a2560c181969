//! Queues, commands and completions.

use super::*;

impl World {
    pub(super) fn queue(&mut self, at: usize, other: usize, claim: &Claim, by: u16, d: u16) {
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

    pub(super) fn submit(&mut self, at: usize, other: usize, claim: &Claim, by: u16, d: u16) {
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

    pub(super) fn complete(&mut self, at: usize, claim: &Claim, by: u16, d: u16) {
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
    pub(super) fn requeue(&mut self, at: usize, other: usize, claim: &Claim, by: u16, d: u16) {
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

    pub(super) fn close(&mut self, at: usize, other: usize, claim: &Claim, by: u16, d: u16) {
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
}
