//! A folder of this machine, for a bridge that has no cloud behind it.
//!
//! A slot is a file: 16 random bytes, which are its token, and what is kept. A state is written beside, made durable, and
//! takes the slot's name; so a machine that stops leaves what was there or what is there now. Two bridges may share a folder:
//! a lock on a file of it is held from the look at a condition to the write.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use save_core::{Backend, Condition, Fault, Group, Listed, Loaded, Scope, Slot, Token};

use crate::random::random;

const TOKEN_BYTES: usize = 16;

/// The store. Copies of it are one store.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    /// A lock on a file does not keep threads of one process apart on every system.
    one: Arc<Mutex<()>>,
}

/// It is not known what happened.
fn lost<E>(_: E) -> Fault {
    Fault::Lost
}

/// Nothing was changed.
const fn busy() -> Fault {
    Fault::Busy {
        retry_after_ms: 1000,
    }
}

fn found<T>(end: io::Result<T>) -> Result<Option<T>, Fault> {
    match end {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(_) => Err(busy()),
    }
}

fn read(path: &Path) -> Result<Option<Loaded>, Fault> {
    let Some(bytes) = found(fs::read(path))? else {
        return Ok(None);
    };
    let (token, bytes) = bytes.split_at_checked(TOKEN_BYTES).ok_or(Fault::Damaged)?;
    Ok(Some(Loaded {
        token: Token(token.into()),
        bytes: bytes.to_vec(),
    }))
}

impl Folder {
    /// In that folder, which is made if need be.
    ///
    /// # Errors
    /// The system's.
    pub fn new(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Ok(Self {
            root: root.to_owned(),
            one: Arc::default(),
        })
    }

    /// No part of a slot or scope is anything but letters, digits, `-`, `_`, `.` and never begins with a dot.
    fn scope(&self, scope: &Scope) -> PathBuf {
        self.root.join(scope.to_string().replace('/', "."))
    }

    fn path(&self, scope: &Scope, slot: &Slot) -> PathBuf {
        self.scope(scope).join(slot.text().replace('/', ":"))
    }

    /// Does something while nobody else changes anything.
    fn alone<T>(&self, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        let _one = self.one.lock().unwrap_or_else(PoisonError::into_inner);
        let mut options = OpenOptions::new();
        let lock = options
            .create(true)
            .append(true)
            .open(self.root.join("~lock"));
        let lock = lock.map_err(|_| busy())?;
        lock.lock().map_err(|_| busy())?;
        work()
    }

    fn write(&self, dir: &Path, path: &Path, bytes: &[u8]) -> Result<(), Fault> {
        let new = dir.join("~new");
        let token = random().map_err(|_| busy())?.to_le_bytes();
        fs::create_dir_all(dir).map_err(|_| busy())?;
        let mut file = File::create(&new).map_err(|_| busy())?;
        let filled = file.write_all(&token).and_then(|()| file.write_all(bytes));
        match filled.and_then(|()| file.sync_all()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                return Err(Fault::OverQuota);
            }
            Err(_) => return Err(busy()),
        }
        fs::rename(&new, path).map_err(lost)?;
        for folder in [dir, &self.root] {
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(lost)?;
        }
        Ok(())
    }
}

impl Backend for Folder {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        read(&self.path(scope, slot))
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let path = self.path(scope, slot);
        self.alone(|| {
            let holds = match (only, read(&path)?) {
                (Condition::Absent, None) => true,
                (Condition::Is(token), Some(there)) => *token == there.token,
                _ => false,
            };
            if !holds {
                return Err(Fault::Precondition);
            }
            self.write(&self.scope(scope), &path, bytes)
        })
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        let path = self.path(scope, slot);
        self.alone(|| found(fs::remove_file(&path)).map(drop))
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault> {
        let Some(entries) = found(fs::read_dir(self.scope(scope)))? else {
            return Ok(Vec::new());
        };
        let mut lines = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|_| busy())?;
            let name = entry.file_name();
            let text = name.to_string_lossy().replace(':', "/");
            if !text.starts_with(group.prefix()) {
                continue;
            }
            let Some(slot) = Slot::listed(&text).filter(|slot| after.is_none_or(|one| slot > one))
            else {
                continue;
            };
            // What was removed meanwhile is not listed.
            if let Some(seen) = found(entry.metadata())? {
                let bytes = seen.len().saturating_sub(TOKEN_BYTES as u64);
                lines.push(Listed { slot, bytes });
            }
        }
        lines.sort_by(|one, two| one.slot.cmp(&two.slot));
        lines.truncate(most);
        Ok(lines)
    }
}
