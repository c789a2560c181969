//! Who waits on words of one process's memory: as many as it has threads, so nothing here looks at more than what it takes.

use arrayvec::ArrayVec;
use pieces::Tree;
use ring_abi::Refusal;

/// Places that need no memory: most processes have no more threads that wait at once, and who has used up what it may wants to
/// wait, too.
const FEW: usize = 8;
/// Most that another place takes; it has no way to be refused once that is paid for.
const PLACE_BYTES: u64 = 2048;

/// The address of a word, and a number that rises: who came first to a word is woken first.
pub(crate) type Place = (u64, u64);

/// By word, and in the order in which they came.
#[derive(Debug)]
pub(crate) struct Parking<T> {
    few: ArrayVec<(Place, T), FEW>,
    others: Tree<Place, T>,
    number: u64,
}

impl<T> Parking<T> {
    pub(crate) const fn new() -> Self {
        Self {
            few: ArrayVec::new_const(),
            others: Tree::new(),
            number: 0,
        }
    }

    /// Adds one. Its place is its own for good.
    ///
    /// # Errors
    /// `OverBudget`.
    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    pub(crate) fn add(&mut self, address: u64, one: T) -> Result<Place, Refusal> {
        self.number += 1;
        let place = (address, self.number);
        if let Err(full) = self.few.try_push((place, one)) {
            let (place, one) = full.element();
            let others = &mut self.others;
            frames::with_room(PLACE_BYTES, || others.insert(place, one))
                .map_err(|_| Refusal::OverBudget)?;
        }
        Ok(place)
    }

    /// Whether the one at this place is still there.
    pub(crate) fn has(&self, place: Place) -> bool {
        self.few.iter().any(|(one, _)| *one == place) || self.others.get(&place).is_some()
    }

    /// Takes the one at this place out.
    pub(crate) fn remove(&mut self, place: Place) -> Option<T> {
        match self.few.iter().position(|(one, _)| *one == place) {
            Some(at) => Some(self.few.swap_remove(at).1),
            None => self.others.remove(&place),
        }
    }

    /// Takes out who has waited longest for a word.
    pub(crate) fn next(&mut self, address: u64) -> Option<T> {
        let of_word = self.few.iter().filter(|(one, _)| one.0 == address);
        let first = of_word.map(|(one, _)| *one).min();
        let range = (address, 0)..=(address, u64::MAX);
        let other = self.others.first_in(range).map(|(one, _)| *one);
        self.remove(first.into_iter().chain(other).min()?)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::Parking;
    use std::vec::Vec;

    #[test]
    fn each_word_has_a_line_of_its_own_and_who_came_first_is_woken_first() {
        let mut parking = Parking::new();
        let mut model: Vec<((u64, u64), u32)> = Vec::new();
        let mut seed = 5u32;
        let mut most = 0;
        for n in 0..20_000u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let address = u64::from(seed >> 20) % 7 * 4;
            // There are more and more of them for a while, and then fewer.
            let grows = n / 2500 % 2 == 0;
            match seed >> 28 {
                0..=3 => model.push((parking.add(address, n).unwrap(), n)),
                4..=9 if grows => model.push((parking.add(address, n).unwrap(), n)),
                4..=12 => {
                    let at = model.iter().position(|(place, _)| place.0 == address);
                    assert_eq!(parking.next(address), at.map(|at| model.remove(at).1));
                }
                _ if !model.is_empty() => {
                    let (place, one) = model.remove(seed as usize % model.len());
                    assert!(parking.has(place));
                    assert_eq!(parking.remove(place), Some(one));
                    assert!(!parking.has(place));
                    assert_eq!(parking.remove(place), None);
                }
                _ => {}
            }
            most = most.max(parking.others.len());
        }
        assert_eq!(parking.few.len() + parking.others.len(), model.len());
        assert!(most > 500, "{most}");
    }
}
