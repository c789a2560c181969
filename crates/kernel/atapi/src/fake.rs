//! A channel made of software: at most one drive on it, with the faults a test wants.

use std::vec;
use std::vec::Vec;

use crate::{Ports, Position, SECTOR_BYTES};

/// How a drive misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// BSY stays set after a packet.
    Stuck,
    /// More bytes than the buffer holds are offered.
    TooMuch,
    /// An odd number of bytes is offered.
    Odd,
    /// It is done before all was sent.
    TooLittle,
    /// Every command fails, REQUEST SENSE too.
    AlwaysCheck,
    /// DRQ never comes for a packet.
    NoRequest,
    /// BSY stays set after PACKET, before the packet is asked for.
    Deaf,
    /// A read fails, and BSY stays set after the question why.
    DeafToSense,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Packet(usize),
    Data,
}

/// What stands behind the ports.
#[derive(Clone, Debug)]
pub struct Fake {
    pub medium: Vec<u8>,
    pub position: Position,
    pub fault: Fault,
    pub bad: Option<u32>,
    /// Commands that are answered with a unit attention first.
    pub attentions: u32,
    /// Sense the next REQUEST SENSE gives.
    sense: [u8; 3],
    phase: Phase,
    packet: [u8; 12],
    answer: Vec<u8>,
    sent: usize,
    burst: usize,
    busy: u32,
    check: bool,
    selected: bool,
    limit: [u8; 2],
    now: u64,
    pub interrupts_off: bool,
    pub words_written: u32,
    pub resets: u32,
    pub reads: Vec<(u32, u32)>,
    /// Registers that were read or written, and waits.
    pub touched: u32,
    pub pauses: u32,
}

impl Fake {
    pub fn new(sectors: u32, position: Position) -> Self {
        let mut medium = vec![0; sectors as usize * SECTOR_BYTES];
        for (lba, sector) in medium.chunks_mut(SECTOR_BYTES).enumerate() {
            sector.fill(lba as u8);
            sector[..4].copy_from_slice(&(lba as u32).to_le_bytes());
        }
        Self {
            medium,
            position,
            fault: Fault::None,
            bad: None,
            attentions: 0,
            sense: [0; 3],
            phase: Phase::Idle,
            packet: [0; 12],
            answer: Vec::new(),
            sent: 0,
            burst: 0,
            busy: 0,
            check: false,
            selected: false,
            limit: [0; 2],
            now: 0,
            interrupts_off: false,
            words_written: 0,
            resets: 0,
            reads: Vec::new(),
            touched: 0,
            pauses: 0,
        }
    }

    fn fail(&mut self, key: u8, code: u8, qualifier: u8) {
        self.sense = [key, code, qualifier];
        self.check = true;
        self.phase = Phase::Idle;
    }

    fn offer(&mut self) {
        let left = self.answer.len() - self.sent;
        let limit = usize::from(u16::from_le_bytes(self.limit));
        self.burst = left.min(limit);
        self.phase = if left == 0 { Phase::Idle } else { Phase::Data };
        if self.phase == Phase::Data {
            match self.fault {
                Fault::TooMuch => self.burst += 2,
                Fault::Odd => self.burst = 3,
                Fault::TooLittle if self.sent > 0 || left <= limit => self.phase = Phase::Idle,
                _ => {}
            }
        }
        self.busy = 3;
    }

