//! A machine with one NVMe controller that follows the specification, in plain memory: registers, doorbells, queues
//! and PRP lists are read here by rules of their own, not with the broker's code.
#![allow(unsafe_code, dead_code, unused_imports)] // no test uses all of it

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use driver_core::{
    Broker, BrokerIo, CommandSlot, Completed, DRIVERS, DeviceAddress, Direction, DmaPages,
    NvmeSettings, Operation, PageAddresses, Poll, Probed, QueuePlace, QueueSpec, Refusal,
    Registers, Segment, Settings, Step, Transfer,
};
use mmio::SharedBytes;
use nvme as _;

mod device;

pub use device::{Device, Posting};

pub const PAGE: usize = 4096;
const MEMORY_PAGES: usize = 8192;
const REGISTER_BYTES: usize = 0x4000;
/// Where memory lies on the bus: not at 0, so that a forgotten address shows.
const BUS: u64 = 0x12_0000_0000;

pub const CC: usize = 0x14;
pub const CSTS: usize = 0x1c;

#[repr(align(4096))]
#[derive(Clone)]
struct Page([u64; 512]);

fn pages(count: usize) -> Vec<Page> {
    vec![Page([0; 512]); count]
}

/// What the broker is given.
pub struct Io {
    registers: Registers,
    memory: SharedBytes,
    next_page: usize,
    pub runs: u32,
    /// Runs that there are at most.
    pub most_runs: u32,
    /// Where each run begins that was asked for to be read alone.
    pub read_only: Vec<u64>,
    pub now_ns: u64,
}

impl BrokerIo for Io {
    fn registers(&self, bar: u8) -> Result<&Registers, Refusal> {
        if bar == 0 {
            Ok(&self.registers)
        } else {
            Err(Refusal::OutOfRange)
        }
    }

    fn pages(&mut self, bytes: usize) -> Result<DmaPages, Refusal> {
        if self.runs == self.most_runs {
            return Err(Refusal::NoMemory);
        }
        let count = bytes.div_ceil(PAGE);
        let at = self.next_page * PAGE;
        let bytes = self
            .memory
            .slice(at, count * PAGE)
            .map_err(|_| Refusal::NoMemory)?;
        self.next_page += count;
        self.runs += 1;
        Ok(DmaPages::new(
            bytes,
            DeviceAddress::new(BUS + at as u64),
            self.runs,
        ))
    }

    fn read_only_pages(&mut self, bytes: usize) -> Result<DmaPages, Refusal> {
        let pages = self.pages(bytes)?;
        self.read_only.push(pages.address().bus());
        Ok(pages)
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }
}

/// Machine, controller and broker.
/// Where queue 0 lies, the administration's, and above it I/O pair `queue`.
pub fn place(queue: u16) -> QueuePlace {
    QueuePlace {
        kind: u16::from(queue != 0),
        index: queue,
    }
}

pub struct Harness {
    pub io: Io,
    pub device: Device,
    pub broker: Box<dyn Broker>,
    rewind_to: Option<usize>,
    _memory: Vec<Page>,
    _registers: Vec<Page>,
}

impl Harness {
    pub fn new() -> Self {
        Self::with_vectors(4)
    }

    pub fn with_vectors(msix_vectors: u16) -> Self {
        let mut memory = pages(MEMORY_PAGES);
        let mut registers = pages(REGISTER_BYTES / PAGE);
        let base: *mut u8 = registers.as_mut_ptr().cast();
        // SAFETY: both arrays live in the harness, and are only used through these views.
        let (shared, mine, theirs) = unsafe {
            (
                SharedBytes::new(memory.as_mut_ptr().cast(), MEMORY_PAGES * PAGE),
                Registers::new(base, REGISTER_BYTES),
                Registers::new(base, REGISTER_BYTES),
            )
        };
        // MQES 255, CQR, TO 2 (one second), CSS NVM, MPSMAX 4.
        theirs
            .write64(0, 255 | 1 << 16 | 2 << 24 | 1 << 37 | 4 << 52)
            .unwrap();
        theirs.write32(8, 0x0001_0400).unwrap();
        let device = Device::new(theirs, shared);
        let entry = DRIVERS
            .iter()
            .find(|entry| entry.name == "nvme")
            .expect("registered");
        let probed = Probed {
            vendor: 0x1b36,
            device: 0x10,
            bar_bytes: [REGISTER_BYTES as u64, 0, 0, 0, 0, 0],
            msix_vectors,
            ..Probed::default()
        };
        let broker = (entry.probe)(&probed).unwrap();
        let io = Io {
            registers: mine,
            memory: shared,
            next_page: 16,
            runs: 0,
            most_runs: u32::MAX,
            read_only: Vec::new(),
            now_ns: 1_000,
        };
        Self {
            io,
            device,
            broker,
            rewind_to: None,
            _memory: memory,
            _registers: registers,
        }
    }

