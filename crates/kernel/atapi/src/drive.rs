//! One drive: finding out that it is a CD, and reading sectors.

use core::fmt;

use crate::packet::{self, CAPACITY_BYTES, Packet, SENSE_BYTES};
use crate::sense::Sense;
use crate::{Ports, Position, SECTOR_BYTES};

/// Registers of the command block (ATA/ATAPI-6, table 13, as PACKET uses them).
const FEATURES: u16 = 1;
const COUNT_LOW: u16 = 4;
const COUNT_HIGH: u16 = 5;
const DEVICE: u16 = 6;
const STATUS: u16 = 7;
/// The same register, written.
const COMMAND: u16 = 7;

const BUSY: u8 = 1 << 7;
const DATA_REQUEST: u8 = 1 << 3;
const CHECK: u8 = 1;
/// No device drives the bus.
const FLOATING: u8 = 0xff;
/// Device control: no interrupts.
const NO_INTERRUPTS: u8 = 1 << 1;

const PACKET: u8 = 0xa0;
const IDENTIFY_PACKET_DEVICE: u8 = 0xa1;
const IDENTIFY_DEVICE: u8 = 0xec;
const DEVICE_RESET: u8 = 0x08;
/// What a packet device leaves in the count registers when it refuses IDENTIFY DEVICE (9.12).
const SIGNATURE: (u8, u8) = (0x14, 0xeb);

const MS: u64 = 1_000_000;
/// A device that is there answers each of a command's first steps within this.
const COMMAND_NS: u64 = 200 * MS;
/// Longest wait for data: a drive may have to spin up.
const DATA_NS: u64 = 10_000 * MS;
/// Longest wait for a medium that is becoming ready.
const READY_NS: u64 = 20_000 * MS;
/// Most sectors of one command.
pub const MAX_SECTORS: u32 = 16;
/// Most bytes between two looks at the status register.
const BURST_BYTES: u16 = 0x8000;

/// Why a drive did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is none, or it is no CD drive.
    Absent,
    /// It did not come to an end in time.
    Timeout,
    /// It said why.
    Sense(Sense),
    /// It broke the protocol; the text says how.
    Protocol(&'static str),
    /// The sectors do not lie on the medium.
    OutOfRange,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no CD drive"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Sense(sense) => sense.fmt(f),
            Self::Protocol(how) => write!(f, "a protocol error: {how}"),
            Self::OutOfRange => f.write_str("outside the medium"),
        }
    }
}

/// How far a read that was begun has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The drive is busy.
    Waiting,
    /// All bytes are there.
    Done,
}

/// What comes next of a command, once the drive is not busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// To select it.
    Select,
    /// To say that a packet comes, unless it still offers what an earlier command asked for.
    Announce,
    /// The same after a reset.
    AnnounceAgain,
    /// To send the packet that it asks for.
    Send,
    /// To take its data.
    Take,
}

/// Looks of one step: a drive that is quick goes through all phases in it.
const LOOKS: u32 = 5;

/// A command on its way.
#[derive(Clone, Copy, Debug)]
struct Command {
    packet: Packet,
    phase: Phase,
    wanted: usize,
    got: usize,
    until_ns: u64,
}

/// A CD drive with a medium, idle between two calls unless a read was begun.
#[derive(Debug)]
pub struct Drive<P> {
    ports: P,
    position: Position,
    sectors: u32,
    command: Option<Command>,
    /// The command is the question why the last one failed, and its answer comes here.
    asking: Option<[u8; SENSE_BYTES]>,
}

impl<P: Ports> Drive<P> {
    /// Looks for a CD drive at `position`, and waits until its medium can be read.
    ///
    /// # Errors
    /// `Absent` where there is no CD drive; else why it cannot be read.
    pub fn open(ports: P, position: Position) -> Result<Self, Failure> {
        let mut drive = Self {
            ports,
            position,
            sectors: 0,
            command: None,
            asking: None,
        };
        drive.identify()?;
        drive.wait_ready()?;
        let mut answer = [0; CAPACITY_BYTES];
        drive.run(packet::READ_CAPACITY, &mut answer)?;
        let (last, bytes) = packet::capacity(answer);
        if bytes as usize != SECTOR_BYTES {
            return Err(Failure::Protocol("sectors are not of 2048 bytes"));
        }
        drive.sectors = last.saturating_add(1);
        Ok(drive)
    }

