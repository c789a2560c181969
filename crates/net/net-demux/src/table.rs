//! The table: sockets in places, found by a hash, listed by client, queued in the order in which they came.

use alloc::vec::Vec;

use units::Nanoseconds;

use crate::key::{Endpoint, Key, Protocol};
use crate::{Bucket, Refusal};

/// No place.
pub(crate) const NONE: u32 = u32::MAX;

/// How much there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Sockets of all clients, half-open connections among them.
    pub sockets: u32,
    /// Clients.
    pub clients: u32,
}

/// What a client may have. It is promised: nobody else can take it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// Sockets, half-open connections among them.
    pub sockets: u32,
    /// Half-open connections among them.
    pub half_open: u32,
}

/// A client. Stale for ever once it has ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Client {
    pub(crate) place: u32,
    generation: u32,
}

/// A socket. Stale for ever once it is closed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Socket {
    pub(crate) place: u32,
    generation: u32,
}

impl Socket {
    /// Its place, below [`Limits::sockets`]; another socket has it once this one is closed.
    #[must_use]
    pub const fn place(self) -> u32 {
        self.place
    }
}

/// What a socket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It takes datagrams.
    Udp,
    /// It takes connections.
    Listener,
    /// A connection that was begun by a stranger and is not complete.
    HalfOpen,
    /// A complete one that the client has not accepted yet.
    Waiting,
    /// A connection of the client's.
    Open,
}

/// The two ends of a list of places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub first: u32,
    pub last: u32,
    pub count: u32,
}

impl List {
    pub(crate) const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
        count: 0,
    };
}

/// Where a place stands in a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    before: u32,
    after: u32,
}

impl Links {
    const NONE: Self = Self {
        before: NONE,
        after: NONE,
    };
}

/// The lists that a socket can be in: that of its client, and a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum In {
    Client,
    Queue,
}

/// A socket's place.
#[derive(Debug)]
pub(crate) struct Entry {
    generation: u32,
    pub key: Option<Key>,
    pub standing: Standing,
    pub client: u32,
    pub listener: u32,
    pub backlog: u32,
    /// Of a listener: what waits to be accepted.
    pub waiting: List,
    pub since: Nanoseconds,
    chain: u32,
    links: [Links; 2],
}

/// A client's place.
#[derive(Debug)]
pub(crate) struct Owner {
    generation: u32,
    pub share: Option<Share>,
    pub sockets: List,
    /// Its half-open connections, the oldest first.
    pub half_open: List,
    next_free: u32,
}

/// All sockets and clients of one network stack.
#[derive(Debug)]
pub struct Demux {
    pub(crate) secret: [u8; 16],
    buckets: Vec<u32>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) owners: Vec<Owner>,
    free_entry: u32,
    free_owner: u32,
    promised: u32,
    sockets: u32,
    pub(crate) strangers: Bucket,
    pub(crate) drawn: u16,
}

impl Demux {
    /// With all the memory that it will ever take. `secret` is known to nobody else: it keeps strangers from choosing what
    /// falls into one bucket, and from guessing ports.
    #[must_use]
    pub fn new(limits: Limits, secret: [u8; 16], strangers: Bucket) -> Self {
        let sockets = limits.sockets.min(1 << 24);
        let clients = limits.clients.min(1 << 24);
        let buckets = (sockets.max(1) * 2).next_power_of_two();
        let entry = |place: u32| Entry {
            generation: 0,
            key: None,
            standing: Standing::Udp,
            client: NONE,
            listener: NONE,
            backlog: 0,
            waiting: List::EMPTY,
            since: Nanoseconds::ZERO,
            chain: next(place, sockets),
            links: [Links::NONE; 2],
        };
        let owner = |place: u32| Owner {
            generation: 0,
            share: None,
            sockets: List::EMPTY,
            half_open: List::EMPTY,
            next_free: next(place, clients),
        };
        Self {
            secret,
            buckets: (0..buckets).map(|_| NONE).collect(),
            entries: (0..sockets).map(entry).collect(),
            owners: (0..clients).map(owner).collect(),
            free_entry: if sockets == 0 { NONE } else { 0 },
            free_owner: if clients == 0 { NONE } else { 0 },
            promised: 0,
            sockets: 0,
            strangers,
            drawn: 0,
        }
    }

    /// A new client, with its share promised.
    ///
    /// # Errors
    /// There is no place, or the share is more than what is left.
    pub fn admit(&mut self, share: Share) -> Result<Client, Refusal> {
        let promised = self
            .promised
            .checked_add(share.sockets)
            .filter(|all| *all as usize <= self.entries.len());
        let promised = promised.ok_or(Refusal::Promised)?;
        let place = self.free_owner;
        let owner = self
            .owners
            .get_mut(place as usize)
            .ok_or(Refusal::Promised)?;
        self.free_owner = owner.next_free;
        self.promised = promised;
        owner.share = Some(share);
        Ok(Client {
            place,
            generation: owner.generation,
        })
    }

