//! What there is, of every kind: its name, what it says of itself, and what holds it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::filter::Filter;
use super::missing;
use super::storage::Stored;
use crate::params::Refusal;
use crate::{Guest, PROJECT, REGION_OF_ZONE, ZONE};

/// The kinds, in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Network,
    Subnet,
    Firewall,
    Image,
    Disk,
    Instance,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Network,
        Self::Subnet,
        Self::Firewall,
        Self::Image,
        Self::Disk,
        Self::Instance,
    ];

    /// The kind that a path below a project is about, and what follows.
    pub fn of(inside: &str) -> Option<(Self, &str)> {
        Self::ALL.into_iter().find_map(|kind| {
            let rest = inside.strip_prefix(&format!("/{}", kind.place()))?;
            (rest.is_empty() || rest.starts_with('/')).then_some((kind, rest))
        })
    }

    /// One of it, as `kind` says it behind `compute#`.
    pub fn one(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Subnet => "subnetwork",
            Self::Firewall => "firewall",
            Self::Image => "image",
            Self::Disk => "disk",
            Self::Instance => "instance",
        }
    }

    /// Where its operations are, below a project.
    pub fn scope(self) -> String {
        match self {
            Self::Network | Self::Firewall | Self::Image => "global".to_owned(),
            Self::Subnet => format!("regions/{REGION_OF_ZONE}"),
            Self::Disk | Self::Instance => format!("zones/{ZONE}"),
        }
    }

    /// Where it is, below a project.
    pub fn place(self) -> String {
        format!("{}/{}s", self.scope(), self.one())
    }
}

/// Something that was made.
#[derive(Debug, Default)]
pub struct Thing {
    /// What it says, beside what it was asked for.
    pub told: Value,
    /// An image's or a disk's bytes.
    pub file: Option<PathBuf>,
}

/// An instance's guest.
pub struct Running {
    pub guest: Option<Box<dyn Guest>>,
    pub serial: PathBuf,
    pub started: Instant,
    /// After this time the provider removes it.
    pub most: Option<Duration>,
}

/// All of Google's.
#[derive(Default)]
pub struct Google {
    things: BTreeMap<(Kind, String), Thing>,
    pub running: BTreeMap<String, Running>,
    pub operations: BTreeMap<String, Value>,
    pub objects: BTreeMap<(String, String), Stored>,
    /// Uploads that have begun: bucket and name.
    pub uploads: BTreeMap<String, (String, String)>,
    /// How the tool that asks names this server.
    pub base: String,
}

impl Google {
    /// Where something of this name is, as answers write it.
    pub fn path(&self, kind: Kind, name: &str) -> String {
        format!("projects/{PROJECT}/{}/{name}", kind.place())
    }

    pub fn link(&self, path: &str) -> String {
        format!("{}/compute/v1/{path}", self.base)
    }

    /// What a thing says.
    pub fn get(&self, kind: Kind, name: &str) -> Result<&Value, Refusal> {
        let thing = self.things.get(&(kind, name.to_owned()));
        thing
            .map(|thing| &thing.told)
            .ok_or_else(|| missing(&self.path(kind, name)))
    }

    pub fn get_mut(&mut self, kind: Kind, name: &str) -> Option<&mut Value> {
        let thing = self.things.get_mut(&(kind, name.to_owned()));
        thing.map(|thing| &mut thing.told)
    }

    pub fn file(&self, kind: Kind, name: &str) -> Option<&PathBuf> {
        self.things.get(&(kind, name.to_owned()))?.file.as_ref()
    }

    /// The name of what a link in an order leads to, if it is there.
    pub fn referred(&self, kind: Kind, link: &str) -> Result<String, Refusal> {
        let place = format!("/compute/v1/projects/{PROJECT}/{}/", kind.place());
        let (_, name) = link.split_once(&place).ok_or_else(|| missing(link))?;
        self.get(kind, name).map(|_| name.to_owned())
    }

