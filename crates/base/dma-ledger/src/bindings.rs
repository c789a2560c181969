//! The places of a queue's ring, and what is bound to each.

use alloc::vec::Vec;

use device_ring::Binding;
use handles::Handle;
use sabotage::sabotage;

use crate::refusal::Refusal;

/// Buffers that can be bound to a queue at a time.
pub const MAX_BINDINGS: usize = 128;

/// One opening of a queue's ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingId(u64);

#[derive(Clone, Copy, Debug)]
struct Place {
    /// 0: nothing is bound.
    generation: u32,
    buffer: Handle,
    /// How often the buffer's bindings had been ended.
    unbound: u64,
}

/// What is bound to a queue.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    is_open: bool,
    /// How often it was opened.
    opened: u64,
    /// The generation given last.
    last: u32,
    places: Vec<Place>,
}

impl Bindings {
    /// Nothing is bound any more.
    pub(crate) const fn end(&mut self) {
        self.is_open = false;
    }

    /// Opens the ring, with nothing bound.
    ///
    /// # Errors
    /// `Duplicate` while it is open; `NoMemory`; `Exhausted`.
    pub(crate) fn open(&mut self) -> Result<RingId, Refusal> {
        if self.is_open {
            return Err(Refusal::Duplicate);
        }
        let opened = self.opened.checked_add(1).ok_or(Refusal::Exhausted)?;
        self.places.clear();
        self.places
            .try_reserve_exact(MAX_BINDINGS)
            .map_err(|_| Refusal::NoMemory)?;
        let nothing = Place {
            generation: 0,
            buffer: Handle::NULL,
            unbound: 0,
        };
        self.places
            .extend(core::iter::repeat_n(nothing, MAX_BINDINGS));
        self.opened = opened;
        self.is_open = true;
        Ok(RingId(opened))
    }

    /// Checks that this opening is the last one, and has not ended.
    ///
    /// # Errors
    /// `Stale` for a ring of before.
    #[inline]
    pub(crate) fn check(&self, ring: RingId) -> Result<(), Refusal> {
        if self.is_open && self.opened == ring.0 {
            Ok(())
        } else {
            Err(Refusal::Stale)
        }
    }

    /// The buffer behind a binding, and how often its bindings had been ended then.
    ///
    /// # Errors
    /// `OutOfRange` for a place that there is not, `Stale` for an old generation or a free place.
    #[inline]
    pub(crate) fn find(&self, binding: Binding) -> Result<(Handle, u64), Refusal> {
        let place = self
            .places
            .get(usize::from(binding.slot))
            .ok_or(Refusal::OutOfRange)?;
        if (place.generation != binding.generation && !sabotage!(BINDING_ANY_GENERATION))
            || place.generation == 0
        {
            return Err(Refusal::Stale);
        }
        Ok((place.buffer, place.unbound))
    }

    /// Binds a buffer to a free place, or to one whose buffer `is_over`. Bounded by the number of places.
    ///
    /// # Errors
    /// `Exhausted` after the last generation; `OverBudget` where no place is free.
    pub(crate) fn bind(
        &mut self,
        buffer: Handle,
        unbound: u64,
        is_over: impl Fn(Handle, u64) -> bool,
    ) -> Result<Binding, Refusal> {
        let generation = self.last.checked_add(1).ok_or(Refusal::Exhausted)?;
        let free = self
            .places
            .iter_mut()
            .enumerate()
            .find(|(_, place)| place.generation == 0 || is_over(place.buffer, place.unbound));
        let (slot, place) = free.ok_or(Refusal::OverBudget)?;
        *place = Place {
            generation,
            buffer,
            unbound,
        };
        self.last = generation;
        Ok(Binding {
            slot: slot as u8,
            generation,
        })
    }

    /// Frees a place.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(crate) fn unbind(&mut self, binding: Binding) -> Result<(), Refusal> {
        self.find(binding)?;
        if let Some(place) = self.places.get_mut(usize::from(binding.slot)) {
            place.generation = 0;
        }
        Ok(())
    }
}
