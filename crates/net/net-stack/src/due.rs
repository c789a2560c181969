//! Which place is due next: a binary heap in which each place stands at most once.

use alloc::vec::Vec;

use units::Nanoseconds;

/// Not in the heap.
const NOWHERE: u32 = u32::MAX;

/// Places by when they are due.
#[derive(Debug)]
pub(crate) struct Due {
    heap: Vec<u32>,
    /// Of each place: when it is due, and where it stands in the heap.
    places: Vec<(Nanoseconds, u32)>,
}

impl Due {
    /// For so many places, none of which is due.
    pub fn new(places: u32) -> Self {
        Self {
            heap: Vec::with_capacity(places as usize),
            places: (0..places).map(|_| (Nanoseconds::NEVER, NOWHERE)).collect(),
        }
    }

    /// The place that is due first, and when.
    pub fn first(&self) -> Option<(u32, Nanoseconds)> {
        let place = *self.heap.first()?;
        Some((place, self.when(place)))
    }

    /// Says when a place is due, whatever was said before; never takes it out.
    pub fn set(&mut self, place: u32, when: Nanoseconds) {
        let Some((due, at)) = self.places.get_mut(place as usize) else {
            return;
        };
        *due = when;
        let at = match (*at, when.is_never()) {
            (NOWHERE, true) => return,
            (NOWHERE, false) => {
                let at = self.heap.len() as u32;
                self.heap.push(place);
                self.stand(at, place);
                at
            }
            (at, true) => return self.take_out(at),
            (at, false) => at,
        };
        self.settle(at);
    }

    fn take_out(&mut self, at: u32) {
        let Some(place) = self.heap.get(at as usize).copied() else {
            return;
        };
        let last = self.heap.pop();
        if let Some(entry) = self.places.get_mut(place as usize) {
            entry.1 = NOWHERE;
        }
        if let Some(last) = last.filter(|last| *last != place) {
            self.stand(at, last);
            self.settle(at);
        }
    }

    /// Moves what stands at `at` to where it belongs.
    fn settle(&mut self, at: u32) {
        let mut at = at;
        while at > 0 && self.at(at) < self.at((at - 1) / 2) {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        loop {
            let left = 2 * at + 1;
            let right = left + 1;
            let least = if self.at(right) < self.at(left) {
                right
            } else {
                left
            };
            if self.at(least) >= self.at(at) {
                return;
            }
            self.swap(at, least);
            at = least;
        }
    }

    fn when(&self, place: u32) -> Nanoseconds {
        self.places
            .get(place as usize)
            .map_or(Nanoseconds::NEVER, |entry| entry.0)
    }

    /// When what stands there is due; never beyond the end.
    fn at(&self, at: u32) -> Nanoseconds {
        self.heap
            .get(at as usize)
            .map_or(Nanoseconds::NEVER, |place| self.when(*place))
    }

    fn swap(&mut self, a: u32, b: u32) {
        let pair = (
            self.heap.get(a as usize).copied(),
            self.heap.get(b as usize).copied(),
        );
        if let (Some(at_a), Some(at_b)) = pair {
            self.stand(a, at_b);
            self.stand(b, at_a);
        }
    }

    fn stand(&mut self, at: u32, place: u32) {
        if let Some(entry) = self.heap.get_mut(at as usize) {
            *entry = place;
        }
        if let Some(entry) = self.places.get_mut(place as usize) {
            entry.1 = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Due;
    use proptest::prelude::*;
    use units::Nanoseconds;

    proptest! {
        /// Against a plain list that is searched.
        #[test]
        fn the_first_is_always_the_least(steps in prop::collection::vec((0u32..9, 0u64..20), 0..200)) {
            let mut due = Due::new(8);
            let mut plain = [Nanoseconds::NEVER; 8];
            for (place, when) in steps {
                let when = if when == 0 { Nanoseconds::NEVER } else { Nanoseconds::new(when) };
                due.set(place, when);
                if let Some(entry) = plain.get_mut(place as usize) {
                    *entry = when;
                }
                let least = plain.iter().min().copied().filter(|when| !when.is_never());
                prop_assert_eq!(due.first().map(|(_, when)| when), least);
                if let Some((place, when)) = due.first() {
                    prop_assert_eq!(plain[place as usize], when);
                }
            }
        }
    }
}
