//! The one owner of the device ledger, and everything that is done at a function in its name.
//!
//! Owns the only [`dma_ledger::Ledger`] and, beside each record, what carries its decisions out: the broker, mapped
//! registers, interrupt vectors, the objects through which processes map pages, the operation under way. Every
//! operation asks the ledger first; what the ledger refuses has no effect. The manager never decides itself.
//!
//! | module | what it does |
//! |---|---|
//! | `manager`, `hardware` | boot: which functions there are, who drives them; listing; timers |
//! | `claim` | claiming, identity, the filtered copy of configuration space |
//! | `control` | reset, configure, enable, opening a queue: one at a time, polled on one-shot timers |
//! | `registers` | register reads and writes through windows, mappings of register pages |
//! | `interrupt`, `signal` | routes and waits; what masks, unmasks and moves a source at its device |
//! | `handler`, `lines`, `vectors` | the handler's side: from CPU and vector to the route, and lines that are shared |
//! | `dma` | pools, buffers, the objects that map them |
//! | `queue` | submitting and completing commands |
//! | `teardown`, `flr` | the transaction that ends a claim; what is tried when a device does not stop |
//! | `inspect` | copies for diagnostics |
//! | `closing` | the end of every claim, before the machine goes |
//! | `audit` | what of all this the hardware audit log is told |
//! | `platform` | what the kernel gives the manager |
//!
//! Invariant: it never decides about ownership, budgets, generations or states on its own (`dma-ledger` does), never
//! writes an address into a command or a queue (brokers do), and never touches a page table or the frame allocator
//! (the platform does). No physical address and no device address leaves it upwards.
//!
//! # Locks
//! One lock per function, then below it, in this order: the lines, configuration space, and whatever the [`Platform`]'s methods take
//! (frame allocator, vectors, log). No two functions' locks are ever held together. [`Waiter::answer`],
//! [`Mapping::revoke`] and [`Platform::arm`] run with no lock of this crate held, so that they may take any lock of the
//! kernel; a CPU that spins for a function's lock answers TLB shootdowns meanwhile. The handler's side,
//! [`DeviceManager::on_interrupt`], takes one function's lock at a time, allocates nothing and formats nothing; so do submit,
//! complete, wait and acknowledge.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod audit;
mod claim;
mod closing;
mod control;
mod dma;
mod effects;
mod facts;
mod flr;
mod function;
mod handler;
mod hardware;
mod inspect;
mod interrupt;
mod lines;
mod manager;
mod platform;
mod queue;
mod registers;
mod signal;
mod teardown;
mod vectors;

pub use claim::{DeviceInfo, DeviceState};
pub use closing::{Live, Stopped};
pub use dma_ledger::{
    BufferId, BufferInfo, Claim, Direction, Limits, MappingId, OwnerId, PoolId, PoolInfo, QueueId,
    QueueInfo, RouteId, SegmentRequest,
};
pub use driver_core::{DriverEntry, QueueSpec, Refusal};
pub use inspect::{Books, Inspection};
pub use interrupt::{RouteCounts, RouteInfo, RouteView};
pub use lines::LineView;
pub use manager::{DeviceManager, FunctionView, LIMITS};
pub use platform::{Done, FrameRun, Line, Mapping, Message, Platform, Waiter};
pub use queue::{CommandRequest, MAX_BATCH, MAX_COMMAND_SEGMENTS, QueueCompletion, Submitted};
pub use registers::MmioInfo;
pub use signal::Signal;
