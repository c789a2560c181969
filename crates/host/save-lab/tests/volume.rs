//! The suite on a volume.

use std::sync::{Arc, Mutex};

use save_core::{Backend, Condition, Fault, Group, Listed, Loaded, Scope, Slot};
use save_lab::{Conditions, Length, Outcome, Rig, cases, run};
use save_volume::VolumeStore;
use volume_core::{Blocks, NewVolume, format};

const BLOCK: usize = 4096;

struct Disk(Vec<u8>);

impl Blocks for Disk {
    type Error = ();

    fn blocks(&self) -> u64 {
        (self.0.len() / BLOCK) as u64
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), ()> {
        let at = lba as usize * BLOCK;
        buf.copy_from_slice(self.0.get(at..at + buf.len()).ok_or(())?);
        Ok(())
    }

    fn write(&mut self, lba: u64, block: &[u8]) -> Result<(), ()> {
        let at = lba as usize * BLOCK;
        let place = self.0.get_mut(at..at + block.len()).ok_or(())?;
        place.copy_from_slice(block);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ()> {
        Ok(())
    }
}

#[derive(Clone)]
struct Shared(Arc<Mutex<VolumeStore<Disk>>>);

impl Backend for Shared {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        self.0.lock().unwrap().load(scope, slot)
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        self.0.lock().unwrap().store(scope, slot, only, bytes)
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        self.0.lock().unwrap().remove(scope, slot)
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault> {
        self.0.lock().unwrap().list(scope, group, after, most)
    }
}

#[test]
fn the_suite_holds_on_a_volume() {
    let new = NewVolume {
        uuid: [1; 16],
        name: [0; 64],
        max_file: 1 << 30,
        now: volume_format::Stamp::NONE,
    };
    let volume = format(Disk(vec![0; 16 << 20]), &new).unwrap();
    let store = Shared(Arc::new(Mutex::new(VolumeStore::new(volume))));
    let rig = Rig::new(
        Box::new(move || Box::new(store.clone())),
        None,
        Conditions::InHead,
    );
    let tally = run(&rig, &cases(Length::Whole), &[], |case, outcome| {
        if let Outcome::Failed(why) = outcome {
            panic!("{}: {why}", case.name);
        }
    });
    assert!(tally.passed > 35, "{tally:?}");
}
