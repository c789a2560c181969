//! A connection: the stack's below, the client's above, and TLS between.

use sdk::alloc::rc::Rc;
use sdk::alloc::vec;
use sdk::net::tcp_socket::call::{Receive, Send};
use sdk::net::tcp_socket::{ReceiveParams, ReceiveReply, SendParams, SendReply};
use sdk::{Interface as _, Late, NEVER, Refusal, Ring, TcpSocket, Window};
use tls_core::Connection;

/// Connections at once.
pub const LINKS: usize = 16;
/// A connection's part of the window below, one half each way.
pub const PART_BYTES: u32 = 16 * 1024;
const HALF_BYTES: u32 = PART_BYTES / 2;

/// Which operation of which connection ended. A connection's number is never used again, so one of before is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag {
    pub number: u64,
    pub is_send: bool,
}

impl Tag {
    const fn word(self) -> u64 {
        self.number << 1 | self.is_send as u64
    }

    pub const fn of(word: u64) -> Self {
        Self {
            number: word >> 1,
            is_send: word & 1 != 0,
        }
    }
}

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

/// One connection.
pub struct Link {
    pub number: u64,
    pub socket: TcpSocket,
    pub above: Above,
    tls: Connection,
    part: u32,
    read: u64,
    written: u64,
    is_receiving: bool,
    is_sending: bool,
    /// No more octets come from below.
    has_ended: bool,
    /// No more are sent by the client.
    is_done: bool,
    is_shut: bool,
    /// It was cut off, or spoke no TLS.
    pub is_broken: bool,
}

impl Link {
    /// With part number `place` of the window below.
    pub fn new(
        number: u64,
        place: usize,
        socket: TcpSocket,
        tls: Connection,
        until_ns: u64,
    ) -> Self {
        Self {
            number,
            socket,
            above: Above::Shaking { until_ns },
            tls,
            part: place as u32 * PART_BYTES,
            read: 0,
            written: 0,
            is_receiving: false,
            is_sending: false,
            has_ended: false,
            is_done: false,
            is_shut: false,
            is_broken: false,
        }
    }

    /// Whether the handshake is done.
    pub const fn is_open(&self) -> bool {
        self.tls.is_open()
    }

    /// Asks below for what is wanted by now.
    ///
    /// # Errors
    /// The ring's.
    pub fn ask(&mut self, ring: &mut Ring, window: &Window) -> Result<(), Refusal> {
        let room = self.tls.room().min(HALF_BYTES as usize) as u32;
        let wants = !self.is_broken && !self.has_ended && room > 0;
        if wants && !self.is_receiving {
            let params = ReceiveParams {
                position: self.read,
                offset: self.part,
                length: room,
            };
            let tag = Tag {
                number: self.number,
                is_send: false,
            };
            ring.call::<Receive>(self.socket.object(), params, tag.word(), NEVER)?;
            self.is_receiving = true;
        }
        if self.is_sending {
            return Ok(());
        }
        let waiting = self.tls.outgoing();
        if !waiting.is_empty() {
            let piece = waiting.get(..waiting.len().min(HALF_BYTES as usize));
            let piece = piece.unwrap_or_default();
            let offset = self.part + HALF_BYTES;
            window.write(offset.into(), piece)?;
            let params = SendParams {
                position: self.written,
                offset,
                length: piece.len() as u32,
            };
            let tag = Tag {
                number: self.number,
                is_send: true,
            };
            ring.call::<Send>(self.socket.object(), params, tag.word(), NEVER)?;
            self.is_sending = true;
        } else if (self.is_done || self.is_broken) && !self.is_shut {
            self.is_shut = true;
            let _ = self.socket.shutdown();
        }
        Ok(())
    }

    /// What came from below.
    pub fn received(&mut self, count: Result<u32, Refusal>, window: &Window) {
        self.is_receiving = false;
        match count {
            Ok(0) => self.has_ended = true,
            Ok(count) => {
                let mut octets = vec![0; count.min(HALF_BYTES) as usize];
                self.read += octets.len() as u64;
                let read = window.read(self.part.into(), &mut octets);
                // Who speaks no TLS, or breaks it, is told so by an alert, and nothing else.
                self.is_broken |= read.is_err() || self.tls.receive(&octets).is_err();
            }
            Err(_) => (self.is_broken, self.has_ended) = (true, true),
        }
    }

    /// What was sent below.
    pub fn sent(&mut self, count: Result<u32, Refusal>) {
        self.is_sending = false;
        match count {
            Ok(count) => {
                self.written += u64::from(count);
                self.tls.sent(count as usize);
            }
            Err(_) => {
                (self.is_broken, self.has_ended) = (true, true);
                self.tls.sent(usize::MAX);
            }
        }
    }

    /// Whether nothing is left to be done for it.
    pub fn is_over(&self, now_ns: u64) -> bool {
        match self.above {
            Above::Shaking { until_ns } => {
                until_ns <= now_ns || self.has_ended || self.is_broken && self.is_shut
            }
            Above::Ready => self.is_broken && self.has_ended,
            Above::Leaving { until_ns } => {
                until_ns <= now_ns || self.is_shut || self.is_broken && self.has_ended
            }
            Above::Taken(_) => false,
        }
    }

    /// The client is gone.
    pub fn leave(&mut self, until_ns: u64) {
        self.above = Above::Leaving { until_ns };
        self.tls.close();
        self.is_done = true;
    }

    /// The client sends no more.
    pub fn shut(&mut self) {
        if !self.is_done {
            self.tls.close();
            self.is_done = true;
        }
    }

    /// Reads for the client, if there is anything.
    pub fn receive_now(&mut self, range: Range) -> Result<Option<u32>, Refusal> {
        let Above::Taken(client) = &mut self.above else {
            return Err(Refusal::Stale);
        };
        check(&client.window, range)?;
        let given_up = range.position.checked_sub(client.read);
        let given_up = given_up.filter(|count| *count <= self.tls.plain().len() as u64);
        let given_up = given_up.ok_or(Refusal::OutOfRange)?;
        client.read = range.position;
        if self.tls.take(given_up as usize).is_err() {
            self.is_broken = true;
        }
        let plain = self.tls.plain();
        if !plain.is_empty() {
            let count = plain.len().min(range.length as usize);
            let piece = plain.get(..count).unwrap_or_default();
            client.window.write(range.offset.into(), piece)?;
            return Ok(Some(count as u32));
        }
        if self.tls.has_ended() {
            return Ok(Some(0));
        }
        // Without a word of the other end, whoever is between has ended it.
        match self.is_broken || self.has_ended {
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
        if self.is_done {
            return Err(Refusal::WrongState);
        }
        if self.is_broken {
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
        let mut octets = vec![0; left.min(HALF_BYTES.into()) as usize];
        client
            .window
            .read(u64::from(range.offset) + before, &mut octets)?;
        let sealed = self.tls.write(&octets);
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

#[cfg(test)]
mod tests {
    use super::Tag;

    #[test]
    fn a_tag_is_read_as_it_was_written() {
        for (number, is_send) in [(1, false), (1, true), (1 << 40, false)] {
            let tag = Tag { number, is_send };
            assert_eq!(Tag::of(tag.word()), tag);
            assert!(tag.word() > 1);
        }
    }
}
