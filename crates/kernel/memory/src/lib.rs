//! Memory objects and address spaces.
//!
//! Owns which pages an object has, and what carries out what `mapping-ledger` decides of them: page tables and
//! shootdowns. Whoever makes an object or a mapping pays for what it takes. Pages are zeroed when an object is made and
//! return to `frames` when its last handle and its last mapping are gone, or the account has ended that pays for them. Invariant: it never maps memory that no object
//! holds, and never lets a page go while a mapping of it may be cached on any CPU.
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may fail"
    )
)]
#![no_std]
#![allow(unsafe_code)]

extern crate alloc;

mod ledger;
mod object;
mod pages;
mod shared_page;
mod vm;

pub use ledger::{Held, Kernel};
pub use mapping_ledger::Unmapped;
pub use object::{Keeper, MemoryObject, Writes};
pub use pages::PageList;
pub use shared_page::SharedPage;
pub use vm::{Protection, Vm};

/// Pages that are made or freed from one look to the next: each may have to be wiped, which is some 700 instructions.
const STEP_PAGES: u64 = 8;

/// Between two steps of long work. No lock is held, and the place in the work is kept in what is worked on. What was begun
/// is ended even where the caller's process ends: a change that is half done would be carried on by somebody else.
fn between_steps() {
    let _ = sched::point();
}
