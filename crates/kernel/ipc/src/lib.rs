//! Endpoints, calls, rings and message transfer; the threads and processes they belong to.
//!
//! Owns every operation of `enter`: it checks a submission once, in a private copy, and moves messages and
//! capabilities between processes. Every ending of a call is decided by `call-state`; every use of a handle by `cap`.
//! Invariant: it never reads shared memory twice for one decision, never trusts an index from it, and never holds two
//! locks of two objects at once.
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may fail"
    )
)]
#![no_std]
#![allow(unsafe_code)]

extern crate alloc;

/// By this name, so that a model can bring its own.
use core::sync::atomic as atomics;

// Parts with rules of their own.
mod area;
mod call_log;
mod closing;
mod exit;
mod finished;
mod marks;
mod meeting;
mod message;
mod notice;
mod operation;
mod parking;
mod pool;
mod queue;
mod receives;
mod ring;
mod roster;
mod scratch;
mod standing;
mod stop;
mod table;
mod through;
mod waitlist;
mod woken;

// Who holds whom.
mod records;

// What is done with the records.
mod answer;
mod awaited;
mod bank;
mod call;
mod delivery;
mod endpoint;
mod enter;
mod facet;
mod invoke;
mod kept;
mod kernel_call;
mod life;
mod loan;
mod mint;
mod object;
mod park;
mod pending;
mod perform;
mod process;
mod short;
mod submissions;
mod thread;
mod trace;
mod transfer;

pub use area::Area;
pub use awaited::Awaited;
pub use bank::dig;
pub use call_log::CallRecord;
pub use enter::enter;
pub use exit::{End, Exit};
pub use finished::{Finished, Route};
pub use kernel_call::Late;
pub use life::{ThreadSpec, exit_thread, leave_if_dying, settle};
pub use object::release;
pub use process::{Label, for_each_process, process_by_id};
pub use records::{
    About, Bank, Endpoint, EndpointCore, Facet, Held, KernelCall, KernelObject, Object, Pending,
    Process, Quick, Slot, Thread, Tie,
};
pub use scratch::install as install_scratch;
pub use thread::{JoinRight, current, pay_by_running};
pub use trace::Trace;
pub use waitlist::{Unwanted, Waitlist};
