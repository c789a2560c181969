//! A store in memory, which fails, forgets and lies as it is told to.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::{Backend, Condition, Fault, Group, Listed, Loaded, Pair, Scope, Slot, Token};

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hit {
    /// It happens, and its answer is lost.
    LoseAnswer,
    /// It does not happen, and nobody says so.
    LoseRequest,
    /// A write that is lost on its way and happens after the next call, if its condition holds then.
    Delay,
    /// It does not happen: later.
    Busy,
    /// It does not happen: the condition is said not to hold.
    Conflict,
    /// It does not happen: no more may be stored.
    Full,
    /// A read answers what was there before the last write.
    Stale,
    /// A read answers only the first bytes.
    Cut(u16),
    /// A read answers with one bit turned over.
    Flip(u16),
    /// A read answers what lies in another scope or slot: the first there is.
    Mistake,
    /// The slot is emptied, and the call goes on.
    Forget,
    /// The slot goes back to what was there before the last write, and the call goes on.
    RollBack,
}

/// When something goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Strike {
    /// Which call, counted from 0 when the script was given.
    pub call: u64,
    /// What.
    pub hit: Hit,
}

#[derive(Clone, Debug)]
struct Cell {
    number: u64,
    bytes: Vec<u8>,
    before: Option<(u64, Vec<u8>)>,
}

type Place = (Scope, Slot);

/// The store.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    cells: BTreeMap<Place, Cell>,
    delayed: Vec<(Place, Condition, Vec<u8>)>,
    script: Vec<Strike>,
    calls: u64,
    written: u64,
}

impl Memory {
    /// An empty one that does as it should.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fails as `script` says from now on.
    pub fn fail(&mut self, script: &[Strike]) {
        self.script = script.to_vec();
        self.calls = 0;
    }

    /// How many calls there were since the script was given.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.calls
    }

    /// What lies in a slot, to be spoilt by a test.
    pub fn bytes_mut(&mut self, scope: &Scope, slot: &Slot) -> Option<&mut Vec<u8>> {
        let cell = self.cells.get_mut(&(*scope, slot.clone()));
        cell.map(|cell| &mut cell.bytes)
    }

    /// Everything there is.
    pub fn slots(&self) -> impl Iterator<Item = (&Scope, &Slot, &[u8])> {
        let cells = self.cells.iter();
        cells.map(|((scope, slot), cell)| (scope, slot, cell.bytes.as_slice()))
    }

    /// Puts something anywhere, without a condition: what only a provider can do.
    pub fn plant(&mut self, scope: &Scope, slot: &Slot, bytes: Vec<u8>) {
        self.write((*scope, slot.clone()), bytes);
    }

    /// The hit for this call. What was delayed happens first.
    fn begin(&mut self, place: &Place) -> Option<Hit> {
        let call = self.calls;
        self.calls += 1;
        let due = core::mem::take(&mut self.delayed);
        let hit = self.script.iter().find(|strike| strike.call == call);
        let hit = hit.map(|strike| strike.hit);
        match hit {
            Some(Hit::Forget) => {
                self.cells.remove(place);
            }
            Some(Hit::RollBack) => self.roll_back(place),
            _ => {}
        }
        for (place, only, bytes) in due {
            let _ = self.write_if(place, &only, &bytes);
        }
        hit
    }

    fn roll_back(&mut self, place: &Place) {
        let before = self.cells.get_mut(place).map(|cell| cell.before.take());
        match before {
            Some(Some((number, bytes))) => {
                let before = None;
                let cell = Cell {
                    number,
                    bytes,
                    before,
                };
                self.cells.insert(place.clone(), cell);
            }
            Some(None) => {
                self.cells.remove(place);
            }
            None => {}
        }
    }

    fn write(&mut self, place: Place, bytes: Vec<u8>) {
        self.written += 1;
        let number = self.written;
        let before = self
            .cells
            .get(&place)
            .map(|cell| (cell.number, cell.bytes.clone()));
        self.cells.insert(
            place,
            Cell {
                number,
                bytes,
                before,
            },
        );
    }

    fn write_if(&mut self, place: Place, only: &Condition, bytes: &[u8]) -> Result<(), Fault> {
        let there = self.cells.get(&place).map(|cell| token(cell.number));
        let holds = match (only, there) {
            (Condition::Absent, None) => true,
            (Condition::Is(token), Some(there)) => *token == there,
            _ => false,
        };
        if !holds {
            return Err(Fault::Precondition);
        }
        self.write(place, bytes.to_vec());
        Ok(())
    }
}

