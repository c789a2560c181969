//! The mounted volume: when it commits, and what was lost if it could not.

use sdk::alloc::string::{String, ToString};
use sdk::{BlockDevice, Refusal, Timer, WallClock, fact};
use volume::Problem;
use volume_core::{Access, Durability, Error, Mounted, Volume};
use volume_disk::VolumeDisk;
use volume_format::{Refused, Stamp};
use volume_place::{Fault, Found, Range, choose, find, mount, open};

use crate::options::Options;

/// The volume as this service has it.
pub type Core = Volume<VolumeDisk<Range>>;

/// Blocks changed by one group, at most by about one more request.
const GROUP_BLOCKS: u64 = 1024;
/// How long a change waits for a sync before it is committed without one.
const LINGER_NS: u64 = 5_000_000_000;

/// A mounted volume.
pub struct Live {
    /// The volume.
    pub volume: Core,
    /// What the volume's sessions are opened at, which lives longer than they.
    _device: BlockDevice,
    /// Its name.
    pub label: String,
    timer: Timer,
    wall: Option<WallClock>,
    /// When the open group is committed, if nobody asks before.
    pub due_ns: Option<u64>,
    /// A snapshot was let go, and what it held may not all be free.
    pub is_freeing: bool,
    /// How often changes were dropped that had been answered, and what last did it.
    pub losses: u64,
    pub cause: Refusal,
}

/// The word for a client.
pub fn to_refusal(error: &Fault) -> Refusal {
    match error {
        Error::Disk(volume_disk::Error::Device(Refusal::ReadOnly)) | Error::ReadOnly => {
            Refusal::ReadOnly
        }
        Error::Disk(volume_disk::Error::NoMemory) | Error::NoMemory => Refusal::NoMemory,
        Error::Disk(_) => Refusal::DeviceError,
        Error::Corrupt(_) | Error::NoVolume(Refused::Sum | Refused::Fields) => Refusal::Corrupt,
        Error::NoVolume(_) | Error::Size => Refusal::NotSupported,
        Error::NoSpace => Refusal::NoSpace,
        Error::NotFound => Refusal::NotFound,
        Error::Exists => Refusal::AlreadyExists,
        Error::WrongKind => Refusal::NotDirectory,
        Error::NotEmpty => Refusal::NotEmpty,
        Error::BadName | Error::Loop => Refusal::BadArgument,
        Error::TooLarge => Refusal::TooLarge,
        Error::Bound => Refusal::Busy,
        Error::Conflict => Refusal::WrongState,
    }
}

/// What a client is told of an error; damage and a failed disk are said in the log as well, with their place.
pub fn reported(error: &Fault) -> Refusal {
    if !error.is_refusal() {
        sdk::warn!("{error}");
    }
    to_refusal(error)
}

fn problem(error: &Fault) -> Problem {
    Problem {
        refusal: to_refusal(error),
        text: error.to_string(),
    }
}

impl Live {
    /// Finds and mounts the volume of a disk.
    ///
    /// # Errors
    /// Why there is none.
    pub fn open(
        device: &BlockDevice,
        (timer, wall): (Timer, Option<WallClock>),
        options: &Options,
    ) -> Result<Self, Problem> {
        let chosen = choose(device, &options.target)?;
        let device = &chosen;
        let mut disk = open(device).map_err(|refusal| Problem {
            refusal,
            text: match refusal {
                Refusal::NoDevice => String::from("no disk"),
                other => sdk::alloc::format!("the disk failed: {other}"),
            },
        })?;
        let found = find(&mut disk, &options.target)?;
        drop(disk);
        let mounted = match mount(device, found, options.access) {
            // What it cannot write it may still read.
            Err(Error::NoVolume(Refused::Features(_))) if options.access == Access::Write => {
                mount(device, found, Access::Read)
            }
            other => other,
        };
        let Mounted { volume, cut, reads } = mounted.map_err(|error| match error {
            Error::Disk(volume_disk::Error::Device(Refusal::Busy)) => Problem {
                refusal: Refusal::Busy,
                text: String::from("somebody else has the blocks of its capOS volume to write"),
            },
            other => problem(&other),
        })?;
        let mut live = Self {
            label: name(&volume),
            volume,
            _device: chosen,
            timer,
            wall,
            due_ns: None,
            is_freeing: false,
            losses: 0,
            cause: Refusal::DeviceError,
        };
        live.announce(&found, cut, reads);
        // What was removed when the power went is taken away now; if that fails, reading goes on.
        if live.volume.access() == Access::Write {
            let now = live.stamp();
            if let Err(error) = live.volume.reap(now) {
                reported(&error);
            }
            // What a snapshot held goes later, while others are served.
            live.is_freeing = true;
            live.noted();
        }
        Ok(live)
    }

