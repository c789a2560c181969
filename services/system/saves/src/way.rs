//! The way to a bridge: one connection for each call, with bounds on its time.

use core::cell::Cell;
use core::net::Ipv4Addr;

use save_core::{Fault, Wire};
use sdk::alloc::format;
use sdk::alloc::rc::Rc;
use sdk::alloc::string::String;
use sdk::alloc::vec;
use sdk::alloc::vec::Vec;
use sdk::{Env, Error, Refusal, TcpConnectAuthority, TcpStream, Timer, VirtualMemory, warn};

use crate::answer::Answer;
use crate::options::Bridge;

const SECOND_NS: u64 = 1_000_000_000;
/// How long a connection may take, and a call with its connection.
const CONNECT_NS: u64 = 3 * SECOND_NS;
const CALL_NS: u64 = 10 * SECOND_NS;
/// Nobody was there to ask.
const NOBODY: Fault = Fault::Busy {
    retry_after_ms: 1000,
};
const PIECE_BYTES: usize = 4096;

/// Where the bridge is, and what leads there.
#[derive(Clone)]
pub struct Way(Rc<Held>);

struct Held {
    vm: VirtualMemory,
    timer: Timer,
    connect: TcpConnectAuthority,
    address: Ipv4Addr,
    port: u16,
    /// The status that the log was told of last; 0 for none.
    told: Cell<u16>,
}

impl Way {
    /// With what was granted.
    ///
    /// # Errors
    /// Where a grant is missing.
    pub fn new(env: &Env, Bridge { address, port }: Bridge) -> Result<Self, Error> {
        Ok(Self(Rc::new(Held {
            vm: env.get("vm")?,
            timer: env.get("timer")?,
            connect: env.get("connect")?,
            address,
            port,
            told: Cell::new(0),
        })))
    }

    /// The same way, for whoever has that token.
    pub fn of(&self, token: &str) -> HttpWire {
        let held = &*self.0;
        HttpWire {
            way: self.0.clone(),
            head: format!(
                "POST /v1/save HTTP/1.1\r\nHost: {}:{}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n",
                held.address, held.port
            ),
        }
    }
}

/// A facet's way.
pub struct HttpWire {
    way: Rc<Held>,
    /// Of each call, but for the length.
    head: String,
}

impl Held {
    /// Tells whoever runs the system what a client cannot mend, and sees as [`Fault::Damaged`]. Clients may ask as often as they like:
    /// a status is told once.
    fn tell(&self, trouble: Option<(u16, &str)>) {
        if let Some((status, what)) = trouble
            && self.told.replace(status) != status
        {
            let (address, port) = (self.address, self.port);
            warn!("the bridge at {address}:{port} answers {status}: {what}");
        }
    }
}

impl Wire for HttpWire {
    fn call(&mut self, call: &[u8]) -> Result<Vec<u8>, Fault> {
        let way = &*self.way;
        let octets = way.address.octets();
        let now = way.timer.now().map_err(|_| NOBODY)?.ns;
        let made = TcpStream::connect(&way.vm, &way.connect, &octets, way.port, CONNECT_NS);
        let mut stream = made.map_err(|_| NOBODY)?;
        stream.set_deadline(now.saturating_add(CALL_NS));
        let head = format!("{}Content-Length: {}\r\n\r\n", self.head, call.len());
        let mut request = head.into_bytes();
        request.extend_from_slice(call);
        // From the first byte on the bridge may have done it.
        let lost = |_: Refusal| Fault::Lost;
        stream.write_all(&request).map_err(lost)?;
        let mut answer = Answer::default();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = stream.read(&mut piece).map_err(lost)?;
            if count == 0 {
                return Err(Fault::Lost);
            }
            if answer.take(piece.get(..count).unwrap_or_default())? {
                way.tell(answer.trouble());
                return answer.end();
            }
        }
    }
}
