//! A store for saving on a capOS volume: the machine's own, which needs no network.
//!
//! Owns: a folder of the volume, a folder in it for each scope, a file for each slot. A state of a slot is known by its
//! file's number, which a volume never uses again.
//!
//! Invariant: a slot is filled by one commit of the volume, so that a power cut leaves what was there or what is there
//! now; nothing is answered as stored before that commit is durable; a file is never written where it lies.
//!
//! A new state is written beside the old one and takes its name, and only then does the old one go: removing a file may
//! commit by itself to make room, and in another order a cut behind that would leave neither.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use sabotage::sabotage;
use save_core::{Backend, Condition, Fault, Group, Listed, Loaded, Pair, Scope, Slot, Token};
use volume_core::{Blocks, Durability, Error, ROOT_DIR, Volume};
use volume_format::{Kind, Stamp};

/// The folder of all scopes.
const FOLDER: &[u8] = b"saves";
/// A state that has no name yet, and one that has lost it. No slot is called so.
type Aside = (&'static [u8], &'static [u8]);
const FIRST: Aside = (b"~new", b"~old");
/// The same of a slot that is filled together with another.
const SECOND: Aside = (b"~new2", b"~old2");
/// No slot is longer.
const LONGEST: u64 = 64 << 10;

/// The store.
#[derive(Debug)]
pub struct VolumeStore<B: Blocks> {
    volume: Volume<B>,
}

/// Nothing was changed, or it is not known.
fn fault<E>(error: &Error<E>) -> Fault {
    match error {
        Error::NoSpace => Fault::OverQuota,
        Error::Corrupt(_) | Error::NoVolume(_) => Fault::Damaged,
        _ => Fault::Busy {
            retry_after_ms: 60_000,
        },
    }
}

/// A commit that fails may have written its root.
fn uncertain<E>(error: &Error<E>) -> Fault {
    match error {
        Error::Disk(_) => Fault::Lost,
        error => fault(error),
    }
}

fn file_name(slot: &Slot) -> String {
    slot.text().replace('/', ":")
}