    pub fn register(&self, at: usize) -> u32 {
        self.device.registers.read32(at).unwrap()
    }

    pub fn set_register(&self, at: usize, value: u32) {
        self.device.registers.write32(at, value).unwrap();
    }

    pub fn set_stride(&mut self, stride: u8) {
        let cap = self.device.registers.read64(0).unwrap() & !(0xf << 32);
        self.device
            .registers
            .write64(0, cap | u64::from(stride) << 32)
            .unwrap();
        self.device.stride = stride;
    }

    pub fn step(&mut self) {
        self.device.step();
    }

    /// Polls until it ends, with the controller running in between.
    pub fn drive(&mut self) -> Result<Step, Refusal> {
        for _ in 0..1_000_000 {
            self.device.step();
            match self.broker.poll(&mut self.io) {
                Poll::Pending { after_ns } => {
                    assert!(after_ns > 0);
                    self.io.now_ns += after_ns;
                }
                Poll::Done(step) => return Ok(step),
                Poll::Failed(refusal) => return Err(refusal),
            }
        }
        panic!("polled without end");
    }

    pub fn reset(&mut self) -> Result<Step, Refusal> {
        self.begin(Operation::Reset)?;
        self.drive()
    }

    pub fn enable(&mut self) -> Result<Step, Refusal> {
        self.begin(Operation::Enable)?;
        self.drive()
    }

    /// Begins an operation.
    pub fn begin(&mut self, operation: Operation) -> Result<(), Refusal> {
        self.broker.begin(&mut self.io, operation)
    }

    /// Looks once at what is under way.
    pub fn poll(&mut self) -> Poll {
        self.broker.poll(&mut self.io)
    }

    pub fn open(&mut self, spec: QueueSpec) -> Result<Step, Refusal> {
        self.begin(Operation::Open(spec))?;
        self.drive()
    }

    /// Asks for a depth of the administration queue, pairs and a page shift; what was agreed on.
    pub fn configure(
        &mut self,
        [admin_depth, pairs, shift]: [u16; 3],
    ) -> Result<[u16; 3], Refusal> {
        let mut chosen = NvmeSettings {
            admin_depth,
            pairs,
            page_shift: shift.into(),
        };
        self.broker
            .configure(&mut self.io, Settings::Nvme(&mut chosen))?;
        Ok([chosen.admin_depth, chosen.pairs, chosen.page_shift as u16])
    }

    /// Reset, configured, enabled, with queue 0 for administration and queue 1 as the first I/O pair of `depth`.
    pub fn up(depth: u16) -> Self {
        let mut this = Self::new();
        this.bring_up(depth);
        this
    }

    pub fn bring_up(&mut self, depth: u16) {
        self.reset().unwrap();
        self.configure([32, 2, 12]).unwrap();
        self.enable().unwrap();
        self.open(ADMIN).unwrap();
        self.open(pair(1, depth)).unwrap();
    }

