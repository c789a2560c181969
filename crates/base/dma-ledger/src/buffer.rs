//! DMA buffers: where their pages are, and the way back to the allocator.

use sabotage::sabotage;

use crate::ids::{BufferId, Claim};
use crate::pages::{Pages, Quiesced, Scrubbed};
use crate::parts::{Buffer, BufferUse, Held};
use crate::receipts::ShootdownProof;
use crate::record::{FunctionRecord, FunctionState};
use crate::refusal::Refusal;

/// What a buffer's holder may know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BufferInfo {
    /// Bytes, in whole pages.
    pub bytes: u64,
    /// Segments in flight.
    pub in_flight: u32,
    /// User mappings.
    pub maps: u32,
}

impl<F> FunctionRecord<F> {
    /// Begins to free a buffer: nothing new may use it. Its mappings are to be removed next. Its bindings end before, with
    /// [`Self::end_bindings`], so that a queue's ring that goes on submitting cannot keep it for ever.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `ForeignBuffer`, `Stale` or `BadHandle`; `Busy` while a segment is in flight; `Duplicate`
    /// if it was begun before.
    pub fn begin_free(&mut self, claim: &Claim, buffer: BufferId) -> Result<(), Refusal> {
        self.check(claim)?;
        let known = self.pool_buffer_mut(buffer)?;
        if known.freeing {
            return Err(Refusal::Duplicate);
        }
        if known.in_flight() != 0 {
            return Err(Refusal::Busy);
        }
        known.freeing = true;
        Ok(())
    }

    /// Takes the pages of a buffer that is being freed, to be scrubbed: no mapping is left and the shootdown is over.
    ///
    /// # Errors
    /// `Quarantined`; `WrongState` before [`Self::begin_free`]; `Busy` while it is mapped or in flight; `Duplicate` if they
    /// were taken; `ForeignBuffer`, `Stale` or `BadHandle`.
    pub fn take_for_scrub(
        &mut self,
        buffer: BufferId,
        _shot_down: impl ShootdownProof,
    ) -> Result<Pages<Quiesced, F>, Refusal> {
        self.check_not_quarantined()?;
        let known = self.pool_buffer_mut(buffer)?;
        if !known.freeing {
            return Err(Refusal::WrongState);
        }
        if known.maps != 0 {
            return Err(Refusal::Busy);
        }
        known.take_quiet()
    }

    /// Takes pages back that were to be scrubbed, because the function's remapping unit does not forget them. The buffer
    /// stays as it is, being freed, for the end of the claim, which puts the function into quarantine.
    ///
    /// # Errors
    /// The pages come back with `ForeignBuffer`, `Stale` or `Duplicate` if they are not this record's.
    pub fn put_unforgotten(
        &mut self,
        pages: Pages<Quiesced, F>,
    ) -> Result<(), (Refusal, Pages<Quiesced, F>)> {
        match self.away(pages.buffer()) {
            Ok(slot) => {
                slot.held = Held::Quiesced(pages);
                Ok(())
            }
            Err(refusal) => Err((refusal, pages)),
        }
    }

    /// Ends a buffer: takes it off the accounts, raises its slot's generation and gives its frames back.
    ///
    /// # Errors
    /// The pages come back with `ForeignBuffer` or `Stale` if they are not this record's, with `Quarantined`, or with
    /// `WrongState` under teardown, where they are returned with [`Self::put_scrubbed`] instead.
    pub fn free(&mut self, pages: Pages<Scrubbed, F>) -> Result<F, (Refusal, Pages<Scrubbed, F>)> {
        let refusal = match self.state {
            FunctionState::Claimed(_) => self.away(pages.buffer()).err(),
            FunctionState::Quarantined => Some(Refusal::Quarantined),
            _ => Some(Refusal::WrongState),
        };
        if let Some(refusal) = refusal {
            return Err((refusal, pages));
        }
        self.remove_buffer(pages.buffer());
        Ok(pages.into_frames())
    }

