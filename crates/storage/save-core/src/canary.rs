//! Whether a store keeps its conditions, tried before anything is trusted to it.

use core::fmt;

use crate::{Backend, Condition, Fault, Group, Profile, Scope, Slot, Tenant, Token};

/// Where it is tried: no tenant's.
const CANARY: Scope = Scope {
    tenant: Tenant([0; 16]),
    profile: Profile([0; 16]),
};

/// Why a store is not to be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Untrusted {
    /// It wrote over something under the condition that nothing is there.
    IgnoresAbsent,
    /// It wrote under the condition of a state that was gone.
    IgnoresState,
    /// What was written is not what is read, or a refused write changed it.
    Forgets,
    /// A listing does not have what is there.
    Unlisted,
    /// It did not do what it should have.
    Fails(Fault),
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IgnoresAbsent => f.write_str("it writes over what must not be there"),
            Self::IgnoresState => f.write_str("it writes over what has changed since"),
            Self::Forgets => f.write_str("what is read is not what was written"),
            Self::Unlisted => f.write_str("it does not list what is there"),
            Self::Fails(fault) => write!(f, "it fails: {fault:?}"),
        }
    }
}

impl core::error::Error for Untrusted {}

impl From<Fault> for Untrusted {
    fn from(fault: Fault) -> Self {
        Self::Fails(fault)
    }
}

/// Writes, reads and lists a slot of its own, with conditions that hold and conditions that do not. `number` is random,
/// so that two of them do not meet, and never zero.
///
/// # Errors
/// See [`Untrusted`].
pub fn canary(store: &mut dyn Backend, number: u128) -> Result<(), Untrusted> {
    let slot = Slot::canary(number);
    let before = Slot::canary(number.saturating_sub(1));
    let end = try_out(store, &slot, &before);
    // One that is left behind harms nobody.
    let _ = store.remove(&CANARY, &slot);
    end
}

fn state(store: &mut dyn Backend, slot: &Slot, bytes: &[u8]) -> Result<Token, Untrusted> {
    match store.load(&CANARY, slot)? {
        Some(loaded) if loaded.bytes == bytes => Ok(loaded.token),
        _ => Err(Untrusted::Forgets),
    }
}

fn refused(end: Result<(), Fault>, otherwise: Untrusted) -> Result<(), Untrusted> {
    match end {
        Err(Fault::Precondition) => Ok(()),
        Ok(()) => Err(otherwise),
        Err(fault) => Err(fault.into()),
    }
}

fn try_out(store: &mut dyn Backend, slot: &Slot, before: &Slot) -> Result<(), Untrusted> {
    store.store(&CANARY, slot, &Condition::Absent, b"one")?;
    let one = Condition::Is(state(store, slot, b"one")?);
    let again = store.store(&CANARY, slot, &Condition::Absent, b"two");
    refused(again, Untrusted::IgnoresAbsent)?;
    state(store, slot, b"one")?;
    store.store(&CANARY, slot, &one, b"three")?;
    let three = Condition::Is(state(store, slot, b"three")?);
    if one == three {
        return Err(Untrusted::IgnoresState);
    }
    refused(
        store.store(&CANARY, slot, &one, b"four"),
        Untrusted::IgnoresState,
    )?;
    state(store, slot, b"three")?;
    let listed = store.list(&CANARY, Group::All, Some(before), 2)?;
    if !listed.iter().any(|line| line.slot == *slot) {
        return Err(Untrusted::Unlisted);
    }
    store.remove(&CANARY, slot)?;
    refused(
        store.store(&CANARY, slot, &three, b"five"),
        Untrusted::IgnoresState,
    )?;
    if store.load(&CANARY, slot)?.is_some() {
        return Err(Untrusted::IgnoresState);
    }
    Ok(())
}
