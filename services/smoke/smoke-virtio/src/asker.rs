//! A client of a network interface that asks for an address.

use sdk::net::nic_session::{Kind, Piece};
use sdk::{Access, Nic, NicSession, Refusal, Timer, Window};

use crate::dhcp::{self, Answer, DISCOVER_BYTES};

/// Bytes of the window.
pub const WINDOW_BYTES: u32 = 64 * 1024;
/// Places for frames to come, and behind them the one that goes out.
const POSTED: u32 = 8;
const PLACE_BYTES: u32 = 2048;
const OUT: u32 = POSTED * PLACE_BYTES;

const SECOND_NS: u64 = 1_000_000_000;
const TRIES: u32 = 8;

/// A session, and what was seen in it.
pub struct Session {
    /// The session itself.
    pub session: NicSession,
    window: Window,
    mac: [u8; 6],
    /// Places given away so far.
    posted: u32,
    /// Events seen so far.
    seen: u64,
}

impl Session {
    /// Opens a session of an interface with this address.
    ///
    /// # Errors
    /// The provider's.
    pub fn open(nic: &Nic, mac: [u8; 6]) -> Result<Self, Refusal> {
        let opened = nic.open(WINDOW_BYTES)?;
        Ok(Self {
            session: opened.session,
            window: Window::map(opened.window, WINDOW_BYTES.into(), Access::ReadWrite)?,
            mac,
            posted: 0,
            seen: 0,
        })
    }

    fn post(&self, offset: u32) -> Result<(), Refusal> {
        let piece = Piece {
            offset,
            length: PLACE_BYTES,
        };
        whole(self.session.post(&[piece])?.refusal)
    }

    /// Gives memory for frames, sends a DISCOVER and waits for what answers it.
    ///
    /// # Errors
    /// The provider's; `TimedOut` when nothing answers.
    pub fn ask(&mut self, timer: &Timer, transaction: u32) -> Result<Answer, Refusal> {
        while self.posted < POSTED {
            self.post(self.posted * PLACE_BYTES)?;
            self.posted += 1;
        }
        for _ in 0..TRIES {
            self.window
                .write(OUT.into(), &dhcp::discover(self.mac, transaction))?;
            let piece = Piece {
                offset: OUT,
                length: DISCOVER_BYTES as u32,
            };
            whole(self.session.transmit(&[piece])?.refusal)?;
            let until = timer.now()?.ns + SECOND_NS;
            match self.listen(until, transaction) {
                Err(Refusal::TimedOut) => {}
                other => return other,
            }
        }
        Err(Refusal::TimedOut)
    }

    /// Takes frames until the answer is among them.
    fn listen(&mut self, until_ns: u64, transaction: u32) -> Result<Answer, Refusal> {
        loop {
            let waiting = self.session.with_deadline(until_ns);
            let event = waiting.wait(self.seen, 1, |results| {
                let list = results.events()?;
                list.iter().next().ok_or(Refusal::NotFound)?.value()
            })??;
            self.seen += 1;
            whole(event.refusal)?;
            if event.kind == Kind::Transmitted {
                continue;
            }
            let mut frame = [0; PLACE_BYTES as usize];
            let frame = frame
                .get_mut(..event.length as usize)
                .ok_or(Refusal::OutOfRange)?;
            self.window.read(event.offset.into(), frame)?;
            self.post(event.offset)?;
            if let Some(answer) = dhcp::answer(frame, self.mac, transaction) {
                return Ok(answer);
            }
        }
    }
}

/// Turns a refusal among the results into one of the call.
///
/// # Errors
/// That refusal, where there is one.
pub fn whole(refusal: Option<Refusal>) -> Result<(), Refusal> {
    refusal.map_or(Ok(()), Err)
}

/// The six bytes of an address.
pub fn octets(mac: u64) -> [u8; 6] {
    let [_, _, a, b, c, d, e, f] = mac.to_be_bytes();
    [a, b, c, d, e, f]
}
