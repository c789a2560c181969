//! Making a queue at the device, after its page list where there is one.

use driver_core::{BrokerIo, QueueSpec, Refusal};
use gve_format::brokered::{BUFFER_BYTES, Side};
use gve_format::{Command, CreateRx, CreateTx, RAW_LIST, gqi as format};

use crate::admin::{Admin, Question};
use crate::dqo;
use crate::enable::{Learned, Memory};
use crate::gqi;
use crate::lists;
use crate::queue::{self, Block, Receive, Rings, Transmit};
use crate::registers::Doorbell;
use crate::tags::Tags;

/// Notification blocks: one for each queue, its vector's number.
pub(crate) const BLOCKS: usize = 2;

/// A queue on its way.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) side: Side,
    pub(crate) spec: QueueSpec,
    block: usize,
    pub(crate) rings: Rings,
    /// The device was asked to make it; before that, its list's answer is waited for.
    pub(crate) is_asked: bool,
    pub(crate) question: Question,
}

/// Which queue of the two it is, in what the device writes.
const fn index(side: Side) -> usize {
    match side {
        Side::Receive => 0,
        Side::Transmit => 1,
    }
}

/// The block of a queue: that of its vector, or its own where it has none.
///
/// # Errors
/// `OutOfRange` for the vector of management, or another's.
pub(crate) fn block_of(
    side: Side,
    spec: &QueueSpec,
    other: Option<usize>,
) -> Result<usize, Refusal> {
    let block = spec.vector.map_or(index(side), usize::from);
    match block < BLOCKS && other != Some(block) {
        true => Ok(block),
        false => Err(Refusal::OutOfRange),
    }
}

/// Bytes of a queue's rings.
fn ring_bytes(side: Side, learned: &Learned) -> (usize, usize) {
    let entries = match side {
        Side::Receive => learned.entries.0,
        Side::Transmit => learned.entries.1,
    };
    match (learned.facts.format.is_gqi(), side) {
        (true, Side::Receive) => (
            queue::bytes(entries, format::RX_BYTES),
            queue::bytes(entries, format::SLOT_BYTES),
        ),
        (true, Side::Transmit) => (queue::bytes(entries, format::TX_BYTES), 0),
        (false, side) => queue::dqo_bytes(side, entries),
    }
}

impl Opening {
    /// Takes what the queue needs; the device does not know of it yet.
    ///
    /// # Errors
    /// `NoMemory`, `OverBudget`.
    pub(crate) fn new(
        io: &mut dyn BrokerIo,
        (side, spec, block): (Side, QueueSpec, usize),
        learned: &Learned,
        old: Option<Rings>,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            side,
            spec,
            block,
            rings: Rings::new(io, old, ring_bytes(side, learned))?,
            is_asked: false,
            question: Question::waiting(io),
        })
    }

    /// Asks the device to make it.
    ///
    /// # Errors
    /// As [`Question::ask`].
    pub(crate) fn ask(
        &mut self,
        io: &dyn BrokerIo,
        admin: &mut Admin,
        memory: &Memory,
        learned: &Learned,
    ) -> Result<(), Refusal> {
        let list = match learned.facts.format.has_lists() {
            true => lists::number(self.side),
            false => RAW_LIST,
        };
        let command = match self.side {
            Side::Receive => Command::CreateRx(self.receive(memory, learned, list)),
            Side::Transmit => Command::CreateTx(self.transmit(memory, learned, list)),
        };
        self.question = Question::ask(io, admin, &command)?;
        self.is_asked = true;
        Ok(())
    }

    fn receive(&self, memory: &Memory, learned: &Learned, list: u32) -> CreateRx {
        let is_gqi = learned.facts.format.is_gqi();
        CreateRx {
            queue: 0,
            index: 0,
            block: self.block as u32,
            resources_at: memory.queue_address(index(Side::Receive)),
            ring_at: self.rings.first.address().bus(),
            data_at: self.rings.second.address().bus(),
            list,
            entries: learned.entries.0,
            buffer_bytes: BUFFER_BYTES,
            buffers: if is_gqi { 0 } else { learned.entries.0 },
            coalesce: false,
            header_bytes: 0,
        }
    }

    fn transmit(&self, memory: &Memory, learned: &Learned, list: u32) -> CreateTx {
        let is_gqi = learned.facts.format.is_gqi();
        let completions_at = self.rings.second.address().bus();
        CreateTx {
            queue: 0,
            resources_at: memory.queue_address(index(Side::Transmit)),
            ring_at: self.rings.first.address().bus(),
            list,
            block: self.block as u32,
            completions_at: if is_gqi { 0 } else { completions_at },
            entries: learned.entries.1,
            completions: if is_gqi { 0 } else { learned.entries.1 },
        }
    }

    /// The device has made it: its block, and where its doorbell is.
    ///
    /// # Errors
    /// `Corrupt` for a doorbell outside of the BAR or a counter that is not there.
    fn place(
        &self,
        memory: &Memory,
        learned: &Learned,
        bar_bytes: u64,
    ) -> Result<(Block, Doorbell, u32), Refusal> {
        let (doorbell, counter) = memory.queue_resources(index(self.side))?;
        let order = learned.order();
        let doorbell = Doorbell::at(doorbell, bar_bytes, order)?;
        let block = learned.blocks.get(self.block).copied();
        let block = block.ok_or(Refusal::OutOfRange)?;
        Ok((
            Block::new(block, order, self.spec.vector.is_none()),
            doorbell,
            counter,
        ))
    }

    /// The queue for reception.
    ///
    /// # Errors
    /// As [`Self::place`]; `OverBudget`.
    pub(crate) fn received(
        self,
        memory: &Memory,
        learned: &Learned,
        bar_bytes: u64,
        old: Option<&Tags>,
    ) -> Result<(Block, Receive), Refusal> {
        let (block, doorbell, _) = self.place(memory, learned, bar_bytes)?;
        let (entries, depth) = (learned.entries.0, self.spec.depth);
        let queue = match learned.facts.format.is_gqi() {
            true => Receive::Gqi(gqi::Receive::new(self.rings, doorbell, entries, depth)?),
            false => {
                let tags = Tags::new(depth, old)?;
                Receive::Dqo(dqo::Receive::new(self.rings, doorbell, entries, tags))
            }
        };
        Ok((block, queue))
    }

    /// The queue for transmission.
    ///
    /// # Errors
    /// As [`Self::received`].
    pub(crate) fn transmitted(
        self,
        memory: &Memory,
        learned: &Learned,
        bar_bytes: u64,
        old: Option<&Tags>,
    ) -> Result<(Block, Transmit), Refusal> {
        let (block, doorbell, counter) = self.place(memory, learned, bar_bytes)?;
        let (entries, depth) = (learned.entries.1, self.spec.depth);
        let queue = match learned.facts.format.is_gqi() {
            true => {
                if counter >= learned.counters.into() {
                    return Err(Refusal::Corrupt);
                }
                let at = counter as usize * 4;
                let queue = gqi::Transmit::new(self.rings, doorbell, at, entries, depth)?;
                Transmit::Gqi(queue)
            }
            false => {
                let tags = Tags::new(depth, old)?;
                Transmit::Dqo(dqo::Transmit::new(self.rings, doorbell, entries, tags))
            }
        };
        Ok((block, queue))
    }
}
