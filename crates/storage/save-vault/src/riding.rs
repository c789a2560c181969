//! A store in which what is kept of a record's capsules is written together with the record.

use alloc::vec::Vec;

use sabotage::sabotage;
use save_core::{Backend, Condition, Envelope, Fault, Group, Listed, Loaded, Pair, Scope, Slot};

use crate::state::State;

/// The store, while one record is restored.
pub(crate) struct Riding<'a, B> {
    pub store: &'a mut B,
    /// Where the record's newest version lies.
    pub head: Slot,
    pub beside: Slot,
    /// What is written beside, but for the version.
    pub state: State,
}

impl<B: Pair> Backend for Riding<'_, B> {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        self.store.load(scope, slot)
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        // Earlier versions are copied by themselves.
        if *slot != self.head || sabotage!(VAULT_WITHOUT_ANCHOR) {
            return self.store.store(scope, slot, only, bytes);
        }
        let (record, _) = Envelope::decode(bytes).map_err(|_| Fault::Damaged)?;
        self.state.version = record.version;
        let beside = self.state.encode();
        self.store
            .store_both(scope, (slot, bytes), only, (&self.beside, &beside))
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        self.store.remove(scope, slot)
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault> {
        self.store.list(scope, group, after, most)
    }
}
