//! The table: slots, the first-in-first-out free list, reservations.

use crate::handle::{GENERATION_BITS, Handle, MAX_SLOTS};
use crate::slots::Slots;
use ring_abi::Refusal;

/// Why a table refused. The numbers are stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum HandleError {
    /// The handle was valid once and its slot has moved on; a holder that kept a copy causes this.
    Stale = 1,
    /// No slot ever issued this handle; only a made-up number causes this.
    NeverIssued = 2,
    /// The table holds as many entries as its quota allows; the table's owner causes this.
    OverBudget = 3,
    /// The slot used up its last generation (lookup), or every slot of the table did (insert).
    Retired = 4,
    /// The kernel heap could not grow the table.
    NoMemory = 5,
}

/// What the caller is told whose handle it is.
impl From<HandleError> for Refusal {
    #[inline]
    fn from(error: HandleError) -> Self {
        match error {
            HandleError::Stale => Self::Stale,
            HandleError::NeverIssued => Self::BadHandle,
            HandleError::OverBudget => Self::OverBudget,
            HandleError::Retired => Self::Exhausted,
            HandleError::NoMemory => Self::NoMemory,
        }
    }
}

/// End of the free list. No slot has this index, because indices stay below `MAX_SLOTS`.
const NIL: u32 = u32::MAX;

#[derive(Debug)]
enum Body<T> {
    Live(T),
    Reserved,
    Free { next: u32 },
    Retired,
}

#[derive(Debug)]
struct Slot<T> {
    /// The generation the slot has now (live or reserved) or will have next (free).
    generation: u64,
    body: Body<T>,
}

/// A slot taken out of the free list for a transaction that has not decided yet.
///
/// Give it back to the table that made it, with [`HandleTable::commit`] or [`HandleTable::rollback`]. A reservation
/// that is lost keeps its slot and its share of the quota until the table goes.
#[must_use = "a reservation occupies a slot until it is committed or rolled back"]
#[derive(Debug, PartialEq, Eq)]
pub struct Reservation {
    handle: Handle,
}

impl Reservation {
    /// Returns the handle that a commit will make valid. It names nothing before.
    #[must_use]
    pub const fn handle(&self) -> Handle {
        self.handle
    }
}

/// A table of `T` named by [`Handle`]s.
///
/// `BITS` is the width of the generation, and `SLOTS` how many slots there can be: both are narrowed only by tests and proofs
/// that want to reach the end.
/// Lookup, removal, commit and rollback take constant time and never allocate. Insertion and reservation allocate
/// only when the table has to grow.
#[derive(Debug)]
pub struct HandleTable<T, const BITS: u32 = GENERATION_BITS, const SLOTS: u32 = MAX_SLOTS> {
    slots: Slots<Slot<T>>,
    free_head: u32,
    free_tail: u32,
    live: u32,
    reserved: u32,
    retired: u32,
    quota: u32,
}

impl<T, const BITS: u32, const SLOTS: u32> HandleTable<T, BITS, SLOTS> {
    /// The generation after which a slot retires.
    pub const LAST_GENERATION: u64 = {
        assert!(BITS >= 1 && BITS <= GENERATION_BITS);
        (1 << BITS) - 1
    };

    /// Makes an empty table that may hold at most `quota` entries, reserved ones included.
    #[must_use]
    pub const fn new(quota: u32) -> Self {
        const { assert!(SLOTS <= MAX_SLOTS, "an index has as many bits") };
        Self {
            slots: Slots::new(),
            free_head: NIL,
            free_tail: NIL,
            live: 0,
            reserved: 0,
            retired: 0,
            quota,
        }
    }

    /// Stores `value` and returns its handle; the value comes back with the refusal.
    ///
    /// # Errors
    /// `OverBudget`, `Retired` or `NoMemory`.
    #[inline(always)]
    pub fn insert(&mut self, value: T) -> Result<Handle, (HandleError, T)> {
        match self.take_free() {
            Ok((index, generation)) => {
                if let Some(slot) = self.slots.get_mut(index) {
                    slot.body = Body::Live(value);
                }
                self.live += 1;
                Ok(Handle::compose(index, generation))
            }
            Err(error) => Err((error, value)),
        }
    }

