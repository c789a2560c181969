//! Disks and their volumes: sessions that come back after a service was restarted.

use sdk::{
    Access, BlockDevice, Cap, Directory, Env, File, Interface as _, NEVER, Refusal, Ring, Snapshot,
    Timer, VirtualMemory, Volume, Window,
    alloc::{
        format,
        string::{String, ToString},
        vec::Vec,
    },
    block::block_device,
    storage::{directory, file, volume},
};
use shell_lang::{Path, refusal::volume_advice, text::Safe};

use terminal::Failure;

/// Bytes of a session's window: two parts to read into, one to show while the other is filled, and one to write from.
pub const WINDOW_BYTES: u32 = 3 * READ_BYTES;
/// Bytes of one read, and of one write.
pub const READ_BYTES: u32 = 128 * 1024;
/// Slots of the ring: one read, and one to spare.
const RING_SLOTS: u16 = 2;
/// Bytes of a slot: the parameters of a read, and its result.
const RING_SLOT_BYTES: u32 = 128;
/// How often something is tried anew after its service was restarted.
const TRIES: u32 = 20;
/// The wait between two tries, in nanoseconds.
const TRY_WAIT_NS: u64 = 100_000_000;

/// One disk: what was granted under names that belong together (`disk1` and `block1`).
pub struct Disk {
    /// Its name, and that of its directory below the root.
    pub name: String,
    /// Its volume.
    pub volume: Option<Volume>,
    /// What it shows, where that is a snapshot of another one.
    pub snapshot: Option<Snapshot>,
    /// The device below.
    pub device: Option<BlockDevice>,
    /// It is a part of another disk, and was found there.
    pub is_part: bool,
    /// Its volume, once something was asked of it.
    pub session: Option<Session>,
    /// A session ended with changes that were not synced, and nobody was told so far.
    pub is_lost: bool,
}

/// An open volume.
pub struct Session {
    /// Its root directory.
    pub root: Directory,
    /// The memory that file data goes through.
    pub window: Window,
    /// Whether something was changed and not yet synced.
    pub is_changed: bool,
}

/// All disks.
pub struct Disks {
    /// In the order of their names.
    pub list: Vec<Disk>,
    memory: Option<VirtualMemory>,
    /// Reads that go on while what came before is shown.
    ring: Option<Ring>,
    timer: Option<Timer>,
}

/// A file that is read from its beginning to its end.
pub struct Reader {
    disk: usize,
    path: String,
    offset: u64,
    file: Option<File>,
    /// Where in the window the next piece is on its way to.
    ahead: Option<u32>,
}

/// What `stat` says.
pub type Stat = directory::Stat;
/// A directory that is listed from its beginning to its end.
pub struct Lister {
    disk: usize,
    path: String,
    cursor: Option<u64>,
    directory: Option<Directory>,
}

/// One part of a disk, as its service lists it.
pub struct Part {
    /// Its name on the disk.
    pub name: String,
    /// What it is, or why it cannot be read.
    pub what: String,
    /// The name that the partition table gives it.
    pub label: String,
    /// Bytes of it.
    pub bytes: u64,
    /// Whether it is a volume.
    pub readable: bool,
    /// Whether it is the one that the disk stands for.
    pub main: bool,
}

/// The most parts of one disk that are listed.
const MOST_PARTS: usize = 1024;

/// Everything that lies on a disk.
///
/// # Errors
/// The volume service's.
pub fn parts(volume: &Volume) -> Result<Vec<Part>, Refusal> {
    let mut all = Vec::new();
    let mut cursor = 0;
    loop {
        let (next, end) = volume
            .parts(cursor, |results| {
                for part in results.parts()?.iter() {
                    all.push(Part {
                        name: part.name()?.to_string(),
                        what: part.what()?.to_string(),
                        label: part.label()?.to_string(),
                        bytes: part.bytes(),
                        readable: part.readable(),
                        main: part.main(),
                    });
                }
                Ok((results.next(), results.end()))
            })
            .and_then(|r| r)?;
        if end || next <= cursor || all.len() >= MOST_PARTS {
            return Ok(all);
        }
        cursor = next;
    }
}

/// Whether an error means that the service was restarted and a new session may do better.
pub const fn is_restart(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Stale
            | Refusal::Revoked
            | Refusal::ServerDied
            | Refusal::NoReply
            | Refusal::BadHandle
    )
}

