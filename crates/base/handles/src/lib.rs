//! Generation-checked handle tables that never reuse a name.
//!
//! Owns the 64-bit [`Handle`] (24-bit index, 40-bit generation) and the [`HandleTable`] that gives handles out,
//! checks them in constant time, and reserves slots ahead of a capability transfer.
//!
//! Invariant: a handle that was removed never becomes valid again. A slot's generation only rises, generation 0 is
//! never live, and a slot whose last generation was used retires; nothing ever wraps.
//! Invariant: a lookup never allocates, scans or panics, whatever 64 bits it is given.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod handle;
mod slots;
mod table;

pub use handle::{GENERATION_BITS, Handle, INDEX_BITS, MAX_SLOTS};
pub use table::{HandleError, HandleTable, Reservation};
