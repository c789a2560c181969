//! The state machine of one call, in which exactly one ending wins.
//!
//! Owns the one atomic word that says how far a call has come, and for which use of the call object. Replying,
//! cancelling, timing out, a dying server, a dropped reply handle and a revocation may all race on different CPUs; the
//! compare-and-exchange here picks the single winner, and every loser learns what it lost to.
//!
//! Invariant: a call ends exactly once per generation, and an operation that names an older generation never changes
//! a younger call. Generations only rise; a word at its last generation retires and never wraps.
//!
//! Beside it stands where a thread finds what came of the one operation that it waits for, which its single ending writes,
//! and what a call lends the thread that serves it: its caller's priority, until the call ends.
//!
//! Invariant: this crate never touches the message. The winner of an ending alone writes the result and the
//! completion, between [`CallWord::end`] and [`CallWord::consume`].
#![no_std]
#![forbid(unsafe_code)]

mod loans;
mod mailbox;
mod state;
mod word;

pub use loans::{Loans, PRIORITIES};
pub use mailbox::{Mailbox, RESULT_WORDS};
pub use state::{CallState, Ending};
pub use word::{CallWord, Consumed, FIRST_GENERATION, LAST_GENERATION, Lost};
