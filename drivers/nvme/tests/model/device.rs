//! The controller of the model.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use driver_core::Registers;
use mmio::SharedBytes;

use super::{BUS, CC, CSTS, REGISTER_BYTES};

/// What the controller does with a finished command.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Posting {
    #[default]
    AtOnce,
    /// Keeps the completions until [`Harness::post_held`].
    Hold,
}

pub(super) struct CompletionQueue {
    pub(super) base: u64,
    pub(super) entries: u16,
    pub(super) tail: u16,
    pub(super) phase: bool,
}

pub(super) struct SubmissionQueue {
    pub(super) base: u64,
    pub(super) entries: u16,
    pub(super) head: u16,
    pub(super) cq: u16,
}

/// The controller.
pub struct Device {
    pub(super) registers: Registers,
    pub(super) memory: SharedBytes,
    pub(super) sqs: BTreeMap<u16, SubmissionQueue>,
    pub(super) cqs: BTreeMap<u16, CompletionQueue>,
    pub(super) running: bool,
    pub gone: bool,
    /// Ignores CC.EN going down.
    pub will_not_stop: bool,
    /// Ignores CC.EN going up.
    pub will_not_start: bool,
    pub posting: Posting,
    pub(super) held: Vec<(u16, [u64; 2])>,
    pub disk: Vec<u8>,
    pub block_shift: u8,
    pub mdts: u8,
    pub granted: u32,
    /// Status of queue creation.
    pub create_status: u16,
    /// What it answers when a submission queue is deleted.
    pub delete_status: u16,
    pub no_namespace_list: bool,
    pub stride: u8,
    /// Every command fetched, as `(queue, bytes)`.
    pub seen: Vec<(u16, [u8; 64])>,
    /// PRP lists that chained to a further page.
    pub chains: Cell<u32>,
}

impl Device {
    /// A controller that is off, with a disk of 8 MiB in blocks of 512 bytes.
    pub(super) fn new(registers: Registers, memory: SharedBytes) -> Self {
        Self {
            registers,
            memory,
            sqs: BTreeMap::new(),
            cqs: BTreeMap::new(),
            running: false,
            gone: false,
            will_not_stop: false,
            will_not_start: false,
            posting: Posting::AtOnce,
            held: Vec::new(),
            disk: (0..8 << 20)
                .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect(),
            block_shift: 9,
            mdts: 7,
            granted: 3,
            create_status: 0,
            delete_status: 0,
            no_namespace_list: false,
            stride: 0,
            seen: Vec::new(),
            chains: Cell::new(0),
        }
    }

    pub(super) fn at(&self, bus: u64) -> usize {
        usize::try_from(bus.checked_sub(BUS).expect("an address on the bus")).unwrap()
    }

    fn load(&self, bus: u64) -> u64 {
        self.memory
            .load64(self.at(bus), Ordering::Acquire)
            .expect("inside memory")
    }

    fn doorbell(&self, index: usize) -> u16 {
        self.registers
            .read32(0x1000 + index * (4 << self.stride))
            .unwrap() as u16
    }

    pub fn doorbells(&self) -> [u16; 4] {
        [0, 1, 2, 3].map(|i| self.doorbell(i))
    }

    /// Runs until there is nothing to do.
    pub(super) fn step(&mut self) {
        if self.gone {
            for at in (0..0x60).step_by(4) {
                self.registers.write32(at, u32::MAX).unwrap();
            }
            return;
        }
        let enabled = self.registers.read32(CC).unwrap() & 1 != 0;
        if !enabled && self.running && !self.will_not_stop {
            self.running = false;
            self.sqs.clear();
            self.cqs.clear();
            self.held.clear();
            self.registers.write32(CSTS, 0).unwrap();
            for at in (0x1000..REGISTER_BYTES).step_by(4) {
                self.registers.write32(at, 0).unwrap();
            }
        }
        if enabled && !self.running && !self.will_not_start {
            self.start();
        }
        if !self.running {
            return;
        }
        let numbers: Vec<u16> = self.sqs.keys().copied().collect();
        for number in numbers {
            while self.sqs.contains_key(&number)
                && let Some(command) = self.fetch(number)
            {
                self.seen.push((number, command));
                let (status, result) = self.execute(number, &command);
                let head = self.sqs[&number].head;
                let cid = u16::from_le_bytes([command[2], command[3]]);
                let cq = self.sqs[&number].cq;
                let second = u64::from(head)
                    | u64::from(number) << 16
                    | u64::from(cid) << 32
                    | u64::from(status) << 49;
                match self.posting {
                    Posting::AtOnce => self.post(cq, [u64::from(result), second]),
                    Posting::Hold => self.held.push((cq, [u64::from(result), second])),
                }
            }
        }
    }

