//! A connection of the network stack below a protocol that seals what goes over it: TLS, or SSH.
//!
//! Owns the lower side of such a service: what is asked of the stack and when, through the service's ring and one window for all its
//! connections ([`Stream`]), and by what number an answer is known ([`Tag`]). Invariant: at most one receive and one send of a connection are out; it never
//! receives more than there is room for, and never sends an octet that the protocol did not give it.
#![no_std]
#![forbid(unsafe_code)]

use sdk::alloc::vec;
use sdk::net::tcp_socket::call::{Receive, Send};
use sdk::net::tcp_socket::{ReceiveParams, SendParams};
use sdk::{Interface as _, NEVER, Refusal, Ring, TcpSocket, Window};

/// A connection's part of the window below, one half each way.
pub const PART_BYTES: u32 = 16 * 1024;
const HALF_BYTES: u32 = PART_BYTES / 2;

/// Which operation of which connection ended. A connection's number is never used again, so one of before is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag {
    /// The connection's number: at least 1, so that no tag is 0 or 1.
    pub number: u64,
    /// Whether it was to send.
    pub is_send: bool,
}

impl Tag {
    /// The `user` value of the operation.
    #[must_use]
    pub const fn word(self) -> u64 {
        self.number << 1 | self.is_send as u64
    }

    /// The operation of a `user` value.
    #[must_use]
    pub const fn of(word: u64) -> Self {
        Self {
            number: word >> 1,
            is_send: word & 1 != 0,
        }
    }
}

/// What goes over the wire, as a protocol makes and takes it.
pub trait Sealed {
    /// How many octets can be taken now.
    fn room(&self) -> usize;
    /// Takes what came, no more than that; whether the other end keeps to the protocol.
    fn receive(&mut self, octets: &[u8]) -> bool;
    /// What is to be sent.
    fn outgoing(&self) -> &[u8];
    /// So many octets of it were; all where that is more.
    fn sent(&mut self, count: usize);
}

/// One connection.
pub struct Stream {
    /// Its number.
    pub number: u64,
    /// The stack's end.
    pub socket: TcpSocket,
    part: u32,
    read: u64,
    written: u64,
    is_receiving: bool,
    is_sending: bool,
    /// No more octets come from below.
    pub has_ended: bool,
    /// When all was sent, there will be no more.
    pub is_done: bool,
    /// All was sent, and the other end was told so.
    pub is_shut: bool,
    /// It was cut off, or does not keep to the protocol.
    pub is_broken: bool,
}

impl Stream {
    /// With part number `place` of the window below.
    #[must_use]
    pub const fn new(number: u64, place: usize, socket: TcpSocket) -> Self {
        Self {
            number,
            socket,
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

    /// Asks below for what is wanted by now.
    ///
    /// # Errors
    /// The ring's.
    pub fn ask(
        &mut self,
        ring: &mut Ring,
        window: &Window,
        sealed: &impl Sealed,
    ) -> Result<(), Refusal> {
        let room = sealed.room().min(HALF_BYTES as usize) as u32;
        let wants = !self.is_broken && !self.has_ended && room > 0;
        if wants && !self.is_receiving {
            let tag = Tag {
                number: self.number,
                is_send: false,
            };
            let params = ReceiveParams {
                position: self.read,
                offset: self.part,
                length: room,
            };
            ring.call::<Receive>(self.socket.object(), params, tag.word(), NEVER)?;
            self.is_receiving = true;
        }
        if self.is_sending {
            return Ok(());
        }
        let waiting = sealed.outgoing();
        if !waiting.is_empty() {
            let piece = waiting.get(..waiting.len().min(HALF_BYTES as usize));
            let piece = piece.unwrap_or_default();
            let offset = self.part + HALF_BYTES;
            window.write(offset.into(), piece)?;
            let tag = Tag {
                number: self.number,
                is_send: true,
            };
            let params = SendParams {
                position: self.written,
                offset,
                length: piece.len() as u32,
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
    pub fn received(
        &mut self,
        count: Result<u32, Refusal>,
        window: &Window,
        sealed: &mut impl Sealed,
    ) {
        self.is_receiving = false;
        match count {
            Ok(0) => self.has_ended = true,
            Ok(count) => {
                let mut octets = vec![0; count.min(HALF_BYTES) as usize];
                self.read += octets.len() as u64;
                let read = window.read(self.part.into(), &mut octets);
                self.is_broken |= read.is_err() || !sealed.receive(&octets);
            }
            Err(_) => (self.is_broken, self.has_ended) = (true, true),
        }
    }

    /// What was sent below.
    pub fn sent(&mut self, count: Result<u32, Refusal>, sealed: &mut impl Sealed) {
        self.is_sending = false;
        match count {
            Ok(count) => {
                self.written += u64::from(count);
                sealed.sent(count as usize);
            }
            Err(_) => {
                (self.is_broken, self.has_ended) = (true, true);
                sealed.sent(usize::MAX);
            }
        }
    }
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
