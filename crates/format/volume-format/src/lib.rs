//! The capOS volume as data: where what lies, and what each byte means.
//!
//! Owns: the layout, sums, the label, roots, pointers, nodes of the tree, tables of the space tree, keys and items. The
//! text is `docs/volume-format.md`; a number here without a comment stands there.
//!
//! Invariant: this crate never writes to a disk, allocates or recurses, and never believes what it decodes: a decoder
//! gives a value whose every field is in its range and whose spare bytes are zero, or nothing.
#![no_std]
#![forbid(unsafe_code)]

mod crc;
mod item;
mod key;
mod label;
mod layout;
mod node;
mod ptr;
mod root;
mod space;

pub use crc::{Seed, crc32c, sum};
pub use item::{Bind, Inode, Kind, Named, Object, Snap, Source, Stamp};
pub use key::{KEY_BYTES, Key, KeyBuf, MAX_NAME, Parsed, parse};
pub use label::{INCOMPAT, Label, RO_COMPAT, Refused, VERSION};
pub use layout::{BLOCK, Layout, MAX_BLOCKS, MIN_BLOCKS, REGION, RING_SLOTS};
pub use node::{MAX_HEIGHT, MAX_VALUE, NODE_HEADER, Node, NodeFault, NodeMut};
pub use ptr::{PTR_BYTES, Ptr, PtrKind};
pub use root::{ROOT_BYTES, Root, VERIFY, VERIFY_LIMIT};
pub use space::{FANOUT, TableEntry, get_entry, put_entry, start_table, table_is_sound};
