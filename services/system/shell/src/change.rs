//! Changes of a volume, each done once: what a service may have done before it ended is not done again.

use sdk::{
    Cap, Directory, File, Interface as _, NEVER, Object as _, Refusal, Window,
    alloc::{format, string::String},
};
use shell_lang::{Path, change::Over};
use terminal::Failure;

use crate::disks::{Disk, Disks, READ_BYTES, Session, is_restart};

/// Where in the window lies what is written.
const WRITE_OFFSET: u32 = 2 * READ_BYTES;

/// How long a sync may take when the machine goes down, in nanoseconds.
const END_PATIENCE_NS: u64 = 30_000_000_000;

/// A file that is written from its beginning to its end, or from its end on.
pub struct Writer {
    disk: usize,
    file: File,
}

/// The request never came to the service that is there now, so doing it there is doing it once.
const fn is_from_before(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Stale | Refusal::Revoked | Refusal::BadHandle
    )
}

impl Disks {
    /// Does one change in a session of a disk.
    fn once<R>(
        &mut self,
        disk: usize,
        path: &Path,
        mut work: impl FnMut(&Directory, &Window) -> Result<R, Refusal>,
    ) -> Result<R, Failure> {
        let mut left = 1;
        loop {
            let result = self.session(disk).map(|session| {
                let done = work(&session.root, &session.window);
                let was_changed = session.is_changed;
                session.is_changed |= done.is_ok();
                (done, was_changed)
            });
            let (refusal, was_changed) = match result {
                Ok((Ok(done), _)) => return Ok(done),
                Ok((Err(refusal), was_changed)) => (refusal, was_changed),
                Err(refusal) => (refusal, false),
            };
            if !is_restart(refusal) {
                return Err(self.explain(disk, path, refusal));
            }
            self.close(disk);
            if was_changed || left == 0 || !is_from_before(refusal) {
                return Err(Failure::Said(format!(
                    "{path}: its service was restarted, and what was changed since the last sync may be gone; look, and do it again"
                )));
            }
            left -= 1;
        }
    }

    fn close(&mut self, disk: usize) {
        if let Some(disk) = self.list.get_mut(disk) {
            disk.session = None;
        }
    }

    /// Ends the session of a disk, and keeps in mind whether it had changed something and not synced it.
    pub fn lose(&mut self, disk: usize) {
        if let Some(disk) = self.list.get_mut(disk) {
            let session = disk.session.take();
            disk.is_lost |= session.is_some_and(|session| session.is_changed);
        }
    }

