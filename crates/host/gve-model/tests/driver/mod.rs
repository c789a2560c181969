//! A small driver over memory of its own: what Linux's does, step by step, so that each step can be done wrong.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use gve_format::registers::{self, irq};
use gve_format::{Command, CreateRx, CreateTx, QueueFormat, Resources, Status, gqi};
use gve_model::{Fault, Gve, Port, Shape};
use vfio_user::{Bus, BusError, MemoryError, Model, Way};

/// Bytes of memory there are, from address 0 on.
const MEMORY: usize = 4 << 20;
pub const ADMIN: u64 = 0x1000;
pub const COUNTERS: u64 = 0x2000;
pub const BLOCKS: u64 = 0x3000;
pub const TX_RESOURCES: u64 = 0x4000;
pub const RX_RESOURCES: u64 = 0x4040;
pub const TX_RING: u64 = 0x5000;
pub const RX_SLOTS: u64 = 0x8000;
pub const LIST: u64 = 0xa000;
pub const SCRATCH: u64 = 0xb000;
pub const RX_RING: u64 = 0x1_0000;
/// First page of the lists of transmission and of reception.
pub const TX_PAGES: u64 = 0x10_0000;
pub const RX_PAGES: u64 = 0x20_0000;
pub const ENTRIES: u32 = 256;

/// Memory and what came as interrupts.
pub struct Host {
    pub memory: Vec<u8>,
    pub interrupts: Vec<u16>,
    pub command: u16,
}

impl Host {
    fn range(&self, address: u64, bytes: usize) -> Result<std::ops::Range<usize>, BusError> {
        let start = usize::try_from(address).unwrap_or(usize::MAX);
        match start.checked_add(bytes) {
            Some(end) if end <= self.memory.len() => Ok(start..end),
            _ => Err(BusError::Memory(MemoryError::NotMapped)),
        }
    }
}

impl Bus for Host {
    fn read(&mut self, _: Way, address: u64, buffer: &mut [u8]) -> Result<(), BusError> {
        let range = self.range(address, buffer.len())?;
        buffer.copy_from_slice(&self.memory[range]);
        Ok(())
    }

    fn write(&mut self, _: Way, address: u64, bytes: &[u8]) -> Result<(), BusError> {
        let range = self.range(address, bytes.len())?;
        self.memory[range].copy_from_slice(bytes);
        Ok(())
    }

    fn interrupt(&mut self, vector: u16) -> Result<(), BusError> {
        self.interrupts.push(vector);
        Ok(())
    }

    fn command(&self) -> u16 {
        self.command
    }
}

/// A wire whose two ends the test holds.
#[derive(Clone, Default)]
pub struct Wire {
    pub sent: Rc<RefCell<Vec<Vec<u8>>>>,
    pub coming: Rc<RefCell<VecDeque<Vec<u8>>>>,
}

impl Port for Wire {
    fn send(&mut self, frame: &[u8]) {
        self.sent.borrow_mut().push(frame.to_vec());
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.coming.borrow_mut().pop_front()
    }
}

type Lines = Rc<RefCell<Vec<String>>>;

/// The driver, its host, and the device that it drives.
pub struct Driver {
    pub host: Host,
    pub device: Gve<Wire, Box<dyn FnMut(String)>>,
    pub wire: Wire,
    pub told: Lines,
    pub given: u32,
    pub head: u32,
    pub buffers: u32,
}

impl Driver {
    pub fn new(faults: &[Fault]) -> Self {
        Self::shaped(Shape {
            faults: faults.to_vec(),
            ..Shape::default()
        })
    }

    pub fn shaped(shape: Shape) -> Self {
        let (wire, told) = (Wire::default(), Lines::default());
        let heard = told.clone();
        let told_to: Box<dyn FnMut(String)> = Box::new(move |line| heard.borrow_mut().push(line));
        Self {
            host: Host {
                memory: vec![0; MEMORY],
                interrupts: Vec::new(),
                command: 0b110,
            },
            device: Gve::new(shape, wire.clone(), told_to),
            wire,
            told,
            given: 0,
            head: 0,
            buffers: 0,
        }
    }

    /// One whose queues are there and whose buffers are given.
    pub fn ready(faults: &[Fault]) -> Self {
        let mut it = Self::new(faults);
        it.attach();
        it.configure();
        it.lists();
        assert_eq!(it.give(&Command::CreateTx(tx())), Status::PASSED);
        assert_eq!(it.give(&Command::CreateRx(rx())), Status::PASSED);
        it.fill(ENTRIES);
        it
    }

    pub fn attach(&mut self) {
        self.set(0, registers::ADMIN_PFN, (ADMIN / 4096) as u32);
    }

    pub fn configure(&mut self) {
        let done = self.give(&Command::ConfigureResources(resources()));
        assert_eq!(done, Status::PASSED);
    }

    pub fn lists(&mut self) {
        assert_eq!(self.list(0, TX_PAGES, 64), Status::PASSED);
        assert_eq!(self.list(1, RX_PAGES, 256), Status::PASSED);
    }

    pub fn list(&mut self, list: u32, first: u64, pages: u32) -> Status {
        for page in 0..u64::from(pages) {
            let address = first + page * 4096;
            self.put(LIST + page * 8, &address.to_be_bytes());
        }
        self.give(&register(list, pages))
    }

