//! Changes of mappings, carried on in steps with a look in between: making, ending, protecting and revoking them.

use alloc::sync::Arc;

use ring_abi::Refusal;
use sabotage::sabotage;

use crate::object::Next;
use crate::space::{Advanced, Part, Place, Region, Regions, State};
use crate::{Cached, Machine, Mapped, PAGE_BYTES, Tables, Unmapped};

/// How far a change has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress<T> {
    /// There is more to do.
    More,
    /// It is over.
    Done(T),
}

/// Takes steps until a change is over, with a look in between.
fn run<M: Machine, T>(
    mut step: impl FnMut() -> Result<Progress<T>, Refusal>,
) -> Result<T, Refusal> {
    loop {
        if let Progress::Done(outcome) = step()? {
            return Ok(outcome);
        }
        M::between_steps();
    }
}

/// What is to be mapped.
#[derive(Clone, Copy, Debug)]
pub struct MapRequest<A> {
    /// First page of the object.
    pub offset: u64,
    /// Count of pages.
    pub pages: u64,
    /// What the mapping allows.
    pub access: A,
    /// The most that it may be protected to allow; `None` for anything.
    pub most: Option<A>,
    /// Where, or wherever there is room.
    pub wanted: Option<u64>,
}

/// A mapping that is being made.
pub struct Mapping<'a, M: Machine> {
    space: &'a Arc<M::Space>,
    place: Place,
    failed: Option<Refusal>,
}

impl<'a, M: Machine> Mapping<'a, M> {
    /// Takes the place, notes the mapping at the object, and pays for the record.
    ///
    /// # Errors
    /// `ZeroLength`; `OutOfRange` past the object or the space; `AlreadyExists`, `Misaligned` for a place that was
    /// wanted; `NoMemory` where there is no room; `OverBudget`; `Revoked`; `WrongState` in a space that retires.
    pub fn begin(
        space: &'a Arc<M::Space>,
        object: &Arc<M::Object>,
        request: MapRequest<M::Access>,
    ) -> Result<Self, Refusal> {
        let MapRequest { offset, pages, .. } = request;
        if pages == 0 {
            return Err(Refusal::ZeroLength);
        }
        let end = offset.checked_add(pages).ok_or(Refusal::OutOfRange)?;
        if end > object.pages() {
            return Err(Refusal::OutOfRange);
        }
        let noted = |regions: &mut Regions<M>| {
            if regions.closed {
                return Err(Refusal::WrongState);
            }
            let address = match request.wanted {
                Some(address) => regions.free_at(address, pages)?,
                None => regions.room(pages)?,
            };
            let id = regions.next_id();
            let place = Place { address, id };
            regions.pay(space, 1)?;
            if let Err(refusal) = object.ledger().note(&Arc::downgrade(space), [place]) {
                regions.unpay(space, 1);
                return Err(refusal);
            }
            let access = request.access;
            let region = Region {
                id,
                pages,
                offset,
                object: Some(object.clone()),
                most: request.most,
                state: State::Mapping { done: 0, access },
            };
            regions.insert(address, region);
            Ok(place)
        };
        let place = space.within_room(|| space.ledger().with(noted))??;
        Ok(Self {
            space,
            place,
            failed: None,
        })
    }

    /// Goes on by one step. Gives the address.
    ///
    /// # Errors
    /// `NoMemory`, `OverBudget`, `Revoked`, `WrongState`: nothing of the mapping is left then.
    pub fn step(&mut self) -> Result<Progress<u64>, Refusal> {
        let Self { space, place, .. } = *self;
        let failed = &mut self.failed;
        let (progress, gone) = space.ledger().with(|regions| {
            let closed = regions.closed;
            let Some(region) = regions.region(place) else {
                return (Err(failed.unwrap_or(Refusal::WrongState)), None);
            };
            if closed {
                // Whoever retires the space takes it out.
                return (Err(Refusal::WrongState), None);
            }
            let mapping = matches!(region.state, State::Mapping { .. });
            if !mapping {
                // Revoked meanwhile, so nothing is to come of it: what the revocation leaves is taken out.
                failed.get_or_insert(Refusal::Revoked);
                if region.state == State::Live {
                    region.state = clearing();
                }
            }
            match regions.advance(space, place) {
                Advanced::Idle if mapping => (Ok(Progress::Done(place.address)), None),
                Advanced::Failed(refusal) => {
                    *failed = Some(refusal);
                    (Ok(Progress::More), None)
                }
                Advanced::Ended(object) if regions.region(place).is_none() => {
                    (Err(failed.unwrap_or(Refusal::Revoked)), object)
                }
                Advanced::Ended(object) => (Ok(Progress::More), object),
                _ => (Ok(Progress::More), None),
            }
        });
        drop(gone);
        progress
    }
}

