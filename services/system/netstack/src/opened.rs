//! What facets that were made here stand for, and the calls that wait at them.

use net_demux::Socket;
use sdk::alloc::rc::Rc;
use sdk::net::{tcp_connect_authority, tcp_listener, tcp_socket, udp_socket};
use sdk::{Late, Window};
use units::Nanoseconds;

use crate::exports::Right;

/// What a facet that was made here stands for.
pub enum Opened {
    /// A narrower right, and the export that it was made of.
    Right(Right, usize),
    /// `TcpListener`.
    Listener(Listener),
    /// `TcpSocket`.
    Stream(Stream),
    /// `UdpSocket`.
    Datagrams(Datagrams),
    /// `PacketCapture`.
    Capture(Capture),
}

/// What a `PacketCapture` stands for.
pub struct Capture {
    pub(crate) window: Rc<Window>,
}

/// What a `TcpListener` stands for.
pub struct Listener {
    /// One of each family, where the client asked for any address.
    pub sockets: [Option<Socket>; 2],
    pub(crate) window: Rc<Window>,
    pub(crate) waiting: Option<Late<tcp_listener::call::Accept>>,
}

/// What a `TcpSocket` stands for, and the calls that wait at it.
pub struct Stream {
    pub socket: Socket,
    pub(crate) window: Rc<Window>,
    pub(crate) receive: Option<(Late<tcp_socket::call::Receive>, Range)>,
    pub(crate) send: Option<(Late<tcp_socket::call::Send>, Range)>,
}

/// A connection that somebody waits for.
pub struct Connecting {
    pub(crate) late: Late<tcp_connect_authority::call::Connect>,
    pub(crate) window: Rc<Window>,
    pub(crate) socket: Socket,
    pub until: Nanoseconds,
}

/// What bytes a call is about, and where they lie in the window.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub(crate) position: u64,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

impl Stream {
    pub(crate) const fn new(socket: Socket, window: Rc<Window>) -> Self {
        Self {
            socket,
            window,
            receive: None,
            send: None,
        }
    }
}

/// What a `UdpSocket` stands for, and the call that waits at it.
pub struct Datagrams {
    pub socket: Socket,
    pub(crate) window: Rc<Window>,
    pub(crate) receive: Option<(Late<udp_socket::call::Receive>, Place)>,
}

/// Which datagram a call is about, and where it goes in the window.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) number: u64,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}
