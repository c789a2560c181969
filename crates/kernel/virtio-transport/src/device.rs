//! The life of a device, and the broker that is made of it and a class.

use dma_ledger::ResetProof;
use driver_core::{
    Access, Addressing, Broker, BrokerIo, CommandSlot, Completed, ConfigRange, Counts, Direction,
    DmaPath, Operation, Poll, Probed, QueuePlace, QueueSpec, Refusal, Segment, Settings, Step,
    Transfer,
};
use sabotage::sabotage;
use virtio_format::ring::Layout;
use virtio_format::{feature, isr, ring, status};

use crate::class::{Class, Config};
use crate::direct::DirectQueue;
use crate::modern::Doorbell;
use crate::queue::Virtqueue;
use crate::transport::{Transport, offers_bus};

/// The one kind of queue: a virtqueue, by its number.
pub const QUEUE_KIND: u16 = 0;

/// Entries of a queue if nobody says, and the device lets one choose.
const DEFAULT_DEPTH: u16 = 256;
/// How long a device may take to stop, and how often to look.
const RESET_NS: u64 = 5_000_000_000;
const POLL_NS: u64 = 100_000;
/// The most queues of any class.
const MAX_QUEUES: usize = 4;

/// What was agreed on while the device was stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreed {
    pub(crate) features: u64,
    queues: u16,
    depths: [u16; MAX_QUEUES],
}

impl Agreed {
    pub(crate) fn depth(&self, queue: u16) -> Option<u16> {
        let depth = self.depths.get(usize::from(queue)).copied()?;
        (queue < self.queues).then_some(depth)
    }
}

/// How far the device is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// Nothing may be asked of it before a reset.
    Unknown,
    /// Proven stopped.
    Stopped,
    /// Stopped, sizes agreed.
    Configured(Agreed),
    /// Running.
    Running(Agreed),
}

/// What was begun last and has not ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UnderWay {
    /// 0 was written to the status.
    Stopping {
        deadline_ns: u64,
    },
    /// A reset that cannot be done; nothing stands proven.
    Impossible(Refusal),
    /// A sabotage alone: claims to have stopped without having looked.
    Claimed,
    Enabling(Agreed),
    /// The device has had the queue since it was enabled.
    Opening,
    /// As [`Self::Stopping`], to be started again with a queue whose rings its holder has.
    Restarting {
        deadline_ns: u64,
        agreed: Agreed,
    },
}

/// The broker of one virtio device.
#[derive(Debug)]
pub struct Device<C> {
    class: C,
    pub(crate) transport: Transport,
    /// Whether its addresses are those of the bus, as it said when it was claimed.
    pub(crate) over_bus: Option<bool>,
    msix_vectors: u16,
    access: Access,
    pub(crate) phase: Phase,
    under_way: Option<UnderWay>,
    queues: [Option<Virtqueue>; MAX_QUEUES],
    pub(crate) doorbells: [Option<Doorbell>; MAX_QUEUES],
    /// Those that carry commands.
    pub(crate) open: [bool; MAX_QUEUES],
    /// Those whose rings their holder writes.
    pub(crate) directs: [Option<DirectQueue>; MAX_QUEUES],
}

impl<C: Class> Device<C> {
    /// A broker for a function that matched.
    ///
    /// # Errors
    /// `NotSupported` for one that can be reached neither the modern nor the legacy way.
    pub fn new(class: C, probed: &Probed) -> Result<Self, Refusal> {
        const { assert!(C::QUEUES as usize <= MAX_QUEUES) };
        let transport = Transport::choose(probed)?;
        Ok(Self {
            class,
            over_bus: None,
            access: Access {
                ports: transport.port_bar(),
                ..Access::default()
            },
            transport,
            msix_vectors: probed.msix_vectors,
            phase: Phase::Unknown,
            under_way: None,
            queues: [const { None }; MAX_QUEUES],
            doorbells: [None; MAX_QUEUES],
            open: [false; MAX_QUEUES],
            directs: [None; MAX_QUEUES],
        })
    }

    /// Lets the provider read the device-specific configuration, as far as the class has one.
    #[expect(clippy::disallowed_methods, reason = "stack: into an array")]
    fn show_config(&mut self) -> Option<ConfigRange> {
        let config = self.transport.config();
        let config = config.map(|(bar, at, bytes)| (bar, at, bytes.min(C::CONFIG_BYTES)));
        let config = config.filter(|(.., bytes)| *bytes != 0);
        self.access.readable = config.into_iter().collect();
        let (bar, at, bytes) = config?;
        if sabotage!(VIRTIO_CONFIG_EVERYTHING) {
            self.access.readable = core::iter::once((bar, 0, u64::MAX)).collect();
        }
        Some(ConfigRange {
            bar,
            offset: u32::try_from(at).ok()?,
            bytes: u32::try_from(bytes).ok()?,
        })
    }