/// What is to be unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Pages from an address on: of one region, all or some.
    Range {
        /// First address.
        address: u64,
        /// Count of pages.
        pages: u64,
    },
    /// The whole region that begins at an address.
    Region(u64),
}

/// How the pages to unmap are named.
#[derive(Clone, Copy)]
enum Which {
    Area(Area),
    Mapping(Place),
}

const fn clearing<A>() -> State<A> {
    State::Unmapping {
        done: 0,
        cached: Cached::No,
    }
}

/// What came of an attempt to begin.
enum Begun {
    Yes(Place),
    /// The region's object is being revoked, which must be over first.
    Revoking(Place),
}

/// Pages that are being unmapped.
pub struct Unmapping<'a, M: Machine> {
    space: &'a Arc<M::Space>,
    which: Which,
    begun: Option<Place>,
}

impl<'a, M: Machine> Unmapping<'a, M> {
    /// Asks for it. Nothing is decided yet: that is the first step's.
    pub const fn new(space: &'a Arc<M::Space>, area: Area) -> Self {
        Self {
            space,
            which: Which::Area(area),
            begun: None,
        }
    }

    /// Whether it was decided: the pages are going, the place is not free, and no step refuses any more. Before that a step
    /// may carry on a revocation that is in the way.
    pub const fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Goes on by one step.
    ///
    /// # Errors
    /// Until it [has begun](Self::has_begun): `NotFound` unless one region covers the range; `Busy` while another thread changes it; `OverBudget` when nothing
    /// is left to pay for the record of what remains behind the range.
    pub fn step(&mut self) -> Result<Progress<()>, Refusal> {
        let Self {
            space,
            which,
            begun,
        } = *self;
        let advance = |regions: &mut Regions<M>, begun| match begun {
            Begun::Yes(place) => (Some(place), regions.advance(space, place)),
            Begun::Revoking(place) => (None, regions.advance_revocation(space, place)),
        };
        let ledger = space.ledger();
        let (begun, advanced) = match begun {
            Some(place) => ledger.with(|regions| advance(regions, Begun::Yes(place))),
            None => space.within_room(|| {
                ledger.with(|regions| {
                    let begun = begin_unmapping(regions, space, which)?;
                    Ok::<_, Refusal>(advance(regions, begun))
                })
            })??,
        };
        self.begun = begun;
        match advanced {
            Advanced::Gone | Advanced::Idle | Advanced::Ended(_) if begun.is_some() => {
                Ok(Progress::Done(()))
            }
            _ => Ok(Progress::More),
        }
    }
}