    fn start(&mut self) {
        let cc = self.registers.read32(CC).unwrap();
        assert_eq!(cc & !0x780, 0x0046_0001, "CC");
        let aqa = self.registers.read32(0x24).unwrap();
        let asq = self.registers.read64(0x28).unwrap();
        let acq = self.registers.read64(0x30).unwrap();
        assert!(asq.is_multiple_of(4096) && acq.is_multiple_of(4096));
        let sq = SubmissionQueue {
            base: asq,
            entries: (aqa & 0xfff) as u16 + 1,
            head: 0,
            cq: 0,
        };
        let cq = CompletionQueue {
            base: acq,
            entries: (aqa >> 16) as u16 + 1,
            tail: 0,
            phase: true,
        };
        self.sqs.insert(0, sq);
        self.cqs.insert(0, cq);
        self.running = true;
        self.registers.write32(CSTS, 1).unwrap();
    }

    fn fetch(&mut self, number: u16) -> Option<[u8; 64]> {
        let tail = self.doorbell(2 * usize::from(number));
        let (base, head, entries) = {
            let sq = &self.sqs[&number];
            (sq.base, sq.head, sq.entries)
        };
        assert!(tail < entries, "tail doorbell {tail} of {entries}");
        if head == tail {
            return None;
        }
        let mut command = [0; 64];
        self.memory
            .read(self.at(base) + usize::from(head) * 64, &mut command)
            .unwrap();
        self.sqs.get_mut(&number).unwrap().head = (head + 1) % entries;
        Some(command)
    }

    /// Writes an entry and inverts the phase at the end of the ring.
    pub fn post(&mut self, cq: u16, [first, second]: [u64; 2]) {
        let head = self.doorbell(2 * usize::from(cq) + 1);
        let queue = self.cqs.get_mut(&cq).unwrap();
        assert_ne!(
            (queue.tail + 1) % queue.entries,
            head,
            "completion queue overrun"
        );
        let at = usize::try_from(queue.base - BUS).unwrap() + usize::from(queue.tail) * 16;
        let second = second & !(1 << 48) | u64::from(queue.phase) << 48;
        queue.tail += 1;
        if queue.tail == queue.entries {
            queue.tail = 0;
            queue.phase = !queue.phase;
        }
        self.memory.store64(at, first, Ordering::Relaxed).unwrap();
        self.memory
            .store64(at + 8, second, Ordering::Release)
            .unwrap();
    }

    #[expect(clippy::too_many_lines, reason = "one case after the other")]
    fn execute(&mut self, queue: u16, command: &[u8; 64]) -> (u16, u32) {
        let dword = |n: usize| u32::from_le_bytes(command[n * 4..n * 4 + 4].try_into().unwrap());
        let prp = |n: usize| u64::from(dword(n)) | u64::from(dword(n + 1)) << 32;
        let opcode = command[0];
        assert_eq!(command[1], 0, "FUSE and PSDT");
        match (queue, opcode) {
            (0, 0x06) => {
                let Some(data) = self.identify(dword(10) as u8, dword(1)) else {
                    return (0x0b, 0);
                };
                self.scatter(&self.walk(prp(6), prp(8), 4096), &data);
                (0, 0)
            }
            (0, 0x09) if dword(10) == 7 => (0, self.granted | self.granted << 16),
            (0, 0x05) => {
                if self.create_status != 0 {
                    return (self.create_status, 0);
                }
                assert_eq!(dword(11) & 1, 1, "contiguous");
                let entries = (dword(10) >> 16) as u16 + 1;
                let cq = CompletionQueue {
                    base: prp(6),
                    entries,
                    tail: 0,
                    phase: true,
                };
                assert!(self.cqs.insert(dword(10) as u16, cq).is_none());
                (0, 0)
            }
            (0, 0x01) => {
                let cq = (dword(11) >> 16) as u16;
                assert!(self.cqs.contains_key(&cq), "completion queue first");
                let entries = (dword(10) >> 16) as u16 + 1;
                let sq = SubmissionQueue {
                    base: prp(6),
                    entries,
                    head: 0,
                    cq,
                };
                assert!(self.sqs.insert(dword(10) as u16, sq).is_none());
                (0, 0)
            }
            (0, 0x00) => {
                if self.delete_status != 0 {
                    return (self.delete_status, 0);
                }
                let number = dword(10) as u16;
                assert!(self.sqs.remove(&number).is_some(), "no such queue");
                // What it has not answered yet, it never will.
                self.held.retain(|(cq, _)| *cq != number);
                (0, 0)
            }
            (0, 0x04) => {
                let number = dword(10) as u16;
                assert!(
                    !self.sqs.values().any(|sq| sq.cq == number),
                    "submission queue first"
                );
                assert!(self.cqs.remove(&number).is_some(), "no such queue");
                // The registers of a queue that is gone start again at 0.
                for index in [2 * usize::from(number), 2 * usize::from(number) + 1] {
                    let at = 0x1000 + index * (4 << self.stride);
                    self.registers.write32(at, 0).unwrap();
                }
                (0, 0)
            }
            (0, 0x02) => {
                let bytes = ((dword(10) >> 16) + 1) * 4;
                self.scatter(
                    &self.walk(prp(6), prp(8), u64::from(bytes)),
                    &vec![0x5a; bytes as usize],
                );
                (0, 0)
            }
            (0, 0x0a) => (0, 1),
            (0, _) => (0x01, 0),
            (_, 0x00) => (0, 0),
            (_, 0x01 | 0x02) => {
                let lba = (u64::from(dword(10)) | u64::from(dword(11)) << 32) as usize;
                let bytes = ((dword(12) & 0xffff) as usize + 1) << self.block_shift;
                let from = lba << self.block_shift;
                let pieces = self.walk(prp(6), prp(8), bytes as u64);
                if opcode == 0x02 {
                    let data = self.disk[from..from + bytes].to_vec();
                    self.scatter(&pieces, &data);
                } else {
                    let mut at = from;
                    for (bus, length) in pieces {
                        let (start, length) = (self.at(bus), length as usize);
                        self.memory
                            .read(start, &mut self.disk[at..at + length])
                            .unwrap();
                        at += length;
                    }
                }
                (0, 0)
            }
            (_, 0x08) => {
                let (from, bytes) = self.blocks(dword(10), dword(11), (dword(12) & 0xffff) + 1);
                self.disk[from..from + bytes].fill(0);
                (0, 0)
            }
            // One range, which is deallocated; what is deallocated reads as 0xdd here.
            (_, 0x09) => {
                assert_eq!((dword(10), dword(11)), (0, 4));
                let mut range = [0; 16];
                self.memory.read(self.at(prp(6)), &mut range).unwrap();
                let word = |at: usize| u32::from_le_bytes(range[at..at + 4].try_into().unwrap());
                assert_eq!(word(0), 0, "context attributes");
                let (from, bytes) = self.blocks(word(8), word(12), word(4));
                self.disk[from..from + bytes].fill(0xdd);
                (0, 0)
            }
            _ => (0x01, 0),
        }
    }

