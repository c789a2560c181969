//! A body in chunks: RFC 9112 section 7.1, without extensions and trailers.

use crate::Refusal;

/// Where in the body the next octet stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Size { value: u64, digits: u8 },
    SizeEnd { value: u64 },
    Data { left: u64 },
    DataEnd { has_cr: bool },
    LastEnd { has_cr: bool },
    Done,
}

/// A reader of chunks.
#[derive(Clone, Debug)]
pub struct Chunks {
    state: State,
    left: u64,
}

/// What the next octets are: how many were looked at, and which of them are the body's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece<'a> {
    /// What is the body's.
    pub data: &'a [u8],
    /// How many octets are done with.
    pub used: usize,
    /// Whether the body is whole.
    pub is_last: bool,
}

impl Chunks {
    /// For a body of at most `limit` octets.
    #[must_use]
    pub const fn new(limit: u64) -> Self {
        Self {
            state: State::Size {
                value: 0,
                digits: 0,
            },
            left: limit,
        }
    }

    /// Takes octets up to the end of a piece of the body, of the body, or of what there is.
    ///
    /// # Errors
    /// Why the connection is to be closed after an answer with that status.
    pub fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<Piece<'a>, Refusal> {
        let mut used = 0;
        while let Some(byte) = bytes.get(used).filter(|_| self.state != State::Done) {
            if let State::Data { left } = self.state {
                let rest = bytes.get(used..).unwrap_or_default();
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let data = rest.get(..count).unwrap_or_default();
                self.state = match left - count as u64 {
                    0 => State::DataEnd { has_cr: false },
                    left => State::Data { left },
                };
                return Ok(Piece {
                    data,
                    used: used + count,
                    is_last: false,
                });
            }
            self.state = self.next(*byte)?;
            used += 1;
        }
        Ok(Piece {
            data: &[],
            used,
            is_last: self.state == State::Done,
        })
    }

    fn next(&mut self, byte: u8) -> Result<State, Refusal> {
        let digit = char::from(byte).to_digit(16);
        match (self.state, byte) {
            (State::Size { digits: 1.., value }, b'\r') => Ok(State::SizeEnd { value }),
            // Eight digits are more than any limit.
            (
                State::Size {
                    value,
                    digits: 0..8,
                },
                _,
            ) => {
                let digits = match self.state {
                    State::Size { digits, .. } => digits + 1,
                    _ => 1,
                };
                let value = value * 16 + u64::from(digit.ok_or(Refusal::Chunk)?);
                Ok(State::Size { value, digits })
            }
            (State::SizeEnd { value: 0 }, b'\n') => Ok(State::LastEnd { has_cr: false }),
            (State::SizeEnd { value }, b'\n') => {
                self.left = self.left.checked_sub(value).ok_or(Refusal::BodyLong)?;
                Ok(State::Data { left: value })
            }
            (State::DataEnd { has_cr: false }, b'\r') => Ok(State::DataEnd { has_cr: true }),
            (State::DataEnd { has_cr: true }, b'\n') => Ok(State::Size {
                value: 0,
                digits: 0,
            }),
            (State::LastEnd { has_cr: false }, b'\r') => Ok(State::LastEnd { has_cr: true }),
            (State::LastEnd { has_cr: true }, b'\n') => Ok(State::Done),
            _ => Err(Refusal::Chunk),
        }
    }
}
