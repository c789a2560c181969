//! Buffers bound to places of a queue, and commands that name them so: the ring's way in, beside [`crate::submit`]'s.
//!
//! A binding is checked when it is made; a command that names it is admitted by place, generation and range. Nothing here
//! allocates after [`FunctionRecord::open_ring`].
//!
//! Invariant: a binding ends with the ring, with the queue's end, and with [`FunctionRecord::end_bindings`]. One that has ended
//! never becomes valid again.

use device_ring::Binding;
use handles::HandleTable;
use sabotage::sabotage;

use crate::bindings::RingId;
use crate::ids::{BufferId, Claim, QueueId};
use crate::parts::{Buffer, Held};
use crate::queue::{Queue, QueueState};
use crate::record::{FunctionRecord, Phase};
use crate::refusal::Refusal;

/// What a command moves, named by a binding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BoundSegment {
    /// The buffer.
    pub binding: Binding,
    /// First byte in it.
    pub offset: u32,
    /// Bytes, not 0.
    pub length: u32,
}

/// Whether a binding made after the buffer's were ended `unbound` times still stands.
#[inline]
fn stands<F>(buffer: &Buffer<F>, unbound: u64) -> bool {
    buffer.unbound == unbound || sabotage!(BINDING_OUTLIVES_FREE)
}

impl<F> FunctionRecord<F> {
    /// Opens the ring of a queue, with nothing bound to it.
    ///
    /// # Errors
    /// Those of [`Self::admit_ring`]; `Duplicate` while it is open; `NoMemory`; `Exhausted`.
    pub fn open_ring(&mut self, claim: &Claim, queue: QueueId) -> Result<RingId, Refusal> {
        self.admit_ring(claim, queue)?;
        self.current_queue_mut(queue)?.bindings.open()
    }

    /// Ends the ring of a queue, and every binding with it.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle`; `Stale` for a ring of before.
    pub fn close_ring(
        &mut self,
        claim: &Claim,
        queue: QueueId,
        ring: RingId,
    ) -> Result<(), Refusal> {
        self.check(claim)?;
        let bindings = &mut self.current_queue_mut(queue)?.bindings;
        bindings.check(ring)?;
        bindings.end();
        Ok(())
    }

    /// Binds a buffer to a free place.
    ///
    /// # Errors
    /// Those of [`Self::admit_ring`]; `Stale` for a ring that has ended; `ForeignBuffer`, `Stale` or `BadHandle` for the
    /// buffer, `WrongState` while it is being freed; `OverBudget` where no place is free; `Exhausted` after the last generation.
    pub fn bind(
        &mut self,
        claim: &Claim,
        queue: QueueId,
        ring: RingId,
        buffer: BufferId,
    ) -> Result<Binding, Refusal> {
        self.admit_ring(claim, queue)?;
        let known = self.pool_buffer_mut(buffer)?;
        if known.freeing {
            return Err(Refusal::WrongState);
        }
        let unbound = known.unbound;
        let buffers = &self.buffers;
        let known = self.queues.get_mut(queue.handle).map_err(Refusal::from)?;
        let bindings = &mut known.bindings;
        bindings.check(ring)?;
        // A place whose buffer is gone is free.
        let is_over = |buffer, unbound| {
            let bound = buffers.get(buffer);
            !bound.is_ok_and(|bound: &Buffer<F>| bound.unbound == unbound)
        };
        bindings.bind(buffer.handle, unbound, is_over)
    }

    /// Frees a place. Commands in flight keep their pages.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle` for the queue; `OutOfRange`, `Stale` for the binding.
    pub fn unbind(
        &mut self,
        claim: &Claim,
        queue: QueueId,
        ring: RingId,
        binding: Binding,
    ) -> Result<(), Refusal> {
        self.check(claim)?;
        let bindings = &mut self.current_queue_mut(queue)?.bindings;
        bindings.check(ring)?;
        bindings.unbind(binding)
    }

    /// Ends every binding of a buffer, to whatever queue. Whoever frees it does this first: before its pins are read.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `ForeignBuffer`, `Stale` or `BadHandle`.
    pub fn end_bindings(&mut self, claim: &Claim, buffer: BufferId) -> Result<(), Refusal> {
        self.check(claim)?;
        self.pool_buffer_mut(buffer)?.unbound += 1;
        Ok(())
    }