    #[cfg(test)]
    pub(crate) const fn ports(&mut self) -> &mut P {
        &mut self.ports
    }

    /// Where it is.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Sectors of the medium.
    pub const fn sectors(&self) -> u32 {
        self.sectors
    }

    /// Reads sectors from `lba` on into `into`, whose length is a multiple of [`SECTOR_BYTES`].
    ///
    /// # Errors
    /// The sector of the failing command's start, and why; nothing in `into` means anything then. A unit attention is
    /// tried again once.
    pub fn read(&mut self, lba: u32, into: &mut [u8]) -> Result<(), (u32, Failure)> {
        let mut at = lba;
        for part in into.chunks_mut(MAX_SECTORS as usize * SECTOR_BYTES) {
            let count = (part.len() / SECTOR_BYTES) as u32;
            if !part.len().is_multiple_of(SECTOR_BYTES) {
                return Err((at, Failure::OutOfRange));
            }
            let mut done = self.read_part(at, part);
            if matches!(done, Err(Failure::Sense(sense)) if sense.is_passing()) {
                done = self.read_part(at, part);
            }
            // Which of several sectors is bad is found by reading them one by one.
            if count > 1 && matches!(done, Err(Failure::Sense(_))) {
                for (number, sector) in part.chunks_mut(SECTOR_BYTES).enumerate() {
                    let lba = at + number as u32;
                    self.read_part(lba, sector).map_err(|why| (lba, why))?;
                }
                done = Ok(());
            }
            done.map_err(|why| (at, why))?;
            at = at.saturating_add(count);
        }
        Ok(())
    }

    fn read_part(&mut self, lba: u32, into: &mut [u8]) -> Result<(), Failure> {
        self.begin(lba, (into.len() / SECTOR_BYTES) as u32)?;
        loop {
            match self.advance(into)? {
                Progress::Waiting => self.ports.pause(),
                Progress::Done => return Ok(()),
            }
        }
    }

