//! Saves on the volume that are brought to a bridge, and when that is tried.

use save_core::{
    Anchors, Facet, Fault, Limits, Offline, Remote, SaveStore, Scope, Step, Wire, Writer,
};
use sdk::NEVER;
use sdk::alloc::format;
use sdk::alloc::string::String;
use sdk::alloc::vec::Vec;

use crate::disk::Disk;
use crate::near::Near;
use crate::way::{HttpWire, Way};

const MS_NS: u64 = 1_000_000;
/// How long the bridge is left alone after it was not there: twice as long each time, from the first to the last.
const FIRST_WAIT_MS: u64 = 500;
const LAST_WAIT_MS: u64 = 30_000;
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
    next_ns: u64,
    wait_ms: u64,
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
            next_ns: 0,
            wait_ms: FIRST_WAIT_MS,
        }
    }

    /// When something is to be done.
    pub const fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Something new may wait. A bridge that was not there is left alone as long as before.
    pub const fn stirred(&mut self) {
        if self.next_ns == NEVER {
            self.next_ns = 0;
        }
    }

    /// Does one thing. `now_ns` is read after it, because it may take long.
    pub fn step(&mut self, now_ns: impl FnOnce() -> u64) {
        match self.saves.step() {
            Step::Idle => {
                self.next_ns = NEVER;
                self.wait_ms = FIRST_WAIT_MS;
            }
            // Not before those that were due already.
            Step::Went => {
                self.next_ns = now_ns();
                self.wait_ms = FIRST_WAIT_MS;
            }
            Step::Wait(ms) => {
                let wait_ms = self.wait_ms.max(ms.into()).min(LAST_WAIT_MS);
                self.next_ns = now_ns().saturating_add(wait_ms * MS_NS);
                self.wait_ms = self.wait_ms.saturating_mul(2).min(LAST_WAIT_MS);
            }
        }
    }

    /// The store, for a client's call.
    pub fn store(&mut self) -> &mut dyn SaveStore {
        &mut self.saves
    }
}
