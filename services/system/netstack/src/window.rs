//! The windows of clients.

use sdk::alloc::rc::Rc;
use sdk::{Cap, Refusal, Window};

/// The largest window of a client.
const MAX_WINDOW_BYTES: u64 = 16 << 20;

/// Maps a client's window.
pub fn map(window: Cap) -> Result<Rc<Window>, Refusal> {
    Window::of_client(window, MAX_WINDOW_BYTES).map(Rc::new)
}

/// Checks a range of a window.
pub fn check_range(window: &Window, offset: u32, length: u32) -> Result<(), Refusal> {
    if length == 0 {
        return Err(Refusal::ZeroLength);
    }
    if u64::from(offset) + u64::from(length) > window.len() {
        return Err(Refusal::OutOfRange);
    }
    Ok(())
}
