//! The session of the interface: which part of the window is whose, frames in and frames out.

use arrayvec::ArrayVec;
use net_stack::{MAX_FRAME, Stack};
use sdk::alloc::boxed::Box;
use sdk::net::nic::InfoResults;
use sdk::net::nic_session::{Event, Piece, WaitParams, WaitResults};
use sdk::{Access, Nic, NicSession, Refusal, Timer, Window, fact};
use units::Nanoseconds;

use crate::places::{Back, PLACE_BYTES, PLACES, Places, offset_of};

const WINDOW_BYTES: u32 = 2 * PLACES * PLACE_BYTES;
/// A call carries so many pieces or events.
const BATCH: usize = 64;
/// How often a session is asked for again, and how long after the last one.
const TRIES: u32 = 50;
const PAUSE_NS: u64 = 100_000_000;

/// The session, with its window.
pub struct Link {
    nic: Nic,
    /// None while another one is asked for.
    session: Option<Session>,
    frame_bytes: u32,
    /// Bytes before a received frame in its place.
    lead: u64,
    /// Events that were given up.
    seen: u64,
    /// Sessions so far.
    number: u64,
    /// Before this time no other one is asked for.
    next_ns: u64,
    places: Places,
    frame: Box<[u8; MAX_FRAME]>,
}

/// One session, with its window.
struct Session {
    object: NicSession,
    window: Window,
}

/// Takes the events out of an answer.
///
/// # Errors
/// The answer is malformed.
pub fn gather(results: WaitResults<'_>) -> Result<ArrayVec<Event, BATCH>, Refusal> {
    let list = results.events()?;
    list.iter().take(BATCH).map(|event| event.value()).collect()
}

fn enter(nic: &Nic) -> Result<Session, Refusal> {
    let opened = nic.open(WINDOW_BYTES)?;
    let window = Window::map(opened.window, WINDOW_BYTES.into(), Access::ReadWrite)?;
    Ok(Session {
        object: opened.session,
        window,
    })
}

impl Link {
    /// Opens a session, and lends the device places for frames.
    ///
    /// # Errors
    /// The provider's; `NotSupported` for an interface whose pieces are other than the places here.
    pub fn open(nic: Nic, info: &InfoResults) -> Result<Self, Refusal> {
        // Places that are lent lie in the first half, as an interface may demand.
        if ![0, PLACE_BYTES].contains(&info.piece_bytes.into()) {
            return Err(Refusal::NotSupported);
        }
        let mut link = Self {
            session: Some(enter(&nic)?),
            nic,
            frame_bytes: info.frame_bytes.into(),
            lead: info.lead.into(),
            seen: 0,
            number: 0,
            next_ns: 0,
            places: Places::default(),
            frame: Box::new([0; MAX_FRAME]),
        };
        link.begin()?;
        Ok(link)
    }

