//! Typed stubs and messages, generated from `schema/` by `cargo xtask codegen`.
//!
//! Owns the interfaces' ids, names and shapes. Invariant: it never holds a hand-written ordinal or offset, and nothing
//! here ever allocates or makes a system call.
//!
//! An interface `File` of `schema/storage.capnp` is the module [`storage::file`]; in it are, for a method `read`,
//! `ReadParams` and `ReadResults` (values, or readers of a message when they hold texts or lists), `ReadReply` (what a
//! server sends), `method::READ` and `call::Read` (its number and its type), and `Client`, `Server` and `dispatch` for
//! the whole interface. Lists in a reply are built in place by `fill_read`.
#![no_std]
#![forbid(unsafe_code)]

#[allow(
    missing_docs,
    clippy::all,
    clippy::fn_params_excessive_bools,
    clippy::too_many_lines
)]
mod generated;

pub use generated::*;

/// The name of an interface.
pub fn interface_name(id: u64) -> Option<&'static str> {
    let at = INTERFACES.binary_search_by_key(&id, |entry| entry.0).ok()?;
    INTERFACES.get(at).map(|entry| entry.1)
}

/// The name of a method, by its interface's id and its number.
pub fn method_name(id: u64, method: u16) -> Option<&'static str> {
    let at = METHODS.binary_search_by_key(&id, |entry| entry.0).ok()?;
    METHODS.get(at)?.1.get(usize::from(method)).copied()
}

/// The id of an interface, by its name, for example `"BlockDevice"`.
pub fn interface_id(name: &str) -> Option<u64> {
    INTERFACES
        .iter()
        .find(|entry| entry.1 == name)
        .map(|entry| entry.0)
}
