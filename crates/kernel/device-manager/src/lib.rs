//! The one owner of the device ledger, and everything that is done at a function in its name.
//!
//! Owns the only [`dma_ledger::Ledger`] and, beside each record, what carries its decisions out: the broker, mapped
//! registers, interrupt vectors, the objects through which processes map pages, the operation under way. Every
//! operation asks the ledger first; what the ledger refuses has no effect. The manager never decides itself.
//!
//! | module | what it does |
//! |---|---|
//! | `manager`, `hardware` | boot: which functions there are, who drives them; listing |
//! | `machine` | what all functions share: platform, configuration space, vectors, lines |
//! | `turn`, `effects` | the turn at one function: the only way to its lock, and to what is done after it |
//! | `function`, `mapped` | what is under that lock whether somebody holds the function or not |
//! | `held` with `driven`, `job`, `buffers`, `views`, `queues` | what exists only while somebody holds it |
//! | `claim` | claiming, identity, the filtered copy of configuration space |
//! | `control` | reset, configure, enable, opening a queue: one at a time, polled on one-shot timers |
//! | `registers` | register reads and writes through windows, mappings of register pages |
//! | `interrupt` | a room of its own: routes and waits, the handler's side, sources at their device, shared lines |
//! | `dma` | pools, buffers, the objects that map them |
//! | `queue` | submitting and completing commands |
//! | `direct` | queues whose entries their holder writes, and their addresses |
//! | `teardown`, `flr`, `stop` | the transaction that ends a claim; what is tried when a device does not stop |
//! | `inspect` | copies for diagnostics |
//! | `closing` | the end of every claim, before the machine shuts down |
//! | `audit` | what of all this the hardware audit log is told |
//! | `platform` | what the kernel gives the manager |
//!
//! Invariant: it never decides about ownership, budgets, generations or states on its own (`dma-ledger` does), never
//! writes an address into a command or a queue (brokers do), and never touches a page table or the frame allocator
//! (the platform does). No physical address leaves it upwards, and no device address but one of a domain, to who holds a queue
//! that was found to be confined by it.
//!
//! # Locks
//! One lock per function, taken by a `Turn` and by nothing else. Below it, in this order: the lines, configuration space, and whatever the [`Platform`]'s methods take
//! (frame allocator, vectors, log). No two functions' locks are ever held together. [`Waiter::answer`],
//! [`Mapping::revoke`] and [`Platform::arm`] run with no lock of this crate held, so that they may take any lock of the
//! kernel; a CPU that spins for a function's lock answers TLB shootdowns meanwhile. The handler's side,
//! [`DeviceManager::on_interrupt`], takes one function's lock at a time, allocates nothing and, with it held, formats
//! nothing; so do submit, complete, wait and acknowledge.
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
#![forbid(unsafe_code)]

extern crate alloc;

mod audit;
mod buffers;
mod claim;
mod closing;
mod control;
mod crossed;
mod direct;
mod dma;
mod driven;
mod effects;
mod ending;
mod facts;
mod flr;
mod function;
mod hardware;
mod held;
mod inspect;
mod interrupt;
mod job;
mod machine;
mod manager;
mod mapped;
mod platform;
mod queue;
mod queues;
mod registers;
mod ring;
mod stop;
mod teardown;
mod turn;
mod views;

pub use claim::{DeviceInfo, DeviceState};
pub use closing::{Live, Stopped};
pub use direct::Rings;
pub use dma_ledger::{
    Binding, BufferId, BufferInfo, Claim, Direction, Limits, MappingId, OwnerId, PoolId, PoolInfo,
    QueueId, QueueInfo, RingId, RouteId, SegmentRequest,
};
pub use driver_core::{Counts, DriverEntry, QueueSpec, Refusal};
pub use facts::Saying;
pub use inspect::{Books, Inspection};
pub use interrupt::lines::LineView;
pub use interrupt::route::{RouteCounts, RouteInfo, RouteView, Signal};
pub use manager::{DeviceManager, FunctionView, LIMITS};
pub use platform::{
    Access, Entry, FrameRun, Layout, Line, Mapping, Message, Platform, Raiser, Reach, STEP_PAGES,
    Waiter, Waiters,
};
pub use queue::{CommandRequest, MAX_BATCH, MAX_COMMAND_SEGMENTS, QueueCompletion, Submitted};
pub use registers::MmioInfo;
pub use ring::{Kick, Kicked, Ring};
