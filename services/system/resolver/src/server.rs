//! The service: which names are asked for, and whom.

use core::net::IpAddr;

use arrayvec::ArrayVec;
use dns_core::{Cache, Kind, ask, read};
use sdk::alloc::boxed::Box;
use sdk::net::dns_resolver::{self, Families};
use sdk::net::udp_socket::ReceiveParams;
use sdk::net::udp_socket::call::Receive;
use sdk::{
    Access, Answered, Call, EntropySource, Env, Error, Interface, NetworkManager, Received,
    Refusal, Reply, Ring, Service, UdpConnectAuthority, UdpSocket, VirtualMemory, Window, ip,
};
use units::Nanoseconds;

use crate::LOOKUPS;
use crate::lookup::{Lookup, answer};
use crate::parts::{Addresses, Parts, kinds};

const PORT: u16 = 53;
/// A server has so long to answer.
const PATIENCE: Nanoseconds = Nanoseconds::from_secs(2);
/// A client waits no longer.
const LONGEST: Nanoseconds = Nanoseconds::from_secs(30);
/// How often each server is asked.
const ROUNDS: usize = 3;
/// Name servers that are asked.
const MOST_SERVERS: usize = 4;
/// A lookup's part of the window: what is sent, then what comes.
const SENT_BYTES: u32 = 512;
const HEARD_BYTES: u32 = 1536;
const PART_BYTES: u32 = SENT_BYTES + HEARD_BYTES;

/// The service.
pub struct Server {
    network: NetworkManager,
    udp: UdpConnectAuthority,
    entropy: EntropySource,
    window: Window,
    // Boxed: together they are as large as a stack.
    cache: Box<Cache>,
    lookups: Box<[Option<Lookup>; LOOKUPS]>,
    /// The time of this turn.
    pub now: Nanoseconds,
}

impl Server {
    /// With what was granted.
    pub fn new(env: &Env) -> Result<Self, Error> {
        let vm: VirtualMemory = env.get("vm")?;
        let bytes = u64::from(PART_BYTES) * LOOKUPS as u64;
        let memory = vm.create_memory(bytes)?.memory;
        Ok(Self {
            network: env.get("network")?,
            udp: env.get("udp")?,
            entropy: env.get("entropySource")?,
            window: Window::map(memory, bytes, Access::ReadWrite)?,
            cache: Box::default(),
            lookups: Box::new([const { None }; LOOKUPS]),
            now: Nanoseconds::ZERO,
        })
    }

    /// Asks a server for each name that waits for one, and ends those that nobody is left for.
    pub fn ask(&mut self, ring: &mut Ring) {
        for place in 0..LOOKUPS {
            while self.is_idle(place) {
                if let Err(refusal) = self.begin(place, ring) {
                    self.end(place, refusal);
                }
            }
        }
    }

    fn is_idle(&self, place: usize) -> bool {
        let lookup = self.lookups.get(place).and_then(Option::as_ref);
        lookup.is_some_and(|lookup| lookup.is_idle)
    }

    fn end(&mut self, place: usize, refusal: Refusal) {
        if let Some(lookup) = self.lookups.get_mut(place).and_then(Option::take) {
            lookup.end(refusal);
        }
    }

    /// One try: the next server, from a port of its own.
    fn begin(&mut self, place: usize, ring: &mut Ring) -> Result<(), Refusal> {
        let servers = self.servers()?;
        let entry = self.lookups.get_mut(place).and_then(Option::as_mut);
        let lookup = entry.ok_or(Refusal::Stale)?;
        if lookup.until.has_passed(self.now) || lookup.tries >= ROUNDS * servers.len() {
            return Err(Refusal::TimedOut);
        }
        let server = servers.get(lookup.tries % servers.len().max(1));
        let server = server.ok_or(Refusal::Unreachable)?;
        lookup.tries += 1;
        let memory = self.window.memory().cap();
        let socket = match self.udp.connect(memory, &ip::octets(*server), PORT) {
            Ok(connected) => connected.socket,
            // There is no way to this one, such as no address of its family yet.
            Err(Refusal::Unreachable) => return Ok(()),
            Err(refusal) => return Err(refusal),
        };
        let offset = place as u32 * PART_BYTES;
        for part in lookup.parts.open() {
            let drawn = self.entropy.fill()?;
            let (asked, message) = ask(&lookup.name, part.kind, drawn.a as u16, drawn.b);
            self.window.write(offset.into(), &message)?;
            socket.send(&[], 0, offset, message.len() as u32)?;
            part.asked = Some(asked);
        }
        lookup.heard = 0;
        lookup.is_idle = false;
        lookup.try_until = self.now.saturating_add(PATIENCE).min(lookup.until);
        listen(ring, &socket, place, 0, lookup.try_until)?;
        lookup.socket = Some(socket);
        Ok(())
    }

