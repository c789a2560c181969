//! A bad wire: frames between two sockets of QEMU's `dgram` netdev, of which some are lost, doubled, swapped, or damaged.
//!
//! What happens to which frame is drawn from a fixed seed, so two runs differ only by what the ends send. Invariant: no frame is made
//! up, and what is damaged has a sum of its own by which whoever receives it can tell.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

/// The longest a frame can be.
const FRAME_BYTES: usize = 65_536;
/// What precedes the packet.
const ETHERNET_BYTES: usize = 14;
/// How long a frame that is to be overtaken waits for another one.
const HELD: Duration = Duration::from_millis(20);
/// How bad the wire is: of a thousand frames so many.
#[derive(Clone, Copy, Debug)]
pub struct Badness {
    /// Do not arrive.
    pub lost: u64,
    /// Arrive twice.
    pub doubled: u64,
    /// Arrive behind the next one.
    pub swapped: u64,
    /// Have another bit somewhere in their packet.
    pub damaged: u64,
    /// Longer packets do not arrive.
    pub mtu: usize,
}

/// What was done to frames of both directions.
#[derive(Default, Debug)]
pub struct Done {
    /// Frames that came.
    pub came: AtomicU64,
    /// Of these, by what happened to them.
    pub lost: AtomicU64,
    pub doubled: AtomicU64,
    pub swapped: AtomicU64,
    pub damaged: AtomicU64,
    pub too_long: AtomicU64,
}

/// A wire that works until it is dropped.
pub struct Relay {
    is_over: Arc<AtomicBool>,
    done: Arc<Done>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Connects QEMU's sockets `guest` and `wire` in a smoke's work folder; it knows the relay's as `relay-guest` and `relay-wire`.
    pub fn start(work: &Path, badness: Badness) -> Result<Self> {
        let open = |name: &str| {
            let socket = UnixDatagram::bind(work.join(name)).context("the relay's socket")?;
            socket.set_read_timeout(Some(HELD))?;
            // Whoever takes nothing for so long loses the frame.
            socket.set_write_timeout(Some(HELD))?;
            anyhow::Ok(Arc::new(socket))
        };
        let (guest, wire) = (open("relay-guest")?, open("relay-wire")?);
        let mut relay = Self {
            is_over: Arc::default(),
            done: Arc::default(),
            threads: Vec::new(),
        };
        for (from, to, name, seed) in [(&guest, &wire, "wire", 7), (&wire, &guest, "guest", 11)] {
            let mut way = Way {
                from: Arc::clone(from),
                to: Arc::clone(to),
                name: work.join(name),
                badness,
                state: seed,
                done: Arc::clone(&relay.done),
            };
            let is_over = Arc::clone(&relay.is_over);
            relay
                .threads
                .push(std::thread::spawn(move || way.run(&is_over)));
        }
        Ok(relay)
    }

    /// What was done so far.
    pub fn done(&self) -> &Done {
        &self.done
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// One direction.
struct Way {
    from: Arc<UnixDatagram>,
    to: Arc<UnixDatagram>,
    name: std::path::PathBuf,
    badness: Badness,
    state: u64,
    done: Arc<Done>,
}

impl Way {
    fn run(&mut self, is_over: &AtomicBool) {
        let mut frame = vec![0; FRAME_BYTES];
        let mut held: Option<Vec<u8>> = None;
        while !is_over.load(Ordering::Relaxed) {
            match self.from.recv(&mut frame) {
                Ok(length) => {
                    let frame = frame.get_mut(..length).unwrap_or_default();
                    let late = held.take();
                    held = self.pass(frame);
                    if let Some(late) = late {
                        self.send(&late);
                    }
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if let Some(late) = held.take() {
                        self.send(&late);
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Sends a frame on, or gives it back for later.
    fn pass(&mut self, frame: &mut [u8]) -> Option<Vec<u8>> {
        let done = Arc::clone(&self.done);
        let count = |what: &AtomicU64| what.fetch_add(1, Ordering::Relaxed);
        count(&done.came);
        if frame.len() > ETHERNET_BYTES + self.badness.mtu {
            count(&done.too_long);
            return None;
        }
        if self.falls(self.badness.lost) {
            count(&done.lost);
            return None;
        }
        // Packets of ARP have no sum.
        if matches!(frame.get(12..14), Some([0x08, 0] | [0x86, 0xdd]))
            && self.falls(self.badness.damaged)
        {
            let place = ETHERNET_BYTES + self.draw() as usize % (frame.len() - ETHERNET_BYTES);
            let bit = self.draw() % 8;
            if let Some(octet) = frame.get_mut(place) {
                *octet ^= 1 << bit;
                count(&done.damaged);
            }
        }
        if self.falls(self.badness.swapped) {
            count(&done.swapped);
            return Some(frame.to_vec());
        }
        self.send(frame);
        if self.falls(self.badness.doubled) {
            count(&done.doubled);
            self.send(frame);
        }
        None
    }

    /// Whoever does not take a frame loses it, as on any wire.
    fn send(&self, frame: &[u8]) {
        let _ = self.to.send_to(frame, &self.name);
    }

    /// The next number of a fixed row (xorshift).
    fn draw(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state >> 11
    }

    fn falls(&mut self, of_a_thousand: u64) -> bool {
        self.draw() % 1000 < of_a_thousand
    }
}

#[cfg(test)]
mod tests {
    use super::{Badness, Relay};
    use std::os::unix::net::UnixDatagram;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    #[test]
    fn frames_are_lost_doubled_swapped_and_damaged_and_counted() {
        let work = tempfile::tempdir().unwrap();
        let end = |name: &str| {
            let socket = UnixDatagram::bind(work.path().join(name)).unwrap();
            let patience = Duration::from_secs(2);
            socket.set_read_timeout(Some(patience)).unwrap();
            socket
        };
        let (guest, wire) = (end("guest"), end("wire"));
        let badness = Badness {
            lost: 100,
            doubled: 100,
            swapped: 100,
            damaged: 100,
            mtu: 64,
        };
        let relay = Relay::start(work.path(), badness).unwrap();
        // Beside the sender: a socket takes a few frames only.
        let reading = std::thread::spawn(move || {
            let (mut came, mut buffer) = (Vec::new(), [0; 128]);
            while let Ok(length) = wire.recv(&mut buffer) {
                assert_eq!(length, 60);
                came.push(u16::from_be_bytes([buffer[20], buffer[21]]));
            }
            came
        });
        for number in 0..500_u16 {
            let mut frame = [0; 60];
            frame[12] = 8;
            frame[20..22].copy_from_slice(&number.to_be_bytes());
            guest
                .send_to(&frame, work.path().join("relay-guest"))
                .unwrap();
        }
        guest
            .send_to(&[0; 90], work.path().join("relay-guest"))
            .unwrap();
        let came = reading.join().unwrap();
        let done = relay.done();
        let count = |what: &std::sync::atomic::AtomicU64| what.load(Ordering::Relaxed);
        assert_eq!((count(&done.came), count(&done.too_long)), (501, 1));
        let lost_and_doubled = 500 - count(&done.lost) + count(&done.doubled);
        assert_eq!(came.len() as u64, lost_and_doubled);
        for what in [&done.lost, &done.doubled, &done.swapped, &done.damaged] {
            assert!((20..90).contains(&count(what)), "{done:?}");
        }
        assert!(!came.is_sorted());
    }
}