    fn announce(&self, found: &Found, cut: u64, reads: u64) {
        let access = match self.volume.access() {
            Access::Write => "write",
            Access::Read => "read",
        };
        fact!("store.mounted", access = access, partition = found.partition, cut = cut, reads ~ reads, group ~ self.volume.txg());
        sdk::info!(
            "mounted the capOS volume {:?}, {} bytes, to be {}",
            self.label,
            self.volume.label().layout.blocks() * volume_format::BLOCK as u64,
            match self.volume.access() {
                Access::Write => "written",
                Access::Read => "read only",
            }
        );
        if cut > 0 {
            sdk::warn!(
                "{cut} newer transaction groups of the volume did not add up and are not counted: they were cut by a loss of power before \
                 their sync was answered, or are damaged"
            );
        }
    }

    /// The time that a change is made at, as far as somebody has said the time of day.
    pub fn stamp(&self) -> Stamp {
        let now = self.wall.as_ref().and_then(|wall| wall.now().ok());
        let now = now.filter(|_| !sabotage::sabotage!(STORE_FORGET_TIME));
        now.map_or(Stamp::NONE, |now| {
            crate::stat::stamp(now, self.volume.mount_number())
        })
    }

    /// Does one change, and where the volume is full, once more after what was freed can be used.
    ///
    /// # Errors
    /// As clients see it.
    pub fn change<R>(
        &mut self,
        mut work: impl FnMut(&mut Core, Stamp) -> Result<R, Fault>,
    ) -> Result<R, Refusal> {
        let now = self.stamp();
        let mut result = work(&mut self.volume, now);
        if let Err(Error::NoSpace) = &result {
            while self.is_freeing {
                self.free();
            }
        }
        if let Err(Error::NoSpace) = &result
            && self.volume.can_reclaim()
        {
            result = match self.volume.reclaim(now) {
                Ok(()) => {
                    self.noted();
                    work(&mut self.volume, now)
                }
                Err(error) => Err(error),
            };
        }
        if let Err(error) = &result {
            self.lost(error);
        }
        if self.volume.pending() >= GROUP_BLOCKS {
            self.commit(Durability::Checkpoint);
        }
        self.noted();
        result.map_err(|error| reported(&error))
    }

    /// Frees a piece of what snapshots held that were let go.
    pub fn free(&mut self) {
        let now = self.stamp();
        match self.volume.free_gone(now) {
            Ok(more) => self.is_freeing = more,
            Err(error) => {
                self.is_freeing = false;
                self.lost(&error);
                reported(&error);
            }
        }
        self.noted();
    }

    /// Notes whether an error took the open group with it, and so changes that were answered.
    fn lost(&mut self, error: &Fault) {
        if self.due_ns.is_some() && !self.volume.is_changed() {
            self.losses += 1;
            self.cause = to_refusal(error);
            sdk::error!("changes since the last sync are dropped: {error}");
        }
    }

    /// Sets the time by which what is open now is committed.
    fn noted(&mut self) {
        if !self.volume.is_changed() {
            self.due_ns = None;
        } else if self.due_ns.is_none() {
            let now = self.timer.now().map_or(0, |now| now.ns);
            self.due_ns = Some(now.saturating_add(LINGER_NS));
        }
    }

    /// Commits without being asked.
    pub fn commit(&mut self, durability: Durability) {
        let now = self.stamp();
        if let Err(error) = self.volume.commit(durability, now) {
            self.lost(&error);
            reported(&error);
        }
        self.noted();
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// As clients see it, also of what was lost since the client last asked.
    pub fn sync(&mut self, seen: &mut u64) -> Result<u64, Refusal> {
        let now = self.stamp();
        let result = match sabotage::sabotage!(STORE_SKIP_COMMIT) {
            true => Ok(()),
            false => self.volume.commit(Durability::Sync, now),
        };
        if let Err(error) = &result {
            self.lost(error);
        }
        self.noted();
        if sabotage::sabotage!(STORE_HIDE_FAILURE) {
            return Ok(self.volume.txg());
        }
        if *seen != self.losses {
            *seen = self.losses;
            return Err(self.cause);
        }
        result.map_err(|error| reported(&error))?;
        Ok(self.volume.txg())
    }
}

/// What a person calls the volume.
fn name(volume: &Core) -> String {
    let bytes = volume.label().name;
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
