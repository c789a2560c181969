//! The regions of one address space and the states that their mappings go through.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::ops::RangeInclusive;

use ring_abi::Refusal;
use sabotage::sabotage;

use crate::gaps::{Bounds, Gaps};
use crate::{Cached, Guarded, Machine, Mapped, PAGE_BYTES, Tables};

/// One mapping, on the whole machine and for good: no other ever has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MappingId {
    space: u64,
    serial: u64,
}

impl MappingId {
    pub(crate) fn all_of(space: u64) -> RangeInclusive<Self> {
        let id = |serial| Self { space, serial };
        id(0)..=id(u64::MAX)
    }
}

/// A mapping and where it begins, which never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: u64,
    pub(crate) id: MappingId,
}

/// Pages of a region whose rights change, and how many of them have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) from: u64,
    pub(crate) done: u64,
    pub(crate) to: u64,
    pub(crate) cached: Cached,
}

/// What happens to a region. Counts of pages are from its beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State<A> {
    Live,
    Mapping { done: u64, access: A },
    Unmapping { done: u64, cached: Cached },
    Protecting { part: Part, access: A },
    Revoking { done: u64, cached: Cached },
}

pub(crate) struct Region<M: Machine> {
    pub(crate) id: MappingId,
    pub(crate) pages: u64,
    /// First page of the object.
    pub(crate) offset: u64,
    /// `None` once the object was revoked: pages of the space's own are in its place.
    pub(crate) object: Option<Arc<M::Object>>,
    /// What it was mapped for. `None`: memory that no other process can name, which may be protected at will.
    pub(crate) most: Option<M::Access>,
    pub(crate) state: State<M::Access>,
}

impl<M: Machine> Region<M> {
    fn map_on(&mut self, space: &M::Space, address: u64) -> Advanced<M> {
        let (State::Mapping { done, access }, Some(object)) = (self.state, &self.object) else {
            return Advanced::Idle;
        };
        let n = M::STEP_PAGES.min(self.pages - done);
        let (at, first) = (address + done * PAGE_BYTES, self.offset + done);
        let entered = space.enter(at, n, access, object, first);
        let done = done + n;
        let (state, advanced) = match entered {
            Ok(()) if done == self.pages => (State::Live, Advanced::Idle),
            Ok(()) => (State::Mapping { done, access }, Advanced::More),
            Err(refusal) => {
                let (done, cached) = (0, Cached::No);
                (State::Unmapping { done, cached }, Advanced::Failed(refusal))
            }
        };
        self.state = state;
        advanced
    }

    fn protect_on(&mut self, space: &M::Space, address: u64) -> Advanced<M> {
        let (State::Protecting { part, access }, Some(object)) = (self.state, &self.object) else {
            return Advanced::Idle;
        };
        let n = M::STEP_PAGES.min(part.to - part.done);
        let at = |page: u64| address + page * PAGE_BYTES;
        let edited = space.restrict(at(part.done), n, access, object);
        let part = Part {
            done: part.done + n,
            cached: part.cached.or(edited),
            ..part
        };
        if part.done < part.to {
            self.state = State::Protecting { part, access };
            return Advanced::More;
        }
        let _ = space.shoot_down(at(part.from), part.to - part.from, part.cached);
        self.state = State::Live;
        Advanced::Idle
    }

    fn revoke_on(&mut self, space: &M::Space, address: u64) -> Advanced<M> {
        let State::Revoking { done, cached } = self.state else {
            return Advanced::Idle;
        };
        let n = M::STEP_PAGES.min(self.pages - done);
        let cached = cached.or(space.replace(address + done * PAGE_BYTES, n));
        let done = done + n;
        if done < self.pages {
            self.state = State::Revoking { done, cached };
            return Advanced::More;
        }
        let receipt = space.shoot_down(address, self.pages, cached);
        self.state = State::Live;
        let object = self.object.take();
        if let Some(object) = &object {
            object.ledger().end(self.id, &receipt);
        }
        Advanced::Ended(object)
    }
}

/// What one step came to.
pub(crate) enum Advanced<M: Machine> {
    /// There is no such mapping.
    Gone,
    /// Nothing happens to it, or not any more.
    Idle,
    /// There is more to do.
    More,
    /// It cannot be mapped, and is being unmapped.
    Failed(Refusal),
    /// It ended. The object is to be dropped outside every lock.
    Ended(Option<Arc<M::Object>>),
}

