//! The broker of one card: reset, and one transfer at a time.

use dma_ledger::ResetProof;
use driver_core::{
    Access, Addressing, Broker, BrokerIo, CommandSlot, Completed, Direction, Mappable, Operation,
    Poll, QueuePlace, Refusal, Registers, Segment, Settings, Step, Window, release_to_device,
};

use sabotage::sabotage;

use crate::regs;
use crate::template::Transfer;

/// The engine's queue: kind 0, index 0, one transfer.
const ENGINE: QueuePlace = QueuePlace { kind: 0, index: 0 };
const PAGE: u32 = 4096;
/// Where a sabotage has the engine write: memory that is nobody's buffer.
const ELSEWHERE: u64 = 0x10_0000;
/// How long the engine may take for a transfer, and the other half of the device for a factorial.
const DEADLINE_NS: u64 = 5_000_000_000;
const POLL_NS: u64 = 5_000_000;

const WINDOWS: &[Window] = &[
    window(regs::LIVENESS, u32::MAX),
    window(regs::FACTORIAL, u32::MAX),
    window(regs::STATUS, regs::STATUS_INTERRUPT),
    window(regs::RAISE, u32::MAX),
    window(regs::ACKNOWLEDGE, u32::MAX),
];

const READABLE: [(u8, u64, u64); 2] = [(0, regs::ID, 12), (0, regs::STATUS, 8)];

/// Its one page of registers holds the engine's addresses; the two behind it hold nothing and read as ones.
const MAPPABLE: &[Mappable] = &[Mappable {
    bar: 0,
    offset: 0x1000,
    bytes: 0x2000,
}];

const fn window(offset: u64, mask: u32) -> Window {
    Window {
        bar: 0,
        offset,
        width: 4,
        mask: mask as u64,
        allowed: |_| true,
    }
}

/// What is in the engine.
#[derive(Clone, Copy, Debug)]
struct Ready {
    source: u64,
    target: u64,
    bytes: u32,
    command: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    /// Nothing may be asked of it before a reset.
    #[default]
    Unknown,
    Stopped,
    Configured,
    Running,
}

/// What was begun last and has not ended.
#[derive(Clone, Copy, Debug)]
enum UnderWay {
    Stopping { deadline_ns: u64 },
    Enabling,
    Opening,
}

/// The broker.
#[derive(Debug)]
pub(crate) struct Edu {
    access: Access,
    phase: Phase,
    under_way: Option<UnderWay>,
    /// The one queue carries commands.
    open: bool,
    /// The slot of the transfer that was written or is under way.
    slot: Option<u16>,
    /// Written, and not started.
    ready: Option<Ready>,
}

fn read32(registers: &Registers, offset: u64) -> Result<u32, Refusal> {
    Ok(registers.read32(offset as usize)?)
}

fn write32(registers: &Registers, offset: u64, value: u32) -> Result<(), Refusal> {
    Ok(registers.write32(offset as usize, value)?)
}

fn read64(registers: &Registers, offset: u64) -> Result<u64, Refusal> {
    Ok(registers.read64(offset as usize)?)
}

fn write64(registers: &Registers, offset: u64, value: u64) -> Result<(), Refusal> {
    Ok(registers.write64(offset as usize, value)?)
}

/// Whether the engine runs.
///
/// # Errors
/// `DeviceError` when the device is gone: then every register reads as all ones, and nothing proves anything.
fn is_running(io: &dyn BrokerIo) -> Result<bool, Refusal> {
    let registers = io.registers(0)?;
    if read32(registers, regs::ID)? & 0xffff != regs::ID_LOW {
        return Err(Refusal::DeviceError);
    }
    Ok(read64(registers, regs::DMA_COMMAND)? & regs::DMA_RUN != 0)
}

/// Turns off whatever raises an interrupt later, and takes every cause away.
fn silence(io: &dyn BrokerIo) -> Result<(), Refusal> {
    let registers = io.registers(0)?;
    write32(registers, regs::STATUS, 0)?;
    write32(registers, regs::ACKNOWLEDGE, u32::MAX)
}

