//! Who comes, and who serves them: one listener, the connections, and the shells that wait for somebody.

use sdk::alloc::collections::VecDeque;
use sdk::net::{console_listener, person_console, tcp_listener};
use sdk::{
    Access, Answered, Call, Endpoint, Interface as _, Late, Lifetime, NEVER, PersonConsole,
    Received, Refusal, Reply, Ring, Service, TcpListenAuthority, TcpListener, TcpSocket,
    VirtualMemory, Window, fact,
};
use sealed_stream::{PART_BYTES, Tag};
use ssh_core::HostKey;

use crate::ACCEPT;
use crate::link::{LINKS, Link, Stage, Waiting};
use crate::options::Options;

/// The cookie of the listener, as `init` gave it, is smaller; those of people are made here.
const FIRST_COOKIE: u64 = 1 << 32;
/// The longest write.
const MOST_WRITTEN: usize = 1024;
const SECOND_NS: u64 = 1_000_000_000;
/// How long a log-in may take (RFC 4252 section 4 says ten minutes; nobody here types a password), how long a person waits for a shell, and how long what
/// is left may take to be sent.
const SHAKE_NS: u64 = 20 * SECOND_NS;
const READY_NS: u64 = 10 * SECOND_NS;
const LEAVE_NS: u64 = 5 * SECOND_NS;

/// The service.
pub struct Desk<'e> {
    endpoint: &'e Endpoint,
    host: HostKey,
    options: Options,
    below: TcpListener,
    /// Of the connections below.
    memory: Window,
    is_accepting: bool,
    /// By their places, which are parts of the window below.
    links: [Option<Link>; LINKS],
    /// Shells that wait for somebody.
    waiting: VecDeque<Late<console_listener::call::Accept>>,
    /// The last connection's number, which is its cookie, too.
    number: u64,
    /// Connections that came to no log-in.
    refused: u64,
    /// The time of this turn.
    pub now_ns: u64,
}

impl<'e> Desk<'e> {
    /// Listens.
    ///
    /// # Errors
    /// The stack's, and those of the memory for its connections.
    pub fn new(
        endpoint: &'e Endpoint,
        host: HostKey,
        options: Options,
        listen: &TcpListenAuthority,
        vm: &VirtualMemory,
    ) -> Result<Self, Refusal> {
        let bytes = u64::from(PART_BYTES) * LINKS as u64;
        let memory = vm.create_memory(bytes)?.memory;
        let memory = Window::map(memory, bytes, Access::ReadWrite)?;
        let window = memory.memory().cap();
        let below = listen.listen(window, &[], options.port, LINKS as u16)?;
        fact!("ssh.listening", port = options.port);
        Ok(Self {
            endpoint,
            host,
            options,
            below: below.listener,
            memory,
            is_accepting: false,
            links: [const { None }; LINKS],
            waiting: VecDeque::new(),
            number: FIRST_COOKIE,
            refused: 0,
            now_ns: 0,
        })
    }

    /// Asks below for what is wanted, answers what can be, and ends what is over.
    pub fn work(&mut self, ring: &mut Ring) {
        for place in 0..LINKS {
            let Some(link) = self.links.get_mut(place).and_then(Option::as_mut) else {
                continue;
            };
            link.work(&self.host, &self.options.allowed);
            link.answer(self.now_ns);
            if matches!(link.stage, Stage::Shaking { .. }) && link.is_open() {
                let until_ns = self.now_ns.saturating_add(READY_NS);
                link.stage = Stage::Ready { until_ns };
                let key = link.key.map(|key| key.fingerprint());
                fact!("ssh.came", person ~ link.below.number - FIRST_COOKIE, key ~ key.as_deref().unwrap_or_default());
            }
            // What was answered may be more to send, and make room for more to come.
            link.work(&self.host, &self.options.allowed);
            let asked = link.ask(ring, &self.memory);
            if asked.is_err() || link.is_over(self.now_ns) {
                self.end(place);
            }
        }
        self.hand_over();
        if !self.is_accepting {
            let below = self.below.object();
            let called = ring.call::<tcp_listener::call::Accept>(below, (), ACCEPT, NEVER);
            self.is_accepting = called.is_ok();
        }
    }

