//! Bringing the device up: admin queue, what it is, counters and notification blocks.

use alloc::vec::Vec;

use driver_core::{BrokerIo, DmaPages, Poll, Refusal, Step};
use gve_format::brokered::{BUFFER_BYTES, Facts};
use gve_format::registers::{ADMIN_PFN, DRIVER_STATUS, driver_status};
use gve_format::{
    Command, DESCRIPTOR_VERSION, Descriptor, DeviceOption, Formats, PAGE_BYTES, QueueFormat,
    Resources, gqi, queue_resources,
};

use crate::admin::{Admin, Question, Whose, judged};
use crate::lists::MAX_PAGES;
use crate::open::BLOCKS;
use crate::registers::{self, Doorbell, Order};
use crate::reset;
use crate::tags::MAX_SLOTS;

const PAGE: usize = PAGE_BYTES as usize;
/// Bytes of an Ethernet header.
pub(crate) const ETHERNET: u16 = 14;
/// Most entries of a ring that the broker makes: so long a ring still comes in one run.
const MAX_ENTRIES: u16 = 2048;
/// Where what the device writes lies in its page: a block's doorbell every 64 bytes, then a queue's resources each.
const STRIDE: usize = 64;
/// Pages of a list where a device of the format does not say how many.
const USUAL_PAGES: u16 = 512;

/// Pages of the broker's own that the device reads and writes, beside the queues.
#[derive(Debug)]
pub(crate) struct Memory {
    /// What the device says of itself.
    descriptor: DmaPages,
    /// Its event counters.
    pub(crate) counters: DmaPages,
    /// Its doorbells: those of blocks, those of queues.
    places: DmaPages,
}

impl Memory {
    /// # Errors
    /// `NoMemory`, `OverBudget`.
    pub(crate) fn new(io: &mut dyn BrokerIo) -> Result<Self, Refusal> {
        Ok(Self {
            descriptor: io.pages(PAGE)?,
            counters: io.pages(PAGE)?,
            places: io.pages(PAGE)?,
        })
    }

    fn zero(&self) {
        self.descriptor.zero();
        self.counters.zero();
        self.places.zero();
    }

    fn queue_at(queue: usize) -> usize {
        BLOCKS * STRIDE + queue * queue_resources::BYTES
    }

    /// Where the device writes the resources of this queue.
    pub(crate) fn queue_address(&self, queue: usize) -> u64 {
        self.places.address().bus() + Self::queue_at(queue) as u64
    }

    /// What it wrote there.
    ///
    /// # Errors
    /// As `DmaPages::read`.
    pub(crate) fn queue_resources(&self, queue: usize) -> Result<(u32, u32), Refusal> {
        let mut bytes = [0; queue_resources::BYTES];
        self.places.read(Self::queue_at(queue), &mut bytes)?;
        Ok(queue_resources::read(&bytes))
    }

    fn block(&self, block: usize) -> Result<u32, Refusal> {
        let index = self.places.load32(block * STRIDE)?;
        Ok(u32::from_be(index))
    }
}

/// What was learned of a device that is up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Learned {
    /// What a provider is told.
    pub(crate) facts: Facts,
    /// Entries of the rings, receive and transmit.
    pub(crate) entries: (u16, u16),
    /// Event counters.
    pub(crate) counters: u16,
    /// Doorbells of the notification blocks.
    pub(crate) blocks: [Doorbell; BLOCKS],
}

impl Learned {
    /// How the device's doorbells are written.
    pub(crate) const fn order(&self) -> Order {
        match self.facts.format.is_gqi() {
            true => Order::Big,
            false => Order::Little,
        }
    }
}

/// What was learned from the descriptor alone.
#[derive(Clone, Copy, Debug)]
struct Described {
    facts: Facts,
    entries: (u16, u16),
    counters: u16,
}

/// An enabling under way.
#[derive(Debug)]
pub(crate) struct Enabling {
    bar_bytes: u64,
    question: Question,
    described: Option<Described>,
    /// A private copy of the descriptor: parsed here, never in the page that the device can write.
    copy: Vec<u8>,
}

impl Enabling {
    /// Gives the device its admin queue and asks it what it is.
    ///
    /// # Errors
    /// `WrongState` for a device that runs, `OutOfReach`, and those of memory.
    pub(crate) fn begin(
        io: &mut dyn BrokerIo,
        admin: &mut Admin,
        memory: &Memory,
        bar_bytes: u64,
    ) -> Result<Self, Refusal> {
        if !reset::is_stopped(io)? {
            return Err(Refusal::WrongState);
        }
        memory.zero();
        let copy = driver_core::list(core::iter::repeat_n(0, PAGE))?;
        registers::write(io, ADMIN_PFN, admin.page_number()?)?;
        registers::write(io, DRIVER_STATUS, driver_status::RUN)?;
        let describe = Command::DescribeDevice {
            address: memory.descriptor.address().bus(),
            version: DESCRIPTOR_VERSION,
            available: PAGE_BYTES,
        };
        Ok(Self {
            bar_bytes,
            question: Question::ask(io, admin, &describe)?,
            described: None,
            copy,
        })
    }

