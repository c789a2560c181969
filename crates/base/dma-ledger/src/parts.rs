//! What a function's record is made of: buffers, pools, mappings and routes as they are kept, before any rule about them.

use alloc::sync::Arc;

use crate::ids::{BufferId, PoolId};
use crate::pages::{Committed, DeviceVisible, Pages, Quiesced, Scrubbed};
use crate::receipts::ResetReceipt;
use crate::refusal::Refusal;
use crate::route::RouteWord;

/// Who uses a buffer's pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BufferUse {
    /// A provider's buffer, charged to a pool.
    Pool(PoolId),
    /// Pages that the broker keeps for queues and lists; device-visible from the start, never mapped, never a segment.
    Broker,
}

/// Where a buffer's pages are in their life cycle.
#[derive(Debug)]
pub(crate) enum Held<F> {
    Committed(Pages<Committed, F>),
    DeviceVisible(Pages<DeviceVisible, F>),
    Quiesced(Pages<Quiesced, F>),
    /// Handed out to be scrubbed; they come back scrubbed.
    Away,
    Scrubbed(Pages<Scrubbed, F>),
}

#[derive(Debug)]
pub(crate) struct Buffer<F> {
    pub(crate) held: Held<F>,
    pub(crate) bytes: u64,
    pub(crate) usage: BufferUse,
    /// User mappings of its pages, in any address space.
    pub(crate) maps: u32,
    /// Its owner has freed it; nothing new may begin.
    pub(crate) freeing: bool,
    /// How often its bindings were ended: one of before is none.
    pub(crate) unbound: u64,
}

impl<F> Buffer<F> {
    pub(crate) const fn in_flight(&self) -> u32 {
        match &self.held {
            Held::DeviceVisible(pages) => pages.in_flight(),
            _ => 0,
        }
    }

    /// Pins the pages for one more segment. The caller has checked that the buffer may be used.
    #[inline]
    pub(crate) fn pin(&mut self) {
        if let Held::DeviceVisible(pages) = &mut self.held {
            pages.pin();
            return;
        }
        self.expose();
    }

    /// Lets the device at pages that it does not have.
    fn expose(&mut self) {
        self.held = match core::mem::replace(&mut self.held, Held::Away) {
            Held::Committed(pages) => Held::DeviceVisible(pages.expose()),
            Held::Quiesced(pages) => Held::DeviceVisible(pages.expose()),
            other => other,
        };
    }

    /// Releases one segment's pin; after the last the pages are quiesced.
    #[inline]
    pub(crate) fn unpin(&mut self) {
        if let Held::DeviceVisible(pages) = &mut self.held
            && pages.unpin_one_of_several()
        {
            return;
        }
        self.quiesce();
    }

    /// Releases the last pin.
    fn quiesce(&mut self) {
        self.held = match core::mem::replace(&mut self.held, Held::Away) {
            Held::DeviceVisible(pages) => match pages.unpin() {
                Ok(quiesced) => Held::Quiesced(quiesced),
                Err(visible) => Held::DeviceVisible(visible),
            },
            other => other,
        };
    }

    /// Releases every pin at once: the device has stopped.
    pub(crate) fn quiesce_by(&mut self, receipt: &ResetReceipt) {
        self.held = match core::mem::replace(&mut self.held, Held::Away) {
            Held::DeviceVisible(pages) => Held::Quiesced(pages.quiesce_by(receipt)),
            other => other,
        };
    }

    /// Takes the pages out to be scrubbed, if no device may touch them.
    pub(crate) fn take_quiet(&mut self) -> Result<Pages<Quiesced, F>, Refusal> {
        match core::mem::replace(&mut self.held, Held::Away) {
            Held::Committed(pages) => Ok(pages.quiesce()),
            Held::Quiesced(pages) => Ok(pages),
            other => {
                let refusal = match &other {
                    Held::DeviceVisible(_) => Refusal::Busy,
                    _ => Refusal::Duplicate,
                };
                self.held = other;
                Err(refusal)
            }
        }
    }
}

/// What happens when the machine has no memory for a buffer within budget. The numbers are stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum OomPolicy {
    /// The allocation is refused and everything else goes on.
    Refuse = 0,
    /// The allocation is refused and the claim is taken down, so that its owner starts again from nothing.
    Revoke = 1,
}

/// A budget of buffers.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) budget: u64,
    pub(crate) used: u64,
    pub(crate) buffers: u32,
    pub(crate) oom: OomPolicy,
}

/// What a mapping allows: bit 0 read, bit 1 write, bit 2 execute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protection(pub u8);

impl Protection {
    /// Read.
    pub const READ: Self = Self(1);
    /// Read and write.
    pub const READ_WRITE: Self = Self(3);
}

/// Where pages are mapped: the kernel's number of the address space, and the virtual address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapTarget {
    /// The address space.
    pub space: u64,
    /// The first byte, page-aligned.
    pub address: u64,
}

/// What is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mapped {
    /// Register pages of this BAR.
    Registers(u8),
    /// Pages of this buffer.
    Buffer(BufferId),
}

/// A live user mapping. While one is held, its pages cannot be scrubbed or given to anybody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// What.
    pub what: Mapped,
    /// First byte within the BAR or buffer, page-aligned.
    pub offset: u64,
    /// Whole pages, in bytes.
    pub bytes: u64,
    /// How.
    pub protection: Protection,
    /// Where.
    pub target: MapTarget,
}

/// A source's route, open or not.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) word: Arc<RouteWord>,
}

impl Route {
    pub(crate) fn new() -> Self {
        Self {
            word: Arc::new(RouteWord::after(0)),
        }
    }
}

/// How far a teardown has come. The numbers are stable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum TeardownStep {
    /// Every operation of the claim is refused `revoked`.
    Begun = 0,
    /// The capabilities that came from the claim are dead.
    HandlesRevoked = 1,
    /// No queue takes a command.
    SubmissionsStopped = 2,
    /// No process maps a register or buffer page, and no CPU remembers that it did.
    MappingsRemoved = 3,
    /// No source has a route.
    InterruptsMasked = 4,
    /// No doorbell will be rung; the device may still work on what it has.
    QueuesQuiesced = 5,
    /// The device has stopped.
    DeviceReset = 6,
    /// Bus mastering is off and nothing is under way.
    BusMasterCleared = 7,
    /// Every page is wiped.
    ScrubDone = 8,
    /// No device has a translation to any page of the claim; between the two before.
    TranslationsRemoved = 9,
}