    /// The disk of a path that names something on it.
    fn place(&mut self, path: &Path) -> Result<(usize, String), Failure> {
        let (disk, rest) = self.locate(path)?;
        if rest.is_empty() {
            return Err(Failure::Said(format!("{path} is a disk, and stays one")));
        }
        Ok((disk, rest))
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// The volume's.
    pub fn mkdir(&mut self, path: &Path) -> Result<(), Failure> {
        let (disk, rest) = self.place(path)?;
        self.once(disk, path, |root, _| root.mkdir(&rest))
    }

    /// Removes a file or an empty directory.
    ///
    /// # Errors
    /// The volume's.
    pub fn remove(&mut self, path: &Path) -> Result<(), Failure> {
        let (disk, rest) = self.place(path)?;
        self.once(disk, path, |root, _| root.remove(&rest))
    }

    /// Gives something another path on the same disk.
    ///
    /// # Errors
    /// The volume's.
    pub fn rename(&mut self, from: &Path, to: &Path) -> Result<(), Failure> {
        let (disk, old) = self.place(from)?;
        let (other, new) = self.place(to)?;
        if disk != other {
            return Err(Failure::Said(format!(
                "{from} and {to} are on different disks; cp, then rm"
            )));
        }
        self.once(disk, to, |root, _| root.move_to(&old, &new))
    }

    /// Opens a file to be written, and makes it if it is not there.
    ///
    /// # Errors
    /// The volume's.
    pub fn writer(&mut self, path: &Path, over: Over) -> Result<Writer, Failure> {
        let (disk, rest) = self.place(path)?;
        let file = self.once(disk, path, |root, _| match root.edit(&rest) {
            Err(Refusal::NotFound) => Ok(root.create(&rest)?.file),
            Err(refusal) => Err(refusal),
            Ok(opened) => {
                if over == Over::Replace {
                    opened.file.truncate(0)?;
                }
                Ok(opened.file)
            }
        });
        let file = file.map_err(|failure| match failure {
            Failure::Refused {
                refusal: Refusal::Busy,
                ..
            } => Failure::Said(format!(
                "{path}: somebody else writes it; try again when that is done"
            )),
            other => other,
        })?;
        Ok(Writer { disk, file })
    }

    /// Writes bytes at the end of a file.
    ///
    /// # Errors
    /// The volume's.
    pub fn append(&mut self, writer: &Writer, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
        for piece in bytes.chunks(READ_BYTES as usize) {
            let file = File::from_object(Cap::borrowed(writer.file.object().handle()));
            let length = u32::try_from(piece.len()).unwrap_or(READ_BYTES);
            self.once(writer.disk, path, |_, window| {
                window.write(u64::from(WRITE_OFFSET), piece)?;
                file.append(length, WRITE_OFFSET).map(|_| ())
            })?;
        }
        Ok(())
    }

    /// Whether something was changed on a disk and not synced, or lost before it was.
    pub fn is_changed(&self, disk: usize) -> bool {
        let is_changed = |session: &Session| session.is_changed;
        self.list
            .get(disk)
            .is_some_and(|disk| disk.is_lost || disk.session.as_ref().is_some_and(is_changed))
    }

    /// As [`sync`](Self::sync), and gives up after a while: for when the machine goes down, whatever its disks do.
    ///
    /// # Errors
    /// As there.
    pub fn sync_for_a_while(&mut self, disk: usize) -> Result<Option<u64>, Failure> {
        let now = self.now_ns().unwrap_or(0);
        self.sync_until(disk, now.saturating_add(END_PATIENCE_NS))
    }

    /// Makes everything on a disk durable. Returns the number of the last durable group, `None` for a disk that cannot be changed.
    ///
    /// # Errors
    /// The volume's; what was lost since the last sync.
    pub fn sync(&mut self, disk: usize) -> Result<Option<u64>, Failure> {
        self.sync_until(disk, NEVER)
    }

    fn sync_until(&mut self, disk: usize, until_ns: u64) -> Result<Option<u64>, Failure> {
        let path = self.list.get(disk).map(|disk| disk.name.clone());
        let path = Path::root().resolve(&path.unwrap_or_default());
        let was_changed = self.is_changed(disk);
        let mut result = self.sync_session(disk, until_ns);
        if result.is_err_and(is_restart) {
            self.lose(disk);
            // Nothing of this session's is at stake.
            result = self.sync_session(disk, until_ns);
        }
        let lost = |disk: &mut Disk| core::mem::take(&mut disk.is_lost);
        match result {
            Ok(_) if self.list.get_mut(disk).is_some_and(lost) => Err(Failure::Said(format!(
                "{path}: its service was restarted, and what was changed since the last sync is gone where it had not been \
                 committed by itself; look, and do it again"
            ))),
            Ok(group) => Ok(Some(group)),
            Err(Refusal::ReadOnly | Refusal::NoDevice) if !was_changed => Ok(None),
            Err(refusal) => Err(self.explain(disk, &path, refusal)),
        }
    }

    fn sync_session(&mut self, disk: usize, until_ns: u64) -> Result<u64, Refusal> {
        let session = self.session(disk)?;
        let group = session.root.with_deadline(until_ns).sync()?.group;
        session.is_changed = false;
        Ok(group)
    }
}