    /// Opens another session in the place of the last one, whether that has ended or is of no more use: it is given up first,
    /// because there is one at a time. What was on its way is lost, as on any wire. A provider whose every session is of no use
    /// is asked no more often than one that refuses.
    ///
    /// # Errors
    /// The provider's, after many tries.
    pub fn reopen(&mut self, timer: &Timer) -> Result<(), Refusal> {
        let mut left = TRIES;
        loop {
            self.session = None;
            timer.sleep(self.next_ns)?;
            self.next_ns = timer.now()?.ns.saturating_add(PAUSE_NS);
            match enter(&self.nic).and_then(|session| {
                self.session = Some(session);
                self.begin()
            }) {
                Ok(()) => break,
                Err(refusal) if left == 0 => return Err(refusal),
                Err(_) => left -= 1,
            }
        }
        fact!("net.reopened", session = self.number);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Refusal> {
        self.seen = 0;
        self.number += 1;
        self.places = Places::default();
        let all: ArrayVec<u32, { PLACES as usize }> = (0..PLACES).collect();
        self.post(&all)
    }

    /// How many sessions there have been.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// What is called to wait.
    ///
    /// # Errors
    /// There is no session.
    pub fn object(&self) -> Result<&sdk::Cap, Refusal> {
        Ok(sdk::Interface::object(&self.session()?.object))
    }

    fn session(&self) -> Result<&Session, Refusal> {
        self.session.as_ref().ok_or(Refusal::Stale)
    }

    /// What comes next.
    pub const fn next_wait(&self) -> WaitParams {
        WaitParams {
            from: self.seen,
            max: BATCH as u16,
        }
    }

    fn post(&mut self, places: &[u32]) -> Result<(), Refusal> {
        let piece = |place: &u32| Piece {
            offset: offset_of(*place),
            length: PLACE_BYTES,
        };
        for places in places.chunks(BATCH) {
            let pieces: ArrayVec<Piece, BATCH> = places.iter().map(piece).collect();
            let posted = self.session()?.object.post(&pieces)?;
            self.places.lend(places);
            all_accepted(posted.accepted, pieces.len(), posted.refusal)?;
        }
        Ok(())
    }

    /// Gives the stack what arrived, and the device its places back.
    ///
    /// # Errors
    /// The provider's, or [`Refusal::Corrupt`] where it names a place that it was not lent: the session is of no more use.
    pub fn take(
        &mut self,
        events: &[Event],
        now: Nanoseconds,
        stack: &mut Stack,
    ) -> Result<(), Refusal> {
        let mut again: ArrayVec<u32, BATCH> = ArrayVec::new();
        for event in events {
            self.seen += 1;
            if let Back::Received(place) = self.places.back(event)? {
                if event.refusal.is_none() {
                    self.receive(event, now, stack)?;
                }
                again.push(place);
            }
        }
        self.post(&again)
    }

    fn receive(
        &mut self,
        event: &Event,
        now: Nanoseconds,
        stack: &mut Stack,
    ) -> Result<(), Refusal> {
        let session = self.session.as_ref().ok_or(Refusal::Stale)?;
        let frame = self.frame.get_mut(..event.length as usize);
        let frame = frame.ok_or(Refusal::Corrupt)?;
        // The provider can write the window at any time: what is looked at is a copy.
        session
            .window
            .read(u64::from(event.offset) + self.lead, frame)?;
        stack.receive(now, frame);
        Ok(())
    }

    /// Sends what waits to go out, as far as there are places.
    ///
    /// # Errors
    /// The provider's.
    pub fn send(&mut self, now: Nanoseconds, stack: &mut Stack) -> Result<(), Refusal> {
        let session = self.session.as_ref().ok_or(Refusal::Stale)?;
        loop {
            let mut pieces: ArrayVec<Piece, BATCH> = ArrayVec::new();
            while !pieces.is_full()
                && let Some(frame) = stack.outgoing()
                && let Some(place) = self.places.take()
            {
                let offset = offset_of(place);
                session.window.write(offset.into(), frame)?;
                let length = (frame.len() as u32).min(self.frame_bytes);
                pieces.push(Piece { offset, length });
                stack.sent(now);
            }
            if pieces.is_empty() {
                return Ok(());
            }
            let sent = session.object.transmit(&pieces)?;
            all_accepted(sent.accepted, pieces.len(), sent.refusal)?;
        }
    }
}

/// What is not accepted would be nobody's: a session that leaves some is of no more use, whether it says why or not.
fn all_accepted(accepted: u16, asked: usize, refusal: Option<Refusal>) -> Result<(), Refusal> {
    match refusal {
        None if usize::from(accepted) == asked => Ok(()),
        refusal => Err(refusal.unwrap_or(Refusal::Failed)),
    }
}

#[cfg(test)]
mod tests {
    use super::all_accepted;
    use sdk::Refusal;

    #[test]
    fn a_place_that_is_left_out_in_silence_ends_the_session() {
        assert_eq!(all_accepted(3, 3, None), Ok(()));
        let full = Some(Refusal::QueueFull);
        for (accepted, refusal, why) in [
            (2, None, Refusal::Failed),
            (4, None, Refusal::Failed),
            (2, full, Refusal::QueueFull),
            (3, full, Refusal::QueueFull),
        ] {
            assert_eq!(all_accepted(accepted, 3, refusal), Err(why));
        }
    }
}
