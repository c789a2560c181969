//! Lists that lie in small pieces, so that no length of them needs memory in one run.
//!
//! Owns [`Pieces`], a list that grows at its end, [`Several`], the same that needs no memory for one entry, and [`Sorted`],
//! one that is ordered by a key and loses entries anywhere; and [`Tree`], a tree of the library that has no memory for one.
//!
//! Invariant: never allocates more than two pages in one run for the lengths that the kernel's limits allow, never grows
//! where that cannot be refused ([`Tree`] alone does), and never allocates to take an entry out.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod list;
mod several;
mod sorted;
mod tree;

pub use list::Pieces;
pub use several::Several;
pub use sorted::Sorted;
pub use tree::Tree;

/// There is no memory for what was to be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom;

/// Bytes that a piece may have.
const PIECE_BYTES: usize = 8192;
/// Entries that a piece has at first.
const FIRST: usize = 4;

/// Makes room in a piece for one more, and not for more than `most` in all.
fn widen<T>(piece: &mut alloc::vec::Vec<T>, most: usize) -> Result<(), NoRoom> {
    if piece.len() < piece.capacity() {
        return Ok(());
    }
    let more = piece.len().max(FIRST).min(most.saturating_sub(piece.len()));
    reserve(piece, more.max(1))
}

fn reserve<T>(piece: &mut alloc::vec::Vec<T>, more: usize) -> Result<(), NoRoom> {
    piece.try_reserve_exact(more).map_err(|_| NoRoom)
}
