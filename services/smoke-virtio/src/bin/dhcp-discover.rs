//! Asks the network for an address, twice, each time in a session of its own.
//!
//! Invariant: it never states what it did not find in a frame that the interface delivered.
#![no_std]
#![no_main]

use sdk::net::nic_session::{Kind, Piece};
use sdk::{Access, Env, Error, Nic, NicSession, Refusal, Timer, Window, fact};
use smoke_virtio::dhcp::{self, Answer, DISCOVER_BYTES};
use smoke_virtio::outcome;

sdk::entry!(main);

const WINDOW_BYTES: u32 = 64 * 1024;
/// Places for frames to come, and behind them the one that goes out.
const POSTED: u32 = 8;
const PLACE_BYTES: u32 = 2048;
const OUT: u32 = POSTED * PLACE_BYTES;

const SECOND_NS: u64 = 1_000_000_000;
const TRIES: u32 = 8;

struct Session {
    session: NicSession,
    window: Window,
    mac: [u8; 6],
    /// Events seen so far.
    seen: u64,
}

impl Session {
    fn open(nic: &Nic, mac: [u8; 6]) -> Result<Self, Refusal> {
        let opened = nic.open(WINDOW_BYTES)?;
        Ok(Self {
            session: opened.session,
            window: Window::map(opened.window, WINDOW_BYTES.into(), Access::ReadWrite)?,
            mac,
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

    /// Sends a DISCOVER and waits for what answers it.
    fn ask(&mut self, timer: &Timer, transaction: u32) -> Result<Answer, Refusal> {
        for place in 0..POSTED {
            self.post(place * PLACE_BYTES)?;
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

fn whole(refusal: u8) -> Result<(), Refusal> {
    Refusal::from_code(refusal).map_or(Ok(()), Err)
}

/// What becomes of one piece.
fn tried(result: Result<u8, Refusal>) -> &'static str {
    outcome(&result.and_then(whole))
}

fn main(env: &Env) -> Result<(), Error> {
    let nic: Nic = env.get("nic")?;
    let timer: Timer = env.get("timer")?;
    let info = nic.info()?;
    fact!(
        "net.info",
        mac = sdk::Hex(info.mac),
        mtu = info.mtu,
        frame_bytes = info.frame_bytes,
        link_up = info.link_up,
        polled = info.polled
    );
    let mut mac = [0; 6];
    for (to, from) in mac.iter_mut().zip(info.mac.to_be_bytes().iter().skip(2)) {
        *to = *from;
    }
    let mut first = Session::open(&nic, mac)?;
    let send = |offset, length| {
        let result = first.session.transmit(&[Piece { offset, length }]);
        tried(result.map(|results| results.refusal))
    };
    let post = |offset, length| {
        let result = first.session.post(&[Piece { offset, length }]);
        tried(result.map(|results| results.refusal))
    };
    fact!(
        "net.bounds",
        outside = send(WINDOW_BYTES - 59, 60),
        wrapping = send(u32::MAX, 60),
        short = send(0, 13),
        long = send(0, 1515),
        little_room = post(0, 1513),
        post_outside = post(WINDOW_BYTES - 1513, 1514),
        second_session = outcome(&nic.open(WINDOW_BYTES))
    );
    let [a, b, c, d] = first.ask(&timer, 0x1234_5678)?.address;
    fact!(
        "net.offer",
        address = sdk::alloc::format!("{a}.{b}.{c}.{d}").as_str()
    );
    // The frames that were posted and never came go back with the session: the device is stopped for it.
    drop(first);
    let mut second = Session::open(&nic, mac)?;
    let answer = second.ask(&timer, 0x9abc_def0)?;
    fact!("net.again", message = answer.kind);
    let counters = nic.counters()?;
    fact!(
        "net.counters",
        received = counters.received >= 2,
        transmitted = counters.transmitted >= 2,
        interrupts = counters.delivered > 0,
        brought_up = counters.resets,
        delivered ~ counters.delivered
    );
    Ok(())
}
