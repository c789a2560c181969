//! What the cloud keeps.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::fault::Fault;
use crate::gce::Google;
use crate::{BUCKET, Guest, Machines};

/// Tags of a resource.
pub type Tags = BTreeMap<String, String>;

/// An uploaded object, or a part of one.
#[derive(Debug, Clone)]
pub struct Object {
    /// Where its bytes lie.
    pub path: PathBuf,
    pub bytes: u64,
    pub etag: String,
}

/// An upload in parts that has not come to its end.
#[derive(Debug)]
pub struct Upload {
    pub bucket: String,
    pub key: String,
    pub parts: BTreeMap<u32, Object>,
}

/// How far an import came.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    Active,
    Completed { snapshot: String },
    Failed { why: String },
    Cancelled,
}

#[derive(Debug)]
pub struct Task {
    pub progress: Progress,
    pub description: String,
    pub tags: Tags,
}

#[derive(Debug)]
pub struct Snapshot {
    pub disk: PathBuf,
    pub gib: u64,
    pub description: String,
    pub tags: Tags,
}

#[derive(Debug)]
pub struct Image {
    pub name: String,
    pub snapshot: String,
    pub root_device: String,
    pub boot_mode: String,
    pub has_ena: bool,
    pub keeps_disk: bool,
    pub tags: Tags,
}

#[derive(Debug)]
pub struct Group {
    pub name: String,
    pub description: String,
    /// Who may send to it, as ranges of addresses.
    pub ingress: Vec<String>,
    /// Whom it may send to.
    pub egress: Vec<String>,
    pub tags: Tags,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Running,
    Terminated,
}

pub struct Instance {
    pub life: Life,
    pub image: String,
    pub kind: String,
    pub boot_mode: String,
    pub has_ena: bool,
    pub metadata: String,
    pub group: String,
    pub public_address: Option<String>,
    pub profile: Option<String>,
    pub root_device: String,
    pub volume: Volume,
    pub interface: String,
    pub interface_tags: Tags,
    pub serial: PathBuf,
    pub guest: Option<Box<dyn Guest>>,
    /// What makes a request the same as one before.
    pub token: Option<String>,
    pub tags: Tags,
}

#[derive(Debug)]
pub struct Volume {
    pub id: String,
    pub gib: u64,
    pub ends_with_instance: bool,
    pub is_there: bool,
    pub tags: Tags,
}

/// All of it.
pub struct Cloud {
    /// The folder for everything.
    pub dir: PathBuf,
    pub machines: Box<dyn Machines>,
    pub fault: Option<Fault>,
    pub is_expired: bool,
    pub buckets: Vec<String>,
    pub objects: BTreeMap<(String, String), Object>,
    pub uploads: BTreeMap<String, Upload>,
    pub tasks: BTreeMap<String, Task>,
    pub snapshots: BTreeMap<String, Snapshot>,
    pub images: BTreeMap<String, Image>,
    pub groups: BTreeMap<String, Group>,
    pub instances: BTreeMap<String, Instance>,
    /// What Google's tool made.
    pub google: Google,
    counter: u64,
}

impl Cloud {
    pub fn new(dir: PathBuf, machines: Box<dyn Machines>, fault: Option<Fault>) -> Self {
        Self {
            dir,
            machines,
            fault,
            is_expired: false,
            buckets: vec![BUCKET.to_owned()],
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            tasks: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            images: BTreeMap::new(),
            groups: BTreeMap::new(),
            instances: BTreeMap::new(),
            google: Google::default(),
            counter: 0,
        }
    }

    /// A name that nothing else has.
    pub fn identifier(&mut self, prefix: &str) -> String {
        self.counter += 1;
        format!("{prefix}-{:017x}", 0xc0_0000_0000_u64 + self.counter)
    }

    /// Notices guests that have ended: theirs are instances that ended with them.
    pub fn look(&mut self) {
        self.google.look();
        for instance in self.instances.values_mut() {
            let has_ended = instance
                .guest
                .as_mut()
                .is_some_and(|guest| !guest.is_running());
            if has_ended {
                instance.end();
            }
        }
    }
}

impl Instance {
    /// Ends it, and what ends with it.
    pub fn end(&mut self) {
        self.guest = None;
        self.life = Life::Terminated;
        if self.volume.ends_with_instance {
            self.volume.is_there = false;
        }
    }
}