fn token(number: u64) -> Token {
    Token(Box::new(number.to_le_bytes()))
}

/// What every call can meet.
const fn refused(hit: Option<Hit>) -> Result<(), Fault> {
    match hit {
        Some(Hit::LoseRequest) => Err(Fault::Lost),
        Some(Hit::Busy) => Err(Fault::Busy { retry_after_ms: 50 }),
        _ => Ok(()),
    }
}

impl Backend for Memory {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        let place = (*scope, slot.clone());
        let hit = self.begin(&place);
        refused(hit)?;
        if matches!(hit, Some(Hit::LoseAnswer | Hit::Delay)) {
            return Err(Fault::Lost);
        }
        let cell = match hit {
            Some(Hit::Mistake) => self
                .cells
                .iter()
                .find(|(other, _)| **other != place)
                .map(|(_, cell)| cell),
            _ => self.cells.get(&place),
        };
        let Some(cell) = cell else {
            return Ok(None);
        };
        let mut loaded = Loaded {
            token: token(cell.number),
            bytes: cell.bytes.clone(),
        };
        match hit {
            Some(Hit::Stale) => {
                let Some((number, bytes)) = cell.before.clone() else {
                    return Ok(None);
                };
                loaded = Loaded {
                    token: token(number),
                    bytes,
                };
            }
            Some(Hit::Cut(at)) => loaded
                .bytes
                .truncate(usize::from(at) % (loaded.bytes.len() + 1)),
            Some(Hit::Flip(at)) if !loaded.bytes.is_empty() => {
                let at = usize::from(at) % loaded.bytes.len();
                loaded.bytes[at] ^= 1;
            }
            _ => {}
        }
        Ok(Some(loaded))
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let place = (*scope, slot.clone());
        let hit = self.begin(&place);
        refused(hit)?;
        match hit {
            Some(Hit::Conflict) => return Err(Fault::Precondition),
            Some(Hit::Full) => return Err(Fault::OverQuota),
            Some(Hit::Delay) => {
                self.delayed.push((place, only.clone(), bytes.to_vec()));
                return Err(Fault::Lost);
            }
            _ => {}
        }
        let done = self.write_if(place, only, bytes);
        match hit {
            Some(Hit::LoseAnswer) => Err(Fault::Lost),
            _ => done,
        }
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        let place = (*scope, slot.clone());
        let hit = self.begin(&place);
        refused(hit)?;
        self.cells.remove(&place);
        match hit {
            Some(Hit::LoseAnswer) => Err(Fault::Lost),
            _ => Ok(()),
        }
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault> {
        let hit = self.begin(&(*scope, Slot::canary(0)));
        refused(hit)?;
        let mine = self.cells.iter().filter(|((owner, _), _)| owner == scope);
        let mine = mine.filter(|((_, slot), _)| slot.text().starts_with(group.prefix()));
        let behind = mine.filter(|((_, slot), _)| after.is_none_or(|after| slot > after));
        let line = |((_, slot), cell): (&Place, &Cell)| Listed {
            slot: slot.clone(),
            bytes: cell.bytes.len() as u64,
        };
        Ok(behind.take(most).map(line).collect())
    }
}

impl Pair for Memory {
    fn store_both(
        &mut self,
        scope: &Scope,
        first: (&Slot, &[u8]),
        only: &Condition,
        second: (&Slot, &[u8]),
    ) -> Result<(), Fault> {
        let (slot, bytes) = first;
        let written = self.written;
        let end = self.store(scope, slot, only, bytes);
        // An answer that is lost is lost for both; what is delayed happens without the second, so nobody scripts that.
        if self.written > written {
            self.write((*scope, second.0.clone()), second.1.to_vec());
        }
        end
    }
}
