//! Serving: one thread for each connection, so many at once, one question each.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use save_core::wire::{Answer, Call};
use save_core::{Anchors, Backend, Clock, Facet, Governor, Limits, Scope, serve};
use sha2::{Digest, Sha256};

use crate::http::{Bad, Request, answer};

/// The longest call: a checkpoint and its fields.
const MAX_CALL: usize = 16 << 10;
/// Connections at once.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Today, by the machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct Today;

impl Clock for Today {
    fn day(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs() / 86_400)
    }
}

/// A provider's store, as the bridge holds it.
pub type Store = Box<dyn Backend + Send>;

struct Served {
    scope: Scope,
    /// One call of a scope at a time: a second one would only meet the first one's conditions.
    state: Mutex<(Governor<Store, Today>, Anchors)>,
}

/// The bridge: which token stands for what.
pub struct Bridge {
    limits: Limits,
    /// By the sum of the token: the table is of no use to whoever reads it.
    served: BTreeMap<[u8; 32], Served>,
    connections: AtomicUsize,
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bridge({} facets)", self.served.len())
    }
}

impl Bridge {
    /// One that serves nobody yet.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            served: BTreeMap::new(),
            connections: AtomicUsize::new(0),
        }
    }

    /// Lets the token with that SHA-256 stand for a scope.
    pub fn admit(&mut self, token: [u8; 32], scope: Scope, store: Governor<Store, Today>) {
        let state = Mutex::new((store, Anchors::default()));
        self.served.insert(token, Served { scope, state });
    }

    /// Serves until the listener fails.
    pub fn listen(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = stream.set_write_timeout(Some(PATIENCE));
            let bridge = Arc::clone(self);
            if self.connections.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
                let mut stream = stream;
                let _ = answer(&mut stream, 503, &[("retry-after", "1")], b"");
                self.connections.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            std::thread::spawn(move || {
                bridge.converse(stream);
                bridge.connections.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    fn converse(&self, mut stream: TcpStream) {
        let (status, body) = match Request::read(&mut stream, MAX_CALL) {
            Ok(request) => self.handle(&request),
            Err(Bad::Gone) => return,
            Err(Bad::Malformed) => (400, Vec::new()),
            Err(Bad::TooLong) => (413, Vec::new()),
        };
        let _ = answer(&mut stream, status, &[("cache-control", "no-store")], &body);
        let _ = stream.flush();
        let _ = stream.shutdown(Shutdown::Write);
    }

    /// The status and body for a request.
    #[must_use]
    pub fn handle(&self, request: &Request) -> (u16, Vec<u8>) {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/healthz") => return (200, b"ok\n".to_vec()),
            ("POST", "/v1/save") => {}
            _ => return (404, Vec::new()),
        }
        let token = request
            .header("authorization")
            .and_then(|text| text.strip_prefix("Bearer "));
        let sum = token.map(|token| <[u8; 32]>::from(Sha256::digest(token)));
        let Some(served) = sum.and_then(|sum| self.served.get(&sum)) else {
            return (401, Vec::new());
        };
        match Call::decode(&request.body) {
            Some((call, writer)) => {
                // A thread that panicked left anchors that are as good as before.
                let mut state = served.state.lock().unwrap_or_else(PoisonError::into_inner);
                let (governor, anchors) = &mut *state;
                let seen = std::mem::take(anchors);
                let mut facet = Facet::mint(governor, served.scope, self.limits, writer, seen);
                let end: Answer = serve(&mut facet, call);
                *anchors = facet.into_anchors();
                (200, end.encode())
            }
            None => (400, Vec::new()),
        }
    }
}
