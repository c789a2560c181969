//! What a program that saves has to remember of each call.
//!
//! Owns the retry key of a call and how it is made until it is answered. Invariant: it never makes a call again with another key.
#![no_std]
#![forbid(unsafe_code)]

use sdk::saving::save_store::End;
use sdk::{Refusal, Timer};

/// How often a call is made before it is given up.
const TRIES: u32 = 120;
const MOST_MS: u64 = 1000;
const MS_NS: u64 = 1_000_000;

/// A key for the call of that number. A program that is not a test draws it: it must differ from those of every other program.
#[must_use]
pub const fn retry_key(of: u8, number: u64) -> [u8; 16] {
    let mut key = [of; 16];
    let [a, b, c, d, ..] = number.to_le_bytes();
    [key[12], key[13], key[14], key[15]] = [a, b, c, d];
    key
}

/// What came of a call in the end, and how often it had to be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// How it ended.
    pub end: End,
    /// The version or length, or what stands with the end.
    pub number: u64,
    /// How often it was made again.
    pub again: u32,
}

/// Makes a call until it is answered. `call` gives its end and what stands with that.
///
/// # Errors
/// The service's.
pub fn until(
    timer: &Timer,
    mut call: impl FnMut() -> Result<(End, u64), Refusal>,
) -> Result<Answered, Refusal> {
    let mut again = 0;
    loop {
        let (end, number) = call()?;
        if end != End::Unavailable || again == TRIES {
            return Ok(Answered { end, number, again });
        }
        again += 1;
        sdk::sleep_for(timer, number.clamp(1, MOST_MS) * MS_NS)?;
    }
}

/// The name of an end.
#[must_use]
pub const fn name(end: End) -> &'static str {
    match end {
        End::Done => "done",
        End::Conflict => "conflict",
        End::TooLarge => "tooLarge",
        End::WrongProfile => "wrongProfile",
        End::WrongSchema => "wrongSchema",
        End::LedgerRewrite => "ledgerRewrite",
        End::Rollback => "rollback",
        End::OverQuota => "overQuota",
        End::Unavailable => "unavailable",
        End::Fenced => "fenced",
        End::Damaged => "damaged",
    }
}
