//! The broker against a card whose registers are memory: the test plays the device.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]
#![allow(unsafe_code)]

use driver_core::{
    Broker, BrokerIo, CommandSlot, DRIVERS, DeviceAddress, Direction, DmaPages, Operation,
    PageAddresses, Poll, Probed, QueuePlace, QueueSpec, Refusal, Registers, Segment, Settings,
    Step, VirtioSettings,
};
use edu::regs;
use edu::template::Transfer;
use pci_format::{FunctionInfo, HeaderKind, best_match};
use units::{Bdf, ClassCode, DeviceId};

struct Io {
    registers: Registers,
    now_ns: u64,
}

impl BrokerIo for Io {
    fn registers(&self, bar: u8) -> Result<&Registers, Refusal> {
        (bar == 0)
            .then_some(&self.registers)
            .ok_or(Refusal::OutOfRange)
    }

    fn pages(&mut self, _: usize) -> Result<DmaPages, Refusal> {
        panic!("the card needs no pages")
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }
}

const ENGINE: QueuePlace = QueuePlace { kind: 0, index: 0 };
const OTHER: QueuePlace = QueuePlace { kind: 0, index: 1 };

struct Card {
    io: Io,
    broker: Box<dyn Broker>,
}

const PROBED: Probed = Probed {
    vendor: 0x1234,
    device: 0x11e8,
    bar_bytes: [regs::BAR_BYTES, 0, 0, 0, 0, 0],
    port_bytes: [0; 6],
    virtio: None,
    msix_vectors: 0,
};

impl Card {
    fn new() -> Self {
        let words = Box::leak(vec![0u64; regs::BAR_BYTES as usize / 8].into_boxed_slice());
        // SAFETY: leaked, and reached through this value alone.
        let registers = unsafe { Registers::new(words.as_mut_ptr().cast(), words.len() * 8) };
        let entry = DRIVERS.iter().find(|entry| entry.name == "edu").unwrap();
        let broker = (entry.probe)(&PROBED).unwrap();
        let card = Self {
            io: Io {
                registers,
                now_ns: 1,
            },
            broker,
        };
        card.set(regs::ID, 0x0100_00ed);
        card
    }

    fn set(&self, offset: u64, value: u32) {
        self.io.registers.write32(offset as usize, value).unwrap();
    }

    fn get(&self, offset: u64) -> u64 {
        self.io.registers.read64(offset as usize).unwrap()
    }

    fn stop(&mut self) -> Poll {
        self.broker.begin(&mut self.io, Operation::Reset).unwrap();
        self.broker.poll(&mut self.io)
    }

    fn running() -> Self {
        let mut card = Self::new();
        assert!(matches!(card.stop(), Poll::Done(Step::Stopped(_))));
        let (broker, io) = (&mut card.broker, &mut card.io);
        let mut virtio = VirtioSettings::default();
        let other = Settings::Virtio(&mut virtio);
        assert_eq!(broker.configure(io, other), Err(Refusal::NotSupported));
        broker.configure(io, Settings::Plain).unwrap();
        broker.begin(io, Operation::Enable).unwrap();
        // Memory gives back what was written; the device would give the inverse.
        let not_alive = Poll::Failed(Refusal::DeviceError);
        assert_eq!(broker.poll(io), not_alive);
        let spec = QueueSpec {
            kind: 0,
            index: 0,
            depth: 1,
            vector: Some(0),
        };
        broker.begin(io, Operation::Open(spec)).unwrap();
        assert_eq!(broker.poll(io), Poll::Done(Step::QueueOpen));
        card
    }