    /// Adds a thing: what was asked for, what `thing` says, and what all say.
    pub fn put(&mut self, kind: Kind, name: &str, order: &Value, thing: Thing) {
        let link = self.link(&self.path(kind, name));
        let mut all = order.as_object().cloned().unwrap_or_default();
        all.extend(thing.told.as_object().cloned().unwrap_or_default());
        all.insert("kind".into(), format!("compute#{}", kind.one()).into());
        all.insert("id".into(), (1000 + self.things.len()).to_string().into());
        all.insert(
            "creationTimestamp".into(),
            "2024-01-01T00:00:00.000-00:00".into(),
        );
        all.insert("selfLink".into(), link.into());
        all.extend(self.whereabouts(kind));
        let told = Value::Object(all);
        let file = thing.file;
        self.things
            .insert((kind, name.to_owned()), Thing { told, file });
    }

    /// The field that says in which zone or region something is.
    pub fn whereabouts(&self, kind: Kind) -> Map<String, Value> {
        let place = |scope: String| self.link(&format!("projects/{PROJECT}/{scope}"));
        let field = match kind {
            Kind::Disk | Kind::Instance => json!({"zone": place(kind.scope())}),
            Kind::Subnet => json!({"region": place(kind.scope())}),
            _ => json!({}),
        };
        field.as_object().cloned().unwrap_or_default()
    }

    /// Who holds a thing: whatever names it, but an image, which its disks can do without.
    pub fn user(&self, kind: Kind, name: &str) -> Option<String> {
        if kind == Kind::Image {
            return None;
        }
        let told = self.get(kind, name).ok()?;
        let named = told["selfLink"].to_string();
        let own = (kind, name.to_owned());
        let mut others = self.things.iter().filter(|(key, _)| **key != own);
        let (user, _) = others.find(|(_, other)| other.told.to_string().contains(&named))?;
        Some(self.path(user.0, &user.1))
    }

    /// A listing; one of nothing has no items.
    pub fn list(&self, kind: Kind, filter: &Filter) -> Value {
        let things = self.things.iter().filter(|(key, _)| key.0 == kind);
        let items: Vec<&Value> = things
            .map(|(_, thing)| &thing.told)
            .filter(|told| filter.passes(told))
            .collect();
        let mut list = json!({"kind": format!("compute#{}List", kind.one()), "id": kind.place()});
        if !items.is_empty() {
            list["items"] = json!(items);
        }
        list
    }

    /// Removes a thing, and what goes with it.
    pub fn remove(&mut self, kind: Kind, name: &str) {
        let thing = self.things.remove(&(kind, name.to_owned()));
        if let Some(file) = thing.as_ref().and_then(|thing| thing.file.as_ref()) {
            let _ = fs::remove_file(file);
        }
        if kind != Kind::Instance {
            return;
        }
        self.running.remove(name);
        let goes = thing.is_some_and(|thing| thing.told["disks"][0]["autoDelete"] == true);
        if goes {
            // A boot disk has its instance's name.
            self.remove(Kind::Disk, name);
        }
    }

    /// Notices guests that have ended, and instances whose time is over.
    pub fn look(&mut self) {
        let (mut ended, mut over) = (Vec::new(), Vec::new());
        for (name, running) in &mut self.running {
            let is_over = running
                .most
                .is_some_and(|most| running.started.elapsed() >= most);
            let has_ended = running
                .guest
                .as_mut()
                .is_some_and(|guest| !guest.is_running());
            if is_over {
                over.push(name.clone());
            } else if has_ended {
                running.guest = None;
                ended.push(name.clone());
            }
        }
        for name in &ended {
            if let Some(told) = self.get_mut(Kind::Instance, name) {
                told["status"] = "TERMINATED".into();
            }
        }
        for name in &over {
            self.remove(Kind::Instance, name);
        }
    }
}