fn begin_unmapping<M: Machine>(
    regions: &mut Regions<M>,
    space: &Arc<M::Space>,
    which: Which,
) -> Result<Begun, Refusal> {
    let (start, address, pages) = match which {
        Which::Area(Area::Range { pages: 0, .. }) => return Err(Refusal::ZeroLength),
        Which::Area(Area::Range { address, pages }) => {
            (regions.covering(address, pages)?, address, pages)
        }
        Which::Area(Area::Region(address)) => {
            let region = regions.by_address.get(&address).ok_or(Refusal::NotFound)?;
            (address, address, region.pages)
        }
        Which::Mapping(place) => {
            let region = regions.region(place).ok_or(Refusal::NotFound)?;
            (place.address, place.address, region.pages)
        }
    };
    let region = regions.by_address.get(&start).ok_or(Refusal::NotFound)?;
    let (id, object) = (region.id, region.object.clone());
    match region.state {
        State::Live => {}
        State::Revoking { .. } => return Ok(Begun::Revoking(Place { address: start, id })),
        _ => return Err(Refusal::Busy),
    }
    let end = address + pages * PAGE_BYTES;
    let before = address > start;
    let behind = end < start + region.pages * PAGE_BYTES;
    let more = usize::from(before) + usize::from(behind);
    let mut cut = |address, wanted: bool| {
        let id = regions.next_id();
        wanted.then_some(Place { address, id })
    };
    let (middle, rest) = (cut(address, before), cut(end, behind));
    if more > 0 {
        regions.pay(space, more)?;
        if let Some(object) = &object {
            let places = [middle, rest].into_iter().flatten();
            if object
                .ledger()
                .note(&Arc::downgrade(space), places)
                .is_err()
            {
                regions.unpay(space, more);
                return Ok(Begun::Revoking(Place { address: start, id }));
            }
        }
    }
    // From the last on, so that the first keeps its beginning and its identity.
    for Place { address, id } in [rest, middle].into_iter().flatten() {
        regions.split(start, address, id);
    }
    let place = middle.unwrap_or(Place { address: start, id });
    if let Some(region) = regions.region(place) {
        region.state = clearing();
    }
    Ok(Begun::Yes(place))
}

/// Pages whose rights are being changed.
pub struct Protecting<'a, M: Machine> {
    space: &'a Arc<M::Space>,
    place: Place,
}

impl<'a, M: Machine> Protecting<'a, M> {
    /// Checks and begins. `allowed` is told what the region was mapped for at most.
    ///
    /// # Errors
    /// `NotFound` unless one region covers the range; `Revoked`; `Busy` while another thread changes the region; what
    /// `allowed` says.
    pub fn begin(
        space: &'a Arc<M::Space>,
        address: u64,
        pages: u64,
        access: M::Access,
        allowed: impl FnOnce(Option<M::Access>) -> Result<(), Refusal>,
    ) -> Result<Self, Refusal> {
        if pages == 0 {
            return Err(Refusal::ZeroLength);
        }
        let place = space.ledger().with(|regions| {
            let start = regions.covering(address, pages)?;
            let found = regions.by_address.get_mut(&start);
            let region = found.ok_or(Refusal::NotFound)?;
            let revoking = matches!(region.state, State::Revoking { .. });
            if region.object.is_none() || revoking {
                return Err(Refusal::Revoked);
            }
            if region.state != State::Live {
                return Err(Refusal::Busy);
            }
            allowed(region.most)?;
            let from = (address - start) / PAGE_BYTES;
            let part = Part {
                from,
                done: from,
                to: from + pages,
                cached: Cached::No,
            };
            region.state = State::Protecting { part, access };
            let (address, id) = (start, region.id);
            Ok(Place { address, id })
        })?;
        Ok(Self { space, place })
    }

    /// Goes on by one step.
    ///
    /// # Errors
    /// `Revoked` when the object was taken away meanwhile.
    pub fn step(&mut self) -> Result<Progress<()>, Refusal> {
        let Self { space, place } = *self;
        space.ledger().with(|regions| {
            let region = regions.region(place);
            if !region.is_some_and(|r| matches!(r.state, State::Protecting { .. })) {
                return Err(Refusal::Revoked);
            }
            Ok(match regions.advance(space, place) {
                Advanced::Idle => Progress::Done(()),
                _ => Progress::More,
            })
        })
    }
}

/// A revocation: of the object, whoever carries it on. Any number of these may be under way for one object; each is
/// over when it is.
pub struct Revocation<'a, M: Machine> {
    object: &'a M::Object,
}

impl<'a, M: Machine> Revocation<'a, M> {
    /// From now on nothing maps the object.
    pub fn begin(object: &'a M::Object) -> Self {
        object.ledger().begin_revocation();
        Self { object }
    }

