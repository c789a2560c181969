//! The userspace half of the gVNIC driver: serves an interface as `Nic`.
//!
//! Owns when the device is brought up, which part of a session's window is whose page list, and what the device's status means;
//! `provider::nic` serves the interface. Arguments: `polled` for a device whose interrupts are not wanted. Invariant: it never sees
//! an address, a page list, a descriptor or a frame: it names pages by their offset in a buffer, and the kernel's broker decides.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

use gve_format::brokered::{self, BUFFER_BYTES, Side, Template, WORDS, kind};
use gve_format::gqi::RX_PAD;
use gve_format::registers::{DEVICE_STATUS, device_status};
use gve_format::{PAGE_BYTES, QueueFormat};
use provider::nic::{self, Adapter, Card, Facts, Layout, Queues, Wish};
use provider::{Item, NO_SOURCE, Notice, QueueRing, refuse_all, submit, take};
use provider_core::{Data, Direction};
use sdk::{
    Device, DeviceMmio, DeviceQueue, DmaBuffer, DmaPool, Endpoint, Env, Error, Hex, Interface,
    Object, Refusal, Timer, fact,
};

sdk::entry!(main);

/// Sources: one for each queue, and the one of management.
const SOURCES: usize = 3;
/// Frames in flight each way, at most.
const DEPTH: u16 = 256;
/// Commands of the queue for lists: both lists, and a question.
const LISTS_DEPTH: u16 = 4;
/// Bytes of an Ethernet header.
const ETHERNET: u16 = 14;

/// The interface.
struct Wire {
    device: Device,
    wake: Wake,
    status: DeviceMmio,
    /// What it is, and where its lists go, once it is up.
    up: Option<Up>,
    is_link_up: bool,
}

/// How completions are noticed.
#[derive(Clone, Copy)]
enum Wake {
    Interrupts,
    Polling,
}

/// A device that is up.
struct Up {
    told: brokered::Facts,
    notice: Notice,
    lists: DeviceQueue,
}

fn main(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let timer: Timer = env.get("timer")?;
    let Ok(device) = env.get::<Device>("device") else {
        fact!("nic.absent", refusal = Refusal::NoDevice.name());
        return refuse_all(&endpoint, Refusal::NoDevice);
    };
    let wake = match env.arguments().any(|argument| argument == "polled") {
        true => Wake::Polling,
        false => Wake::Interrupts,
    };
    match start(&device, wake) {
        Ok((pool, wire, card)) => {
            let ended = nic::serve(&endpoint, &timer, pool, wire, card);
            if let Err(why) = &ended {
                sdk::error!("the interface is given up: {why}");
            }
            ended
        }
        // Another try would end the same way, so this is not for the supervisor to repeat.
        Err(refusal @ (Refusal::NotSupported | Refusal::Quarantined | Refusal::NoDevice)) => {
            fact!("nic.unusable", refusal = refusal.name());
            refuse_all(&endpoint, refusal)
        }
        Err(refusal) => {
            fact!("nic.failed", refusal = refusal.name());
            Err(refusal.into())
        }
    }
}

fn start(device: &Device, wake: Wake) -> Result<(DmaPool, Wire, Card), Refusal> {
    let pool = device.pool(nic::POOL_BYTES)?.pool;
    let mut wire = Wire {
        device: Device::from_object(device.object().share()),
        wake,
        status: device.mmio(0)?.mmio,
        up: None,
        is_link_up: false,
    };
    let card = wire.bring_up()?;
    fact!(
        "nic.ready",
        transport = wire.up.as_ref().map_or("", |up| name(up.told.format)),
        notice = card.notice.name(),
        mac = Hex(card.facts.mac),
        mtu = card.facts.mtu,
        link_up = wire.is_link_up()?,
    );
    Ok((pool, wire, card))
}

const fn name(format: QueueFormat) -> &'static str {
    match format {
        QueueFormat::GqiQpl => "gqi-qpl",
        QueueFormat::GqiRda => "gqi-rda",
        QueueFormat::DqoQpl => "dqo-qpl",
        QueueFormat::DqoRda => "dqo-rda",
    }
}

/// Asks the broker what the device is.
fn ask(lists: &DeviceQueue) -> Result<brokered::Facts, Refusal> {
    let mut words = [0; WORDS as usize];
    for (word, answer) in words.iter_mut().enumerate() {
        let template = Template::Tell(word as u8).bytes();
        give(lists, word as u64, &template, None)?;
        let done = take(lists)?;
        let [done] = done.as_slice() else {
            return Err(Refusal::Corrupt);
        };
        (_, *answer) = done.outcome?;
    }
    brokered::Facts::of(words).ok_or(Refusal::Corrupt)
}

