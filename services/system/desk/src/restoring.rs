//! Which of the capsules that came back is restored: the newest that passes, and where the machine was away for more than one, each
//! between, the oldest first.

use sdk::alloc::vec::Vec;
use sdk::saving::capsules::Gate;
use sdk::saving::save_store::End;

/// Where a capsule says its number (`docs/save-format.md`).
const NUMBER_AT: usize = 16;

/// The number that a capsule says it has. Nobody vouches for it before the gates.
pub fn number(capsule: &[u8]) -> u64 {
    let bytes = capsule.get(NUMBER_AT..NUMBER_AT + 8);
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

/// What came of one capsule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tried {
    /// It is restored.
    Passed,
    /// A gate refuses it, and what there is to say of that.
    Gate(Gate, u64),
    /// The store refuses it.
    Store(End, u64),
}

/// What came of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Came {
    /// The save of that number is restored.
    Restored(u64),
    /// None passes; why the newest did not.
    Refused(Gate, u64),
    /// The store refuses.
    Store(End, u64),
    /// Nothing came, and the capsule of that number was seen here.
    Missing(u64),
    /// Nothing came, and none was ever made here.
    Nothing,
}

/// Restores the newest that passes, with `seen` for the newest that was made or restored here.
///
/// # Errors
/// Those of `restore`.
pub fn newest<E>(
    mut capsules: Vec<Vec<u8>>,
    seen: u64,
    mut restore: impl FnMut(&[u8]) -> Result<Tried, E>,
) -> Result<Came, E> {
    capsules.sort_by_key(|capsule| number(capsule));
    capsules.dedup();
    let mut why = None;
    for capsule in capsules.iter().rev() {
        match restore(capsule)? {
            Tried::Passed => return Ok(Came::Restored(number(capsule))),
            Tried::Store(end, detail) => return Ok(Came::Store(end, detail)),
            Tried::Gate(gate, detail) => {
                if gate == Gate::Gap
                    && let Some(came) = climb(&capsules, detail, &mut restore)?
                {
                    return Ok(came);
                }
                why.get_or_insert((gate, detail));
            }
        }
    }
    Ok(match (why, seen) {
        (Some((gate, detail)), _) => Came::Refused(gate, detail),
        (None, 0) => Came::Nothing,
        (None, seen) => Came::Missing(seen),
    })
}

/// From the one behind `seen` on, as far as each follows the one before; `None` where not even the first does.
fn climb<E>(
    capsules: &[Vec<u8>],
    seen: u64,
    restore: &mut impl FnMut(&[u8]) -> Result<Tried, E>,
) -> Result<Option<Came>, E> {
    let (mut at, mut came) = (seen, None);
    for capsule in capsules.iter() {
        if number(capsule) != at.saturating_add(1) {
            continue;
        }
        match restore(capsule)? {
            Tried::Passed => {
                at = number(capsule);
                came = Some(Came::Restored(at));
            }
            Tried::Store(end, detail) => return Ok(Some(Came::Store(end, detail))),
            // Another of that number may be the right one.
            Tried::Gate(..) => {}
        }
    }
    Ok(came)
}

#[cfg(test)]
mod tests {
    use super::{Came, Tried, newest, number};
    use core::convert::Infallible;
    use sdk::alloc::vec::Vec;
    use sdk::saving::capsules::Gate;
    use sdk::saving::save_store::End;

    /// A capsule of that number. The first byte says what comes of it: 0 fails at a gate.
    fn capsule(number: u64, fate: u8) -> Vec<u8> {
        let mut bytes = [fate; 40];
        bytes[16..24].copy_from_slice(&number.to_le_bytes());
        bytes.to_vec()
    }

    /// What a chain with this newest would say.
    fn run(seen: u64, offered: &[(u64, bool)]) -> (Came, Vec<u64>) {
        let (mut at, mut restored) = (seen, Vec::new());
        let all = offered
            .iter()
            .map(|(number, is_good)| capsule(*number, u8::from(*is_good)));
        let came = newest::<Infallible>(all.collect(), seen, |capsule| {
            let found = number(capsule);
            Ok(match capsule[0] {
                0 => Tried::Gate(Gate::Tampered, 0),
                2 => Tried::Store(End::Unavailable, 9),
                _ if found < at => Tried::Gate(Gate::Stale, at),
                _ if at > 0 && found > at + 1 => Tried::Gate(Gate::Gap, at),
                _ => {
                    at = found;
                    restored.push(found);
                    Tried::Passed
                }
            })
        });
        let Ok(came) = came;
        (came, restored)
    }

    #[test]
    fn the_newest_that_passes_is_restored_once() {
        // A machine that has seen nothing takes the newest and none before it.
        assert_eq!(
            run(0, &[(1, true), (3, true), (2, true)]),
            (Came::Restored(3), [3].into())
        );
        assert_eq!(
            run(2, &[(2, true), (3, true), (3, true)]),
            (Came::Restored(3), [3].into())
        );
        assert_eq!(
            run(2, &[(1, true), (2, true)]),
            (Came::Restored(2), [2].into())
        );
    }

    #[test]
    fn a_machine_that_was_away_follows_step_by_step() {
        let four = [(6, true), (4, true), (3, true), (5, true)];
        assert_eq!(run(2, &four), (Came::Restored(6), [3, 4, 5, 6].into()));
        // As far as it goes, past another of that number.
        let broken = [(3, false), (3, true), (4, false), (5, true)];
        assert_eq!(run(2, &broken), (Came::Restored(3), [3].into()));
        assert_eq!(
            run(2, &[(5, true)]),
            (Came::Refused(Gate::Gap, 2), [].into())
        );
    }

    #[test]
    fn why_not_is_what_the_newest_was_refused_for() {
        assert_eq!(
            run(3, &[(1, true), (2, true)]).0,
            Came::Refused(Gate::Stale, 3)
        );
        assert_eq!(
            run(3, &[(4, false), (2, true)]).0,
            Came::Refused(Gate::Tampered, 0)
        );
        assert_eq!(run(3, &[]).0, Came::Missing(3));
        assert_eq!(run(0, &[]).0, Came::Nothing);
        let full = capsule(4, 2);
        let came = newest::<Infallible>([full].into(), 3, |_| Ok(Tried::Store(End::OverQuota, 0)));
        assert_eq!(came, Ok(Came::Store(End::OverQuota, 0)));
    }
}
