//! Whose each place of the interface's window is.

use arrayvec::ArrayVec;
use sdk::Refusal;
use sdk::net::nic_session::{Event, Kind};

/// Frames that may arrive, and frames that may leave, before anybody looks.
pub const PLACES: u32 = 64;
pub const PLACE_BYTES: u32 = 2048;

/// Those behind the first [`PLACES`] are for frames that leave.
#[derive(Debug)]
pub struct Places {
    /// Places that the device may fill, and places that it is sending from.
    lent: [bool; 2 * PLACES as usize],
    free: ArrayVec<u32, { PLACES as usize }>,
}

/// What the device is done with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Back {
    /// A frame has left.
    Sent,
    /// This place has a frame, or nothing where the event says why.
    Received(u32),
}

/// Where a place begins.
pub const fn offset_of(place: u32) -> u32 {
    place * PLACE_BYTES
}

impl Default for Places {
    /// None is lent.
    fn default() -> Self {
        Self {
            lent: [false; 2 * PLACES as usize],
            free: (PLACES..2 * PLACES).collect(),
        }
    }
}

impl Places {
    /// The device may fill these.
    pub fn lend(&mut self, places: &[u32]) {
        for place in places {
            self.set_lent(*place);
        }
    }

    /// A place for a frame that leaves: the device sends from it.
    pub fn take(&mut self) -> Option<u32> {
        let place = self.free.pop()?;
        self.set_lent(place);
        Some(place)
    }

    fn set_lent(&mut self, place: u32) {
        if let Some(lent) = self.lent.get_mut(place as usize) {
            *lent = true;
        }
    }

    /// Takes a place back.
    ///
    /// # Errors
    /// [`Refusal::Corrupt`] where it was not lent, or for something else.
    pub fn back(&mut self, event: &Event) -> Result<Back, Refusal> {
        let place = event.offset / PLACE_BYTES;
        let lent = self.lent.get_mut(place as usize);
        let lent = lent.filter(|lent| **lent && event.offset == offset_of(place));
        *lent.ok_or(Refusal::Corrupt)? = false;
        match event.kind {
            Kind::Transmitted if place >= PLACES => {
                self.free.push(place);
                Ok(Back::Sent)
            }
            Kind::Received if place < PLACES => Ok(Back::Received(place)),
            _ => Err(Refusal::Corrupt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Back, PLACES, Places, offset_of};
    use sdk::Refusal;
    use sdk::net::nic_session::{Event, Kind};

    fn event(kind: Kind, offset: u32) -> Event {
        Event {
            kind,
            offset,
            length: 60,
            refusal: None,
        }
    }

    fn lent() -> Places {
        let mut places = Places::default();
        places.lend(&[0, PLACES - 1]);
        assert_eq!(places.take(), Some(2 * PLACES - 1));
        places
    }

    #[test]
    fn what_was_lent_comes_back_once() {
        let mut places = lent();
        let received = event(Kind::Received, offset_of(PLACES - 1));
        assert_eq!(places.back(&received), Ok(Back::Received(PLACES - 1)));
        assert_eq!(places.back(&received), Err(Refusal::Corrupt));
        let sent = event(Kind::Transmitted, offset_of(2 * PLACES - 1));
        assert_eq!(places.back(&sent), Ok(Back::Sent));
        assert_eq!(places.back(&sent), Err(Refusal::Corrupt));
        let all = core::iter::from_fn(|| places.take());
        assert_eq!(all.count(), PLACES as usize);
    }

    #[test]
    fn a_provider_that_contradicts_itself_is_found_out() {
        for (kind, offset) in [
            // Never lent, between two places, beyond the end.
            (Kind::Received, offset_of(1)),
            (Kind::Received, offset_of(0) + 1),
            (Kind::Received, offset_of(2 * PLACES)),
            (Kind::Received, u32::MAX),
            (Kind::Transmitted, offset_of(PLACES)),
            // Lent for the other thing.
            (Kind::Transmitted, offset_of(0)),
            (Kind::Received, offset_of(2 * PLACES - 1)),
        ] {
            let event = event(kind, offset);
            assert_eq!(lent().back(&event), Err(Refusal::Corrupt), "{event:?}");
        }
    }
}