impl Disks {
    /// Finds the disks among what was granted: each Volume is one, and each BlockDevice belongs to the Volume whose name
    /// ends in the same digits.
    pub fn find(env: &Env) -> Self {
        let mut list: Vec<Disk> = Vec::new();
        for (name, interface, handle) in env.entries() {
            let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
            let disk_name = match interface {
                volume::INTERFACE_ID => name.to_string(),
                block_device::INTERFACE_ID => format!("disk{digits}"),
                _ => continue,
            };
            let idx = match list.iter().position(|d| d.name == disk_name) {
                Some(idx) => idx,
                None => {
                    list.push(Disk {
                        name: disk_name,
                        volume: None,
                        snapshot: None,
                        device: None,
                        is_part: false,
                        session: None,
                        is_lost: false,
                    });
                    list.len() - 1
                }
            };
            let Some(disk) = list.get_mut(idx) else {
                continue;
            };
            let cap = Cap::borrowed(handle);
            if interface == volume::INTERFACE_ID {
                disk.volume = Some(sdk::Interface::from_object(cap));
            } else {
                disk.device = Some(sdk::Interface::from_object(cap));
            }
        }
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            list,
            memory: env.get("vm").ok(),
            ring: Ring::new(RING_SLOTS, RING_SLOT_BYTES).ok(),
            timer: env.get("timer").ok(),
        }
    }

    /// Looks for what else lies on the disks: every part that can be read and is not the disk's own volume becomes a disk
    /// of its own, `disk.p2`.
    pub fn find_parts(&mut self) {
        let mut found = Vec::new();
        for disk in self.list.iter().filter(|disk| !disk.is_part) {
            let Some(volume) = &disk.volume else { continue };
            let own = |name: &str| self.list.iter().any(|known| known.name == name);
            for (number, part) in (0..).zip(parts(volume).unwrap_or_default()) {
                let name = format!("{}.{}", disk.name, part.name);
                if !part.readable || part.main || own(&name) {
                    continue;
                }
                if let Ok(results) = volume.part(number) {
                    found.push(Disk {
                        name,
                        volume: Some(results.volume),
                        snapshot: None,
                        device: None,
                        is_part: true,
                        session: None,
                        is_lost: false,
                    });
                }
            }
        }
        // Behind the disks, so that what is open keeps its place.
        self.list.extend(found);
    }

    /// Finds the disk of a path, and the path on it.
    ///
    /// # Errors
    /// When the path is the root or names no disk.
    pub fn locate(&mut self, path: &Path) -> Result<(usize, String), Failure> {
        let Some((name, rest)) = path.split_disk() else {
            return Err(Failure::about("/")(Refusal::IsDirectory));
        };
        let place = |list: &[Disk]| {
            list.iter()
                .position(|d| d.name == name && (d.volume.is_some() || d.snapshot.is_some()))
        };
        if place(&self.list).is_none() {
            self.find_snapshot(name)?;
        }
        if name.contains('.') && place(&self.list).is_none() {
            self.find_parts();
        }
        match place(&self.list) {
            Some(idx) => Ok((idx, rest)),
            None => Err(Failure::Said(match self.unreadable(name) {
                Some(what) => format!("/{}: {}", Safe(name), Safe(&what)),
                None => format!(
                    "/{}: no disk of that name; ls / shows the disks",
                    Safe(name)
                ),
            })),
        }
    }

    /// Looks for what a name like `volume@12` says, and opens it to be read.
    fn find_snapshot(&mut self, name: &str) -> Result<(), Failure> {
        let Some((volume, number)) = name.split_once('@') else {
            return Ok(());
        };
        let disk = self.list.iter().find(|disk| disk.name == volume);
        let (Some(volume), Ok(group)) = (disk.and_then(|d| d.volume.as_ref()), number.parse())
        else {
            return Ok(());
        };
        let keeper = volume.keeper().map(|results| results.keeper);
        let opened = keeper.and_then(|keeper| Ok(keeper.open(group)?.snapshot));
        let snapshot = opened.map_err(|refusal| match refusal {
            Refusal::NotFound => Failure::Said(format!(
                "/{}: there is no such snapshot; snap lists them",
                Safe(name)
            )),
            other => Failure::about(&format!("/{}", Safe(name)))(other),
        })?;
        self.list.push(Disk {
            name: name.to_string(),
            volume: None,
            snapshot: Some(snapshot),
            device: None,
            is_part: true,
            session: None,
            is_lost: false,
        });
        Ok(())
    }

    /// Forgets a snapshot that was let go.
    pub fn forget_snapshot(&mut self, volume: &str, group: u64) {
        let name = format!("{volume}@{group}");
        self.list.retain(|disk| disk.name != name);
    }

    /// What lies where `ls /` lists a part that cannot be read.
    fn unreadable(&self, name: &str) -> Option<String> {
        let disks = self.list.iter().filter(|disk| !disk.is_part);
        disks
            .filter_map(|disk| Some((disk, disk.volume.as_ref()?)))
            .find_map(|(disk, volume)| {
                let own = name.strip_prefix(&disk.name)?.strip_prefix('.')?;
                let mut parts = parts(volume).ok()?.into_iter();
                parts
                    .find(|part| part.name == own && !part.readable)
                    .map(|part| part.what)
            })
    }

    /// Does something in a session of a disk, and once more in a new one when the service was restarted meanwhile.
    fn in_session<R>(
        &mut self,
        disk: usize,
        mut work: impl FnMut(&Directory, &Window) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let mut tries = 0;
        loop {
            let result = self.session(disk).and_then(|s| work(&s.root, &s.window));
            tries += 1;
            match result {
                Err(refusal) if is_restart(refusal) && tries < TRIES => {
                    // Who reads is not told of what was written before: the next sync says it.
                    self.lose(disk);
                    if tries > 1 {
                        self.wait();
                    }
                }
                other => return other,
            }
        }
    }

    /// The session with a disk's volume, begun if there is none.
    ///
    /// # Errors
    /// The volume's.
    pub fn session(&mut self, disk: usize) -> Result<&mut Session, Refusal> {
        let memory = self.memory.as_ref().ok_or(Refusal::NotSupported)?;
        let disk = self.list.get_mut(disk).ok_or(Refusal::NoDevice)?;
        if disk.session.is_none() {
            let memory = memory.create_memory(u64::from(WINDOW_BYTES))?.memory;
            let window = Window::map(memory, u64::from(WINDOW_BYTES), Access::ReadWrite)?;
            let root = match (&disk.volume, &disk.snapshot) {
                (_, Some(snapshot)) => snapshot.attach(window.memory().cap())?.root,
                (Some(volume), None) => volume.attach(window.memory().cap())?.root,
                (None, None) => return Err(Refusal::NoDevice),
            };
            disk.session = Some(Session {
                root,
                window,
                is_changed: false,
            });
        }
        disk.session.as_mut().ok_or(Refusal::NoDevice)
    }

    /// The time since the start, where there is a clock.
    pub fn now_ns(&self) -> Option<u64> {
        let now = self.timer.as_ref()?.now();
        now.ok().map(|now| now.ns)
    }

    fn wait(&self) {
        if let (Some(timer), Some(now)) = (&self.timer, self.now_ns()) {
            let _ = timer.sleep(now.saturating_add(TRY_WAIT_NS));
        }
    }

    /// Turns a refusal into what a person is told: where there is no volume, the volume says why.
    pub fn explain(&self, disk: usize, path: &Path, refusal: Refusal) -> Failure {
        let Some(disk) = self.list.get(disk) else {
            return Failure::about(path)(refusal);
        };
        let problem = disk.volume.as_ref().and_then(|volume| {
            volume
                .problem(|r| r.text().map(ToString::to_string))
                .ok()?
                .ok()
                .filter(|text| !text.is_empty())
        });
        let Some(problem) = problem else {
            return Failure::about(path)(refusal);
        };
        let advice = volume_advice(refusal)
            .map(|advice| format!("; {advice}"))
            .unwrap_or_default();
        Failure::Said(format!("/{}: {}{advice}", disk.name, Safe(&problem)))
    }

    /// What a path is.
    ///
    /// # Errors
    /// The volume's.
    pub fn stat(&mut self, path: &Path) -> Result<Stat, Failure> {
        if path.is_root() {
            return Ok(Stat {
                kind: directory::Kind::Directory,
                ..Stat::default()
            });
        }
        let (disk, rest) = self.locate(path)?;
        self.in_session(disk, |root, _| {
            if rest.is_empty() {
                return Ok(Stat {
                    kind: directory::Kind::Directory,
                    ..Stat::default()
                });
            }
            root.stat(&rest, |results| results.stat().and_then(|s| s.value()))
                .and_then(|r| r)
        })
        .map_err(|refusal| self.explain(disk, path, refusal))
    }

    /// Begins to list a directory.
    ///
    /// # Errors
    /// When the path is the root or names no disk.
    pub fn lister(&mut self, path: &Path) -> Result<Lister, Failure> {
        let (disk, path) = self.locate(path)?;
        Ok(Lister {
            disk,
            path,
            cursor: Some(0),
            directory: None,
        })
    }

    /// The next entries of a directory; `None` at the end.
    ///
    /// # Errors
    /// The volume's.
    pub fn list(
        &mut self,
        lister: &mut Lister,
        path: &Path,
    ) -> Result<Option<Vec<(String, Stat)>>, Failure> {
        let Lister {
            disk,
            path: rest,
            cursor,
            directory,
        } = lister;
        let Some(at) = *cursor else { return Ok(None) };
        let disk = *disk;
        let (entries, next) = self
            .in_session(disk, |root, _| {
                // As with files: a directory belongs to the session it was opened in.
                let opened = match directory.take() {
                    Some(directory) => directory,
                    None => root.sub(rest)?.directory,
                };
                let listed = opened
                    .list(at, |results| {
                        let mut entries = Vec::new();
                        for entry in results.entries()?.iter() {
                            entries.push((entry.name()?.to_string(), entry.stat()?.value()?));
                        }
                        let more = !results.end() && results.next() > at;
                        Ok((entries, more.then(|| results.next())))
                    })
                    .and_then(|r| r)?;
                *directory = Some(opened);
                Ok(listed)
            })
            .map_err(|refusal| self.explain(disk, path, refusal))?;
        *cursor = next;
        Ok(Some(entries))
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// The volume's.
    pub fn open(&mut self, path: &Path) -> Result<Reader, Failure> {
        let (disk, rest) = self.locate(path)?;
        if rest.is_empty() {
            return Err(Failure::about(path)(Refusal::IsDirectory));
        }
        // What an earlier file still has on its way must not land in this one's window.
        if let Some(ring) = &mut self.ring {
            while ring.free() < usize::from(RING_SLOTS) {
                ring.wait(1, NEVER);
                while ring.completed().is_some() {}
            }
        }
        let file = self
            .in_session(disk, |root, _| Ok(root.open(&rest)?.file))
            .map_err(|refusal| self.explain(disk, path, refusal))?;
        Ok(Reader {
            disk,
            path: rest,
            offset: 0,
            file: Some(file),
            ahead: None,
        })
    }

    /// Copies the next piece of a file into `to`. 0 bytes: the end.
    ///
    /// # Errors
    /// The volume's.
    pub fn read(
        &mut self,
        reader: &mut Reader,
        path: &Path,
        to: &mut [u8],
    ) -> Result<usize, Failure> {
        let Reader {
            disk,
            path: rest,
            offset,
            file,
            ahead,
        } = reader;
        let (disk, length) = (
            *disk,
            u32::try_from(to.len()).unwrap_or(u32::MAX).min(READ_BYTES),
        );
        let mut ring = self.ring.take();
        let result = self.in_session(disk, |root, window| {
            // A file belongs to the session it was opened in: after a restart it is opened anew.
            let opened = match file.take() {
                Some(file) => file,
                None => root.open(rest)?.file,
            };
            let (bytes, at) = match (ahead.take(), &mut ring) {
                (Some(at), Some(ring)) => (finish(ring)?, at),
                _ => (opened.read(*offset, length, 0)?.bytes, 0),
            };
            let bytes = bytes.min(length);
            if bytes == length
                && let Some(ring) = &mut ring
            {
                let other = if at == 0 { READ_BYTES } else { 0 };
                let params = file::ReadParams {
                    offset: offset.saturating_add(u64::from(bytes)),
                    length,
                    window_offset: other,
                };
                // Without a slot the next piece is read when its turn comes.
                if ring
                    .call::<file::call::Read>(opened.object(), params, 0, NEVER)
                    .is_ok()
                {
                    ring.submit();
                    *ahead = Some(other);
                }
            }
            let bytes = bytes as usize;
            window.read(u64::from(at), to.get_mut(..bytes).unwrap_or_default())?;
            *file = Some(opened);
            Ok(bytes)
        });
        self.ring = ring;
        let bytes = result.map_err(|refusal| self.explain(disk, path, refusal))?;
        *offset = offset.saturating_add(bytes as u64);
        Ok(bytes)
    }
}

/// Waits for the read that is on its way. Returns how many bytes came.
fn finish(ring: &mut Ring) -> Result<u32, Refusal> {
    loop {
        if let Some(completion) = ring.completed() {
            return completion.read::<file::call::Read, _>(|results| results.bytes);
        }
        ring.wait(1, NEVER);
    }
}