    /// Takes scrubbed pages back under teardown; [`Self::frames_to_free`] gives their frames out at its end.
    ///
    /// # Errors
    /// The pages come back with `ForeignBuffer`, `Stale` or `Duplicate` if they are not this record's, with `Quarantined`,
    /// or with `WrongState` unless the teardown runs.
    pub fn put_scrubbed(
        &mut self,
        pages: Pages<Scrubbed, F>,
    ) -> Result<(), (Refusal, Pages<Scrubbed, F>)> {
        let refusal = match self.state {
            FunctionState::Revoking(_) => None,
            FunctionState::Quarantined => Some(Refusal::Quarantined),
            _ => Some(Refusal::WrongState),
        };
        let slot = match refusal {
            Some(refusal) => Err(refusal),
            None => self.away(pages.buffer()),
        };
        match slot {
            Ok(slot) => {
                slot.held = Held::Scrubbed(pages);
                self.scrubbed += 1;
                Ok(())
            }
            Err(refusal) => Err((refusal, pages)),
        }
    }

    /// Returns the frames of a live buffer, to be mapped or written into descriptors.
    ///
    /// # Errors
    /// `ForeignBuffer`, `Stale` or `BadHandle`; `WrongState` while its pages are away or scrubbed.
    #[inline]
    pub fn frames(&self, buffer: BufferId) -> Result<&F, Refusal> {
        match &self.buffer(buffer)?.held {
            Held::Committed(pages) => Ok(pages.frames()),
            Held::DeviceVisible(pages) => Ok(pages.frames()),
            Held::Quiesced(pages) => Ok(pages.frames()),
            Held::Away | Held::Scrubbed(_) => Err(Refusal::WrongState),
        }
    }

    /// Tells a buffer's holder about it.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `ForeignBuffer`, `Stale` or `BadHandle`.
    pub fn buffer_info(&self, claim: &Claim, buffer: BufferId) -> Result<BufferInfo, Refusal> {
        self.check(claim)?;
        let known = self.buffer(buffer)?;
        Ok(BufferInfo {
            bytes: known.bytes,
            in_flight: known.in_flight(),
            maps: known.maps,
        })
    }

    pub(crate) fn buffer(&self, buffer: BufferId) -> Result<&Buffer<F>, Refusal> {
        if buffer.function != self.id && !sabotage!(ACCEPT_FOREIGN_BUFFER) {
            return Err(Refusal::ForeignBuffer);
        }
        sabotage!(SKIP_BUFFER_GENERATION => {
            let found = self.buffers.get_unchecked_generation(buffer.handle);
            return found.ok_or(Refusal::BadHandle);
        });
        self.buffers.get(buffer.handle).map_err(Refusal::from)
    }

    /// Removes a buffer whose pages are away or free, with its charge.
    pub(crate) fn remove_buffer(&mut self, buffer: BufferId) -> Option<Buffer<F>> {
        let removed = self.buffers.remove(buffer.handle).ok()?;
        self.uncharge(removed.usage, removed.bytes);
        Some(removed)
    }

    /// A buffer that a provider owns; a broker's run is nobody else's to name.
    pub(crate) fn pool_buffer_mut(&mut self, buffer: BufferId) -> Result<&mut Buffer<F>, Refusal> {
        if buffer.function != self.id {
            return Err(Refusal::ForeignBuffer);
        }
        let known = self.buffers.get_mut(buffer.handle).map_err(Refusal::from)?;
        if known.usage == BufferUse::Broker {
            Err(Refusal::ForeignBuffer)
        } else {
            Ok(known)
        }
    }

    /// Makes the broker's idle runs device-visible again.
    pub(crate) fn expose_broker_runs(&mut self) {
        // They are the oldest, so this ends before it has looked at what programs keep.
        let mut left = self.broker_bytes;
        for (_, buffer) in self.buffers.iter_mut() {
            if left == 0 {
                break;
            }
            if buffer.usage != BufferUse::Broker {
                continue;
            }
            left = left.saturating_sub(buffer.bytes);
            if matches!(buffer.held, Held::Quiesced(_)) {
                buffer.pin();
            }
        }
    }

    pub(crate) fn check_not_quarantined(&self) -> Result<(), Refusal> {
        if self.state == FunctionState::Quarantined {
            Err(Refusal::Quarantined)
        } else {
            Ok(())
        }
    }

    /// The buffer whose pages are out to be scrubbed.
    fn away(&mut self, buffer: BufferId) -> Result<&mut Buffer<F>, Refusal> {
        if buffer.function != self.id {
            return Err(Refusal::ForeignBuffer);
        }
        let known = self.buffers.get_mut(buffer.handle).map_err(Refusal::from)?;
        if matches!(known.held, Held::Away) {
            Ok(known)
        } else {
            Err(Refusal::Duplicate)
        }
    }
}
