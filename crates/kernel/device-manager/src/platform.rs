//! What the kernel gives the manager: memory, mappings, vectors, time and a place for facts.

use core::fmt;

use audit_format::Event;
use dma_ledger::{Claim, OwnerId, QueueId, ShootdownProof, TranslationProof};
use driver_core::{Addressing, PageAddresses, Ports, Registers};
use mmio::SharedBytes;
use ring_abi::Refusal;
use units::Bdf;

use crate::Saying;

/// Pages that a platform wipes or frees in one go, at most.
pub const STEP_PAGES: usize = 8;

/// Frames that a device may be given: one physical run, or single pages.
pub trait FrameRun: Send + fmt::Debug {
    /// Where the device sees each page, in order.
    fn pages(&self) -> &PageAddresses;

    /// The kernel's view of a contiguous run; `None` where the pages are scattered.
    fn view(&self) -> Option<SharedBytes>;
}

/// Something that processes can map: over the pages of one buffer, or over register pages. Its clones are the same.
pub trait Mapping: Clone + Send {
    /// What [`Self::revoke`] gives.
    type Proof: ShootdownProof;

    /// Ends every mapping in every address space, and every later attempt to map. Returns when no CPU holds a
    /// translation any more. May be called more than once.
    fn revoke(&self) -> Self::Proof;

    /// A bounded part of the same, which waits for nobody: for where nothing else runs meanwhile. `None`: there is more to do.
    fn revoke_some(&self) -> Option<Self::Proof>;
}

/// How one function reaches memory for the length of one claim: in a domain of its own, or without any translation. Its
/// clones are the same. Every method may be called with a function's lock held but [`Self::map`] and [`Self::unmap`] of
/// long runs, which take time.
pub trait Reach<F>: Clone + Send {
    /// What [`Self::unmap`] and [`Self::end`] give.
    type Proof: TranslationProof;

    /// Lets the device reach the frames, for reading alone or for writing too, and gives them their device addresses. Without a
    /// domain there is nobody who would keep it from writing.
    ///
    /// # Errors
    /// `Revoked` after [`Self::end`]; `Exhausted` for want of device addresses; `NoMemory`, `OverBudget` for tables.
    /// After any of them [`Self::unmap`] says whether the frames may be used again.
    fn map(&self, frames: &mut F, access: Access) -> Result<(), Refusal>;

    /// Ends that, and returns once the unit has forgotten it. Frames that were never mapped count as forgotten.
    ///
    /// # Errors
    /// `DeviceError`: the unit does not answer.
    fn unmap(&self, frames: &F) -> Result<Self::Proof, Refusal>;

    /// Blocks the function and ends everything that is mapped, at once.
    ///
    /// # Errors
    /// `DeviceError`: the unit does not answer.
    fn end(&self) -> Result<Self::Proof, Refusal>;

    /// Whether a provider may write addresses into commands of this function itself: the domain is there and was made for the
    /// claim of this generation, and its unit, by all that it reads, leads the pages of these two runs where they are and the function
    /// nowhere but into this domain. Says so, or what is missing, where that may be said.
    ///
    /// # Errors
    /// `NotSupported`.
    fn confines(&self, claim: (Bdf, u64), runs: [&F; 2], saying: Saying) -> Result<(), Refusal>;

    /// Whether there is a domain.
    fn is_translated(&self) -> bool;

    /// Frees a bounded part of what the domain was made of. `false`: nothing was left. After [`Self::end`] alone.
    fn shed(&self) -> bool;

    /// Whether the books of the domain agree at the end of its claim, when so many of its pages were still allocated: what was
    /// mapped is that, and its tables held what was written into them. So too where there is no domain.
    fn agrees(&self, pages: u64) -> bool;

    /// States how they compare. The manager asks for it at the end of each claim of a domain: where they agree, within the share
    /// of facts that the function has; where they differ, always.
    fn close(&self, pages: u64);
}

/// How the pages of a buffer lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// As they come.
    Scattered,
    /// In one physical run.
    Contiguous,
}

/// What processes may do with pages that they map, and a device with those that it reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read them.
    Read,
    /// Read and write them.
    ReadWrite,
}

