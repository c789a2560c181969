//! Who called whom, by frame pointers.
//!
//! Invariant: never follows a pointer anywhere but up, and never reads but through what is handed in: what lies on a stack is
//! whatever a broken program left there.

use core::fmt::Write;

/// The callers told of at most: what a line of the log holds.
const CALLERS: usize = 20;

/// Adds ` at ADDRESS` for each caller, the innermost first. `frame` is the frame pointer of the innermost function; `word` reads
/// an aligned word of the stack, if it can be read.
pub fn add(to: &mut impl Write, frame: u64, word: impl Fn(u64) -> Option<u64>) {
    let mut at = frame;
    for _ in 0..CALLERS {
        // A frame begins with the caller's frame pointer; the return address is right above it.
        let back = at.checked_add(8).and_then(&word);
        let (Some(next), Some(back)) = (word(at), back) else {
            return;
        };
        if back == 0 || write!(to, " at {back:#x}").is_err() || next <= at {
            return;
        }
        at = next;
    }
}
