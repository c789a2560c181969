//! The life of a device, and the broker that is made of it and a class.

use alloc::vec::Vec;

use dma_ledger::ResetProof;
use driver_core::{
    Broker, BrokerIo, CommandSlot, Completed, Configured, Mappable, Poll, Probed, QueueSpec,
    Refusal, Segment, Step, Window,
};
use sabotage::sabotage;
use virtio_format::ring::Layout;
use virtio_format::{feature, isr, ring, status};

use crate::class::{Class, Config};
use crate::queue::Virtqueue;
use crate::transport::{Doorbell, Transport};

/// The one kind of queue: a virtqueue, by its number.
pub const QUEUE_KIND: u16 = 0;

/// Entries of a queue if nobody says, and the device lets one choose.
const DEFAULT_DEPTH: u16 = 256;
/// How long a device may take to stop, and how often to look.
const RESET_NS: u64 = 5_000_000_000;
const POLL_NS: u64 = 100_000;
/// The most queues of any class.
const MAX_QUEUES: usize = 4;
/// The most queues the ledger may number.
const MAX_QUEUE_NUMBERS: usize = 256;
/// Stands for a BAR in the answer of `configure` where there is no device-specific configuration.
const NO_BAR: u8 = 0xff;

/// What was agreed on while the device was stopped.
#[derive(Clone, Copy, Debug)]
struct Settings {
    features: u64,
    queues: u16,
    depths: [u16; MAX_QUEUES],
}

impl Settings {
    fn depth(&self, queue: u16) -> Option<u16> {
        let depth = self.depths.get(usize::from(queue)).copied()?;
        (queue < self.queues).then_some(depth)
    }
}

/// How far the device is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing may be asked of it before a reset.
    Unknown,
    /// Proven stopped.
    Stopped,
    /// Stopped, sizes agreed.
    Configured(Settings),
    /// The queues have their pages.
    Prepared(Settings),
    /// Running.
    Running(Settings),
}

/// How far a reset has come.
#[derive(Clone, Copy, Debug)]
enum Reset {
    Idle,
    /// 0 was written to the status.
    Stopping {
        deadline_ns: u64,
    },
    Impossible(Refusal),
    /// A sabotage alone: claims to have stopped without having looked.
    Claimed,
}

/// The broker of one virtio device.
#[derive(Debug)]
pub struct Device<C> {
    class: C,
    transport: Transport,
    msix_vectors: u16,
    phase: Phase,
    reset: Reset,
    queues: [Option<Virtqueue>; MAX_QUEUES],
    doorbells: [Option<Doorbell>; MAX_QUEUES],
    /// Virtqueue by the ledger's number.
    places: Vec<Option<u16>>,
    readable: Option<(u8, u64, u64)>,
}

impl<C: Class> Device<C> {
    /// A broker for a function that matched.
    ///
    /// # Errors
    /// `NotSupported` for one that can be reached neither the modern nor the legacy way.
    pub fn new(class: C, probed: &Probed) -> Result<Self, Refusal> {
        const { assert!(C::QUEUES as usize <= MAX_QUEUES) };
        Ok(Self {
            class,
            transport: Transport::choose(probed)?,
            msix_vectors: probed.msix_vectors,
            phase: Phase::Unknown,
            reset: Reset::Idle,
            queues: [const { None }; MAX_QUEUES],
            doorbells: [None; MAX_QUEUES],
            places: Vec::new(),
            readable: None,
        })
    }

    /// The status of a device that is there.
    fn status(&self, io: &dyn BrokerIo) -> Result<u8, Refusal> {
        match self.transport.status(io)? {
            status::GONE => Err(Refusal::DeviceError),
            status => Ok(status),
        }
    }

    fn begin_stop(&self, io: &dyn BrokerIo) -> Result<Reset, Refusal> {
        self.status(io)?;
        self.transport.set_status(io, 0)?;
        let deadline_ns = io.now_ns().saturating_add(RESET_NS);
        Ok(Reset::Stopping { deadline_ns })
    }

