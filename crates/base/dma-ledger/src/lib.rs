//! The one record of device authority and the rules that guard it.
//!
//! Owns, for every PCI function: who holds it, under which generation, how far its reset, its enabling or its teardown
//! has come, its register mappings, interrupt routes, DMA pools and buffers, queues and commands in flight. The kernel
//! calls this code for every device operation; nothing about device authority is known anywhere else.
//!
//! Invariant: every refusal happens before any change; a refused operation leaves the record as it was.
//! Invariant: the ledger never knows an address. Frames are an opaque `F` that it holds and gives back only scrubbed.
//! Invariant: generations only rise, 0 is never live, and a record at its last generation retires.
//! Invariant: submitting and completing never allocate and never scan.
//!
//! | module | what it decides |
//! |---|---|
//! | `ledger` | which functions exist; one record each |
//! | `record` | claim, configure, enable, reset: the function's state machine |
//! | `receipts` | what proves that a device has stopped, drained, and that no translation is left |
//! | `pages` | the life cycle of pages a device may touch, as types |
//! | `pool`, `buffer` | budgets, buffers, what may be freed when |
//! | `mmio` | register accesses and user mappings |
//! | `irq`, `route` | interrupt routes; the handler's side takes no lock |
//! | `queue`, `submit` | command slots, admission, completion |
//! | `bindings` | the places of a queue's ring, and what is bound to each |
//! | `bound` | buffers bound to places of a queue; the ring's way in and out |
//! | `teardown` | the one order in which everything ends |
//! | `audit` | recounting everything from the entries |
//! | `views` | copies for diagnostics |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod audit;
mod bindings;
mod bound;
mod buffer;
mod direct;
mod ids;
mod irq;
mod ledger;
mod mmio;
mod pages;
mod parts;
mod pool;
mod queue;
mod receipts;
mod record;
mod refusal;
mod requeue;
mod route;
mod submit;
mod teardown;
mod views;

pub use audit::{Accounting, AuditFault};
pub use bindings::{MAX_BINDINGS, RingId};
pub use bound::{BoundSegment, Gate};
pub use buffer::BufferInfo;
pub use device_ring::Binding;
pub use direct::RINGS_COOKIE;
pub use ids::{BufferId, Claim, FunctionId, MappingId, OwnerId, PoolId, QueueId, RouteId};
pub use irq::RouteSink;
pub use ledger::Ledger;
pub use mmio::{Access, BarRange, RegisterWindow};
pub use pages::{Committed, DeviceVisible, PageState, Pages, Quiesced, Scrubbed, Withdrawn};
pub use parts::{BufferUse, MapTarget, Mapped, Mapping, OomPolicy, Protection, TeardownStep};
pub use pool::{BufferRequest, BufferReservation, PoolInfo};
pub use queue::{MAX_DEPTH, MAX_SEGMENTS, QueueInfo, QueueShape, QueueState};
pub use receipts::{
    DrainProof, QueueProof, QueueReceipt, ResetProof, ResetReceipt, ShootdownProof,
    TranslationProof,
};
pub use record::{FunctionRecord, FunctionShape, FunctionState, Limits, Phase};
pub use refusal::Refusal;
pub use ring_abi::Direction;
pub use route::{Arrival, LAST_ROUTE_GENERATION, RouteState, RouteWord};
pub use submit::{Admitted, Command, SegmentRequest};
pub use teardown::{
    Begun, BusMasterCleared, DeviceReset, HandlesRevoked, InterruptsMasked, MappingsRemoved,
    MayFail, QueuesQuiesced, ScrubDone, Step, SubmissionsStopped, Teardown, TranslationsRemoved,
};

/// Bytes of a page.
pub const PAGE_BYTES: u64 = 4096;
