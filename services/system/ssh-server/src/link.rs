//! A connection: the stack's below, a person's console above, and SSH between.

use sdk::alloc::vec::Vec;
use sdk::net::person_console::call::{Read, Write};
use sdk::net::person_console::{ReadReply, WriteReply};
use sdk::{Late, Refusal, Ring, TcpSocket, Window};
use sealed_stream::{Sealed, Stream};
use ssh_core::{Connection, Failure, HostKey, PublicKey};

/// Connections at once.
pub const LINKS: usize = 8;
/// Octets of one answer to a read.
const READ_BYTES: usize = 24;

/// Who has the other end.
pub enum Stage {
    /// A stranger, until then.
    Shaking { until_ns: u64 },
    /// A person, who waits for a shell until then.
    Ready { until_ns: u64 },
    /// A person with a shell.
    Served(Waiting),
    /// Nobody any more: what waits is sent until then, and that is all.
    Leaving { until_ns: u64 },
}

/// The shell's calls that wait.
#[derive(Default)]
pub struct Waiting {
    /// The shell has called at all.
    pub has_called: bool,
    read: Option<(Late<Read>, u64)>,
    write: Option<(Late<Write>, Vec<u8>)>,
}

/// The protocol of a connection.
struct Ssh(Connection);

impl Sealed for Ssh {
    fn room(&self) -> usize {
        self.0.room()
    }

    fn receive(&mut self, octets: &[u8]) -> bool {
        self.0.receive(octets).is_ok()
    }

    fn outgoing(&self) -> &[u8] {
        self.0.outgoing()
    }

    fn sent(&mut self, count: usize) {
        self.0.sent(count);
    }
}

/// One connection.
pub struct Link {
    pub below: Stream,
    pub stage: Stage,
    ssh: Ssh,
    /// With what somebody has logged in.
    pub key: Option<PublicKey>,
}

impl Link {
    /// With part number `place` of the window below.
    pub fn new(number: u64, place: usize, socket: TcpSocket, until_ns: u64) -> Self {
        Self {
            below: Stream::new(number, place, socket),
            stage: Stage::Shaking { until_ns },
            ssh: Ssh(Connection::new()),
            key: None,
        }
    }

    /// Whether somebody has logged in and asked for a shell.
    pub const fn is_open(&self) -> bool {
        self.ssh.0.is_open()
    }

    /// Speaks as far as can be, with those of these keys.
    pub fn work(&mut self, host: &HostKey, allowed: &[PublicKey]) {
        let key = &mut self.key;
        let worked = self.ssh.0.work(host, &mut |_, offered| {
            let is_allowed = allowed.contains(offered) || sabotage::sabotage!(SSH_ALLOW_ANY_KEY);
            if is_allowed {
                *key = Some(*offered);
            }
            is_allowed
        });
        self.below.is_broken |= worked.is_err();
    }

    /// Asks below for what is wanted by now.
    ///
    /// # Errors
    /// The ring's.
    pub fn ask(&mut self, ring: &mut Ring, window: &Window) -> Result<(), Refusal> {
        self.below.ask(ring, window, &self.ssh)
    }

    /// What came from below.
    pub fn received(&mut self, count: Result<u32, Refusal>, window: &Window) {
        self.below.received(count, window, &mut self.ssh);
    }

    /// What was sent below.
    pub fn sent(&mut self, count: Result<u32, Refusal>) {
        self.below.sent(count, &mut self.ssh);
    }

    /// Whether the person has gone.
    const fn is_gone(&self) -> bool {
        self.below.is_broken || self.below.has_ended || self.ssh.0.has_ended()
    }

    /// Whether nothing is left to be done for it.
    pub const fn is_over(&self, now_ns: u64) -> bool {
        match self.stage {
            Stage::Shaking { until_ns } | Stage::Ready { until_ns } => {
                // Who types no more may still be told something.
                until_ns <= now_ns || self.below.is_broken || self.below.has_ended
            }
            Stage::Leaving { until_ns } => {
                until_ns <= now_ns || self.below.is_shut || self.below.is_broken
            }
            Stage::Served(_) => false,
        }
    }

    /// When something is given up next.
    pub fn deadline_ns(&self) -> Option<u64> {
        match &self.stage {
            Stage::Shaking { until_ns }
            | Stage::Ready { until_ns }
            | Stage::Leaving { until_ns } => Some(*until_ns),
            Stage::Served(waiting) => waiting.read.as_ref().map(|(_, until_ns)| *until_ns),
        }
    }

    /// The shell is gone.
    pub fn leave(&mut self, until_ns: u64) {
        self.stage = Stage::Leaving { until_ns };
        self.below.is_done = true;
    }

    fn read_now(&mut self, until_ns: u64, now_ns: u64) -> Result<Option<ReadReply>, Refusal> {
        let mut octets = [0; READ_BYTES];
        let count = self.ssh.0.read(&mut octets);
        if count == 0 && self.is_gone() {
            return Err(Refusal::Stale);
        }
        if count == 0 && until_ns > now_ns {
            return Ok(None);
        }
        let word = |at: usize| {
            let octets = octets.get(at..).and_then(|rest| rest.first_chunk());
            octets.map_or(0, |octets| u64::from_le_bytes(*octets))
        };
        Ok(Some(ReadReply {
            count: count as u8,
            a: word(0),
            b: word(8),
            c: word(16),
        }))
    }

    fn write_now(&mut self, octets: &[u8]) -> Result<Option<WriteReply>, Refusal> {
        if self.is_gone() {
            return Err(Refusal::Stale);
        }
        let written = self.ssh.0.write(octets);
        match written.map_err(|_: Failure| Refusal::Stale)? {
            0 => Ok(None),
            count => Ok(Some(WriteReply {
                written: count as u32,
            })),
        }
    }

    /// Answers the calls that wait, if they can be by now.
    pub fn answer(&mut self, now_ns: u64) {
        let Stage::Served(waiting) = &mut self.stage else {
            return;
        };
        let (read, write) = (waiting.read.take(), waiting.write.take());
        if let Some((late, until_ns)) = read {
            self.read(late, until_ns, now_ns);
        }
        if let Some((late, octets)) = write {
            self.write(late, octets);
        }
    }

    const fn note_call(&mut self) {
        if let Stage::Served(waiting) = &mut self.stage {
            waiting.has_called = true;
        }
    }

    /// Answers a read, or has it wait; whoever waited before is told that another one does.
    pub fn read(&mut self, late: Late<Read>, until_ns: u64, now_ns: u64) {
        self.note_call();
        match self.read_now(until_ns, now_ns) {
            Ok(Some(reply)) => late.send(reply),
            Err(refusal) => late.refuse(refusal),
            Ok(None) => {
                if let Stage::Served(waiting) = &mut self.stage
                    && let Some((before, _)) = waiting.read.replace((late, until_ns))
                {
                    before.refuse(Refusal::Cancelled);
                }
            }
        }
    }

    /// The same of a write.
    pub fn write(&mut self, late: Late<Write>, octets: Vec<u8>) {
        self.note_call();
        match self.write_now(&octets) {
            Ok(Some(reply)) => late.send(reply),
            Err(refusal) => late.refuse(refusal),
            Ok(None) => {
                if let Stage::Served(waiting) = &mut self.stage
                    && let Some((before, _)) = waiting.write.replace((late, octets))
                {
                    before.refuse(Refusal::Cancelled);
                }
            }
        }
    }
}