    /// Where blocks lie on the disk: first byte and count of bytes.
    const fn blocks(&self, low: u32, high: u32, count: u32) -> (usize, usize) {
        let lba = (low as u64 | (high as u64) << 32) as usize;
        (
            lba << self.block_shift,
            (count as usize) << self.block_shift,
        )
    }

    fn identify(&self, cns: u8, nsid: u32) -> Option<Vec<u8>> {
        let mut data = vec![0u8; 4096];
        match cns {
            0 if nsid == 1 => {
                let blocks = (self.disk.len() >> self.block_shift) as u64;
                data[..8].copy_from_slice(&blocks.to_le_bytes());
                data[130] = self.block_shift;
            }
            0 if nsid == 2 => {
                // Has metadata: not to be used.
                data[0] = 9;
                data[128..131].copy_from_slice(&[8, 0, 9]);
            }
            1 => {
                data[24..64].fill(b' ');
                data[24..29].copy_from_slice(b"Model");
                data[77] = self.mdts;
                data[512] = 0x66;
                data[513] = 0x44;
                data[516] = 2;
            }
            2 if !self.no_namespace_list => {
                data[0] = 1;
                data[4] = 2;
            }
            _ => return None,
        }
        Some(data)
    }

    fn scatter(&self, pieces: &[(u64, u64)], data: &[u8]) {
        let mut at = 0;
        for &(bus, length) in pieces {
            let length = length as usize;
            self.memory
                .write(self.at(bus), &data[at..at + length])
                .unwrap();
            at += length;
        }
        assert_eq!(at, data.len());
    }

    /// The pages of a transfer, by the rules of section 4.3.
    fn walk(&self, prp1: u64, prp2: u64, length: u64) -> Vec<(u64, u64)> {
        let mut out = vec![(prp1, (4096 - prp1 % 4096).min(length))];
        let mut left = length - out[0].1;
        if left > 0 && left <= 4096 {
            assert_eq!(prp2 % 4096, 0);
            out.push((prp2, left));
            return out;
        }
        let mut at = prp2;
        while left > 0 {
            assert_eq!(at % 8, 0);
            let entry = self.load(at);
            assert_eq!(entry % 4096, 0, "list entry");
            if at % 4096 == 4088 && left > 4096 {
                self.chains.set(self.chains.get() + 1);
                at = entry;
                continue;
            }
            out.push((entry, left.min(4096)));
            left -= left.min(4096);
            at += 8;
        }
        out
    }
}