    /// The status of a device that is there.
    fn status(&self, io: &dyn BrokerIo) -> Result<u8, Refusal> {
        match self.transport.status(io)? {
            status::GONE => Err(Refusal::DeviceError),
            status => Ok(status),
        }
    }

    pub(crate) fn begin_stop(&self, io: &dyn BrokerIo) -> Result<UnderWay, Refusal> {
        self.status(io)?;
        self.transport.set_status(io, 0)?;
        let deadline_ns = io.now_ns().saturating_add(RESET_NS);
        Ok(UnderWay::Stopping { deadline_ns })
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
    pub(crate) fn greet(&self, io: &dyn BrokerIo) -> Result<u64, Refusal> {
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
        wanted: u16,
    ) -> Result<[u16; MAX_QUEUES], Refusal> {
        let mut depths = [0; MAX_QUEUES];
        for (index, depth) in (0..queues).zip(&mut depths) {
            let most = match self.transport.queue_size(io, index)? {
                0 => return Err(Refusal::NotSupported),
                most => Layout::new(most).ok_or(Refusal::DeviceError)?.size(),
            };
            if index == 0 && wanted > most {
                return Err(Refusal::OutOfRange);
            }
            let wanted = match wanted {
                0 => DEFAULT_DEPTH,
                wanted => wanted,
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
    pub(crate) fn start(&mut self, io: &mut dyn BrokerIo, settings: Agreed) -> Result<(), Refusal> {
        let transport = self.transport;
        if self.status(io)? != status::ACKNOWLEDGE | status::DRIVER {
            return Err(Refusal::DeviceError);
        }
        transport.accept(io, settings.features)?;
        let mut config = Config {
            transport: &transport,
            io,
        };
        self.class.learn(&mut config, settings.features)?;
        transport.silence_config(io)?;
        for index in 0..settings.queues {
            let place = usize::from(index);
            let queue = self.queues.get(place).and_then(Option::as_ref);
            let own = queue.ok_or(Refusal::WrongState)?.place();
            let own_vector = Some(index).filter(|vector| *vector < self.msix_vectors);
            let direct = self.directs.get(place).and_then(Option::as_ref);
            let (parts, vector) = direct.map_or((own, own_vector), |direct| {
                (direct.place, direct.vector(self.msix_vectors))
            });
            let doorbell = transport.set_queue(io, index, &parts, vector)?;
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

    pub(crate) fn check_source(&self, index: u16, source: Option<u16>) -> Result<(), Refusal> {
        match source {
            None => Ok(()),
            // Each queue raises the vector of its own number, or all share the one line.
            Some(source) if self.msix_vectors == 0 && source == 0 => Ok(()),
            Some(source) if source == index && source < self.msix_vectors => Ok(()),
            Some(_) => Err(Refusal::BadArgument),
        }
    }

    /// Why no command goes through a queue.
    #[cold]
    fn not_open(&self, queue: QueuePlace) -> Refusal {
        let direct = self.directs.get(usize::from(queue.index));
        match direct {
            // Nothing of it is the broker's to write or to read.
            Some(Some(_)) if queue.kind == QUEUE_KIND => Refusal::NotSupported,
            _ => Refusal::OutOfRange,
        }
    }

    /// A virtqueue that carries commands.
    fn running(&mut self, queue: QueuePlace) -> Result<&mut Virtqueue, Refusal> {
        if !matches!(self.phase, Phase::Running(_)) {
            return Err(Refusal::WrongState);
        }
        let index = usize::from(queue.index);
        let open = self.open.get(index).copied().unwrap_or_default();
        if !open || queue.kind != QUEUE_KIND {
            return Err(self.not_open(queue));
        }
        let found = self.queues.get_mut(index).and_then(Option::as_mut);
        found.ok_or(Refusal::WrongState)
    }

    fn begin_reset(&mut self, io: &dyn BrokerIo) -> UnderWay {
        self.phase = Phase::Unknown;
        self.open = [false; MAX_QUEUES];
        self.directs = [None; MAX_QUEUES];
        self.access.readable.clear();
        if sabotage!(VIRTIO_RECEIPT_WITHOUT_STATUS) {
            return UnderWay::Claimed;
        }
        self.begin_stop(io).unwrap_or_else(UnderWay::Impossible)
    }

    fn begin_enable(&mut self, io: &mut dyn BrokerIo) -> Result<UnderWay, Refusal> {
        let Phase::Configured(settings) = self.phase else {
            return Err(Refusal::WrongState);
        };
        for (index, place) in (0..settings.queues).zip(&mut self.queues) {
            let depth = settings.depth(index).ok_or(Refusal::WrongState)?;
            let layout = Layout::new(depth).ok_or(Refusal::DeviceError)?;
            Virtqueue::prepare(io, place, layout)?;
        }
        Ok(UnderWay::Enabling(settings))
    }

    /// The device has had the queue since it was enabled; from here on its holder may use it.
    fn begin_open(&mut self, io: &dyn BrokerIo, spec: QueueSpec) -> Result<UnderWay, Refusal> {
        if !matches!(self.phase, Phase::Running(_)) {
            return Err(Refusal::WrongState);
        }
        let limit = self.queue_limit(spec.place());
        if spec.depth == 0 || limit.is_none_or(|limit| spec.depth > limit) {
            return Err(Refusal::OutOfRange);
        }
        self.check_source(spec.index, spec.vector)?;
        if self.status(io)? & status::DEVICE_NEEDS_RESET != 0 {
            return Err(Refusal::DeviceError);
        }
        if matches!(self.directs.get(usize::from(spec.index)), Some(Some(_))) {
            return Err(Refusal::WrongState);
        }
        match self.open.get_mut(usize::from(spec.index)) {
            Some(open) if !*open => *open = true,
            _ => return Err(Refusal::WrongState),
        }
        let queue = self.running(spec.place())?;
        match spec.vector {
            Some(_) => queue.want_interrupts(),
            None => queue.want_no_interrupts(),
        }
        Ok(UnderWay::Opening)
    }

    /// What came of starting the device.
    fn started(
        &mut self,
        io: &dyn BrokerIo,
        settings: Agreed,
        started: Result<(), Refusal>,
        step: Step,
    ) -> Poll {
        match started {
            Ok(()) => {
                self.phase = Phase::Running(settings);
                Poll::Done(step)
            }
            Err(refusal) => {
                self.phase = Phase::Unknown;
                let _ = self.transport.set_status(io, status::FAILED);
                Poll::Failed(refusal)
            }
        }
    }
}

impl<C: Class> Broker for Device<C> {
    fn access(&self) -> &Access {
        &self.access
    }

    fn acknowledge_line(&mut self, io: &mut dyn BrokerIo) -> bool {
        // A device that signals by message has no line.
        if self.msix_vectors != 0 {
            return false;
        }
        let seen = self.transport.take_isr(io).unwrap_or(0);
        seen != status::GONE && seen & (isr::QUEUE | isr::CONFIG) != 0
    }

    fn addressing(&mut self, io: &mut dyn BrokerIo) -> Result<Addressing, Refusal> {
        let over_bus = self.transport.goes_over_bus(io)?;
        self.over_bus = Some(over_bus);
        let path = match over_bus {
            true => DmaPath::Bus,
            false => DmaPath::AroundUnits,
        };
        Ok(Addressing {
            path,
            ..Addressing::BUS
        })
    }

    fn configure(&mut self, io: &mut dyn BrokerIo, settings: Settings<'_>) -> Result<(), Refusal> {
        let Settings::Virtio(chosen) = settings else {
            return Err(Refusal::NotSupported);
        };
        let allowed = C::FEATURES | feature::VERSION_1;
        if chosen.features & !allowed != 0 && !sabotage!(VIRTIO_ANY_FEATURE) {
            return Err(Refusal::BadArgument);
        }
        if chosen.queues > C::QUEUES || chosen.depth > ring::MAX_SIZE {
            return Err(Refusal::OutOfRange);
        }
        if chosen.depth != 0 && !chosen.depth.is_power_of_two() {
            return Err(Refusal::BadArgument);
        }
        let queues = match chosen.queues {
            0 => C::QUEUES,
            queues => queues,
        };
        let offered = self.greet(io)?;
        if self
            .over_bus
            .is_some_and(|over| over != offers_bus(offered))
        {
            // What it is given are addresses of the kind that it spoke of first.
            return Err(Refusal::DeviceError);
        }
        let required = self.transport.required();
        if offered & required != required || self.transport.queues(io)? < queues {
            return Err(Refusal::NotSupported);
        }
        let wish = match chosen.features {
            0 => C::FEATURES,
            wish => wish,
        };
        let features = ((wish | C::ALWAYS) & C::FEATURES | self.transport.wherever_offered())
            & offered
            | required;
        let depths = self.depths(io, queues, chosen.depth)?;
        self.phase = Phase::Configured(Agreed {
            features,
            queues,
            depths,
        });
        chosen.features = features;
        chosen.queues = queues;
        chosen.depth = depths.first().copied().unwrap_or(0);
        chosen.config = self.show_config();
        Ok(())
    }

    fn begin(&mut self, io: &mut dyn BrokerIo, operation: Operation) -> Result<(), Refusal> {
        let busy = self.under_way.is_some();
        let begun = match operation {
            Operation::Reset => self.begin_reset(io),
            // No device that this was tried with resets a queue alone (1.2, 2.6.1: RING_RESET).
            Operation::Stop(_) | Operation::Reopen(_) => return Err(Refusal::NotSupported),
            Operation::Enable | Operation::Open(_) | Operation::OpenDirect(_) if busy => {
                return Err(Refusal::Busy);
            }
            Operation::Enable => self.begin_enable(io)?,
            Operation::Open(spec) => self.begin_open(io, spec)?,
            Operation::OpenDirect(spec) => self.begin_open_direct(io, &spec)?,
        };
        self.under_way = Some(begun);
        Ok(())
    }

    fn poll(&mut self, io: &mut dyn BrokerIo) -> Poll {
        let Some(under_way) = self.under_way else {
            return Poll::Failed(Refusal::WrongState);
        };
        let poll = match under_way {
            UnderWay::Impossible(refusal) => Poll::Failed(refusal),
            UnderWay::Stopping { deadline_ns } => self.poll_stop(io, deadline_ns),
            UnderWay::Claimed => Poll::Done(Step::Stopped(ResetProof::VirtioStatusZero)),
            UnderWay::Enabling(settings) => {
                let started = self.start(io, settings);
                self.started(io, settings, started, Step::Ready)
            }
            UnderWay::Opening => Poll::Done(Step::QueueOpen),
            UnderWay::Restarting {
                deadline_ns,
                agreed,
            } => match self.poll_stop(io, deadline_ns) {
                Poll::Done(_) => {
                    let started = self.restart(io, agreed);
                    self.started(io, agreed, started, Step::QueueOpen)
                }
                other => other,
            },
        };
        if !matches!(poll, Poll::Pending { .. }) {
            self.under_way = None;
        }
        if matches!(poll, Poll::Done(Step::Stopped(_))) {
            self.phase = Phase::Stopped;
        }
        poll
    }

    fn queue_limit(&self, queue: QueuePlace) -> Option<u16> {
        let settings = match &self.phase {
            Phase::Configured(one) | Phase::Running(one) => one,
            Phase::Unknown | Phase::Stopped => return None,
        };
        settings
            .depth(queue.index)
            .filter(|_| queue.kind == QUEUE_KIND)
    }

    fn submit(
        &mut self,
        _: &mut dyn BrokerIo,
        queue: QueuePlace,
        slot: CommandSlot,
        template: &[u8],
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal> {
        self.running(queue)?;
        let plan = self.class.plan(queue.index, template, segments)?;
        let target = self.running(queue)?;
        target.push(slot.slot, &plan, segments)
    }

    fn transfer(
        &mut self,
        _: &mut dyn BrokerIo,
        queue: QueuePlace,
        slot: CommandSlot,
        transfer: &Transfer<'_>,
    ) -> Result<(), Refusal> {
        self.running(queue)?;
        let plan = self.class.form(queue.index, transfer)?;
        let target = self.running(queue)?;
        target.push(slot.slot, &plan, transfer.data.as_slice())
    }

    fn ring(&mut self, io: &mut dyn BrokerIo, queue: QueuePlace) {
        let Ok(target) = self.running(queue) else {
            return;
        };
        if target.publish() {
            let doorbell = self.doorbells.get(usize::from(queue.index));
            let doorbell = doorbell.copied().flatten();
            self.transport.notify(io, queue.index, doorbell);
        }
    }

    fn doorbell(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: QueuePlace,
        counts: Counts,
    ) -> Result<(), Refusal> {
        self.ring_direct(io, queue, counts)
    }

    fn next_completion(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: QueuePlace,
    ) -> Result<Option<Completed>, Refusal> {
        let target = self.running(queue)?;
        let Some(taken) = target.take()? else {
            return Ok(None);
        };
        match self.class.finish(io, queue.index, taken.finished) {
            Ok((status, result)) => Ok(Some(Completed {
                slot: taken.slot,
                status,
                result,
            })),
            Err(refusal) => {
                if let Ok(target) = self.running(queue) {
                    target.break_off();
                }
                Err(refusal)
            }
        }
    }

    fn frames(&self, queue: QueuePlace) -> Option<Direction> {
        self.class.frames(queue.index)
    }

    /// Nothing is handed back: a used ring has room for every chain.
    fn completions_taken(&mut self, _: &mut dyn BrokerIo, _: QueuePlace) {}
}
