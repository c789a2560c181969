//! The session of the interface: which part of the window is whose, frames in and frames out.

use arrayvec::ArrayVec;
use net_stack::{MAX_FRAME, Stack};
use sdk::alloc::boxed::Box;
use sdk::net::nic_session::{Event, Kind, Piece, WaitParams, WaitResults};
use sdk::{Access, Nic, NicSession, Refusal, Timer, Window, fact};
use units::Nanoseconds;

/// Frames that may arrive, and frames that may leave, before anybody looks.
const PLACES: u32 = 64;
const PLACE_BYTES: u32 = 2048;
const WINDOW_BYTES: u32 = 2 * PLACES * PLACE_BYTES;
/// A call carries so many pieces or events.
const BATCH: usize = 64;
/// How often a session is asked for again, and how long is waited in between.
const TRIES: u32 = 50;
const PAUSE_NS: u64 = 100_000_000;

/// The session, and whose each place of its window is.
pub struct Link {
    nic: Nic,
    /// None while another one is asked for.
    session: Option<Session>,
    frame_bytes: u32,
    /// Events that were given up.
    seen: u64,
    /// Sessions so far.
    number: u64,
    /// Places that the device may fill, and places that it is sending from; those behind the first [`PLACES`] are for frames
    /// that leave.
    lent: [bool; 2 * PLACES as usize],
    free: ArrayVec<u32, { PLACES as usize }>,
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
    /// The provider's.
    pub fn open(nic: Nic, frame_bytes: u32) -> Result<Self, Refusal> {
        let mut link = Self {
            session: Some(enter(&nic)?),
            nic,
            frame_bytes,
            seen: 0,
            number: 0,
            lent: [false; 2 * PLACES as usize],
            free: ArrayVec::new(),
            frame: Box::new([0; MAX_FRAME]),
        };
        link.begin()?;
        Ok(link)
    }

    /// Opens another session in the place of the last one, whether that has ended or is of no more use: it is given up first,
    /// because there is one at a time. What was on its way is lost, as on any wire.
    ///
    /// # Errors
    /// The provider's, after many tries.
    pub fn reopen(&mut self, timer: &Timer) -> Result<(), Refusal> {
        let mut left = TRIES;
        loop {
            self.session = None;
            match enter(&self.nic).and_then(|session| {
                self.session = Some(session);
                self.begin()
            }) {
                Ok(()) => break,
                Err(refusal) if left == 0 => return Err(refusal),
                Err(_) => {
                    left -= 1;
                    sdk::sleep_for(timer, PAUSE_NS)?;
                }
            }
        }
        fact!("net.reopened", session = self.number);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Refusal> {
        self.seen = 0;
        self.number += 1;
        self.lent = [false; 2 * PLACES as usize];
        self.free = (PLACES..2 * PLACES).collect();
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
            offset: place * PLACE_BYTES,
            length: PLACE_BYTES,
        };
        for places in places.chunks(BATCH) {
            let pieces: ArrayVec<Piece, BATCH> = places.iter().map(piece).collect();
            let posted = self.session()?.object.post(&pieces)?;
            for place in places.iter().take(posted.accepted.into()) {
                if let Some(lent) = self.lent.get_mut(*place as usize) {
                    *lent = true;
                }
            }
            if let Some(refusal) = posted.refusal {
                return Err(refusal);
            }
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
            let place = event.offset / PLACE_BYTES;
            let lent = self.lent.get_mut(place as usize);
            let lent = lent.filter(|lent| **lent && event.offset.is_multiple_of(PLACE_BYTES));
            *lent.ok_or(Refusal::Corrupt)? = false;
            match event.kind {
                Kind::Transmitted if place >= PLACES => self.free.push(place),
                Kind::Received if place < PLACES => {
                    if event.refusal.is_none() {
                        self.receive(event, now, stack)?;
                    }
                    again.push(place);
                }
                _ => return Err(Refusal::Corrupt),
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
        session.window.read(event.offset.into(), frame)?;
        stack.receive(now, frame);
        Ok(())
    }

    /// Sends what waits to go out, as far as there are places.
    ///
    /// # Errors
    /// The provider's.
    pub fn send(&mut self, stack: &mut Stack) -> Result<(), Refusal> {
        let session = self.session.as_ref().ok_or(Refusal::Stale)?;
        loop {
            let mut pieces: ArrayVec<Piece, BATCH> = ArrayVec::new();
            while !pieces.is_full()
                && let Some(frame) = stack.outgoing()
                && let Some(place) = self.free.pop()
            {
                let offset = place * PLACE_BYTES;
                session.window.write(offset.into(), frame)?;
                let length = (frame.len() as u32).min(self.frame_bytes);
                pieces.push(Piece { offset, length });
                stack.sent();
            }
            if pieces.is_empty() {
                return Ok(());
            }
            for piece in &pieces {
                if let Some(lent) = self.lent.get_mut((piece.offset / PLACE_BYTES) as usize) {
                    *lent = true;
                }
            }
            let sent = session.object.transmit(&pieces)?;
            if usize::from(sent.accepted) < pieces.len() {
                return Err(sent.refusal.unwrap_or(Refusal::Failed));
            }
        }
    }
}
