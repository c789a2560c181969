//! Threads that leave as many RECEIVEs pending as the kernel takes.

use core::sync::atomic::{AtomicU32, Ordering};

use ring_abi::{NEVER, Submission, opcode, span};
use sdk::process::thread_spawner::Shape;
use sdk::{Endpoint, Interface, Object, Refusal, ThreadOptions, spawn_thread};

use crate::raw;

/// RECEIVEs that each thread leaves pending: with some hundred threads more than one allocation of the kernel holds.
pub const PENDING: u32 = 512;

/// One receiver, in what [`WAITING`] counts.
const THREAD: u32 = 1 << 24;
/// The receivers that have begun, times [`THREAD`], and how many RECEIVEs wait.
static WAITING: AtomicU32 = AtomicU32::new(0);

/// Starts a thread that never ends and leaves [`PENDING`] RECEIVEs at `endpoint`.
///
/// # Errors
/// The kernel's, for the thread; a RECEIVE that is refused is not counted by [`waiting`].
pub fn start_receiver(endpoint: &Endpoint) -> Result<(), Refusal> {
    let receive = Submission {
        opcode: opcode::RECEIVE,
        handle: endpoint.object().handle(),
        deadline_ns: NEVER,
        words: [0, span(1024, 64), 0, 0],
        ..Submission::default()
    };
    let options = ThreadOptions {
        stack_bytes: 16 * 1024,
        shape: Shape {
            submissions: 256,
            message_bytes: 8192,
            priority: 16,
            cpu: -1,
        },
    };
    let thread = spawn_thread(options, move || {
        let (taken, _) = raw::flood(receive, PENDING + 64);
        let ended = core::iter::from_fn(raw::completion).count() as u32;
        WAITING.fetch_add(taken - ended + THREAD, Ordering::AcqRel);
        loop {
            raw::enter(PENDING as u16, NEVER);
        }
    })?;
    core::mem::forget(thread);
    Ok(())
}

/// The receivers of this process that have submitted what they could, and the RECEIVEs that wait.
pub fn waiting() -> (u32, u32) {
    let waiting = WAITING.load(Ordering::Acquire);
    (waiting / THREAD, waiting % THREAD)
}
