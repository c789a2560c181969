//! The device: its state, its registers, and what it does by itself.

use std::collections::{BTreeMap, VecDeque};

use gve_format::registers::{self, device_status};
use gve_format::{BARS, CreateRx, CreateTx, ID, PAGE_BYTES, Resources};
use vfio_user::{Bus, Description, Model};

use crate::dma::Dma;
use crate::fault::Fault;
use crate::interrupt::Block;
use crate::judge::Judge;
use crate::port::Port;
use crate::shape::Shape;

/// Bytes of each BAR. The table and the pending bits of MSI-X have a half of theirs each.
const BAR_BYTES: u32 = 4096;
/// Doorbells: of blocks, of transmit and of receive queues. Apart from one another, so that nobody guesses.
const BLOCK_DOORBELLS: u32 = 16;
const TX_DOORBELLS: u32 = 256;
const RX_DOORBELLS: u32 = 512;
/// Most frames that are taken from the wire in a turn.
const FRAMES: usize = 64;

/// What a driver configured.
#[derive(Debug)]
pub struct Configured {
    /// As it was asked for.
    pub resources: Resources,
    /// Its notification blocks.
    pub blocks: Vec<Block>,
}

/// A queue for transmission.
#[derive(Debug)]
pub struct Tx {
    /// As it was asked for, with the length filled in.
    pub create: CreateTx,
    /// Descriptors done: ever, or for DQO the index of the next.
    pub done: u32,
    /// DQO: index of the next completion, and its generation.
    pub completed: u32,
    /// DQO: the generation of the next completion.
    pub generation: bool,
    /// DQO: descriptors since one that was reported.
    pub unreported: u16,
    /// DQO: whether one was reported yet.
    pub has_reported: bool,
    /// GQI: how far the counter is ahead of what is done, for good, by a fault.
    pub ahead: u32,
    /// It stands still: its driver broke a rule.
    pub broken: bool,
}

/// A queue for reception.
#[derive(Debug)]
pub struct Rx {
    /// As it was asked for, with the length filled in.
    pub create: CreateRx,
    /// Buffers given: ever, or for DQO the index of the next.
    pub given: u32,
    /// Frames received: ever, or for DQO the index of the next completion.
    pub done: u32,
    /// Number and place of the buffers that were given and not used. Only DQO has numbers.
    pub posted: VecDeque<(u16, u64)>,
    /// DQO: the generation of the next completion.
    pub generation: bool,
    /// The next sequence number.
    pub sequence: u8,
    /// It stands still: its driver broke a rule.
    pub broken: bool,
}

/// Everything that a reset forgets.
#[derive(Debug, Default)]
pub struct State {
    /// Page number of the admin queue; 0 for none.
    pub admin: u32,
    /// Commands given, ever.
    pub asked: u32,
    /// Commands carried out, ever.
    pub answered: u32,
    /// Whether a command hangs.
    pub hangs: bool,
    /// Counters and blocks.
    pub configured: Option<Configured>,
    /// Page lists.
    pub lists: BTreeMap<u32, Vec<u64>>,
    /// Queues for transmission.
    pub tx: BTreeMap<u32, Tx>,
    /// Queues for reception.
    pub rx: BTreeMap<u32, Rx>,
    /// Whether the device asks to be reset.
    pub asks_reset: bool,
}

/// How much went through, over all queues and resets.
#[derive(Debug, Default)]
pub struct Counts {
    /// Frames sent, segments counted one by one.
    pub sent: u64,
    /// Frames received.
    pub received: u64,
    /// Frames that nobody had a buffer for.
    pub dropped: u64,
    /// Transmit doorbells.
    pub doorbells: u64,
}

/// The device. `told` hears of everything, a line each.
#[derive(Debug)]
pub struct Gve<P, F> {
    pub(crate) shape: Shape,
    pub(crate) port: P,
    pub(crate) state: State,
    pub(crate) counts: Counts,
    pub(crate) judge: Judge,
    doorbells: VecDeque<(u32, u32)>,
    link_is_up: bool,
    told: F,
}

impl<P: Port, F: FnMut(String)> Gve<P, F> {
    /// Makes one with its link up.
    pub fn new(shape: Shape, port: P, told: F) -> Self {
        Self {
            shape,
            port,
            state: State::default(),
            counts: Counts::default(),
            judge: Judge::default(),
            doorbells: VecDeque::new(),
            link_is_up: true,
            told,
        }
    }

    /// How often its driver broke a rule.
    pub const fn violations(&self) -> u32 {
        self.judge.violations()
    }

    /// Tells what went through, in one line.
    pub fn tell_counts(&mut self) {
        let Counts {
            sent,
            received,
            dropped,
            doorbells,
        } = self.counts;
        let violations = self.judge.violations();
        self.judge.note(format_args!(
            "counts sent={sent} received={received} dropped={dropped} doorbells={doorbells} violations={violations}"
        ));
        self.flush();
    }

