//! How many bytes and slots lie in a scope, and how many may.

use alloc::collections::BTreeMap;

use sabotage::sabotage;

use crate::{Backend, Fault, Group, Scope, Slot};

/// The longest listing asked for at once.
const PAGE: usize = 500;

/// What a profile may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Of bytes.
    pub bytes: u64,
    /// Of slots: versions, lines, and what is kept of capsules.
    pub slots: u64,
}

/// What lies in scopes, each listed at its first use and counted from then on.
#[derive(Debug, Default)]
pub(crate) struct Sizes(BTreeMap<Scope, BTreeMap<Slot, u64>>);

impl Sizes {
    /// Nothing was listed yet.
    pub const NONE: Self = Self(BTreeMap::new());

    fn of(
        &mut self,
        backend: &mut dyn Backend,
        scope: &Scope,
    ) -> Result<&mut BTreeMap<Slot, u64>, Fault> {
        if !self.0.contains_key(scope) {
            let mut sizes = BTreeMap::new();
            let mut after: Option<Slot> = None;
            loop {
                let listed = backend.list(scope, Group::All, after.as_ref(), PAGE)?;
                let whole = listed.len() < PAGE;
                let before = sizes.len();
                after = listed.last().map(|line| line.slot.clone());
                sizes.extend(listed.into_iter().map(|line| (line.slot, line.bytes)));
                if whole || sizes.len() == before {
                    break;
                }
            }
            self.0.insert(*scope, sizes);
        }
        Ok(self.0.entry(*scope).or_default())
    }

    /// Whether that may be written.
    pub fn admit(
        &mut self,
        backend: &mut dyn Backend,
        scope: &Scope,
        writes: &[(&Slot, &[u8])],
        bounds: Bounds,
    ) -> Result<(), Fault> {
        let sizes = self.of(backend, scope)?;
        let used: u64 = sizes.values().sum();
        let (mut after, mut slots) = (used, sizes.len() as u64);
        for (slot, bytes) in writes {
            let before = sizes.get(*slot).copied();
            after = after - before.unwrap_or(0) + bytes.len() as u64;
            slots += u64::from(before.is_none());
        }
        let fits = after <= bounds.bytes && slots <= bounds.slots;
        if !fits && !sabotage!(SAVE_FOR_NOTHING) {
            return Err(Fault::OverQuota);
        }
        Ok(())
    }

    /// Counts what was written, or may have been.
    pub fn wrote(&mut self, scope: &Scope, slot: &Slot, bytes: &[u8]) {
        if let Some(sizes) = self.0.get_mut(scope) {
            sizes.insert(slot.clone(), bytes.len() as u64);
        }
    }

    /// Counts what was removed.
    pub fn removed(&mut self, scope: &Scope, slot: &Slot) {
        if let Some(sizes) = self.0.get_mut(scope) {
            sizes.remove(slot);
        }
    }
}

/// Bounds of the scopes that have some, in front of a store that is this machine's alone.
#[derive(Debug, Default)]
pub struct Quota {
    bounds: BTreeMap<Scope, Bounds>,
    sizes: Sizes,
}

impl Quota {
    /// From now on a scope may have so much.
    pub fn bound(&mut self, scope: Scope, bounds: Bounds) {
        self.bounds.insert(scope, bounds);
    }

    /// Whether that may be written, all of it as one. What was noted of the way to a bridge always may: it is as much as there are
    /// records, and without it nothing would be known to be there.
    ///
    /// # Errors
    /// [`Fault::OverQuota`], and those of the store's listing.
    pub fn admit(
        &mut self,
        backend: &mut dyn Backend,
        scope: &Scope,
        writes: &[(&Slot, &[u8])],
    ) -> Result<(), Fault> {
        let is_mark = |slot: &Slot| slot.text().starts_with("mark/");
        match self.bounds.get(scope) {
            Some(bounds) if !writes.iter().all(|(slot, _)| is_mark(slot)) => {
                self.sizes.admit(backend, scope, writes, *bounds)
            }
            _ => Ok(()),
        }
    }

    /// Counts what was written, or may have been.
    pub fn wrote(&mut self, scope: &Scope, slot: &Slot, bytes: &[u8]) {
        self.sizes.wrote(scope, slot, bytes);
    }

    /// Counts what was removed.
    pub fn removed(&mut self, scope: &Scope, slot: &Slot) {
        self.sizes.removed(scope, slot);
    }

    /// What lies there may be something else: it is counted anew.
    pub fn forget(&mut self) {
        self.sizes = Sizes::default();
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Quota};
    use crate::{Fault, Key, Memory, Name, Profile, Scope, Slot, Tenant};

    const fn scope(profile: u8) -> Scope {
        Scope {
            tenant: Tenant([1; 16]),
            profile: Profile([profile; 16]),
        }
    }

    fn slot(name: &str) -> Slot {
        Slot::head(&Key::checkpoint(Name::new(name).unwrap()))
    }

    #[test]
    fn a_scope_gets_what_it_may_have_and_others_what_they_want() {
        let (mut store, mut quota) = (Memory::new(), Quota::default());
        let (bytes, slots) = (100, 2);
        quota.bound(scope(1), Bounds { bytes, slots });
        store.plant(&scope(1), &slot("a"), [0; 60].into());
        let mut admit = |profile: u8, writes: &[(&str, usize)], store: &mut Memory| {
            let all: alloc::vec::Vec<_> = writes
                .iter()
                .map(|(name, length)| (slot(name), alloc::vec![0; *length]))
                .collect();
            let all: alloc::vec::Vec<_> =
                all.iter().map(|(slot, bytes)| (slot, &bytes[..])).collect();
            let end = quota.admit(store, &scope(profile), &all);
            for (slot, bytes) in all.iter().filter(|_| end.is_ok()) {
                quota.wrote(&scope(profile), slot, bytes);
            }
            end
        };
        let full = Err(Fault::OverQuota);
        assert_eq!(admit(1, &[("b", 41)], &mut store), full);
        assert_eq!(
            admit(1, &[("b", 20), ("c", 1)], &mut store),
            full,
            "both or neither"
        );
        assert_eq!(admit(1, &[("b", 40)], &mut store), Ok(()));
        assert_eq!(admit(1, &[("c", 0)], &mut store), full, "no place");
        assert_eq!(
            admit(1, &[("b", 30)], &mut store),
            Ok(()),
            "less than before"
        );
        assert_eq!(
            admit(2, &[("b", 1000)], &mut store),
            Ok(()),
            "it has no bounds"
        );
        // What was noted of the way to a bridge is never in the way.
        let mark = Slot::mark(&slot("a"));
        assert_eq!(
            quota.admit(&mut store, &scope(1), &[(&mark, &[0; 200])]),
            Ok(())
        );
        quota.removed(&scope(1), &slot("a"));
        let more = (slot("c"), [0; 70]);
        assert_eq!(
            quota.admit(&mut store, &scope(1), &[(&more.0, &more.1)]),
            Ok(())
        );
        quota.forget();
        let end = quota.admit(&mut store, &scope(1), &[(&more.0, &more.1)]);
        assert_eq!(end, full, "it is there after all");
    }
}
