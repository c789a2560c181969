//! A machine with one virtio device that follows the specification, in plain memory: registers of both interfaces, rings
//! and chains are read here by rules of their own, not with the broker's code.
#![allow(unsafe_code, dead_code, unused_imports)] // no test uses all of it

use std::sync::{Mutex, MutexGuard};

use driver_core::{
    Broker, BrokerIo, CommandSlot, Completed, DeviceAddress, Direction, DmaPages, Opcode,
    Operation, PageAddresses, Poll, Ports, Probed, QueuePlace, QueueSpec, Refusal, Registers,
    Segment, Settings, Step, Transfer, VirtioRegion, VirtioRegions, VirtioSettings,
};
use mmio::SharedBytes;

mod chip;

pub use chip::{Chip, Descriptor, State};

pub const PAGE: usize = 4096;
/// Where memory lies on the bus: not at 0, so that a forgotten address shows.
pub const BUS: u64 = 0x12_0000_0000;
/// Where the ports lie.
pub const PORT: u16 = 0xc040;
pub const PORTS: u16 = 0x40;

#[repr(align(4096))]
#[derive(Clone)]
struct Page([u64; 512]);

/// Which device it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Modern { vectors: u16 },
    Legacy { vectors: u16 },
}

/// Both interfaces, with MSI-X and without.
pub const KINDS: [Kind; 4] = [
    Kind::Modern { vectors: 3 },
    Kind::Modern { vectors: 0 },
    Kind::Legacy { vectors: 0 },
    Kind::Legacy { vectors: 3 },
];

impl Kind {
    pub const fn is_modern(self) -> bool {
        matches!(self, Self::Modern { .. })
    }

    pub const fn vectors(self) -> u16 {
        match self {
            Self::Modern { vectors } | Self::Legacy { vectors } => vectors,
        }
    }
}

/// What the broker is given.
pub struct Io {
    registers: Registers,
    ports: Option<Ports>,
    memory: SharedBytes,
    next_page: usize,
    last_page: usize,
    pub runs: u32,
    pub now_ns: u64,
}

impl BrokerIo for Io {
    fn registers(&self, bar: u8) -> Result<&Registers, Refusal> {
        assert!(self.ports.is_none(), "a legacy device has no registers");
        (bar == 4)
            .then_some(&self.registers)
            .ok_or(Refusal::OutOfRange)
    }

    fn ports(&self, bar: u8) -> Result<&Ports, Refusal> {
        assert_eq!(bar, 0);
        self.ports.as_ref().ok_or(Refusal::OutOfRange)
    }

    fn pages(&mut self, bytes: usize) -> Result<DmaPages, Refusal> {
        let count = bytes.div_ceil(PAGE);
        if self.next_page + count > self.last_page {
            return Err(Refusal::NoMemory);
        }
        let at = self.next_page * PAGE;
        let bytes = self.memory.slice(at, count * PAGE).unwrap();
        self.next_page += count;
        self.runs += 1;
        Ok(DmaPages::new(
            bytes,
            DeviceAddress::new(BUS + at as u64),
            self.runs,
        ))
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }
}

/// Pages of a provider.
#[derive(Clone)]
pub struct Buffer {
    pub pages: Vec<DeviceAddress>,
}

/// A piece of a buffer.
#[derive(Clone, Copy)]
pub struct Piece<'a>(pub &'a Buffer, pub u32, pub u32, pub Direction);

pub const TO: Direction = Direction::ToDevice;
pub const FROM: Direction = Direction::FromDevice;

/// Asks for these features, queues and places; 0 for what is usual.
pub fn ask(features: u64, queues: u16, depth: u16) -> VirtioSettings {
    VirtioSettings {
        features,
        queues,
        depth,
        config: None,
    }
}

/// Asks for nothing in particular.
pub fn usual() -> VirtioSettings {
    VirtioSettings::default()
}

/// Machine, device and broker.
pub struct Harness {
    pub io: Io,
    pub chip: &'static Chip,
    pub broker: Box<dyn Broker>,
    pub kind: Kind,
    pub probed: Probed,
}

pub type Make = fn(&Probed) -> Result<Box<dyn Broker>, Refusal>;

const fn region(offset: u64, length_bytes: u64) -> VirtioRegion {
    VirtioRegion {
        bar: 4,
        offset,
        length_bytes,
    }
}

/// What the scan would have found of the model.
pub fn probed(kind: Kind) -> Probed {
    let modern = VirtioRegions {
        common: region(chip::COMMON, 0x38),
        notify: region(chip::NOTIFY, 0x1000),
        notify_multiplier: 4,
        isr: region(chip::ISR, 1),
        device: Some(region(chip::DEVICE, 0x40)),
    };
    Probed {
        vendor: 0x1af4,
        device: 0x1005,
        bar_bytes: if kind.is_modern() {
            [0, 0, 0, 0, 0x4000, 0]
        } else {
            [0; 6]
        },
        port_bytes: [u64::from(PORTS), 0, 0, 0, 0, 0],
        msix_vectors: kind.vectors(),
        virtio: kind.is_modern().then_some(modern),
    }
}

fn place(index: u16) -> QueuePlace {
    QueuePlace { kind: 0, index }
}

