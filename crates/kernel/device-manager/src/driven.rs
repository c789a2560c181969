//! The broker of a claim, and what it may use while it runs.

use alloc::boxed::Box;

use dma_ledger::{Claim, FunctionRecord};
use driver_core::{Broker, BrokerIo, DeviceAddress, DmaPages, Ports, Registers};
use mmio::SharedBytes;
use ring_abi::Refusal;

use crate::mapped::Mapped;
use crate::{Access, FrameRun, Platform, Reach};

/// The ports of the one I/O BAR that the broker needs, while the claim lasts.
pub(crate) struct PortBar {
    pub(crate) bar: u8,
    pub(crate) ports: Ports,
}

/// The broker and its ports.
pub(crate) struct Driven {
    /// Gone once the device has stopped for good: it holds views of pages that are wiped and freed next.
    broker: Option<Box<dyn Broker>>,
    ports: Option<PortBar>,
}

impl Driven {
    pub(crate) const fn new(broker: Box<dyn Broker>, ports: Option<PortBar>) -> Self {
        Self {
            broker: Some(broker),
            ports,
        }
    }

    /// What the broker says without being run.
    pub(crate) fn broker(&self) -> Option<&dyn Broker> {
        self.broker.as_deref()
    }

    /// The ports of this BAR.
    ///
    /// # Errors
    /// `OutOfRange` where the broker does not use them.
    pub(crate) fn ports(&self, bar: u8) -> Result<&Ports, Refusal> {
        let open = self.ports.as_ref().filter(|open| open.bar == bar);
        open.map(|open| &open.ports).ok_or(Refusal::OutOfRange)
    }

    /// Takes the ports away. Returns whether there were any.
    pub(crate) fn take_ports(&mut self) -> bool {
        self.ports.take().is_some()
    }

    /// Drops the broker.
    pub(crate) fn drop_broker(&mut self) {
        self.broker = None;
    }

    /// The broker, and what it may use; `pages` is where pages of its own are recorded, absent while commands run, which
    /// need none.
    ///
    /// # Errors
    /// `WrongState` where there is none any more.
    #[inline]
    pub(crate) fn drive<'f, P: Platform>(
        &'f mut self,
        platform: &'f P,
        mapped: &'f Mapped,
        pages: Option<OwnPages<'f, P>>,
    ) -> Result<(&'f mut dyn Broker, Io<'f, P>), Refusal> {
        let broker = self.broker.as_deref_mut().ok_or(Refusal::WrongState)?;
        let io = Io {
            platform,
            mapped,
            ports: self.ports.as_ref(),
            pages,
        };
        Ok((broker, io))
    }
}

/// What a broker may use while it runs.
pub(crate) struct Io<'f, P: Platform> {
    platform: &'f P,
    mapped: &'f Mapped,
    ports: Option<&'f PortBar>,
    pages: Option<OwnPages<'f, P>>,
}

/// Where pages of the broker's own are recorded, and mapped for its device.
pub(crate) struct OwnPages<'f, P: Platform> {
    pub(crate) record: &'f mut FunctionRecord<P::Frames>,
    pub(crate) claim: Claim,
    pub(crate) reach: &'f P::Reach,
}

impl<P: Platform> OwnPages<'_, P> {
    /// A contiguous run that the device reaches, with its first device address. A run without a view or an address is
    /// useless; nobody has seen it, so it goes back as it is.
    fn run(
        &self,
        platform: &P,
        pages: u32,
        access: Access,
    ) -> Result<(P::Frames, SharedBytes, DeviceAddress), Refusal> {
        let mut run = platform.allocate_own(pages)?;
        if let Err(refusal) = self.reach.map(&mut run, access) {
            self.give_back(platform, run);
            return Err(refusal);
        }
        match (run.view(), run.pages().get(0).copied()) {
            (Some(view), Some(first)) => Ok((run, view, first)),
            _ => {
                self.give_back(platform, run);
                Err(Refusal::NoMemory)
            }
        }
    }

    /// Gives a run back that nobody used. Where the unit does not forget it, it stays out of the allocator.
    fn give_back(&self, platform: &P, run: P::Frames) {
        if self.reach.unmap(&run).is_ok() {
            let _ = platform.free(run);
        }
    }
}

impl<P: Platform> BrokerIo for Io<'_, P> {
    fn registers(&self, bar: u8) -> Result<&Registers, Refusal> {
        self.mapped.bar(bar)
    }

    fn ports(&self, bar: u8) -> Result<&Ports, Refusal> {
        let open = self.ports.filter(|open| open.bar == bar);
        open.map(|open| &open.ports).ok_or(Refusal::OutOfRange)
    }

    fn pages(&mut self, bytes: usize) -> Result<DmaPages, Refusal> {
        self.own_pages(bytes, Access::ReadWrite)
    }

    fn read_only_pages(&mut self, bytes: usize) -> Result<DmaPages, Refusal> {
        self.own_pages(bytes, Access::Read)
    }

    fn now_ns(&self) -> u64 {
        self.platform.now_ns()
    }
}

impl<P: Platform> Io<'_, P> {
    fn own_pages(&mut self, bytes: usize, access: Access) -> Result<DmaPages, Refusal> {
        let own = self.pages.as_mut().ok_or(Refusal::WrongState)?;
        let reservation = own.record.reserve_broker_pages(&own.claim, bytes as u64)?;
        let pages = u32::try_from(reservation.pages()).unwrap_or(u32::MAX);
        let (run, view, first) = match own.run(self.platform, pages, access) {
            Ok(made) => made,
            Err(refusal) => {
                own.record.cancel_buffer(reservation);
                return Err(refusal);
            }
        };
        self.platform.keep_from_processes(&run);
        match own.record.commit_buffer(reservation, run) {
            Ok(id) => Ok(DmaPages::new(view, first, id.index())),
            Err((refusal, run)) => {
                own.give_back(self.platform, run);
                Err(refusal)
            }
        }
    }
}
