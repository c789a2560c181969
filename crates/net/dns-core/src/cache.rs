//! Answers that are still good.

use arrayvec::ArrayVec;
use units::Nanoseconds;

use crate::{Answer, Kind, Spelling};

/// Answers that are kept.
const PLACES: usize = 64;

/// What is kept of an answer.
#[derive(Clone, Debug)]
struct Entry {
    name: Spelling,
    kind: Kind,
    answer: Answer,
    until: Nanoseconds,
}

/// The answers that are kept, each until its end or until it has to give way to a newer one: the one that ends first does.
#[derive(Debug, Default)]
pub struct Cache(ArrayVec<Entry, PLACES>);

impl Cache {
    /// What is known of a name, in lower case.
    #[must_use]
    pub fn get(&self, name: &Spelling, kind: Kind, now: Nanoseconds) -> Option<&Answer> {
        let is_it = |entry: &&Entry| {
            entry.kind == kind && entry.name == *name && !entry.until.has_passed(now)
        };
        self.0.iter().find(is_it).map(|entry| &entry.answer)
    }

    /// Keeps an answer in place of what was known.
    pub fn put(&mut self, name: &Spelling, kind: Kind, answer: Answer, now: Nanoseconds) {
        self.0.retain(|entry| {
            !entry.until.has_passed(now) && (entry.kind != kind || entry.name != *name)
        });
        if self.0.is_full() {
            let first = self
                .0
                .iter()
                .enumerate()
                .min_by_key(|(_, entry)| entry.until);
            if let Some((at, _)) = first {
                self.0.swap_remove(at);
            }
        }
        let until = now.saturating_add(Nanoseconds::from_secs(answer.seconds.into()));
        // A place was made.
        let _ = self.0.try_push(Entry {
            name: name.clone(),
            kind,
            answer,
            until,
        });
    }

    /// Forgets everything; how many answers that were.
    pub fn flush(&mut self) -> usize {
        let count = self.0.len();
        self.0.clear();
        count
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{Cache, PLACES};
    use crate::{Answer, Kind, read};
    use arrayvec::ArrayVec;
    use std::format;
    use units::Nanoseconds;

    fn answer(seconds: u32) -> Answer {
        Answer {
            addresses: ArrayVec::new(),
            exists: true,
            seconds,
        }
    }

    #[test]
    fn answers_end_and_the_first_to_end_gives_way() {
        let mut cache = Cache::default();
        let at = Nanoseconds::from_secs;
        let name = |number| read(&format!("n{number}.org")).unwrap();
        for number in 0..PLACES as u32 {
            cache.put(&name(number), Kind::A, answer(100 + number), at(0));
        }
        assert!(cache.get(&name(0), Kind::A, at(99)).is_some());
        assert!(cache.get(&name(0), Kind::Aaaa, at(99)).is_none());
        assert!(cache.get(&name(0), Kind::A, at(100)).is_none());
        cache.put(&name(1000), Kind::A, answer(50), at(0));
        assert!(cache.get(&name(0), Kind::A, at(1)).is_none());
        assert!(cache.get(&name(1), Kind::A, at(1)).is_some());
        cache.put(&name(1), Kind::A, answer(5), at(1));
        assert!(cache.get(&name(1), Kind::A, at(6)).is_none());
        assert!(cache.flush() > 0 && cache.get(&name(2), Kind::A, at(1)).is_none());
    }
}