    /// Takes a slot for a transaction that will commit it or roll it back.
    ///
    /// # Errors
    /// `OverBudget`, `Retired` or `NoMemory`, as for an insertion: once this succeeds, the commit cannot fail.
    pub fn reserve(&mut self) -> Result<Reservation, HandleError> {
        let (index, generation) = self.take_free()?;
        if let Some(slot) = self.slots.get_mut(index) {
            slot.body = Body::Reserved;
        }
        self.reserved += 1;
        Ok(Reservation {
            handle: Handle::compose(index, generation),
        })
    }

    /// Makes a reserved slot live.
    ///
    /// # Errors
    /// Gives the value back, with nothing changed, if this table has no such reservation.
    pub fn commit(&mut self, reservation: Reservation, value: T) -> Result<Handle, T> {
        match self.reserved_slot(&reservation) {
            Some(slot) => {
                slot.body = Body::Live(value);
                self.reserved -= 1;
                self.live += 1;
                Ok(reservation.handle)
            }
            None => Err(value),
        }
    }

    /// Whether this table has the reservation, that is, whether a commit of it will succeed.
    #[must_use]
    pub fn holds(&self, reservation: &Reservation) -> bool {
        let handle = reservation.handle;
        matches!(
            self.slots.get(handle.index()),
            Some(Slot { generation, body: Body::Reserved }) if *generation == handle.generation()
        )
    }

    /// Gives a reserved slot back. Its handle counts as used, so a copy that escaped never becomes valid.
    ///
    /// A reservation that this table does not have is ignored.
    pub fn rollback(&mut self, reservation: Reservation) {
        if self.reserved_slot(&reservation).is_some() {
            self.reserved -= 1;
            self.recycle(reservation.handle.index());
        }
    }

    /// Returns the entry that `handle` names.
    ///
    /// # Errors
    /// `Stale`, `NeverIssued` or `Retired`.
    #[inline(always)]
    pub fn get(&self, handle: Handle) -> Result<&T, HandleError> {
        match self.slots.get(handle.index()) {
            Some(Slot {
                generation,
                body: Body::Live(value),
            }) if *generation == handle.generation() => Ok(value),
            slot => Err(explain(slot, handle)),
        }
    }

    /// Returns the entry that `handle` names, for change.
    ///
    /// # Errors
    /// `Stale`, `NeverIssued` or `Retired`.
    #[inline]
    pub fn get_mut(&mut self, handle: Handle) -> Result<&mut T, HandleError> {
        let Some(slot) = self.slots.get_mut(handle.index()) else {
            return Err(explain(None::<&Slot<T>>, handle));
        };
        if slot.generation != handle.generation() || !matches!(slot.body, Body::Live(_)) {
            return Err(explain(Some(slot), handle));
        }
        match &mut slot.body {
            Body::Live(value) => Ok(value),
            _ => Err(HandleError::NeverIssued),
        }
    }

    /// Takes the entry out and makes its handle stale for good.
    ///
    /// # Errors
    /// `Stale`, `NeverIssued` or `Retired`; the table is unchanged then.
    #[inline(always)]
    pub fn remove(&mut self, handle: Handle) -> Result<T, HandleError> {
        self.remove_if(handle, |_| true)?
            .ok_or(HandleError::NeverIssued)
    }

