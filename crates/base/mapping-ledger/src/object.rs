//! An object's side of its mappings: which there are, and the proof that there is none.

use alloc::sync::Weak;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use pieces::Tree;
use ring_abi::Refusal;

use crate::space::{MappingId, Place};
use crate::{Guarded, Machine};

/// Shows that no CPU reaches a page of one object through a mapping, and that none ever will.
///
/// Made only from the object's ledger, once a revocation or the object's end has found it without a mapping; each
/// mapping ended with a shootdown receipt.
///
/// ```compile_fail,E0423
/// // Nobody outside makes one.
/// let forged = mapping_ledger::Unmapped(());
/// ```
///
/// ```compile_fail,E0599
/// fn copy(proof: mapping_ledger::Unmapped) -> (mapping_ledger::Unmapped, mapping_ledger::Unmapped) {
///     (proof.clone(), proof)
/// }
/// ```
///
/// ```compile_fail,E0624
/// // Nobody outside ends a mapping, so nobody empties an object's ledger but the code that has the receipt.
/// use mapping_ledger::{Machine, MappingId, ObjectLedger};
/// fn end<M: Machine>(object: &ObjectLedger<M>, id: MappingId, receipt: &M::Receipt) {
///     object.end(id, receipt);
/// }
/// ```
#[must_use = "a frame that is freed without it may still be mapped"]
#[derive(Debug, PartialEq, Eq)]
pub struct Unmapped(());

impl Unmapped {
    /// A lie, for a sabotage: something may be mapped.
    #[cfg(sabotage)]
    pub const fn untrue() -> Self {
        Self(())
    }
}

/// How far a revocation has come. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It may be mapped.
    Open,
    /// No mapping is accepted any more; those that there are end.
    Revoking,
    /// No mapping is left.
    Revoked,
}

struct Entry<M: Machine> {
    space: Weak<M::Space>,
    address: u64,
}

struct State<M: Machine> {
    standing: Standing,
    /// Most objects are mapped once. The object may be there for long, and be another's than whose mapping was the first:
    /// nobody pays for mappings that are over.
    mappings: Tree<MappingId, Entry<M>>,
}

/// What a revocation has to do next.
pub(crate) enum Next<M: Machine> {
    /// End this mapping.
    Mapping(Weak<M::Space>, Place),
    /// Nothing: this revocation, whoever began it, is over.
    Nothing(Unmapped),
}

/// The mappings of one object.
pub struct ObjectLedger<M: Machine> {
    /// Set first of all by a revocation, and read without the lock.
    gone: AtomicBool,
    state: M::Lock<State<M>>,
}

impl<M: Machine> fmt::Debug for ObjectLedger<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectLedger")
            .field("gone", &self.gone)
            .finish_non_exhaustive()
    }
}

impl<M: Machine> Default for ObjectLedger<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Machine> ObjectLedger<M> {
    /// Makes the ledger of an object that nothing maps.
    pub fn new() -> Self {
        Self {
            gone: AtomicBool::new(false),
            state: M::Lock::new(State {
                standing: Standing::Open,
                mappings: Tree::new(),
            }),
        }
    }

    /// Whether a revocation has begun. It need not be over.
    pub fn is_revoked(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Writes down everything that the ledger knows but the spaces' own numbers, for whoever compares states.
    ///
    /// # Errors
    /// What `to` says.
    pub fn write_state(&self, to: &mut impl fmt::Write) -> fmt::Result {
        self.state.with(|state| {
            write!(to, "{:?} {:?}", self.gone, state.standing)?;
            state.mappings.first().map_or(Ok(()), |(id, entry)| {
                write!(to, " {} {id:?} {:x}", state.mappings.len(), entry.address)
            })
        })
    }

    /// Count of mappings.
    pub fn mappings(&self) -> usize {
        self.state.with(|state| state.mappings.len())
    }

    /// Runs `f` while no revocation can be over: the pages stay. At most a page is to be copied in it.
    ///
    /// # Errors
    /// `Revoked`; `f` did not run then.
    pub fn while_open<R>(&self, f: impl FnOnce() -> R) -> Result<R, Refusal> {
        self.state.with(|state| match state.standing {
            Standing::Open => Ok(f()),
            _ => Err(Refusal::Revoked),
        })
    }

    /// Ends the ledger with its object, which nobody holds any more. `None` if something is still mapped: a defect, and
    /// the pages must not go.
    pub fn close(&mut self) -> Option<Unmapped> {
        self.state.with(|state| {
            state.standing = Standing::Revoked;
            state.mappings.is_empty().then_some(Unmapped(()))
        })
    }

    /// Notes mappings of one space, all or none. The space's lock is held.
    pub(crate) fn note(
        &self,
        space: &Weak<M::Space>,
        places: impl IntoIterator<Item = Place>,
    ) -> Result<(), Refusal> {
        self.state.with(|state| {
            if state.standing != Standing::Open {
                return Err(Refusal::Revoked);
            }
            for Place { address, id } in places {
                let space = space.clone();
                state.mappings.insert(id, Entry { space, address });
            }
            Ok(())
        })
    }

    /// Ends one mapping: no CPU reaches a page through it. The space's lock is held.
    pub(crate) fn end(&self, id: MappingId, _receipt: &M::Receipt) {
        let gone = self.state.with(|state| state.mappings.remove(&id));
        drop(gone);
    }

    /// For a sabotage: what names its mappings by address alone strikes them from a list.
    #[cfg(sabotage)]
    pub(crate) fn forget(&self, id: MappingId) {
        let gone = self.state.with(|state| state.mappings.remove(&id));
        drop(gone);
    }

    pub(crate) fn begin_revocation(&self) {
        self.gone.store(true, Ordering::Release);
        self.state.with(|state| {
            if state.standing == Standing::Open {
                state.standing = Standing::Revoking;
            }
        });
    }

    /// What is to be done before this object is without mappings; only for an object that is being revoked.
    pub(crate) fn next(&self) -> Next<M> {
        self.state.with(|state| match state.mappings.first() {
            Some((id, entry)) => {
                let place = Place {
                    address: entry.address,
                    id: *id,
                };
                Next::Mapping(entry.space.clone(), place)
            }
            None => {
                state.standing = Standing::Revoked;
                Next::Nothing(Unmapped(()))
            }
        })
    }

    /// The first mapping in one space.
    pub(crate) fn first_in(&self, space: u64) -> Option<Place> {
        self.state.with(|state| {
            let ids = MappingId::all_of(space);
            let (id, entry) = state.mappings.first_in(ids)?;
            Some(Place {
                address: entry.address,
                id: *id,
            })
        })
    }
}