    fn poll_stop(&self, io: &dyn BrokerIo, deadline_ns: u64) -> Poll {
        // The clock first: a look that came late still counts.
        let late = io.now_ns() >= deadline_ns;
        match self.status(io) {
            Ok(0) => Poll::Done(Step::Stopped(ResetProof::VirtioStatusZero)),
            Ok(_) if late => Poll::Failed(Refusal::TimedOut),
            Ok(_) => Poll::Pending { after_ns: POLL_NS },
            Err(refusal) => Poll::Failed(refusal),
        }
    }

    /// Makes the device known (3.1.1, steps 2 and 3) and reads what it offers.
    fn greet(&self, io: &dyn BrokerIo) -> Result<u64, Refusal> {
        let known = status::ACKNOWLEDGE | status::DRIVER;
        if !matches!(self.phase, Phase::Stopped | Phase::Configured(_)) {
            return Err(Refusal::WrongState);
        }
        // It has stopped, and nothing but an earlier greeting of ours came after that.
        match self.status(io)? {
            0 => {}
            seen if seen == known => {}
            _ => return Err(Refusal::WrongState),
        }
        self.transport.set_status(io, status::ACKNOWLEDGE)?;
        self.transport.set_status(io, known)?;
        self.transport.features(io)
    }

    /// Entries of each queue.
    fn depths(
        &self,
        io: &dyn BrokerIo,
        queues: u16,
        wanted: u64,
    ) -> Result<[u16; MAX_QUEUES], Refusal> {
        let mut depths = [0; MAX_QUEUES];
        for (index, depth) in (0..queues).zip(&mut depths) {
            let most = match self.transport.queue_size(io, index)? {
                0 => return Err(Refusal::NotSupported),
                most => Layout::new(most).ok_or(Refusal::DeviceError)?.size(),
            };
            if index == 0 && wanted > u64::from(most) {
                return Err(Refusal::OutOfRange);
            }
            let wanted = match wanted {
                0 => DEFAULT_DEPTH,
                // At most the first queue's size, which is 16 bits.
                wanted => wanted as u16,
            };
            *depth = if self.transport.sizes_are_chosen() {
                most.min(wanted)
            } else {
                most
            };
        }
        Ok(depths)
    }

    /// Everything from the features to the running device (3.1.1, steps 5 to 8).
    fn start(&mut self, io: &dyn BrokerIo, settings: Settings) -> Result<(), Refusal> {
        let transport = self.transport;
        if self.status(io)? != status::ACKNOWLEDGE | status::DRIVER {
            return Err(Refusal::DeviceError);
        }
        transport.accept(io, settings.features)?;
        let config = Config {
            transport: &transport,
            io,
        };
        self.class.learn(&config, settings.features)?;
        transport.silence_config(io)?;
        for index in 0..settings.queues {
            let place = usize::from(index);
            let queue = self.queues.get(place).and_then(Option::as_ref);
            let queue = queue.ok_or(Refusal::WrongState)?;
            let vector = Some(index).filter(|vector| *vector < self.msix_vectors);
            let doorbell = transport.set_queue(io, index, queue, vector)?;
            if let Some(entry) = self.doorbells.get_mut(place) {
                *entry = doorbell;
            }
        }
        let running = self.status(io)? | status::DRIVER_OK;
        transport.set_status(io, running)?;
        // Anything else, a device that needs a reset among it, is no device that runs.
        if self.status(io)? == running {
            Ok(())
        } else {
            Err(Refusal::DeviceError)
        }
    }

    fn check_source(&self, index: u16, source: Option<u16>) -> Result<(), Refusal> {
        match source {
            None => Ok(()),
            // Each queue raises the vector of its own number, or all share the one line.
            Some(source) if self.msix_vectors == 0 && source == 0 => Ok(()),
            Some(source) if source == index && source < self.msix_vectors => Ok(()),
            Some(_) => Err(Refusal::BadArgument),
        }
    }

    /// The virtqueue behind a ledger number.
    fn running(&mut self, queue: u16) -> Result<(u16, &mut Virtqueue), Refusal> {
        if !matches!(self.phase, Phase::Running(_)) {
            return Err(Refusal::WrongState);
        }
        let place = self.places.get(usize::from(queue)).copied().flatten();
        let index = place.ok_or(Refusal::OutOfRange)?;
        let found = self.queues.get_mut(usize::from(index));
        let found = found.and_then(Option::as_mut).ok_or(Refusal::WrongState)?;
        Ok((index, found))
    }
}