/// Submits one command of the queue for lists.
fn give(
    lists: &DeviceQueue,
    cookie: u64,
    template: &[u8],
    data: Option<Data>,
) -> Result<(), Refusal> {
    let item = Item {
        cookie,
        template,
        data,
    };
    match submit(lists, core::iter::once(item))? {
        (1, None) => Ok(()),
        (_, refusal) => Err(refusal.unwrap_or(Refusal::Failed)),
    }
}

impl Up {
    /// Gives the device half of a window as the list of a queue that is opened next.
    fn register(&self, side: Side, buffer: &DmaBuffer, half: u32) -> Result<(), Refusal> {
        let (offset, direction, most) = match side {
            Side::Receive => (0, Direction::FromDevice, self.told.pages.0),
            Side::Transmit => (half, Direction::ToDevice, self.told.pages.1),
        };
        if half / PAGE_BYTES > most.into() {
            return Err(Refusal::OverBudget);
        }
        let data = Data {
            buffer: buffer.object().handle(),
            offset,
            length: half,
            direction,
        };
        give(
            &self.lists,
            offset.into(),
            &Template::Register(side).bytes(),
            Some(data),
        )
    }
}

impl Wire {
    fn status(&self) -> Result<u32, Refusal> {
        // Registers are big-endian.
        Ok((self.status.read(DEVICE_STATUS, 4)?.value as u32).swap_bytes())
    }
}

impl Adapter for Wire {
    fn bring_up(&mut self) -> Result<Card, Refusal> {
        self.up = None;
        self.device.reset()?;
        self.device.configure()?;
        self.device.enable()?;
        let notice = match self.wake {
            Wake::Polling => Notice::Polled,
            Wake::Interrupts => Notice::open(&self.device, SOURCES)?,
        };
        let lists = self
            .device
            .queue(kind::LISTS, 0, LISTS_DEPTH, NO_SOURCE)?
            .queue;
        let told = ask(&lists)?;
        self.is_link_up = self.is_link_up()?;
        let mac = told
            .mac
            .iter()
            .fold(0, |mac, byte| mac << 8 | u64::from(*byte));
        let card = Card {
            queues: None,
            notice: notice.share(),
            facts: Facts {
                mac,
                mtu: told.mtu,
                frame_bytes: told.mtu + ETHERNET,
                layout: Layout {
                    lead: if told.format.is_gqi() { RX_PAD } else { 0 },
                    piece_bytes: BUFFER_BYTES,
                    halves: told.format.has_lists(),
                },
            },
        };
        self.up = Some(Up {
            told,
            notice,
            lists,
        });
        Ok(card)
    }

    fn attach(&mut self, buffer: &DmaBuffer, bytes: u32) -> Result<Option<Queues>, Refusal> {
        let up = self.up.as_ref().ok_or(Refusal::WrongState)?;
        if up.told.format.has_lists() {
            up.register(Side::Receive, buffer, bytes / 2)?;
            up.register(Side::Transmit, buffer, bytes / 2)?;
        }
        let open = |kind, source, depth| {
            let source = up.notice.source(source);
            let opened = self.device.queue(kind, 0, depth, source);
            opened.and_then(|opened| QueueRing::open(opened.queue))
        };
        let (receive_depth, transmit_depth) = up.told.depths;
        let (receive_depth, transmit_depth) = (receive_depth.min(DEPTH), transmit_depth.min(DEPTH));
        let queues = Queues {
            receive: open(kind::RECEIVE, 0, receive_depth)?,
            transmit: open(kind::TRANSMIT, 1, transmit_depth)?,
            receive_depth,
            transmit_depth,
        };
        Ok(Some(queues))
    }

    fn look(&mut self) -> Result<Wish, Refusal> {
        let status = self.status()?;
        let is_link_up = status & device_status::LINK != 0;
        if is_link_up != self.is_link_up {
            self.is_link_up = is_link_up;
            fact!("nic.link", up = is_link_up);
        }
        if status & device_status::RESET == 0 {
            return Ok(Wish::Nothing);
        }
        fact!("nic.reset-asked");
        Ok(Wish::Reset)
    }

    fn is_link_up(&self) -> Result<bool, Refusal> {
        Ok(self.status()? & device_status::LINK != 0)
    }
}
