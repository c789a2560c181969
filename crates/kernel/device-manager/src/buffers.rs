//! The objects through which processes map the buffers of a claim, and which buffers nobody holds any more.

use alloc::vec::Vec;
use core::mem::replace;

use arrayvec::ArrayVec;
use dma_ledger::{BufferId, MappingId};
use pieces::Pieces;
use ring_abi::Refusal;

use crate::Platform;
use crate::views::{Objects, SomeObjects};

/// What is known of one buffer beside its record.
struct Shares<P: Platform> {
    id: BufferId,
    /// Read-only and writable, each made when it is first asked for.
    mappings: [Option<(MappingId, P::Mapping)>; 2],
    /// Its holder is gone; it is freed as soon as nothing is in flight.
    abandoned: bool,
}

/// What a bounded search has found.
pub(crate) enum Next<T> {
    Found(T),
    /// Nothing, and there is more to look at.
    Later,
    /// Nothing, and there is no more.
    None,
}

/// Buffers whose objects are taken in one go.
const TAKES: usize = 64;
/// Places that are made in one go: each takes some 130 instructions.
const ROOMS: usize = 64;
/// Those of a claim that has ended, which are dropped in one go: each takes some 80 instructions.
const SHED: usize = 128;

/// Entries in one piece of the list.
const PIECE: usize = 32;

/// Places that are looked at in one go for buffers that nobody holds any more.
const LOOKS: usize = 256;
/// Such buffers that are found in one go, so that whoever allocates frees a few.
const FOUND: usize = 8;

/// Buffers that nobody holds any more and that are idle.
pub(crate) type Idle = ArrayVec<BufferId, FOUND>;

/// What is lent of a claim's buffers.
pub(crate) struct Buffers<P: Platform> {
    /// By the buffer's index.
    places: Pieces<Option<Shares<P>>, PIECE>,
    /// Where the search for objects of a claim that ends goes on.
    searched: usize,
    /// How many there are that nobody holds any more, and where the search for them goes on.
    abandoned: usize,
    swept: usize,
}

impl<P: Platform> Buffers<P> {
    pub(crate) const fn new() -> Self {
        Self {
            places: Pieces::new(),
            searched: 0,
            abandoned: 0,
            swept: 0,
        }
    }

    /// Makes a bounded part of the room for the buffer with this index: the ledger gives the places of an earlier claim again,
    /// the last one first. `false`: there is more to make.
    ///
    /// # Errors
    /// `OverBudget`.
    pub(crate) fn make_some_room(&mut self, index: u32) -> Result<bool, Refusal> {
        let entries = index as usize + 1;
        let missing = entries.saturating_sub(self.places.len());
        for _ in 0..missing.min(ROOMS) {
            let added = frames::refusable(|| self.places.push(None));
            added.map_err(|_| Refusal::OverBudget)?;
        }
        Ok(missing <= ROOMS)
    }

    /// Takes up a buffer that was allocated, for which there is room.
    pub(crate) fn add(&mut self, id: BufferId) {
        if let Some(entry) = self.places.get_mut(id.index() as usize) {
            *entry = Some(Shares {
                id,
                mappings: [None, None],
                abandoned: false,
            });
        }
    }

    fn of(&mut self, id: BufferId) -> Option<&mut Shares<P>> {
        let entry = self.places.get_mut(id.index() as usize)?.as_mut()?;
        (entry.id == id).then_some(entry)
    }

    /// The place of one object of a live buffer: 0 read-only, 1 writable.
    pub(crate) fn object(
        &mut self,
        id: BufferId,
        which: usize,
    ) -> Option<&mut Option<(MappingId, P::Mapping)>> {
        self.of(id)?.mappings.get_mut(which)
    }

    /// Takes a buffer out that is being freed, and gives its objects.
    #[expect(
        clippy::disallowed_methods,
        reason = "lent: two for each buffer, for as long as it is being freed"
    )]
    pub(crate) fn take(&mut self, id: BufferId) -> Objects<P> {
        let entry = self.places.get_mut(id.index() as usize);
        let shares = entry.and_then(Option::take);
        self.abandoned -= usize::from(shares.as_ref().is_some_and(|one| one.abandoned));
        shares.map_or_else(Vec::new, |shares| {
            shares.mappings.into_iter().flatten().collect()
        })
    }

    /// Takes the objects of some buffers, from place `from` on. Gives where to go on; `None` after the last.
    pub(crate) fn take_some(&mut self, from: usize, into: &mut SomeObjects<P>) -> Option<usize> {
        let mut to = from;
        let end = from.saturating_add(TAKES).min(self.places.len());
        while to < end && into.remaining_capacity() >= 2 {
            if let Some(Some(shares)) = self.places.get_mut(to) {
                let taken = shares.mappings.iter_mut().filter_map(Option::take);
                taken.for_each(|one| into.push(one));
            }
            to += 1;
        }
        (to < self.places.len()).then_some(to)
    }

    /// The next object of a claim that has ended, to which none are added; looks at a bounded number of places.
    pub(crate) fn next_object(&mut self) -> Next<(MappingId, P::Mapping)> {
        for _ in 0..TAKES {
            let Some(entry) = self.places.get(self.searched) else {
                return Next::None;
            };
            let shares = entry.iter().flat_map(|shares| &shares.mappings);
            if let Some(object) = shares.flatten().next() {
                return Next::Found(object.clone());
            }
            self.searched += 1;
        }
        Next::Later
    }

    /// Takes the object out that was found last. `false`: somebody else has.
    pub(crate) fn take_found(&mut self, id: MappingId) -> bool {
        let found = self.places.get_mut(self.searched).and_then(Option::as_mut);
        let places = found.into_iter().flat_map(|shares| &mut shares.mappings);
        let mut places =
            places.filter(|place| place.as_ref().is_some_and(|(known, _)| *known == id));
        places.next().and_then(Option::take).is_some()
    }

    /// Drops a bounded part of the list, of which nothing is needed any more. `false`: it was empty.
    pub(crate) fn shed(&mut self) -> bool {
        let before = self.places.len();
        for _ in 0..SHED {
            if self.places.shed().is_none() {
                break;
            }
        }
        before > 0
    }

    /// Records that a buffer's holder is gone.
    pub(crate) fn abandon(&mut self, id: BufferId) {
        let known = self.of(id).map(|one| replace(&mut one.abandoned, true));
        self.abandoned += usize::from(known == Some(false));
    }

    /// Some of those whose holders are gone and that `is_idle` names, and how many places were looked at: a bounded number, from
    /// where the last search has come to. 0: there is none to look for.
    pub(crate) fn sweep(&mut self, is_idle: impl Fn(BufferId) -> bool) -> (Idle, usize) {
        let mut idle = Idle::new();
        let mut looked = 0;
        while self.abandoned > 0 && looked < LOOKS && !idle.is_full() {
            if self.swept >= self.places.len() {
                self.swept = 0;
            }
            let place = self.places.get(self.swept).and_then(Option::as_ref);
            let left = place.filter(|one| one.abandoned).map(|one| one.id);
            if let Some(id) = left.filter(|id| is_idle(*id)) {
                idle.push(id);
            }
            self.swept += 1;
            looked += 1;
        }
        (idle, looked)
    }

    /// How many places there are.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// Every live one, for sabotages.
    #[cfg(sabotage)]
    pub(crate) fn all(&self) -> impl Iterator<Item = BufferId> {
        self.places.iter().flatten().map(|one| one.id)
    }
}
