//! What a function's holder does with memory and queues, and what its device does.

#[allow(
    clippy::wildcard_imports,
    reason = "the whole interface is what is tried"
)]
use dma_ledger::*;
use ring_abi::Direction;

use super::{Device, Op, Out};

impl Device {
    #[expect(clippy::too_many_lines, reason = "one case after the other")]
    pub(super) fn memory(&mut self, claim: &Claim, op: Op) -> Result<(), Refusal> {
        match op {
            Op::CreatePool => {
                let pool = self
                    .record
                    .create_pool(claim, 2 * PAGE_BYTES, OomPolicy::Refuse)?;
                self.pool = Some(pool);
                self.pools += 1;
            }
            Op::ClosePool => {
                self.record
                    .close_pool(claim, self.pool.ok_or(Refusal::NotFound)?)?;
                assert_eq!(self.charged, 0, "a pool is closed that pays for something");
                self.pool = None;
            }
            Op::Buffer => {
                let request = BufferRequest {
                    bytes: 1,
                    contiguous: false,
                };
                let pool = self.pool.ok_or(Refusal::NotFound)?;
                let reservation = self.record.reserve_buffer(claim, pool, request)?;
                let frame = self.machine.next;
                let Ok(buffer) = self.record.commit_buffer(reservation, frame) else {
                    panic!("what was reserved is given")
                };
                self.machine.next += 1;
                self.machine.held.insert(frame);
                self.charged += PAGE_BYTES;
                assert!(
                    self.charged <= 2 * PAGE_BYTES,
                    "a pool gives more than its budget"
                );
                self.buffers.push(buffer);
            }
            Op::Map(at) => {
                let buffer = *self.buffers.get(at).ok_or(Refusal::NotFound)?;
                let target = MapTarget {
                    space: 1,
                    address: 0,
                };
                let range = (0, PAGE_BYTES);
                let mapping =
                    self.record
                        .map_buffer(claim, buffer, range, Protection::READ_WRITE, target)?;
                let frame = self.frame_of(at).ok_or(Refusal::NotFound)?;
                self.machine.mapped.push(frame);
                self.machine.dirty.insert(frame);
                self.mapping = Some((mapping, frame));
                self.maps += 1;
            }
            Op::Unmap => {
                let (mapping, frame) = self.mapping.ok_or(Refusal::NotFound)?;
                self.record.unmap(claim, mapping)?;
                self.machine.unmap(frame);
            }
            Op::BeginFree(at) => {
                self.record
                    .begin_free(claim, *self.buffers.get(at).ok_or(Refusal::NotFound)?)?;
            }
            _ => {
                let Op::TakeForScrub(at) = op else {
                    return Err(Refusal::NotFound);
                };
                let shot = self.machine.shoot_down();
                let pages = self
                    .record
                    .take_for_scrub(*self.buffers.get(at).ok_or(Refusal::NotFound)?, shot)?;
                let frame = *pages.frames();
                assert!(
                    !self.machine.reaches(frame),
                    "pages come out that somebody reaches"
                );
                self.out.push(Out::Quiet(pages));
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_lines, reason = "one case after the other")]
    pub(super) fn queue(&mut self, claim: &Claim, op: Op) -> Result<(), Refusal> {
        if let Op::CreateQueue = op {
            let shape = QueueShape {
                depth: 2,
                segments: 2,
                bytes: 2 * PAGE_BYTES,
            };
            let queue = self.record.create_queue(claim, shape)?;
            self.record.queue_opened(claim, queue)?;
            self.queue = Some(queue);
            return Ok(());
        }
        let queue = self.queue.ok_or(Refusal::NotFound)?;
        match op {
            Op::StopQueue => self.record.stop_queue(claim, queue)?,
            Op::CloseQueue => self.record.close_queue(claim, queue)?,
            Op::Admit(at) => {
                let segment = SegmentRequest {
                    buffer: *self.buffers.get(at).ok_or(Refusal::NotFound)?,
                    offset: 8,
                    length: 16,
                    direction: Direction::FromDevice,
                };
                let admitted = self.record.admit(claim, queue, 7 + at as u64, &[segment])?;
                let running = FunctionState::Claimed(Phase::Running);
                assert_eq!(
                    self.record.state(),
                    running,
                    "a command for a device that does not run"
                );
                let frame = self.frame_of(at).ok_or(Refusal::NotFound)?;
                self.admitted = Some((admitted, frame));
                self.admits += 1;
            }
            Op::Issue => {
                let (admitted, frame) = self.admitted.take().ok_or(Refusal::NotFound)?;
                let command = self.record.issue(admitted)?;
                let fresh = !self
                    .machine
                    .device
                    .iter()
                    .any(|(slot, _)| *slot == command.slot);
                assert!(fresh, "two commands in one slot");
                assert!(
                    self.machine.held.contains(&frame),
                    "a device is led to a frame that is freed"
                );
                self.machine.device.insert((command.slot, frame));
                self.machine.dirty.insert(frame);
            }
            Op::Complete(slot) => {
                let cookie = self.record.complete(claim, queue, slot)?;
                let real = self
                    .machine
                    .device
                    .iter()
                    .find(|(of, _)| *of == slot)
                    .copied();
                assert!(
                    real.is_some() && cookie >= 7,
                    "an answer to what nobody asked"
                );
                real.map(|real| self.machine.device.remove(&real));
            }
            Op::NextRevoked => {
                self.record.next_revoked(claim, queue)?;
            }
            Op::BeginQueueReset => {
                self.record.begin_queue_reset(claim, queue)?;
                self.requeues += 1;
            }
            Op::ProveQueue => {
                let proof = QueueProof::SubmissionQueueDeleted;
                let receipt = self.record.prove_queue_stopped(claim, queue, proof)?;
                // The device lets go of the queue, whose commands are all there are.
                self.machine.device.clear();
                self.queue_receipt = Some(receipt);
            }
            Op::FinishQueueReset => {
                let receipt = self.queue_receipt.take().ok_or(Refusal::NotFound)?;
                self.record.finish_queue_reset(receipt)?;
                assert!(self.machine.device.is_empty());
            }
            _ => self.record.queue_reopened(claim, queue)?,
        }
        Ok(())
    }
}
