//! A connection: the stack's below, the client's above, and TLS between.

use sdk::alloc::rc::Rc;
use sdk::alloc::vec;
use sdk::net::tcp_socket::call::{Receive, Send};
use sdk::net::tcp_socket::{ReceiveReply, SendReply};
use sdk::{Late, Refusal, Ring, TcpSocket, Window};
use sealed_stream::{Sealed, Stream};
use tls_core::Connection;

/// Connections at once.
pub const LINKS: usize = 16;
/// Octets that are taken of a client at once.
const PIECE_BYTES: u32 = 8 * 1024;

/// What octets a call is about, and where they lie in the client's window.
#[derive(Clone, Copy)]
pub struct Range {
    pub position: u64,
    pub offset: u32,
    pub length: u32,
}

/// Who serves the connection.
pub enum Above {
    /// Nobody yet: the handshake goes on until then.
    Shaking { until_ns: u64 },
    /// Nobody yet: it waits to be accepted.
    Ready,
    /// A client, through this window.
    Taken(Client),
    /// Nobody any more: what waits is sent until then, and that is all.
    Leaving { until_ns: u64 },
}

/// The client's side.
pub struct Client {
    pub window: Rc<Window>,
    pub receive: Option<(Late<Receive>, Range)>,
    pub send: Option<(Late<Send>, Range)>,
    /// Octets that the client has given up, and octets that were taken from it.
    pub read: u64,
    pub written: u64,
}

/// The protocol of a connection.
pub struct Tls(Connection);

impl Sealed for Tls {
    fn room(&self) -> usize {
        self.0.room()
    }

    // Who speaks no TLS, or breaks it, is told so by an alert, and nothing else.
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
    pub above: Above,
    tls: Tls,
}

impl Link {
    /// With part number `place` of the window below.
    pub const fn new(
        number: u64,
        place: usize,
        socket: TcpSocket,
        tls: Connection,
        until_ns: u64,
    ) -> Self {
        Self {
            below: Stream::new(number, place, socket),
            above: Above::Shaking { until_ns },
            tls: Tls(tls),
        }
    }

    /// Whether the handshake is done.
    pub const fn is_open(&self) -> bool {
        self.tls.0.is_open()
    }

    /// Asks below for what is wanted by now.
    ///
    /// # Errors
    /// The ring's.
    pub fn ask(&mut self, ring: &mut Ring, window: &Window) -> Result<(), Refusal> {
        self.below.ask(ring, window, &self.tls)
    }

    /// What came from below.
    pub fn received(&mut self, count: Result<u32, Refusal>, window: &Window) {
        self.below.received(count, window, &mut self.tls);
    }

    /// What was sent below.
    pub fn sent(&mut self, count: Result<u32, Refusal>) {
        self.below.sent(count, &mut self.tls);
    }

    /// Whether nothing is left to be done for it.
    pub fn is_over(&self, now_ns: u64) -> bool {
        match self.above {
            Above::Shaking { until_ns } => {
                until_ns <= now_ns
                    || self.below.has_ended
                    || self.below.is_broken && self.below.is_shut
            }
            Above::Ready => self.below.is_broken && self.below.has_ended,
            Above::Leaving { until_ns } => {
                until_ns <= now_ns
                    || self.below.is_shut
                    || self.below.is_broken && self.below.has_ended
            }
            Above::Taken(_) => false,
        }
    }

    /// The client is gone.
    pub fn leave(&mut self, until_ns: u64) {
        self.above = Above::Leaving { until_ns };
        self.tls.0.close();
        self.below.is_done = true;
    }

    /// The client sends no more.
    pub fn shut(&mut self) {
        if !self.below.is_done {
            self.tls.0.close();
            self.below.is_done = true;
        }
    }