impl Harness {
    /// A machine with so many pages, a device whose queues have these sizes, and the broker that `make` gives.
    pub fn with_pages(kind: Kind, sizes: &[u16], pages: usize, make: Make) -> Self {
        let memory = Box::leak(vec![Page([0; 512]); pages].into_boxed_slice());
        // SAFETY: leaked, and only used through copies of this view.
        let memory = unsafe { SharedBytes::new(memory.as_mut_ptr().cast(), pages * PAGE) };
        let chip = Chip::new(kind, sizes, memory);
        let probed = probed(kind);
        let ports = Ports::over(chip, PORT, PORTS);
        let io = Io {
            registers: Registers::over(chip, 0x4000),
            ports: ports.filter(|_| !kind.is_modern()),
            memory,
            next_page: 16,
            last_page: pages,
            runs: 0,
            now_ns: 1_000,
        };
        Self {
            io,
            chip,
            broker: make(&probed).unwrap(),
            kind,
            probed,
        }
    }

    pub fn new(kind: Kind, sizes: &[u16], make: Make) -> Self {
        Self::with_pages(kind, sizes, 1024, make)
    }

    pub fn state(&self) -> MutexGuard<'static, State> {
        self.chip.state()
    }

    /// Runs a reset to its end, for at most ten simulated seconds.
    pub fn reset(&mut self) -> Result<Step, Refusal> {
        self.broker.begin(&mut self.io, Operation::Reset)?;
        let end = self.io.now_ns + 10_000_000_000;
        loop {
            match self.broker.poll(&mut self.io) {
                Poll::Pending { after_ns } => self.io.now_ns += after_ns.max(1),
                Poll::Done(step) => return Ok(step),
                Poll::Failed(refusal) => return Err(refusal),
            }
            assert!(self.io.now_ns < end, "a reset without an end");
        }
    }

    pub fn configure(&mut self, mut settings: VirtioSettings) -> Result<VirtioSettings, Refusal> {
        self.broker
            .configure(&mut self.io, Settings::Virtio(&mut settings))?;
        Ok(settings)
    }

    pub fn enable(&mut self) -> Result<(), Refusal> {
        self.state().bus_master = true;
        self.broker.begin(&mut self.io, Operation::Enable)?;
        match self.broker.poll(&mut self.io) {
            Poll::Done(Step::Ready) => Ok(()),
            Poll::Failed(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    /// Everything up to a running device.
    pub fn up(&mut self, settings: VirtioSettings) -> VirtioSettings {
        self.reset().unwrap();
        let agreed = self.configure(settings).unwrap();
        self.enable().unwrap();
        agreed
    }

    /// Opens virtqueue `index`, with its interrupt where it has one.
    pub fn open(&mut self, index: u16, depth: u16) -> Result<(), Refusal> {
        let vector = if self.kind.vectors() == 0 { 0 } else { index };
        self.open_with(index, depth, Some(vector))
    }

    pub fn open_with(
        &mut self,
        index: u16,
        depth: u16,
        vector: Option<u16>,
    ) -> Result<(), Refusal> {
        let spec = QueueSpec {
            kind: 0,
            index,
            depth,
            vector,
        };
        self.broker.begin(&mut self.io, Operation::Open(spec))?;
        assert_eq!(self.broker.poll(&mut self.io), Poll::Done(Step::QueueOpen));
        Ok(())
    }

    /// Pages that do not touch one another, at the end of memory.
    pub fn buffer(&mut self, pages: usize) -> Buffer {
        let pages = (0..pages).map(|_| {
            self.io.last_page -= 2;
            DeviceAddress::new(BUS + (self.io.last_page * PAGE) as u64)
        });
        Buffer {
            pages: pages.collect(),
        }
    }

    pub fn submit(
        &mut self,
        queue: u16,
        slot: u16,
        template: &[u8],
        pieces: &[Piece<'_>],
    ) -> Result<(), Refusal> {
        let lists: Vec<PageAddresses> = pieces
            .iter()
            .map(|piece| PageAddresses::of(piece.0.pages.iter().copied()).unwrap())
            .collect();
        let segments: Vec<Segment<'_>> = pieces
            .iter()
            .zip(&lists)
            .map(|(Piece(_, offset, length, direction), pages)| Segment {
                pages,
                offset: *offset,
                length: *length,
                direction: *direction,
            })
            .collect();
        let slot = CommandSlot { slot };
        self.broker
            .submit(&mut self.io, place(queue), slot, template, &segments)
    }

    /// A command without data, by its fields.
    pub fn bare(
        &mut self,
        slot: u16,
        opcode: Opcode,
        block: u64,
        length: u32,
    ) -> Result<(), Refusal> {
        let transfer = Transfer {
            opcode,
            unit: 0,
            block,
            length,
            data: None,
        };
        let slot = CommandSlot { slot };
        self.broker
            .transfer(&mut self.io, place(0), slot, &transfer)
    }

    pub fn ring(&mut self, queue: u16) {
        driver_core::ring(&mut *self.broker, &mut self.io, place(queue));
    }

    pub fn next(&mut self, queue: u16) -> Result<Option<Completed>, Refusal> {
        self.broker.next_completion(&mut self.io, place(queue))
    }

    pub fn write(&self, address: u64, bytes: &[u8]) {
        let at = (address - BUS) as usize;
        self.io.memory.write(at, bytes).unwrap();
    }

    pub fn read(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.io
            .memory
            .read((address - BUS) as usize, &mut bytes)
            .unwrap();
        bytes
    }
}