    /// Goes on by one step, with whatever mapping there still is.
    pub fn step(&mut self) -> Progress<Unmapped> {
        let (space, place) = match self.object.ledger().next() {
            Next::Nothing(proof) => return Progress::Done(proof),
            Next::Mapping(space, place) => (space, place),
        };
        let Some(space) = space.upgrade() else {
            sabotage!(MAP_BY_ADDRESS => self.object.ledger().forget(place.id));
            // Its last holder is on the way to retire it, which ends the mapping.
            M::wait();
            return Progress::More;
        };
        // What it gives out is dropped with no lock held, and so is the space.
        let advanced = (space.ledger()).with(|regions| regions.advance_revocation(&space, place));
        sabotage!(MAP_BY_ADDRESS => if !matches!(advanced, Advanced::More) {
            self.object.ledger().forget(place.id);
        });
        drop(advanced);
        Progress::More
    }
}

/// The end of a space.
pub struct Retirement<'a, M: Machine> {
    space: &'a M::Space,
    receipt: M::Receipt,
}

impl<'a, M: Machine> Retirement<'a, M> {
    /// Closes the space and waits until no CPU uses its tables.
    pub fn begin(space: &'a M::Space) -> Self {
        space.ledger().with(|regions| regions.closed = true);
        let receipt = space.evict();
        Self { space, receipt }
    }

    /// Goes on by one region.
    pub fn step(&mut self) -> Progress<()> {
        let space = self.space;
        let taken = space.ledger().with(|regions| {
            let start = regions
                .by_address
                .first_key_value()
                .map(|(start, _)| *start);
            let region = regions.take(space, start?)?;
            if let Some(object) = &region.object {
                object.ledger().end(region.id, &self.receipt);
            }
            Some(region)
        });
        match taken {
            // The object is dropped here, with no lock held.
            Some(_) => Progress::More,
            None => Progress::Done(()),
        }
    }
}

/// Maps pages of an object. Gives the address.
///
/// # Errors
/// Those of [`Mapping::begin`] and [`Mapping::step`]; nothing is left then.
pub fn map<M: Machine>(
    space: &Arc<M::Space>,
    object: &Arc<M::Object>,
    request: MapRequest<M::Access>,
) -> Result<u64, Refusal> {
    let mut mapping = Mapping::<M>::begin(space, object, request)?;
    run::<M, _>(|| mapping.step())
}

/// Unmaps pages, and returns when no CPU reaches them.
///
/// # Errors
/// Those of [`Unmapping::step`].
pub fn unmap<M: Machine>(space: &Arc<M::Space>, area: Area) -> Result<(), Refusal> {
    let mut unmapping = Unmapping::<M>::new(space, area);
    run::<M, _>(|| unmapping.step())
}

/// Unmaps every mapping that one space has of an object. Gives their count.
///
/// # Errors
/// `Busy` while another thread changes one of them; those before it are gone then.
pub fn unmap_object<M: Machine>(
    space: &Arc<M::Space>,
    object: &M::Object,
) -> Result<usize, Refusal> {
    let mut count = 0;
    while let Some(place) = object.ledger().first_in(space.ledger().number()) {
        let mut unmapping = Unmapping::<M> {
            space,
            which: Which::Mapping(place),
            begun: None,
        };
        match run::<M, _>(|| unmapping.step()) {
            // Somebody else was faster.
            Ok(()) | Err(Refusal::NotFound) => count += 1,
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(count)
}

/// Changes what mapped pages allow, and returns when no CPU uses the old rights.
///
/// # Errors
/// Those of [`Protecting::begin`] and [`Protecting::step`].
pub fn protect<M: Machine>(
    space: &Arc<M::Space>,
    address: u64,
    pages: u64,
    access: M::Access,
    allowed: impl FnOnce(Option<M::Access>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut protecting = Protecting::<M>::begin(space, address, pages, access, allowed)?;
    run::<M, _>(|| protecting.step())
}

/// Ends every mapping of an object, in every space, and returns when none is left, whoever ended them. Who had it mapped
/// has a page of its own there.
pub fn revoke<M: Machine>(object: &M::Object) -> Unmapped {
    let mut revocation = Revocation::<M>::begin(object);
    loop {
        if let Progress::Done(proof) = revocation.step() {
            return proof;
        }
        M::between_steps();
    }
}

/// Ends a space: no CPU uses its tables afterwards, and it holds no object.
pub fn retire<M: Machine>(space: &M::Space) {
    let mut retirement = Retirement::<M>::begin(space);
    while retirement.step() == Progress::More {
        M::between_steps();
    }
}
