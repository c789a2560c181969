//! What a thread waits for, for whoever lists processes.
//!
//! Owns nothing. Invariant: it looks at a few calls and endpoints of one thread, however many there are, and no call pays for it.

use alloc::sync::Arc;

use crate::finished::Route;
use crate::records::Thread;

/// Calls, and endpoints, that are looked at.
const MOST: usize = 16;

/// A call to a server that a thread waits for in registers.
#[derive(Clone, Copy, Debug)]
pub struct Awaited {
    /// The interface of what it calls.
    pub interface: u64,
    /// Number of the method.
    pub method: u16,
    /// It receives there itself.
    pub own: bool,
}

impl Thread {
    /// The call to a server that it waits for in registers, if there is one among the first few that it made.
    pub fn awaited(&self) -> Option<Awaited> {
        self.calls(0).take(MOST).find_map(|call| {
            let body = call.body.lock();
            let waits = body.caller.is_some() && body.route == Route::Register;
            let facet = body.facet.as_ref().filter(|_| waits)?;
            let (interface, method, core) = (facet.interface, body.method, facet.core().clone());
            drop(body);
            let mut receives = self.receive_cores().take(MOST);
            Some(Awaited {
                interface,
                method,
                own: receives.any(|at| Arc::ptr_eq(&at, &core)),
            })
        })
    }
}