    /// Looks how far it is, and gives what was learned at its end.
    ///
    /// # Errors
    /// `NotSupported` for a device that the broker cannot drive; `DeviceError`, `TimedOut`, `Corrupt`.
    pub(crate) fn poll(
        &mut self,
        io: &dyn BrokerIo,
        admin: &mut Admin,
        memory: &Memory,
    ) -> Result<(Poll, Option<Learned>), Refusal> {
        let Some((whose, status)) = admin.take(io)? else {
            return Ok((self.question.wait(io)?, None));
        };
        if whose != Whose::Own {
            return Err(Refusal::Corrupt);
        }
        judged(status)?;
        match self.described {
            None => {
                memory.descriptor.read(0, &mut self.copy)?;
                let described = describe(&self.copy)?;
                let configure = Command::ConfigureResources(Resources {
                    counters_at: memory.counters.address().bus(),
                    doorbells_at: memory.places.address().bus(),
                    counters: described.counters.into(),
                    blocks: BLOCKS as u32,
                    stride: STRIDE as u32,
                    first_vector: 0,
                    format: described.facts.format,
                });
                self.question = Question::ask(io, admin, &configure)?;
                self.described = Some(described);
                Ok((self.question.wait(io)?, None))
            }
            Some(described) => {
                let order = match described.facts.format.is_gqi() {
                    true => Order::Big,
                    false => Order::Little,
                };
                let block = |block| Doorbell::at(memory.block(block)?, self.bar_bytes, order);
                let learned = Learned {
                    facts: described.facts,
                    entries: described.entries,
                    counters: described.counters,
                    blocks: [block(0)?, block(1)?],
                };
                Ok((Poll::Done(Step::Ready), Some(learned)))
            }
        }
    }
}

/// What a descriptor says, within what the broker drives.
fn describe(bytes: &[u8]) -> Result<Described, Refusal> {
    let broken = |_| Refusal::DeviceError;
    let (it, options) = Descriptor::read(bytes).map_err(broken)?;
    let formats = Formats::of(options).map_err(broken)?;
    // As the vendor's driver prefers them.
    let known = [
        QueueFormat::DqoRda,
        QueueFormat::DqoQpl,
        QueueFormat::GqiQpl,
    ];
    let format = known.into_iter().find(|format| formats.has(*format));
    let format = format.ok_or(Refusal::NotSupported)?;
    let lists = match format {
        QueueFormat::GqiQpl => (it.rx_pages, it.tx_pages),
        QueueFormat::DqoQpl => dqo_pages(options.filter_map(Result::ok)),
        _ => (0, 0),
    };
    let entries = (it.rx_entries, it.tx_entries);
    let is_long = entries.0.max(entries.1) > MAX_ENTRIES || entries.0.min(entries.1) < 8;
    // GQI has as many places of buffers as the list has pages: the broker's rings are of one length.
    let differs = format.is_gqi() && it.rx_pages != it.rx_entries;
    if is_long || differs || it.counters == 0 || usize::from(it.counters) > PAGE / 4 {
        return Err(Refusal::NotSupported);
    }
    let facts = Facts {
        format,
        mac: it.mac,
        mtu: it.mtu.min(BUFFER_BYTES - gqi::RX_PAD - ETHERNET),
        depths: depths(format, entries),
        pages: (lists.0.min(MAX_PAGES), lists.1.min(MAX_PAGES)),
    };
    Ok(Described {
        facts,
        entries,
        counters: it.counters,
    })
}

/// Pages of the lists of DQO queues, receive and transmit, as their option says.
fn dqo_pages(mut options: impl Iterator<Item = DeviceOption>) -> (u16, u16) {
    let found = options.find_map(|option| match option {
        DeviceOption::Format {
            format: QueueFormat::DqoQpl,
            pages,
            ..
        } => Some((pages.1, pages.0)),
        _ => None,
    });
    let (receive, transmit) = found.unwrap_or_default();
    let or_usual = |pages: u16| if pages == 0 { USUAL_PAGES } else { pages };
    (or_usual(receive), or_usual(transmit))
}

/// Commands that the queues can have in flight: a DQO frame takes up to two descriptors.
fn depths(format: QueueFormat, (receive, transmit): (u16, u16)) -> (u16, u16) {
    let each = if format.is_gqi() { 1 } else { 2 };
    let most = |entries: u16| (entries - 1).min(MAX_SLOTS);
    (most(receive), most(transmit) / each)
}
