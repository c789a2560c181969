//! What a file system answers that keeps objects and names for them.

use alloc::string::String;

use sdk::storage::directory::TimeSource;
use sdk::{Refusal, Window};

/// The BLAKE3 of what an object holds.
pub type Address = [u8; 32];

/// What is known of an object.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Where it lies.
    pub address: Address,
    /// Bytes of it.
    pub bytes: u64,
    /// Names that are bound to it.
    pub names: u64,
    /// When it was put, in nanoseconds since 1970, 0 where unknown.
    pub created_ns: i64,
    /// Where that is known from.
    pub time_source: TimeSource,
}

/// A name and what it is bound to.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The whole name.
    pub name: String,
    /// The object's address.
    pub address: Address,
    /// Which binding it is.
    pub version: u64,
}

/// What a name must be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Unbound,
    /// That version.
    Version(u64),
    /// Whatever it is.
    Any,
}

/// Objects and names of volumes, by the number of the volume's part. Names are whole ones, checked as the schema has them. What has
/// none refuses everything with `notSupported`.
pub trait Objects {
    /// Puts an object. Says whether it was not there.
    ///
    /// # Errors
    /// As the schema has them, here and below.
    fn put_object(&mut self, part: usize, bytes: &[u8]) -> Result<(Address, bool), Refusal> {
        let _ = (part, bytes);
        Err(Refusal::NotSupported)
    }

    /// What is known of an object.
    ///
    /// # Errors
    /// As above.
    fn object(&mut self, part: usize, address: Address) -> Result<Object, Refusal> {
        let _ = (part, address);
        Err(Refusal::NotSupported)
    }

    /// The first object behind that address, the first at all without one.
    ///
    /// # Errors
    /// As above.
    fn next_object(
        &mut self,
        part: usize,
        after: Option<Address>,
    ) -> Result<Option<Object>, Refusal> {
        let _ = (part, after);
        Err(Refusal::NotSupported)
    }

    /// Reads an object as [`Tree::read`](crate::Tree::read) a file.
    ///
    /// # Errors
    /// As above.
    fn read_object(
        &mut self,
        part: usize,
        address: Address,
        offset: u64,
        length: u32,
        window: &mut Window,
        window_offset: u32,
    ) -> Result<u32, Refusal> {
        let _ = (part, address, offset, length, window, window_offset);
        Err(Refusal::NotSupported)
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// As above.
    fn delete_object(&mut self, part: usize, address: Address) -> Result<(), Refusal> {
        let _ = (part, address);
        Err(Refusal::NotSupported)
    }

    /// Binds a name. Returns the binding's version.
    ///
    /// # Errors
    /// As above.
    fn bind(
        &mut self,
        part: usize,
        name: &str,
        address: Address,
        expect: Expect,
    ) -> Result<u64, Refusal> {
        let _ = (part, name, address, expect);
        Err(Refusal::NotSupported)
    }

    /// Takes a name away.
    ///
    /// # Errors
    /// As above.
    fn unbind(&mut self, part: usize, name: &str, expect: Expect) -> Result<(), Refusal> {
        let _ = (part, name, expect);
        Err(Refusal::NotSupported)
    }

    /// What a name is bound to.
    ///
    /// # Errors
    /// As above.
    fn resolve(&mut self, part: usize, name: &str) -> Result<(Address, u64), Refusal> {
        let _ = (part, name);
        Err(Refusal::NotSupported)
    }

    /// The first name behind `after`, in the order of bytes, the first at all behind an empty one.
    ///
    /// # Errors
    /// As above.
    fn next_binding(&mut self, part: usize, after: &str) -> Result<Option<Binding>, Refusal> {
        let _ = (part, after);
        Err(Refusal::NotSupported)
    }
}
