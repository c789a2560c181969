//! The broker: one per claimed function, moved by `device-manager`.

use arrayvec::ArrayVec;
use device_ring::Opcode;
use dma_ledger::Direction;
use ring_abi::Refusal;

use crate::{DeviceAddress, DmaPages, PageAddresses, Ports, Registers, Settings};

/// What a broker may use while it runs. All of it belongs to the one function.
pub trait BrokerIo {
    /// The registers of a memory BAR, mapped uncached.
    ///
    /// # Errors
    /// `OutOfRange` when the function has no such BAR.
    fn registers(&self, bar: u8) -> Result<&Registers, Refusal>;

    /// The ports of the I/O BAR that [`Access::ports`] names.
    ///
    /// # Errors
    /// `OutOfRange` for any other.
    fn ports(&self, bar: u8) -> Result<&Ports, Refusal> {
        let _ = bar;
        Err(Refusal::OutOfRange)
    }

    /// Zeroed contiguous kernel-only pages, freed by the teardown transaction and never by the broker. A broker
    /// keeps its pages over a reset and uses them again, so that resets do not add up; so the teardown transaction
    /// drops the broker before it frees them, and the next claim probes a new one.
    ///
    /// # Errors
    /// `NoMemory`, or `OutOfRange` for a run over the allocator's largest block.
    fn pages(&mut self, bytes: usize) -> Result<DmaPages, Refusal>;

    /// The same, of pages that the device only ever reads, such as its commands: below a remapping unit it can do nothing else.
    ///
    /// # Errors
    /// As [`Self::pages`].
    fn read_only_pages(&mut self, bytes: usize) -> Result<DmaPages, Refusal> {
        self.pages(bytes)
    }

    /// Monotonic nanoseconds.
    fn now_ns(&self) -> u64;
}

/// How far an operation of the broker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Not yet: call again no earlier than after this many nanoseconds.
    Pending {
        /// Nanoseconds to wait.
        after_ns: u64,
    },
    /// Finished.
    Done(Step),
    /// It will not finish; the refusal says why.
    Failed(Refusal),
}

/// What finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The device proved that it stopped: it reads as `proof`, so it touches no memory any more.
    Stopped(dma_ledger::ResetProof),
    /// The device is enabled and ready.
    Ready,
    /// The queue exists at the device.
    QueueOpen,
    /// The device proved that it let go of this queue and of every command in it.
    QueueStopped(dma_ledger::QueueProof),
}

/// A queue that a provider asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// Broker's kind number.
    pub kind: u16,
    /// Broker's index within the kind.
    pub index: u16,
    /// Entries.
    pub depth: u16,
    /// MSI-X table index that completions raise, or `None`.
    pub vector: Option<u16>,
}

impl QueueSpec {
    /// Which queue it is.
    #[must_use]
    pub const fn place(&self) -> QueuePlace {
        QueuePlace {
            kind: self.kind,
            index: self.index,
        }
    }
}

/// One ring of a queue whose entries its holder writes: in one piece for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectRing {
    /// Where the device sees its first byte, page-aligned: an address of the function's domain.
    pub address: DeviceAddress,
    /// Bytes.
    pub bytes: u64,
}

/// A queue that a provider asks for in order to write its entries itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectSpec {
    /// The queue; its depth is the entries of each ring.
    pub queue: QueueSpec,
    /// Where commands lie.
    pub submissions: DirectRing,
    /// Where completions lie.
    pub completions: DirectRing,
}

/// How far the holder of such a queue is, by index of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Where it writes the next command.
    pub tail: u16,
    /// Where it reads the next completion.
    pub head: u16,
}

/// Which queue of the device. The ledger's numbers stay with `device-manager`, which keeps the map between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePlace {
    /// Broker's kind number.
    pub kind: u16,
    /// Broker's index within the kind.
    pub index: u16,
}

/// What takes the device time: begun once and then polled on one-shot timers until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Stop the device, from any state it may be in, firmware's included. Ends with [`Step::Stopped`], only after reading the
    /// proof from the device itself.
    Reset,
    /// Bring the device up: administration queue in place, device told to run; `WrongState` before `configure`. Bus mastering
    /// is on. Ends with [`Step::Ready`].
    Enable,
    /// Make a queue at the device; `WrongState` where it is there already. Ends with [`Step::QueueOpen`].
    Open(QueueSpec),
    /// Make a queue over rings that its holder has; `WrongState` where it is there already; `NotSupported` where this broker lets
    /// nobody write commands of such a queue; `OutOfRange` for rings that are too short. It ends with the device's reset alone.
    /// Ends with [`Step::QueueOpen`].
    OpenDirect(DirectSpec),
    /// Make the device let go of one queue while the rest runs on; `NotSupported` where no proof can be had for this queue
    /// alone. From here on the broker rings nothing and reports nothing of it. Ends with [`Step::QueueStopped`], only after
    /// reading the proof from the device itself.
    Stop(QueuePlace),
    /// Make that queue again, empty and as it was opened; `WrongState` unless it has just stopped. Ends with
    /// [`Step::QueueOpen`].
    Reopen(QueuePlace),
}

