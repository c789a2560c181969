//! Blocks that the device has as well, kept to be read again.

use alloc::vec::Vec;

use volume_format::BLOCK;

use crate::CLEAN_BLOCKS;

/// Places that one block may be kept in.
const WAYS: usize = 4;
const SETS: usize = CLEAN_BLOCKS / WAYS;

/// The blocks: each in one of the places that its number gives it. One that is asked for again stays longer.
///
/// Its memory is taken once.
#[derive(Debug)]
pub(crate) struct Clean {
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    /// `u64::MAX` where nothing is kept.
    lba: u64,
    bytes: Vec<u8>,
    was_read: bool,
}

const NONE: u64 = u64::MAX;

impl Clean {
    /// With nothing in it. `None`: no memory.
    pub fn new() -> Option<Self> {
        let mut places = Vec::new();
        places.try_reserve_exact(SETS * WAYS).ok()?;
        for _ in 0..SETS * WAYS {
            places.push(Place {
                lba: NONE,
                bytes: crate::zeroes(BLOCK)?,
                was_read: false,
            });
        }
        Some(Self { places })
    }

    fn set(&mut self, lba: u64) -> &mut [Place] {
        let set = (lba % SETS as u64) as usize * WAYS;
        self.places.get_mut(set..set + WAYS).unwrap_or_default()
    }

    pub fn get(&mut self, lba: u64) -> Option<&[u8]> {
        let kept = self.set(lba).iter_mut().find(|place| place.lba == lba)?;
        kept.was_read = true;
        Some(&kept.bytes)
    }

    pub fn drop(&mut self, lba: u64) {
        for place in self.set(lba).iter_mut().filter(|place| place.lba == lba) {
            place.lba = NONE;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        for place in &mut self.places {
            place.lba = NONE;
        }
    }

    /// The place for a block: its own, an empty one, or that of the first one that was not read since a newer one came.
    fn place(&mut self, lba: u64) -> Option<&mut Place> {
        let set = self.set(lba);
        let own = set.iter().position(|place| place.lba == lba);
        let at = own.or_else(|| set.iter().position(|place| place.lba == NONE));
        let at = at.or_else(|| set.iter().position(|place| !place.was_read));
        if at.is_none() {
            for place in set.iter_mut() {
                place.was_read = false;
            }
        }
        // The newest is last, so that the first one is the oldest.
        set.get_mut(at.unwrap_or(0)..)?.rotate_left(1);
        let place = set.last_mut()?;
        place.was_read &= place.lba == lba;
        place.lba = lba;
        Some(place)
    }

    /// Keeps a copy of a block.
    pub fn keep(&mut self, lba: u64, block: &[u8]) {
        if let Some(place) = self.place(lba) {
            place.bytes.copy_from_slice(block);
        }
    }

    /// Keeps a block by taking its memory, and gives other memory of that size for it.
    pub fn put(&mut self, lba: u64, block: Vec<u8>) -> Option<Vec<u8>> {
        let place = self.place(lba)?;
        Some(core::mem::replace(&mut place.bytes, block))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// The first byte of a block of the set, if it is kept.
    fn first(clean: &mut Clean, number: u64) -> Option<u8> {
        Some(*clean.get(number * SETS as u64)?.first()?)
    }

    #[test]
    fn of_a_set_the_oldest_goes_first_that_was_not_read_since() {
        let mut clean = Clean::new().unwrap();
        let keep = |clean: &mut Clean, number: u64| {
            clean.keep(number * SETS as u64, &[number as u8; BLOCK]);
        };
        for number in 0..WAYS as u64 {
            keep(&mut clean, number);
        }
        assert_eq!(first(&mut clean, 0), Some(0));
        keep(&mut clean, 4);
        assert_eq!(first(&mut clean, 1), None);
        keep(&mut clean, 5);
        let kept = [0, 2, 3, 4, 5].map(|number| first(&mut clean, number));
        assert_eq!(kept, [Some(0), None, Some(3), Some(4), Some(5)]);
        // Where all were read, the one that came first goes.
        keep(&mut clean, 6);
        assert_eq!(first(&mut clean, 0), None);
        assert_eq!(first(&mut clean, 6), Some(6));
        // Another set has nothing to do with it.
        clean.keep(1, &[1; BLOCK]);
        assert_eq!(first(&mut clean, 3), Some(3));
    }
}
