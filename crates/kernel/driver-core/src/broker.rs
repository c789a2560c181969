//! The broker: one per claimed function, moved by `device-manager`.

use dma_ledger::Direction;
use ring_abi::Refusal;

use crate::{DeviceAddress, DmaPages, Ports, Registers};

/// What a broker may use while it runs. All of it belongs to the one function.
pub trait BrokerIo {
    /// The registers of a memory BAR, mapped uncached.
    ///
    /// # Errors
    /// `OutOfRange` when the function has no such BAR.
    fn registers(&self, bar: u8) -> Result<&Registers, Refusal>;

    /// The ports of the I/O BAR that [`Broker::port_bar`] names.
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

/// What `configure` agreed on: three words whose meaning is the broker's, documented on its page in `docs/devices`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Configured(pub [u64; 3]);

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

/// One piece of a transfer, admitted by the ledger: pages of one live DmaBuffer of this very function.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Device address of each page of the buffer, in order.
    pub pages: &'a [DeviceAddress],
    /// First byte, counted from the start of page 0.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
    /// Which way.
    pub direction: Direction,
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

/// The kernel half of one device's driver.
///
/// `device-manager` calls it under the function's lock and only in states the ledger allows. Operations that take
/// the device time are started once and then polled on one-shot timers until they end; they never spin.
///
/// What a broker must know of the device to recompute lengths (block sizes, limits) it asks the device itself
/// while enabling, into pages of its own. It never learns from a DmaBuffer: the provider has those pages mapped and
/// could change an answer between the device's write and the broker's look.
pub trait Broker: Send {
    /// Registers a provider may write.
    fn windows(&self) -> &'static [Window];

    /// Registers a provider may read: `(bar, offset, bytes)` ranges; reads elsewhere are refused. In a memory BAR, or in
    /// the I/O BAR of [`Self::port_bar`].
    fn readable(&self) -> &[(u8, u64, u64)];

    /// BAR pages a provider may map.
    fn mappable(&self) -> &'static [Mappable];

    /// The I/O BAR that the broker drives its device through. Asked once, right after the probe: I/O decoding is turned
    /// on for the length of the claim if it names one, and stays off if not.
    fn port_bar(&self) -> Option<u8> {
        None
    }

    /// Starts stopping the device. Must work from any state the device may be in, firmware's included.
    fn begin_reset(&mut self, io: &mut dyn BrokerIo);

    /// Looks whether the device has stopped. `Stopped` only after reading the proof from the device itself.
    fn poll_reset(&mut self, io: &mut dyn BrokerIo) -> Poll;

    /// Chooses sizes and features, within what the device offers. The device is stopped.
    ///
    /// # Errors
    /// `BadArgument` and `OutOfRange` for what the device or this broker does not take.
    fn configure(
        &mut self,
        io: &mut dyn BrokerIo,
        request: [u64; 3],
    ) -> Result<Configured, Refusal>;

    /// Starts enabling: administration queue in place, device told to run. Bus mastering is on.
    ///
    /// # Errors
    /// `WrongState` before `configure`; `NoMemory`.
    fn begin_enable(&mut self, io: &mut dyn BrokerIo) -> Result<(), Refusal>;

    /// Looks whether the device is ready.
    fn poll_enable(&mut self, io: &mut dyn BrokerIo) -> Poll;

    /// The most entries a queue of this kind may have, for the ledger's record; `None` when there is no such queue.
    fn queue_limit(&self, kind: u16, index: u16) -> Option<u16>;

    /// Starts opening a queue; `queue` is the ledger's number for it from now on (small, dense).
    ///
    /// # Errors
    /// `OutOfRange`, `WrongState`, `NoMemory`.
    fn begin_open(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: u16,
        spec: QueueSpec,
    ) -> Result<(), Refusal>;

    /// Looks whether the queue exists at the device.
    fn poll_open(&mut self, io: &mut dyn BrokerIo, queue: u16) -> Poll;

    /// Starts making the device let go of one queue while the rest runs on. From here the broker rings nothing and
    /// reports nothing of this queue.
    ///
    /// # Errors
    /// `NotSupported` where no proof can be had for this queue alone, which is what a broker says that does not
    /// implement it; `Busy` while another queue is being opened or reset. Nothing has changed then.
    fn begin_queue_reset(&mut self, io: &mut dyn BrokerIo, queue: u16) -> Result<(), Refusal> {
        let _ = (io, queue);
        Err(Refusal::NotSupported)
    }

    /// Looks whether the device has let go. `QueueStopped` only after reading the proof from the device itself.
    fn poll_queue_reset(&mut self, io: &mut dyn BrokerIo, queue: u16) -> Poll {
        let _ = (io, queue);
        Poll::Failed(Refusal::NotSupported)
    }

    /// Starts making the queue again, empty and as it was opened; [`Broker::poll_open`] tells when it is there.
    ///
    /// # Errors
    /// `WrongState` unless the queue has just stopped; `NoMemory`.
    fn begin_reopen(&mut self, io: &mut dyn BrokerIo, queue: u16) -> Result<(), Refusal> {
        let _ = (io, queue);
        Err(Refusal::NotSupported)
    }

    /// Writes one command: checks the template against its opcode's mask, recomputes the transfer length and
    /// compares it with the segments, builds every address-bearing field. Nothing is visible to the device before
    /// [`Broker::ring`]. A refusal leaves queue and shadow unchanged.
    ///
    /// # Errors
    /// `TemplateRefused`, `LengthMismatch`, `BadArgument`, `OutOfRange`, `QueueFull`.
    fn submit(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: u16,
        slot: CommandSlot,
        template: &[u8],
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal>;

    /// Rings the doorbell once for everything submitted since the last ring.
    fn ring(&mut self, io: &mut dyn BrokerIo, queue: u16);

    /// Takes the next completion the device has posted on this queue, if any. Device values are checked against the
    /// broker's shadow; an implausible one is `Err` and the queue is then only good for a reset.
    ///
    /// # Errors
    /// `Corrupt` when the device's ring contradicts itself, which ends the queue until reset.
    fn next_completion(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: u16,
    ) -> Result<Option<Completed>, Refusal>;

    /// Called once after a batch of `next_completion`, to hand consumed entries back to the device.
    fn completions_taken(&mut self, io: &mut dyn BrokerIo, queue: u16);

    /// Called by the handler of an interrupt line when the function asserts it, with interrupts off. A broker whose
    /// device goes on asserting until a register that providers may not touch is read or written does that here, and
    /// says `true`. Where the provider acknowledges at the device itself, there is nothing to do.
    fn acknowledge_line(&mut self, io: &mut dyn BrokerIo) -> bool {
        let _ = io;
        false
    }
}
