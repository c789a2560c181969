//! A queue in memory that two processes share: one end produces, the other consumes, and neither believes the other.
//!
//! The memory holds, in words of 8 bytes: a line of the consumer, a line of the producer, and the entries.
//!
//! ```text
//! word 0   taken     how many entries the consumer is done with        written by the consumer
//! word 1   wake_at   the count of `made` at which it wants a kick      written by the consumer
//! word 8   made      how many entries the producer has made            written by the producer
//! word 9   room_at   the count of `taken` at which it wants a kick     written by the producer
//! word 16  entries   `capacity` times `N` words; entry i is at i modulo capacity
//! ```
//!
//! Counts run from 0 and never turn back. Each end keeps its own count to itself and only *states* it in the memory, so
//! the other cannot move it; the other's count is read once, compared with what it can be, and kept. An entry is read once,
//! word by word, into the reader's own memory.
//!
//! A kick is needed when a count reaches what the other end asked for, so a batch costs one, and an end that is awake none.
//! Who is about to sleep asks first and looks a second time: between the two looks the other end either sees the question,
//! or is seen.
//!
//! Invariant: never reads or writes outside its [`Layout`], never takes more entries for made than there are places, and
//! never panics, whatever the other end writes and whenever it does.
#![no_std]
#![forbid(unsafe_code)]

mod consumer;
mod layout;
mod producer;

pub use consumer::Consumer;
pub use layout::{Layout, Memory, Unfit};
pub use producer::Producer;

/// The other end states a count that it cannot have: it turned back, or went further than there are places or entries. Nothing
/// was taken over; the queue is of no more use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken;

/// There is no place for another entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// The other end has not taken enough yet.
    Full,
    /// The other end is not to be believed.
    Broken,
}

impl From<Broken> for Full {
    fn from(_: Broken) -> Self {
        Self::Broken
    }
}

/// Whether the other end asked to be woken for what was just stated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "who sleeps stays asleep"]
pub enum Kick {
    /// It asked: ring its bell.
    Needed,
    /// It is awake, or waits for more than this.
    Spared,
}

/// What to do after the second look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// What was waited for is there.
    Go,
    /// It is not, and the other end will kick when it is.
    Sleep,
}

/// Whether a count that went from `before` to `now` has reached `asked` on the way (VIRTIO 1.2, section 2.7.10, decides the
/// same way).
fn has_reached<const BITS: u32>(asked: u64, before: u64, now: u64) -> Kick {
    if less::<BITS>(now, asked) < less::<BITS>(now, before) {
        Kick::Needed
    } else {
        Kick::Spared
    }
}

/// What a count of `BITS` bits is: all of 64, but for proofs that want to see every count there is.
const fn count<const BITS: u32>(value: u64) -> u64 {
    const { assert!(BITS >= 1 && BITS <= 64) };
    value & (u64::MAX >> (64 - BITS))
}

/// The count after this one.
const fn after<const BITS: u32>(value: u64) -> u64 {
    count::<BITS>(value.wrapping_add(1))
}

/// How far one count is from an earlier one.
const fn less<const BITS: u32>(later: u64, earlier: u64) -> u64 {
    count::<BITS>(later.wrapping_sub(earlier))
}
