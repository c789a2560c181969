//! Frames on their way through a network interface: which pieces of a window the device holds, and what became of them.
//!
//! A piece takes a place from the moment a client hands it over until the client has given up its event, so a client that
//! never looks fills its own places and nobody else's, and no event is lost with an answer that nobody waited for.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use ring_abi::Refusal;

/// Bytes of an Ethernet header: the shortest frame that can be sent; what is shorter than the wire wants is padded by
/// the device (IEEE 802.3, clause 3).
pub const LEAST_FRAME_BYTES: u32 = 14;

const INDEX_BITS: u32 = 16;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// From the wire.
    Receive,
    /// To the wire.
    Transmit,
}

/// A piece of the session's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which way.
    pub lane: Lane,
    /// The piece's offset.
    pub offset: u32,
    /// Bytes of the frame, or why there is none.
    pub outcome: Result<u32, Refusal>,
}

/// What an interface demands of the pieces of its window; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Bytes before a received frame in its piece.
    pub lead: u16,
    /// What a piece to receive is long, and begins at a multiple of; 0 for any that holds a frame.
    pub piece_bytes: u16,
    /// Whether pieces to receive lie in the first half of the window, and those to send in the second.
    pub halves: bool,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    generation: u64,
    piece: Piece,
    /// The device holds it.
    flying: bool,
}

/// The places of one lane.
#[derive(Debug)]
struct Places {
    slots: Vec<Slot>,
    free: Vec<u16>,
    /// Handed over, and not yet to the device; oldest first.
    waiting: VecDeque<u16>,
    flying: u16,
}

/// All frames of one session.
#[derive(Debug)]
pub struct Traffic {
    window_bytes: u32,
    frame_bytes: u32,
    layout: Layout,
    receive: Places,
    transmit: Places,
    /// Places whose piece the device has given back, oldest first.
    events: VecDeque<(Lane, u16, Result<u32, Refusal>)>,
    /// The number of the oldest.
    first: u64,
}

impl Places {
    fn new(depth: u16) -> Self {
        let none = Slot {
            generation: 0,
            piece: Piece {
                offset: 0,
                length: 0,
            },
            flying: false,
        };
        Self {
            slots: alloc::vec![none; depth.into()],
            free: (0..depth).rev().collect(),
            waiting: VecDeque::with_capacity(depth.into()),
            flying: 0,
        }
    }

    fn add(&mut self, piece: Piece) -> Result<(), Refusal> {
        let index = self.free.pop().ok_or(Refusal::QueueFull)?;
        let slot = self
            .slots
            .get_mut(usize::from(index))
            .ok_or(Refusal::QueueFull)?;
        slot.generation += 1;
        slot.piece = piece;
        self.waiting.push_back(index);
        Ok(())
    }

    fn next(&mut self) -> Option<(u64, Piece)> {
        let index = self.waiting.pop_front()?;
        let slot = self.slots.get_mut(usize::from(index))?;
        slot.flying = true;
        self.flying += 1;
        Some((slot.generation << INDEX_BITS | u64::from(index), slot.piece))
    }

    /// The place of a piece that the device held, which it holds no longer.
    fn landed(&mut self, cookie: u64) -> Option<(u16, Piece)> {
        let index = (cookie & ((1 << INDEX_BITS) - 1)) as u16;
        let slot = self.slots.get_mut(usize::from(index))?;
        if !slot.flying || slot.generation != cookie >> INDEX_BITS {
            return None;
        }
        slot.flying = false;
        self.flying = self.flying.saturating_sub(1);
        Some((index, slot.piece))
    }
}

impl Traffic {
    /// A session whose window has `window_bytes` bytes, over queues of so many places, for frames of at
    /// most `frame_bytes` bytes. All its memory is taken here.
    pub fn new(
        window_bytes: u32,
        frame_bytes: u32,
        receive_depth: u16,
        transmit_depth: u16,
    ) -> Self {
        Self {
            window_bytes,
            frame_bytes,
            layout: Layout::default(),
            receive: Places::new(receive_depth),
            transmit: Places::new(transmit_depth),
            events: VecDeque::with_capacity(
                usize::from(receive_depth) + usize::from(transmit_depth),
            ),
            first: 0,
        }
    }

    /// The same for an interface that demands more of its pieces.
    #[must_use]
    pub const fn with_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Where the pieces of a lane begin and end.
    const fn part_of(&self, lane: Lane) -> (u32, u32) {
        let half = self.window_bytes / 2;
        match (self.layout.halves, lane) {
            (false, _) => (0, self.window_bytes),
            (true, Lane::Receive) => (0, half),
            (true, Lane::Transmit) => (half, self.window_bytes),
        }
    }

