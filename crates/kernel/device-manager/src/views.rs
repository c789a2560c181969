//! The objects through which processes map register pages.

use alloc::vec::Vec;

use dma_ledger::{MappingId, ShootdownProof};
use frames::Grow;
use ring_abi::Refusal;

use crate::{Mapping, Platform};

/// Holds, and the objects they stand for.
pub(crate) type Objects<P> = Vec<(MappingId, <P as Platform>::Mapping)>;

/// Some of them, that are revoked in one go.
pub(crate) type SomeObjects<P> = arrayvec::ArrayVec<(MappingId, <P as Platform>::Mapping), REVOKES>;
/// How many that are, at most.
pub(crate) const REVOKES: usize = 32;

/// Shows that every mapping made through a list of objects is gone from every CPU. Only [`Revoked::of`] makes one,
/// after the last object's own proof.
pub(crate) struct Revoked(());

impl ShootdownProof for Revoked {}

impl Revoked {
    /// Revokes each object and waits. No lock of this crate is held.
    pub(crate) fn of<M: Mapping>(objects: impl IntoIterator<Item = M>) -> Self {
        for object in objects {
            let _proof: M::Proof = object.revoke();
        }
        Self(())
    }

    /// The same, for some more objects.
    pub(crate) fn and<M: Mapping>(self, objects: &[(MappingId, M)]) -> Self {
        for (_, object) in objects {
            let _proof: M::Proof = object.revoke();
        }
        self
    }
}

/// The register pages that a claim has mapped.
pub(crate) struct RegisterViews<P: Platform>(Objects<P>);

impl<P: Platform> RegisterViews<P> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Makes room for one more.
    pub(crate) fn make_room(&mut self) -> Result<(), Refusal> {
        self.0.grow(1)
    }

    /// Adds one for which there is room.
    pub(crate) fn add(&mut self, id: MappingId, mapping: P::Mapping) {
        let added = self.0.put((id, mapping));
        debug_assert!(added.is_ok(), "there is room for it");
    }

    /// Takes one out; `None` for a mapping that is no register view.
    pub(crate) fn take(&mut self, id: MappingId) -> Option<P::Mapping> {
        let place = self.0.iter().position(|(known, _)| *known == id)?;
        Some(self.0.swap_remove(place).1)
    }

    /// The one that is taken out next.
    pub(crate) fn last(&self) -> Option<(MappingId, P::Mapping)> {
        self.0.last().cloned()
    }

    /// Takes some out; the rest is shorter by them.
    pub(crate) fn take_some(&mut self) -> SomeObjects<P> {
        let mut some = SomeObjects::<P>::new();
        while !some.is_full() {
            match self.0.pop() {
                Some(one) => some.push(one),
                None => break,
            }
        }
        some
    }
}
