//! One event of device authority in 64 bytes, and the chain over records.

use sha2::{Digest as _, Sha256};

/// Bytes of a record.
pub const RECORD_BYTES: usize = 64;
/// The function of an event that concerns none.
pub const NO_FUNCTION: u32 = u32::MAX;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// What happened.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u16)]
        pub enum Kind { $($(#[$doc])* $name = $number,)* }
        impl Kind {
            /// Every kind, in the order of their numbers, which begin with 1.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// Reads a number.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
            /// The name that evidence and the shell use.
            #[must_use]
            pub const fn name(self) -> &'static str { match self { $(Self::$name => $text,)* } }
        }
    };
}

kinds! {
    /// The DMA backend was chosen; `detail` 1: kernel-owned bounce pages, 2: a verified translation unit.
    Backend = 1, "backend";
    /// A function was claimed.
    Claimed = 2, "claimed";
    /// A step of a teardown is done; `detail` is its place in the order, from 1.
    TeardownStep = 3, "teardown-step";
    /// The teardown ended well; `value` pages were freed.
    Released = 4, "released";
    /// The function is out of use for good; `value` bytes are lost with it.
    Quarantined = 5, "quarantined";
    /// The holder asked for a reset.
    ResetBegun = 6, "reset-begun";
    /// The device proved that it stopped; `detail` is the proof, `value` counts the commands that ended `revoked`.
    ResetProven = 7, "reset-proven";
    /// Sizes and features were agreed.
    Configured = 8, "configured";
    /// Bus mastering was turned on, for enabling.
    BusMasterOn = 9, "bus-master-on";
    /// The device is enabled and ready.
    Enabled = 10, "enabled";
    /// An operation that takes the device time ended without success; `outcome` says how.
    OperationFailed = 11, "operation-failed";
    /// Register pages became mappable, read-only; `value` bytes.
    RegistersMapped = 12, "registers-mapped";
    /// They are unmapped everywhere.
    RegistersUnmapped = 13, "registers-unmapped";
    /// A DMA pool was made; `value` is its budget in bytes.
    PoolCreated = 14, "pool-created";
    /// A DMA pool was closed.
    PoolClosed = 15, "pool-closed";
    /// A DMA buffer was allocated; `value` bytes.
    BufferAllocated = 16, "buffer-allocated";
    /// A DMA buffer became mappable; `detail` 1: writable.
    BufferShared = 17, "buffer-shared";
    /// A DMA buffer was unmapped everywhere, wiped and freed.
    BufferFreed = 18, "buffer-freed";
    /// A queue is open at the device.
    QueueOpened = 19, "queue-opened";
    /// A queue takes nothing more.
    QueueClosed = 20, "queue-closed";
    /// An interrupt source was attached; `object` is the source.
    InterruptAttached = 21, "interrupt-attached";
    /// An interrupt source was masked and detached; `object` is the source.
    InterruptDetached = 22, "interrupt-detached";
    /// A holder was refused; `detail` is the operation, `outcome` the refusal.
    Refused = 23, "refused";
    /// The audit broker admitted a reader; `value` numbers it.
    ReaderAdmitted = 24, "reader-admitted";
    /// Somebody asked to read and was refused.
    ReaderRefused = 25, "reader-refused";
    /// The audit broker took a reader's right away; `value` numbers it.
    ReaderRevoked = 26, "reader-revoked";
    /// A claim ends: its holder gave it up, died or lost it. `detail` 1: because the device did not stop.
    ClaimEnding = 27, "claim-ending";
    /// One queue is being torn down and up again, while the device runs on.
    QueueReset = 28, "queue-reset";
    /// An interrupt source goes to another CPU; `object` is the source.
    InterruptMoved = 29, "interrupt-moved";
    /// A remapping unit refused a request of the function; `value` counts those of its claim so far.
    DmaRefused = 30, "dma-refused";
}

/// How many kinds there are, plus one: counters are kept by number.
pub const KINDS: usize = Kind::ALL.len() + 1;

/// The steps of a teardown by name: a record's `detail` is the place, from 1. In their order, but for the last, which comes
/// before `scrubbed` where the function had a domain.
pub const TEARDOWN_STEPS: [&str; 10] = [
    "begun",
    "handles-revoked",
    "submissions-stopped",
    "mappings-removed",
    "interrupts-masked",
    "queues-quiesced",
    "device-reset",
    "bus-master-cleared",
    "scrubbed",
    "translations-removed",
];

/// What is recorded; time and sequence number come with the recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// A refusal's code; 0 for success.
    pub outcome: u8,
    /// Segment, bus, device and function as one number; [`NO_FUNCTION`] for none.
    pub function: u32,
    /// The process that holds the claim, or asked.
    pub owner: u64,
    /// Generation of the claim.
    pub claim: u64,
    /// Index of the buffer, pool, queue, mapping or source.
    pub object: u32,
    /// Its generation.
    pub object_generation: u64,
    /// See [`Kind`].
    pub detail: u32,
    /// See [`Kind`].
    pub value: u64,
}