    /// Begins to read `count` sectors (1 to [`MAX_SECTORS`]) from `lba` on; [`Drive::advance`] goes on. A read that was
    /// begun before and not finished is given up. Neither waits for the drive.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn begin(&mut self, lba: u32, count: u32) -> Result<(), Failure> {
        if self.command.is_some() {
            self.give_up();
        }
        let end = lba.checked_add(count);
        if !(1..=MAX_SECTORS).contains(&count) || end.is_none_or(|end| end > self.sectors) {
            return Err(Failure::OutOfRange);
        }
        self.start(packet::read(lba, count), count as usize * SECTOR_BYTES);
        Ok(())
    }

    /// Takes what the drive has for a read that was begun. `into` is the same in each call, and holds exactly its sectors.
    ///
    /// # Errors
    /// Why it failed; the read is over then.
    pub fn advance(&mut self, into: &mut [u8]) -> Result<Progress, Failure> {
        if let Some(answer) = self.asking {
            return self.ask(answer);
        }
        match self.step(into) {
            Ok(Progress::Waiting) => Ok(Progress::Waiting),
            Ok(Progress::Done) => {
                self.command = None;
                Ok(Progress::Done)
            }
            // It is asked why, and the question itself is asked without asking again.
            Err(Failure::Sense(_)) => {
                self.asking = Some([0; SENSE_BYTES]);
                self.start(packet::REQUEST_SENSE, SENSE_BYTES);
                Ok(Progress::Waiting)
            }
            Err(why) => {
                self.give_up();
                Err(why)
            }
        }
    }

    /// Goes on with the question why a command failed.
    fn ask(&mut self, mut answer: [u8; SENSE_BYTES]) -> Result<Progress, Failure> {
        match self.step(&mut answer) {
            Ok(Progress::Waiting) => {
                self.asking = Some(answer);
                Ok(Progress::Waiting)
            }
            Ok(Progress::Done) => {
                (self.command, self.asking) = (None, None);
                let sense = Sense::parse(&answer);
                Err(sense.map_or(
                    Failure::Protocol("an answer to REQUEST SENSE that is none"),
                    Failure::Sense,
                ))
            }
            Err(why) => {
                self.give_up();
                Err(match why {
                    Failure::Sense(_) => Failure::Protocol("REQUEST SENSE failed too"),
                    why => why,
                })
            }
        }
    }

    /// Begins a command after which `wanted` bytes are to come.
    fn start(&mut self, packet: Packet, wanted: usize) {
        self.command = Some(Command {
            packet,
            phase: Phase::Select,
            wanted,
            got: 0,
            until_ns: self.ports.now_ns().saturating_add(COMMAND_NS),
        });
    }

    /// A few looks at the drive, until it is busy or has given data. `Failure::Sense` with empty numbers stands for a failure
    /// that is still to be asked about.
    fn step(&mut self, into: &mut [u8]) -> Result<Progress, Failure> {
        let Some(mut command) = self.command else {
            return Err(Failure::Protocol("no read was begun"));
        };
        if into.len() != command.wanted {
            return Err(Failure::Protocol("the buffer changed its size"));
        }
        for _ in 0..LOOKS {
            let status = self.status();
            if status == FLOATING {
                return Err(Failure::Absent);
            }
            if status & BUSY != 0 {
                if self.ports.now_ns() >= command.until_ns {
                    return Err(Failure::Timeout);
                }
                break;
            }
            if command.phase == Phase::Take {
                return self.take(command, status, into);
            }
            let patience_ns;
            (command.phase, patience_ns) = self.next(&command, status)?;
            command.until_ns = self.ports.now_ns().saturating_add(patience_ns);
            self.command = Some(command);
        }
        Ok(Progress::Waiting)
    }

    /// Does what comes next of a command before its data. Returns what comes then, and how long the drive may be busy.
    fn next(&mut self, command: &Command, status: u8) -> Result<(Phase, u64), Failure> {
        match command.phase {
            Phase::Select => {
                self.put(DEVICE, self.position.select);
                self.settle();
                Ok((Phase::Announce, COMMAND_NS))
            }
            Phase::Announce if status & DATA_REQUEST != 0 => {
                self.reset();
                Ok((Phase::AnnounceAgain, COMMAND_NS))
            }
            Phase::Announce | Phase::AnnounceAgain => {
                let burst = u16::try_from(command.wanted).unwrap_or(u16::MAX);
                let [low, high] = burst.clamp(2, BURST_BYTES).to_le_bytes();
                // Neither DMA nor overlap.
                self.put(FEATURES, 0);
                self.put(COUNT_LOW, low);
                self.put(COUNT_HIGH, high);
                self.put(COMMAND, PACKET);
                self.settle();
                Ok((Phase::Send, COMMAND_NS))
            }
            Phase::Send | Phase::Take => {
                if status & CHECK != 0 {
                    return Err(Failure::Sense(UNASKED));
                }
                if status & DATA_REQUEST == 0 {
                    return Err(Failure::Protocol("a packet was not asked for"));
                }
                for pair in command.packet.chunks_exact(2) {
                    let word = u16::from_le_bytes([pair[0], pair[1]]);
                    self.ports.write_data(self.position.command, word);
                }
                self.settle();
                Ok((Phase::Take, DATA_NS))
            }
        }
    }

    /// Takes the data that is there.
    fn take(
        &mut self,
        mut command: Command,
        status: u8,
        into: &mut [u8],
    ) -> Result<Progress, Failure> {
        if status & CHECK != 0 {
            return Err(Failure::Sense(UNASKED));
        }
        if status & DATA_REQUEST == 0 {
            return if command.got == command.wanted {
                Ok(Progress::Done)
            } else {
                Err(Failure::Protocol("less data than was asked for"))
            };
        }
        let low = self.get(COUNT_LOW);
        let high = self.get(COUNT_HIGH);
        let count = usize::from(u16::from_le_bytes([low, high]));
        let part = into
            .get_mut(command.got..)
            .and_then(|rest| rest.get_mut(..count));
        match part {
            Some(part) if count > 0 && count.is_multiple_of(2) => {
                self.ports.read_data(self.position.command, part);
            }
            _ => return Err(Failure::Protocol("more data than was asked for")),
        }
        command.got += count;
        self.command = Some(command);
        self.settle();
        Ok(Progress::Waiting)
    }

    /// A command with its whole answer.
    fn run(&mut self, packet: Packet, answer: &mut [u8]) -> Result<(), Failure> {
        self.start(packet, answer.len());
        loop {
            match self.advance(answer)? {
                Progress::Waiting => self.ports.pause(),
                Progress::Done => return Ok(()),
            }
        }
    }

    /// Whether a CD drive is here: its signature, then what it says of itself.
    fn identify(&mut self) -> Result<(), Failure> {
        if self.get(STATUS) == FLOATING {
            return Err(Failure::Absent);
        }
        self.ports.write8(self.position.control, NO_INTERRUPTS);
        self.select().map_err(|_| Failure::Absent)?;
        self.put(COMMAND, IDENTIFY_DEVICE);
        self.settle();
        let status = self.wait(COMMAND_NS).map_err(|_| Failure::Absent)?;
        let signature = (self.get(COUNT_LOW), self.get(COUNT_HIGH));
        if status & CHECK == 0 || signature != SIGNATURE {
            // A hard disk offers its 512 bytes now; they are taken, so that it is idle again.
            if status & DATA_REQUEST != 0 {
                let mut words = [0; 512];
                self.ports.read_data(self.position.command, &mut words);
            }
            return Err(Failure::Absent);
        }
        self.put(COMMAND, IDENTIFY_PACKET_DEVICE);
        self.settle();
        let status = self.wait(DATA_NS)?;
        if status & CHECK != 0 || status & DATA_REQUEST == 0 {
            return Err(Failure::Absent);
        }
        let mut words = [0; 512];
        self.ports.read_data(self.position.command, &mut words);
        // Word 0: bits 15:14 a packet device, 12:8 its type, 1:0 packets of 12 bytes (8.13.8).
        let general = u16::from_le_bytes([words[0], words[1]]);
        let is_cd = general >> 14 == 0b10 && general >> 8 & 0x1f == 5 && general & 3 == 0;
        if is_cd { Ok(()) } else { Err(Failure::Absent) }
    }

    /// Waits until the drive says that it can read.
    fn wait_ready(&mut self) -> Result<(), Failure> {
        let until = self.ports.now_ns().saturating_add(READY_NS);
        loop {
            match self.run(packet::TEST_UNIT_READY, &mut []) {
                Err(Failure::Sense(sense)) if sense.is_passing() && self.ports.now_ns() < until => {
                    self.ports.pause();
                }
                done => return done,
            }
        }
    }

    fn select(&mut self) -> Result<(), Failure> {
        self.put(DEVICE, self.position.select);
        self.settle();
        let status = self.wait(COMMAND_NS)?;
        if status & DATA_REQUEST != 0 {
            self.reset();
            // Whether it worked is seen by the next command.
            let _ = self.wait(COMMAND_NS);
        }
        Ok(())
    }

    /// Leaves a command where it is.
    fn give_up(&mut self) {
        (self.command, self.asking) = (None, None);
        self.reset();
    }

    /// DEVICE RESET (8.10): a packet device gives up what it was doing. The next command waits for it.
    fn reset(&mut self) {
        self.put(DEVICE, self.position.select);
        self.settle();
        self.put(COMMAND, DEVICE_RESET);
        self.settle();
    }

    fn wait(&mut self, patience_ns: u64) -> Result<u8, Failure> {
        let until = self.ports.now_ns().saturating_add(patience_ns);
        loop {
            let status = self.status();
            if status == FLOATING {
                return Err(Failure::Absent);
            }
            if status & BUSY == 0 {
                return Ok(status);
            }
            if self.ports.now_ns() >= until {
                return Err(Failure::Timeout);
            }
            self.ports.pause();
        }
    }

    /// 400 ns until the status register means something: four reads of the alternate one take longer.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.ports.read8(self.position.control);
        }
    }

    fn status(&mut self) -> u8 {
        self.get(STATUS)
    }

    fn get(&mut self, register: u16) -> u8 {
        self.ports.read8(self.position.command + register)
    }

    fn put(&mut self, register: u16, value: u8) {
        self.ports.write8(self.position.command + register, value);
    }
}

/// A failure that is still to be asked about.
const UNASKED: Sense = Sense {
    key: 0,
    code: 0,
    qualifier: 0,
};
