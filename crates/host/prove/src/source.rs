//! Where a property's numbers come from: all there are, some at random, or a prover's symbols.

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, TestRunner};

/// Gives a property its numbers.
pub trait Source {
    /// Any number.
    fn any(&mut self) -> u64;

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: u64) -> u64;

    /// Any 32 bits.
    fn any32(&mut self) -> u32 {
        self.any() as u32
    }
}

/// Every choice of every number, one after the other.
struct Every {
    bits: u32,
    /// What was chosen, and out of how many.
    chosen: Vec<(u64, u64)>,
    at: usize,
}

impl Source for Every {
    fn any(&mut self) -> u64 {
        let half = 1u64 << (self.bits - 1);
        let low = self.below(2 * half);
        // The upper half stands for the largest numbers there are.
        if low < half {
            low
        } else {
            (u64::MAX - (2 * half - 1)) + low
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        if self.at == self.chosen.len() {
            self.chosen.push((0, end));
        }
        let (value, of) = self.chosen[self.at];
        assert_eq!(
            of, end,
            "a property asks for the same numbers after the same answers"
        );
        self.at += 1;
        value
    }
}

impl Every {
    /// Goes on to the next choices. `false`: there were all.
    fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((value, end)) = self.chosen.pop() {
            if value + 1 < end {
                self.chosen.push((value + 1, end));
                return true;
            }
        }
        false
    }
}

/// Runs a property for every choice of its numbers, where *any* number is one of the 2^`bits` smallest and largest, and says how
/// many there were.
pub fn every_choice(subject: &str, bits: u32, property: impl Fn(&mut dyn Source)) {
    let mut source = Every {
        bits,
        chosen: Vec::new(),
        at: 0,
    };
    let mut cases = 0u64;
    loop {
        property(&mut source);
        cases += 1;
        if !source.next() {
            break;
        }
    }
    println!("@prove.choices subject={subject} widths=\"numbers of {bits} bits\" cases={cases}");
}

struct Random<'a>(std::slice::Iter<'a, u64>);

impl Source for Random<'_> {
    fn any(&mut self) -> u64 {
        self.0.next().copied().unwrap_or(0)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.any() % end
    }
}

/// Runs a property for `cases` random choices of its numbers.
///
/// # Panics
/// Where it does not hold.
pub fn random_choices(subject: &str, cases: u32, property: impl Fn(&mut dyn Source)) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let ran = TestRunner::new(config).run(&vec(any::<u64>(), 24), |numbers| {
        property(&mut Random(numbers.iter()));
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{subject}: {error}");
    }
    println!("@prove.random subject={subject} widths=\"64 bits\" cases={cases}");
}