impl Event {
    /// An event of a kind, about nothing yet.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            outcome: 0,
            function: NO_FUNCTION,
            owner: 0,
            claim: 0,
            object: 0,
            object_generation: 0,
            detail: 0,
            value: 0,
        }
    }

    /// The same event, about the object with this index and generation.
    #[must_use]
    pub const fn object(mut self, index: u32, generation: u64) -> Self {
        self.object = index;
        self.object_generation = generation;
        self
    }

    /// The same event with this detail.
    #[must_use]
    pub const fn detail(mut self, detail: u32) -> Self {
        self.detail = detail;
        self
    }

    /// The same event with this value.
    #[must_use]
    pub const fn value(mut self, value: u64) -> Self {
        self.value = value;
        self
    }

    /// The same event with a refusal's code.
    #[must_use]
    pub const fn outcome(mut self, code: u8) -> Self {
        self.outcome = code;
        self
    }
}

/// One record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its number; the first record of a boot is 1.
    pub sequence: u64,
    /// When, in nanoseconds of the boot's monotonic clock.
    pub ns: u64,
    /// What.
    pub event: Event,
}

impl Record {
    /// Lays the record out.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let event = &self.event;
        let mut out = [0; RECORD_BYTES];
        le::put(&mut out, 0, &self.sequence.to_le_bytes());
        le::put(&mut out, 8, &self.ns.to_le_bytes());
        le::put(&mut out, 16, &(event.kind as u16).to_le_bytes());
        le::put(&mut out, 18, &u16::from(event.outcome).to_le_bytes());
        le::put(&mut out, 20, &event.function.to_le_bytes());
        le::put(&mut out, 24, &event.owner.to_le_bytes());
        le::put(&mut out, 32, &event.claim.to_le_bytes());
        le::put(&mut out, 40, &event.object.to_le_bytes());
        le::put(&mut out, 44, &event.detail.to_le_bytes());
        le::put(&mut out, 48, &event.object_generation.to_le_bytes());
        le::put(&mut out, 56, &event.value.to_le_bytes());
        out
    }

    /// Reads a record; `None` for a length, a kind, an outcome or a sequence number that none has.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != RECORD_BYTES {
            return None;
        }
        let sequence = le::u64(bytes, 0);
        let event = Event {
            kind: Kind::from_number(le::u16(bytes, 16))?,
            outcome: u8::try_from(le::u16(bytes, 18)).ok()?,
            function: le::u32(bytes, 20),
            owner: le::u64(bytes, 24),
            claim: le::u64(bytes, 32),
            object: le::u32(bytes, 40),
            detail: le::u32(bytes, 44),
            object_generation: le::u64(bytes, 48),
            value: le::u64(bytes, 56),
        };
        (sequence != 0).then_some(Self {
            sequence,
            ns: le::u64(bytes, 8),
            event,
        })
    }
}

/// The hash chain: each value covers every record up to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chain(pub [u8; 32]);

impl Chain {
    /// Where the chain of each boot begins.
    pub const GENESIS: Self = Self([0; 32]);

    /// The value after one more record.
    #[must_use]
    pub fn after(&self, record: &[u8; RECORD_BYTES]) -> Self {
        let hash = Sha256::new().chain_update(self.0).chain_update(record);
        Self(hash.finalize().into())
    }

    /// The value after `count` records that went before anybody read them.
    #[must_use]
    pub fn after_unread(&self, count: u64) -> Self {
        if count == 0 {
            return *self;
        }
        let hash = Sha256::new()
            .chain_update(self.0)
            .chain_update(count.to_le_bytes());
        Self(hash.finalize().into())
    }

    /// The value after whole records, one after the other; what is left over counts for nothing.
    #[must_use]
    pub fn over(self, records: &[u8]) -> Self {
        let (whole, _) = records.as_chunks::<RECORD_BYTES>();
        whole.iter().fold(self, |chain, record| chain.after(record))
    }
}
