//! Save capsules of what lies on a machine: one chain for each record, kept beside it.
//!
//! Owns: which version was sealed last, the capsule until it was sent, and the transaction that a restored record and its anchor
//! share. Invariant: a capsule never leaves before it and its anchor are durable, and the same one is given out until it was sent, so
//! that a machine which goes down makes no two of one number and no gap; a record is never restored without its anchor; a refusal
//! changes nothing. `save-capsule` knows what a capsule is, `save-core` what a record is.
//!
//! A capsule's payload is the record's kind (a byte), the length of its name (a byte), its name and its own payload; its content is a number
//! of the application's.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod riding;
mod state;

use alloc::vec::Vec;

use sabotage::sabotage;
use save_capsule::{
    Content, Dice, Failed, Gates, Plain, Refused, Restored, Secret, Signer, SoftwareKeys,
    Transaction, restore, seal,
};
use save_core::{
    Anchors, Condition, Expect, Facet, Key, Kind, Limits, Name, Pair, Refusal, RetryKey, SaveStore,
    Scope, Slot, Writer,
};

use riding::Riding;
use state::State;

pub use state::Handle;

/// The world whose wrapping key is used: a machine has one.
const WORLD: &[u8] = b"saves";
const GENERATIONS: [u32; 1] = [1];

/// A capsule that is to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// What it is called at a provider: a random number.
    pub handle: Handle,
    /// The version of the record in it.
    pub version: u64,
    /// All of it.
    pub capsule: Vec<u8>,
}

/// Why a capsule was not restored. Nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotRestored {
    /// A gate refused it.
    Gate(Refused),
    /// It is a good one of another record, or of something that is no record.
    OtherRecord,
    /// The store refused it.
    Store(Refusal),
}

impl From<Refusal> for NotRestored {
    fn from(refusal: Refusal) -> Self {
        Self::Store(refusal)
    }
}

/// Capsules of one tenant's profile on this machine.
#[derive(Debug)]
pub struct Vault<B> {
    store: B,
    scope: Scope,
    writer: Writer,
    content: Content,
    signer: Signer,
    keys: SoftwareKeys,
}

impl<B: Pair> Vault<B> {
    /// Over the store that the records lie in. `content` is what is made here, and all that is known here.
    pub fn new(store: B, scope: Scope, writer: Writer, content: u32, secret: &Secret) -> Self {
        let tenant = &scope.tenant.0;
        Self {
            store,
            scope,
            writer,
            content: Content(content),
            signer: Signer::new(secret, tenant),
            keys: SoftwareKeys::new(secret, tenant, WORLD, &GENERATIONS),
        }
    }

    /// The newest version of a record as a capsule. The one that was made last, until it was sent; `None` where there is nothing newer
    /// than what was.
    ///
    /// # Errors
    /// The store's; `TooLarge` where the record is longer than a capsule's payload.
    pub fn seal(
        &mut self,
        key: &Key,
        dice: Dice,
        handle: Handle,
    ) -> Result<Option<Sealed>, Refusal> {
        let (state, only) = state::load(&mut self.store, &self.scope, key)?;
        if let Some(waits) = state.waits()
            && !sabotage!(VAULT_FORGET_UNSENT)
        {
            return Ok(Some(waits));
        }
        let record = self.facet().get(key)?;
        let Some(record) = record.filter(|record| record.version != state.version) else {
            return Ok(None);
        };
        let payload = inner(key, &record.payload);
        let plain = Plain {
            profile: self.scope.profile.0,
            content: self.content,
            schema: record.schema,
            payload: &payload,
        };
        let limit = u32::try_from(save_capsule::MAX_PAYLOAD).unwrap_or(u32::MAX);
        let sealed = seal(&plain, state.anchor, &self.signer, &mut self.keys, dice);
        let (capsule, anchor) = sealed.map_err(|_| Refusal::TooLarge { limit })?;
        let state = State {
            anchor: Some(anchor),
            version: record.version,
            handle,
            capsule,
        };
        let slot = Slot::capsule(key);
        self.store
            .store(&self.scope, &slot, &only, &state.encode())?;
        Ok(state.waits())
    }

    /// The capsule of that handle is with the provider: it is given out no more. Says whether it was the one that waits.
    ///
    /// # Errors
    /// The store's.
    pub fn sent(&mut self, key: &Key, handle: &Handle) -> Result<bool, Refusal> {
        let (mut state, only) = state::load(&mut self.store, &self.scope, key)?;
        if state.capsule.is_empty() || state.handle != *handle {
            return Ok(false);
        }
        state.capsule.clear();
        let slot = Slot::capsule(key);
        self.store
            .store(&self.scope, &slot, &only, &state.encode())?;
        Ok(true)
    }

