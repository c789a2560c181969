//! What lies on this machine: on its volume, or in this process.

use core::cell::RefCell;

use save_core::{Backend, Condition, Fault, Group, Listed, Loaded, Memory, Pair, Scope, Slot};
use sdk::alloc::rc::Rc;
use sdk::alloc::vec::Vec;

use crate::disk::Disk;

/// A store on this machine, for every facet the same.
#[derive(Clone)]
pub enum Near {
    /// In this process.
    Memory(Rc<RefCell<Memory>>),
    /// On a volume.
    Disk(Disk),
}

impl Near {
    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Pair) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        match self {
            // Nothing that is called below comes back here.
            Self::Memory(memory) => work(&mut *memory.try_borrow_mut().map_err(|_| Fault::Lost)?),
            Self::Disk(disk) => work(disk),
        }
    }
}

impl Backend for Near {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        self.with(|store| store.load(scope, slot))
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        self.with(|store| store.store(scope, slot, only, bytes))
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        self.with(|store| store.remove(scope, slot))
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault> {
        self.with(|store| store.list(scope, group, after, most))
    }
}

impl Pair for Near {
    fn store_both(
        &mut self,
        scope: &Scope,
        first: (&Slot, &[u8]),
        only: &Condition,
        second: (&Slot, &[u8]),
    ) -> Result<(), Fault> {
        self.with(|store| store.store_both(scope, first, only, second))
    }
}
