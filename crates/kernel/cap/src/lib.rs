//! Capabilities: object epochs and the handle table of a process.
//!
//! Owns the order in which every use is checked: handle generation, then object epoch, then liveness, and refused
//! before any side effect. Invariant: it never knows what an object does, and there are no rights bits: a narrower
//! right is a narrower object.
#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use handles::{Handle, HandleTable, Reservation};
use ring_abi::Refusal;
use sabotage::sabotage;

/// The number of an object, for whoever looks: never used again, and neither an address nor a right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Number(u64);

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

impl Number {
    /// The number of one more object.
    #[must_use]
    pub fn next() -> Self {
        Self(NEXT_NUMBER.fetch_add(1, Ordering::Relaxed))
    }

    /// As it is told.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// An object's epoch: raised by one to revoke every slot that was made before. Each object has one, and so a number.
#[derive(Debug)]
pub struct Epoch {
    raised: AtomicU64,
    number: Number,
}

/// The epoch that objects begin with.
const FIRST: u64 = 1;

impl Default for Epoch {
    fn default() -> Self {
        Self {
            raised: AtomicU64::new(FIRST),
            number: Number::next(),
        }
    }
}

impl Epoch {
    /// The epoch now.
    pub fn now(&self) -> u64 {
        self.raised.load(Ordering::Acquire)
    }

    /// The number of the object whose epoch this is.
    pub const fn number(&self) -> Number {
        self.number
    }

    /// Checks that a grant of `granted` is current.
    ///
    /// # Errors
    /// `Revoked`.
    #[inline(always)]
    pub fn check(&self, granted: u64) -> Result<(), Refusal> {
        if self.now() != granted && !sabotage!(SKIP_EPOCH_CHECK) {
            return Err(Refusal::Revoked);
        }
        Ok(())
    }

    /// Whether anything was ever revoked.
    pub fn is_raised(&self) -> bool {
        self.now() != FIRST
    }

    /// Revokes everything granted before. At the last value it stays there, and nothing new is ever current.
    pub fn revoke(&self) {
        let _ = self
            .raised
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |e| e.checked_add(1));
    }
}

/// What a slot refers to.
pub trait Target: Clone {
    /// The object's epoch.
    fn epoch(&self) -> &Epoch;
    /// Whether a grant of `epoch` still holds and the object itself still works; a facet asks its endpoint here. The
    /// epoch comes first. One question and not two: where the object is behind a pointer, each is a call.
    ///
    /// # Errors
    /// `Revoked`, or the object's own reason.
    fn valid(&self, epoch: u64) -> Result<(), Refusal>;
}

/// One capability: an object, and the epoch at which it was granted.
#[derive(Clone, Debug)]
pub struct Slot<T> {
    object: T,
    epoch: u64,
    interface: u64,
}

impl<T: Target> Slot<T> {
    /// Grants an object as of now.
    #[inline(always)]
    pub fn new(object: T, interface: u64) -> Self {
        let epoch = object.epoch().now();
        Self {
            object,
            epoch,
            interface,
        }
    }

    /// The object, if the grant still holds.
    ///
    /// # Errors
    /// `Revoked`, or the object's own reason.
    #[inline(always)]
    pub fn check(&self) -> Result<&T, Refusal> {
        self.object.valid(self.epoch)?;
        Ok(&self.object)
    }

    /// The object, whether or not the grant holds: for what happens when it is dropped.
    pub const fn object(&self) -> &T {
        &self.object
    }

    /// The epoch at which it was granted.
    pub const fn granted(&self) -> u64 {
        self.epoch
    }

    /// The object by value; the grant is gone.
    pub fn into_object(self) -> T {
        self.object
    }

    /// The interface it was granted as.
    pub const fn interface(&self) -> u64 {
        self.interface
    }
}

/// Places that one step of a walk over a table looks at, most of which may be empty.
const PLACES_PER_STEP: u32 = 256;

/// The capabilities of one process.
#[derive(Debug)]
pub struct CapTable<T> {
    table: HandleTable<Slot<T>>,
}

impl<T: Target> CapTable<T> {
    /// An empty table of at most `quota` capabilities.
    pub fn new(quota: u32) -> Self {
        Self {
            table: HandleTable::new(quota),
        }
    }

    /// Checks a handle in full and gives the object.
    ///
    /// # Errors
    /// `BadHandle`, `Stale`, `Revoked`, or the object's own reason.
    #[inline(always)]
    pub fn get(&self, handle: u64) -> Result<&T, Refusal> {
        self.slot(handle)?.check()
    }