    /// Reads for the client, if there is anything.
    pub fn receive_now(&mut self, range: Range) -> Result<Option<u32>, Refusal> {
        let Above::Taken(client) = &mut self.above else {
            return Err(Refusal::Stale);
        };
        check(&client.window, range)?;
        let given_up = range.position.checked_sub(client.read);
        let given_up = given_up.filter(|count| *count <= self.tls.0.plain().len() as u64);
        let given_up = given_up.ok_or(Refusal::OutOfRange)?;
        client.read = range.position;
        if self.tls.0.take(given_up as usize).is_err() {
            self.below.is_broken = true;
        }
        let plain = self.tls.0.plain();
        if !plain.is_empty() {
            let count = plain.len().min(range.length as usize);
            let piece = plain.get(..count).unwrap_or_default();
            client.window.write(range.offset.into(), piece)?;
            return Ok(Some(count as u32));
        }
        if self.tls.0.has_ended() {
            return Ok(Some(0));
        }
        // Without a word of the other end, whoever is between has ended it.
        match self.below.is_broken || self.below.has_ended {
            true => Err(Refusal::ConnectionReset),
            false => Ok(None),
        }
    }

    /// Takes from the client what there is room for.
    pub fn send_now(&mut self, range: Range) -> Result<Option<u32>, Refusal> {
        let Above::Taken(client) = &mut self.above else {
            return Err(Refusal::Stale);
        };
        check(&client.window, range)?;
        if self.below.is_done {
            return Err(Refusal::WrongState);
        }
        if self.below.is_broken {
            return Err(Refusal::ConnectionReset);
        }
        let before = client.written.checked_sub(range.position);
        let before = before.ok_or(Refusal::OutOfRange)?;
        let Some(left) = u64::from(range.length).checked_sub(before) else {
            return Ok(Some(range.length));
        };
        if left == 0 {
            return Ok(Some(range.length));
        }
        let mut octets = vec![0; left.min(PIECE_BYTES.into()) as usize];
        client
            .window
            .read(u64::from(range.offset) + before, &mut octets)?;
        let sealed = self.tls.0.write(&octets);
        let sealed = sealed.map_err(|_| Refusal::ConnectionReset)? as u64;
        client.written += sealed;
        match before + sealed {
            0 => Ok(None),
            count => Ok(Some(count as u32)),
        }
    }

    /// Answers the calls that wait, if they can be by now.
    pub fn answer(&mut self) {
        let Above::Taken(client) = &mut self.above else {
            return;
        };
        let (receive, send) = (client.receive.take(), client.send.take());
        if let Some((late, range)) = receive {
            match self.receive_now(range) {
                Ok(None) => self.wait_to_receive(late, range),
                Ok(Some(bytes)) => late.send(ReceiveReply { bytes }),
                Err(refusal) => late.refuse(refusal),
            }
        }
        if let Some((late, range)) = send {
            match self.send_now(range) {
                Ok(None) => self.wait_to_send(late, range),
                Ok(Some(bytes)) => late.send(SendReply { bytes }),
                Err(refusal) => late.refuse(refusal),
            }
        }
    }

    /// Whoever waited before is told that another one does.
    pub fn wait_to_receive(&mut self, late: Late<Receive>, range: Range) {
        if let Above::Taken(client) = &mut self.above
            && let Some((before, _)) = client.receive.replace((late, range))
        {
            before.refuse(Refusal::Cancelled);
        }
    }

    /// The same of sending.
    pub fn wait_to_send(&mut self, late: Late<Send>, range: Range) {
        if let Above::Taken(client) = &mut self.above
            && let Some((before, _)) = client.send.replace((late, range))
        {
            before.refuse(Refusal::Cancelled);
        }
    }
}

fn check(window: &Window, range: Range) -> Result<(), Refusal> {
    if range.length == 0 {
        return Err(Refusal::ZeroLength);
    }
    if u64::from(range.offset) + u64::from(range.length) > window.len() {
        return Err(Refusal::OutOfRange);
    }
    Ok(())
}
