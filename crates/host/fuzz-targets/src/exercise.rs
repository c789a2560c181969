//! A bounded run: the corpus, then mutations of it, the same ones each time.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::Target;

/// Longest input that mutations grow to.
const MAX_BYTES: usize = 64 << 10;
/// An input that takes longer than this is a failure too: no walk may be unbounded.
const SLOW: Duration = Duration::from_secs(10);

/// What a run did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// Inputs that were run.
    pub inputs: u64,
    /// A digest of all of them, in order: two runs that did the same have the same.
    pub digest: u64,
}

/// An input on which a target panicked or took too long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The target.
    pub target: &'static str,
    /// The input.
    pub input: Vec<u8>,
    /// What the panic said.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.input.len();
        write!(f, "{}, on {bytes} bytes: {}", self.target, self.message)
    }
}

/// Runs a target on its corpus, and then on `mutations` inputs made of it, the same ones for the same `seed`.
///
/// # Errors
/// The first input on which the target panics or takes longer than ten seconds.
pub fn exercise(
    target: &Target,
    corpus: &[Vec<u8>],
    mutations: u64,
    seed: u64,
) -> Result<Report, Failure> {
    let mut report = Report {
        inputs: 0,
        digest: 0xcbf2_9ce4_8422_2325,
    };
    for input in corpus {
        report.run(target, input)?;
    }
    let mut random = Random(seed | 1);
    for _ in 0..mutations {
        let input = mutate(corpus, &mut random);
        report.run(target, &input)?;
    }
    Ok(report)
}

impl Report {
    fn run(&mut self, target: &Target, input: &[u8]) -> Result<(), Failure> {
        self.inputs += 1;
        for byte in input.iter().chain(&(input.len() as u64).to_le_bytes()) {
            // FNV-1a.
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let failure = |message| Failure {
            target: target.name,
            input: input.to_vec(),
            message,
        };
        let start = Instant::now();
        catch_unwind(AssertUnwindSafe(|| (target.run)(input)))
            .map(drop)
            .map_err(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).into()));
                failure(text.unwrap_or_default())
            })?;
        match start.elapsed() {
            elapsed if elapsed > SLOW => Err(failure(format!("took {elapsed:?}"))),
            _ => Ok(()),
        }
    }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// 0 to `end - 1`; 0 for an `end` of 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16).checked_rem(end as u64).unwrap_or(0) as usize
    }
}

/// Values at the edges of what fields hold.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    7,
    8,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    u64::MAX >> 1,
    u64::MAX,
];

/// One input of the corpus with one to six changes; without a corpus, random bytes.
fn mutate(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let pick = |random: &mut Random| {
        let at = random.below(corpus.len());
        corpus.get(at).map_or(&[][..], Vec::as_slice)
    };
    let mut input = pick(random).to_vec();
    if input.is_empty() {
        input = (0..random.below(64)).map(|_| random.next() as u8).collect();
    }
    for _ in 0..=random.below(6) {
        let at = random.below(input.len());
        match random.below(9) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
            2 | 3 => {
                let edge = EDGES.get(random.below(EDGES.len())).copied().unwrap_or(0);
                let width = 1 << random.below(4);
                let bytes = edge.to_le_bytes();
                for (place, byte) in input.iter_mut().skip(at).zip(bytes).take(width) {
                    *place = byte;
                }
            }
            4 => input.truncate(at),
            5 => {
                let end = at + random.below(32).min(input.len().saturating_sub(at));
                input.drain(at..end);
            }
            6 => {
                let bytes: Vec<u8> = (0..random.below(16)).map(|_| random.next() as u8).collect();
                input.splice(at..at, bytes);
            }
            7 => {
                // A piece of its own once more, somewhere else.
                let end = at + random.below(64).min(input.len().saturating_sub(at));
                let piece = input.get(at..end).unwrap_or_default().to_vec();
                let to = random.below(input.len());
                input.splice(to..to, piece);
            }
            _ => {
                let other = pick(random);
                let from = random.below(other.len());
                let bytes = random.below(64);
                let piece = other.iter().skip(from).take(bytes);
                for (place, byte) in input.iter_mut().skip(at).zip(piece) {
                    *place = *byte;
                }
            }
        }
        input.truncate(MAX_BYTES);
    }
    input
}
