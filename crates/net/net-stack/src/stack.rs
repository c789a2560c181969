//! The stack: what it is made of, and the order of its work.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use net_config::{Keys, LinkAddress, dhcp4, ipv6};
use net_demux::{Bucket, Client, Demux, Share, Socket};
use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress};
use units::Nanoseconds;

use crate::Refusal;
use crate::applied::Applied;
use crate::count::{Count, Counts};
use crate::due::Due;
use crate::echoes::Echoes;
use crate::slot::{Limits, Part, Slot};
use crate::trace::{Taken, Trace};
use crate::wire::{Out, Wire};

/// Answers to strangers who meet no socket, and to their echoes: at once, and in a second.
const ANSWERS: (u32, u32) = (64, 200);
/// A handshake that a stranger began may take so long.
const HANDSHAKE: Nanoseconds = Nanoseconds::from_secs(30);
/// How often it is looked for handshakes that took too long.
const LOOK: Nanoseconds = Nanoseconds::from_secs(1);

/// What a stack is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The interface's address.
    pub hardware: LinkAddress,
    /// The longest packet that it carries.
    pub mtu: u16,
    /// What addresses and transactions are made of.
    pub keys: Keys,
    /// What the demultiplexer's hash is keyed with.
    pub secret: [u8; 16],
    /// What sequence numbers are drawn from.
    pub seed: u64,
    /// How an IPv4 address is looked for before it is used.
    pub probing: dhcp4::Probing,
    /// How much there is.
    pub limits: Limits,
}

/// A client that was let in.
struct Admitted {
    client: Client,
    /// Its orphans that only wait for stray packets, the oldest first: sockets that there are, and so no more than its share.
    lingering: VecDeque<Socket>,
}

/// A host on one link.
pub struct Stack {
    pub(crate) hardware: EthernetAddress,
    pub(crate) limits: Limits,
    pub(crate) interface: Interface,
    pub(crate) out: Out,
    pub(crate) demux: Demux,
    pub(crate) slots: Vec<Option<Slot>>,
    /// What nobody's packets are shown to.
    pub(crate) nobody: SocketSet<'static>,
    pub(crate) due: Due,
    /// Places whose sockets may have something to send.
    dirty: VecDeque<u32>,
    /// Places whose owners should look.
    touched: VecDeque<u32>,
    clients: Vec<Admitted>,
    look_at: Nanoseconds,
    pub(crate) dhcp: dhcp4::Client,
    pub(crate) host: ipv6::Host,
    pub(crate) applied: Applied,
    pub(crate) echoes: Echoes,
    pub(crate) answers: Bucket,
    pub(crate) counts: Counts,
    received: u64,
    transmitted: u64,
    /// For who was granted to see what passes.
    trace: Option<Box<Trace>>,
}

/// smoltcp's time.
pub(crate) fn instant(now: Nanoseconds) -> Instant {
    Instant::from_micros((now.as_u64() / 1000) as i64)
}

impl Stack {
    /// A stack without clients that begins to look for its addresses, with nearly all the memory that it will ever take: the
    /// buffers of sockets come with these.
    #[must_use]
    pub fn new(options: Options, now: Nanoseconds) -> Self {
        let hardware = EthernetAddress(options.hardware);
        let mut out = Out::new(options.mtu);
        let mut config = Config::new(HardwareAddress::Ethernet(hardware));
        config.random_seed = options.seed;
        let mut wire = Wire {
            arrived: None,
            out: &mut out,
        };
        let interface = Interface::new(config, &mut wire, instant(now));
        let strangers = Bucket::new(ANSWERS.0, ANSWERS.1, now);
        let limits = options.limits;
        let places = limits.sockets as usize;
        let demux = net_demux::Limits {
            sockets: limits.sockets,
            clients: limits.clients,
        };
        Self {
            hardware,
            limits,
            interface,
            out,
            demux: Demux::new(demux, options.secret, strangers),
            slots: (0..places).map(|_| None).collect(),
            nobody: SocketSet::new(Vec::new()),
            due: Due::new(limits.sockets),
            dirty: VecDeque::with_capacity(places),
            touched: VecDeque::with_capacity(places),
            clients: Vec::with_capacity(limits.clients as usize),
            look_at: Nanoseconds::NEVER,
            dhcp: dhcp4::Client::new(options.hardware, options.keys.clone(), options.probing, now),
            host: ipv6::Host::new(options.hardware, options.mtu.into(), options.keys, now),
            applied: Applied::default(),
            echoes: Echoes::new(options.seed),
            answers: strangers,
            counts: Counts::default(),
            received: 0,
            transmitted: 0,
            trace: None,
        }
    }

