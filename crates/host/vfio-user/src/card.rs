//! The hostile device in disguise: to its driver it is QEMU's teaching card `edu`, and it does what it is told. With each
//! transfer it also tries what it was not told.

use std::fmt::Write as _;

use crate::config::Description;
use crate::server::{Bus, BusError, Model, Way};
use crate::wire::{u32_at, u64_at};

/// Ids of the teaching card (QEMU, `docs/specs/edu`).
pub const ID: (u16, u16) = (0x1234, 0x11e8);
/// Bytes of its registers, in BAR 0.
const REGISTERS: usize = 1 << 20;
const IDENTIFICATION: u32 = 0x0100_00ed;
const LIVENESS: usize = 0x04;
const SOURCE: usize = 0x80;
const TARGET: usize = 0x88;
const COUNT: usize = 0x90;
const COMMAND: usize = 0x98;
/// Where it says how much that it was not told to do was accepted.
const CAUSES: usize = 0x24;
/// The command: start, and the way.
const RUN: u64 = 1;
const TO_MEMORY: u64 = 2;
/// What a transfer to memory brings, and what is written where nothing may be.
pub const BROUGHT: u8 = 0xa5;
const FOREIGN: u8 = 0x66;
const PAGE: u64 = 4096;

/// A place that the device tries beside each transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attack {
    /// Read the page behind the one of the transfer.
    ReadBeside,
    /// Write to where the transfer before this one went, if that was another page.
    WriteStale,
    /// Read at an address.
    Read(u64),
    /// Write at an address.
    Write(u64),
    /// Write what an interrupt message is, as memory: address and data.
    Forge(u64, u32),
}

impl Attack {
    /// Its word in a report.
    const fn name(self) -> &'static str {
        match self {
            Self::ReadBeside => "read-beside",
            Self::WriteStale => "write-stale",
            Self::Read(_) => "read",
            Self::Write(_) => "write",
            Self::Forge(..) => "forge",
        }
    }
}

/// The device.
#[derive(Debug)]
pub struct Card<F> {
    registers: Vec<u8>,
    attacks: Vec<Attack>,
    before: Option<u64>,
    started: bool,
    accepted: u32,
    told: F,
}

impl<F: FnMut(String)> Card<F> {
    /// Makes one that tries `attacks` with each transfer to memory; `told` hears of every outcome.
    pub fn new(attacks: Vec<Attack>, told: F) -> Self {
        Self {
            registers: vec![0; REGISTERS],
            attacks,
            before: None,
            started: false,
            accepted: 0,
            told,
        }
    }

    fn word(&self, at: usize) -> u64 {
        u64_at(&self.registers, at).unwrap_or(0)
    }

    fn tell(&mut self, what: &str, outcome: Result<(), BusError>) {
        let mut line = format!("card {what}");
        match outcome {
            Ok(()) => line.push_str(" accepted"),
            Err(BusError::Refused(_)) => line.push_str(" refused"),
            Err(other) => {
                let _ = write!(line, " failed why={other:?}");
            }
        }
        (self.told)(line);
    }

    fn try_all(&mut self, bus: &mut dyn Bus, target: u64) {
        let mut four = [0; 4];
        let stale = self.before.filter(|before| before / PAGE != target / PAGE);
        for attack in self.attacks.clone() {
            let outcome = match (attack, stale) {
                (Attack::ReadBeside, _) => {
                    let beside = (target / PAGE + 1) * PAGE;
                    bus.read(Way::Message, beside, &mut four)
                }
                (Attack::WriteStale, Some(stale)) => bus.write(Way::Message, stale, &[FOREIGN; 4]),
                (Attack::WriteStale, None) => continue,
                (Attack::Read(address), _) => bus.read(Way::Message, address, &mut four),
                (Attack::Write(address), _) => bus.write(Way::Message, address, &[FOREIGN; 4]),
                (Attack::Forge(address, data), _) => {
                    bus.write(Way::Message, address, &data.to_le_bytes())
                }
            };
            self.tell(attack.name(), outcome);
            self.accepted += u32::from(outcome.is_ok());
        }
    }
}

impl<F: FnMut(String)> Model for Card<F> {
    fn describe(&self) -> Description {
        Description {
            id: ID,
            class: (0xff, 0, 0),
            bars: [REGISTERS as u32, 0, 0, 0, 0, 0],
            msix: None,
        }
    }