    /// What every command of a batch needs, checked once: the claim, the device, the queue, the ring.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongState` unless the device runs, and for a queue that is being opened or reset;
    /// `WrongOwner`, `Stale` or `BadHandle` for the queue; `Stale` for a ring that has ended.
    #[inline]
    pub fn gate(
        &mut self,
        claim: &Claim,
        queue: QueueId,
        ring: RingId,
    ) -> Result<Gate<'_, F>, Refusal> {
        if self.check(claim)? != Phase::Running {
            return Err(Refusal::WrongState);
        }
        let known = self.current_queue(queue)?;
        if !matches!(known.state, QueueState::Open | QueueState::Stopped) {
            return Err(Refusal::WrongState);
        }
        known.bindings.check(ring)?;
        Ok(Gate {
            queue: self.queues.get_mut(queue.handle).map_err(Refusal::from)?,
            buffers: &mut self.buffers,
            in_flight: &mut self.in_flight,
        })
    }
}

/// The way of one batch of commands into a queue and out of it, while nobody else changes the record.
#[derive(Debug)]
pub struct Gate<'r, F> {
    queue: &'r mut Queue,
    buffers: &'r mut HandleTable<Buffer<F>>,
    in_flight: &'r mut u32,
}

impl<F> Gate<'_, F> {
    /// Admits one command, as [`FunctionRecord::admit`] does: gives its slot, and the frames of its data. The caller then
    /// calls [`Self::issue`] or [`Self::withdraw`].
    ///
    /// # Errors
    /// `WrongState` for a queue that takes no more; `OutOfRange` or `Stale` for the binding; `WrongState` for a buffer that is
    /// being freed; `ZeroLength`, `OutOfRange`; `QueueFull`, `OverBudget`, `Exhausted`. Nothing has changed then.
    #[inline]
    pub fn admit(
        &mut self,
        cookie: u64,
        data: Option<BoundSegment>,
    ) -> Result<(u16, Option<&F>), Refusal> {
        if self.queue.state != QueueState::Open {
            return Err(Refusal::WrongState);
        }
        let Some(data) = data else {
            self.queue.room(0, 0)?;
            return Ok((self.take_slot(cookie, 0)?, None));
        };
        let (handle, unbound) = self.queue.bindings.find(data.binding)?;
        let buffer = self.buffers.get_mut(handle).map_err(Refusal::from)?;
        if !stands(buffer, unbound) {
            return Err(Refusal::Stale);
        }
        if buffer.freeing || matches!(buffer.held, Held::Away | Held::Scrubbed(_)) {
            return Err(Refusal::WrongState);
        }
        if data.length == 0 {
            return Err(Refusal::ZeroLength);
        }
        if u64::from(data.offset) + u64::from(data.length) > buffer.bytes {
            return Err(Refusal::OutOfRange);
        }
        let bytes = u64::from(data.length);
        self.queue.room(1, bytes)?;
        let (slot, _) = self
            .queue
            .take_slot(cookie, bytes)
            .ok_or(Refusal::QueueFull)?;
        *self.in_flight += 1;
        self.queue.push_pin(slot, handle);
        buffer.pin();
        match &buffer.held {
            Held::DeviceVisible(pages) => Ok((slot, Some(pages.frames()))),
            // It was pinned just now.
            _ => Err(Refusal::WrongState),
        }
    }

    fn take_slot(&mut self, cookie: u64, bytes: u64) -> Result<u16, Refusal> {
        let taken = self.queue.take_slot(cookie, bytes);
        let (slot, _) = taken.ok_or(Refusal::QueueFull)?;
        *self.in_flight += 1;
        Ok(slot)
    }

    /// Commands of this queue in flight: one that there is no place for may have one when they are back.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        self.queue.in_flight
    }

    /// Takes an admitted command back that the broker refused: the device never saw it.
    pub fn withdraw(&mut self, slot: u16) {
        if self.queue.is_admitted(slot) {
            self.release(slot);
        }
    }

    /// Records that the broker has written an admitted command: from now on the device may answer it.
    #[inline]
    pub fn issue(&mut self, slot: u16) {
        self.queue.issue(slot);
    }

    /// As [`FunctionRecord::complete`].
    ///
    /// # Errors
    /// Nothing changes. `WrongState` for a command not issued yet; `OutOfRange`; `NotFound`; `Duplicate`.
    #[inline]
    pub fn complete(&mut self, slot: u16) -> Result<u64, Refusal> {
        let cookie = self.queue.issued(slot)?;
        self.release(slot);
        Ok(cookie)
    }

    #[inline]
    fn release(&mut self, slot: u16) {
        release(self.queue, self.buffers, slot);
        *self.in_flight = self.in_flight.saturating_sub(1);
    }
}

/// Releases a command's pins and its slot.
#[inline]
pub(crate) fn release<F>(queue: &mut Queue, buffers: &mut HandleTable<Buffer<F>>, slot: u16) {
    while let Some(buffer) = queue.pop_pin(slot) {
        if let Ok(buffer) = buffers.get_mut(buffer) {
            buffer.unpin();
        }
    }
    queue.release_slot(slot);
}
