//! What stands beside the record of one function, under the same lock.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use cpu::Lock;
use dma_ledger::{BufferId, Claim, FunctionRecord, MappingId, OwnerId, QueueId, ResetReceipt};
use driver_core::{Broker, BrokerIo, DmaPages, Ports, Registers};
use pci::MsixTable;
use ring_abi::Refusal;

use crate::control::Operation;
use crate::interrupt::Route;
use crate::teardown::Stage;
use crate::{FrameRun, Platform};

/// One that waits for the function to be free.
pub(crate) struct Claimant<P: Platform> {
    pub(crate) owner: OwnerId,
    pub(crate) waiter: P::Waiter,
}

/// What is under way at the function.
pub(crate) enum Job<P: Platform> {
    Idle,
    Operation(Operation<P>),
    Teardown(Stage),
}

/// The objects through which processes map one buffer.
pub(crate) struct Shares<P: Platform> {
    pub(crate) id: BufferId,
    /// Read-only and writable, each made when it is first asked for.
    pub(crate) mappings: [Option<(MappingId, P::Mapping)>; 2],
    /// Its holder is gone; it is freed as soon as nothing is in flight.
    pub(crate) abandoned: bool,
}

/// The registers of the memory BARs, mapped when the function is first claimed.
pub(crate) type Bars = [Option<Registers>; 6];

/// The ports of the one I/O BAR that the broker needs, while the claim lasts.
pub(crate) struct PortBar {
    pub(crate) bar: u8,
    pub(crate) ports: Ports,
}

/// Everything under one function's lock.
pub(crate) struct Function<P: Platform> {
    pub(crate) record: FunctionRecord<P::Frames>,
    pub(crate) claim: Option<Claim>,
    pub(crate) broker: Option<Box<dyn Broker>>,
    pub(crate) bars: Bars,
    pub(crate) ports: Option<PortBar>,
    pub(crate) table: Option<MsixTable>,
    /// By source.
    pub(crate) routes: Vec<Option<Route<P>>>,
    /// By the buffer's index.
    pub(crate) shares: Vec<Option<Shares<P>>>,
    pub(crate) register_views: Vec<(MappingId, P::Mapping)>,
    /// Queues whose holder is gone.
    pub(crate) abandoned_queues: Vec<QueueId>,
    /// The proof that the device has stopped, until bus mastering spends it.
    pub(crate) receipt: Option<ResetReceipt>,
    pub(crate) job: Job<P>,
    /// A reset found no proof: the claim must end, and the device gets no second chance to stop politely.
    pub(crate) unstoppable: bool,
    pub(crate) claimants: VecDeque<Claimant<P>>,
}

/// A function's place in the ledger.
pub(crate) struct Cell<P: Platform>(pub(crate) Lock<Function<P>>);

impl<P: Platform> From<FunctionRecord<P::Frames>> for Cell<P> {
    fn from(record: FunctionRecord<P::Frames>) -> Self {
        Self(Lock::new(Function {
            record,
            claim: None,
            broker: None,
            bars: [const { None }; 6],
            ports: None,
            table: None,
            routes: Vec::new(),
            shares: Vec::new(),
            register_views: Vec::new(),
            abandoned_queues: Vec::new(),
            receipt: None,
            job: Job::Idle,
            unstoppable: false,
            claimants: VecDeque::new(),
        }))
    }
}

impl<P: Platform> Function<P> {
    /// Runs the broker with everything it may use; `WrongState` where there is none.
    pub(crate) fn with_broker<T>(
        &mut self,
        platform: &P,
        run: impl FnOnce(&mut dyn Broker, &mut dyn BrokerIo) -> T,
    ) -> Result<T, Refusal> {
        let broker = self.broker.as_deref_mut().ok_or(Refusal::WrongState)?;
        let mut io = Io {
            platform,
            bars: &self.bars,
            ports: self.ports.as_ref(),
            pages: self.claim.map(|claim| (&mut self.record, claim)),
        };
        Ok(run(broker, &mut io))
    }

    /// The claim that must end because the device did not stop.
    pub(crate) fn doomed(&self) -> Option<Claim> {
        let idle = matches!(self.job, Job::Idle);
        self.claim.filter(|_| self.unstoppable && idle)
    }

    /// The shares of a live buffer.
    pub(crate) fn shares_of(&mut self, buffer: BufferId) -> Option<&mut Shares<P>> {
        let entry = self.shares.get_mut(buffer.index() as usize)?.as_mut()?;
        (entry.id == buffer).then_some(entry)
    }
}

/// What a broker may use while it runs.
pub(crate) struct Io<'a, P: Platform> {
    pub(crate) platform: &'a P,
    pub(crate) bars: &'a Bars,
    pub(crate) ports: Option<&'a PortBar>,
    /// Where pages of its own are recorded; absent while commands run, which need none.
    pub(crate) pages: Option<(&'a mut FunctionRecord<P::Frames>, Claim)>,
}

impl<P: Platform> BrokerIo for Io<'_, P> {
    fn registers(&self, bar: u8) -> Result<&Registers, Refusal> {
        self.bars
            .get(usize::from(bar))
            .and_then(Option::as_ref)
            .ok_or(Refusal::OutOfRange)
    }

    fn ports(&self, bar: u8) -> Result<&Ports, Refusal> {
        let open = self.ports.filter(|open| open.bar == bar);
        open.map(|open| &open.ports).ok_or(Refusal::OutOfRange)
    }

    fn pages(&mut self, bytes: usize) -> Result<DmaPages, Refusal> {
        let (record, claim) = self.pages.as_mut().ok_or(Refusal::WrongState)?;
        let reservation = record.reserve_broker_pages(claim, bytes as u64)?;
        let pages = u32::try_from(reservation.pages()).unwrap_or(u32::MAX);
        let run = self.platform.allocate(pages, true);
        // Where a contiguous run has no view or no address, it is no use; nobody has seen it, so it goes back as it is.
        let Some(run) = run else {
            record.cancel_buffer(reservation);
            return Err(Refusal::NoMemory);
        };
        let (Some(view), Some(first)) = (run.view(), run.pages().first().copied()) else {
            record.cancel_buffer(reservation);
            self.platform.free(run);
            return Err(Refusal::NoMemory);
        };
        self.platform.keep_from_processes(&run);
        match record.commit_buffer(reservation, run) {
            Ok(id) => Ok(DmaPages::new(view, first, id.index())),
            Err((refusal, run)) => {
                self.platform.free(run);
                Err(refusal)
            }
        }
    }

    fn now_ns(&self) -> u64 {
        self.platform.now_ns()
    }
}