    fn read(&mut self, _: u8, offset: u64, buffer: &mut [u8]) {
        let at = offset as usize;
        let found = self.registers.get(at..at + buffer.len());
        match (at, found) {
            (0, _) if buffer.len() == 4 => buffer.copy_from_slice(&IDENTIFICATION.to_le_bytes()),
            (CAUSES, _) if buffer.len() == 4 => {
                buffer.copy_from_slice(&self.accepted.to_le_bytes());
            }
            (_, Some(bytes)) => buffer.copy_from_slice(bytes),
            (_, None) => buffer.fill(0),
        }
    }

    fn write(&mut self, _: u8, offset: u64, bytes: &[u8]) {
        let at = offset as usize;
        if let Some(place) = self.registers.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
            self.started |= at == COMMAND && self.word(COMMAND) & RUN != 0;
        }
        if at == LIVENESS {
            let asked = u32_at(&self.registers, LIVENESS).unwrap_or(0);
            self.registers[LIVENESS..LIVENESS + 4].copy_from_slice(&(!asked).to_le_bytes());
        }
    }

    fn reset(&mut self) {
        self.registers.fill(0);
        self.started = false;
    }

    fn work(&mut self, bus: &mut dyn Bus) {
        if !std::mem::take(&mut self.started) {
            return;
        }
        let bytes = (self.word(COUNT) as usize).min(4096);
        if self.word(COMMAND) & TO_MEMORY != 0 {
            let target = self.word(TARGET);
            let outcome = bus.write(Way::Message, target, &vec![BROUGHT; bytes]);
            self.tell("transfer", outcome);
            self.try_all(bus, target);
            self.before = Some(target);
        } else {
            let mut data = vec![0; bytes];
            let outcome = bus.read(Way::Message, self.word(SOURCE), &mut data);
            self.tell("fetch", outcome);
        }
        self.registers[COMMAND..COMMAND + 8].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One page at 0x5000.
    #[derive(Default)]
    struct OnePage(Vec<(u64, u8)>);

    impl OnePage {
        fn check(address: u64, bytes: usize) -> Result<(), BusError> {
            match address / PAGE == 5 && (address + bytes as u64 - 1) / PAGE == 5 {
                true => Ok(()),
                false => Err(BusError::Refused(19)),
            }
        }
    }

    impl Bus for OnePage {
        fn read(&mut self, _: Way, address: u64, buffer: &mut [u8]) -> Result<(), BusError> {
            Self::check(address, buffer.len())
        }

        fn write(&mut self, _: Way, address: u64, bytes: &[u8]) -> Result<(), BusError> {
            Self::check(address, bytes.len())?;
            self.0.push((address, bytes[0]));
            Ok(())
        }

        fn interrupt(&mut self, _: u16) -> Result<(), BusError> {
            Err(BusError::NoVector)
        }

        fn command(&self) -> u16 {
            4
        }
    }

    #[test]
    fn it_does_its_work_and_more() {
        let mut told = Vec::new();
        let attacks = vec![Attack::ReadBeside, Attack::WriteStale, Attack::Read(0x5000)];
        let mut card = Card::new(attacks, |line| told.push(line));
        let mut id = [0; 4];
        card.read(0, 0, &mut id);
        assert_eq!(u32::from_le_bytes(id), IDENTIFICATION);
        card.write(0, LIVENESS as u64, &0x1234_5678u32.to_le_bytes());
        card.read(0, LIVENESS as u64, &mut id);
        assert_eq!(u32::from_le_bytes(id), !0x1234_5678);
        let mut memory = OnePage::default();
        for target in [0x5100u64, 0x6000] {
            card.write(0, TARGET as u64, &target.to_le_bytes());
            card.write(0, COUNT as u64, &16u64.to_le_bytes());
            card.write(0, COMMAND as u64, &(RUN | TO_MEMORY).to_le_bytes());
            card.work(&mut memory);
            card.work(&mut memory);
        }
        card.read(0, CAUSES as u64, &mut id);
        assert_eq!(u32::from_le_bytes(id), 3);
        let mut command = [0; 8];
        card.read(0, COMMAND as u64, &mut command);
        assert_eq!(command, [0; 8]);
        drop(card);
        assert_eq!(memory.0, [(0x5100, BROUGHT), (0x5100, FOREIGN)]);
        let expected = [
            "card transfer accepted",
            "card read-beside refused",
            "card read accepted",
            "card transfer refused",
            "card read-beside refused",
            "card write-stale accepted",
            "card read accepted",
        ];
        assert_eq!(told, expected);
    }
}
