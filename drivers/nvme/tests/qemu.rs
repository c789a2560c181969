//! The broker against QEMU's own `nvme` device, without any guest: the processor halts in its first instruction, memory
//! is a file that is mapped here, and registers are reached through the qtest protocol.
//! It needs the QEMU that `QEMU` names, or else `qemu-system-x86_64`; `CAPOS_NO_QEMU=1` leaves these tests out.
#![allow(unsafe_code, clippy::disallowed_macros)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod program;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use driver_core::{
    Broker, BrokerIo, CommandSlot, Completed, DRIVERS, DeviceAddress, Direction, DmaPages,
    NvmeSettings, Operation, PageAddresses, Poll, Probed, QueuePlace, QueueSpec, Refusal,
    Registers, Segment, Settings, Step,
};
use mmio::SharedBytes;
use nvme as _;
use nvme_format::{Command, Status, io};

const PAGE: usize = 4096;
const MEMORY_BYTES: usize = 64 << 20;
/// Where the test begins to hand out pages: above everything a PC has in low memory.
const FIRST_PAGE: usize = (16 << 20) / PAGE;
const BAR: u64 = 0xe000_0000;
const REGISTER_BYTES: usize = 0x2000;
/// Bus 0, device 4, function 0 in the old configuration mechanism.
const CONFIG: u32 = 0x8000_2000;
const CC: usize = 0x14;
const DOORBELLS: usize = 0x1000;
const DISK_BYTES: usize = 16 << 20;
const SHAPE: NvmeSettings = NvmeSettings {
    admin_depth: 16,
    pairs: 2,
    page_shift: 12,
};

unsafe extern "C" {
    fn mmap(
        address: *mut u8,
        bytes: usize,
        protection: i32,
        flags: i32,
        fd: i32,
        offset: i64,
    ) -> *mut u8;
}

#[repr(align(4096))]
struct Mirror([u32; REGISTER_BYTES / 4]);

struct Io {
    registers: Registers,
    memory: SharedBytes,
    next_page: usize,
    now_ns: u64,
}

impl BrokerIo for Io {
    fn registers(&self, bar: u8) -> Result<&Registers, Refusal> {
        (bar == 0)
            .then_some(&self.registers)
            .ok_or(Refusal::OutOfRange)
    }

    fn pages(&mut self, bytes: usize) -> Result<DmaPages, Refusal> {
        let at = self.next_page * PAGE;
        self.next_page += bytes.div_ceil(PAGE);
        let slice = self.memory.slice(at, bytes);
        let slice = slice.map_err(|_| Refusal::NoMemory)?;
        Ok(DmaPages::new(slice, DeviceAddress::new(at as u64), 0))
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }
}