impl<C: Class> Broker for Device<C> {
    fn windows(&self) -> &'static [Window] {
        &[]
    }

    fn readable(&self) -> &[(u8, u64, u64)] {
        self.readable.as_slice()
    }

    fn mappable(&self) -> &'static [Mappable] {
        &[]
    }

    fn port_bar(&self) -> Option<u8> {
        self.transport.port_bar()
    }

    fn acknowledge_line(&mut self, io: &mut dyn BrokerIo) -> bool {
        // A device that signals by message has no line.
        if self.msix_vectors != 0 {
            return false;
        }
        let seen = self.transport.take_isr(io).unwrap_or(0);
        seen != status::GONE && seen & (isr::QUEUE | isr::CONFIG) != 0
    }

    fn begin_reset(&mut self, io: &mut dyn BrokerIo) {
        self.phase = Phase::Unknown;
        self.places.clear();
        self.readable = None;
        if sabotage!(VIRTIO_RECEIPT_WITHOUT_STATUS) {
            self.reset = Reset::Claimed;
            return;
        }
        self.reset = self.begin_stop(io).unwrap_or_else(Reset::Impossible);
    }

    fn poll_reset(&mut self, io: &mut dyn BrokerIo) -> Poll {
        let poll = match self.reset {
            Reset::Idle => Poll::Failed(Refusal::WrongState),
            Reset::Impossible(refusal) => Poll::Failed(refusal),
            Reset::Stopping { deadline_ns } => self.poll_stop(io, deadline_ns),
            Reset::Claimed => Poll::Done(Step::Stopped(ResetProof::VirtioStatusZero)),
        };
        if !matches!(poll, Poll::Pending { .. }) {
            self.reset = Reset::Idle;
        }
        if matches!(poll, Poll::Done(_)) {
            self.phase = Phase::Stopped;
        }
        poll
    }

    /// `[features, queues, entries]`, each 0 for what is usual. Answers `[features, queues | BAR << 16 | offset << 32,
    /// entries of queue 0]`, where BAR and offset say where the device-specific configuration lies.
    fn configure(
        &mut self,
        io: &mut dyn BrokerIo,
        request: [u64; 3],
    ) -> Result<Configured, Refusal> {
        let [wish, queues, entries] = request;
        let allowed = C::FEATURES | feature::VERSION_1;
        if wish & !allowed != 0 && !sabotage!(VIRTIO_ANY_FEATURE) {
            return Err(Refusal::BadArgument);
        }
        if queues > u64::from(C::QUEUES) || entries > u64::from(ring::MAX_SIZE) {
            return Err(Refusal::OutOfRange);
        }
        if entries != 0 && !entries.is_power_of_two() {
            return Err(Refusal::BadArgument);
        }
        let queues = match queues {
            0 => C::QUEUES,
            queues => queues as u16,
        };
        let offered = self.greet(io)?;
        let required = self.transport.required();
        if offered & required != required || self.transport.queues(io)? < queues {
            return Err(Refusal::NotSupported);
        }
        let wish = if wish == 0 { C::FEATURES } else { wish };
        let features = ((wish | C::ALWAYS) & C::FEATURES | self.transport.wherever_offered())
            & offered
            | required;
        let depths = self.depths(io, queues, entries)?;
        self.phase = Phase::Configured(Settings {
            features,
            queues,
            depths,
        });
        let config = self.transport.config();
        let config = config.map(|(bar, at, bytes)| (bar, at, bytes.min(C::CONFIG_BYTES)));
        self.readable = config.filter(|(.., bytes)| *bytes != 0);
        let (bar, at, _) = self.readable.unwrap_or((NO_BAR, 0, 0));
        if sabotage!(VIRTIO_CONFIG_EVERYTHING) {
            self.readable = Some((bar, 0, u64::MAX));
        }
        let depth = depths.first().copied().unwrap_or(0);
        let place = u64::from(bar) << 16 | at << 32;
        Ok(Configured([
            features,
            u64::from(queues) | place,
            u64::from(depth),
        ]))
    }

    fn begin_enable(&mut self, io: &mut dyn BrokerIo) -> Result<(), Refusal> {
        let Phase::Configured(settings) = self.phase else {
            return Err(Refusal::WrongState);
        };
        for (index, place) in (0..settings.queues).zip(&mut self.queues) {
            let depth = settings.depth(index).ok_or(Refusal::WrongState)?;
            let layout = Layout::new(depth).ok_or(Refusal::DeviceError)?;
            Virtqueue::prepare(io, place, layout)?;
        }
        self.phase = Phase::Prepared(settings);
        Ok(())
    }

    fn poll_enable(&mut self, io: &mut dyn BrokerIo) -> Poll {
        let Phase::Prepared(settings) = self.phase else {
            return Poll::Failed(Refusal::WrongState);
        };
        match self.start(io, settings) {
            Ok(()) => {
                self.phase = Phase::Running(settings);
                Poll::Done(Step::Ready)
            }
            Err(refusal) => {
                self.phase = Phase::Unknown;
                let _ = self.transport.set_status(io, status::FAILED);
                Poll::Failed(refusal)
            }
        }
    }

    fn queue_limit(&self, kind: u16, index: u16) -> Option<u16> {
        let settings = match &self.phase {
            Phase::Configured(one) | Phase::Prepared(one) | Phase::Running(one) => one,
            Phase::Unknown | Phase::Stopped => return None,
        };
        settings.depth(index).filter(|_| kind == QUEUE_KIND)
    }

    /// The device has had the queue since it was enabled; from here on its holder may use it.
    fn begin_open(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: u16,
        spec: QueueSpec,
    ) -> Result<(), Refusal> {
        if !matches!(self.phase, Phase::Running(_)) {
            return Err(Refusal::WrongState);
        }
        let limit = self.queue_limit(spec.kind, spec.index);
        if spec.depth == 0 || limit.is_none_or(|limit| spec.depth > limit) {
            return Err(Refusal::OutOfRange);
        }
        self.check_source(spec.index, spec.vector)?;
        if self.status(io)? & status::DEVICE_NEEDS_RESET != 0 {
            return Err(Refusal::DeviceError);
        }
        let at = usize::from(queue);
        if at >= MAX_QUEUE_NUMBERS {
            return Err(Refusal::OutOfRange);
        }
        let taken = self.places.get(at).is_some_and(Option::is_some);
        if taken || self.places.contains(&Some(spec.index)) {
            return Err(Refusal::WrongState);
        }
        if self.places.len() <= at {
            self.places.resize(at + 1, None);
        }
        if let Some(place) = self.places.get_mut(at) {
            *place = Some(spec.index);
        }
        let (_, opened) = self.running(queue)?;
        opened.want_interrupts(spec.vector.is_some());
        Ok(())
    }

    fn poll_open(&mut self, _: &mut dyn BrokerIo, queue: u16) -> Poll {
        match self.running(queue) {
            Ok(_) => Poll::Done(Step::QueueOpen),
            Err(refusal) => Poll::Failed(refusal),
        }
    }

    fn submit(
        &mut self,
        _: &mut dyn BrokerIo,
        queue: u16,
        slot: CommandSlot,
        template: &[u8],
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal> {
        let (index, _) = self.running(queue)?;
        let plan = self.class.plan(index, template, segments)?;
        let (_, target) = self.running(queue)?;
        target.push(slot.slot, &plan, segments)
    }

    fn ring(&mut self, io: &mut dyn BrokerIo, queue: u16) {
        let Ok((index, target)) = self.running(queue) else {
            return;
        };
        if target.publish() {
            let doorbell = self.doorbells.get(usize::from(index)).copied().flatten();
            self.transport.notify(io, index, doorbell);
        }
    }

    fn next_completion(
        &mut self,
        _: &mut dyn BrokerIo,
        queue: u16,
    ) -> Result<Option<Completed>, Refusal> {
        let (index, target) = self.running(queue)?;
        let Some(taken) = target.take()? else {
            return Ok(None);
        };
        match self.class.finish(index, taken.finished) {
            Ok((status, result)) => Ok(Some(Completed {
                slot: taken.slot,
                status,
                result,
            })),
            Err(refusal) => {
                if let Ok((_, target)) = self.running(queue) {
                    target.break_off();
                }
                Err(refusal)
            }
        }
    }

    /// Nothing is handed back: a used ring has room for every chain.
    fn completions_taken(&mut self, _: &mut dyn BrokerIo, _: u16) {}
}
