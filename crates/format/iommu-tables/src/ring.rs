//! The places of a ring of commands that the unit works through: invalidation queue (VT-d 6.5.2) and command buffer
//! (AMD 2.4).

/// Where software goes on in a ring.
///
/// One place stays free, because a full ring would look like an empty one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ring {
    slots: u32,
    tail: u32,
}

/// Why a ring is of no use now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RingFault {
    /// The unit's head lies outside the ring, or between two places.
    Head,
    /// The unit has not worked through enough of it.
    Full,
}

/// Bytes of a place, for both vendors.
const SLOT_BYTES: u64 = 16;

impl Ring {
    /// An empty ring of 2^`order` places, at most 2^15.
    pub const fn new(order: u8) -> Self {
        let order = if order > 15 { 15 } else { order };
        Self {
            slots: 1 << order,
            tail: 0,
        }
    }

    /// Returns the places there are.
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// Returns what the unit's tail register is to hold.
    pub const fn tail_register(&self) -> u64 {
        self.tail as u64 * SLOT_BYTES
    }

    /// Takes the next place, if the unit's head register leaves one.
    ///
    /// # Errors
    /// `Head`: the register makes no sense; `Full`: no place is free.
    pub const fn take(&mut self, head_register: u64) -> Result<u32, RingFault> {
        let head = match self.head(head_register) {
            Ok(head) => head,
            Err(fault) => return Err(fault),
        };
        let next = (self.tail + 1) % self.slots;
        if next == head {
            return Err(RingFault::Full);
        }
        let place = self.tail;
        self.tail = next;
        Ok(place)
    }

    /// Whether the unit has worked through everything.
    ///
    /// # Errors
    /// `Head`: the register makes no sense.
    pub const fn is_idle(&self, head_register: u64) -> Result<bool, RingFault> {
        match self.head(head_register) {
            Ok(head) => Ok(head == self.tail),
            Err(fault) => Err(fault),
        }
    }

    const fn head(&self, register: u64) -> Result<u32, RingFault> {
        let place = register / SLOT_BYTES;
        match register.is_multiple_of(SLOT_BYTES) && place < self.slots as u64 {
            true => Ok(place as u32),
            false => Err(RingFault::Head),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_stays_free_and_places_come_in_order() {
        let mut ring = Ring::new(2);
        assert_eq!(ring.is_idle(0), Ok(true));
        for place in 0..3 {
            assert_eq!(ring.take(0), Ok(place));
        }
        assert_eq!(ring.take(0), Err(RingFault::Full));
        assert_eq!(
            (ring.tail_register(), ring.is_idle(0x10)),
            (0x30, Ok(false))
        );
        assert_eq!(ring.take(0x10), Ok(3));
        assert_eq!(ring.tail_register(), 0);
    }

    #[test]
    fn a_head_outside_the_ring_is_told() {
        let mut ring = Ring::new(4);
        let before = ring;
        for head in [0x100, 0x8, 1, u64::MAX, 1 << 40] {
            assert_eq!(ring.take(head), Err(RingFault::Head));
            assert_eq!(ring.is_idle(head), Err(RingFault::Head));
        }
        assert_eq!(ring, before);
    }
}