    /// A new client, with its share promised.
    ///
    /// # Errors
    /// There is no place, or the share is more than what is left.
    pub fn admit(&mut self, share: Share) -> Result<Client, Refusal> {
        let client = self.demux.admit(share)?;
        self.clients.push(Admitted {
            client,
            lingering: VecDeque::with_capacity(share.sockets as usize),
        });
        Ok(client)
    }

    /// Takes a frame that arrived.
    pub fn receive(&mut self, now: Nanoseconds, frame: &[u8]) {
        self.received += 1;
        if let Some(trace) = &mut self.trace {
            trace.note(now, frame);
        }
        if let Err(count) = self.arrive(now, frame) {
            self.counts.add(count);
        }
    }

    /// Does what is due; then look for outgoing frames and touched sockets. Again at [`Self::deadline`], and once frames have
    /// left.
    pub fn poll(&mut self, now: Nanoseconds) {
        self.configure(now);
        self.echo(now);
        self.expire(now);
        while let Some((place, _)) = self.due.first().filter(|(_, when)| when.has_passed(now)) {
            self.due.set(place, Nanoseconds::NEVER);
            self.mark(place);
        }
        while self.out.has_room()
            && let Some(place) = self.dirty.pop_front()
        {
            self.send(now, place);
        }
    }

    /// When [`Self::poll`] has something to do next, if nothing arrives and no client asks for anything.
    #[must_use]
    pub fn deadline(&self) -> Nanoseconds {
        if !self.out.has_room() {
            // The frames have to leave first.
            return Nanoseconds::NEVER;
        }
        if !self.dirty.is_empty() {
            return Nanoseconds::ZERO;
        }
        let first = self
            .due
            .first()
            .map_or(Nanoseconds::NEVER, |(_, when)| when);
        let configured = self.dhcp.deadline().min(self.host.deadline());
        let configured = configured.min(self.waiting_until());
        let own = self.look_at.min(self.echoes.deadline());
        first.min(configured).min(own)
    }

    /// The oldest frame that waits to go out.
    #[must_use]
    pub fn outgoing(&self) -> Option<&[u8]> {
        self.out.first()
    }

    /// The oldest frame is on its way.
    pub fn sent(&mut self, now: Nanoseconds) {
        self.transmitted += 1;
        if let Some((trace, frame)) = self.trace.as_mut().zip(self.out.first()) {
            trace.note(now, frame);
        }
        self.out.drop_first();
    }

    /// From now on, what passes is copied; or no more.
    pub fn set_trace(&mut self, trace: Option<Trace>) {
        self.trace = trace.map(Box::new);
    }

    /// Whether somebody looks at what passes.
    #[must_use]
    pub const fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// What passed, from record number `from` on: [`Trace::read`].
    pub fn read_trace(&self, from: u64, to: &mut [u8]) -> Taken {
        let nothing = Taken {
            bytes: 0,
            next: from,
            dropped: 0,
        };
        self.trace
            .as_ref()
            .map_or(nothing, |trace| trace.read(from, to))
    }

    /// The next socket that may have something new for its owner, and the owner's name for it.
    pub fn touched(&mut self) -> Option<(Socket, u64)> {
        while let Some(place) = self.touched.pop_front() {
            if let Some(Some(slot)) = self.slots.get_mut(place as usize) {
                slot.is_touched = false;
                return Some((slot.socket, slot.owner));
            }
        }
        None
    }

    /// Gives a socket its owner's name.
    pub fn set_owner(&mut self, socket: Socket, owner: u64) {
        if let Ok(slot) = self.slot(socket) {
            slot.owner = owner;
        }
    }

    /// Frames that were taken, and frames that left.
    #[must_use]
    pub const fn traffic(&self) -> (u64, u64) {
        (self.received, self.transmitted)
    }