impl Edu {
    #[expect(
        clippy::disallowed_methods,
        reason = "stack: an array, which allocates nothing"
    )]
    pub(crate) fn new() -> Self {
        Self {
            access: Access {
                windows: WINDOWS,
                readable: READABLE.into_iter().collect(),
                mappable: MAPPABLE,
                ports: None,
            },
            phase: Phase::Unknown,
            under_way: None,
            open: false,
            slot: None,
            ready: None,
        }
    }

    fn check_queue(&self, queue: QueuePlace) -> Result<(), Refusal> {
        let carries = self.open && queue == ENGINE;
        carries.then_some(()).ok_or(Refusal::WrongState)
    }

    /// The device has no reset. Its engine cannot be stopped either, but ends by itself, and only this broker starts it.
    fn poll_stop(&mut self, io: &dyn BrokerIo, deadline_ns: u64) -> Poll {
        // The clock first: a look that came late still counts.
        let late = io.now_ns() >= deadline_ns;
        match is_running(io) {
            Ok(false) => match silence(io) {
                Ok(()) => {
                    self.phase = Phase::Stopped;
                    Poll::Done(Step::Stopped(ResetProof::EngineIdle))
                }
                Err(refusal) => Poll::Failed(refusal),
            },
            Ok(true) if late => Poll::Failed(Refusal::TimedOut),
            Ok(true) => Poll::Pending { after_ns: POLL_NS },
            Err(refusal) => Poll::Failed(refusal),
        }
    }

    /// The card gives back the inverse of what was written.
    fn poll_alive(io: &dyn BrokerIo) -> Poll {
        const ASKED: u32 = 0x1234_5678;
        let answer = io.registers(0).and_then(|registers| {
            write32(registers, regs::LIVENESS, ASKED)?;
            read32(registers, regs::LIVENESS)
        });
        match answer {
            Ok(answer) if answer == !ASKED => Poll::Done(Step::Ready),
            Ok(_) => Poll::Failed(Refusal::DeviceError),
            Err(refusal) => Poll::Failed(refusal),
        }
    }
}

impl Broker for Edu {
    fn access(&self) -> &Access {
        &self.access
    }

    fn addressing(&mut self, _: &mut dyn BrokerIo) -> Result<Addressing, Refusal> {
        Ok(Addressing {
            bits: regs::DMA_ADDRESS_BITS as u8,
            ..Addressing::BUS
        })
    }

    fn configure(&mut self, _: &mut dyn BrokerIo, settings: Settings<'_>) -> Result<(), Refusal> {
        settings.plain()?;
        if !matches!(self.phase, Phase::Stopped | Phase::Configured) {
            return Err(Refusal::WrongState);
        }
        self.phase = Phase::Configured;
        Ok(())
    }

    fn queue_limit(&self, queue: QueuePlace) -> Option<u16> {
        (queue == ENGINE).then_some(1)
    }

    fn begin(&mut self, io: &mut dyn BrokerIo, operation: Operation) -> Result<(), Refusal> {
        let busy = self.under_way.is_some();
        let begun = match operation {
            Operation::Reset => {
                *self = Self::new();
                let deadline_ns = io.now_ns().saturating_add(DEADLINE_NS);
                UnderWay::Stopping { deadline_ns }
            }
            Operation::OpenDirect(_) | Operation::Stop(_) | Operation::Reopen(_) => {
                return Err(Refusal::NotSupported);
            }
            Operation::Enable | Operation::Open(_) if busy => return Err(Refusal::Busy),
            Operation::Enable => {
                if !matches!(self.phase, Phase::Configured) {
                    return Err(Refusal::WrongState);
                }
                self.phase = Phase::Running;
                UnderWay::Enabling
            }
            Operation::Open(spec) => {
                if !matches!(self.phase, Phase::Running) || self.open {
                    return Err(Refusal::WrongState);
                }
                if spec.place() != ENGINE || spec.depth != 1 {
                    return Err(Refusal::OutOfRange);
                }
                self.open = true;
                UnderWay::Opening
            }
        };
        self.under_way = Some(begun);
        Ok(())
    }

