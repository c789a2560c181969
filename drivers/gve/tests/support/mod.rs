//! A machine with one gVNIC: the executable model that the vendor's driver works on, and memory that both reach.
#![allow(unsafe_code, dead_code, reason = "no test uses all of it")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use driver_core::{
    Broker, BrokerIo, CommandSlot, Completed, DRIVERS, DeviceAddress, Direction, DmaPages, Opcode,
    Operation, PageAddresses, Poll, Probed, QueuePlace, QueueSpec, Refusal, Registers, Segment,
    Settings, Step, Transfer,
};
use gve as _;
use gve_format::QueueFormat;
use gve_format::brokered::{Facts, Side, Template, WORDS, kind};
use gve_model::{Fault, Port, Shape};
use mmio::{RegisterModel, SharedBytes};
use vfio_user::{Bus, BusError, MemoryError, Model, Way};

pub const PAGE: usize = 4096;
const MEMORY_PAGES: usize = 2048;
/// Where memory lies on the bus: not at 0, so that a forgotten address shows.
const BUS: u64 = 0x12_0000_0000;
const BAR_BYTES: usize = 4096;
pub const LISTS: QueuePlace = place(kind::LISTS);
pub const RECEIVE: QueuePlace = place(kind::RECEIVE);
pub const TRANSMIT: QueuePlace = place(kind::TRANSMIT);
/// The session's window, in pages, and where in it transmission begins.
pub const WINDOW: usize = 64;
pub const HALF: u32 = (WINDOW / 2 * PAGE) as u32;

pub const fn place(kind: u16) -> QueuePlace {
    QueuePlace { kind, index: 0 }
}

#[repr(align(4096))]
#[derive(Clone)]
struct Page([u64; 512]);

/// The two ends of a wire.
#[derive(Clone, Default)]
pub struct Wire {
    pub sent: Arc<Mutex<Vec<Vec<u8>>>>,
    pub coming: Arc<Mutex<VecDeque<Vec<u8>>>>,
}

impl Port for Wire {
    fn send(&mut self, frame: &[u8]) {
        self.sent.lock().unwrap().push(frame.to_vec());
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.coming.lock().unwrap().pop_front()
    }
}

struct Host {
    memory: SharedBytes,
    interrupts: Vec<u16>,
}

impl Host {
    fn range(&self, address: u64, bytes: usize) -> Result<usize, BusError> {
        let start = address.checked_sub(BUS).map(|at| at as usize);
        start
            .filter(|at| at + bytes <= MEMORY_PAGES * PAGE)
            .ok_or(BusError::Memory(MemoryError::NotMapped))
    }
}

impl Bus for Host {
    fn read(&mut self, _: Way, address: u64, buffer: &mut [u8]) -> Result<(), BusError> {
        let at = self.range(address, buffer.len())?;
        self.memory.read(at, buffer).unwrap();
        Ok(())
    }

    fn write(&mut self, _: Way, address: u64, bytes: &[u8]) -> Result<(), BusError> {
        let at = self.range(address, bytes.len())?;
        self.memory.write(at, bytes).unwrap();
        Ok(())
    }

    fn interrupt(&mut self, vector: u16) -> Result<(), BusError> {
        self.interrupts.push(vector);
        Ok(())
    }

    fn command(&self) -> u16 {
        0b110
    }
}

type Told = Box<dyn FnMut(String) + Send>;

struct World {
    device: gve_model::Gve<Wire, Told>,
    host: Host,
}

// SAFETY: the memory that it points to is leaked, and each access is of one word or behind the lock.
unsafe impl Send for World {}

struct Bar {
    bar: u8,
    world: Arc<Mutex<World>>,
}

impl RegisterModel for Bar {
    fn read(&self, offset: usize, width: usize) -> u64 {
        let mut bytes = [0; 8];
        let device = &mut self.world.lock().unwrap().device;
        device.read(self.bar, offset as u64, &mut bytes[..width]);
        u64::from_le_bytes(bytes)
    }

    fn write(&self, offset: usize, width: usize, value: u64) {
        let World { device, host } = &mut *self.world.lock().unwrap();
        device.write(self.bar, offset as u64, &value.to_le_bytes()[..width]);
        device.work(host);
    }
}

/// What the broker is given.
pub struct Io {
    bars: Vec<Registers>,
    memory: SharedBytes,
    next_page: usize,
    pub runs: u32,
    pub now_ns: u64,
}

impl BrokerIo for Io {
    fn registers(&self, bar: u8) -> Result<&Registers, Refusal> {
        self.bars.get(usize::from(bar)).ok_or(Refusal::OutOfRange)
    }

