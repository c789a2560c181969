//! A socket's place: its own set of one, and what the stack remembers beside it.

use alloc::vec;
use alloc::vec::Vec;

use net_demux::{Client, Endpoint, Socket};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::{AnySocket, tcp, udp};

/// How much there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Sockets of all clients, half-open connections among them.
    pub sockets: u32,
    /// Clients.
    pub clients: u32,
    /// Bytes of a connection's buffer, each way.
    pub buffer_bytes: u32,
    /// Datagrams that wait for a client, and as many that wait to go out.
    pub datagrams: u32,
}

/// Bytes of a datagram, at most: what fits into one packet of Ethernet, over IPv4.
pub(crate) const DATAGRAM_BYTES: usize = 1472;
/// So many of those who sent datagrams to a port are known there: they may be answered.
pub(crate) const SENDERS: usize = 16;

/// What a slot is beside what the demultiplexer knows of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// It takes connections, and has no socket of smoltcp's.
    Listener,
    /// A stranger's handshake with this listener is not complete.
    HalfOpen(Socket),
    /// A connection.
    Connection,
    /// Nobody holds it any more; it ends as TCP says.
    Orphan,
    /// Datagrams.
    Datagrams,
}

/// A socket's place.
pub(crate) struct Slot {
    pub socket: Socket,
    pub part: Part,
    /// The caller's name for it.
    pub owner: u64,
    pub set: SocketSet<'static>,
    pub handle: Option<SocketHandle>,
    /// Bytes that the client has given up, and bytes that it has handed over.
    pub taken: u64,
    pub given: u64,
    /// The most that was shown to the client.
    pub shown: u64,
    /// The client shuts its side down.
    pub is_shut: bool,
    /// Its handshake was complete at some time.
    pub was_open: bool,
    /// Of datagrams: the one end that they come from and go to; else who sent some of late, and the place for the next.
    pub remote: Option<Endpoint>,
    pub senders: [Option<Endpoint>; SENDERS],
    pub sender: usize,
    /// Of an orphan: it only waits for stray packets, on this client's account.
    pub lingers_for: Option<Client>,
    /// It waits for its turn to send, and its owner for its turn to look.
    pub is_dirty: bool,
    pub is_touched: bool,
}

impl Slot {
    pub fn new(socket: Socket, part: Part) -> Self {
        Self {
            socket,
            part,
            owner: 0,
            set: SocketSet::new(Vec::new()),
            handle: None,
            taken: 0,
            given: 0,
            shown: 0,
            is_shut: false,
            was_open: false,
            remote: None,
            senders: [None; SENDERS],
            sender: 0,
            lingers_for: None,
            is_dirty: false,
            is_touched: false,
        }
    }

    /// With a socket of smoltcp's.
    pub fn with(mut self, socket: impl AnySocket<'static>) -> Self {
        self.handle = Some(self.set.add(socket));
        self
    }

    pub fn tcp(&mut self) -> Option<&mut tcp::Socket<'static>> {
        match self.part {
            Part::HalfOpen(_) | Part::Connection | Part::Orphan => {}
            Part::Listener | Part::Datagrams => return None,
        }
        Some(self.set.get_mut(self.handle?))
    }

    pub fn udp(&mut self) -> Option<&mut udp::Socket<'static>> {
        if self.part != Part::Datagrams {
            return None;
        }
        Some(self.set.get_mut(self.handle?))
    }
}

/// A connection's socket.
pub(crate) fn tcp_socket(limits: &Limits) -> tcp::Socket<'static> {
    let bytes = limits.buffer_bytes as usize;
    let buffer = || tcp::SocketBuffer::new(vec![0; bytes]);
    tcp::Socket::new(buffer(), buffer())
}

/// A socket for datagrams.
pub(crate) fn udp_socket(limits: &Limits) -> udp::Socket<'static> {
    let count = limits.datagrams as usize;
    let buffer = || {
        udp::PacketBuffer::new(
            vec![udp::PacketMetadata::EMPTY; count],
            vec![0; count * DATAGRAM_BYTES],
        )
    };
    udp::Socket::new(buffer(), buffer())
}
