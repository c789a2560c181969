//! Memory objects and the regions of an address space.
//!
//! Owns which pages an object has, where objects are mapped, and whose quota pays. Pages are zeroed when an object is
//! made and return to `frames` when its last handle and its last mapping are gone. Invariant: it never maps memory
//! that no object holds, and never lets a page go while a mapping of it may be cached on any CPU.
#![no_std]
#![allow(unsafe_code)]

extern crate alloc;

mod object;
mod quota;
mod vm;

pub use object::MemoryObject;
pub use quota::{Charge, Quota};
pub use vm::{Protection, Vm};