    /// Whether a frame fits a piece, or a piece a frame.
    fn check_length(&self, lane: Lane, length: u32) -> Result<(), Refusal> {
        let fits = match (lane, u32::from(self.layout.piece_bytes)) {
            (Lane::Receive, 0) => length >= self.frame_bytes + u32::from(self.layout.lead),
            (Lane::Receive, exact) => length == exact,
            (Lane::Transmit, _) => (LEAST_FRAME_BYTES..=self.frame_bytes).contains(&length),
        };
        if fits {
            Ok(())
        } else {
            Err(Refusal::LengthMismatch)
        }
    }

    fn places(&mut self, lane: Lane) -> &mut Places {
        match lane {
            Lane::Receive => &mut self.receive,
            Lane::Transmit => &mut self.transmit,
        }
    }

    /// A client hands a piece over.
    ///
    /// # Errors
    /// `OutOfRange` outside the window, or its lane's half; `LengthMismatch` for a frame that is none, or for less room than a
    /// frame may need; `Misaligned`; `QueueFull` when all places are taken, which those of events not given up are too.
    pub fn hand_over(&mut self, lane: Lane, piece: Piece) -> Result<(), Refusal> {
        let end = piece
            .offset
            .checked_add(piece.length)
            .ok_or(Refusal::OutOfRange)?;
        let (from, to) = self.part_of(lane);
        if piece.offset < from || end > to {
            return Err(Refusal::OutOfRange);
        }
        self.check_length(lane, piece.length)?;
        let aligned = u32::from(self.layout.piece_bytes);
        if lane == Lane::Receive && aligned != 0 && !piece.offset.is_multiple_of(aligned) {
            return Err(Refusal::Misaligned);
        }
        self.places(lane).add(piece)
    }

    /// The next piece to give to the device, which holds it from now on, with its cookie.
    pub fn plan(&mut self, lane: Lane) -> Option<(u64, Piece)> {
        self.places(lane).next()
    }

    /// The device gave a piece back: the bytes of the frame it received (sent ones count as they were handed over), or
    /// why there is none. A cookie of nothing that the device holds changes nothing.
    pub fn done(&mut self, lane: Lane, cookie: u64, outcome: Result<u32, Refusal>) {
        let Some((index, piece)) = self.places(lane).landed(cookie) else {
            return;
        };
        let lead = u32::from(self.layout.lead);
        let outcome = outcome.and_then(|bytes| match lane {
            Lane::Transmit => Ok(piece.length),
            Lane::Receive if bytes <= piece.length.saturating_sub(lead) => Ok(bytes),
            Lane::Receive => Err(Refusal::Corrupt),
        });
        self.events.push_back((lane, index, outcome));
    }

    /// The client has seen every event before number `from`: their places are free again.
    ///
    /// # Errors
    /// `OutOfRange` for the number of an event that was given up before, or that there cannot be yet.
    pub fn give_up(&mut self, from: u64) -> Result<(), Refusal> {
        let seen = from.checked_sub(self.first).ok_or(Refusal::OutOfRange)?;
        if seen > self.events.len() as u64 {
            return Err(Refusal::OutOfRange);
        }
        for _ in 0..seen {
            if let Some((lane, index, _)) = self.events.pop_front() {
                self.places(lane).free.push(index);
            }
        }
        self.first = from;
        Ok(())
    }

