//! What one boot of the fuzzer is to do, as it is kept in a file.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The numbers that a run follows from. The names are those of the guest program's arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Where all chance comes from.
    pub seed: u64,
    /// The first round.
    #[serde(default)]
    pub from: u64,
    /// How many rounds.
    pub rounds: u64,
    /// Attacking processes of a round.
    #[serde(default = "five")]
    pub workers: u64,
    /// Those that are left out, one bit each.
    #[serde(default)]
    pub without: u64,
    /// Threads of each.
    #[serde(default = "three")]
    pub threads: u64,
    /// Steps of each thread.
    #[serde(default = "many")]
    pub steps: u64,
    /// Interfaces that are left alone, one bit each.
    #[serde(default)]
    pub leave: u64,
    /// Processors.
    #[serde(default = "two")]
    pub cpus: u64,
    /// One instruction after the other, so that the seed repeats exactly.
    #[serde(default)]
    pub icount: bool,
    /// What it found, for a reader.
    #[serde(default)]
    pub found: String,
}

fn two() -> u64 {
    2
}

fn three() -> u64 {
    3
}

fn five() -> u64 {
    5
}

fn many() -> u64 {
    200
}

impl Case {
    /// The usual size, from a seed.
    pub fn new(seed: u64, rounds: u64) -> Self {
        Self {
            seed,
            from: 0,
            rounds,
            workers: five(),
            without: 0,
            threads: three(),
            steps: many(),
            leave: 0,
            cpus: two(),
            icount: false,
            found: String::new(),
        }
    }

    /// Reads one that was kept.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is no kept case", path.display()))
    }

    /// The guest program's arguments, as a list in a manifest.
    pub fn arguments(&self) -> String {
        let words = [
            ("seed", self.seed),
            ("from", self.from),
            ("rounds", self.rounds),
            ("workers", self.workers),
            ("without", self.without),
            ("threads", self.threads),
            ("steps", self.steps),
            ("leave", self.leave),
            ("cpus", self.cpus),
        ];
        let words: Vec<String> = words
            .iter()
            .map(|(name, value)| format!("\"{name}={value}\""))
            .collect();
        format!("[\"conduct\", {}]", words.join(", "))
    }

    /// Smaller ones, the greatest steps first.
    pub fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut case = self.clone();
            change(&mut case);
            if case != *self {
                all.push(case);
            }
        };
        add(&|case| case.steps = (case.steps / 2).max(1));
        for worker in 0..self.workers {
            add(&|case| case.without |= 1 << worker);
        }
        for piece in [32, 16, 8, 4, 2, 1] {
            for at in (0..64).step_by(piece) {
                add(&|case| case.leave |= (u64::MAX >> (64 - piece)) << at);
            }
        }
        add(&|case| case.threads = (case.threads - 1).max(1));
        add(&|case| case.steps = (case.steps * 3 / 4).max(1));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::Case;

    #[test]
    fn a_case_survives_its_file() {
        let mut case = Case {
            icount: true,
            ..Case::new(7, 3)
        };
        case.leave = 0x1_0000;
        let text = toml::to_string(&case).unwrap();
        assert_eq!(toml::from_str::<Case>(&text).unwrap(), case);
        assert!(toml::from_str::<Case>("seed = 1\nrounds = 1\nsteeps = 3").is_err());
        let short = toml::from_str::<Case>("seed = 7\nrounds = 3\nicount = true").unwrap();
        let long = Case {
            icount: true,
            ..Case::new(7, 3)
        };
        assert_eq!(short, long);
    }

    #[test]
    fn every_smaller_case_is_another_and_does_less() {
        let case = Case::new(1, 1);
        for smaller in case.smaller() {
            assert_ne!(smaller, case);
            assert!(smaller.steps <= case.steps && smaller.threads <= case.threads);
            assert_eq!(smaller.without & case.without, case.without);
            assert_eq!(smaller.leave & case.leave, case.leave);
        }
        let mut least = case;
        least.steps = 1;
        least.threads = 1;
        least.leave = u64::MAX;
        least.without = 0b1_1111;
        assert!(least.smaller().is_empty());
    }
}
