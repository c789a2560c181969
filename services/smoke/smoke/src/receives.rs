//! Threads that leave as many RECEIVEs pending as the kernel takes, and one that takes what waits.

use core::sync::atomic::{AtomicU32, Ordering};

use ring_abi::{NEVER, Submission, completion_flags, opcode, span, submission_flags};
use rt::sys::Operation;
use sdk::alloc::vec::Vec;
use sdk::process::thread_spawner::Shape;
use sdk::{Cap, Endpoint, Interface, Object, Refusal, ThreadOptions, spawn_thread};

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

/// Takes every notice and call that waits at `endpoint`, and answers none of the calls. Gives the capabilities that they brought.
///
/// # Errors
/// The kernel's, for the thread that receives: messages lie in an area of its own.
pub fn take_waiting(endpoint: &Endpoint) -> Result<Vec<Cap>, Refusal> {
    let receive = Operation {
        opcode: opcode::RECEIVE,
        flags: submission_flags::POLL,
        handle: endpoint.object().handle(),
        deadline_ns: NEVER,
        reply: span(1024, 512),
        ..Operation::default()
    };
    let taker = spawn_thread(ThreadOptions::default(), move || {
        let mut brought = Vec::new();
        loop {
            let got = raw::operate(&receive);
            if got.refused().is_some() {
                return brought;
            }
            if got.status.flags & completion_flags::DROPPED == 0 {
                drop(Cap::owned(got.reply));
            }
            let (words, caps) = (u32::from(got.status.words), u32::from(got.status.caps));
            let places = (words..words + caps).map(|at| 1024 + at * 8);
            brought.extend(places.map(|at| Cap::owned(raw::get(at))));
        }
    })?;
    taker.join()
}