    /// As [`Self::remove`], if `is` says so of the entry. `None`: it does not, and the table is unchanged.
    ///
    /// # Errors
    /// As for [`Self::remove`].
    #[inline(always)]
    pub fn remove_if(
        &mut self,
        handle: Handle,
        is: impl FnOnce(&T) -> bool,
    ) -> Result<Option<T>, HandleError> {
        let Some(slot) = self.slots.get_mut(handle.index()) else {
            return Err(explain(None::<&Slot<T>>, handle));
        };
        match &slot.body {
            Body::Live(value) if slot.generation == handle.generation() => {
                if !is(value) {
                    return Ok(None);
                }
            }
            _ => return Err(explain(Some(slot), handle)),
        }
        let ends = slot.generation >= Self::LAST_GENERATION;
        slot.generation += u64::from(!ends);
        let next = if ends {
            Body::Retired
        } else {
            Body::Free { next: NIL }
        };
        let body = core::mem::replace(&mut slot.body, next);
        self.live -= 1;
        if ends {
            self.retired += 1;
        } else {
            self.queue(handle.index());
        }
        match body {
            Body::Live(value) => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    /// Visits every live entry, in index order. For teardown and diagnostics, not for per-message paths.
    pub fn iter(&self) -> impl Iterator<Item = (Handle, &T)> {
        (0u32..)
            .zip(self.slots.iter())
            .filter_map(|(index, slot)| match &slot.body {
                Body::Live(value) => Some((Handle::compose(index, slot.generation), value)),
                _ => None,
            })
    }

    /// Visits every live entry for change, in index order. For teardown, not for per-message paths.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Handle, &mut T)> {
        (0u32..)
            .zip(self.slots.iter_mut())
            .filter_map(|(index, slot)| match &mut slot.body {
                Body::Live(value) => Some((Handle::compose(index, slot.generation), value)),
                _ => None,
            })
    }

    /// Returns the first live handle with an index of at least `from`, looking at no more than `limit` slots, and the
    /// index to go on from (`None` at the end of the table).
    ///
    /// A process is taken down with this in bounded, preemptible steps.
    #[must_use]
    #[inline]
    pub fn next_live(&self, from: u32, limit: u32) -> (Option<Handle>, Option<u32>) {
        if self.live == 0 {
            // However many there were once.
            return (None, None);
        }
        // Most often the next one is: whoever takes a table down starts at its first slot and goes on behind each.
        if limit > 0
            && let Some(slot) = self.slots.get(from)
            && matches!(slot.body, Body::Live(_))
        {
            let handle = Handle::compose(from, slot.generation);
            return (Some(handle), Some(from + 1));
        }
        self.search(from, limit)
    }

    /// As [`Self::next_live`], where the slot at `from` may be any.
    #[inline(never)]
    fn search(&self, from: u32, limit: u32) -> (Option<Handle>, Option<u32>) {
        let end = from.saturating_add(limit).min(self.slot_count());
        let mut index = from;
        while index < end {
            let stretch = self.slots.stretch(index);
            // None where the table is going away.
            let looked = stretch.len().clamp(1, (end - index) as usize);
            let is_live = |slot: &Slot<T>| matches!(slot.body, Body::Live(_));
            let first = stretch.iter().take(looked).position(is_live);
            if let Some(at) = first
                && let Some(slot) = stretch.get(at)
            {
                let index = index + at as u32;
                return (
                    Some(Handle::compose(index, slot.generation)),
                    Some(index + 1),
                );
            }
            index += looked as u32;
        }
        (None, (end < self.slot_count()).then_some(end))
    }

    /// Gives back the memory of some slots, for the end of a table in which nothing is: it takes nothing any more. `false`:
    /// none is left, or something is in the table.
    ///
    /// What is long goes in bounded steps so.
    pub fn shed(&mut self) -> bool {
        self.quota = 0;
        self.live == 0 && self.reserved == 0 && self.slots.shed()
    }

    /// Removes every live entry; their handles are stale for good. Reservations stay.
    pub fn clear(&mut self) {
        if self.live == 0 {
            return;
        }
        let mut from = Some(0);
        while let Some(at) = from {
            let (handle, next) = self.next_live(at, u32::MAX);
            if let Some(handle) = handle {
                drop(self.remove(handle));
            }
            from = next;
        }
    }

    /// Returns the number of live entries.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.live
    }

    /// Whether no entry is live.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Returns the number of reserved slots.
    #[must_use]
    pub const fn reserved(&self) -> u32 {
        self.reserved
    }

    /// Returns the number of slots that used up their last generation.
    #[must_use]
    pub const fn retired(&self) -> u32 {
        self.retired
    }

    /// Returns the entry quota.
    #[must_use]
    pub const fn quota(&self) -> u32 {
        self.quota
    }

    /// Changes the quota. Entries above a lowered quota stay; only new ones are refused.
    pub const fn set_quota(&mut self, quota: u32) {
        self.quota = quota;
    }