    fn pages(&mut self, bytes: usize) -> Result<DmaPages, Refusal> {
        let (at, count) = (self.next_page * PAGE, bytes.div_ceil(PAGE));
        let slice = self.memory.slice(at, count * PAGE);
        let slice = slice.map_err(|_| Refusal::NoMemory)?;
        self.next_page += count;
        self.runs += 1;
        let address = DeviceAddress::new(BUS + at as u64);
        Ok(DmaPages::new(slice, address, self.runs))
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }
}

/// Machine, device and broker.
pub struct Machine {
    pub io: Io,
    pub broker: Box<dyn Broker>,
    pub wire: Wire,
    pub told: Arc<Mutex<Vec<String>>>,
    /// The window's pages as the device sees them.
    pub pages: PageAddresses,
    window: usize,
    world: Arc<Mutex<World>>,
}

/// The session's window: every second page, so that an address that is counted on shows.
fn scattered(first: usize) -> PageAddresses {
    let at = |page: usize| BUS + ((first + 2 * page) * PAGE) as u64;
    PageAddresses::of((0..WINDOW).map(|page| DeviceAddress::new(at(page)))).unwrap()
}

impl Machine {
    pub fn new(format: QueueFormat, faults: &[Fault]) -> Self {
        Self::shaped(Shape {
            format,
            faults: faults.to_vec(),
            ..Shape::default()
        })
    }

    pub fn shaped(shape: Shape) -> Self {
        let memory = vec![Page([0; 512]); MEMORY_PAGES].leak();
        // SAFETY: it is leaked, and only used through this view and its copies.
        let memory = unsafe { SharedBytes::new(memory.as_mut_ptr().cast(), MEMORY_PAGES * PAGE) };
        let (wire, told) = (Wire::default(), Arc::new(Mutex::new(Vec::new())));
        let heard = told.clone();
        let hear: Told = Box::new(move |line| heard.lock().unwrap().push(line));
        let world = Arc::new(Mutex::new(World {
            device: gve_model::Gve::new(shape, wire.clone(), hear),
            host: Host {
                memory,
                interrupts: Vec::new(),
            },
        }));
        let bars = (0..3).map(|bar| {
            let world = world.clone();
            Registers::over(Box::leak(Box::new(Bar { bar, world })), BAR_BYTES)
        });
        let entry = DRIVERS.iter().find(|entry| entry.name == "gve").unwrap();
        let probed = Probed {
            vendor: 0x1ae0,
            device: 0x42,
            bar_bytes: [
                BAR_BYTES as u64,
                BAR_BYTES as u64,
                BAR_BYTES as u64,
                0,
                0,
                0,
            ],
            msix_vectors: 3,
            ..Probed::default()
        };
        let window = MEMORY_PAGES - 2 * WINDOW;
        Self {
            io: Io {
                bars: bars.collect(),
                memory,
                next_page: 16,
                runs: 0,
                now_ns: 1_000,
            },
            broker: (entry.probe)(&probed).unwrap(),
            wire,
            told,
            pages: scattered(window),
            window,
            world,
        }
    }

    /// Begins an operation and polls it to its end.
    pub fn run(&mut self, operation: Operation) -> Result<Step, Refusal> {
        self.broker.begin(&mut self.io, operation)?;
        loop {
            match self.broker.poll(&mut self.io) {
                Poll::Pending { after_ns } => self.io.now_ns += after_ns,
                Poll::Done(step) => return Ok(step),
                Poll::Failed(refusal) => return Err(refusal),
            }
        }
    }

    pub fn enable(&mut self) -> Result<Step, Refusal> {
        self.run(Operation::Reset)?;
        self.broker.configure(&mut self.io, Settings::Plain)?;
        self.run(Operation::Enable)
    }

    pub fn open(&mut self, place: QueuePlace, vector: Option<u16>) -> Result<Step, Refusal> {
        let depth = self.broker.queue_limit(place).ok_or(Refusal::OutOfRange)?;
        self.run(Operation::Open(QueueSpec {
            kind: place.kind,
            index: place.index,
            depth,
            vector,
        }))
    }

