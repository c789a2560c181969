//! Saving on a volume, cut at every write.

use std::collections::BTreeMap;

use crash_lab::crash::{Limits as Cuts, explore};
use crash_lab::work::{self, Content, Run};
use crash_lab::{Event, Recorder};
use save_core::{
    Anchors, Backend, Condition, Expect, Facet, Fault, Group, Key, LedgerName, Limits, Listed,
    Loaded, Memory, Name, Pair, Profile, RetryKey, SaveStore, Scope, Slot, Tenant, Writer,
};
use save_volume::VolumeStore;
use volume_core::{Access, Volume};

const SCOPE: Scope = Scope {
    tenant: Tenant([1; 16]),
    profile: Profile([2; 16]),
};
const WRITER: Writer = Writer {
    schema: 1,
    epoch: 1,
};
const LIMITS: Limits = Limits {
    kept_versions: 2,
    ..Limits::USUAL
};

/// Notes what the volume holds after each write, and what was answered.
struct Noted {
    store: VolumeStore<Recorder>,
    states: Vec<Content>,
}

impl Noted {
    fn note(
        &mut self,
        work: impl FnOnce(&mut VolumeStore<Recorder>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let next = self.states.len();
        let events = |store: &mut VolumeStore<Recorder>, event| {
            store.volume_mut().disk_mut().events.push(event)
        };
        events(&mut self.store, Event::Submitted(next));
        let end = work(&mut self.store);
        match end {
            Ok(()) => {
                // What waits for the next commit is not in this one.
                let volume = self.store.volume_mut();
                volume.roll_back();
                let view = volume.live();
                self.states.push(work::content(volume, &view).unwrap());
                events(&mut self.store, Event::Acknowledged(next));
            }
            Err(_) => events(&mut self.store, Event::Submitted(next - 1)),
        }
        end
    }
}

impl Backend for &mut Noted {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        self.store.load(scope, slot)
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        self.note(|store| store.store(scope, slot, only, bytes))
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        self.note(|store| store.remove(scope, slot))
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault> {
        self.store.list(scope, group, after, most)
    }
}

fn key() -> Key {
    Key::checkpoint(Name::new("slot-1").unwrap())
}

fn ledger() -> LedgerName {
    LedgerName(Name::new("trades").unwrap())
}

/// The slots in a volume's content, as a store of their own.
fn slots(content: &Content) -> Memory {
    let mut store = Memory::new();
    for (path, bytes) in content {
        let name = path.rsplit('/').next().unwrap_or_default();
        if let Some(slot) =
            Slot::listed(&name.replace(':', "/")).filter(|_| path.contains("saves/"))
        {
            store.plant(&SCOPE, &slot, bytes.clone());
        }
    }
    store
}

#[test]
fn a_cut_at_any_write_leaves_what_was_answered() {
    let before = work::empty(600);
    let disk = Recorder::new(before.clone());
    let mut volume = Volume::mount(disk, Access::Write).unwrap().volume;
    volume.disk_mut().events.clear();
    let view = volume.live();
    let start = work::content(&mut volume, &view).unwrap();
    let mut noted = Noted {
        store: VolumeStore::new(volume),
        states: vec![start],
    };
    // How many states there are when a call is answered, and what it answered.
    let mut answered: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    let (mut version, mut lines) = (0, 0);
    for number in 0..5u8 {
        let call = RetryKey([number + 1; 16]);
        let mut facet = Facet::mint(&mut noted, SCOPE, LIMITS, WRITER, Anchors::default());
        version = facet
            .put(&key(), Expect::Any, call, &[number; 5000])
            .unwrap();
        lines = facet.append(&ledger(), lines, call, &[number]).unwrap();
        answered.insert(noted.states.len() - 1, (version, lines));
    }
    assert_eq!((version, lines), (5, 5));
    let Noted { store, states } = noted;
    let run = Run {
        before,
        events: store.into_volume().into_disk().events,
        states,
    };
    let report = explore(&run, &Cuts::GATE);
    assert!(report.bad.is_empty(), "{:?}", report.bad.first());
    // Every state that a cut can leave is one of these; in each, all that was answered before it is there.
    for (at, state) in run.states.iter().enumerate() {
        let store = slots(state);
        let mut reader = Facet::mint(store, SCOPE, LIMITS, WRITER, Anchors::default());
        let (version, lines) = answered
            .range(..=at)
            .next_back()
            .map_or((0, 0), |(_, answered)| *answered);
        let newest = reader
            .get(&key())
            .unwrap()
            .map_or(0, |record| record.version);
        assert!(newest >= version && newest <= version + 1, "state {at}");
        let found = reader.read_ledger(&ledger(), 0).unwrap().items.len() as u64;
        assert!(found >= lines && found <= lines + 1, "state {at}");
        assert!(reader.history(&key()).is_ok());
    }
}

#[test]
fn a_cut_at_any_write_leaves_both_of_a_pair_or_neither() {
    let before = work::empty(600);
    let disk = Recorder::new(before.clone());
    let mut volume = Volume::mount(disk, Access::Write).unwrap().volume;
    volume.disk_mut().events.clear();
    let view = volume.live();
    let start = work::content(&mut volume, &view).unwrap();
    let mut noted = Noted {
        store: VolumeStore::new(volume),
        states: vec![start],
    };
    let (head, beside) = (Slot::head(&key()), Slot::capsule(&key()));
    for number in 0..5u8 {
        let there = noted.store.load(&SCOPE, &head).unwrap();
        let only = there.map_or(Condition::Absent, |there| Condition::Is(there.token));
        let bytes = [number; 5000];
        let end = noted.note(|store| {
            store.store_both(&SCOPE, (&head, &bytes), &only, (&beside, &bytes[..100]))
        });
        assert_eq!(end, Ok(()));
        let again = noted
            .store
            .store_both(&SCOPE, (&head, b"x"), &only, (&beside, b"x"));
        assert_eq!(again, Err(Fault::Precondition));
    }
    let Noted { store, states } = noted;
    let run = Run {
        before,
        events: store.into_volume().into_disk().events,
        states,
    };
    let report = explore(&run, &Cuts::GATE);
    assert!(report.bad.is_empty(), "{:?}", report.bad.first());
    for state in &run.states {
        let mut store = slots(state);
        let mut first = |slot| {
            let loaded = store.load(&SCOPE, slot).unwrap();
            loaded.map(|loaded| loaded.bytes[0])
        };
        assert_eq!(first(&head), first(&beside));
    }
    assert_eq!(run.states.len(), 6);
}
