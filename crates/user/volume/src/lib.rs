//! What services of files share: Volume, Directory and File, Store and Namespace on one endpoint, over any [`Tree`].
//!
//! Owns: who has what open ([`Sessions`]), what a path may say, how much one answer holds, windows of clients, and which
//! problem is said in the log. A file system's service is a [`Tree`] and a `main`. Invariant: it never parses memory that a
//! client can write, and no client can make it keep more than its constants say.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod change;
mod keeper;
mod naming;
mod objects;
mod server;
mod sessions;
mod tree;

pub use objects::{Address, Binding, Expect, Object, Objects};
pub use sdk::storage::volume::Part;
pub use server::Server;
pub use sessions::{MAX_NODES, MAX_SESSIONS, Open, Sessions};
pub use tree::{Checked, Info, Kept, Piece, Problem, Space, Step, Tree, Which};