    fn submit(&mut self, template: &[u8], segments: &[Segment<'_>]) -> Result<(), Refusal> {
        self.broker.submit(
            &mut self.io,
            ENGINE,
            CommandSlot { slot: 0 },
            template,
            segments,
        )
    }
}

fn function(vendor: u16, device: u16) -> FunctionInfo {
    FunctionInfo {
        bdf: Bdf::new(0, 0, 4, 0).unwrap(),
        id: DeviceId::new(vendor, device),
        subsystem: DeviceId::default(),
        class: ClassCode::new(0, 0xff, 0),
        revision: 0x10,
        header: HeaderKind::Endpoint,
        multifunction: false,
        interrupt_pin: 1,
        interrupt_line: 10,
    }
}

#[test]
fn it_takes_the_card_and_nothing_else() {
    let matched = |vendor, device| best_match(edu::MATCHES, &function(vendor, device)).is_some();
    assert!(matched(0x1234, 0x11e8));
    // QEMU's display under the same vendor, another vendor's device of that number, an NVMe controller.
    assert!(!matched(0x1234, 0x1111) && !matched(0x1af4, 0x11e8) && !matched(0x1b36, 0x0010));
    let small = Probed {
        bar_bytes: [4096, 0, 0, 0, 0, 0],
        ..PROBED
    };
    assert_eq!(
        (edu::ENTRY.probe)(&small).err(),
        Some(Refusal::NotSupported)
    );
}

#[test]
fn it_has_stopped_only_when_the_engine_reads_as_idle() {
    let mut card = Card::new();
    card.set(regs::DMA_COMMAND, 1);
    assert!(matches!(card.stop(), Poll::Pending { .. }));
    card.io.now_ns += 10_000_000_000;
    assert_eq!(
        card.broker.poll(&mut card.io),
        Poll::Failed(Refusal::TimedOut)
    );
    card.set(regs::DMA_COMMAND, 0);
    assert!(matches!(card.stop(), Poll::Done(Step::Stopped(_))));
    // All ones is a device that is gone.
    card.set(regs::ID, u32::MAX);
    card.set(regs::DMA_COMMAND, 0);
    assert_eq!(card.stop(), Poll::Failed(Refusal::DeviceError));
}

#[test]
fn a_card_that_does_not_invert_is_not_enabled() {
    let mut card = Card::new();
    assert!(matches!(card.stop(), Poll::Done(Step::Stopped(_))));
    let (broker, io) = (&mut card.broker, &mut card.io);
    broker.configure(io, Settings::Plain).unwrap();
    broker.begin(io, Operation::Enable).unwrap();
    let early = broker.begin(io, Operation::Enable);
    assert_eq!(early, Err(Refusal::Busy), "one operation at a time");
    // Memory gives back what was written; the device would give the inverse.
    assert_eq!(broker.poll(io), Poll::Failed(Refusal::DeviceError));
    assert_eq!(broker.poll(io), Poll::Failed(Refusal::WrongState));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn the_engine_gets_the_segment_and_nothing_else() {
    let mut card = Card::running();
    let pages = [0x5000, 0x9000, 0x1000_0000, 0xfff_f000].map(DeviceAddress::new);
    let pages = PageAddresses::of(pages).unwrap();
    let segment = |offset, length, direction| Segment {
        pages: &pages,
        offset,
        length,
        direction,
    };
    let (to, from) = (Direction::ToDevice, Direction::FromDevice);
    let template = |direction, offset| Transfer { direction, offset }.encode();

    let refused = [
        (
            &template(to, 0)[..7],
            segment(0, 16, to),
            Refusal::TemplateRefused,
        ),
        (
            &[3, 0, 0, 0, 0, 0, 0, 0],
            segment(0, 16, to),
            Refusal::TemplateRefused,
        ),
        (
            &[1, 1, 0, 0, 0, 0, 0, 0],
            segment(0, 16, to),
            Refusal::TemplateRefused,
        ),
        (&template(to, 0), segment(0, 16, from), Refusal::BadArgument),
        (&template(to, 0), segment(0, 0, to), Refusal::LengthMismatch),
        (
            &template(to, 4090),
            segment(0, 6, to),
            Refusal::LengthMismatch,
        ),
        (
            &template(to, u32::MAX),
            segment(0, 16, to),
            Refusal::LengthMismatch,
        ),
        (&template(to, 0), segment(4090, 16, to), Refusal::Misaligned),
        (
            &template(to, 0),
            segment(4 * 4096, 16, to),
            Refusal::OutOfRange,
        ),
        (
            &template(to, 0),
            segment(2 * 4096, 16, to),
            Refusal::OutOfReach,
        ),
    ];
    for (bytes, segment, why) in refused {
        assert_eq!(card.submit(bytes, &[segment]), Err(why));
    }
    assert_eq!(
        card.submit(&template(to, 0), &[]),
        Err(Refusal::BadArgument)
    );
    assert_eq!(card.get(regs::DMA_COMMAND), 0);

    card.submit(&template(from, 8), &[segment(4096 + 16, 32, from)])
        .unwrap();
    let again = card.submit(&template(from, 8), &[segment(0, 32, from)]);
    assert_eq!(again, Err(Refusal::QueueFull));
    let nothing = card.broker.next_completion(&mut card.io, ENGINE);
    assert_eq!((nothing, card.get(regs::DMA_COMMAND)), (Ok(None), 0));
    driver_core::ring(&mut *card.broker, &mut card.io, ENGINE);
    assert_eq!(card.get(regs::DMA_SOURCE), regs::CARD_MEMORY + 8);
    assert_eq!(card.get(regs::DMA_TARGET), 0x9010);
    assert_eq!(
        (card.get(regs::DMA_COUNT), card.get(regs::DMA_COMMAND)),
        (32, 7)
    );
    assert_eq!(card.broker.next_completion(&mut card.io, ENGINE), Ok(None));
    card.set(regs::DMA_COMMAND, 6);
    let done = card
        .broker
        .next_completion(&mut card.io, ENGINE)
        .unwrap()
        .unwrap();
    assert_eq!((done.slot, done.status), (0, 0));
    assert_eq!(card.broker.next_completion(&mut card.io, ENGINE), Ok(None));
    // The last bytes that it can name.
    card.submit(&template(from, 8), &[segment(4 * 4096 - 16, 16, from)])
        .unwrap();
    assert_eq!(
        card.broker.next_completion(&mut card.io, OTHER),
        Err(Refusal::WrongState)
    );
}

#[test]
fn windows_hold_no_register_of_the_engine() {
    let card = Card::new();
    assert!(
        card.broker
            .access()
            .windows
            .iter()
            .all(|window| window.offset < regs::DMA_SOURCE)
    );
    assert!(
        card.broker
            .access()
            .readable
            .iter()
            .all(|(_, at, bytes)| at + bytes <= regs::DMA_SOURCE)
    );
    // Not the page with the engine's addresses in it.
    assert!(
        card.broker
            .access()
            .mappable
            .iter()
            .all(|one| one.offset >= 0x1000)
    );
}