    fn flush(&mut self) {
        for line in self.judge.take() {
            (self.told)(line);
        }
    }

    /// What a register reads as; `None` where there is none.
    fn register(&self, offset: u64) -> Option<u32> {
        let link = if self.link_is_up {
            device_status::LINK
        } else {
            0
        };
        let reset = if self.state.asks_reset {
            device_status::RESET
        } else {
            0
        };
        Some(match offset {
            registers::DEVICE_STATUS => link | reset,
            registers::MAX_TX_QUEUES | registers::MAX_RX_QUEUES => self.shape.pairs.into(),
            registers::ADMIN_PFN => self.state.admin,
            registers::ADMIN_EVENTS => self.state.answered,
            // They are written.
            registers::DRIVER_STATUS | registers::ADMIN_DOORBELL => 0,
            _ => return None,
        })
    }

    fn set_register(&mut self, offset: u64, value: u32) {
        match offset {
            registers::DRIVER_STATUS => {}
            registers::ADMIN_PFN if value == 0 => {
                if self.shape.has(Fault::StuckReset) {
                    self.judge.fault("stuck-reset", "");
                } else {
                    self.forget();
                    self.judge.note("reset");
                }
            }
            registers::ADMIN_PFN if self.state.admin != 0 => {
                self.judge
                    .violation("admin-twice", format_args!("pfn={value:#x}"));
            }
            registers::ADMIN_PFN => self.state.admin = value,
            registers::ADMIN_DOORBELL => self.ask(value),
            _ => self
                .judge
                .violation("register", format_args!("write={offset:#x}")),
        }
    }

    fn ask(&mut self, value: u32) {
        let ahead = value.wrapping_sub(self.state.answered);
        if self.state.admin == 0 || ahead > gve_format::COMMANDS {
            let detail = format_args!("value={value} answered={}", self.state.answered);
            self.judge.violation("admin-doorbell", detail);
        } else {
            self.state.asked = value;
        }
    }

    /// Back to the start; what went through stays counted.
    fn forget(&mut self) {
        self.state = State::default();
        self.doorbells.clear();
    }

    /// Doorbells that were rung, one after the other.
    fn ring(&mut self, bus: &mut dyn Bus, index: u32, value: u32) {
        let blocks = self
            .state
            .configured
            .as_ref()
            .map_or(0, |it| it.blocks.len());
        if let Some(block) = index.checked_sub(BLOCK_DOORBELLS)
            && (block as usize) < blocks
        {
            self.ring_block(bus, block, value);
        } else if let Some(queue) = index.checked_sub(TX_DOORBELLS)
            && self.state.tx.contains_key(&queue)
        {
            match self.shape.format.is_gqi() {
                true => self.transmit(bus, queue, value),
                false => self.transmit_dqo(bus, queue, value.swap_bytes()),
            }
        } else if let Some(queue) = index.checked_sub(RX_DOORBELLS)
            && self.state.rx.contains_key(&queue)
        {
            let value = if self.shape.format.is_gqi() {
                value
            } else {
                value.swap_bytes()
            };
            self.post(bus, queue, value);
        } else {
            self.judge
                .violation("doorbell", format_args!("index={index} value={value}"));
        }
    }

    fn ring_block(&mut self, bus: &mut dyn Bus, block: u32, value: u32) {
        let found = self.state.configured.as_mut();
        let Some(found) = found.and_then(|it| it.blocks.get_mut(block as usize)) else {
            return;
        };
        let rung = match self.shape.format.is_gqi() {
            true => found.doorbell(value),
            false => found.doorbell_dqo(value.swap_bytes()),
        };
        match rung {
            Some(true) => self.raise(bus, block),
            Some(false) => {}
            None => {
                let detail = format_args!("block={block} value={value:#x}");
                self.judge.violation("interrupt-doorbell", detail);
            }
        }
    }

    /// Something happened for a block.
    pub(crate) fn event(&mut self, bus: &mut dyn Bus, block: u32) {
        let found = self.state.configured.as_mut();
        let found = found.and_then(|it| it.blocks.get_mut(block as usize));
        let event = match self.shape.format.is_gqi() {
            true => Block::event,
            false => Block::event_dqo,
        };
        if found.is_some_and(event) {
            self.raise(bus, block);
        }
    }

    fn raise(&mut self, bus: &mut dyn Bus, block: u32) {
        let first = self.state.configured.as_ref();
        let first = first.map_or(0, |it| it.resources.first_vector);
        // Nobody listens: as with real vectors that are masked or off, that is the driver's business.
        let _ = bus.interrupt((first + block) as u16);
    }