/// One piece of a transfer, admitted by the ledger: pages of one live DmaBuffer of this very function.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Device address of each page of the buffer, in order.
    pub pages: &'a PageAddresses,
    /// First byte, counted from the start of page 0.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
    /// Which way.
    pub direction: Direction,
}

/// A command by its fields: the broker writes all of it.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'a> {
    /// What the device does.
    pub opcode: Opcode,
    /// Which part of the device; 0 for one without parts.
    pub unit: u16,
    /// The first block; 0 for a device without blocks, and for a flush.
    pub block: u64,
    /// Bytes: of the data, or of the blocks that a command without data is about.
    pub length: u32,
    /// Where its data lies, in the opcode's direction; `None` exactly where the opcode has none.
    pub data: Option<Segment<'a>>,
}

/// The slot that the ledger allocated for a command.
///
/// What goes on the wire is the broker's: where the device's identifiers have room it adds a generation of its own, checks
/// it on completion, and reports the slot alone, so that an old completion never becomes one of a new command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandSlot {
    /// Slot, below the queue's depth.
    pub slot: u16,
}

/// One completion as the device reported it, already checked for phase, range and plausibility.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The slot it answers; the ledger still decides whether that slot is in flight.
    pub slot: u16,
    /// The device's status, 0 for success.
    pub status: u16,
    /// The device's result word.
    pub result: u32,
}

/// A range of registers a provider may write: everything not listed is refused.
///
/// Only registers shown to be memory-neutral belong here: nothing that changes where, how much, in what layout or
/// whether the device touches memory.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// BAR number.
    pub bar: u8,
    /// First byte.
    pub offset: u64,
    /// Access width in bytes: 1, 2, 4 or 8; the window is exactly one register of that width.
    pub width: u8,
    /// Bits a provider may change; others must be written as they read.
    pub mask: u64,
    /// Further rule on the masked value.
    pub allowed: fn(u64) -> bool,
}

/// Pages of a BAR that a provider may map read-only: free of read side effects and of MSI-X table or PBA bytes.
#[derive(Clone, Copy, Debug)]
pub struct Mappable {
    /// BAR number.
    pub bar: u8,
    /// First byte, page-aligned.
    pub offset: u64,
    /// Bytes, whole pages.
    pub bytes: u64,
}

/// The most ranges of registers that a provider may read.
pub const MAX_READABLE: usize = 4;

/// What a provider may touch of a device: everything not listed is refused.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Registers it may write.
    pub windows: &'static [Window],
    /// Registers it may read: `(bar, offset, bytes)`. In a memory BAR, or in the I/O BAR of `ports`.
    pub readable: ArrayVec<(u8, u64, u64), MAX_READABLE>,
    /// BAR pages it may map.
    pub mappable: &'static [Mappable],
    /// The I/O BAR that the broker drives its device through. Asked once, right after the probe: I/O decoding is turned on
    /// for the length of the claim if it names one, and stays off if not.
    pub ports: Option<u8>,
}

/// Which addresses a device uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addressing {
    /// Bits of the widest address that it can name.
    pub bits: u8,
    /// Whether a remapping unit sees its requests.
    pub path: DmaPath,
}

/// Where a device's requests go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DmaPath {
    /// Over the bus, as those of any function: a unit that serves it translates them.
    Bus,
    /// Past every unit, to memory: what it uses are physical addresses whatever is programmed.
    AroundUnits,
}

impl Addressing {
    /// Any address, over the bus.
    pub const BUS: Self = Self {
        bits: 64,
        path: DmaPath::Bus,
    };
}

/// The kernel half of one device's driver.
///
/// `device-manager` calls it under the function's lock and only in states the ledger allows. Operations that the device
/// needs time for are begun once and then polled on one-shot timers until they end; they never spin.
///
/// What a broker must know of the device to recompute lengths (block sizes, limits) it asks the device itself
/// while enabling, into pages of its own. It never learns from a DmaBuffer: the provider has those pages mapped and
/// could change an answer between the device's write and the broker's look.
pub trait Broker: Send {
    /// What a provider may touch of the device, as it stands.
    fn access(&self) -> &Access;

    /// Says which addresses the device uses. Asked once, right after the probe; the registers are there, pages are not.
    ///
    /// # Errors
    /// `DeviceError` where it does not say.
    fn addressing(&mut self, io: &mut dyn BrokerIo) -> Result<Addressing, Refusal> {
        let _ = io;
        Ok(Addressing::BUS)
    }