    /// The interface's address, and the longest packet that it carries.
    #[must_use]
    pub const fn interface(&self) -> (LinkAddress, u16) {
        (self.hardware.0, self.out.mtu())
    }

    /// How many sockets there are.
    #[must_use]
    pub const fn sockets(&self) -> u32 {
        self.demux.len()
    }

    /// How many of them nobody holds any more and only wait for stray packets.
    #[must_use]
    pub fn lingering_sockets(&self) -> usize {
        let all = self.clients.iter();
        all.map(|admitted| admitted.lingering.len()).sum()
    }

    /// What was not done, by name.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn slot(&mut self, socket: Socket) -> Result<&mut Slot, Refusal> {
        let stale = Refusal::Demux(net_demux::Refusal::Stale);
        let slot = self.slots.get_mut(socket.place() as usize);
        let slot = slot.and_then(Option::as_mut).ok_or(stale)?;
        if slot.socket == socket {
            Ok(slot)
        } else {
            Err(stale)
        }
    }

    /// Puts a slot where its socket's place is.
    pub(crate) fn put(&mut self, slot: Slot) {
        let place = slot.socket.place();
        if let Some(entry) = self.slots.get_mut(place as usize) {
            *entry = Some(slot);
        }
    }

    /// A socket is gone from the demultiplexer: so is all of it here.
    pub(crate) fn forget(&mut self, socket: Socket) {
        let Ok(slot) = self.slot(socket) else {
            return;
        };
        let lingers_for = slot.lingers_for;
        self.due.set(socket.place(), Nanoseconds::NEVER);
        if let Some(entry) = self.slots.get_mut(socket.place() as usize) {
            *entry = None;
        }
        if let Some(lingering) = lingers_for.and_then(|client| self.lingering(client)) {
            lingering.retain(|other| *other != socket);
        }
    }

    /// Something may have to be sent from this place.
    pub(crate) fn mark(&mut self, place: u32) {
        if let Some(Some(slot)) = self.slots.get_mut(place as usize)
            && slot.handle.is_some()
            && !slot.is_dirty
        {
            slot.is_dirty = true;
            self.dirty.push_back(place);
        }
    }

    /// The owner of this place should look.
    pub(crate) fn touch(&mut self, place: u32) {
        if let Some(Some(slot)) = self.slots.get_mut(place as usize)
            && !slot.is_touched
        {
            slot.is_touched = true;
            self.touched.push_back(place);
        }
    }

    /// A client's handshakes are looked at from now on.
    pub(crate) fn watch_handshakes(&mut self, now: Nanoseconds) {
        self.look_at = self.look_at.min(now.saturating_add(LOOK));
    }

    /// Ends handshakes that take too long.
    fn expire(&mut self, now: Nanoseconds) {
        if !self.look_at.has_passed(now) {
            return;
        }
        self.look_at = Nanoseconds::NEVER;
        let since = Nanoseconds::new(now.as_u64().saturating_sub(HANDSHAKE.as_u64()));
        for at in 0..self.clients.len() {
            let Some(client) = self.clients.get(at).map(|admitted| admitted.client) else {
                return;
            };
            while let Ok(Some(socket)) = self.demux.expire(client, since) {
                self.counts.add(Count::Expired);
                self.forget(socket);
            }
        }
        let is_half_open = |slot: &Slot| matches!(slot.part, Part::HalfOpen(_));
        if self.slots.iter().flatten().any(is_half_open) {
            self.watch_handshakes(now);
        }
    }

    /// Sends what the socket in this place has, as far as there is room.
    fn send(&mut self, now: Nanoseconds, place: u32) {
        let Some(Some(slot)) = self.slots.get_mut(place as usize) else {
            return;
        };
        slot.is_dirty = false;
        let mut wire = Wire {
            arrived: None,
            out: &mut self.out,
        };
        let (at, now) = (now, instant(now));
        while self.interface.poll_egress(now, &mut wire, &mut slot.set)
            == PollResult::SocketStateChanged
        {}
        let when = match self.interface.poll_at(now, &slot.set) {
            None => Nanoseconds::NEVER,
            // A moment later: nothing that smoltcp wants at once and does not do may keep the stack busy.
            Some(when) => Nanoseconds::from_micros(when.max(now).total_micros() as u64 + 1),
        };
        if self.out.has_room() {
            self.due.set(place, when);
        } else {
            self.mark(place);
        }
        self.settle(at, place);
    }

    /// Sends what the socket in this place has at once, if there is room.
    pub(crate) fn send_now(&mut self, now: Nanoseconds, place: u32) {
        if self.out.has_room() {
            self.send(now, place);
        } else {
            self.mark(place);
        }
    }

    /// Looks at what became of a connection, and does what follows from it.
    pub(crate) fn settle(&mut self, now: Nanoseconds, place: u32) {
        let Some(Some(slot)) = self.slots.get_mut(place as usize) else {
            return;
        };
        let (socket, part) = (slot.socket, slot.part);
        let Some(state) = slot.tcp().map(|tcp| tcp.state()) else {
            return self.touch(place);
        };
        match (part, state) {
            (Part::HalfOpen(_), tcp::State::SynReceived | tcp::State::SynSent) => {}
            (Part::HalfOpen(_), tcp::State::Listen | tcp::State::Closed) => self.close_now(socket),
            (Part::HalfOpen(listener), _) => {
                slot.part = Part::Connection;
                slot.was_open = true;
                if self.demux.complete(socket).is_err() {
                    self.counts.add(Count::Backlog);
                    self.cut(now, place);
                    self.forget(socket);
                } else {
                    self.touch(listener.place());
                }
            }
            (Part::Orphan, tcp::State::Closed) => self.close_now(socket),
            (Part::Orphan, tcp::State::TimeWait) => self.linger(socket),
            (Part::Orphan, _) => {}
            (_, tcp::State::SynSent) => {}
            (_, state) => {
                slot.was_open |= state != tcp::State::Closed;
                self.touch(place);
            }
        }
    }

    /// Tells the other end of a connection that it is no more, if there is room to say so.
    fn cut(&mut self, now: Nanoseconds, place: u32) {
        if let Some(Some(slot)) = self.slots.get_mut(place as usize)
            && let Some(tcp) = slot.tcp()
        {
            tcp.abort();
            let mut wire = Wire {
                arrived: None,
                out: &mut self.out,
            };
            let _ = self
                .interface
                .poll_egress(instant(now), &mut wire, &mut slot.set);
        }
    }

    /// Closes a socket at once.
    pub(crate) fn close_now(&mut self, socket: Socket) {
        let _ = self.demux.close(socket, |_| {});
        self.forget(socket);
    }

    /// Closes a listener, and cuts off what came to it and nobody has accepted.
    pub(crate) fn close_listener(&mut self, now: Nanoseconds, listener: Socket) {
        let mut children = Vec::new();
        let _ = self.demux.close(listener, |child| children.push(child));
        for child in children {
            self.cut(now, child.place());
            self.forget(child);
        }
        self.forget(listener);
    }

    fn lingering(&mut self, client: Client) -> Option<&mut VecDeque<Socket>> {
        let mut clients = self.clients.iter_mut();
        let admitted = clients.find(|admitted| admitted.client == client)?;
        Some(&mut admitted.lingering)
    }

    /// An orphan only waits for stray packets from now on: it gives way to a socket of its client's that is wanted.
    fn linger(&mut self, socket: Socket) {
        let Ok(client) = self.demux.client_of(socket) else {
            return;
        };
        let slot = self.slot(socket);
        if slot.is_ok_and(|slot| slot.lingers_for.replace(client).is_none())
            && let Some(lingering) = self.lingering(client)
        {
            lingering.push_back(socket);
        }
    }

    /// Takes a place back from the client's orphan that has waited longest for stray packets. Whether there was one.
    pub(crate) fn evict(&mut self, client: Client) -> bool {
        let oldest = self.lingering(client).and_then(|all| all.front().copied());
        if let Some(socket) = oldest {
            self.close_now(socket);
        }
        oldest.is_some()
    }

    /// Opens a socket of a client's; where its share is used up, in the place of an orphan of its own.
    pub(crate) fn open(
        &mut self,
        client: Client,
        open: impl Fn(&mut Demux) -> Result<Socket, net_demux::Refusal>,
    ) -> Result<Socket, net_demux::Refusal> {
        let opened = open(&mut self.demux);
        if opened == Err(net_demux::Refusal::Share) && self.evict(client) {
            return open(&mut self.demux);
        }
        opened
    }
}