    /// The number of the newest capsule of a record that was made or restored here; 0 for none.
    ///
    /// # Errors
    /// The store's.
    pub fn seen(&mut self, key: &Key) -> Result<u64, Refusal> {
        let (state, _) = state::load(&mut self.store, &self.scope, key)?;
        Ok(state.anchor.map_or(0, |anchor| anchor.counter))
    }

    /// Restores a record from a capsule: every gate first, then one transaction of record and anchor. `between` are the capsules between
    /// the one that was seen and this one, the oldest first. Answers the version that was made, which it answers again where the call
    /// is made again.
    ///
    /// # Errors
    /// See [`NotRestored`].
    pub fn restore(
        &mut self,
        key: &Key,
        retry: RetryKey,
        capsule: &[u8],
        between: &[&[u8]],
    ) -> Result<u64, NotRestored> {
        let (state, _) = state::load(&mut self.store, &self.scope, key)?;
        let gates = Gates {
            verifier: self.signer.verifier(),
            profile: self.scope.profile.0,
            known: &[self.content],
            schema: self.writer.schema,
            anchor: state.anchor,
            between,
        };
        let mut target = Target {
            store: &mut self.store,
            scope: self.scope,
            writer: self.writer,
            key,
            retry,
            state,
            version: 0,
        };
        match restore(capsule, &gates, &mut self.keys, &mut target) {
            Ok(_) => Ok(target.version),
            Err(Failed::Refused(refused)) => Err(NotRestored::Gate(refused)),
            Err(Failed::Commit(refusal)) => Err(refusal),
        }
    }

    fn facet(&mut self) -> Facet<&mut B> {
        let none = Anchors::default();
        Facet::mint(
            &mut self.store,
            self.scope,
            Limits::USUAL,
            self.writer,
            none,
        )
    }
}

/// A record as a capsule's payload.
fn inner(key: &Key, payload: &[u8]) -> Vec<u8> {
    let name = key.name().text().as_bytes();
    let mut out = Vec::with_capacity(2 + name.len() + payload.len());
    // A name has 64 bytes at most.
    out.extend([key.kind().number(), name.len() as u8]);
    out.extend(name);
    out.extend(payload);
    out
}

/// The record in a capsule's payload.
fn outer(bytes: &[u8]) -> Option<(Key, &[u8])> {
    let (head, rest) = bytes.split_at_checked(2)?;
    let (name, payload) = rest.split_at_checked(usize::from(le::u8(head, 1)))?;
    let name = Name::new(core::str::from_utf8(name).ok()?).ok()?;
    let key = match Kind::of(le::u8(head, 0))? {
        Kind::Profile => Key::profile(name),
        Kind::Checkpoint => Key::checkpoint(name),
        _ => return None,
    };
    Some((key, payload))
}

/// Where a capsule is restored to.
struct Target<'a, B> {
    store: &'a mut B,
    scope: Scope,
    writer: Writer,
    key: &'a Key,
    retry: RetryKey,
    state: State,
    /// The version that was made.
    version: u64,
}

impl<B: Pair> Transaction for Target<'_, B> {
    type Error = NotRestored;

    fn commit(&mut self, restored: &Restored) -> Result<(), NotRestored> {
        let found = outer(&restored.payload).ok_or(NotRestored::OtherRecord)?;
        let (key, payload) = found;
        if key != *self.key && !sabotage!(VAULT_ANY_RECORD) {
            return Err(NotRestored::OtherRecord);
        }
        // One that was made here and waits still is sent whatever is restored from it.
        let same = self.state.anchor == Some(restored.anchor);
        let mut state = State {
            anchor: Some(restored.anchor),
            ..State::default()
        };
        if same {
            state.handle = self.state.handle;
            state.capsule = core::mem::take(&mut self.state.capsule);
        }
        let riding = Riding {
            store: &mut *self.store,
            head: Slot::head(&key),
            beside: Slot::capsule(&key),
            state,
        };
        let writer = self.writer;
        let facet = Facet::mint(
            riding,
            self.scope,
            Limits::USUAL,
            writer,
            Anchors::default(),
        );
        let mut facet = facet.writing(restored.schema);
        self.version = facet.put(&key, Expect::Any, self.retry, payload)?;
        Ok(())
    }
}

/// The condition under which what was loaded may be replaced.
fn only(loaded: Option<&save_core::Loaded>) -> Condition {
    match loaded {
        Some(loaded) => Condition::Is(loaded.token.clone()),
        None => Condition::Absent,
    }
}