/// The right to answer one call that waits for a `T`.
pub trait Waiter<T>: Send {
    /// Whether somebody still waits.
    fn is_live(&self) -> bool;

    /// Answers, once. Returns whether somebody took the answer.
    fn answer(self, outcome: Result<T, Refusal>) -> bool;
}

/// An entry of a remapping unit's table, through which alone its source raises an interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Number of the unit.
    pub unit: u8,
    /// Requester id of the source, which the unit verifies.
    pub source: u16,
    /// Its number in the unit's table, or in the source's own.
    pub index: u16,
    /// It stands for a line's level.
    pub level: bool,
}

/// What raises an interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Raiser {
    /// A function, by messages of its own.
    Function(Bdf),
    /// A line, by those of its I/O APIC.
    Line(Line),
}

/// An interrupt vector of one CPU, and the message that raises it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// The CPU; the kernel calls `DeviceManager::on_interrupt` there, with both.
    pub cpu: u16,
    /// The vector.
    pub vector: u8,
    /// Local APIC identifier of the CPU.
    pub apic_id: u32,
    /// Address the function writes.
    pub address: u64,
    /// Data the function writes.
    pub data: u32,
    /// The entry that the message names; `None` where it names the vector itself.
    pub entry: Option<Entry>,
}

/// Where a pin arrives, as firmware's tables say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// The global interrupt.
    pub gsi: u32,
    /// Level triggered, else edge triggered.
    pub level: bool,
    /// Active low, else active high.
    pub active_low: bool,
}

/// The calls that wait for a device. They live with the objects that are called, above the machine.
pub trait Waiters {
    /// A call that waits for a claim. If nobody takes the answer, whoever turned it into an object releases the claim.
    type Claiming: Waiter<Claim>;
    /// A call that waits for a reset, or for the device to be enabled.
    type Acting: Waiter<()>;
    /// A call that waits for a queue to be open.
    type Opening: Waiter<QueueId>;
    /// A call that waits for a route to dispatch: so often so far.
    type Waiting: Waiter<u64>;
}

/// The machine below the manager. Every method may be called with a function's lock held, so none calls back.
pub trait Platform: Waiters + Send + Sync {
    /// Frames that a device may be given.
    type Frames: FrameRun;
    /// Something that processes can map.
    type Mapping: Mapping;
    /// How a claimed function reaches memory.
    type Reach: Reach<Self::Frames>;

    /// Allocates zeroed frames. With no lock held: others may go first in between, as while they are mapped.
    ///
    /// # Errors
    /// `OverBudget` where whoever pays cannot; `NoMemory`.
    fn allocate(&self, pages: u32, layout: Layout) -> Result<Self::Frames, Refusal>;

    /// Allocates zeroed frames in one piece for a broker, while the lock of its function is held: nobody else can go first.
    ///
    /// # Errors
    /// As [`Self::allocate`].
    fn allocate_own(&self, pages: u32) -> Result<Self::Frames, Refusal> {
        self.allocate(pages, Layout::Contiguous)
    }

    /// Makes the way in which a function reaches memory during this owner's claim of this generation.
    ///
    /// # Errors
    /// `NotSupported` where nobody could say what it reaches; `DeviceError` where its unit does not answer; `NoMemory`,
    /// `OverBudget`, `Exhausted`.
    fn reach(
        &self,
        function: Bdf,
        claim: (OwnerId, u64),
        addressing: Addressing,
    ) -> Result<Self::Reach, Refusal>;

    /// Notes that the frames are a broker's own: devices read them, and no process ever maps them.
    fn keep_from_processes(&self, _frames: &Self::Frames) {}

    /// Fills some of the frames with zeros, from page `from` on. Gives where to go on; `None` after the last.
    fn scrub(&self, frames: &mut Self::Frames, from: usize) -> Option<usize>;

    /// Takes some zeroed frames back, and gives what is left of them; of one run nothing is left.
    fn free(&self, frames: Self::Frames) -> Option<Self::Frames>;

    /// Between two steps of long work, with no lock held: others go first.
    fn look(&self) {}

