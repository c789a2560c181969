//! What a service author imports: entry, typed capabilities, output, and a disk that survives its provider.
//!
//! Owns conveniences only: everything here can be written with `rt` and `schema` alone. Invariant: it never holds
//! authority of its own, and never prints but through capabilities that the program was given.
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! use sdk::{Env, Error, Timer, println};
//!
//! sdk::entry!(main);
//!
//! fn main(env: &Env) -> Result<(), Error> {
//!     let timer: Timer = env.get("timer")?;
//!     println!("it is {} ns", timer.now()?.ns);
//!     Ok(())
//! }
//! ```
#![no_std]
#![forbid(unsafe_code)]

pub extern crate alloc;

use core::sync::atomic::{AtomicBool, Ordering};

mod caps;
pub mod connections;
mod disk;
mod error;
pub mod ip;
pub mod output;
mod stream;
pub mod tasks;

pub use caps::*;
pub use disk::Disk;
pub use error::{Error, Why};
pub use evidence::{self, Hex};
pub use hashbrown::{self, HashMap, HashSet};
pub use rt::channel;
#[cfg(not(any(target_os = "none", guest)))]
pub use rt::host;
pub use rt::{
    Access, CALLERS, Call, Cap, Completion, Condvar, Env, EnvError, Exit, HeapFigures, JoinHandle,
    LateReply, Mutex, NEVER, Ring, Service, ThreadOptions, Window, Words, exit, heap_figures,
    spawn_thread, unused_grants,
};
pub use schema::device::{dma_buffer::Access as WindowAccess, dma_pool::Layout};
pub use schema::process::endpoint::Lifetime;
pub use schema::{audit, block, device, diagnostics, net, process, random, saving, storage};
pub use stream::{TcpServer, TcpStream};
pub use stub::{Answered, CapArg, Deferred, Incoming, Interface, Object, Received, Refusal, Reply};
pub use tasks::Tasks;
#[doc(hidden)]
pub use {rt, schema, stub};

/// The answer that a call of method `M`, put aside, still owes.
pub type Late<M> = Deferred<LateReply, M>;

/// Prepares output. `entry!` calls this before `main`.
pub fn begin(env: &Env) {
    output::begin(env);
    #[cfg(sabotage)]
    if let Some(point) = env.sabotage().and_then(sabotage::Point::named) {
        sabotage::choose(point);
    }
}

/// Serves `endpoint` until receiving from it is refused, and returns that refusal. Grants that were not asked for by now are
/// named in the log: a service asks for what it needs before it serves.
pub fn serve(endpoint: &impl Object, service: &mut impl Service) -> Refusal {
    name_unused_grants();
    rt::serve(endpoint, service)
}

/// Sleeps for so many nanoseconds from now.
///
/// # Errors
/// The refusal of the Timer.
pub fn sleep_for(timer: &Timer, ns: u64) -> Result<(), Refusal> {
    let until = timer.now()?.ns.saturating_add(ns);
    timer.sleep(until).map(drop)
}

/// Random octets from the system's entropy.
///
/// # Errors
/// `NotSupported`: the machine has no source of any.
pub fn octets(entropy: &EntropySource) -> Result<[u8; 32], Refusal> {
    let drawn = entropy.fill()?;
    let words = [drawn.a, drawn.b, drawn.c, drawn.d];
    let mut octets = [0; 32];
    for (place, word) in octets.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    Ok(octets)
}

/// Names the grants that the program has not asked for, in the log, or where it has none at its console: whoever wrote the
/// manifest may take them out. The second time it does nothing.
pub fn name_unused_grants() {
    static NAMED: AtomicBool = AtomicBool::new(false);
    if NAMED.swap(true, Ordering::Relaxed) {
        return;
    }
    for name in unused_grants() {
        output::warn(format_args!("the grant {name} is not used"));
    }
}

/// What `entry!` calls with the exit code of `main`. A program that gave up says why itself, and did not come to what it would
/// have asked for.
#[doc(hidden)]
pub fn ended(code: i64) -> i64 {
    if code == 0 {
        name_unused_grants();
    }
    code
}

/// Names the function that the program begins with: `fn main(env: &sdk::Env) -> R`, where `R` is nothing, an `i64`
/// exit code, or a `Result` of these whose error ends the program with code 1 and its text.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        fn __sdk_main(env: &$crate::Env) -> i64 {
            $crate::begin(env);
            $crate::ended($crate::Exit::code($main(env)))
        }
        $crate::rt::entry!(__sdk_main);
    };
}
