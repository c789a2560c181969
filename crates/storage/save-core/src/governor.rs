//! What a tenant may use of a store, held before the store is asked.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::quota::Sizes;
use crate::{Backend, Bounds, Condition, Fault, Group, Listed, Loaded, Profile, Scope, Slot};

/// How much a tenant may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// Of bytes, in each profile.
    pub bytes: u64,
    /// Of slots, in each profile.
    pub slots: u64,
    /// Of writes on one day, in all profiles together.
    pub writes_per_day: u64,
    /// Of reads on one day, in all profiles together.
    pub reads_per_day: u64,
}

/// Says which day it is, as days since 1970.
pub trait Clock {
    /// Today.
    fn day(&self) -> u64;
}

impl<F: Fn() -> u64> Clock for F {
    fn day(&self) -> u64 {
        self()
    }
}

/// Where a tenant's use is kept: no facet has this profile.
const USE: Profile = Profile([0; 16]);
/// How many reads and writes are taken from the day's at once. A bridge that dies loses what is left of them, so that
/// a crash makes a tenant's day shorter and never longer.
const LEASE: [u64; 2] = [256, 32];
/// How often a lease is tried for while others take theirs.
const TRIES: u32 = 8;
#[derive(Clone, Copy)]
enum Act {
    Read,
    Write,
}

/// A store with an allowance in front of it. Several bridges may stand before one store: reads and writes are leased
/// from one count in the store, compared and set. Bytes and slots are counted by each for itself, from a listing at the
/// first use on.
#[derive(Debug)]
pub struct Governor<B, C> {
    backend: B,
    clock: C,
    allowance: Allowance,
    /// For each tenant: the day, and how many reads and writes are left of the lease.
    leases: BTreeMap<Scope, (u64, [u64; 2])>,
    sizes: Sizes,
}

impl<B: Backend, C: Clock> Governor<B, C> {
    /// Puts an allowance in front of a store.
    pub const fn new(backend: B, clock: C, allowance: Allowance) -> Self {
        Self {
            backend,
            clock,
            allowance,
            leases: BTreeMap::new(),
            sizes: Sizes::NONE,
        }
    }

    /// The store behind.
    pub const fn behind(&mut self) -> &mut B {
        &mut self.backend
    }

    /// Takes one from the lease, or a new lease from the day.
    fn charge(&mut self, scope: &Scope, act: Act) -> Result<(), Fault> {
        let scope = Scope {
            profile: USE,
            ..*scope
        };
        let today = self.clock.day();
        let (day, left) = self.leases.get(&scope).copied().unwrap_or_default();
        let mut left = if day == today { left } else { [0; 2] };
        let at = act as usize;
        if left[at] == 0 {
            left[at] = self.lease(&scope, today, act)?;
        }
        left[at] -= 1;
        self.leases.insert(scope, (today, left));
        Ok(())
    }

    fn lease(&mut self, scope: &Scope, today: u64, act: Act) -> Result<u64, Fault> {
        let at = act as usize;
        let most = [self.allowance.reads_per_day, self.allowance.writes_per_day][at];
        let slot = Slot::allowance();
        for _ in 0..TRIES {
            let loaded = self.backend.load(scope, &slot)?;
            let (day, mut used) = match &loaded {
                Some(loaded) => read_use(&loaded.bytes).ok_or(Fault::Damaged)?,
                None => (today, [0; 2]),
            };
            // A bridge whose clock is behind goes on with the other's day; one that is ahead begins the next.
            let day = match day < today {
                true => {
                    used = [0; 2];
                    today
                }
                false => day,
            };
            let lease = LEASE[at].min(most.saturating_sub(used[at]));
            if lease == 0 {
                return Err(Fault::OverQuota);
            }
            used[at] += lease;
            let only = loaded.map_or(Condition::Absent, |loaded| Condition::Is(loaded.token));
            let bytes: Vec<u8> = [day, used[0], used[1]]
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect();
            match self.backend.store(scope, &slot, &only, &bytes) {
                Ok(()) => return Ok(lease),
                // A lease whose answer is lost may be taken: then it is lost, and the next one is ours.
                Err(Fault::Precondition | Fault::Lost) => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(Fault::Busy {
            retry_after_ms: crate::backend::RETRY_AFTER_MS,
        })
    }
}

fn read_use(bytes: &[u8]) -> Option<(u64, [u64; 2])> {
    let number = |at| le::checked::array(bytes, at).map(u64::from_le_bytes);
    let fits = bytes.len() == 24;
    Some((number(0)?, [number(8)?, number(16)?])).filter(|_| fits)
}

impl<B: Backend, C: Clock> Backend for Governor<B, C> {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        self.charge(scope, Act::Read)?;
        self.backend.load(scope, slot)
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let bounds = Bounds {
            bytes: self.allowance.bytes,
            slots: self.allowance.slots,
        };
        let backend = &mut self.backend;
        self.sizes.admit(backend, scope, &[(slot, bytes)], bounds)?;
        self.charge(scope, Act::Write)?;
        let end = self.backend.store(scope, slot, only, bytes);
        // What may have happened is counted as if it had.
        if matches!(end, Ok(()) | Err(Fault::Lost)) {
            self.sizes.wrote(scope, slot, bytes);
        }
        end
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        self.charge(scope, Act::Write)?;
        self.backend.remove(scope, slot)?;
        self.sizes.removed(scope, slot);
        Ok(())
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault> {
        self.charge(scope, Act::Read)?;
        self.backend.list(scope, group, after, most)
    }
}
