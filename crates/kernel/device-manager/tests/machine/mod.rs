//! A machine without hardware: configuration space, memory, vectors, a clock that only the test moves, and a device
//! whose broker does what the test's script says.
#![allow(dead_code, unused_imports)] // each test file uses its part

mod broker;
mod config;
mod entries;
mod looks;
mod platform;
mod reach;

pub use broker::{ENTRY, OTHER, PAIRS, Script, done, script};
pub use config::{BAR0, FakeConfig, PCIE};
pub use platform::{Fake, FakeFrames, FakeMapping, Ticket};
pub use reach::FakeReach;

use device_manager::{
    BufferId, Claim, CommandRequest, DeviceManager, Direction, DriverEntry, LIMITS, Layout,
    OwnerId, PoolId, QueueCompletion, QueueId, QueueSpec, Refusal, SegmentRequest, Submitted,
};
use driver_core::Settings;
use pci::Found;
use pci_format::{ConfigAccess, read_function};
use units::Bdf;

/// The manager on such a machine, with two functions of one driver.
pub struct Machine {
    pub manager: DeviceManager<Fake>,
    pub fake: Fake,
    pub config: FakeConfig,
}

pub const OWNER: OwnerId = OwnerId(7);
pub const STRANGER: OwnerId = OwnerId(8);
pub const SECOND_NS: u64 = 1_000_000_000;

impl Machine {
    pub fn new() -> Self {
        Self::with(FakeConfig::new())
    }

    pub fn with(config: FakeConfig) -> Self {
        let fake = Fake::default();
        let table: [&'static DriverEntry; 2] = [&ENTRY, &OTHER];
        let found: Vec<Found> = config
            .functions()
            .into_iter()
            .map(|bdf| Found {
                info: read_function(&config, bdf).unwrap(),
                stuck: false,
                ambiguous: None,
            })
            .collect();
        let manager = DeviceManager::new(
            fake.clone(),
            Box::new(config.clone()),
            &found,
            &table,
            LIMITS,
        );
        Self {
            manager,
            fake,
            config,
        }
    }

    /// Lets time pass until no timer is set, for at most a simulated minute.
    pub fn settle(&self) {
        // What was sent to vectors that were retired has arrived by now.
        for (cpu, vector) in self.fake.take_dying() {
            self.manager.vector_settled(cpu, vector);
        }
        let end = self.fake.now() + 60 * SECOND_NS;
        while let Some((function, at)) = self.fake.next_timer() {
            if at > end {
                return;
            }
            self.fake.advance_to(at);
            self.manager.poll(function);
        }
    }

    /// Claims function `nth` and waits.
    pub fn try_claim(&self, nth: u32, owner: OwnerId) -> Result<Claim, Refusal> {
        let ticket = Ticket::new();
        self.manager.claim("fake", nth, owner, ticket.waiter());
        self.settle();
        ticket.answer().unwrap()
    }

    pub fn claim(&self, nth: u32) -> Claim {
        self.try_claim(nth, OWNER).unwrap()
    }

    pub fn reset(&self, claim: &Claim) -> Result<(), Refusal> {
        let ticket = Ticket::new();
        self.manager.reset(claim, ticket.waiter());
        self.settle();
        ticket.answer().unwrap()
    }

    pub fn enable(&self, claim: &Claim) -> Result<(), Refusal> {
        let ticket = Ticket::new();
        self.manager.enable(claim, ticket.waiter());
        self.settle();
        ticket.answer().unwrap()
    }

    pub fn reset_queue(&self, claim: &Claim, queue: QueueId) -> Result<(), Refusal> {
        let ticket = Ticket::new();
        self.manager.queue_reset(claim, queue, ticket.waiter());
        self.settle();
        ticket.answer().unwrap()
    }

    pub fn open(&self, claim: &Claim) -> Result<QueueId, Refusal> {
        let spec = QueueSpec {
            kind: 1,
            index: 1,
            depth: 8,
            vector: Some(1),
        };
        let ticket = Ticket::new();
        self.manager.queue_open(claim, spec, ticket.waiter());
        self.settle();
        ticket.answer().unwrap()
    }

    /// Everything up to an open queue.
    pub fn running(&self, nth: u32) -> (Claim, QueueId) {
        let claim = self.claim(nth);
        self.up(&claim);
        let queue = self.open(&claim).unwrap();
        (claim, queue)
    }

    /// Reset, configured, enabled.
    pub fn up(&self, claim: &Claim) {
        assert_eq!(self.reset(claim), Ok(()));
        assert_eq!(self.manager.configure(claim, Settings::Plain), Ok(()));
        assert_eq!(self.enable(claim), Ok(()));
    }

    /// A pool and a buffer of it.
    pub fn buffer(&self, claim: &Claim, bytes: u64) -> (PoolId, BufferId) {
        let pool = self.manager.pool_create(claim, 1 << 20).unwrap();
        let buffer = self
            .manager
            .buffer_allocate(claim, pool, bytes, Layout::Scattered);
        (pool, buffer.unwrap())
    }

    pub fn submit(
        &self,
        claim: &Claim,
        queue: QueueId,
        cookie: u64,
        segments: &[SegmentRequest],
    ) -> Submitted {
        self.manager.queue_submit(
            claim,
            queue,
            [Ok(CommandRequest {
                cookie,
                template: &[1],
                segments: segments.iter().copied().map(Ok),
            })],
        )
    }

    pub fn complete(&self, claim: &Claim, queue: QueueId) -> Result<Vec<QueueCompletion>, Refusal> {
        let mut out = arrayvec::ArrayVec::new();
        self.manager
            .queue_complete(claim, queue, &mut out, 64)
            .map(|()| out.to_vec())
    }

    pub fn bus_master(&self, nth: usize) -> bool {
        let bdf = self.config.functions()[nth];
        self.config.read32(bdf, 4) & 4 != 0
    }
}

pub fn from_device(buffer: BufferId, offset: u32, length: u32) -> SegmentRequest {
    SegmentRequest {
        buffer,
        offset,
        length,
        direction: Direction::FromDevice,
    }
}

pub const TAKEN: Submitted = Submitted {
    accepted: 1,
    refusal: None,
};

pub fn refused(refusal: Refusal) -> Submitted {
    Submitted {
        accepted: 0,
        refusal: Some(refusal),
    }
}

pub fn bdf(device: u8) -> Bdf {
    Bdf::new(0, 0, device, 0).unwrap()
}