    /// Checks the handle alone.
    ///
    /// # Errors
    /// `BadHandle`, `Stale`.
    #[inline(always)]
    pub fn slot(&self, handle: u64) -> Result<&Slot<T>, Refusal> {
        Ok(self.table.get(Handle::from_raw(handle))?)
    }

    /// What is in the slot now, whatever generation the handle has: the sabotage point "skip-generation-check".
    #[cfg(sabotage)]
    pub fn slot_of_any_generation(&self, handle: u64) -> Option<&Slot<T>> {
        self.table
            .get_unchecked_generation(Handle::from_raw(handle))
    }

    /// Adds a capability.
    ///
    /// # Errors
    /// `OverBudget` or `Exhausted`, with the slot.
    #[inline(always)]
    pub fn insert(&mut self, slot: Slot<T>) -> Result<u64, (Refusal, Slot<T>)> {
        self.table
            .insert(slot)
            .map(Handle::raw)
            .map_err(|(e, slot)| (e.into(), slot))
    }

    /// Raises the bound by `more` and makes room for as many.
    ///
    /// # Errors
    /// `Exhausted`, `NoMemory`; nothing changes then.
    pub fn make_room(&mut self, more: u32) -> Result<(), Refusal> {
        Ok(self.table.make_room(more)?)
    }

    /// Lowers or raises the bound. What is above it stays; nothing new comes.
    pub const fn set_quota(&mut self, quota: u32) {
        self.table.set_quota(quota);
    }

    /// Takes a capability out; the caller drops it after it has let go of every lock.
    ///
    /// # Errors
    /// `BadHandle`, `Stale`.
    #[inline(always)]
    pub fn remove(&mut self, handle: u64) -> Result<Slot<T>, Refusal> {
        Ok(self.table.remove(Handle::from_raw(handle))?)
    }

    /// As [`Self::remove`], if the object is one that `is` wants; `None`: it is another, and stays.
    ///
    /// # Errors
    /// As for [`Self::remove`].
    #[inline(always)]
    pub fn remove_if(
        &mut self,
        handle: u64,
        is: impl FnOnce(&T) -> bool,
    ) -> Result<Option<Slot<T>>, Refusal> {
        let is = |slot: &Slot<T>| is(&slot.object);
        Ok(self.table.remove_if(Handle::from_raw(handle), is)?)
    }

    /// Puts another capability in the place of one that is there, under the same handle. The caller drops what was there after
    /// it has let go of every lock.
    ///
    /// # Errors
    /// The new one, where the handle names nothing.
    pub fn replace(&mut self, handle: u64, slot: Slot<T>) -> Result<Slot<T>, Slot<T>> {
        match self.table.get_mut(Handle::from_raw(handle)) {
            Ok(place) => Ok(core::mem::replace(place, slot)),
            Err(_) => Err(slot),
        }
    }

    /// Reserves a place for a transaction.
    ///
    /// # Errors
    /// `OverBudget`, `Exhausted`.
    pub fn reserve(&mut self) -> Result<Reservation, Refusal> {
        Ok(self.table.reserve()?)
    }

    /// Fills a reserved place.
    ///
    /// # Errors
    /// The slot, if the reservation is of another table.
    pub fn commit(&mut self, place: Reservation, slot: Slot<T>) -> Result<u64, Slot<T>> {
        self.table.commit(place, slot).map(Handle::raw)
    }

    /// Gives a reserved place back.
    pub fn rollback(&mut self, place: Reservation) {
        self.table.rollback(place);
    }

    /// The first live handle from slot `from` on, and the slot to go on from: for emptying the table without holding its
    /// lock for long.
    pub fn next_live(&self, from: u32) -> (Option<u64>, Option<u32>) {
        let (handle, next) = self.table.next_live(from, PLACES_PER_STEP);
        (handle.map(Handle::raw), next)
    }

    /// Gives back the memory of some places, once the table is empty, for good. `false`: none is left.
    pub fn shed(&mut self) -> bool {
        self.table.shed()
    }

    /// Takes nothing new any more.
    pub const fn close(&mut self) {
        self.table.set_quota(0);
    }

    /// Count of places that a transaction holds.
    pub const fn reserved(&self) -> u32 {
        self.table.reserved()
    }

    /// Count of places worn out for good.
    pub const fn retired(&self) -> u32 {
        self.table.retired()
    }

    /// Every live capability.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Slot<T>)> {
        self.table.iter().map(|(h, s)| (h.raw(), s))
    }

    /// Count of live capabilities.
    pub const fn len(&self) -> u32 {
        self.table.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}