    /// When something is given up next.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.links
            .iter()
            .flatten()
            .filter_map(Link::deadline_ns)
            .min()
    }

    /// Takes a connection away; one that came to no log-in is counted, and said now and then: whoever makes them must not fill the log.
    fn end(&mut self, place: usize) {
        let Some(link) = self.links.get_mut(place).and_then(Option::take) else {
            return;
        };
        if link.is_open() {
            fact!("ssh.left", person ~ link.below.number - FIRST_COOKIE);
        } else {
            self.refused += 1;
            if self.refused.is_power_of_two() {
                fact!("ssh.refused", times = self.refused);
            }
        }
        if !link.below.is_shut {
            let _ = link.below.socket.abort();
        }
    }

    /// A connection has come below. Where there is no place for it, it gets that of the stranger who has been here longest: who only holds
    /// places keeps nobody out.
    pub fn came(&mut self, socket: TcpSocket) {
        self.is_accepting = false;
        let Some(place) = self.place() else {
            let _ = socket.abort();
            return;
        };
        self.end(place);
        self.number += 1;
        let until_ns = self.now_ns.saturating_add(SHAKE_NS);
        let link = Link::new(self.number, place, socket, until_ns);
        if let Some(empty) = self.links.get_mut(place) {
            *empty = Some(link);
        }
    }

    /// A free place, or a stranger's.
    fn place(&self) -> Option<usize> {
        let places = self.links.iter().enumerate();
        let open = places.filter_map(|(place, link)| match link {
            None => Some((0, place)),
            Some(link) => {
                matches!(link.stage, Stage::Shaking { .. }).then_some((link.below.number, place))
            }
        });
        open.min().map(|(_, place)| place)
    }

    fn link(&mut self, number: u64) -> Option<&mut Link> {
        let mut links = self.links.iter_mut().flatten();
        links.find(|link| link.below.number == number)
    }

    /// What came at a connection.
    pub fn received(&mut self, tag: Tag, count: Result<u32, Refusal>) {
        let mut links = self.links.iter_mut().flatten();
        if let Some(link) = links.find(|link| link.below.number == tag.number) {
            link.received(count, &self.memory);
        }
    }

    /// What was sent at a connection.
    pub fn sent(&mut self, tag: Tag, count: Result<u32, Refusal>) {
        if let Some(link) = self.link(tag.number) {
            link.sent(count);
        }
    }

    /// A console of who came first, if somebody waits.
    fn take_one(&mut self) -> Result<Option<PersonConsole>, Refusal> {
        let ready = self.links.iter_mut().flatten();
        let ready = ready.filter(|link| matches!(link.stage, Stage::Ready { .. }));
        let Some(link) = ready.min_by_key(|link| link.below.number) else {
            return Ok(None);
        };
        let interface = person_console::INTERFACE_ID;
        let minted = self
            .endpoint
            .mint(link.below.number, interface, Lifetime::Incarnation)?;
        link.stage = Stage::Served(Waiting::default());
        Ok(Some(PersonConsole::from_object(minted.facet.into_object())))
    }

    /// Brings people who wait to shells that wait.
    fn hand_over(&mut self) {
        while let Some(late) = self.waiting.pop_front() {
            match self.take_one() {
                // A copy: where nobody takes the answer any more, this is the last handle, and its end brings the person back.
                Ok(Some(console)) => late.send(console_listener::AcceptReply {
                    console: console.cap(),
                }),
                Err(refusal) => late.refuse(refusal),
                Ok(None) => {
                    self.waiting.push_front(late);
                    return;
                }
            }
        }
    }
}

impl Service for Desk<'_> {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        use sdk::stub::Incoming as _;
        match call.cookie() {
            0..FIRST_COOKIE => console_listener::dispatch(self, received, call),
            _ => person_console::dispatch(self, received, call),
        }
    }

    fn dropped(&mut self, cookie: u64) {
        let now_ns = self.now_ns;
        if let Some(link) = self.link(cookie) {
            match &link.stage {
                // It was gone before it had said a word: the next one has this person.
                Stage::Served(waiting) if !waiting.has_called => {
                    let until_ns = now_ns.saturating_add(READY_NS);
                    link.stage = Stage::Ready { until_ns };
                }
                _ => link.leave(now_ns.saturating_add(LEAVE_NS)),
            }
        }
    }
}

impl<'c> console_listener::Server<Call<'c>> for Desk<'_> {
    fn accept(&mut self, reply: Reply<Call<'c>, console_listener::call::Accept>) -> Answered {
        // Who has waited longest may be gone: nothing says so of a call that waits.
        if self.waiting.len() >= LINKS
            && let Some(first) = self.waiting.pop_front()
        {
            first.refuse(Refusal::Cancelled);
        }
        let (answered, late) = reply.defer();
        self.waiting.push_back(late);
        self.hand_over();
        answered
    }
}

impl<'c> person_console::Server<Call<'c>> for Desk<'_> {
    fn write(
        &mut self,
        reply: Reply<Call<'c>, person_console::call::Write>,
        bytes: &[u8],
    ) -> Answered {
        if bytes.is_empty() {
            return reply.refuse(Refusal::ZeroLength);
        }
        if bytes.len() > MOST_WRITTEN {
            return reply.refuse(Refusal::OutOfRange);
        }
        let octets = bytes.to_vec();
        let Some(link) = self.link(reply.cookie()) else {
            return reply.refuse(Refusal::Stale);
        };
        let (answered, late) = reply.defer();
        link.write(late, octets);
        answered
    }

    fn read(
        &mut self,
        reply: Reply<Call<'c>, person_console::call::Read>,
        until_ns: u64,
    ) -> Answered {
        let now_ns = self.now_ns;
        let Some(link) = self.link(reply.cookie()) else {
            return reply.refuse(Refusal::Stale);
        };
        let (answered, late) = reply.defer();
        link.read(late, until_ns, now_ns);
        answered
    }
}
