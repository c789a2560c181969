//! Pieces of buffers, and their bytes.

use sdk::device::device_queue::{Direction, Segment};
use sdk::{Access, Cap, DmaBuffer, Interface, Object, Refusal, Window, WindowAccess};

/// The handle behind a client.
pub fn handle<I: Interface<Cap>>(client: &I) -> u64 {
    client.object().handle()
}

/// A piece of a buffer.
pub fn piece(buffer: &DmaBuffer, offset: u32, length: u32, direction: Direction) -> Segment {
    Segment {
        buffer: handle(buffer),
        offset,
        length,
        direction,
    }
}

/// A piece of a buffer that the device writes.
pub fn into(buffer: &DmaBuffer, offset: u32, length: u32) -> Segment {
    piece(buffer, offset, length, Direction::FromDevice)
}

/// The first `bytes` bytes of a buffer, for reading and writing.
///
/// # Errors
/// As `DmaBuffer.window`, and those of mapping it.
pub fn window(buffer: &DmaBuffer, bytes: u64) -> Result<Window, Refusal> {
    let memory = buffer.window(WindowAccess::ReadWrite)?.memory;
    Window::map(memory, bytes, Access::ReadWrite)
}