    fn poll(&mut self, io: &mut dyn BrokerIo) -> Poll {
        let poll = match self.under_way {
            None => Poll::Failed(Refusal::WrongState),
            Some(UnderWay::Stopping { deadline_ns }) => self.poll_stop(io, deadline_ns),
            Some(UnderWay::Enabling) => Self::poll_alive(io),
            Some(UnderWay::Opening) => Poll::Done(Step::QueueOpen),
        };
        if !matches!(poll, Poll::Pending { .. }) {
            self.under_way = None;
        }
        poll
    }

    fn submit(
        &mut self,
        _: &mut dyn BrokerIo,
        queue: QueuePlace,
        slot: CommandSlot,
        template: &[u8],
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal> {
        self.check_queue(queue)?;
        if self.slot.is_some() {
            return Err(Refusal::QueueFull);
        }
        let transfer = Transfer::decode(template)?;
        let [segment] = segments else {
            return Err(Refusal::BadArgument);
        };
        if segment.direction != transfer.direction {
            return Err(Refusal::BadArgument);
        }
        if !transfer.fits(segment.length) {
            return Err(Refusal::LengthMismatch);
        }
        let inside = segment.offset % PAGE;
        // The engine knows one address: a transfer lies in one page.
        if inside.saturating_add(segment.length) > PAGE {
            return Err(Refusal::Misaligned);
        }
        let page = segment.pages.get((segment.offset / PAGE) as usize);
        let memory = page.ok_or(Refusal::OutOfRange)?.bus() + u64::from(inside);
        let last = memory + u64::from(segment.length.saturating_sub(1));
        if last >> regs::DMA_ADDRESS_BITS != 0 {
            return Err(Refusal::OutOfReach);
        }
        let card = regs::CARD_MEMORY + u64::from(transfer.offset);
        let (source, target, way) = match transfer.direction {
            Direction::ToDevice => (memory, card, 0),
            Direction::FromDevice => (card, memory, regs::DMA_TO_MEMORY),
        };
        let target = match sabotage!(AIM_ELSEWHERE) && transfer.direction == Direction::FromDevice {
            true => ELSEWHERE,
            false => target,
        };
        self.ready = Some(Ready {
            source,
            target,
            bytes: segment.length,
            command: regs::DMA_RUN | regs::DMA_INTERRUPT | way,
        });
        self.slot = Some(slot.slot);
        Ok(())
    }

    fn ring(&mut self, io: &mut dyn BrokerIo, queue: QueuePlace) {
        if self.check_queue(queue).is_err() {
            return;
        }
        let Some(ready) = self.ready.take() else {
            return;
        };
        release_to_device();
        let Ok(registers) = io.registers(0) else {
            return;
        };
        // The registers lie in the BAR, whose size the probe has checked.
        let _ = write64(registers, regs::DMA_SOURCE, ready.source)
            .and_then(|()| write64(registers, regs::DMA_TARGET, ready.target))
            .and_then(|()| write64(registers, regs::DMA_COUNT, u64::from(ready.bytes)))
            .and_then(|()| write64(registers, regs::DMA_COMMAND, ready.command));
    }

    fn next_completion(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: QueuePlace,
    ) -> Result<Option<Completed>, Refusal> {
        self.check_queue(queue)?;
        let Some(slot) = self.slot.filter(|_| self.ready.is_none()) else {
            return Ok(None);
        };
        if is_running(io)? {
            return Ok(None);
        }
        self.slot = None;
        Ok(Some(Completed {
            slot,
            status: 0,
            result: 0,
        }))
    }

    fn completions_taken(&mut self, _: &mut dyn BrokerIo, _: QueuePlace) {}
}