/// QEMU, the broker, and a copy of the registers: the broker writes the copy, and what it changed is carried over.
struct Bench {
    qemu: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    io: Io,
    broker: Box<dyn Broker>,
    _mirror: Box<Mirror>,
    known: BTreeMap<usize, u32>,
    disk: Vec<u8>,
    disk_path: PathBuf,
    folder: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Bench {
    /// `None` where these tests are left out.
    #[expect(clippy::too_many_lines, reason = "one case after the other")]
    fn start(name: &str, device: &str, namespace: &str) -> Option<Self> {
        if std::env::var_os("CAPOS_NO_QEMU").is_some() {
            return None;
        }
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("qtest-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (ram_path, disk_path) = (folder.join("ram"), folder.join("disk"));
        let ram = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&ram_path)
            .unwrap();
        ram.set_len(MEMORY_BYTES as u64).unwrap();
        let disk: Vec<u8> = (0..DISK_BYTES as u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8)
            .collect();
        fs::write(&disk_path, &disk).unwrap();
        // Firmware that is one processor's rest: cli, hlt, and hlt again.
        let mut firmware = vec![0xf4; 64 << 10];
        firmware[0xfff0..0xfff4].copy_from_slice(&[0xfa, 0xf4, 0xeb, 0xfd]);
        let firmware_path = folder.join("firmware");
        fs::write(&firmware_path, firmware).unwrap();
        let mut qemu = program::command()
            .args(["-machine", "q35,memory-backend=ram"])
            .arg("-object")
            .arg(format!(
                "memory-backend-file,id=ram,size=64M,share=on,mem-path={}",
                ram_path.display()
            ))
            .arg("-bios")
            .arg(&firmware_path)
            .arg("-drive")
            .arg(format!(
                "if=none,id=d,format=raw,file={}",
                disk_path.display()
            ))
            .args(["-device", &format!("nvme,id=n,serial=test,addr=4,{device}")])
            .args(["-device", &format!("nvme-ns,drive=d,bus=n,{namespace}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect(
                "QEMU starts: `cargo xtask setup` gets it, CAPOS_NO_QEMU=1 leaves this test out",
            );
        let (to, from) = (
            qemu.stdin.take().unwrap(),
            BufReader::new(qemu.stdout.take().unwrap()),
        );
        // SAFETY: a shared mapping of a file that is as long and stays.
        let base = unsafe { mmap(std::ptr::null_mut(), MEMORY_BYTES, 3, 1, ram.as_raw_fd(), 0) };
        assert_ne!(base as isize, -1);
        let mut mirror = Box::new(Mirror([0; REGISTER_BYTES / 4]));
        // SAFETY: the mapping is never undone, and the mirror lives as long as the bench.
        let (memory, registers) = unsafe {
            (
                SharedBytes::new(base, MEMORY_BYTES),
                Registers::new(mirror.0.as_mut_ptr().cast(), REGISTER_BYTES),
            )
        };
        let entry = DRIVERS.iter().find(|entry| entry.name == "nvme").unwrap();
        let probed = Probed {
            vendor: 0x1b36,
            device: 0x10,
            bar_bytes: [0x4000, 0, 0, 0, 0, 0],
            msix_vectors: 65,
            ..Probed::default()
        };
        let mut this = Self {
            qemu,
            to,
            from,
            io: Io {
                registers,
                memory,
                next_page: FIRST_PAGE,
                now_ns: 1,
            },
            broker: (entry.probe)(&probed).unwrap(),
            _mirror: mirror,
            known: BTreeMap::new(),
            disk,
            disk_path,
            folder,
        };
        for (register, value) in [(0x10, BAR as u32), (0x14, 0), (0x04, 0x6)] {
            this.ask(&format!("outl 0xcf8 {}", CONFIG | register));
            this.ask(&format!("outl 0xcfc {value}"));
        }
        this.enable_msix();
        Some(this)
    }

    fn config(&mut self, register: u32) -> u32 {
        self.ask(&format!("outl 0xcf8 {}", CONFIG | register));
        let answer = self.ask("inl 0xcfc");
        u32::from_str_radix(answer.trim_start_matches("0x"), 16).unwrap()
    }

    /// Enables MSI-X with every vector masked: without it the controller takes no vector but 0.
    fn enable_msix(&mut self) {
        let mut at = self.config(0x34) & 0xfc;
        while self.config(at) & 0xff != 0x11 {
            at = self.config(at) >> 8 & 0xfc;
            assert_ne!(at, 0, "MSI-X");
        }
        let control = self.config(at) | 0xc000_0000;
        self.ask(&format!("outl 0xcfc {control}"));
    }

    fn ask(&mut self, command: &str) -> String {
        writeln!(self.to, "{command}").unwrap();
        loop {
            let mut line = String::new();
            assert_ne!(
                self.from.read_line(&mut line).unwrap(),
                0,
                "QEMU ended at {command}"
            );
            if let Some(answer) = line.strip_prefix("OK") {
                return answer.trim().to_owned();
            }
            assert!(line.starts_with("IRQ"), "{command}: {line}");
        }
    }

    /// Reads the registers that the device changes.
    fn refresh(&mut self) {
        for at in [0x0, 0x4, 0x8, CC, 0x1c] {
            let answer = self.ask(&format!("readl {}", BAR + at as u64));
            let value = u64::from_str_radix(answer.trim_start_matches("0x"), 16).unwrap() as u32;
            self.io.registers.write32(at, value).unwrap();
            self.known.insert(at, value);
        }
    }

    /// Carries over what the broker wrote: CC after the registers it makes the device read, doorbells last.
    fn carry(&mut self) {
        let mut changed: Vec<(usize, u32)> = (0..REGISTER_BYTES)
            .step_by(4)
            .map(|at| (at, self.io.registers.read32(at).unwrap()))
            .filter(|(at, value)| self.known.get(at).copied().unwrap_or(0) != *value)
            .collect();
        changed.sort_by_key(|(at, _)| (*at >= DOORBELLS, *at == CC, *at));
        for (at, value) in changed {
            self.ask(&format!("writel {} {value}", BAR + at as u64));
            self.known.insert(at, value);
        }
    }

    /// Forgets the doorbells: the device has, with a reset.
    fn forget_doorbells(&mut self) {
        for at in (DOORBELLS..REGISTER_BYTES).step_by(4) {
            self.io.registers.write32(at, 0).unwrap();
            self.known.insert(at, 0);
        }
    }

    /// Lets time pass.
    fn pass(&mut self, ns: u64) {
        std::thread::sleep(Duration::from_nanos(ns));
        self.io.now_ns += ns;
    }

    fn drive(&mut self) -> Result<Step, Refusal> {
        self.carry();
        loop {
            self.refresh();
            let polled = self.broker.poll(&mut self.io);
            self.carry();
            match polled {
                Poll::Pending { after_ns } => self.pass(after_ns),
                Poll::Done(step) => return Ok(step),
                Poll::Failed(refusal) => return Err(refusal),
            }
        }
    }

    fn up(&mut self, depth: u16) {
        self.refresh();
        self.begin(Operation::Reset);
        self.drive().unwrap();
        self.forget_doorbells();
        self.refresh();
        let chosen = Settings::Nvme(&mut SHAPE.clone());
        self.broker.configure(&mut self.io, chosen).unwrap();
        self.begin(Operation::Enable);
        assert_eq!(self.drive(), Ok(Step::Ready));
        self.open(QueueSpec {
            kind: 0,
            index: 0,
            depth: 16,
            vector: Some(0),
        });
        self.open(QueueSpec {
            kind: 1,
            index: 1,
            depth,
            vector: Some(1),
        });
    }

    fn begin(&mut self, operation: Operation) {
        self.broker.begin(&mut self.io, operation).unwrap();
    }

    fn open(&mut self, spec: QueueSpec) {
        self.refresh();
        self.begin(Operation::Open(spec));
        assert_eq!(self.drive(), Ok(Step::QueueOpen));
    }

    /// Pages that are no neighbours.
    fn buffer(&mut self, count: usize) -> Vec<DeviceAddress> {
        let first = self.io.next_page;
        self.io.next_page += count * 2;
        (0..count)
            .map(|i| DeviceAddress::new(((first + (count - 1 - i) * 2) * PAGE) as u64))
            .collect()
    }

    fn bytes(&self, buffer: &[DeviceAddress], offset: usize, length: usize) -> Vec<u8> {
        let mut all = vec![0; buffer.len() * PAGE];
        for (page, chunk) in buffer.iter().zip(all.chunks_mut(PAGE)) {
            self.io.memory.read(page.bus() as usize, chunk).unwrap();
        }
        all[offset..offset + length].to_vec()
    }

    fn submit(
        &mut self,
        queue: u16,
        slot: u16,
        command: Command,
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal> {
        self.broker.submit(
            &mut self.io,
            place(queue),
            CommandSlot { slot },
            &command.to_bytes(),
            segments,
        )
    }

    /// Rings, and takes `count` completions.
    fn finish(&mut self, queue: u16, count: usize) -> Vec<Completed> {
        self.broker.ring(&mut self.io, place(queue));
        self.carry();
        let mut done = Vec::new();
        for _ in 0..10_000 {
            while let Some(completed) = self
                .broker
                .next_completion(&mut self.io, place(queue))
                .unwrap()
            {
                done.push(completed);
            }
            self.broker.completions_taken(&mut self.io, place(queue));
            self.carry();
            if done.len() >= count {
                return done;
            }
            self.pass(100_000);
        }
        panic!("{} of {count} completions came", done.len());
    }
}

/// Queue 0 is the administration's, above it lie the I/O pairs.
fn place(queue: u16) -> QueuePlace {
    QueuePlace {
        kind: u16::from(queue != 0),
        index: queue,
    }
}

fn segment(pages: &[DeviceAddress], offset: u32, length: u32, way: Direction) -> Segment<'static> {
    Segment {
        pages: Box::leak(Box::new(PageAddresses::of(pages.iter().copied()).unwrap())),
        offset,
        length,
        direction: way,
    }
}

fn from_device(pages: &[DeviceAddress], offset: u32, length: u32) -> Segment<'static> {
    segment(pages, offset, length, Direction::FromDevice)
}
#[test]
fn reads_writes_and_flushes() {
    let Some(mut it) = Bench::start("plain", "max_ioqpairs=4", "logical_block_size=512") else {
        return;
    };
    it.up(32);
    let start = it.io.next_page;
    for (slot, (lba, blocks, offset)) in [
        (0, 1, 0),
        (5, 8, 0),
        (77, 9, 512),
        (1, 15, 3584),
        (100, 64, 4),
        (3, 1024, 0),
        (9, 1023, 4092),
    ]
    .into_iter()
    .enumerate()
    {
        it.io.next_page = start;
        let (buffer, length) = (it.buffer(130), blocks * 512);
        let command = Command::transfer(io::READ, 1, lba, blocks).unwrap();
        it.submit(
            1,
            slot as u16,
            command,
            &[from_device(&buffer, offset, length)],
        )
        .unwrap();
        let done = it.finish(1, 1);
        assert_eq!((done[0].slot, done[0].status), (slot as u16, 0));
        let from = lba as usize * 512;
        assert!(
            it.bytes(&buffer, offset as usize, length as usize)
                == it.disk[from..from + length as usize]
        );
    }
    // QEMU's MDTS is 7 by default: 512 KiB.
    let buffer = it.buffer(130);
    let longer = Command::transfer(io::READ, 1, 0, 1025).unwrap();
    assert_eq!(
        it.submit(1, 0, longer, &[from_device(&buffer, 0, 1025 * 512)]),
        Err(Refusal::OutOfRange)
    );

    it.io
        .memory
        .write(buffer[0].bus() as usize, &[0xa5; PAGE])
        .unwrap();
    let write = Command::transfer(io::WRITE, 1, 40, 8).unwrap();
    it.submit(
        1,
        1,
        write,
        &[segment(&buffer, 0, 4096, Direction::ToDevice)],
    )
    .unwrap();
    it.finish(1, 1);
    it.submit(1, 2, Command::flush(1), &[]).unwrap();
    assert_eq!(it.finish(1, 1)[0].status, 0);
    let after = fs::read(&it.disk_path).unwrap();
    assert!(after[40 * 512..48 * 512].iter().all(|byte| *byte == 0xa5));
    assert!(after[..40 * 512] == it.disk[..40 * 512] && after[48 * 512..] == it.disk[48 * 512..]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn batches_and_administration_commands() {
    let Some(mut it) = Bench::start(
        "batch",
        "max_ioqpairs=4",
        "logical_block_size=4096,physical_block_size=4096",
    ) else {
        return;
    };
    it.up(32);
    let buffer = it.buffer(34);
    for round in 0..5u64 {
        for slot in 0..32 {
            let command = Command::transfer(io::READ, 1, round * 32 + u64::from(slot), 1).unwrap();
            it.submit(
                1,
                slot,
                command,
                &[from_device(&buffer, u32::from(slot) * 4096, 4096)],
            )
            .unwrap();
        }
        assert!(it.finish(1, 32).iter().all(|done| done.status == 0));
        let from = round as usize * 32 * 4096;
        assert!(it.bytes(&buffer, 0, 32 * 4096) == it.disk[from..from + 32 * 4096]);
    }
    it.submit(
        0,
        3,
        Command::identify(1, 0, 0),
        &[from_device(&buffer, 0, 4096)],
    )
    .unwrap();
    it.submit(
        0,
        4,
        Command::identify(0, 9, 0),
        &[from_device(&buffer, 4096, 4096)],
    )
    .unwrap();
    it.open(QueueSpec {
        kind: 1,
        index: 2,
        depth: 4,
        vector: None,
    });
    let done = it.finish(0, 2);
    assert_eq!((done[0].slot, done[0].status), (3, 0));
    let controller = nvme_format::identify::Controller::parse(&it.bytes(&buffer, 0, 4096)).unwrap();
    assert_eq!(
        (controller.serial.as_str(), controller.model.as_str()),
        ("test", "QEMU NVMe Ctrl")
    );
    let _ = Status::from_field(done[1].status).name();
    it.submit(
        2,
        3,
        Command::transfer(io::READ, 1, 9, 2).unwrap(),
        &[from_device(&buffer, 0, 8192)],
    )
    .unwrap();
    it.finish(2, 1);
    assert!(it.bytes(&buffer, 0, 8192) == it.disk[9 << 12..11 << 12]);
}

#[test]
fn lists_of_more_than_one_page() {
    let Some(mut it) = Bench::start("lists", "mdts=0", "logical_block_size=512") else {
        return;
    };
    it.up(2);
    let start = it.io.next_page;
    for (lba, bytes, offset) in [
        (8, 1023 << 12, 0),
        (1, 1023 << 12, 4092),
        (3, 2 << 20, 0),
        (3, (2 << 20) + 4096, 4),
    ] {
        it.io.next_page = start;
        let buffer = it.buffer(1025);
        let command = Command::transfer(io::READ, 1, lba, bytes >> 9).unwrap();
        it.submit(1, 1, command, &[from_device(&buffer, offset, bytes)])
            .unwrap();
        assert_eq!(it.finish(1, 1)[0].status, 0);
        let from = lba as usize * 512;
        assert!(
            it.bytes(&buffer, offset as usize, bytes as usize)
                == it.disk[from..from + bytes as usize]
        );
    }
}

#[test]
fn a_running_controller_is_reset_and_used_again() {
    let Some(mut it) = Bench::start("reset", "max_ioqpairs=2", "logical_block_size=512") else {
        return;
    };
    for round in 0..3 {
        it.up(8);
        let buffer = it.buffer(1);
        // Left in flight over the next reset in every round but the last.
        let command = Command::transfer(io::READ, 1, 16, 8).unwrap();
        it.submit(1, 2, command, &[from_device(&buffer, 0, 4096)])
            .unwrap();
        it.broker.ring(&mut it.io, place(1));
        it.carry();
        if round == 2 {
            assert_eq!(it.finish(1, 1)[0].status, 0);
            assert!(it.bytes(&buffer, 0, 4096) == it.disk[8192..12288]);
        }
    }
}

#[test]
fn a_namespace_with_metadata_is_left_out() {
    let Some(mut it) = Bench::start("meta", "max_ioqpairs=2", "logical_block_size=512,ms=8") else {
        return;
    };
    it.up(8);
    let buffer = it.buffer(1);
    let command = Command::transfer(io::READ, 1, 0, 8).unwrap();
    assert_eq!(
        it.submit(1, 0, command, &[from_device(&buffer, 0, 4096)]),
        Err(Refusal::OutOfRange)
    );
}
