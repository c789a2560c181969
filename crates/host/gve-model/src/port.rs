//! Where frames go and come from.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// The longest datagram that is taken whole.
const LONGEST: usize = 1 << 16;

/// Most frames that wait for room in the peer's queue; what comes then is lost.
const WAITING: usize = 1024;

/// One end of a wire.
pub trait Port {
    /// Called at every turn of the device: sends what could not be sent before.
    fn turn(&mut self) {}

    /// Sends a frame. One that does not get through is lost, as on a wire.
    fn send(&mut self, frame: &[u8]);

    /// Takes the next frame, if there is one.
    fn receive(&mut self) -> Option<Vec<u8>>;
}

/// A wire of datagrams, a frame each: what QEMU has as `-netdev dgram`.
#[derive(Debug)]
pub struct Datagrams {
    socket: UnixDatagram,
    peer: PathBuf,
    /// Where the next one goes. Most looks find none.
    room: Vec<u8>,
    /// Frames that there was no room for at the peer: a system lets few datagrams wait, fewer than a burst of a driver has.
    waiting: VecDeque<Vec<u8>>,
}

impl Datagrams {
    /// Listens at `own` and sends to `peer`, which need not be there yet.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(own: &Path, peer: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(own)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            peer: peer.to_path_buf(),
            room: vec![0; LONGEST],
            waiting: VecDeque::new(),
        })
    }
}

impl Port for Datagrams {
    fn turn(&mut self) {
        while let Some(frame) = self.waiting.front() {
            match self.socket.send_to(frame, &self.peer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Lost, as on a wire.
                Ok(_) | Err(_) => self.waiting.pop_front(),
            };
        }
    }

    fn send(&mut self, frame: &[u8]) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(frame.to_vec());
        }
        self.turn();
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        let bytes = self.socket.recv(&mut self.room).ok()?;
        self.room.get(..bytes).map(<[u8]>::to_vec)
    }
}
