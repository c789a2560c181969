//! What has been seen of a store, kept on this side of it.

use alloc::collections::BTreeMap;

use crate::{Digest, Slot};

/// The newest that was seen of a record or ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Anchor {
    /// Its version, or a ledger's length.
    pub version: u64,
    /// The sum of that version, or of a ledger's last line.
    pub digest: Digest,
}

/// All of a facet. Whoever keeps these where the provider cannot write notices what the provider takes back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Anchors(BTreeMap<Slot, Anchor>);

impl Anchors {
    /// What was seen of a slot.
    #[must_use]
    pub fn of(&self, slot: &Slot) -> Option<Anchor> {
        self.0.get(slot).copied()
    }

    /// Takes an anchor that was kept. An older one does not replace a newer.
    pub fn see(&mut self, slot: Slot, anchor: Anchor) {
        let place = self.0.entry(slot).or_insert(anchor);
        if anchor.version > place.version {
            *place = anchor;
        }
    }

    /// All of them, to be kept.
    pub fn all(&self) -> impl Iterator<Item = (&Slot, &Anchor)> {
        self.0.iter()
    }
}