    pub fn submit(
        &mut self,
        queue: u16,
        slot: u16,
        template: &[u8],
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal> {
        self.broker.submit(
            &mut self.io,
            place(queue),
            CommandSlot { slot },
            template,
            segments,
        )
    }

    /// Through the I/O pair, by its fields.
    pub fn transfer(&mut self, slot: u16, transfer: &Transfer<'_>) -> Result<(), Refusal> {
        let slot = CommandSlot { slot };
        self.broker.transfer(&mut self.io, place(1), slot, transfer)
    }

    pub fn ring(&mut self, queue: u16) {
        driver_core::ring(&mut *self.broker, &mut self.io, place(queue));
    }

    pub fn next(&mut self, queue: u16) -> Result<Option<Completed>, Refusal> {
        self.broker.next_completion(&mut self.io, place(queue))
    }

    /// Rings, runs the controller and takes every completion.
    pub fn finish(&mut self, queue: u16) -> Result<Vec<Completed>, Refusal> {
        self.ring(queue);
        self.device.step();
        self.take(queue)
    }

    pub fn take(&mut self, queue: u16) -> Result<Vec<Completed>, Refusal> {
        let mut out = Vec::new();
        while let Some(completed) = self.next(queue)? {
            out.push(completed);
        }
        self.broker.completions_taken(&mut self.io, place(queue));
        Ok(out)
    }

    pub fn post_held(&mut self) {
        for (cq, words) in std::mem::take(&mut self.device.held) {
            self.device.post(cq, words);
        }
    }

    pub fn held(&self) -> Vec<(u16, [u64; 2])> {
        self.device.held.clone()
    }

    /// Forgets the buffers handed out since the queues were opened.
    pub fn io_rewind(&mut self) {
        self.io.next_page = self.rewind_to.unwrap_or(self.io.next_page);
    }

    /// Writes the entry that comes next, but with the phase of the pass before.
    pub fn write_completion_raw(&mut self, words: [u64; 2]) {
        let queue = &self.device.cqs[&1];
        let at = self.device.at(queue.base) + usize::from(queue.tail) * 16;
        let second = words[1] & !(1 << 48) | u64::from(!queue.phase) << 48;
        self.device
            .memory
            .store64(at, words[0], Ordering::Relaxed)
            .unwrap();
        self.device
            .memory
            .store64(at + 8, second, Ordering::Release)
            .unwrap();
    }

    /// Pages of a buffer, scattered: in falling order with holes.
    pub fn buffer(&mut self, count: usize) -> Vec<DeviceAddress> {
        let first = self.io.next_page;
        self.rewind_to.get_or_insert(first);
        self.io.next_page += count * 2;
        assert!(self.io.next_page <= MEMORY_PAGES);
        let bus = |i: usize| BUS + ((first + (count - 1 - i) * 2) * PAGE) as u64;
        (0..count).map(|i| DeviceAddress::new(bus(i))).collect()
    }

    pub fn read_buffer(&self, pages: &[DeviceAddress], offset: usize, length: usize) -> Vec<u8> {
        let mut all = vec![0; pages.len() * PAGE];
        for (page, chunk) in pages.iter().zip(all.chunks_mut(PAGE)) {
            self.device
                .memory
                .read(self.device.at(page.bus()), chunk)
                .unwrap();
        }
        all[offset..offset + length].to_vec()
    }

    pub fn write_at(&self, at: DeviceAddress, bytes: &[u8]) {
        let at = self.device.at(at.bus());
        self.device.memory.write(at, bytes).unwrap();
    }

    /// Where the controller's submission and completion rings begin.
    pub fn bases(&self) -> (Vec<u64>, Vec<u64>) {
        let submissions = self.device.sqs.values().map(|queue| queue.base).collect();
        let completions = self.device.cqs.values().map(|queue| queue.base).collect();
        (submissions, completions)
    }

    pub fn fill_buffer(&self, pages: &[DeviceAddress], value: u8) {
        for page in pages {
            self.device
                .memory
                .write(self.device.at(page.bus()), &[value; PAGE])
                .unwrap();
        }
    }

    /// The submission rings and doorbells as they are: what a refusal must leave alone.
    pub fn rings(&self) -> (HashMap<u16, Vec<u8>>, [u16; 4]) {
        let rings = self.device.sqs.iter().map(|(number, sq)| {
            let mut bytes = vec![0; usize::from(sq.entries) * 64];
            self.device
                .memory
                .read(self.device.at(sq.base), &mut bytes)
                .unwrap();
            (*number, bytes)
        });
        (rings.collect(), self.device.doorbells())
    }
}

pub const ADMIN: QueueSpec = QueueSpec {
    kind: 0,
    index: 0,
    depth: 32,
    vector: Some(0),
};

pub const fn pair(index: u16, depth: u16) -> QueueSpec {
    QueueSpec {
        kind: 1,
        index,
        depth,
        vector: Some(1),
    }
}

/// The pages as a buffer has them.
fn listed(pages: &[DeviceAddress]) -> &'static PageAddresses {
    Box::leak(Box::new(PageAddresses::of(pages.iter().copied()).unwrap()))
}

pub fn from_device(pages: &[DeviceAddress], offset: u32, length: u32) -> Segment<'static> {
    Segment {
        pages: listed(pages),
        offset,
        length,
        direction: Direction::FromDevice,
    }
}

pub fn to_device(pages: &[DeviceAddress], offset: u32, length: u32) -> Segment<'static> {
    Segment {
        pages: listed(pages),
        offset,
        length,
        direction: Direction::ToDevice,
    }
}

pub fn read(lba: u64, blocks: u32) -> [u8; 64] {
    nvme_format::Command::transfer(nvme_format::io::READ, 1, lba, blocks)
        .unwrap()
        .to_bytes()
}

pub fn write(lba: u64, blocks: u32) -> [u8; 64] {
    nvme_format::Command::transfer(nvme_format::io::WRITE, 1, lba, blocks)
        .unwrap()
        .to_bytes()
}
