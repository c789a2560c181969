//! What the tests of this crate share.
#![allow(dead_code, reason = "each test program uses a part")]

use std::cell::RefCell;
use std::rc::Rc;

use save_core::{
    Anchors, Backend, Condition, Facet, Fault, Group, Key, LedgerName, Limits, Listed, Loaded,
    Memory, Name, Profile, RetryKey, Scope, Slot, Tenant, Writer,
};

pub const ONE: Scope = Scope {
    tenant: Tenant([1; 16]),
    profile: Profile([2; 16]),
};
pub const OTHER: Scope = Scope {
    tenant: Tenant([1; 16]),
    profile: Profile([3; 16]),
};

/// One store for several facets.
#[derive(Clone, Default)]
pub struct Shared(pub Rc<RefCell<Memory>>);

impl Backend for Shared {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        self.0.borrow_mut().load(scope, slot)
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        self.0.borrow_mut().store(scope, slot, only, bytes)
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        self.0.borrow_mut().remove(scope, slot)
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault> {
        self.0.borrow_mut().list(scope, group, after, most)
    }
}

pub const LIMITS: Limits = Limits {
    kept_versions: 4,
    page: 3,
    ..Limits::USUAL
};

pub fn facet(store: &Shared, scope: Scope, schema: u32, epoch: u64) -> Facet<Shared> {
    let writer = Writer { schema, epoch };
    Facet::mint(store.clone(), scope, LIMITS, writer, Anchors::default())
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn key() -> Key {
    Key::checkpoint(name("slot-1"))
}

pub fn ledger() -> LedgerName {
    LedgerName(name("trades"))
}

/// A retry key of its own for each number.
pub fn call(number: u128) -> RetryKey {
    RetryKey((number + 1).to_le_bytes())
}
