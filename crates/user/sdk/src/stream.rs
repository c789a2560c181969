//! A connection as a program uses it: bytes in order, through a window of its own memory.

use alloc::rc::Rc;

use rt::{Access, NEVER, Window};
use schema::net::tcp_connect_authority;
use stub::Refusal;

use crate::{TcpConnectAuthority, TcpListenAuthority, TcpListener, TcpSocket, VirtualMemory};

/// Bytes of a connection's part of a window: one half each way.
const PART_BYTES: u32 = 32 * 1024;
const HALF_BYTES: u32 = PART_BYTES / 2;

/// A connection. Dropping it closes it.
#[derive(Debug)]
pub struct TcpStream {
    socket: TcpSocket,
    window: Rc<Window>,
    /// Where its part of the window begins.
    part: u32,
    /// Bytes that were read, and bytes that were written.
    read: u64,
    written: u64,
    /// When its calls give up.
    deadline_ns: u64,
}

/// Takes connections to a port, one after the other, or some at once.
#[derive(Debug)]
pub struct TcpServer {
    listener: TcpListener,
    window: Rc<Window>,
    /// How many parts the window has; they are used in turn.
    parts: u32,
    next: u32,
}

fn window(vm: &VirtualMemory, parts: u32) -> Result<Rc<Window>, Refusal> {
    let bytes = u64::from(PART_BYTES) * u64::from(parts);
    let memory = vm.create_memory(bytes)?.memory;
    Window::map(memory, bytes, Access::ReadWrite).map(Rc::new)
}

impl TcpServer {
    /// Listens at a port of any address, for up to `at_once` connections that are served at once.
    ///
    /// # Errors
    /// The stack's, or for want of memory.
    pub fn listen(
        vm: &VirtualMemory,
        authority: &TcpListenAuthority,
        port: u16,
        at_once: u16,
    ) -> Result<Self, Refusal> {
        let parts = u32::from(at_once.max(1));
        let window = window(vm, parts)?;
        let memory = window.memory().cap();
        let listener = authority
            .listen(memory, &[], port, at_once.max(1))?
            .listener;
        Ok(Self {
            listener,
            window,
            parts,
            next: 0,
        })
    }

    /// Waits for a connection, until `deadline_ns`; see [`TcpServer::adopt`]. One that comes at the very end of that time is
    /// given to nobody, and closed: who looks for something else meanwhile waits with `Tasks` at [`TcpServer::listener`].
    ///
    /// # Errors
    /// The stack's.
    pub fn accept(&mut self, deadline_ns: u64) -> Result<TcpStream, Refusal> {
        let socket = self.listener.with_deadline(deadline_ns).accept()?.socket;
        Ok(self.adopt(socket))
    }

    /// The listener itself.
    pub fn listener(&self) -> &TcpListener {
        &self.listener
    }

    /// Makes a stream of a connection that the listener gave. It uses the part of the window of the one that was adopted
    /// `at_once` connections before, which must have ended.
    pub fn adopt(&mut self, socket: TcpSocket) -> TcpStream {
        let part = self.next;
        self.next = (self.next + 1) % self.parts;
        TcpStream {
            socket,
            window: Rc::clone(&self.window),
            part: part * PART_BYTES,
            read: 0,
            written: 0,
            deadline_ns: NEVER,
        }
    }
}

impl TcpStream {
    /// Connects to an address, 4 octets or 16.
    ///
    /// # Errors
    /// The stack's, or for want of memory.
    pub fn connect(
        vm: &VirtualMemory,
        authority: &TcpConnectAuthority,
        address: &[u8],
        port: u16,
        timeout_ns: u64,
    ) -> Result<Self, Refusal> {
        let window = window(vm, 1)?;
        let memory = window.memory().cap();
        let connected: tcp_connect_authority::ConnectResults<_> =
            authority.connect(memory, address, port, timeout_ns)?;
        Ok(Self {
            socket: connected.socket,
            window,
            part: 0,
            read: 0,
            written: 0,
            deadline_ns: NEVER,
        })
    }

    /// The socket itself.
    pub fn socket(&self) -> &TcpSocket {
        &self.socket
    }

    /// From now on, reading and writing give up at this time.
    pub fn set_deadline(&mut self, deadline_ns: u64) {
        self.deadline_ns = deadline_ns;
    }

    /// Reads some bytes; 0 at the end.
    ///
    /// # Errors
    /// The stack's; nothing is lost by [`Refusal::TimedOut`].
    pub fn read(&mut self, to: &mut [u8]) -> Result<usize, Refusal> {
        let length = (to.len() as u64).min(HALF_BYTES.into()) as u32;
        let socket = self.socket.with_deadline(self.deadline_ns);
        let got = socket.receive(self.read, self.part, length)?.bytes;
        let place = to.get_mut(..got as usize).ok_or(Refusal::LengthMismatch)?;
        self.window.read(self.part.into(), place)?;
        self.read += u64::from(got);
        Ok(got as usize)
    }

    /// Writes some bytes, at least one.
    ///
    /// # Errors
    /// The stack's; after [`Refusal::TimedOut`] the same bytes may be written again.
    pub fn write(&mut self, from: &[u8]) -> Result<usize, Refusal> {
        let length = from.len().min(HALF_BYTES as usize);
        let from = from.get(..length).unwrap_or_default();
        let offset = self.part + HALF_BYTES;
        self.window.write(offset.into(), from)?;
        let socket = self.socket.with_deadline(self.deadline_ns);
        let taken = socket.send(self.written, offset, length as u32)?.bytes;
        if taken == 0 || taken as usize > length {
            return Err(Refusal::LengthMismatch);
        }
        self.written += u64::from(taken);
        Ok(taken as usize)
    }

    /// Writes all bytes.
    ///
    /// # Errors
    /// As [`TcpStream::write`].
    pub fn write_all(&mut self, from: &[u8]) -> Result<(), Refusal> {
        let mut left = from;
        while !left.is_empty() {
            let taken = self.write(left)?;
            left = left.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Says that nothing more is written.
    ///
    /// # Errors
    /// The stack's.
    pub fn shutdown(&self) -> Result<(), Refusal> {
        self.socket.shutdown()
    }
}