    /// The events that the client has not given up, oldest first.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.events.iter().filter_map(|(lane, index, outcome)| {
            let places = match lane {
                Lane::Receive => &self.receive,
                Lane::Transmit => &self.transmit,
            };
            let slot = places.slots.get(usize::from(*index))?;
            Some(Event {
                lane: *lane,
                offset: slot.piece.offset,
                outcome: *outcome,
            })
        })
    }

    /// Whether there is an event that the client has not given up.
    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether there is a piece to give to the device.
    pub fn has_plan(&self, lane: Lane) -> bool {
        match lane {
            Lane::Receive => !self.receive.waiting.is_empty(),
            Lane::Transmit => !self.transmit.waiting.is_empty(),
        }
    }

    /// Pieces that the device holds.
    pub const fn flying(&self, lane: Lane) -> u16 {
        match lane {
            Lane::Receive => self.receive.flying,
            Lane::Transmit => self.transmit.flying,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn piece(offset: u32, length: u32) -> Piece {
        Piece { offset, length }
    }

    fn traffic() -> Traffic {
        Traffic::new(65_536, 1514, 4, 2)
    }

    #[test]
    fn pieces_must_lie_in_the_window_and_hold_a_frame() {
        let mut t = traffic();
        let mut receive = |o, l| t.hand_over(Lane::Receive, piece(o, l));
        assert_eq!(receive(0, 1514), Ok(()));
        assert_eq!(receive(0, 1513), Err(Refusal::LengthMismatch));
        assert_eq!(receive(64_023, 1514), Err(Refusal::OutOfRange));
        assert_eq!(receive(u32::MAX, 1514), Err(Refusal::OutOfRange));
        let mut transmit = |o, l| t.hand_over(Lane::Transmit, piece(o, l));
        assert_eq!(transmit(65_522, 14), Ok(()));
        assert_eq!(transmit(0, 13), Err(Refusal::LengthMismatch));
        assert_eq!(transmit(0, 1515), Err(Refusal::LengthMismatch));
        assert_eq!(transmit(0, 0), Err(Refusal::LengthMismatch));
        assert_eq!(transmit(65_523, 14), Err(Refusal::OutOfRange));
    }

    #[test]
    fn an_interface_may_demand_where_pieces_lie() {
        let mut t = traffic().with_layout(Layout {
            lead: 2,
            piece_bytes: 2048,
            halves: true,
        });
        let mut receive = |o, l| t.hand_over(Lane::Receive, piece(o, l));
        assert_eq!(receive(30_720, 2048), Ok(()));
        assert_eq!(receive(0, 1514), Err(Refusal::LengthMismatch));
        assert_eq!(receive(0, 2049), Err(Refusal::LengthMismatch));
        assert_eq!(receive(64, 2048), Err(Refusal::Misaligned));
        assert_eq!(receive(32_768, 2048), Err(Refusal::OutOfRange));
        let mut transmit = |o, l| t.hand_over(Lane::Transmit, piece(o, l));
        assert_eq!(transmit(32_768, 14), Ok(()));
        assert_eq!(transmit(32_767, 14), Err(Refusal::OutOfRange));
        // A frame and what is before it lie in the piece.
        let (cookie, _) = t.plan(Lane::Receive).unwrap();
        t.done(Lane::Receive, cookie, Ok(2047));
        let event = t.events().next().unwrap();
        assert_eq!(event.outcome, Err(Refusal::Corrupt));
    }

    #[test]
    fn a_place_is_taken_until_its_event_is_given_up() {
        let mut t = traffic();
        for at in 0..2 {
            assert_eq!(t.hand_over(Lane::Transmit, piece(at, 60)), Ok(()));
        }
        assert_eq!(
            t.hand_over(Lane::Transmit, piece(2, 60)),
            Err(Refusal::QueueFull)
        );
        let planned: Vec<_> = core::iter::from_fn(|| t.plan(Lane::Transmit)).collect();
        assert_eq!(planned.len(), 2);
        assert_eq!(t.flying(Lane::Transmit), 2);
        assert_eq!(planned[0].1, piece(0, 60));
        t.done(Lane::Transmit, planned[0].0, Ok(0));
        t.done(Lane::Transmit, planned[0].0, Ok(0));
        assert_eq!(
            t.hand_over(Lane::Transmit, piece(2, 60)),
            Err(Refusal::QueueFull),
            "the client has not looked"
        );
        let events: Vec<_> = t.events().collect();
        assert_eq!(events.len(), 1, "not twice");
        assert_eq!((events[0].lane, events[0].offset), (Lane::Transmit, 0));
        assert_eq!(events[0].outcome, Ok(60));
        assert_eq!(t.give_up(2), Err(Refusal::OutOfRange));
        assert_eq!(t.give_up(0), Ok(()));
        assert_eq!(t.events().count(), 1, "until it is given up");
        assert_eq!(t.give_up(1), Ok(()));
        assert_eq!(t.give_up(0), Err(Refusal::OutOfRange));
        assert!(!t.has_event());
        assert_eq!(t.hand_over(Lane::Transmit, piece(2, 60)), Ok(()));
        t.done(Lane::Transmit, planned[0].0, Ok(0));
        assert!(!t.has_event(), "an old cookie means nothing");
        assert!(t.has_plan(Lane::Transmit) && !t.has_plan(Lane::Receive));
    }

    #[test]
    fn lengths_from_the_device_are_compared_with_the_room() {
        let mut t = traffic();
        for at in 0..3 {
            t.hand_over(Lane::Receive, piece(at * 2048, 1514)).unwrap();
        }
        let planned: Vec<_> = core::iter::from_fn(|| t.plan(Lane::Receive)).collect();
        t.done(Lane::Receive, planned[2].0, Ok(1514));
        t.done(Lane::Receive, planned[0].0, Ok(1515));
        t.done(Lane::Receive, planned[1].0, Err(Refusal::Revoked));
        let outcomes: Vec<_> = t
            .events()
            .map(|event| (event.offset, event.outcome))
            .collect();
        assert_eq!(
            outcomes,
            [
                (4096, Ok(1514)),
                (0, Err(Refusal::Corrupt)),
                (2048, Err(Refusal::Revoked))
            ]
        );
        t.give_up(3).unwrap();
        for cookie in [0, u64::MAX, 3, 1 << 40] {
            t.done(Lane::Receive, cookie, Ok(1));
        }
        assert!(!t.has_event() && t.flying(Lane::Receive) == 0);
    }
}
