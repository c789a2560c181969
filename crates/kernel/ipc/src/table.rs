//! The capabilities of a process, and the places that its account pays for.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use account::{Account, Kind};
use cap::{CapTable, Slot, Target};
use cpu::{Guard, Lock};
use handles::Reservation;
use ring_abi::Refusal;

use crate::marks::Marks;

/// Places by which a table grows in one go, at least and at most.
const PLACES: (u32, u32) = (64, 1024);

/// A table that takes places of an account as it needs them.
#[derive(Debug)]
pub(crate) struct Table<O> {
    table: Lock<CapTable<O>>,
    /// How many places of its account it took. Changes under the lock of the table.
    places: AtomicU32,
}

/// Whose table it is: who pays for its places, and whether it may still grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder<'a> {
    pub(crate) account: &'a Arc<Account>,
    pub(crate) marks: &'a Marks,
}

impl<O: Target> Table<O> {
    /// An empty table without places.
    pub(crate) fn new() -> Self {
        Self {
            table: Lock::new(CapTable::new(0)),
            places: AtomicU32::new(0),
        }
    }

    /// The table itself.
    #[inline(always)]
    pub(crate) fn lock(&self) -> Guard<'_, CapTable<O>> {
        self.table.lock()
    }

    /// Puts a capability in, and takes more places for it where that is needed.
    ///
    /// # Errors
    /// `OverBudget`, `Exhausted`, `NoMemory`; the capability comes back.
    #[inline(always)]
    pub(crate) fn insert(
        &self,
        holder: Holder<'_>,
        slot: Slot<O>,
    ) -> Result<u64, (Refusal, Slot<O>)> {
        let mut table = self.table.lock();
        match table.insert(slot) {
            Err((Refusal::OverBudget, slot)) => match self.grow(holder, &mut table) {
                Ok(()) => table.insert(slot),
                Err(refusal) => Err((refusal, slot)),
            },
            done => done,
        }
    }

    /// Takes a place for a transaction, with the lock held.
    ///
    /// # Errors
    /// As for an insertion.
    pub(crate) fn reserve(
        &self,
        holder: Holder<'_>,
        table: &mut CapTable<O>,
    ) -> Result<Reservation, Refusal> {
        match table.reserve() {
            Err(Refusal::OverBudget) => {
                self.grow(holder, table)?;
                table.reserve()
            }
            done => done,
        }
    }

    /// Makes room for more capabilities, at the account's cost.
    #[cold]
    #[inline(never)]
    fn grow(&self, holder: Holder<'_>, table: &mut CapTable<O>) -> Result<(), Refusal> {
        let Holder { account, marks } = holder;
        if marks.is_dying() {
            return Err(Refusal::OverBudget);
        }
        let places = self.places.load(Ordering::Relaxed);
        let left = account.usage(Kind::Handles).left();
        let more = u64::from((places / 2).clamp(PLACES.0, PLACES.1)).min(left) as u32;
        if more == 0 {
            return Err(Refusal::OverBudget);
        }
        account.take(Kind::Handles, u64::from(more))?;
        let _paying = frames::paid_by(account);
        let room = frames::refusable(|| table.make_room(more));
        if room.is_ok() {
            self.places.store(places + more, Ordering::Relaxed);
        } else {
            drop(account.give_back(Kind::Handles, u64::from(more)));
        }
        room
    }

    /// Gives the places that nothing uses back to the account, to be given to somebody else.
    pub(crate) fn settle(&self, holder: Holder<'_>) {
        let mut table = self.table.lock();
        let used = table.len() + table.reserved();
        let places = self.places.load(Ordering::Relaxed);
        if !holder.marks.is_dying() && places > used {
            table.set_quota(used);
            self.places.store(used, Ordering::Relaxed);
            let unused = u64::from(places - used);
            drop(holder.account.give_back(Kind::Handles, unused));
        }
    }

    /// Takes nothing new from now on. A call on its way here that had its place before fills it, or gives it back, within the
    /// few steps that another CPU has left.
    pub(crate) fn close(&self) {
        self.table.lock().close();
        for _ in 0..1_000_000 {
            if self.table.lock().reserved() == 0 {
                break;
            }
            cpu::relax();
            let _ = sched::point();
        }
    }

    /// Takes every capability out of a table that was closed, and hands it to `each`.
    pub(crate) fn empty(&self, mut each: impl FnMut(Slot<O>)) {
        let mut from = Some(0);
        while let Some(at) = from {
            let slot = {
                let mut table = self.table.lock();
                let (handle, next) = table.next_live(at);
                from = next;
                handle.and_then(|handle| table.remove(handle).ok())
            };
            if let Some(slot) = slot {
                each(slot);
            }
            let _ = sched::point();
        }
    }

    /// Whether `is` says so of something that is there and not revoked. A step at a time, with a look in between.
    pub(crate) fn any_live(&self, is: impl Fn(&O) -> bool) -> bool {
        let mut from = Some(0);
        while let Some(at) = from {
            let found = {
                let table = self.table.lock();
                let (handle, next) = table.next_live(at);
                from = next;
                handle.is_some_and(|handle| table.get(handle).is_ok_and(&is))
            };
            if found {
                return true;
            }
            let _ = sched::point();
        }
        false
    }

    /// Puts what `instead` gives for a capability in its place, a step at a time.
    pub(crate) fn replace(&self, instead: impl Fn(&Slot<O>) -> Option<Slot<O>>) {
        let mut from = Some(0);
        while let Some(at) = from {
            let before = {
                let mut table = self.table.lock();
                let (handle, next) = table.next_live(at);
                from = next;
                handle.and_then(|handle| {
                    let other = instead(table.slot(handle).ok()?)?;
                    table.replace(handle, other).ok()
                })
            };
            // Whatever goes with it goes with no lock held.
            drop(before);
            let _ = sched::point();
        }
    }

    /// Gives the memory and the places of an empty table back, for good.
    pub(crate) fn end(&self, account: &Arc<Account>) {
        while self.table.lock().shed() {
            let _ = sched::point();
        }
        let places = self.places.swap(0, Ordering::Relaxed);
        drop(account.give_back(Kind::Handles, u64::from(places)));
    }
}