    pub fn segment(&self, offset: u32, length: u32, direction: Direction) -> Segment<'_> {
        Segment {
            pages: &self.pages,
            offset,
            length,
            direction,
        }
    }

    pub fn submit(
        &mut self,
        place: QueuePlace,
        slot: u16,
        template: &[u8],
        segments: &[(u32, u32, Direction)],
    ) -> Result<(), Refusal> {
        let pages = &self.pages;
        let segments: Vec<Segment<'_>> = segments
            .iter()
            .map(|(offset, length, direction)| Segment {
                pages,
                offset: *offset,
                length: *length,
                direction: *direction,
            })
            .collect();
        let slot = CommandSlot { slot };
        let taken = self
            .broker
            .submit(&mut self.io, place, slot, template, &segments);
        if taken.is_ok() {
            driver_core::ring(&mut *self.broker, &mut self.io, place);
        }
        taken
    }

    /// Both lists, each half of the window.
    pub fn register(&mut self) -> Result<(), Refusal> {
        for (slot, side, offset, direction) in [
            (0, Side::Receive, 0, Direction::FromDevice),
            (1, Side::Transmit, HALF, Direction::ToDevice),
        ] {
            let template = Template::Register(side).bytes();
            self.submit(LISTS, slot, &template, &[(offset, HALF, direction)])?;
        }
        Ok(())
    }

    /// A device with both queues.
    pub fn up(format: QueueFormat, faults: &[Fault]) -> Self {
        let mut it = Self::new(format, faults);
        it.enable().unwrap();
        it.open(LISTS, None).unwrap();
        it.open_frames();
        it
    }

    pub fn open_frames(&mut self) {
        if self.facts().format.has_lists() {
            self.register().unwrap();
        }
        self.open(RECEIVE, Some(0)).unwrap();
        self.open(TRANSMIT, Some(1)).unwrap();
    }

    pub fn facts(&mut self) -> Facts {
        let words = std::array::from_fn::<_, { WORDS as usize }, _>(|word| {
            self.submit(LISTS, 7, &Template::Tell(word as u8).bytes(), &[])
                .unwrap();
            let told = self.broker.next_completion(&mut self.io, LISTS);
            let told = told.unwrap().unwrap();
            assert_eq!((told.slot, told.status), (7, 0));
            told.result
        });
        Facts::of(words).unwrap()
    }

    fn transfer(
        &mut self,
        place: QueuePlace,
        slot: u16,
        opcode: Opcode,
        (offset, length): (u32, u32),
    ) -> Result<(), Refusal> {
        let direction = match opcode {
            Opcode::Read => Direction::FromDevice,
            _ => Direction::ToDevice,
        };
        let transfer = Transfer {
            opcode,
            unit: 0,
            block: 0,
            length,
            data: Some(Segment {
                pages: &self.pages,
                offset,
                length,
                direction,
            }),
        };
        let slot = CommandSlot { slot };
        let taken = self.broker.transfer(&mut self.io, place, slot, &transfer);
        driver_core::ring(&mut *self.broker, &mut self.io, place);
        taken
    }

    pub fn post(&mut self, slot: u16, offset: u32) -> Result<(), Refusal> {
        self.transfer(RECEIVE, slot, Opcode::Read, (offset, 2048))
    }

    pub fn send(&mut self, slot: u16, offset: u32, frame: &[u8]) -> Result<(), Refusal> {
        self.fill(offset, frame);
        self.transfer(TRANSMIT, slot, Opcode::Write, (offset, frame.len() as u32))
    }

    fn place_of(&self, offset: usize) -> usize {
        (self.window + 2 * (offset / PAGE)) * PAGE + offset % PAGE
    }

    /// Writes into the window.
    pub fn fill(&self, offset: u32, bytes: &[u8]) {
        for (at, byte) in bytes.iter().enumerate() {
            let place = self.place_of(offset as usize + at);
            self.io.memory.write(place, &[*byte]).unwrap();
        }
    }

    /// Reads out of the window.
    pub fn seen(&self, offset: u32, bytes: usize) -> Vec<u8> {
        let byte = |at| {
            let mut byte = [0];
            let place = self.place_of(offset as usize + at);
            self.io.memory.read(place, &mut byte).unwrap();
            byte[0]
        };
        (0..bytes).map(byte).collect()
    }

    /// Puts a frame on the wire, and lets the device look.
    pub fn arrive(&mut self, frame: &[u8]) {
        self.wire.coming.lock().unwrap().push_back(frame.to_vec());
        let World { device, host } = &mut *self.world.lock().unwrap();
        device.work(host);
    }

    pub fn take(&mut self, place: QueuePlace) -> Result<Option<Completed>, Refusal> {
        let taken = self.broker.next_completion(&mut self.io, place)?;
        if taken.is_some() {
            self.broker.completions_taken(&mut self.io, place);
        }
        Ok(taken)
    }

    pub fn interrupts(&self) -> Vec<u16> {
        std::mem::take(&mut self.world.lock().unwrap().host.interrupts)
    }

    /// What the device objected to.
    pub fn violations(&self) -> Vec<String> {
        let told = self.told.lock().unwrap();
        let broken = told
            .iter()
            .filter(|line| line.starts_with("model.violation"));
        broken.cloned().collect()
    }
}

pub const FORMATS: [QueueFormat; 3] = [
    QueueFormat::GqiQpl,
    QueueFormat::DqoQpl,
    QueueFormat::DqoRda,
];

/// A frame of so many bytes that looks like nothing else.
pub fn frame(bytes: usize, seed: u8) -> Vec<u8> {
    (0..bytes)
        .map(|at| (at as u8).wrapping_mul(7) ^ seed)
        .collect()
}

/// Where in its buffer a received frame begins.
pub fn lead(format: QueueFormat) -> u32 {
    if format.is_gqi() { 2 } else { 0 }
}