    /// Memory of the driver.
    pub(crate) fn dma<'a>(&'a mut self, bus: &'a mut dyn Bus) -> Dma<'a> {
        Dma {
            bus,
            way: self.shape.way,
            judge: &mut self.judge,
        }
    }

    /// Doorbell and counter of a queue.
    pub(crate) fn place(&self, receives: Direction, queue: u32) -> (u32, u32) {
        match receives {
            Direction::Transmit => (TX_DOORBELLS + queue, queue),
            Direction::Receive => (RX_DOORBELLS + queue, u32::from(self.shape.pairs) + queue),
        }
    }

    /// The doorbell of a block.
    pub(crate) const fn block_doorbell(block: u32) -> u32 {
        BLOCK_DOORBELLS + block
    }

    /// Frames from the wire, while somebody has a buffer.
    fn pull(&mut self, bus: &mut dyn Bus) {
        for _ in 0..FRAMES {
            if !self.has_room() {
                return;
            }
            let Some(frame) = self.port.receive() else {
                return;
            };
            match self.meddle(bus) {
                Some(()) if self.link_is_up => self.receive(bus, &frame),
                _ => self.counts.dropped += 1,
            }
        }
    }

    /// Faults that come with a frame; `None` where it is lost by one.
    fn meddle(&mut self, bus: &mut dyn Bus) -> Option<()> {
        let at = self.counts.received;
        let victims: Vec<u64> = self.shape.victims().collect();
        for address in victims {
            self.dma(bus).trespass(address);
        }
        if self.shape.has(Fault::AskReset(at)) && !self.state.asks_reset {
            self.state.asks_reset = true;
            self.judge.fault("ask-reset", format_args!("frame={at}"));
            self.manage(bus);
        }
        if self.link_is_up && self.shape.has(Fault::LinkDown(at)) {
            self.link_is_up = false;
            self.judge.fault("link-down", format_args!("frame={at}"));
            self.manage(bus);
            return None;
        }
        Some(())
    }

    /// The vector of management: status changed. It is the one that blocks leave.
    fn manage(&mut self, bus: &mut dyn Bus) {
        if let Some(it) = &self.state.configured {
            let last = it.blocks.len() as u32;
            let vector = if it.resources.first_vector == 0 {
                last
            } else {
                0
            };
            let _ = bus.interrupt(vector as u16);
        }
    }
}

/// Which way a queue goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the driver.
    Transmit,
    /// To the driver.
    Receive,
}

impl<P: Port, F: FnMut(String)> Model for Gve<P, F> {
    fn describe(&self) -> Description {
        let mut bars = [0; 6];
        for bar in [BARS.0, BARS.1, BARS.2] {
            bars[usize::from(bar)] = BAR_BYTES;
        }
        Description {
            id: ID,
            class: (2, 0, 0),
            bars,
            msix: Some((self.shape.vectors(), BARS.1)),
        }
    }

    fn read(&mut self, bar: u8, offset: u64, buffer: &mut [u8]) {
        buffer.fill(0);
        let value = match buffer.len() == 4 && bar == BARS.0 {
            true => self.register(offset),
            false => None,
        };
        if let Some(value) = value {
            buffer.copy_from_slice(&value.to_be_bytes());
        } else if bar != BARS.1 {
            let detail = format_args!("bar={bar} read={offset:#x} bytes={}", buffer.len());
            self.judge.violation("register", detail);
        }
    }

    fn write(&mut self, bar: u8, offset: u64, bytes: &[u8]) {
        let word = <[u8; 4]>::try_from(bytes).map(u32::from_be_bytes);
        match (bar, word) {
            (bar, _) if bar == BARS.1 => {}
            (bar, Ok(value)) if bar == BARS.0 && offset.is_multiple_of(4) => {
                self.set_register(offset, value);
            }
            (bar, Err(_))
                if bar == BARS.0 && offset == registers::DRIVER_VERSION && bytes.len() == 1 => {}
            (bar, Ok(value)) if bar == BARS.2 && offset.is_multiple_of(4) => {
                let index = offset / registers::DOORBELL_BYTES;
                self.doorbells.push_back((index as u32, value));
            }
            _ => {
                let detail = format_args!("bar={bar} write={offset:#x} bytes={}", bytes.len());
                self.judge.violation("register", detail);
            }
        }
        self.flush();
    }

    fn reset(&mut self) {
        self.forget();
        self.judge.note("function-reset");
        self.flush();
    }

    fn work(&mut self, bus: &mut dyn Bus) {
        self.carry_out(bus);
        while let Some((index, value)) = self.doorbells.pop_front() {
            self.ring(bus, index, value);
        }
        self.pull(bus);
        self.port.turn();
        self.flush();
    }
}

/// The admin queue's page.
pub const fn admin_page(pfn: u32) -> u64 {
    pfn as u64 * PAGE_BYTES as u64
}