pub(crate) struct Regions<M: Machine> {
    number: u64,
    serial: u64,
    bounds: Bounds,
    pub(crate) by_address: BTreeMap<u64, Region<M>>,
    gaps: Gaps,
    /// It retires: nothing is mapped any more.
    pub(crate) closed: bool,
}

impl<M: Machine> Regions<M> {
    pub(crate) fn next_id(&mut self) -> MappingId {
        self.serial += 1;
        MappingId {
            space: self.number,
            serial: self.serial,
        }
    }

    /// The region that is this very mapping.
    pub(crate) fn region(&mut self, place: Place) -> Option<&mut Region<M>> {
        let found = self.by_address.get_mut(&place.address)?;
        (found.id == place.id || sabotage!(MAP_BY_ADDRESS)).then_some(found)
    }

    /// The one region that covers a range: its start.
    pub(crate) fn covering(&self, address: u64, pages: u64) -> Result<u64, Refusal> {
        let before = self.by_address.range(..=address).next_back();
        let (start, region) = before.ok_or(Refusal::NotFound)?;
        let end = end_of(address, pages).ok_or(Refusal::OutOfRange)?;
        if end <= start + region.pages * PAGE_BYTES {
            Ok(*start)
        } else {
            Err(Refusal::NotFound)
        }
    }

    /// Whether `pages` pages are free at an address that the caller chose.
    pub(crate) fn free_at(&self, address: u64, pages: u64) -> Result<u64, Refusal> {
        let end = end_of(address, pages).filter(|end| *end <= self.bounds.end);
        let end = end.ok_or(Refusal::OutOfRange)?;
        if !address.is_multiple_of(PAGE_BYTES) || address == 0 {
            return Err(Refusal::Misaligned);
        }
        match self.by_address.range(..end).next_back() {
            Some((start, region)) if start + region.pages * PAGE_BYTES > address => {
                Err(Refusal::AlreadyExists)
            }
            _ => Ok(address),
        }
    }

    pub(crate) fn room(&self, pages: u64) -> Result<u64, Refusal> {
        self.gaps.room(pages)
    }

    /// End of what lies before an address, and beginning of what lies from another on.
    fn neighbours(&self, address: u64, end: u64) -> (u64, u64) {
        let before = self.by_address.range(..address).next_back();
        let from = before.map_or(0, |(start, region)| start + region.pages * PAGE_BYTES);
        let behind = self.by_address.range(end..).next();
        (from, behind.map_or(self.bounds.end, |(start, _)| *start))
    }

