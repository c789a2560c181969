//! Saves on the volume that are brought to a bridge, and when that is tried.

use save_core::{Anchors, Facet, Fault, Limits, Offline, Remote, SaveStore, Scope, Wire, Writer};
use sdk::alloc::format;
use sdk::alloc::string::String;
use sdk::alloc::vec::Vec;

use crate::disk::Disk;
use crate::near::Near;
use crate::pace::Pace;
use crate::way::{HttpWire, Way};

/// The token is not there yet.
const NO_KEY: Fault = Fault::Busy {
    retry_after_ms: 10_000,
};

/// The way of a facet whose token lies on the volume.
pub struct KeyWire {
    disk: Disk,
    way: Way,
    key: String,
    /// Once the token was read.
    wire: Option<HttpWire>,
}

impl Wire for KeyWire {
    fn call(&mut self, call: &[u8]) -> Result<Vec<u8>, Fault> {
        if self.wire.is_none() {
            let Some(token) = self.disk.key(&self.key) else {
                self.disk.tell(format!(
                    "the volume has no file keys/{} with a token: nothing is brought to the bridge until it has",
                    self.key
                ));
                return Err(NO_KEY);
            };
            self.wire = Some(self.way.of(&token));
        }
        self.wire
            .as_mut()
            .map_or(Err(NO_KEY), |wire| wire.call(call))
    }
}

/// A facet on the volume, and when something of it is to be brought.
pub struct Kept {
    pub saves: Offline<Near, KeyWire>,
    pub pace: Pace,
}

/// A facet of what lies on this machine.
pub fn near(store: Near, scope: Scope, writer: Writer) -> Facet<Near> {
    Facet::mint(store, scope, Limits::USUAL, writer, Anchors::default())
}

impl Kept {
    /// One that looks at once for what waits.
    pub fn new(disk: &Disk, way: &Way, scope: Scope, key: &str, writer: Writer) -> Self {
        let wire = KeyWire {
            disk: disk.clone(),
            way: way.clone(),
            key: key.into(),
            wire: None,
        };
        let near = near(Near::Disk(disk.clone()), scope, writer);
        Self {
            saves: Offline::new(near, Remote::new(wire, writer)),
            pace: Pace::default(),
        }
    }

    /// Does one thing. `now_ns` is asked after it, because it may take long.
    pub fn step(&mut self, now_ns: impl FnOnce() -> u64) {
        let step = self.saves.step();
        self.pace.after(step, now_ns());
    }

    /// The store, for a client's call.
    pub fn store(&mut self) -> &mut dyn SaveStore {
        &mut self.saves
    }
}
