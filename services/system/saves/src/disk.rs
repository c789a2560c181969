//! The volume of the machine's own disk: mounted when somebody first asks, and anew after it failed.

use core::cell::RefCell;

use save_core::{
    Backend, Bounds, Condition, Fault, Group, Listed, Loaded, Pair, Quota, Scope, Slot,
};
use save_volume::VolumeStore;
use sdk::alloc::format;
use sdk::alloc::rc::Rc;
use sdk::alloc::string::{String, ToString};
use sdk::alloc::vec;
use sdk::{BlockDevice, fact, warn};
use volume_core::{Access, Durability, Error, ROOT_DIR, Volume};
use volume_disk::VolumeDisk;
use volume_format::{Kind, Stamp};
use volume_place::{Found, Range, Selector, find, mount, open};

use crate::options::is_plain;

type Core = Volume<VolumeDisk<Range>>;

/// The volume's folder of what nobody is told.
const KEYS: &[u8] = b"keys";
/// The longest key.
const KEY_BYTES: usize = 512;
/// There is no volume: it is looked for anew after a while.
const NO_VOLUME: Fault = Fault::Busy {
    retry_after_ms: 5000,
};

/// A store on the volume of a disk, for every facet the same.
#[derive(Clone)]
pub struct Disk(Rc<Held>);

struct Held {
    device: BlockDevice,
    partition: Option<u32>,
    store: RefCell<Option<VolumeStore<VolumeDisk<Range>>>>,
    /// How much each facet may have, where that was said.
    quota: RefCell<Quota>,
    /// What the log was told last of why there is none.
    said: RefCell<String>,
}

/// What a person calls the trouble.
type Trouble = String;

fn mounted(held: &Held) -> Result<Core, Trouble> {
    let mut disk = open(&held.device).map_err(|refusal| format!("the disk failed: {refusal}"))?;
    let found: Found =
        find(&mut disk, &Selector::numbered(held.partition)).map_err(|problem| problem.text)?;
    drop(disk);
    let mounted = mount(&held.device, found, Access::Write).map_err(|error| error.to_string())?;
    let mut volume = mounted.volume;
    if volume.access() != Access::Write {
        return Err(String::from("the disk cannot be written"));
    }
    // What was removed when the power went; where it fails, its blocks are in use for longer.
    let _ = volume.reap(Stamp::NONE);
    fact!("saves.mounted", partition = found.partition, cut = mounted.cut, group ~ volume.txg());
    Ok(volume)
}

impl Disk {
    /// Nothing is asked of the disk yet.
    pub fn new(device: BlockDevice, partition: Option<u32>) -> Self {
        Self(Rc::new(Held {
            device,
            partition,
            store: RefCell::new(None),
            quota: RefCell::default(),
            said: RefCell::new(String::new()),
        }))
    }

    /// From now on a facet may have so much.
    pub fn bound(&self, scope: Scope, bounds: Bounds) {
        self.0.quota.borrow_mut().bound(scope, bounds);
    }

    /// Does something with the store. One that failed, or may have, is mounted anew before the next: what it holds then is what the
    /// disk holds.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut VolumeStore<VolumeDisk<Range>>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let held = &*self.0;
        // Nothing that is called below comes back here.
        let mut place = held.store.try_borrow_mut().map_err(|_| NO_VOLUME)?;
        if place.is_none() {
            match mounted(held) {
                Ok(volume) => *place = Some(VolumeStore::new(volume)),
                Err(trouble) => {
                    self.tell(trouble);
                    return Err(NO_VOLUME);
                }
            }
        }
        let end = place.as_mut().map_or(Err(NO_VOLUME), work);
        if let Err(Fault::Busy { .. } | Fault::Lost) = end {
            *place = None;
            held.quota.borrow_mut().forget();
        }
        end
    }

    /// Tells whoever runs the system, once.
    pub fn tell(&self, trouble: String) {
        if self.0.said.replace(trouble.clone()) != trouble {
            warn!("saves: {trouble}");
        }
    }

    /// What the volume's file `keys/NAME` says, for whoever stands behind it.
    pub fn key(&self, name: &str) -> Option<String> {
        let found = self.with(|store| {
            let volume = store.volume_mut();
            Ok(read_key(volume, name.as_bytes()))
        });
        let bytes = found.ok()??;
        let text = String::from_utf8(bytes).ok()?;
        let text = text.trim_end_matches(['\r', '\n']);
        is_plain(text).then(|| text.to_string())
    }
}

impl Disk {
    /// The same, which is made of `text` where there is none yet, durably.
    pub fn key_or(&self, name: &str, text: impl FnOnce() -> Option<String>) -> Option<String> {
        if let Some(key) = self.key(name) {
            return Some(key);
        }
        let end = self.with(|store| {
            let volume = store.volume_mut();
            let made = text().map_or(Ok(()), |text| {
                let end = write_key(volume, name.as_bytes(), text.as_bytes());
                if end.is_err() {
                    volume.roll_back();
                }
                end
            });
            // What of it is there is found by the next look.
            made.map_err(|_| Fault::Lost)
        });
        end.ok()?;
        self.key(name)
    }
}

/// Makes a key that is not there.
fn write_key(volume: &mut Core, name: &[u8], text: &[u8]) -> Result<(), volume_place::Fault> {
    let view = volume.live();
    let keys = match volume.lookup(&view, ROOT_DIR, KEYS) {
        Ok(keys) => keys.id,
        Err(Error::NotFound) => volume.create(ROOT_DIR, KEYS, Kind::Dir, Stamp::NONE)?,
        Err(error) => return Err(error),
    };
    let file = volume.create(keys, name, Kind::File, Stamp::NONE)?;
    volume.write(file, 0, text, Stamp::NONE)?;
    volume.commit(Durability::Sync, Stamp::NONE)
}

/// The bytes of a key; `None` where there is none, or too long a one.
fn read_key(volume: &mut Core, name: &[u8]) -> Option<vec::Vec<u8>> {
    let view = volume.live();
    let keys = volume.lookup(&view, ROOT_DIR, KEYS).ok()?;
    let file = volume.lookup(&view, keys.id, name).ok()?;
    let mut bytes = vec![0; KEY_BYTES + 1];
    let count = volume.read(&view, file.id, 0, &mut bytes).ok()?;
    bytes.truncate(count);
    (count <= KEY_BYTES).then_some(bytes)
}

impl Backend for Disk {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        self.with(|store| store.load(scope, slot))
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let quota = &self.0.quota;
        self.with(|store| {
            quota.borrow_mut().admit(store, scope, &[(slot, bytes)])?;
            store.store(scope, slot, only, bytes)?;
            quota.borrow_mut().wrote(scope, slot, bytes);
            Ok(())
        })
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        let quota = &self.0.quota;
        self.with(|store| {
            store.remove(scope, slot)?;
            quota.borrow_mut().removed(scope, slot);
            Ok(())
        })
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<sdk::alloc::vec::Vec<Listed>, Fault> {
        self.with(|store| store.list(scope, group, after, most))
    }
}

impl Pair for Disk {
    fn store_both(
        &mut self,
        scope: &Scope,
        first: (&Slot, &[u8]),
        only: &Condition,
        second: (&Slot, &[u8]),
    ) -> Result<(), Fault> {
        let quota = &self.0.quota;
        self.with(|store| {
            quota.borrow_mut().admit(store, scope, &[first, second])?;
            store.store_both(scope, first, only, second)?;
            for (slot, bytes) in [first, second] {
                quota.borrow_mut().wrote(scope, slot, bytes);
            }
            Ok(())
        })
    }
}