    /// Ends a client and one of its sockets after the other; `gone` is told of each.
    ///
    /// # Errors
    /// It has ended.
    pub fn end(&mut self, client: Client, mut gone: impl FnMut(Socket)) -> Result<(), Refusal> {
        let share = self.owner(client)?.share.ok_or(Refusal::Stale)?;
        loop {
            // From the end: what came to a listener goes before it, so that each is told of.
            let last = self.owner(client)?.sockets.last;
            if last == NONE {
                break;
            }
            gone(self.socket_at(last));
            self.remove(last, &mut |_| {});
        }
        let free = self.free_owner;
        if let Some(owner) = self.owners.get_mut(client.place as usize) {
            owner.generation = owner.generation.wrapping_add(1);
            owner.share = None;
            owner.next_free = free;
            self.free_owner = client.place;
            self.promised -= share.sockets;
        }
        Ok(())
    }

    /// How many sockets there are.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.sockets
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sockets == 0
    }

    /// What a socket is, and its ends.
    ///
    /// # Errors
    /// It is closed.
    pub fn look(&self, socket: Socket) -> Result<(Standing, Endpoint, Option<Endpoint>), Refusal> {
        let entry = self.entry(socket)?;
        let key = entry.key.ok_or(Refusal::Stale)?;
        Ok((entry.standing, key.local, key.remote))
    }

    /// Whose a socket is.
    ///
    /// # Errors
    /// It is closed.
    pub fn client_of(&self, socket: Socket) -> Result<Client, Refusal> {
        let place = self.entry(socket)?.client;
        let owner = self.owners.get(place as usize).ok_or(Refusal::Stale)?;
        Ok(Client {
            place,
            generation: owner.generation,
        })
    }

    /// The listener to which a connection came that nobody has accepted yet.
    #[must_use]
    pub fn listener_of(&self, socket: Socket) -> Option<Socket> {
        let entry = self.entry(socket).ok()?;
        let is_its = matches!(entry.standing, Standing::HalfOpen | Standing::Waiting);
        is_its.then(|| self.socket_at(entry.listener))
    }

    /// How many sockets the fullest bucket holds: what a lookup costs at most.
    #[must_use]
    pub fn longest_bucket(&self) -> u32 {
        let length = |first: &u32| {
            let (mut place, mut count) = (*first, 0);
            while let Some(entry) = self.entries.get(place as usize) {
                place = entry.chain;
                count += 1;
            }
            count
        };
        self.buckets.iter().map(length).max().unwrap_or(0)
    }

    pub(crate) fn owner(&self, client: Client) -> Result<&Owner, Refusal> {
        let owner = self
            .owners
            .get(client.place as usize)
            .ok_or(Refusal::Stale)?;
        if owner.generation != client.generation || owner.share.is_none() {
            return Err(Refusal::Stale);
        }
        Ok(owner)
    }

    pub(crate) fn entry(&self, socket: Socket) -> Result<&Entry, Refusal> {
        let entry = self
            .entries
            .get(socket.place as usize)
            .ok_or(Refusal::Stale)?;
        if entry.generation != socket.generation || entry.key.is_none() {
            return Err(Refusal::Stale);
        }
        Ok(entry)
    }

    pub(crate) fn socket_at(&self, place: u32) -> Socket {
        let generation = self
            .entries
            .get(place as usize)
            .map_or(0, |entry| entry.generation);
        Socket { place, generation }
    }

    fn bucket(&self, key: &Key) -> usize {
        // The number of buckets is a power of two.
        key.hash(&self.secret) as usize & (self.buckets.len() - 1)
    }

    /// The place that has this key.
    pub(crate) fn find(&self, key: &Key) -> Option<u32> {
        let mut place = *self.buckets.get(self.bucket(key))?;
        while let Some(entry) = self.entries.get(place as usize) {
            if entry.key.as_ref() == Some(key) {
                return Some(place);
            }
            place = entry.chain;
        }
        None
    }

    /// Puts a socket of a client into the table, if its share has room and nobody has the key.
    pub(crate) fn insert(
        &mut self,
        client: u32,
        key: Key,
        standing: Standing,
    ) -> Result<u32, Refusal> {
        let owner = self.owners.get(client as usize).ok_or(Refusal::Stale)?;
        let share = owner.share.ok_or(Refusal::Stale)?;
        if owner.sockets.count >= share.sockets && !sabotage::sabotage!(NET_IGNORE_SHARES) {
            return Err(Refusal::Share);
        }
        if self.find(&key).is_some() {
            return Err(Refusal::InUse);
        }
        let bucket = self.bucket(&key);
        let place = self.free_entry;
        let entry = self.entries.get_mut(place as usize).ok_or(Refusal::Share)?;
        let head = self.buckets.get_mut(bucket).ok_or(Refusal::Share)?;
        self.free_entry = entry.chain;
        entry.chain = *head;
        *head = place;
        entry.key = Some(key);
        entry.standing = standing;
        entry.client = client;
        entry.listener = NONE;
        entry.backlog = 0;
        entry.waiting = List::EMPTY;
        self.sockets += 1;
        self.append(place, In::Client);
        Ok(place)
    }

    /// Takes a socket out of everything; its place is used again under another generation.
    /// `gone` is told of what a listener takes with it.
    pub(crate) fn remove(&mut self, place: u32, gone: &mut dyn FnMut(Socket)) {
        let Some((standing, key)) = self
            .entries
            .get(place as usize)
            .and_then(|entry| Some((entry.standing, entry.key?)))
        else {
            return;
        };
        match standing {
            Standing::Listener => self.remove_children(place, gone),
            Standing::HalfOpen | Standing::Waiting => self.unlink(place, In::Queue),
            Standing::Udp | Standing::Open => {}
        }
        self.unlink(place, In::Client);
        self.unchain(place, &key);
        let free = self.free_entry;
        if let Some(entry) = self.entries.get_mut(place as usize) {
            entry.key = None;
            entry.generation = entry.generation.wrapping_add(1);
            entry.chain = free;
            self.free_entry = place;
            self.sockets -= 1;
        }
    }

    /// A listener takes with it what nobody accepted.
    fn remove_children(&mut self, listener: u32, gone: &mut dyn FnMut(Socket)) {
        let Some(client) = self
            .entries
            .get(listener as usize)
            .map(|entry| entry.client)
        else {
            return;
        };
        let mut place = self
            .owners
            .get(client as usize)
            .map_or(NONE, |owner| owner.sockets.first);
        while let Some(entry) = self.entries.get(place as usize) {
            let after = entry.links[In::Client as usize].after;
            if entry.listener == listener
                && matches!(entry.standing, Standing::HalfOpen | Standing::Waiting)
            {
                gone(self.socket_at(place));
                self.remove(place, &mut |_| {});
            }
            place = after;
        }
    }

    fn unchain(&mut self, place: u32, key: &Key) {
        let bucket = self.bucket(key);
        let after = self
            .entries
            .get(place as usize)
            .map_or(NONE, |entry| entry.chain);
        let Some(head) = self.buckets.get_mut(bucket) else {
            return;
        };
        if *head == place {
            *head = after;
            return;
        }
        let mut at = *head;
        while let Some(entry) = self.entries.get_mut(at as usize) {
            if entry.chain == place {
                entry.chain = after;
                return;
            }
            at = entry.chain;
        }
    }

    /// The list that a socket of this standing is in.
    fn list(&mut self, place: u32, kind: In) -> Option<&mut List> {
        let entry = self.entries.get(place as usize)?;
        let (client, listener, standing) = (entry.client, entry.listener, entry.standing);
        match (kind, standing) {
            (In::Client, _) => Some(&mut self.owners.get_mut(client as usize)?.sockets),
            (In::Queue, Standing::HalfOpen) => {
                Some(&mut self.owners.get_mut(client as usize)?.half_open)
            }
            (In::Queue, Standing::Waiting) => {
                Some(&mut self.entries.get_mut(listener as usize)?.waiting)
            }
            (In::Queue, _) => None,
        }
    }

    /// Puts a socket at the end of the list that it belongs into.
    pub(crate) fn append(&mut self, place: u32, kind: In) {
        let Some(list) = self.list(place, kind) else {
            return;
        };
        let before = list.last;
        list.last = place;
        list.count += 1;
        if before == NONE {
            list.first = place;
        }
        self.set_links(before, kind, |links| links.after = place);
        self.set_links(place, kind, |links| {
            *links = Links {
                before,
                after: NONE,
            };
        });
    }

    /// Takes a socket out of a list that it is in.
    pub(crate) fn unlink(&mut self, place: u32, kind: In) {
        let Some(links) = self
            .entries
            .get(place as usize)
            .map(|entry| entry.links[kind as usize])
        else {
            return;
        };
        let Some(list) = self.list(place, kind) else {
            return;
        };
        list.count -= 1;
        if list.first == place {
            list.first = links.after;
        }
        if list.last == place {
            list.last = links.before;
        }
        self.set_links(links.before, kind, |other| other.after = links.after);
        self.set_links(links.after, kind, |other| other.before = links.before);
    }

    fn set_links(&mut self, place: u32, kind: In, change: impl FnOnce(&mut Links)) {
        if let Some(entry) = self.entries.get_mut(place as usize) {
            change(&mut entry.links[kind as usize]);
        }
    }

    /// Who takes what comes from anywhere to a port: at this local address, or at any.
    pub(crate) fn bound(&self, protocol: Protocol, local: Endpoint) -> Option<u32> {
        let at = |local| {
            self.find(&Key {
                protocol,
                local,
                remote: None,
            })
        };
        at(local).or_else(|| at(any(local)))
    }
}

/// The same port at any address of the family.
const fn any(local: Endpoint) -> Endpoint {
    let address = match local.address {
        core::net::IpAddr::V4(_) => core::net::IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED),
        core::net::IpAddr::V6(_) => core::net::IpAddr::V6(core::net::Ipv6Addr::UNSPECIFIED),
    };
    Endpoint {
        address,
        port: local.port,
    }
}

const fn next(place: u32, count: u32) -> u32 {
    if place + 1 < count { place + 1 } else { NONE }
}
