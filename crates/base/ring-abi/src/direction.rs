//! Which way a device moves data.

/// Which way a device moves data, from a provider's request to the descriptor that a broker writes: one type for all of
/// them. Only the schema has an enumeration of its own, translated where a message is made and where it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Direction {
    /// The device reads memory.
    ToDevice = 0,
    /// The device writes memory.
    FromDevice = 1,
}