fn found<T, E>(end: Result<T, Error<E>>) -> Result<Option<T>, Error<E>> {
    match end {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

type Ended<T, B> = Result<T, Error<<B as Blocks>::Error>>;

impl<B: Blocks> VolumeStore<B> {
    /// On a volume that is mounted to be written.
    pub const fn new(volume: Volume<B>) -> Self {
        Self { volume }
    }

    /// The volume back.
    pub fn into_volume(self) -> Volume<B> {
        self.volume
    }

    /// The volume, to be looked at.
    pub const fn volume_mut(&mut self) -> &mut Volume<B> {
        &mut self.volume
    }

    fn lookup(&mut self, dir: u64, name: &[u8]) -> Ended<Option<u64>, B> {
        let view = self.volume.live();
        let named = found(self.volume.lookup(&view, dir, name))?;
        Ok(named.map(|named| named.id))
    }

    fn scope_dir(&mut self, scope: &Scope) -> Ended<Option<u64>, B> {
        let Some(saves) = self.lookup(ROOT_DIR, FOLDER)? else {
            return Ok(None);
        };
        self.lookup(saves, scope.to_string().replace('/', ".").as_bytes())
    }

    fn make_dir(&mut self, dir: u64, name: &[u8]) -> Ended<u64, B> {
        match self.lookup(dir, name)? {
            Some(id) => Ok(id),
            None => self.volume.create(dir, name, Kind::Dir, Stamp::NONE),
        }
    }

    fn make_scope(&mut self, scope: &Scope) -> Ended<u64, B> {
        let saves = self.make_dir(ROOT_DIR, FOLDER)?;
        self.make_dir(saves, scope.to_string().replace('/', ".").as_bytes())
    }

    fn read(&mut self, scope: &Scope, slot: &Slot) -> Ended<Option<Loaded>, B> {
        let Some(dir) = self.scope_dir(scope)? else {
            return Ok(None);
        };
        let Some(id) = self.lookup(dir, file_name(slot).as_bytes())? else {
            return Ok(None);
        };
        let view = self.volume.live();
        let size = self.volume.stat(&view, id)?.size.min(LONGEST);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        let count = self.volume.read(&view, id, 0, &mut bytes)?;
        bytes.truncate(count);
        let token = Token(Box::new(id.to_le_bytes()));
        Ok(Some(Loaded { token, bytes }))
    }

    /// Everything but the commit.
    fn replace(
        &mut self,
        dir: u64,
        name: &[u8],
        old: Option<u64>,
        bytes: &[u8],
        (new_name, old_name): Aside,
    ) -> Ended<(), B> {
        for left in [new_name, old_name] {
            if self.lookup(dir, left)?.is_some() {
                self.volume.remove(dir, left, Stamp::NONE)?;
            }
        }
        let new = self.volume.create(dir, new_name, Kind::File, Stamp::NONE)?;
        self.volume.write(new, 0, bytes, Stamp::NONE)?;
        if old.is_some() {
            self.volume
                .rename((dir, name), (dir, old_name), Stamp::NONE)?;
        }
        self.volume
            .rename((dir, new_name), (dir, name), Stamp::NONE)
    }

    fn committed(&mut self, end: Ended<(), B>) -> Result<(), Fault> {
        match end {
            Ok(()) if sabotage!(SAVE_VOLUME_SKIP_COMMIT) => Ok(()),
            Ok(()) => {
                let end = self.volume.commit(Durability::Sync, Stamp::NONE);
                end.map_err(|error| uncertain(&error))
            }
            Err(error) => {
                self.volume.roll_back();
                Err(fault(&error))
            }
        }
    }

    fn names(
        &mut self,
        dir: u64,
        prefix: &str,
        after: Option<&Slot>,
        most: usize,
    ) -> Ended<Vec<Listed>, B> {
        let view = self.volume.live();
        let mut at = after.map_or_else(
            || prefix.as_bytes().to_vec(),
            |after| file_name(after).into_bytes(),
        );
        let mut lines = Vec::new();
        while lines.len() < most {
            let Some((name, named)) = self.volume.next_name(&view, dir, &at)? else {
                break;
            };
            let text = core::str::from_utf8(&name).unwrap_or_default();
            if !text.starts_with(prefix) {
                break;
            }
            if let Some(slot) = Slot::listed(&text.replace(':', "/")) {
                let bytes = self.volume.stat(&view, named.id)?.size;
                lines.push(Listed { slot, bytes });
            }
            at = name;
        }
        Ok(lines)
    }
}

impl<B: Blocks> VolumeStore<B> {
    /// Fills one slot if the condition holds, and one more with it, by one commit.
    fn fill(
        &mut self,
        scope: &Scope,
        first: (&Slot, &[u8]),
        only: &Condition,
        second: Option<(&Slot, &[u8])>,
    ) -> Result<(), Fault> {
        let longest = second.map_or(0, |(_, bytes)| bytes.len());
        if longest.max(first.1.len()) as u64 > LONGEST {
            let limit = LONGEST as u32;
            return Err(Fault::TooLarge { limit });
        }
        let dir = match self.make_scope(scope) {
            Ok(dir) => dir,
            Err(error) => return self.committed(Err(error)),
        };
        let name = file_name(first.0);
        let old = self.lookup(dir, name.as_bytes());
        let old = old.map_err(|error| fault(&error))?;
        let holds = match (only, old) {
            (Condition::Absent, None) => true,
            (Condition::Is(token), Some(id)) => *token.0 == id.to_le_bytes(),
            _ => false,
        };
        if !holds {
            return Err(Fault::Precondition);
        }
        let mut end = self.replace(dir, name.as_bytes(), old, first.1, FIRST);
        let mut old_second = None;
        if let (Ok(()), Some((slot, bytes))) = (&end, second) {
            let name = file_name(slot);
            end = self.lookup(dir, name.as_bytes()).and_then(|old| {
                old_second = old;
                self.replace(dir, name.as_bytes(), old, bytes, SECOND)
            });
        }
        self.committed(end)?;
        // They go with the next commit; one that a cut leaves there goes before the next write.
        for (old, (_, gone)) in [(old, FIRST), (old_second, SECOND)] {
            if old.is_some() {
                let _ = self.volume.remove(dir, gone, Stamp::NONE);
            }
        }
        Ok(())
    }
}

impl<B: Blocks> Pair for VolumeStore<B> {
    fn store_both(
        &mut self,
        scope: &Scope,
        first: (&Slot, &[u8]),
        only: &Condition,
        second: (&Slot, &[u8]),
    ) -> Result<(), Fault> {
        self.fill(scope, first, only, Some(second))
    }
}

impl<B: Blocks> Backend for VolumeStore<B> {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        self.read(scope, slot).map_err(|error| fault(&error))
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        self.fill(scope, (slot, bytes), only, None)
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        let dir = self.scope_dir(scope).map_err(|error| fault(&error))?;
        let Some(dir) = dir else {
            return Ok(());
        };
        match self
            .volume
            .remove(dir, file_name(slot).as_bytes(), Stamp::NONE)
        {
            Err(Error::NotFound) => Ok(()),
            end => self.committed(end),
        }
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault> {
        let dir = self.scope_dir(scope).map_err(|error| fault(&error))?;
        let Some(dir) = dir else {
            return Ok(Vec::new());
        };
        let prefix = group.prefix().replace('/', ":");
        self.names(dir, &prefix, after, most)
            .map_err(|error| fault(&error))
    }
}
