//! Where frames go and come from.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// The longest datagram that is taken whole.
const LONGEST: usize = 1 << 16;

/// One end of a wire.
pub trait Port {
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
        })
    }
}

impl Port for Datagrams {
    fn send(&mut self, frame: &[u8]) {
        // Lost, as on a wire.
        let _ = self.socket.send_to(frame, &self.peer);
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        let bytes = self.socket.recv(&mut self.room).ok()?;
        self.room.get(..bytes).map(<[u8]>::to_vec)
    }
}