    fn servers(&self) -> Result<ArrayVec<IpAddr, MOST_SERVERS>, Refusal> {
        let servers = self.network.retrying().servers(|results| {
            let mut servers = ArrayVec::new();
            for server in results.list()?.iter().take(MOST_SERVERS) {
                servers.push(ip::read_one(server.address()?)?);
            }
            Ok::<_, Refusal>(servers)
        })??;
        if servers.is_empty() {
            return Err(Refusal::Unreachable);
        }
        Ok(servers)
    }

    /// What came of waiting for a datagram. One that answers nothing costs only another look: the time of the try goes on.
    pub fn hear(&mut self, place: usize, heard: Result<u32, Refusal>) {
        let Some(lookup) = self.lookups.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        let Ok(bytes) = heard else {
            (lookup.is_idle, lookup.socket) = (true, None);
            return;
        };
        let mut message = [0; HEARD_BYTES as usize];
        let offset = place as u64 * u64::from(PART_BYTES) + u64::from(SENT_BYTES);
        let message = message.get_mut(..bytes as usize).unwrap_or_default();
        if self.window.read(offset, message).is_ok()
            && let Some((kind, answer)) = lookup.parts.take(message)
        {
            self.cache.put(&lookup.name, kind, answer, self.now);
        }
        if lookup.parts.is_done() {
            return self.end(place, Refusal::NotFound);
        }
        lookup.heard += 1;
        lookup.is_idle = !lookup.parts.hopes();
        if lookup.is_idle {
            lookup.socket = None;
        }
    }

    /// Listens on where something was heard that is not the end.
    pub fn listen_on(&mut self, ring: &mut Ring, place: usize) {
        let Some(lookup) = self.lookups.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        if let Some(socket) = lookup.socket.as_ref().filter(|_| !lookup.is_idle)
            && listen(ring, socket, place, lookup.heard, lookup.try_until).is_err()
        {
            (lookup.is_idle, lookup.socket) = (true, None);
        }
    }

    /// What is kept of a name, of all kinds that are asked for.
    fn known(&self, name: &dns_core::Spelling, kinds: [Option<Kind>; 2]) -> Option<Addresses> {
        let mut found = Addresses::new();
        for kind in kinds.into_iter().flatten() {
            let answer = self.cache.get(name, kind, self.now)?;
            found.extend(answer.addresses.iter().copied());
        }
        Some(found)
    }
}

fn listen(
    ring: &mut Ring,
    socket: &UdpSocket,
    place: usize,
    number: u64,
    until: Nanoseconds,
) -> Result<(), Refusal> {
    let params = ReceiveParams {
        number,
        offset: place as u32 * PART_BYTES + SENT_BYTES,
        length: HEARD_BYTES,
    };
    ring.call::<Receive>(socket.object(), params, place as u64, until.as_u64())
}

impl Service for Server {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        dns_resolver::dispatch(self, received, call)
    }
}

impl<'c> dns_resolver::Server<Call<'c>> for Server {
    fn lookup(
        &mut self,
        reply: Reply<Call<'c>, dns_resolver::call::Lookup>,
        name: &str,
        families: Families,
        timeout_ns: u64,
    ) -> Answered {
        let Ok(name) = read(name) else {
            return reply.refuse(Refusal::BadArgument);
        };
        if let Some(found) = self.known(&name, kinds(families)) {
            let (answered, late) = reply.defer();
            answer(late, &found, Refusal::NotFound);
            return answered;
        }
        let Some(place) = self.lookups.iter_mut().find(|place| place.is_none()) else {
            return reply.refuse(Refusal::Busy);
        };
        let (answered, late) = reply.defer();
        *place = Some(Lookup {
            late,
            name,
            parts: Parts::new(families),
            until: self
                .now
                .saturating_add(Nanoseconds::new(timeout_ns).min(LONGEST)),
            tries: 0,
            try_until: Nanoseconds::ZERO,
            socket: None,
            heard: 0,
            is_idle: true,
        });
        answered
    }

    fn flush(&mut self, reply: Reply<Call<'c>, dns_resolver::call::Flush>) -> Answered {
        let count = self.cache.flush() as u32;
        reply.send(dns_resolver::FlushReply { count })
    }
}