    /// Chooses sizes and features, within what the device offers, and puts them in place of what was asked for. The device is
    /// stopped.
    ///
    /// # Errors
    /// `NotSupported` for the settings of another class; `BadArgument` and `OutOfRange` for what the device or this broker
    /// does not take.
    fn configure(&mut self, io: &mut dyn BrokerIo, settings: Settings<'_>) -> Result<(), Refusal>;

    /// The most entries this queue may have, for the ledger's record; `None` when there is no such queue.
    fn queue_limit(&self, queue: QueuePlace) -> Option<u16>;

    /// Begins an operation that the device needs time for. One is under way at a time, but a reset overtakes whatever is
    /// under way, and beginning one never fails: what stands in its way shows when it is polled.
    ///
    /// # Errors
    /// `WrongState` where [`Operation`] says so; `NotSupported` for an operation that this broker does not have; `Busy` while
    /// another one is under way; `OutOfRange`, `BadArgument`, `NoMemory`. Nothing has changed then.
    fn begin(&mut self, io: &mut dyn BrokerIo, operation: Operation) -> Result<(), Refusal>;

    /// Takes a bounded part of the memory that a queue needs which is opened next. `true`: nothing was missing. What was taken stays
    /// for the queue's next opening, whatever becomes of this one.
    ///
    /// # Errors
    /// Those with which beginning [`Operation::Open`] would be refused.
    fn prepare(&mut self, io: &mut dyn BrokerIo, queue: QueueSpec) -> Result<bool, Refusal> {
        let _ = (io, queue);
        Ok(true)
    }

    /// Looks how far the operation is that was begun last. Once it has ended there is none: `WrongState`.
    fn poll(&mut self, io: &mut dyn BrokerIo) -> Poll;

    /// Writes one command: checks the template against its opcode's mask, recomputes the transfer length and
    /// compares it with the segments, builds every address-bearing field. Nothing is visible to the device before
    /// [`Broker::ring`]. A refusal leaves queue and shadow unchanged.
    ///
    /// # Errors
    /// `TemplateRefused`, `LengthMismatch`, `BadArgument`, `OutOfRange`, `QueueFull`.
    fn submit(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: QueuePlace,
        slot: CommandSlot,
        template: &[u8],
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal>;

    /// Forms one command from its fields and writes it, by the rules and with the refusals of [`Broker::submit`].
    ///
    /// # Errors
    /// As [`Broker::submit`]; `NotSupported` where this queue has no commands that can be told by their fields.
    fn transfer(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: QueuePlace,
        slot: CommandSlot,
        transfer: &Transfer<'_>,
    ) -> Result<(), Refusal> {
        let _ = (io, queue, slot, transfer);
        Err(Refusal::NotSupported)
    }

    /// Rings the doorbell once for everything submitted since the last ring, after [`crate::release_to_device`]. Tests call
    /// it by [`ring`], which holds them to that.
    fn ring(&mut self, io: &mut dyn BrokerIo, queue: QueuePlace);

    /// Tells the device how far the holder of a queue is that was opened by [`Operation::OpenDirect`]: writes this queue's own
    /// doorbells and nothing else.
    ///
    /// # Errors
    /// `NotSupported` for any other queue; `WrongState` for one that is not open; `OutOfRange` for an index beyond its rings.
    fn doorbell(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: QueuePlace,
        counts: Counts,
    ) -> Result<(), Refusal> {
        let _ = (io, queue, counts);
        Err(Refusal::NotSupported)
    }

    /// Takes the next completion the device has posted on this queue, if any. Device values are checked against the
    /// broker's shadow; an implausible one is `Err` and the queue is then only good for a reset.
    ///
    /// # Errors
    /// `Corrupt` when the device's ring contradicts itself, which ends the queue until reset.
    fn next_completion(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: QueuePlace,
    ) -> Result<Option<Completed>, Refusal>;

    /// Called once after a batch of `next_completion`, to hand consumed entries back to the device.
    fn completions_taken(&mut self, io: &mut dyn BrokerIo, queue: QueuePlace);

    /// For the queue of a network interface: which way its frames go. The manager states once for each claim that frames went
    /// both ways, as evidence of a driver that works.
    fn frames(&self, queue: QueuePlace) -> Option<Direction> {
        let _ = queue;
        None
    }

    /// Called by the handler of an interrupt line when the function asserts it, with interrupts off. A broker whose
    /// device goes on asserting until a register that providers may not touch is read or written does that here, and
    /// says `true`. Where the provider acknowledges at the device itself, there is nothing to do.
    fn acknowledge_line(&mut self, io: &mut dyn BrokerIo) -> bool {
        let _ = io;
        false
    }
}

/// Calls [`Broker::ring`].
///
/// # Panics
/// On the host, where a register is written there before [`crate::release_to_device`] was called there: for what [`crate::DmaPages`]
/// were given, and for what a provider wrote into its buffers. A guest's processor keeps that order by itself, so nobody would see the mistake there.
#[inline]
pub fn ring(broker: &mut dyn Broker, io: &mut dyn BrokerIo, queue: QueuePlace) {
    mmio::tell(|| broker.ring(io, queue));
}
