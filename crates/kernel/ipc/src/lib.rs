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

mod answer;
mod area;
mod call;
mod delivery;
mod endpoint;
mod exit;
mod kernel_call;
mod loan;
mod message;
mod notice;
mod object;
mod operation;
mod park;
mod process;
mod queue;
mod receives;
mod ring;
mod scratch;
mod spent;
mod stop;
mod thread;
mod through;
mod trace;
mod transfer;
mod waitlist;
mod woken;

pub use area::Area;
pub use call::{Finished, Route};
pub use endpoint::{Endpoint, EndpointCore, Facet};
pub use exit::{End, Exit};
pub use kernel_call::{KernelCall, Late, Pending};
pub use object::{KernelObject, Object, Quick, Slot, release};
pub use operation::enter;
pub use process::{Label, Process, for_each_process, process_by_id};
pub use scratch::install as install_scratch;
pub use thread::{
    Thread, ThreadSpec, current, exit_thread, leave_if_dying, pay_by_running, settle,
};
pub use trace::{CallRecord, Trace};
pub use waitlist::{Unwanted, Waitlist};
