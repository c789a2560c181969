//! The other end of the wire: QEMU's own network, and behind it TCP of this machine.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use sha2::{Digest, Sha256};

use crate::child::Guarded;

/// Bytes that are transferred each way.
const BYTES: usize = 16 << 20;

/// A QEMU without a machine, whose user network is on the wire of the model.
///
/// # Errors
///
/// It cannot be started.
pub fn bridge(qemu: &OsStr, work: &Path) -> Result<Guarded> {
    let wire = format!(
        "dgram,id=wire,local.type=unix,local.path={0}/bridge,remote.type=unix,remote.path={0}/device",
        work.display()
    );
    let mut command = Command::new(qemu);
    command
        .args(["-machine", "none", "-nodefaults", "-display", "none"])
        .args([
            "-netdev",
            "user,id=net",
            "-netdev",
            "hubport,id=h0,hubid=0,netdev=net",
        ])
        .args([
            "-netdev",
            &wire,
            "-netdev",
            "hubport,id=h1,hubid=0,netdev=wire",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    Guarded::spawn(&mut command)
}

/// Serves the same bytes to whoever comes, and takes bytes.
pub struct Peer {
    /// The port that serves.
    pub down: u16,
    /// The port that takes.
    pub up: u16,
    digest: String,
    received: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Peer {
    /// Starts serving.
    ///
    /// # Errors
    ///
    /// There is no port.
    pub fn start() -> Result<Self> {
        let blob = Arc::new(blob());
        let stop = Arc::new(AtomicBool::new(false));
        let received = Arc::new(Mutex::new(Vec::new()));
        let digest = hex(&blob);
        let down = listen(&stop, move |mut socket| {
            // Whoever leaves early is seen by what it got.
            let _ = socket.write_all(&blob);
        })?;
        let all = received.clone();
        let up = listen(&stop, move |socket| {
            let mut bytes = Vec::new();
            // What came before an error is judged.
            let _ = socket.take(BYTES as u64).read_to_end(&mut bytes);
            let line = format!("{} {}", bytes.len(), hex(&bytes));
            if let Ok(mut all) = all.lock() {
                all.push(line);
            }
        })?;
        Ok(Self {
            down,
            up,
            digest,
            received,
            stop,
        })
    }

    /// The SHA-256 of what is served.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Length and SHA-256 of what each connection brought. The last bytes may still be on their way, or being summed up: waits at most
    /// a minute for the first.
    pub fn received(&self) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let all = self.received.lock();
            let all = all.map(|all| all.clone()).unwrap_or_default();
            if !all.is_empty() || Instant::now() >= deadline {
                return all;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Hands each connection to `serve`, until it is told to stop; says at which port.
fn listen(stop: &Arc<AtomicBool>, serve: impl Fn(TcpStream) + Send + 'static) -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    listener.set_nonblocking(true)?;
    let stop = stop.clone();
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((socket, _)) if socket.set_nonblocking(false).is_ok() => serve(socket),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(20));
                }
                _ => {}
            }
        }
    });
    Ok(port)
}

/// Bytes that look like nothing: xorshift from a fixed start.
fn blob() -> Vec<u8> {
    let mut state = 0x0123_4567_89ab_cdefu64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..BYTES / 8).flat_map(|_| word()).collect()
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