    /// Writes four bytes big-endian to a BAR, and lets the device work.
    pub fn set(&mut self, bar: u8, offset: u64, value: u32) {
        self.device.write(bar, offset, &value.to_be_bytes());
        self.device.work(&mut self.host);
    }

    pub fn get(&mut self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.device.read(0, offset, &mut bytes);
        u32::from_be_bytes(bytes)
    }

    pub fn put(&mut self, address: u64, bytes: &[u8]) {
        self.host.write(Way::Memory, address, bytes).unwrap();
    }

    pub fn at<const N: usize>(&self, address: u64) -> [u8; N] {
        let start = address as usize;
        self.host.memory[start..start + N].try_into().unwrap()
    }

    /// Gives a command; its status.
    pub fn give(&mut self, command: &Command) -> Status {
        self.give_bytes(&command.bytes())
    }

    pub fn give_bytes(&mut self, bytes: &[u8; 64]) -> Status {
        let at = ADMIN + u64::from(self.given % 64) * 64;
        self.put(at, bytes);
        self.given += 1;
        self.set(0, registers::ADMIN_DOORBELL, self.given);
        Status::read(&self.at(at))
    }

    /// The doorbell of a queue, as the device said.
    pub fn doorbell(&self, resources: u64) -> u64 {
        u64::from(u32::from_be_bytes(self.at(resources))) * 4
    }

    /// Gives more buffers, one page each.
    pub fn fill(&mut self, more: u32) {
        for _ in 0..more {
            let slot = u64::from(self.buffers % ENTRIES);
            self.put(RX_SLOTS + slot * 8, &(slot * 4096).to_be_bytes());
            self.buffers += 1;
        }
        let doorbell = self.doorbell(RX_RESOURCES);
        self.set(2, doorbell, self.buffers);
    }

    /// Puts descriptors into the transmit ring and rings.
    pub fn transmit(&mut self, descriptors: &[gqi::Tx]) {
        for one in descriptors {
            let at = TX_RING + u64::from(self.head % ENTRIES) * 16;
            self.put(at, &one.bytes());
            self.head += 1;
        }
        let doorbell = self.doorbell(TX_RESOURCES);
        self.set(2, doorbell, self.head);
    }

    /// Sends a frame that lies at the start of the first page.
    pub fn send(&mut self, frame: &[u8]) {
        self.put(TX_PAGES, frame);
        self.transmit(&[packet(frame.len() as u16)]);
    }

    pub fn arrive(&mut self, frame: &[u8]) {
        self.wire.coming.borrow_mut().push_back(frame.to_vec());
        self.device.work(&mut self.host);
    }

    pub fn received(&self, slot: u64) -> gqi::Rx {
        gqi::Rx::read(&self.at(RX_RING + slot * 64))
    }

    pub fn counter(&self) -> u32 {
        let index: [u8; 4] = self.at(TX_RESOURCES + 4);
        u32::from_be_bytes(self.at(COUNTERS + u64::from(u32::from_be_bytes(index)) * 4))
    }

    pub fn mask(&mut self, block: u64, value: u32) {
        let index = u32::from_be_bytes(self.at(BLOCKS + block * 64));
        self.set(2, u64::from(index) * 4, value);
    }

    /// The rules that were broken, in turn.
    pub fn broken(&self) -> Vec<String> {
        self.lines("model.violation rule=")
    }

    /// The faults that happened, in turn.
    pub fn faults(&self) -> Vec<String> {
        self.lines("model.fault ")
    }

    fn lines(&self, start: &str) -> Vec<String> {
        let told = self.told.borrow();
        let rest = told.iter().filter_map(|line| line.strip_prefix(start));
        rest.map(|rest| rest.split(' ').next().unwrap_or_default().to_owned())
            .collect()
    }
}

pub const SEEN: u32 = irq::ACK | irq::EVENT;

pub fn resources() -> Resources {
    Resources {
        counters_at: COUNTERS,
        doorbells_at: BLOCKS,
        counters: 2,
        blocks: 2,
        stride: 64,
        first_vector: 0,
        format: QueueFormat::GqiQpl,
    }
}

pub fn register(list: u32, pages: u32) -> Command {
    Command::RegisterPageList {
        list,
        pages,
        address: LIST,
        page_bytes: 4096,
    }
}

pub fn tx() -> CreateTx {
    CreateTx {
        queue: 0,
        resources_at: TX_RESOURCES,
        ring_at: TX_RING,
        list: 0,
        block: 0,
        completions_at: 0,
        entries: 0,
        completions: 0,
    }
}

pub fn rx() -> CreateRx {
    CreateRx {
        queue: 0,
        index: 0,
        block: 1,
        resources_at: RX_RESOURCES,
        ring_at: RX_RING,
        data_at: RX_SLOTS,
        list: 1,
        entries: 0,
        buffer_bytes: 2048,
        buffers: 0,
        coalesce: false,
        header_bytes: 0,
    }
}

pub fn packet(bytes: u16) -> gqi::Tx {
    gqi::Tx::Packet {
        segmented: false,
        checksum: None,
        descriptors: 1,
        frame_bytes: bytes,
        bytes,
        at: 0,
    }
}