    /// Makes a second view of the same frames, for the sabotage `share-window`. Neither view's frames may return to
    /// the allocator afterwards.
    #[cfg(sabotage)]
    fn alias(&self, frames: &Self::Frames) -> Option<Self::Frames> {
        let _ = frames;
        None
    }

    /// Maps registers for the kernel, uncached, for good.
    fn registers(&self, physical: u64, bytes: u64) -> Option<Registers>;

    /// Gives access to the ports of an I/O BAR; `None` where they do not lie in port space.
    fn ports(&self, first: u16, bytes: u16) -> Option<Ports>;

    /// Makes an object that maps the pages of `frames`.
    fn share(&self, frames: &Self::Frames, access: Access) -> Option<Self::Mapping>;

    /// Makes an object that maps register pages, read-only and uncached. `physical` is page-aligned.
    fn share_registers(&self, physical: u64, pages: u32) -> Option<Self::Mapping>;

    /// Takes an interrupt vector of this CPU, or of the least loaded one. Nothing raises it yet.
    ///
    /// # Errors
    /// `Exhausted`; `OutOfRange` for a CPU that is not there, or that no device can interrupt.
    fn allocate_vector(&self, cpu: Option<u16>) -> Result<Message, Refusal>;

    /// Lets something raise a vector, and gives the message by which it does: one that names an entry of its own, where a
    /// remapping unit judges its messages.
    ///
    /// # Errors
    /// `Exhausted`, `NoMemory`, `OverBudget`: there is no entry left. `DeviceError`: its unit does not answer.
    fn admit(&self, raiser: Raiser, message: Message) -> Result<Message, Refusal>;

    /// Leads the entry of `from` to the vector of `to`, and gives the message that stands for it from now on: that of `from`,
    /// which has lost its entry, so its source need not be told. Nothing arrives at the old vector any more that has not yet.
    ///
    /// # Errors
    /// `NotSupported`: `from` has no entry. `DeviceError`: its unit does not answer; neither vector may be used again.
    fn redirect(&self, from: &mut Message, to: Message) -> Result<Message, Refusal>;

    /// Ends that anything raises a vector, whose source has been told to stop: first its entry, where it has one. The kernel calls
    /// `DeviceManager::vector_settled` once nothing can arrive on the vector any more, and only then hands it out again.
    fn retire_vector(&self, message: &Message);

    /// Where pin `pin` (1 to 4) of the function arrives; `None` where no table says.
    fn line_of(&self, function: Bdf, pin: u8) -> Option<Line>;

    /// Masks a line, so that it can be moved. `false`, and nothing has changed, where its interrupt is in service.
    fn hold_line(&self, gsi: u32) -> bool;

    /// Routes a line to a vector, or to its entry, masked. `false` where no I/O APIC has the line, or its interrupt is in service.
    fn route_line(&self, line: &Line, message: &Message) -> bool;

    /// Masks a line that was routed.
    fn mask_line(&self, gsi: u32);

    /// Lets a line that was routed be raised.
    fn unmask_line(&self, gsi: u32);

    /// Sets the one-shot timer of a line: the kernel calls `DeviceManager::poll_line(line)` at that time.
    fn arm_line(&self, line: u32, at_ns: u64);

    /// Monotonic nanoseconds.
    fn now_ns(&self) -> u64;

    /// Sets the one-shot timer of a function: the kernel calls `DeviceManager::poll(function)` at that time, with no
    /// lock held. Where the same CPU has set it already, the earlier of both times stands and the other is forgotten; another CPU
    /// has one of its own. So a look may come before it was wanted, and whoever wants one later has to say so again.
    fn arm(&self, function: u32, at_ns: u64);

    /// States a fact: hands the line's sink to `write`.
    fn fact(&self, write: &dyn Fn(&mut dyn fmt::Write) -> fmt::Result);

    /// States what is evidence of a run on a cloud: kept in the log, and shown on the serial line there.
    fn evidence(&self, write: &dyn Fn(&mut dyn fmt::Write) -> fmt::Result);

    /// Puts an event into the hardware audit log. Never waits, never allocates.
    fn audit(&self, event: Event);
}
