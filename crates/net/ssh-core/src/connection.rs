//! Connections: packets in, packets out, and the octets of one shell between.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use sunset::{ChanData, ChanFail, ChanHandle, Event, PubKey, Runner, ServEvent};

use crate::{HostKey, PublicKey};

/// Octets of packets that have come and were not looked at.
const INCOMING_BYTES: usize = 8 * 1024;
/// Octets of packets that wait to be sent, before nothing more is taken to be sealed.
const OUTGOING_BYTES: usize = 16 * 1024;
/// Octets that were typed and that nobody has read: there is no room for more while as many wait, and the other end is held.
const TYPED_BYTES: usize = 4 * 1024;
/// Keys that may be offered, and log-ins that may be tried, in one connection (sshd's `MaxAuthTries`).
const MOST_TRIES: u32 = 6;

/// Why a connection is of no more use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The other end broke the protocol, speaks none of what is spoken here, or damaged a packet.
    Protocol,
    /// More has come than there was room for.
    TooLong,
    /// It has tried too often to log in.
    Denied,
}

/// Says who may log in: by what name, with what key.
pub type Allows<'a> = dyn FnMut(&str, &PublicKey) -> bool + 'a;

/// A connection.
pub struct Connection {
    runner: Box<Runner<'static, sunset::Server>>,
    session: Option<ChanHandle>,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    typed: VecDeque<u8>,
    tries: u32,
    is_open: bool,
    has_ended: bool,
    has_failed: bool,
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

impl Connection {
    /// A connection whose other end has said nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            runner: Box::new(Runner::new_server_owned()),
            session: None,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            typed: VecDeque::new(),
            tries: 0,
            is_open: false,
            has_ended: false,
            has_failed: false,
        }
    }

    /// Whether somebody has logged in and asked for a shell.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether the other end types no more, or has closed its session.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// How many octets of the stream below can be taken now.
    #[must_use]
    pub const fn room(&self) -> usize {
        if self.has_failed {
            return 0;
        }
        INCOMING_BYTES.saturating_sub(self.incoming.len())
    }

    /// Takes what came, no more than there is [`Self::room`] for.
    ///
    /// # Errors
    /// The connection is of no more use.
    pub fn receive(&mut self, octets: &[u8]) -> Result<(), Failure> {
        if octets.len() > self.room() {
            return Err(Failure::TooLong);
        }
        self.incoming.extend_from_slice(octets);
        Ok(())
    }

    /// Does what can be done by now: to be called once at the beginning, and after whatever else was done with the connection.
    ///
    /// # Errors
    /// The connection is of no more use; what is to be sent first, if anything, is [`Self::outgoing`].
    pub fn work(&mut self, host: &HostKey, allows: &mut Allows<'_>) -> Result<(), Failure> {
        if self.has_failed {
            return Err(Failure::Protocol);
        }
        let worked = self.steps(host, allows);
        self.has_failed |= worked.is_err();
        worked
    }

    fn steps(&mut self, host: &HostKey, allows: &mut Allows<'_>) -> Result<(), Failure> {
        loop {
            let mut has_moved = self.event(host, allows)?;
            has_moved |= self.look_at_incoming()?;
            has_moved |= self.take_typed()?;
            has_moved |= self.take_outgoing();
            if !has_moved {
                return Ok(());
            }
        }
    }

    fn look_at_incoming(&mut self) -> Result<bool, Failure> {
        if self.incoming.is_empty() || !self.runner.is_input_ready() {
            return Ok(false);
        }
        let taken = self.runner.input(&self.incoming);
        let taken = taken.map_err(|_| Failure::Protocol)?;
        self.incoming.drain(..taken.min(self.incoming.len()));
        Ok(taken > 0)
    }

    /// Takes what was typed, as far as there is room: sunset lets the other end send more as it is taken.
    fn take_typed(&mut self) -> Result<bool, Failure> {
        let Some(session) = &self.session else {
            return Ok(false);
        };
        self.has_ended |= self.runner.is_channel_eof(session);
        let room = TYPED_BYTES.saturating_sub(self.typed.len());
        let ready = self.runner.read_channel_ready();
        let Some((number, kind, length)) = ready.filter(|_| room > 0) else {
            return Ok(false);
        };
        if number != session.num() || kind != ChanData::Normal {
            return Err(Failure::Protocol);
        }
        let mut octets = vec![0; length.min(room)];
        let read = self.runner.read_channel(session, kind, &mut octets);
        let read = read.map_err(|_| Failure::Protocol)?;
        self.typed.extend(octets.iter().take(read));
        Ok(read > 0)
    }

    fn take_outgoing(&mut self) -> bool {
        let room = OUTGOING_BYTES.saturating_sub(self.outgoing.len());
        let waiting = self.runner.output_buf();
        let count = waiting.len().min(room);
        self.outgoing
            .extend_from_slice(waiting.get(..count).unwrap_or_default());
        self.runner.consume_output(count);
        count > 0
    }

    /// One step of the protocol: whether it was one.
    fn event(&mut self, host: &HostKey, allows: &mut Allows<'_>) -> Result<bool, Failure> {
        let event = self.runner.progress().map_err(|_| Failure::Protocol)?;
        let event = match event {
            Event::None => return Ok(false),
            Event::Progressed => return Ok(true),
            Event::Cli(_) => return Err(Failure::Protocol),
            Event::Serv(event) => event,
        };
        let done = match event {
            ServEvent::Hostkeys(asked) => asked.hostkeys(&[&host.0]),
            ServEvent::FirstAuth(mut asked) => {
                let set = asked.set_auth_methods(false, true);
                set.and_then(|()| asked.reject())
            }
            ServEvent::PasswordAuth(asked) => {
                self.tries += 1;
                asked.reject()
            }
            ServEvent::PubkeyAuth(asked) => {
                let key = match asked.pubkey() {
                    Ok(PubKey::Ed25519(key)) => Some(PublicKey(key.key.0)),
                    _ => None,
                };
                let name = asked.username().unwrap_or_default();
                if key.is_some_and(|key| allows(name, &key)) {
                    asked.allow()
                } else {
                    self.tries += 1;
                    asked.reject()
                }
            }
            ServEvent::OpenSession(asked) if self.session.is_none() => {
                let opened = asked.accept();
                opened.map(|session| self.session = Some(session))
            }
            ServEvent::OpenSession(asked) => {
                asked.reject(ChanFail::SSH_OPEN_ADMINISTRATIVELY_PROHIBITED)
            }
            // What it says of the terminal changes nothing.
            ServEvent::SessionPty(asked) => asked.succeed(),
            ServEvent::SessionShell(asked) if !self.is_open => {
                self.is_open = true;
                asked.succeed()
            }
            ServEvent::SessionShell(asked) => asked.fail(),
            ServEvent::SessionExec(asked) | ServEvent::SessionSubsystem(asked) => asked.fail(),
            ServEvent::SessionEnv(asked) => asked.fail(),
            ServEvent::Defunct => {
                self.has_ended = true;
                return Ok(false);
            }
            ServEvent::Authenticated | ServEvent::PollAgain => Ok(()),
        };
        if self.tries > MOST_TRIES {
            return Err(Failure::Denied);
        }
        done.map(|()| true).map_err(|_| Failure::Protocol)
    }

    /// Takes what was typed, at most as many octets as fit.
    pub fn read(&mut self, to: &mut [u8]) -> usize {
        let count = to.len().min(self.typed.len());
        for (to, octet) in to.iter_mut().zip(self.typed.drain(..count)) {
            *to = octet;
        }
        count
    }

    /// Whether something was typed.
    #[must_use]
    pub fn has_typed(&self) -> bool {
        !self.typed.is_empty()
    }

    /// Takes octets for the other end's screen, as many as there is room for, and says how many those were.
    ///
    /// # Errors
    /// The connection is of no more use.
    pub fn write(&mut self, octets: &[u8]) -> Result<usize, Failure> {
        let Some(session) = self.session.as_ref().filter(|_| self.is_open) else {
            return Err(Failure::Protocol);
        };
        if self.outgoing.len() >= OUTGOING_BYTES {
            return Ok(0);
        }
        let written = self.runner.write_channel(session, ChanData::Normal, octets);
        self.take_outgoing();
        written.map_err(|_| {
            self.has_failed = true;
            Failure::Protocol
        })
    }

    /// What is to be sent.
    #[must_use]
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// So many octets were sent.
    pub fn sent(&mut self, count: usize) {
        self.outgoing.drain(..count.min(self.outgoing.len()));
        self.take_outgoing();
    }
}