    /// Pays for the records of `more` regions; all or none.
    pub(crate) fn pay(&self, space: &M::Space, more: usize) -> Result<(), Refusal> {
        for paid in 0..more {
            if let Err(refusal) = space.pay() {
                self.unpay(space, paid);
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// Gives back what [`Self::pay`] paid, before anything else changed.
    pub(crate) fn unpay(&self, space: &M::Space, more: usize) {
        (0..more).for_each(|_| space.refund());
    }

    /// Puts a region that is paid for where nothing is.
    pub(crate) fn insert(&mut self, address: u64, region: Region<M>) {
        let end = address + region.pages * PAGE_BYTES;
        let around = self.neighbours(address, end);
        self.gaps.fill(around, (address, end));
        self.by_address.insert(address, region);
    }

    /// Divides a region: what begins at `address`, which lies in it, becomes one of its own. It is paid for.
    pub(crate) fn split(&mut self, start: u64, address: u64, id: MappingId) {
        let Some(front) = self.by_address.get_mut(&start) else {
            return;
        };
        let before = (address - start) / PAGE_BYTES;
        let behind = Region {
            id,
            pages: front.pages - before,
            offset: front.offset + before,
            object: front.object.clone(),
            most: front.most,
            state: State::Live,
        };
        front.pages = before;
        self.by_address.insert(address, behind);
    }

    /// Takes a region out, and gives back what its record cost.
    pub(crate) fn take(&mut self, space: &M::Space, address: u64) -> Option<Region<M>> {
        let region = self.by_address.remove(&address)?;
        let end = address + region.pages * PAGE_BYTES;
        let around = self.neighbours(address, end);
        self.gaps.open(around, (address, end));
        space.refund();
        sabotage!(KEEP_MAP_RECORDS => core::mem::forget(core::hint::black_box(alloc::boxed::Box::new([0u64; 12]))));
        Some(region)
    }

    /// Carries the change of a region on by one step.
    pub(crate) fn advance(&mut self, space: &M::Space, place: Place) -> Advanced<M> {
        let Some(region) = self.region(place) else {
            return Advanced::Gone;
        };
        match region.state {
            State::Live => Advanced::Idle,
            State::Mapping { .. } => region.map_on(space, place.address),
            State::Protecting { .. } => region.protect_on(space, place.address),
            State::Revoking { .. } => region.revoke_on(space, place.address),
            State::Unmapping { done, cached } => {
                let n = M::STEP_PAGES.min(region.pages - done);
                let at = place.address + done * PAGE_BYTES;
                let cached = cached.or(space.clear(at, n));
                let done = done + n;
                region.state = State::Unmapping { done, cached };
                if done < region.pages {
                    Advanced::More
                } else {
                    self.unmapped(space, place, cached)
                }
            }
        }
    }

    /// The last page of a region was cleared.
    fn unmapped(&mut self, space: &M::Space, place: Place, cached: Cached) -> Advanced<M> {
        let pages = self.region(place).map_or(0, |region| region.pages);
        let receipt = space.shoot_down(place.address, pages, cached);
        let Some(region) = self.take(space, place.address) else {
            return Advanced::Gone;
        };
        if let Some(object) = &region.object {
            // What a list of bare addresses does: the entry stays when its mapping goes.
            sabotage!(MAP_BY_ADDRESS => return Advanced::Ended(region.object));
            object.ledger().end(region.id, &receipt);
        }
        Advanced::Ended(region.object)
    }

    /// Turns whatever happens to a region into its revocation, unless it goes anyway, and carries it on by one step.
    pub(crate) fn advance_revocation(&mut self, space: &M::Space, place: Place) -> Advanced<M> {
        let Some(region) = self.region(place) else {
            return Advanced::Gone;
        };
        if region.object.is_none() {
            return Advanced::Idle;
        }
        region.state = match region.state {
            State::Live | State::Mapping { .. } => State::Revoking {
                done: 0,
                cached: Cached::No,
            },
            // What it changed already may be cached with the old rights.
            State::Protecting { part, .. } => State::Revoking {
                done: 0,
                cached: part.cached,
            },
            going @ (State::Unmapping { .. } | State::Revoking { .. }) => going,
        };
        self.advance(space, place)
    }
}

/// What is mapped where in one address space.
pub struct SpaceLedger<M: Machine> {
    number: u64,
    state: M::Lock<Regions<M>>,
}

impl<M: Machine> fmt::Debug for SpaceLedger<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpaceLedger")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl<M: Machine> SpaceLedger<M> {
    /// Makes the ledger of an empty space. `number` is the space's own: no other ever has the same.
    pub fn new(number: u64, bounds: Bounds) -> Self {
        Self {
            number,
            state: M::Lock::new(Regions {
                number,
                serial: 0,
                bounds,
                by_address: BTreeMap::new(),
                gaps: Gaps::new(bounds),
                closed: false,
            }),
        }
    }

    /// The space's number.
    pub const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Regions<M>) -> R) -> R {
        self.state.with(f)
    }

    /// Writes down everything that the ledger knows, for whoever compares states.
    ///
    /// # Errors
    /// What `to` says.
    pub fn write_state(&self, to: &mut impl fmt::Write) -> fmt::Result {
        self.with(|regions| {
            write!(
                to,
                "{} {} {:?}",
                regions.serial, regions.closed, regions.gaps
            )?;
            for (address, region) in &regions.by_address {
                let Region {
                    id,
                    pages,
                    offset,
                    object,
                    most,
                    state,
                } = region;
                let object = object.is_some();
                write!(
                    to,
                    " {address:x} {id:?} {pages} {offset} {object} {most:?} {state:?}"
                )?;
            }
            Ok(())
        })
    }

    /// Count of regions.
    pub fn regions(&self) -> usize {
        self.with(|regions| regions.by_address.len())
    }

    /// Calls `f` with the object behind the page at `address`, or `None` where it was revoked. No page that is mapped
    /// there goes meanwhile.
    ///
    /// # Errors
    /// `NotFound` where no region is.
    pub fn look<R>(
        &self,
        address: u64,
        f: impl FnOnce(Option<&Arc<M::Object>>) -> R,
    ) -> Result<R, Refusal> {
        self.with(|regions| {
            let start = regions.covering(address - address % PAGE_BYTES, 1)?;
            let region = regions.by_address.get(&start).ok_or(Refusal::NotFound)?;
            Ok(f(region.object.as_ref()))
        })
    }
}

fn end_of(address: u64, pages: u64) -> Option<u64> {
    address.checked_add(pages.checked_mul(PAGE_BYTES)?)
}