    fn execute(&mut self) {
        self.answer.clear();
        self.sent = 0;
        self.check = false;
        let opcode = self.packet[0];
        if self.fault == Fault::AlwaysCheck {
            return self.fail(4, 0, 0);
        }
        let stuck = match self.fault {
            Fault::Stuck => opcode == 0xa8,
            Fault::DeafToSense => opcode == 3,
            _ => false,
        };
        if stuck {
            self.busy = u32::MAX;
            return;
        }
        if self.fault == Fault::DeafToSense && opcode == 0xa8 {
            return self.fail(3, 0, 0);
        }
        if self.attentions > 0 && opcode != 3 {
            self.attentions -= 1;
            return self.fail(6, 0x29, 0);
        }
        match opcode {
            0 => {}
            3 => {
                let mut answer = vec![0; 18];
                answer[0] = 0x70;
                [answer[2], answer[12], answer[13]] = self.sense;
                self.answer = answer;
            }
            0x25 => {
                let last = (self.medium.len() / SECTOR_BYTES) as u32 - 1;
                self.answer.extend(last.to_be_bytes());
                self.answer.extend(2048u32.to_be_bytes());
            }
            0xa8 => {
                let number =
                    |at: usize| u32::from_be_bytes(self.packet[at..at + 4].try_into().unwrap());
                let (lba, count) = (number(2), number(6));
                self.reads.push((lba, count));
                let at = lba as usize * SECTOR_BYTES;
                let end = at + count as usize * SECTOR_BYTES;
                if self
                    .bad
                    .is_some_and(|bad| (lba..lba + count).contains(&bad))
                {
                    return self.fail(3, 0x11, 0x05);
                }
                match self.medium.get(at..end) {
                    Some(bytes) => self.answer = bytes.to_vec(),
                    None => return self.fail(5, 0x21, 0),
                }
            }
            _ => return self.fail(5, 0x20, 0),
        }
        self.offer();
    }
}

impl Ports for &mut Fake {
    fn read8(&mut self, port: u16) -> u8 {
        let at = self.position;
        self.touched += 1;
        if port == at.control {
            return 0;
        }
        assert!((at.command..at.command + 8).contains(&port), "{port:#x}");
        if !self.selected {
            return 0;
        }
        match port - at.command {
            4 => (self.burst & 0xff) as u8,
            5 => (self.burst >> 8) as u8,
            7 if self.busy > 0 => {
                if self.busy != u32::MAX {
                    self.busy -= 1;
                }
                0x80
            }
            7 => match self.phase {
                Phase::Idle => 0x40 | u8::from(self.check),
                Phase::Packet(_) if self.fault == Fault::NoRequest => 0x40,
                Phase::Packet(_) | Phase::Data => 0x48,
            },
            _ => 0,
        }
    }

    fn write8(&mut self, port: u16, value: u8) {
        let at = self.position;
        self.touched += 1;
        if port == at.control {
            self.interrupts_off = value & 2 != 0;
            return;
        }
        assert!((at.command..at.command + 8).contains(&port), "{port:#x}");
        match port - at.command {
            1 => assert_eq!(value, 0, "no DMA"),
            4 => self.limit[0] = value,
            5 => self.limit[1] = value,
            6 => self.selected = (value >> 4 & 1 == 1) == (at.device == "slave"),
            7 if self.selected => {
                assert!(self.interrupts_off);
                match value {
                    0xec => {
                        self.check = true;
                        self.burst = 0xeb14;
                    }
                    0xa1 => {
                        self.check = false;
                        self.answer = vec![0; 512];
                        self.answer[..2].copy_from_slice(&0x8580u16.to_le_bytes());
                        self.sent = 0;
                        self.phase = Phase::Data;
                    }
                    0xa0 => {
                        self.check = false;
                        self.busy = if self.fault == Fault::Deaf {
                            u32::MAX
                        } else {
                            2
                        };
                        self.phase = Phase::Packet(0);
                    }
                    0x08 => {
                        self.resets += 1;
                        self.busy = 1;
                        self.phase = Phase::Idle;
                    }
                    other => panic!("command {other:#x}"),
                }
            }
            _ => {}
        }
    }

    fn read_data(&mut self, port: u16, into: &mut [u8]) {
        assert_eq!(port, self.position.command);
        assert_eq!(self.phase, Phase::Data);
        for byte in into.iter_mut() {
            *byte = self.answer.get(self.sent).copied().unwrap_or(0xee);
            self.sent += 1;
        }
        self.sent = self.sent.min(self.answer.len());
        self.offer();
    }

    fn write_data(&mut self, port: u16, word: u16) {
        assert_eq!(port, self.position.command);
        self.words_written += 1;
        let Phase::Packet(at) = self.phase else {
            panic!("data is written to a drive that did not ask for a packet");
        };
        self.packet[at..at + 2].copy_from_slice(&word.to_le_bytes());
        self.phase = Phase::Packet(at + 2);
        if at == 10 {
            self.phase = Phase::Idle;
            self.execute();
        }
    }

    fn now_ns(&mut self) -> u64 {
        self.now += 1_000_000;
        self.now
    }

    fn pause(&mut self) {
        self.pauses += 1;
    }
}