    /// Raises the quota by `more` and makes room for as many entries, so that none of them needs memory when it comes.
    ///
    /// # Errors
    /// `Retired` where there are not so many slots, `NoMemory`; the quota is unchanged then.
    pub fn make_room(&mut self, more: u32) -> Result<(), HandleError> {
        let quota = self.quota.checked_add(more).ok_or(HandleError::Retired)?;
        let slots = quota
            .checked_add(self.retired)
            .ok_or(HandleError::Retired)?;
        if slots > SLOTS {
            return Err(HandleError::Retired);
        }
        let missing = slots.saturating_sub(self.slot_count());
        if !self.slots.make_room(missing as usize) {
            return Err(HandleError::NoMemory);
        }
        self.quota = quota;
        Ok(())
    }

    /// Returns what the slot holds now, whatever generation the handle carries.
    ///
    /// Exists only in the sabotage kernel, where it shows that the smokes notice a skipped generation check.
    #[cfg(sabotage)]
    #[must_use]
    pub fn get_unchecked_generation(&self, handle: Handle) -> Option<&T> {
        match self.slots.get(handle.index()) {
            Some(Slot {
                body: Body::Live(value),
                ..
            }) => Some(value),
            _ => None,
        }
    }

    fn slot_count(&self) -> u32 {
        // Never more than SLOTS, see `grow`.
        self.slots.len() as u32
    }

    fn reserved_slot(&mut self, reservation: &Reservation) -> Option<&mut Slot<T>> {
        let handle = reservation.handle;
        self.slots.get_mut(handle.index()).filter(|slot| {
            matches!(slot.body, Body::Reserved) && slot.generation == handle.generation()
        })
    }

    /// Unlinks the slot that has been free longest, or makes one. The caller sets its body.
    #[inline(always)]
    fn take_free(&mut self) -> Result<(u32, u64), HandleError> {
        if self.live.saturating_add(self.reserved) >= self.quota {
            return Err(HandleError::OverBudget);
        }
        let index = self.free_head;
        if let Some(Slot {
            generation,
            body: Body::Free { next },
        }) = self.slots.get(index)
        {
            self.free_head = *next;
            if self.free_head == NIL {
                self.free_tail = NIL;
            }
            return Ok((index, *generation));
        }
        self.grow()
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> Result<(u32, u64), HandleError> {
        let index = self.slot_count();
        if index >= SLOTS {
            return Err(HandleError::Retired);
        }
        let slot = Slot {
            generation: 1,
            body: Body::Reserved,
        };
        if self.slots.make_room(1) && self.slots.push(slot) {
            Ok((index, 1))
        } else {
            Err(HandleError::NoMemory)
        }
    }

    /// Ends the occupancy of a slot that holds nothing: raises its generation and queues it for reuse, or retires it.
    fn recycle(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        let ends = slot.generation >= Self::LAST_GENERATION;
        slot.generation += u64::from(!ends);
        slot.body = if ends {
            Body::Retired
        } else {
            Body::Free { next: NIL }
        };
        if ends {
            self.retired += 1;
        } else {
            self.queue(index);
        }
    }

    /// Queues a slot for reuse.
    #[inline(always)]
    fn queue(&mut self, index: u32) {
        if self.free_tail == NIL {
            self.free_head = index;
        } else if let Some(Slot {
            body: Body::Free { next },
            ..
        }) = self.slots.get_mut(self.free_tail)
        {
            *next = index;
        }
        self.free_tail = index;
    }
}

/// Names the reason why a lookup failed. Off the fast path.
#[cold]
fn explain<T>(slot: Option<&Slot<T>>, handle: Handle) -> HandleError {
    match slot {
        Some(slot) if handle.generation() == 0 || handle.generation() > slot.generation => {
            HandleError::NeverIssued
        }
        Some(slot) if handle.generation() < slot.generation => HandleError::Stale,
        Some(Slot {
            body: Body::Retired,
            ..
        }) => HandleError::Retired,
        // Free or reserved: this generation is still to be issued.
        _ => HandleError::NeverIssued,
    }
}
