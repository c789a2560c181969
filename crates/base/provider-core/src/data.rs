//! What a command moves.

use ring_abi::Direction;

/// Where a command's data lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    /// Handle of the DmaBuffer.
    pub buffer: u64,
    /// First byte in it.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
    /// Which way it goes.
    pub direction: Direction,
}
